//! Tells a refused caller why, on its own standard error.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, FileType};
use rustix::net::{self, SendFlags};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::caller::THREAD;
use crate::wire::Answer;

const STANDARD_ERROR: i32 = 2;
const ONCE_IN: Duration = Duration::from_secs(1);
/// How long a terminal may take a line.
const A_MOMENT: Duration = Duration::from_millis(100);
/// Terminals that are waited for at once.
const MOST_ASIDE: usize = 4;
/// More programs than this are not told apart.
const REMEMBERED: usize = 4096;

/// Who was told what, lately, and whose children tell nobody.
#[derive(Debug)]
pub(super) struct Told {
    said: Mutex<HashMap<Saying, Instant>>,
    mute: Vec<String>,
}

/// What is said once a second: that this program is refused by this rule, to this file.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Saying {
    program: String,
    rule: String,
    place: (u64, u64),
}

/// What became of an explanation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Telling {
    /// It was written, or had been within this second.
    Told,
    /// It could not be written without waiting.
    Lost,
}

impl Told {
    /// Nobody was told anything yet. Programs of these names show nothing of a child which they could not start.
    pub(super) fn new(mute: &[String]) -> Self {
        Self {
            said: Mutex::default(),
            mute: mute.to_vec(),
        }
    }

    /// Whether a caller's image is such a program.
    pub(super) fn is_mute(&self, caller: &str) -> bool {
        let name = caller.rsplit('/').next().unwrap_or(caller);
        self.mute.iter().any(|mute| mute == name)
    }

    /// Writes the answer's text to the caller's descriptor 2, and never waits: once a second for a
    /// program, a rule and the file behind the descriptor, so that each tool call learns its own.
    pub(super) fn tell(&self, caller: Pid, program: &str, answer: &Answer) -> Telling {
        self.write(caller, program, answer).unwrap_or(Telling::Lost)
    }

    fn write(&self, caller: Pid, program: &str, answer: &Answer) -> Option<Telling> {
        let descriptor = standard_error(caller)?;
        let file = fs::fstat(&descriptor).ok()?;
        let saying = Saying {
            program: program.to_owned(),
            rule: answer.rule.clone(),
            place: (file.st_dev, file.st_ino),
        };
        if self.is_due(saying) {
            write_to(
                &descriptor,
                FileType::from_raw_mode(file.st_mode),
                &answer.text,
            )?;
        }
        Some(Telling::Told)
    }

    fn is_due(&self, saying: Saying) -> bool {
        let now = Instant::now();
        let mut told = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED {
            told.clear();
        }
        match told.get(&saying) {
            Some(last) if now.duration_since(*last) < ONCE_IN => false,
            Some(_) | None => {
                told.insert(saying, now);
                true
            }
        }
    }
}

fn standard_error(caller: Pid) -> Option<OwnedFd> {
    let handle = pidfd_open(caller, PidfdFlags::from_bits_retain(THREAD))
        .or_else(|_| pidfd_open(caller, PidfdFlags::empty()))
        .ok()?;
    pidfd_getfd(handle, STANDARD_ERROR, PidfdGetfdFlags::empty()).ok()
}

fn write_to(descriptor: &OwnedFd, kind: FileType, text: &str) -> Option<()> {
    match kind {
        FileType::Fifo => write_pipe(descriptor, text),
        FileType::RegularFile => write_whole(descriptor, text),
        FileType::CharacterDevice if rustix::termios::isatty(descriptor) => {
            write_ready(descriptor, text)
        }
        FileType::Socket => send(descriptor, text),
        FileType::CharacterDevice
        | FileType::Directory
        | FileType::Symlink
        | FileType::BlockDevice
        | FileType::Unknown => None,
    }
}

/// The description is the caller's and may block, and the file may be one that we must not open anew: root's
/// pipe, of whom this process is no more. Moved from a pipe of our own, the text never waits.
///
/// # References
///
/// - splice(2), `SPLICE_F_NONBLOCK`
fn write_pipe(descriptor: &OwnedFd, text: &str) -> Option<()> {
    let (ours, filled) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
    write_whole(&filled, text)?;
    let moved = splice(
        &ours,
        None,
        descriptor,
        None,
        text.len(),
        SpliceFlags::NONBLOCK,
    )
    .ok()?;
    (moved == text.len()).then_some(())
}

/// A terminal that can take a byte need not take a line: the agent may be at its other end, and read nothing.
/// A thread aside waits then, and not the worker.
fn write_ready(descriptor: &OwnedFd, text: &str) -> Option<()> {
    let mut polled = [PollFd::new(descriptor, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if !matches!(poll(&mut polled, Some(&now)), Ok(1..)) {
        return None;
    }
    let aside = Aside::take()?;
    let (descriptor, text) = (descriptor.try_clone().ok()?, text.to_owned());
    let (done, is_done) = mpsc::channel();
    let write = move || {
        let written = write_whole(&descriptor, &text);
        drop((descriptor, aside));
        let _ = done.send(written);
    };
    std::thread::Builder::new().spawn(write).ok()?;
    is_done.recv_timeout(A_MOMENT).ok().flatten()
}

/// One of the few threads that may wait for a terminal.
struct Aside;

/// How many do.
static ASIDE: AtomicUsize = AtomicUsize::new(0);

impl Aside {
    fn take() -> Option<Self> {
        let more = |count| (count < MOST_ASIDE).then_some(count + 1);
        ASIDE
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()
            .map(|_| Self)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        ASIDE.fetch_sub(1, Ordering::AcqRel);
    }
}

fn send(descriptor: &OwnedFd, text: &str) -> Option<()> {
    let is_local = net::sockopt::socket_domain(descriptor).ok()? == net::AddressFamily::UNIX;
    let is_stream = net::sockopt::socket_type(descriptor).ok()? == net::SocketType::STREAM;
    if !is_local || !is_stream {
        return None;
    }
    let sent = net::send(
        descriptor,
        text.as_bytes(),
        SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
    )
    .ok()?;
    (sent == text.len()).then_some(())
}

fn write_whole(descriptor: &OwnedFd, text: &str) -> Option<()> {
    let written = rustix::io::write(descriptor, text.as_bytes()).ok()?;
    (written == text.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_and_each_reader_is_told_and_none_twice_in_a_second() {
        let told = Told::new(&[]);
        let saying = |program: &str, rule: &str, file| Saying {
            program: program.to_owned(),
            rule: rule.to_owned(),
            place: (1, file),
        };
        assert!(told.is_due(saying("/usr/bin/git", "git/no-verify", 7)));
        assert!(!told.is_due(saying("/usr/bin/git", "git/no-verify", 7)));
        assert!(told.is_due(saying("/usr/bin/git", "git/protected-branch", 7)));
        assert!(told.is_due(saying("/usr/bin/git", "git/no-verify", 8)));
        assert!(told.is_due(saying("/usr/bin/hg", "git/no-verify", 7)));
    }
}
