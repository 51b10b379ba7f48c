//! Serves the socket on which what git makes is signed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::Pid;

use super::protocol::{Frame, LONGEST};

/// Connections at once. `ssh-keygen` keeps its own for the time of one signature: whoever opens more loses those that
/// were opened first.
const MOST: usize = 16;

/// What is said to whoever asks.
pub(super) trait Answer {
    /// Answers a message.
    fn answer(&self, message: &[u8]) -> Vec<u8>;
    /// Somebody connected who is not in the session.
    fn stranger(&self);
}

struct Connection {
    stream: UnixStream,
    read: Vec<u8>,
    unwritten: Vec<u8>,
}

/// Answers whoever is connected by the mediator, until `stop` is closed at its other end.
///
/// A socket lies at a path, where others of the same user find it too. The kernel says who connected: for those inside
/// that is the mediator, and nobody else.
pub(super) fn serve(
    listener: &UnixListener,
    mediator: Pid,
    stop: &OwnedFd,
    answer: &impl Answer,
) -> std::io::Result<()> {
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let ready = wait(listener, stop, &connections)?;
        let [is_over, is_called, of_connections @ ..] = ready.as_slice() else {
            return Ok(());
        };
        if *is_over {
            return Ok(());
        }
        let mut ready = of_connections.iter();
        connections.retain_mut(|connection| match ready.next() {
            Some(true) => connection.go_on(answer),
            Some(false) | None => true,
        });
        if *is_called {
            let Some(stream) = accept(listener)? else {
                continue;
            };
            if socket_peercred(&stream).is_ok_and(|peer| peer.pid == mediator) {
                if connections.len() >= MOST {
                    connections.remove(0);
                }
                connections.push(Connection {
                    stream,
                    read: Vec::new(),
                    unwritten: Vec::new(),
                });
            } else {
                answer.stranger();
            }
        }
    }
}

/// Which of the end, the listener and the connections have something to be done.
fn wait(
    listener: &UnixListener,
    stop: &OwnedFd,
    connections: &[Connection],
) -> std::io::Result<Vec<bool>> {
    let mut polled = vec![
        PollFd::new(stop, PollFlags::IN),
        PollFd::new(listener, PollFlags::IN),
    ];
    polled.extend(connections.iter().map(|connection| {
        let wanted = match connection.unwritten.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::OUT,
        };
        PollFd::from_borrowed_fd(connection.stream.as_fd(), wanted)
    }));
    loop {
        match poll(&mut polled, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    Ok(polled.iter().map(|one| !one.revents().is_empty()).collect())
}

/// Takes the next who called; nothing where that one is gone again.
fn accept(listener: &UnixListener) -> std::io::Result<Option<UnixStream>> {
    match listener.accept() {
        Ok((stream, _)) => stream.set_nonblocking(true).map(|()| Some(stream)),
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether whoever called is gone again.
fn is_nobody(error: &std::io::Error) -> bool {
    is_for_later(error) || error.kind() == ErrorKind::ConnectionAborted
}

impl Connection {
    /// Writes what is to be written, or else reads and answers. Returns whether it is to stay.
    fn go_on(&mut self, answer: &impl Answer) -> bool {
        if self.unwritten.is_empty() && !self.fill() {
            return false;
        }
        loop {
            if !self.flush() {
                return false;
            }
            // Who does not read what was answered is not answered more.
            if !self.unwritten.is_empty() {
                return true;
            }
            match Frame::read(&self.read) {
                Frame::Wrong => return false,
                Frame::More => return true,
                Frame::Whole(message, length) => {
                    self.unwritten = answer.answer(message);
                    self.read.drain(..length);
                }
            }
        }
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; LONGEST];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(length) => {
                self.read
                    .extend_from_slice(piece.get(..length).unwrap_or_default());
                true
            }
            Err(error) => is_for_later(&error),
        }
    }

    fn flush(&mut self) -> bool {
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.unwritten) {
                Ok(0) => return false,
                Ok(length) => drop(self.unwritten.drain(..length)),
                Err(error) => return is_for_later(&error),
            }
        }
        true
    }
}

fn is_for_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
