//! Carrying what is read and written between what is outside and a pipe of the session's.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, SeekFrom, Stat, fcntl_setfl, fstat, seek};
use rustix::io::{Errno, ReadWriteFlags, fcntl_dupfd_cloexec, ioctl_fionread, preadv2, pwritev2};
use rustix::net::{RecvFlags, recv};
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, tee};

/// So much is carried at once. A pipe holds as much.
const MOST: usize = 64 * 1024;
/// So much is written without waiting to a pipe that can be written to (pipe(7), `PIPE_BUF`).
const ATOMIC: usize = 4096;
/// No place of its own in a stream, as preadv2(2) has it.
const WHERE_IT_IS: u64 = u64::MAX;
/// How soon it is looked again whether the agent read, where it made its pipe larger and nobody is told.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// What a session wrote and nobody got.
#[derive(Debug)]
pub struct Unwritten {
    /// Where to: standard output or standard error.
    pub stream: &'static str,
    /// Why.
    pub error: io::Error,
}

/// From one descriptor to another.
#[derive(Debug)]
pub(super) struct Carrier {
    from: OwnedFd,
    to: OwnedFd,
    way: Way,
}

/// What a thread that carries is told, by the hanging up of the other end.
#[derive(Debug)]
pub(super) struct Ends {
    /// Everything inside is dead: nothing more comes from the session.
    pub(super) session: OwnedFd,
    /// Nobody waits any more for a reader outside.
    pub(super) patience: OwnedFd,
}

#[derive(Debug)]
enum Way {
    /// The agent's end, so that it can be seen what was not read.
    Fills(OwnedFd),
    Empties(&'static str),
}

impl Carrier {
    pub(super) fn filling(theirs: &OwnedFd, (from, to): (OwnedFd, OwnedFd)) -> Result<Self, Errno> {
        fcntl_setfl(&to, OFlags::NONBLOCK)?;
        Ok(Self {
            from,
            to,
            way: Way::Fills(fcntl_dupfd_cloexec(theirs, 3)?),
        })
    }

    pub(super) fn emptying(
        stream: &'static str,
        (from, to): (OwnedFd, OwnedFd),
    ) -> Result<Self, Errno> {
        fcntl_setfl(&from, OFlags::NONBLOCK)?;
        Ok(Self {
            from,
            to,
            way: Way::Empties(stream),
        })
    }

    /// Whether it ends in this very file.
    pub(super) fn is_emptied_into(&self, file: impl AsFd) -> bool {
        let number = |found: Stat| (found.st_dev, found.st_ino);
        matches!(self.way, Way::Empties(_))
            && fstat(file).map(number) == fstat(&self.to).map(number)
    }

    /// Carries until there is nothing more.
    pub(super) fn run(self, ends: &Ends) -> Result<(), Unwritten> {
        let Self { from, to, way } = self;
        match way {
            Way::Fills(theirs) => {
                let all = (&theirs, &ends.session);
                match kind(&from) {
                    FileType::Fifo => pass(&from, to, show_of_pipe, all),
                    FileType::Socket => pass(&from, to, show_of_socket, all),
                    FileType::RegularFile
                    | FileType::Directory
                    | FileType::Symlink
                    | FileType::CharacterDevice
                    | FileType::BlockDevice
                    | FileType::Unknown => fill(&from, to, &theirs, &ends.session),
                }
                Ok(())
            }
            Way::Empties(stream) => match empty(&from, &to, ends) {
                // Whoever read it wants no more, as the agent is told.
                Ok(()) | Err(Errno::PIPE) => Ok(()),
                Err(error) => Err(Unwritten {
                    stream,
                    error: error.into(),
                }),
            },
        }
    }
}

fn kind(stream: &OwnedFd) -> FileType {
    fstat(stream).map_or(FileType::Unknown, |found| {
        FileType::from_raw_mode(found.st_mode)
    })
}

/// Shows what comes by a pipe, and leaves it there.
fn show_of_pipe(from: &OwnedFd, to: &OwnedFd) -> Result<usize, Errno> {
    tee(from, to, MOST, SpliceFlags::NONBLOCK)
}

fn show_of_socket(from: &OwnedFd, to: &OwnedFd) -> Result<usize, Errno> {
    let mut buffer = [0; ATOMIC];
    let (shown, _) = recv(from, &mut buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    match buffer.get(..shown) {
        Some(bytes @ [_, ..]) => rustix::io::write(to, bytes),
        Some([]) | None => Ok(0),
    }
}

/// Passes on what comes by a pipe or a socket, and takes from there only what the agent has read: the rest is for whoever
/// reads next.
fn pass(
    from: &OwnedFd,
    to: OwnedFd,
    show: fn(&OwnedFd, &OwnedFd) -> Result<usize, Errno>,
    (theirs, session): (&OwnedFd, &OwnedFd),
) {
    // Of one piece, so that it is full with anything in it, and says so when that was read.
    let _ = fcntl_setpipe_size(&to, ATOMIC);
    while wait((from, PollFlags::IN), session) == Ok(Ready::Stream) {
        match show(from, &to) {
            Ok(0) => break,
            Ok(shown) => {
                let is_over = wait_until_read((&to, theirs), session);
                // The agent may have written there itself.
                let left = usize::try_from(ioctl_fionread(theirs).unwrap_or(0)).unwrap_or(shown);
                take(from, shown - left.min(shown));
                if is_over {
                    return;
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => pause(session),
            Err(_) => break,
        }
    }
}

/// Waits until there is nothing left in the session's pipe. Returns whether there is no session left instead.
fn wait_until_read((to, theirs): (&OwnedFd, &OwnedFd), session: &OwnedFd) -> bool {
    while wait((to, PollFlags::OUT), session) == Ok(Ready::Stream) {
        if ioctl_fionread(theirs) == Ok(0) {
            return false;
        }
        pause(session);
    }
    true
}

fn pause(session: &OwnedFd) {
    let mut polled = [PollFd::new(session, PollFlags::empty())];
    let _ = poll(&mut polled, Some(&PAUSE));
}

/// Takes so much out of a pipe as is there.
fn take(from: &OwnedFd, mut count: usize) {
    let mut buffer = vec![0; count];
    while let Some(rest) = buffer.get_mut(..count).filter(|rest| !rest.is_empty()) {
        // Where others read there too it may be gone, and what comes next is not what the agent has read.
        match poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&NOW)) {
            Ok(1..) => {}
            Err(Errno::INTR) => continue,
            Ok(_) | Err(_) => return,
        }
        match read_now(from, rest) {
            Ok(read @ 1..) => count -= read,
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Reads what is there by now: whoever else reads there may have come first.
fn read_now(from: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut slices = [IoSliceMut::new(buffer)];
    match preadv2(from, &mut slices, WHERE_IT_IS, ReadWriteFlags::NOWAIT) {
        // A FIFO, a pipe that was opened anew, and older kernels wait then.
        Err(Errno::OPNOTSUPP) => rustix::io::read(from, buffer),
        read => read,
    }
}

/// Writes what there is room for by now: whoever else writes there may have come first.
fn write_now(to: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let slices = [IoSlice::new(bytes)];
    match pwritev2(to, &slices, WHERE_IT_IS, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP) => rustix::io::write(to, bytes),
        written => written,
    }
}

/// Fills a pipe. What the agent has not read is still to be read from a file by whoever comes next.
fn fill(from: &OwnedFd, to: OwnedFd, theirs: &OwnedFd, session: &OwnedFd) {
    let mut buffer = vec![0; MOST];
    let (mut rest, mut all) = (0, 0_u64);
    while rest == 0 && wait((from, PollFlags::IN), session) == Ok(Ready::Stream) {
        // What cannot be read is not there.
        let Ok(read @ 1..) = rustix::io::read(from, &mut buffer) else {
            break;
        };
        all += u64::try_from(read).unwrap_or(0);
        rest = read - put(&to, buffer.get(..read).unwrap_or_default(), session);
    }
    drop(to); // there is no more
    while poll(&mut [PollFd::new(session, PollFlags::empty())], None) == Err(Errno::INTR) {}
    let waits = ioctl_fionread(theirs).unwrap_or(0);
    // The agent may have written there itself.
    let unread = all.min(waits + u64::try_from(rest).unwrap_or(0));
    if let Ok(unread @ 1..) = i64::try_from(unread) {
        // A FIFO cannot go back.
        let _ = seek(from, SeekFrom::Current(-unread));
    }
}

/// Writes to the session's pipe while there is a session. Returns how much it took.
fn put(to: &OwnedFd, bytes: &[u8], session: &OwnedFd) -> usize {
    let mut written = 0;
    while let Some(left) = bytes.get(written..).filter(|left| !left.is_empty()) {
        match rustix::io::write(to, left) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if wait((to, PollFlags::OUT), session) == Ok(Ready::Stream) => {}
            Err(_) => break,
        }
    }
    written
}

/// Empties a pipe, to the end.
fn empty(from: &OwnedFd, to: &OwnedFd, ends: &Ends) -> Result<(), Errno> {
    let mut buffer = vec![0; MOST];
    let kind = kind(to);
    let at_once = match kind == FileType::RegularFile {
        true => MOST,
        false => ATOMIC,
    };
    // What else there is can be written to whatever others do, or cannot be asked so.
    let put: fn(&OwnedFd, &[u8]) -> Result<usize, Errno> =
        match matches!(kind, FileType::Fifo | FileType::Socket) {
            true => write_now,
            false => |to: &OwnedFd, bytes: &[u8]| rustix::io::write(to, bytes),
        };
    let mut is_over = false;
    loop {
        match rustix::io::read(from, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                for piece in buffer.get(..read).unwrap_or_default().chunks(at_once) {
                    write(to, put, piece, &ends.patience)?;
                }
            }
            Err(Errno::INTR) => {}
            // What came before the end is read once more.
            Err(Errno::AGAIN) if is_over => return Ok(()),
            Err(Errno::AGAIN) => {
                is_over = wait((from, PollFlags::IN), &ends.session)? == Ready::End
            }
            Err(error) => return Err(error),
        }
    }
}

/// Writes to what is outside, as long as somebody has patience.
fn write(
    to: &OwnedFd,
    put: fn(&OwnedFd, &[u8]) -> Result<usize, Errno>,
    mut bytes: &[u8],
    patience: &OwnedFd,
) -> Result<(), Errno> {
    while !bytes.is_empty() {
        if wait((to, PollFlags::OUT), patience)? == Ready::End {
            return Err(Errno::TIMEDOUT);
        }
        match put(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What was waited for.
#[derive(Eq, PartialEq)]
enum Ready {
    Stream,
    End,
}

/// Waits for a stream, or else for an end.
fn wait((stream, flags): (&OwnedFd, PollFlags), end: &OwnedFd) -> Result<Ready, Errno> {
    loop {
        let mut polled = [
            PollFd::new(stream, flags),
            PollFd::new(end, PollFlags::empty()),
        ];
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let [stream, end] = polled.map(|one| !one.revents().is_empty());
        if stream {
            return Ok(Ready::Stream);
        }
        if end {
            return Ok(Ready::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use std::thread::{scope, spawn};
    use std::time::Duration;

    use super::*;

    /// Two come to the same at once, which is tried often enough that they do.
    const ROUNDS: usize = 500;

    fn at_once(arrived: &AtomicU32) {
        arrived.fetch_add(1, Ordering::AcqRel);
        while arrived.load(Ordering::Acquire) < 2 {
            std::hint::spin_loop();
        }
    }

    /// Fails where it does not come to its end.
    fn ends(test: impl FnOnce() + Send + 'static) {
        let (sender, receiver) = channel();
        spawn(move || {
            test();
            let _ = sender.send(());
        });
        let ended = receiver.recv_timeout(Duration::from_secs(60));
        ended.expect("somebody waits for what others took");
    }

    fn pipe() -> (OwnedFd, OwnedFd) {
        let (reads, writes) = io::pipe().unwrap();
        (reads.into(), writes.into())
    }

    fn can_be_asked_at_once() -> bool {
        let (reads, _writes) = pipe();
        let mut slices = [IoSliceMut::new(&mut [])];
        let asked = preadv2(&reads, &mut slices, WHERE_IT_IS, ReadWriteFlags::NOWAIT);
        asked != Err(Errno::OPNOTSUPP)
    }

    #[test]
    fn who_takes_what_others_took_meanwhile_does_not_wait() {
        if !can_be_asked_at_once() {
            println!("NOT TRIED: this kernel waits in any case");
            return;
        }
        ends(|| {
            let (reads, writes) = pipe();
            for _ in 0..ROUNDS {
                rustix::io::write(&writes, b"x").unwrap();
                let arrived = AtomicU32::new(0);
                let taken = || {
                    at_once(&arrived);
                    take(&reads, 1);
                };
                scope(|scope| {
                    scope.spawn(taken);
                    taken();
                });
                assert_eq!(ioctl_fionread(&reads), Ok(0));
            }
        });
    }

    #[test]
    fn who_writes_where_others_wrote_meanwhile_waits_only_while_somebody_has_patience() {
        if !can_be_asked_at_once() {
            println!("NOT TRIED: this kernel waits in any case");
            return;
        }
        ends(|| {
            let page = [b'x'; ATOMIC];
            let (reads, writes) = pipe();
            while write_now(&writes, &page).is_ok() {}
            for _ in 0..ROUNDS {
                take(&reads, ATOMIC);
                let (patience, hold) = pipe();
                let arrived = AtomicU32::new(0);
                let put = || {
                    at_once(&arrived);
                    write(&writes, write_now, &page, &patience)
                };
                let ended = scope(|scope| {
                    let others = scope.spawn(put);
                    let mine = scope.spawn(put);
                    // Until one of them wrote.
                    let mut full = [PollFd::new(&writes, PollFlags::OUT)];
                    while poll(&mut full, Some(&NOW)) != Ok(0) {}
                    drop(hold);
                    [others.join().unwrap(), mine.join().unwrap()]
                });
                assert!(ended.contains(&Ok(())) && ended.contains(&Err(Errno::TIMEDOUT)));
            }
        });
    }
}
