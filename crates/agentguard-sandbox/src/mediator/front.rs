//! The session's terminal, and who is in front there.
//!
//! The mediator leads a session of processes of its own (credentials(7)), which has that terminal and no other. In its
//! group nobody reads or writes; the agent's is another. So whoever reads from behind is stopped, as at any terminal with
//! a shell.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::process::{Pid, Signal, ioctl_tiocsctty, kill_process_group, setsid};
use rustix::{stdio, termios};

use crate::error::{Failure, Step};

/// The mediator's own session.
pub(super) struct Front {
    /// Its group, which is none of the agent's.
    own: Pid,
    terminal: Option<OwnedFd>,
}

impl Front {
    /// Leaves the session of whoever started the guard. Where the agent's streams are `terminal` they are opened anew,
    /// by the name that belongs to nobody: its owner would change its mode by a descriptor.
    pub(super) fn take(terminal: Option<OwnedFd>) -> Result<Self, Failure> {
        let own = setsid().step("leave the caller's session")?;
        if let Some(terminal) = &terminal {
            ioctl_tiocsctty(terminal).step("take the session's terminal")?;
            open_anew(terminal.as_fd())?;
        }
        Ok(Self { own, terminal })
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
