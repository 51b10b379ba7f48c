//! What guard and mediator say to each other: frames of JSON, each with its length before it.
//!
//! Both ends are ours; the bounds are there because an agent fills some of the fields.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use agentguard_core::{Connect, Exec, Forcing, Making, Network, OutcomeOf, Reach, RefMove};
use rustix::io::{Errno, read, write};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::difference::Difference;
use crate::error::{Error, Failure};
use crate::plan::{KnownIdentity, User};
use crate::repository::CommitFound;

/// Workers of the mediator: two keep two processors busy, more only wait.
pub(crate) const WORKERS: usize = 2;
/// More than the largest argument list the kernel takes, as JSON: 6 MiB, of which each byte may become six.
const LONGEST: usize = 64 << 20;
/// The length before each message.
const HEAD: usize = 4;
/// More than most messages take.
const MOST_READ: usize = 16 << 10;
/// A list longer than this is told in pieces.
pub(crate) const PIECE: usize = 4 << 20;

/// What a worker of the mediator asks or tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker<'e> {
    /// May this happen? Answered by [`Answer`].
    Judge {
        /// What is about to be executed.
        exec: Cow<'e, Exec>,
        /// Whether it is the session's own command.
        is_first: bool,
        /// Whether whoever makes the call can wait until a human has answered.
        can_wait: bool,
    },
    /// What did the human say who was asked about an exec? Answered by [`Answer`].
    Waits {
        /// By which it is known.
        ticket: u64,
        /// Whether it is the session's own command.
        is_first: bool,
    },
    /// Whoever made that call waits no more. Not answered.
    Withdrawn {
        /// By which it is known.
        ticket: u64,
    },
    /// May this name come into being? Answered by [`Answer`].
    Name {
        /// The name, and what makes it.
        making: Making,
    },
    /// May this socket be connected to? Answered by [`Answer`].
    Connect {
        /// Whose it is.
        connect: Connect,
    },
    /// Something came of a decision that must be known at once. Not answered.
    Outcome(Outcome),
}

/// What came of a decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The decision's entry.
    pub(crate) of: u64,
    /// What came of it.
    pub(crate) outcome: OutcomeOf,
}

/// The guard's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Whether it may happen.
    pub(crate) allow: bool,
    /// The entry that says so, unless the log could not be written.
    pub(crate) entry: Option<u64>,
    /// The rule that refused it; empty where nothing did.
    pub(crate) rule: String,
    /// What the agent is told of a refusal.
    pub(crate) text: String,
    /// By what it is known until a human has answered. Until then it is not allowed.
    pub(crate) held: Option<u64>,
}

/// What the mediator tells of the session as a whole.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromMediator {
    /// Everything stands; the agent may start.
    Ready {
        /// The refs of the workspace's repository.
        refs: Vec<String>,
        /// The branch checked out.
        branch: Option<String>,
        /// The session's pid 1, as seen outside.
        init: i32,
        /// The process that connects for callers, as seen outside.
        mediator: i32,
        /// How connections come to the gate, where there is to be one.
        forcing: Option<Forcing>,
        /// How many descriptors follow: listeners for the plan's ports, for a gate's connections, lookups, and lookups
        /// by connections, what hears of datagrams, and what tells it who connects.
        listeners: [u32; 6],
    },
    /// A step failed; nothing of the agent ran.
    Failed(Failure),
    /// The agent's process exists.
    Started {
        /// Its id outside.
        process: i32,
    },
    /// The command itself could not be executed.
    NotExecuted {
        /// The error's number.
        errno: i32,
    },
    /// The command was stopped.
    Stopped {
        /// By which signal, where that is known.
        signal: Option<i32>,
    },
    /// What came of decisions, in the order in which it came.
    Outcomes(Vec<Outcome>),
    /// Datagrams went nowhere.
    Nowhere {
        /// Whom each was for.
        reaches: Vec<Reach>,
        /// How many besides were not told apart.
        unseen: u64,
    },
    /// Files changed.
    Changed(Difference),
    /// Refs moved.
    Moved {
        /// Which.
        moved: Vec<RefMove>,
        /// What appeared with them.
        commits: Vec<CommitFound>,
        /// Whether these are all.
        complete: bool,
    },
    /// Which of its bounds the session came to.
    Reached(Reached),
    /// Programs were digested that nobody inside can change.
    Learnt(Vec<KnownIdentity>),
    /// Everything inside is dead.
    Ended {
        /// How the command ended.
        outcome: OutcomeOf,
    },
}

/// Bounds that a session came to, as far as the mediator can see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Processes could not be made.
    pub processes: bool,
    /// A private directory that lies in memory was full.
    pub temporary: bool,
}

/// What the guard tells a mediator that waits for its plan.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ahead<P> {
    /// What is known before there is a plan of a session with namespaces, which some of it takes a while to
    /// make: whom the agent will become, where it becomes another, and its network.
    Known(Option<User>, Network),
    /// The plan.
    Plan(P),
}

/// What the guard tells the mediator.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromGuard {
    /// The session is recorded: start the agent.
    Start {
        /// Whether it is in front at the session's terminal.
        in_front: bool,
    },
    /// The agent is to go on, where it has been stopped.
    GoOn {
        /// Whether it is in front from here on.
        in_front: bool,
    },
    /// Nobody of the session is in front any more.
    Behind,
    /// All of the agent's first group is to hear a signal.
    Signal(i32),
}

/// Cuts a list into pieces that each fit into a message, `size` being the bytes of an item.
pub(crate) fn pieces<T>(all: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut pieces, mut piece, mut length) = (Vec::new(), Vec::new(), 0usize);
    for item in all {
        length = length.saturating_add(size(&item));
        piece.push(item);
        if length >= PIECE {
            pieces.push(std::mem::take(&mut piece));
            length = 0;
        }
    }
    if !piece.is_empty() || pieces.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// Sends one message.
pub(crate) fn send(to: impl AsFd, message: &impl Serialize) -> Result<(), Error> {
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, message).map_err(|_| Error::Garbled)?;
    let (head, body) = frame.split_at_mut(HEAD);
    let length = u32::try_from(body.len()).map_err(|_| Error::Garbled)?;
    head.copy_from_slice(&length.to_le_bytes());
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        match write(to.as_fd(), rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::io("write to the other side")(error.into())),
        }
    }
    Ok(())
}

/// A line on which one message follows another, read as they come.
#[derive(Debug)]
pub(crate) struct Line<F> {
    end: F,
    buffer: Vec<u8>,
    filled: usize,
}

impl<F: AsFd> Line<F> {
    pub(crate) fn new(end: F) -> Self {
        Self {
            end,
            buffer: vec![0; MOST_READ],
            filled: 0,
        }
    }

    /// Sends one message.
    pub(crate) fn send(&self, message: &impl Serialize) -> Result<(), Error> {
        send(&self.end, message)
    }

    /// Waits for one message. `None` when the other side has closed.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        if !self.fill(HEAD)? {
            return Ok(None);
        }
        let head = self.buffer.first_chunk().copied().unwrap_or_default();
        let length = usize::try_from(u32::from_le_bytes(head)).map_err(|_| Error::Garbled)?;
        if length > LONGEST {
            return Err(Error::Garbled);
        }
        let whole = HEAD + length;
        if !self.fill(whole)? {
            return Ok(None);
        }
        let body = self.buffer.get(HEAD..whole).unwrap_or_default();
        let message = serde_json::from_slice(body).map_err(|_| Error::Garbled)?;
        self.buffer.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        // What the longest took is not kept.
        self.buffer.truncate(self.filled.max(MOST_READ));
        self.buffer.shrink_to(2 * MOST_READ);
        Ok(Some(message))
    }

    fn fill(&mut self, wanted: usize) -> Result<bool, Error> {
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.filled < wanted {
            let space = self.buffer.get_mut(self.filled..).unwrap_or_default();
            match read_some(self.end.as_fd(), space)? {
                0 => return Ok(false),
                length => self.filled += length,
            }
        }
        Ok(true)
    }
}

/// Waits for one message. `None` when the other side has closed.
pub(crate) fn receive<T: DeserializeOwned>(from: impl AsFd) -> Result<Option<T>, Error> {
    let mut header = [0; HEAD];
    if !fill(from.as_fd(), &mut header)? {
        return Ok(None);
    }
    let length = usize::try_from(u32::from_le_bytes(header)).map_err(|_| Error::Garbled)?;
    if length > LONGEST {
        return Err(Error::Garbled);
    }
    let mut body = vec![0; length];
    if !fill(from.as_fd(), &mut body)? {
        return Ok(None);
    }
    serde_json::from_slice(&body)
        .map(Some)
        .map_err(|_| Error::Garbled)
}

fn fill(from: impl AsFd, mut into: &mut [u8]) -> Result<bool, Error> {
    while !into.is_empty() {
        match read_some(from.as_fd(), into)? {
            0 => return Ok(false),
            length => into = into.get_mut(length..).unwrap_or_default(),
        }
    }
    Ok(true)
}

/// Reads what is there, once something is; nothing when the other side has closed.
fn read_some(from: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Error> {
    loop {
        match read(from, &mut *into) {
            Ok(length) => return Ok(length),
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(0),
            Err(error) => return Err(Error::io("read from the other side")(error.into())),
        }
    }
}

/// Sends descriptors along with one byte.
pub(crate) fn send_descriptors(
    to: impl AsFd,
    descriptors: &[std::os::fd::BorrowedFd<'_>],
) -> Result<(), Error> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    if !buffer.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Error::Garbled);
    }
    sendmsg(
        to,
        &[rustix::io::IoSlice::new(b"d")],
        &mut buffer,
        SendFlags::empty(),
    )
    .map_err(|error| Error::io("hand over descriptors")(error.into()))?;
    Ok(())
}

/// Receives the descriptors sent along with one byte.
pub(crate) fn receive_descriptors(from: impl AsFd) -> Result<Vec<OwnedFd>, Error> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut slices = [rustix::io::IoSliceMut::new(&mut byte)];
    recvmsg(from, &mut slices, &mut buffer, RecvFlags::CMSG_CLOEXEC)
        .map_err(|error| Error::io("take over descriptors")(error.into()))?;
    let mut descriptors = Vec::new();
    for message in buffer.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_one_by_one_however_they_come() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let long = "x".repeat(5 * MOST_READ);
        let writer = std::thread::spawn({
            let long = long.clone();
            move || {
                for text in ["a", "b", &long, "", "c", &long, "d"] {
                    send(&far, &text).unwrap();
                }
                rustix::io::write(&far, &[9, 0, 0, 0, b'"']).unwrap();
            }
        });
        let mut line = Line::new(near);
        for text in ["a", "b", &long, "", "c", &long, "d"] {
            assert_eq!(line.receive::<String>().unwrap().as_deref(), Some(text));
        }
        assert_eq!(line.receive::<String>().unwrap(), None);
        assert!(line.buffer.len() <= MOST_READ && line.buffer.capacity() <= 2 * MOST_READ);
        writer.join().unwrap();
    }

    /// What one side says and both ways of reading make of it.
    fn read_in_both_ways(sent: impl Fn() -> std::os::unix::net::UnixStream) -> [String; 2] {
        let one = receive::<String>(sent());
        let of_line = Line::new(sent()).receive::<String>();
        [format!("{one:?}"), format!("{of_line:?}")]
    }

    #[test]
    fn a_message_that_would_be_too_long_is_refused_by_its_length() {
        let longest = u32::try_from(LONGEST).unwrap();
        for (length, read) in [
            (longest, "Ok(None)"),
            (longest + 1, "Err(Garbled)"),
            (u32::MAX, "Err(Garbled)"),
        ] {
            let sent = || {
                let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
                rustix::io::write(&far, &length.to_le_bytes()).unwrap();
                near
            };
            assert_eq!(read_in_both_ways(sent), [read, read], "{length}");
        }
    }

    #[test]
    fn whoever_closes_without_having_read_has_closed() {
        let sent = || {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            rustix::io::write(&near, b"never read").unwrap();
            drop(far);
            near
        };
        assert_eq!(read_in_both_ways(sent), ["Ok(None)"; 2]);
    }

    #[test]
    fn descriptors_that_are_handed_over_go_to_no_program_that_is_started() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        send_descriptors(&far, &[far.as_fd(), far.as_fd()]).unwrap();
        let taken = receive_descriptors(&near).unwrap();
        let flags = taken
            .iter()
            .map(|one| rustix::io::fcntl_getfd(one).unwrap());
        let closed = [rustix::io::FdFlags::CLOEXEC; 2];
        assert_eq!(flags.collect::<Vec<_>>(), closed);
    }

    #[test]
    fn a_long_list_is_cut_and_keeps_its_order() {
        assert_eq!(pieces(Vec::<u8>::new(), |_| 1), [Vec::<u8>::new()]);
        assert_eq!(pieces(vec![1, 2, 3], |_| 1), [vec![1, 2, 3]]);
        assert_eq!(pieces(vec![1, 2, 3], |_| PIECE / 2), [vec![1, 2], vec![3]]);
        assert_eq!(pieces(vec![1, 2], |_| usize::MAX), [vec![1], vec![2]]);
    }

    #[test]
    fn fuzz_a_message_is_one_or_an_error() {
        const WORDS: &[&str] = &[
            "{\"Judge\":",
            "\"Outcome\"",
            "\"Ready\"",
            "\"Reached\"",
            "null",
            "true",
            "[",
            "]",
            "{",
            "}",
            ",",
            "-1",
            "1e999",
            "\"\\ud800\"",
            "18446744073709551616",
        ];
        crate::mutate::fuzz("wire", WORDS, |bytes| {
            let sent = || {
                let flags = rustix::fs::MemfdFlags::CLOEXEC;
                let file = rustix::fs::memfd_create("message", flags).unwrap();
                rustix::io::write(&file, bytes).unwrap();
                rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).unwrap();
                file
            };
            fn said<T: std::fmt::Debug>(received: Result<Option<T>, Error>) -> String {
                let text = match received {
                    Ok(message) => format!("{message:?}"),
                    Err(_) => "error".to_owned(),
                };
                text.split(['{', '(']).next().unwrap_or_default().to_owned()
            }
            [
                said(receive::<FromWorker>(sent())),
                said(receive::<FromMediator>(sent())),
                said(receive::<FromGuard>(sent())),
                said(receive::<Answer>(sent())),
                said(receive::<crate::Plan>(sent())),
            ]
            .join(" ")
        });
    }
}
