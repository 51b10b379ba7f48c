//! The session's pid 1: it mounts `/proc`, reaps, and ends with whoever holds its lifelines. With it
//! everything in the session ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    DumpableBehavior, Signal, WaitOptions, set_dumpable_behavior, set_parent_process_death_signal,
};

use super::setup::give_up_capabilities;
use crate::error::{Failure, Step};
use crate::root::BASE;
use crate::wire::{receive, send};
use crate::{landlock, root, sys};

/// How often it looks for children to reap, in nanoseconds.
const PAUSE: i64 = 100_000_000;

/// What pid 1 says while the session is set up.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum FromInit {
    /// `/proc` is mounted.
    Mounted,
    /// It has given up everything.
    Bare,
    /// It could not.
    Failed(Failure),
}

/// Runs as pid 1. `guard` and `mediator` are the lifelines; `talk` leads to the mediator.
pub(super) fn run(guard: &OwnedFd, mediator: &OwnedFd, talk: &OwnedFd) -> ! {
    if let Err(failure) = prepare(talk.as_fd()) {
        let _ = send(talk, &FromInit::Failed(failure));
        sys::end(1);
    }
    if send(talk, &FromInit::Bare).is_ok() {
        reap_until_ended(guard.as_fd(), mediator.as_fd());
    }
    sys::end(0)
}

fn prepare(talk: BorrowedFd<'_>) -> Result<(), Failure> {
    let lost = |_| Failure::new("set up pid 1", "the mediator is gone");
    set_parent_process_death_signal(Some(Signal::KILL)).step("tie pid 1 to the mediator")?;
    root::mount_proc()?;
    bound_watches()?;
    send(talk, &FromInit::Mounted).map_err(lost)?;
    // The mediator makes the new root the root, for this process too, and opens what it needs of it.
    receive::<()>(talk)
        .map_err(lost)?
        .ok_or_else(|| Failure::new("set up pid 1", "the mediator is gone"))?;
    rustix::process::chdir("/").step("enter the new root")?;
    rustix::process::setsid().step("leave the caller's session")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step("close pid 1 to readers")?;
    give_up_everything()
}

/// Leaves half of the watches on files that a user may have to the processes outside, among whose they count. The
/// bound is one of this user namespace, and is set in the session's own `/proc`: the machine's may be read-only.
fn bound_watches() -> Result<(), Failure> {
    let step = "bound watches on files";
    for what in ["instances", "watches"] {
        let everybody = format!("{BASE}/proc/sys/fs/inotify/max_user_{what}");
        let most = match std::fs::read_to_string(everybody) {
            Ok(most) => most,
            // A kernel without inotify.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).step(step),
        };
        let Ok(most) = most.trim().parse::<u32>() else {
            return Err(Failure::new(step, "the kernel tells no number of them"));
        };
        let own = format!("{BASE}/proc/sys/user/max_inotify_{what}");
        std::fs::write(own, (most / 2).to_string()).step(step)?;
    }
    Ok(())
}

/// Gives up what this thread may do to files and to other processes.
fn give_up_everything() -> Result<(), Failure> {
    give_up_capabilities()?;
    landlock::enter_empty()
}

fn reap_until_ended(guard: BorrowedFd<'_>, mediator: BorrowedFd<'_>) {
    // Whatever else it inherited would be held for as long as it lives: outputs, above all.
    if sys::close_all_but([guard, mediator]).is_err() {
        return;
    }
    loop {
        let mut polled = [
            PollFd::new(&guard, PollFlags::IN),
            PollFd::new(&mediator, PollFlags::IN),
        ];
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: PAUSE,
        };
        let ready = poll(&mut polled, Some(&pause));
        while let Ok(Some(_)) =
            rustix::process::wait(WaitOptions::NOHANG | super::exec::wait_options())
        {}
        if matches!(ready, Ok(1..)) {
            // Nothing is ever written: a lifeline that can be read has ended.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use rustix::process::{getppid, test_kill_process};

    use super::*;

    /// Capabilities and domains are a thread's own.
    #[test]
    fn who_gave_up_everything_opens_no_file_and_signals_nobody() {
        let opens = || std::fs::File::open("/proc/self/status").map_err(|error| error.kind());
        let signals = || test_kill_process(getppid().unwrap());
        assert!(opens().is_ok() && signals().is_ok());
        let tried = std::thread::spawn(move || {
            give_up_everything().unwrap();
            let held = rustix::thread::capabilities(None).unwrap();
            assert!(held.effective.is_empty() && held.permitted.is_empty());
            assert_eq!(rustix::thread::no_new_privs(), Ok(true));
            (opens().err(), signals())
        });
        let (opened, signalled) = tried.join().unwrap();
        assert_eq!(opened, Some(std::io::ErrorKind::PermissionDenied));
        assert_eq!(signalled, Err(Errno::PERM));
        assert!(opens().is_ok() && signals().is_ok());
    }
}
