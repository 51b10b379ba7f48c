//! What the agent gets as its standard streams.
//!
//! A descriptor is more than what it was opened for: whoever holds one of a file can empty it or lock it, and the file's
//! owner changes its mode, times and attributes by it, past every mount. A pipe's owner opens its other end by it, and
//! reads what others wrote, or writes what others read. So neither is handed in. What is read from it
//! or written to it goes through a pipe of the session's own, which the guard fills or empties. So does what comes by a
//! unix stream socket: whoever holds one can shut it down and set its options for all who have it. For the terminal that
//! controls the guard there is one of the session's own. Other sockets and devices stay what they are, and so do pipes of
//! others.

mod carry;
mod terminal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::{fs, process};

pub use self::carry::Unwritten;
use self::carry::{Carrier, Ends};
pub(crate) use self::terminal::Terminal;
use crate::error::Error;
use crate::sys::{self, Signals};

/// Signals by which somebody wants us to end.
const ENDING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
/// How long a reader outside may take for what a session wrote that was cut off.
const PATIENCE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};
/// The file system of pipes without a name (statfs(2)).
const PIPES: i64 = 0x5049_5045;
const INPUT: &str = "standard input";

/// The streams of one session.
#[derive(Debug)]
pub(crate) struct Streams {
    /// The agent's: input, output, error.
    theirs: Vec<OwnedFd>,
    carriers: Vec<Carrier>,
    /// The one that we have, and the agent's end of the session's.
    terminal: Option<(Terminal, OwnedFd)>,
    before: Before,
}

/// The flags of what whoever started us shares with the agent, as they were.
#[derive(Debug)]
struct Before(Vec<(OwnedFd, OFlags)>);

/// The streams of a session that runs.
#[derive(Debug)]
pub(crate) struct Carrying {
    threads: Vec<JoinHandle<Result<(), Unwritten>>>,
    /// Hung up when all threads are through.
    through: OwnedFd,
    /// The other ends of what the threads are told.
    runs: OwnedFd,
    patience: OwnedFd,
    terminal: Option<Arc<Terminal>>,
    before: Before,
}

/// How a stream comes to the agent.
enum Way {
    AsIs,
    Terminal,
    Carried,
}

impl Streams {
    /// Looks at this process's own, and makes those of the agent. Nothing is carried yet.
    pub(crate) fn make() -> Result<Self, Error> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        // Where others have it too it is the session's only once that asks for it: whoever reads what the session
        // writes, above all.
        let is_alone = [stdin.as_fd(), stdout.as_fd()].map(sys::is_controlled_by) == [true; 2];
        let terminal = Terminal::make(is_alone)
            .map_err(|error| Error::io("make the session's terminal")(error.into()))?;
        let mut made = Self {
            theirs: Vec::new(),
            carriers: Vec::new(),
            terminal,
            before: Before(Vec::new()),
        };
        let all = [
            (INPUT, stdin.as_fd()),
            ("standard output", stdout.as_fd()),
            ("standard error", stderr.as_fd()),
        ];
        for (name, ours) in all {
            made.add(name, ours)
                .map_err(|error| Error::io("hand over the standard streams")(error.into()))?;
        }
        Ok(made)
    }

    pub(crate) fn theirs(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.theirs.iter().map(AsFd::as_fd)
    }

    /// The agent's end of the session's terminal, where there is one.
    pub(crate) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(|(_, theirs)| theirs.as_fd())
    }

    /// Carries from here on.
    pub(crate) fn begin(self) -> Result<Carrying, Error> {
        let pair = || {
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| Error::io("make a pipe")(error.into()))
        };
        let ((session, runs), (waits, patience), (through, works)) = (pair()?, pair()?, pair()?);
        let terminal = self.terminal.map(|(terminal, _)| Arc::new(terminal));
        let all = self.carriers.into_iter().map(Carried::Stream);
        let all = all.chain(terminal.clone().map(Carried::Terminal));
        let threads = all.map(|carried| {
            let ends = Ends {
                session: session.try_clone()?,
                patience: waits.try_clone()?,
            };
            let works = works.try_clone()?;
            std::thread::Builder::new()
                .name("stream".to_owned())
                .spawn(move || {
                    let carried = match carried {
                        Carried::Stream(carrier) => carrier.run(&ends),
                        Carried::Terminal(terminal) => terminal.carry(&ends),
                    };
                    drop(works);
                    carried
                })
        });
        Ok(Carrying {
            threads: threads
                .collect::<Result<_, _>>()
                .map_err(Error::io("carry the standard streams"))?,
            through,
            runs,
            patience,
            terminal,
            before: self.before,
        })
    }

    fn add(&mut self, name: &'static str, ours: BorrowedFd<'_>) -> Result<(), Errno> {
        let own = fcntl_dupfd_cloexec(ours, 3)?;
        let theirs = match way(ours) {
            Way::AsIs => {
                self.before.0.push((own, fs::fcntl_getfl(ours)?));
                fcntl_dupfd_cloexec(ours, 3)?
            }
            // Without a name of it there is none to carry to.
            Way::Terminal => fcntl_dupfd_cloexec(self.terminal().ok_or(Errno::NXIO)?, 3)?,
            Way::Carried if name == INPUT => {
                let (theirs, to) = pipe_with(PipeFlags::CLOEXEC)?;
                let carrier = Carrier::filling(&theirs, (own, to))?;
                self.carriers.push(carrier);
                theirs
            }
            Way::Carried => {
                // In one pipe, so that what is written to both stays in its order.
                let is_same = |other: &Carrier| other.is_emptied_into(ours);
                match self
                    .theirs
                    .last()
                    .filter(|_| self.carriers.iter().any(is_same))
                {
                    Some(one) => fcntl_dupfd_cloexec(one, 3)?,
                    None => {
                        let (from, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
                        self.carriers.push(Carrier::emptying(name, (from, own))?);
                        theirs
                    }
                }
            }
        };
        open_to_the_agent(theirs.as_fd())?;
        self.theirs.push(theirs);
        Ok(())
    }
}

/// What a thread carries.
enum Carried {
    Stream(Carrier),
    Terminal(Arc<Terminal>),
}

impl Carrying {
    pub(crate) fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_deref()
    }

    /// Carries what is left, once everything inside is dead, and puts back what the agent shared with whoever started
    /// us. Returns what could not be written. A session that was cut off is no reason to wait for a reader, nor is one
    /// that somebody wants to end.
    pub(crate) fn end(self, is_cut_off: bool, signals: &Signals) -> Vec<Unwritten> {
        drop(self.runs);
        let patience = is_cut_off.then_some(PATIENCE);
        loop {
            let mut polled = [
                PollFd::new(&self.through, PollFlags::empty()),
                PollFd::new(signals, PollFlags::IN),
            ];
            let polls = poll(&mut polled, patience.as_ref());
            let is_through = !polled[0].revents().is_empty();
            let is_ended =
                std::iter::from_fn(|| signals.next()).any(|held| ENDING.contains(&held.number));
            if is_through || is_ended || !matches!(polls, Ok(1..) | Err(Errno::INTR)) {
                break;
            }
        }
        drop(self.patience);
        let unwritten = self.threads.into_iter().filter_map(|thread| {
            // A thread that broke down wrote what it wrote.
            thread.join().ok()?.err()
        });
        let unwritten = unwritten.collect();
        self.terminal.iter().for_each(|terminal| {
            terminal.fall_back();
        });
        self.before.restore();
        unwritten
    }
}

impl Before {
    fn restore(self) {
        for (stream, flags) in self.0 {
            if fs::fcntl_getfl(&stream) != Ok(flags) {
                let _ = fs::fcntl_setfl(&stream, flags);
            }
        }
    }
}

fn way(stream: BorrowedFd<'_>) -> Way {
    let Ok(found) = fstat(stream) else {
        return Way::AsIs;
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile | FileType::BlockDevice => Way::Carried,
        FileType::CharacterDevice if sys::is_controlled_by(stream) => Way::Terminal,
        FileType::CharacterDevice if is_of_the_agents_user(&found) => Way::Carried,
        FileType::Fifo if is_of_the_agents_user(&found) => Way::Carried,
        FileType::Socket if is_unix_stream(stream) => Way::Carried,
        // The mediator says which of these lead outside.
        FileType::CharacterDevice
        | FileType::Fifo
        | FileType::Socket
        | FileType::Directory
        | FileType::Symlink
        | FileType::Unknown => Way::AsIs,
    }
}

/// Root's agents are another user.
fn is_of_the_agents_user(found: &Stat) -> bool {
    let own = process::getuid();
    !own.is_root() && found.st_uid == own.as_raw()
}

fn is_unix_stream(socket: BorrowedFd<'_>) -> bool {
    sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(socket) == Ok(SocketType::STREAM)
}

fn is_nameless(pipe: BorrowedFd<'_>) -> bool {
    fs::fstatfs(pipe).is_ok_and(|found| found.f_type == PIPES)
}

/// Lets the agent open a pipe of root's by its descriptor, as `/dev/stdout`, for what it was handed in for. Nobody else
/// gets there.
fn open_to_the_agent(stream: BorrowedFd<'_>) -> Result<(), Errno> {
    let found = fstat(stream)?;
    let is_pipe = FileType::from_raw_mode(found.st_mode) == FileType::Fifo && is_nameless(stream);
    if !is_pipe || !process::getuid().is_root() {
        return Ok(());
    }
    let open = match fs::fcntl_getfl(stream)? & OFlags::RWMODE {
        OFlags::WRONLY => Mode::WOTH,
        OFlags::RDONLY => Mode::ROTH,
        _ => Mode::ROTH | Mode::WOTH,
    };
    // Where it cannot be, a name of it cannot be opened.
    let _ = fs::fchmod(stream, Mode::from_raw_mode(found.st_mode) | open);
    Ok(())
}
