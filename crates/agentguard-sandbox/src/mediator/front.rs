//! The session's terminal, and who is in front there.
//!
//! The mediator leads a session of processes of its own (credentials(7)), which has that terminal and no other. In its
//! group nobody reads or writes; the agent's is another. So whoever reads from behind is stopped, as at any terminal with
//! a shell.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::{Errno, write};
use rustix::process::{Pid, Signal, ioctl_tiocsctty, kill_process_group, setsid};
use rustix::{process, stdio, termios};

use crate::error::{Failure, Step};

/// How often it is tried to say how nice a session is.
const TRIES: u32 = 4;
const A_TENTH: Duration = Duration::from_millis(100);

/// How nice the scheduler is to be to others on behalf of this process: what `nice` meant holds among processes of one
/// session, and between sessions what each of them says (sched(7), "The autogroup feature").
pub(super) struct Niceness {
    nice: i32,
    /// None where there are no such groups.
    group: Option<OwnedFd>,
}

impl Niceness {
    /// Looks at it while files outside can be opened. The file is of the process that opens it.
    pub(super) fn of_caller() -> Self {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        Self {
            nice: process::nice(0).unwrap_or(0),
            group: open("/proc/self/autogroup", flags, Mode::empty()).ok(),
        }
    }

    /// Says so for the session that this process is in by now.
    fn hand_on(&self) {
        if let Some(group) = self.group.as_ref().filter(|_| self.nice > 0) {
            for _ in 0..TRIES {
                // Where it cannot be, the session is as nice as any other.
                if write(group, self.nice.to_string().as_bytes()) != Err(Errno::AGAIN) {
                    return;
                }
                // The kernel takes one for all of the machine in so long, of whoever is not root.
                std::thread::sleep(A_TENTH);
            }
        }
    }
}

/// The mediator's own session.
pub(super) struct Front {
    /// Its group, which is none of the agent's.
    own: Pid,
    terminal: Option<OwnedFd>,
}

impl Front {
    /// Leaves the session of whoever started the guard. Where the agent's streams are `terminal` they are opened anew,
    /// by the name that belongs to nobody: its owner would change its mode by a descriptor.
    pub(super) fn take(terminal: Option<OwnedFd>, niceness: &Niceness) -> Result<Self, Failure> {
        let own = setsid().step("leave the caller's session")?;
        niceness.hand_on();
        if let Some(terminal) = &terminal {
            ioctl_tiocsctty(terminal).step("take the session's terminal")?;
            open_anew(terminal.as_fd())?;
        }
        Ok(Self { own, terminal })
    }

    /// Whether the guard stops with its agent: it does where a shell can send it on.
    pub(super) fn stops_guard(&self) -> bool {
        self.terminal.is_some()
    }

    /// Puts the agent's first group in front, or nobody. The signal that who does so from behind gets is held.
    pub(super) fn set(&self, agent: Pid, in_front: bool) {
        let group = match in_front {
            true => agent,
            false => self.own,
        };
        if let Some(terminal) = &self.terminal {
            // A group that is gone is not in front.
            let _ = termios::tcsetpgrp(terminal, group);
        }
    }

    /// Sends all of the agent's first group a signal that its terminal's keys mean.
    pub(super) fn signal(&self, agent: Pid, number: i32) {
        if let Some(signal) = Signal::from_named_raw(number) {
            // One that is gone hears nothing.
            let _ = kill_process_group(agent, signal);
        }
    }
}

fn open_anew(terminal: BorrowedFd<'_>) -> Result<(), Failure> {
    let number = |file: BorrowedFd<'_>| fstat(file).map(|found| (found.st_dev, found.st_ino));
    let its = number(terminal).step("look at the session's terminal")?;
    let anew = || {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        open("/dev/tty", flags, Mode::empty()).step("open `/dev/tty`")
    };
    if number(std::io::stdin().as_fd()) == Ok(its) {
        stdio::dup2_stdin(anew()?).step("take over standard input")?;
    }
    if number(std::io::stdout().as_fd()) == Ok(its) {
        stdio::dup2_stdout(anew()?).step("take over standard output")?;
    }
    if number(std::io::stderr().as_fd()) == Ok(its) {
        stdio::dup2_stderr(anew()?).step("take over standard error")?;
    }
    Ok(())
}
