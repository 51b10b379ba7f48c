//! Making processes.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::checked;
use crate::landlock::Scoped;

/// Which side of a fork this is.
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The old one, with the child's id.
    Parent(Pid),
}

/// Forks. The caller must be single-threaded: the child goes on running ordinary code.
pub(crate) fn fork() -> io::Result<Forked> {
    clone(0)
}

/// Forks a child into new namespaces, `flags` of `CLONE_NEW*`. As [`fork`], single-threaded.
pub(crate) fn fork_into(namespaces: libc::c_int) -> io::Result<Forked> {
    clone(namespaces)
}

/// Forks a sibling: the child's parent is the caller's. As [`fork`], single-threaded.
pub(crate) fn fork_sibling() -> io::Result<Forked> {
    clone(libc::CLONE_PARENT)
}

/// The first number that no descriptor of a process gets (getrlimit(2), `RLIMIT_NOFILE`).
pub(crate) fn most_descriptors(process: Pid) -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: nothing is read where no new limit is given, and what is written has room in `limit`, which
    // lives until the call is over.
    let result = unsafe {
        libc::prlimit(
            process.as_raw_nonzero().get(),
            libc::RLIMIT_NOFILE,
            std::ptr::null(),
            &raw mut limit,
        )
    };
    checked(libc::c_long::from(result))?;
    Ok(limit.rlim_cur)
}

/// Looks for the user's keyring, which there is for everybody where there are any (keyctl(2), user-keyring(7)).
pub(crate) fn find_user_keyring() -> io::Result<()> {
    // linux/keyctl.h
    const KEYCTL_GET_KEYRING_ID: libc::c_int = 0;
    const KEY_SPEC_USER_KEYRING: libc::c_int = -4;
    // SAFETY: `keyctl(KEYCTL_GET_KEYRING_ID, ..)` reads its integer arguments and no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_GET_KEYRING_ID,
            KEY_SPEC_USER_KEYRING,
            0,
        )
    };
    checked(result).map(drop)
}

/// The child begins on this processor, where there is room once the caller waits for it. Left to the kernel it often
/// stands in line behind the guard, which is busy, while this one idles: longer than all that it then has to do.
fn clone(flags: libc::c_int) -> io::Result<Forked> {
    // None where the machine has more processors than a set has room for.
    let all = sched_getaffinity(None).ok();
    if all.is_some() {
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        let _ = sched_setaffinity(None, &here);
    }
    let forked = clone_anywhere(flags);
    if let Some(all) = all {
        // In both of them. The kernel refuses no set that it told.
        let _ = sched_setaffinity(None, &all);
    }
    forked
}

fn clone_anywhere(flags: libc::c_int) -> io::Result<Forked> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with no new stack this is a fork: the child gets a copy of this
    // memory, and as the process is single-threaded no lock in it is held by a thread that is gone.
    // Without CLONE_*_SETTID, CLONE_SETTLS and CLONE_PIDFD the other arguments are not read.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    let pid = checked(result)?;
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        Some(pid) => Ok(Forked::Parent(pid)),
        None => Ok(Forked::Child),
    }
}

/// Has all threads take memory from one heap. One for each is hardly used, and takes its time to make.
pub(crate) fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes two integers and no memory of ours; where it refuses, nothing changes.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Has a process that was just started go on on another processor, where it may: left to the kernel it may stand in
/// line behind whoever started it, though another one idles.
pub(crate) fn move_away(process: Pid) {
    let Ok(all) = sched_getaffinity(Some(process)) else {
        return;
    };
    let mut others = all;
    others.unset(sched_getcpu());
    if others.count() > 0 {
        let _ = sched_setaffinity(Some(process), &others);
        let _ = sched_setaffinity(Some(process), &all);
    }
}

/// Closes every descriptor from `first` on; with `on_exec`, only when an image is replaced.
pub(crate) fn close_above(first: u32, on_exec: bool) -> io::Result<()> {
    let flags = if on_exec {
        libc::CLOSE_RANGE_CLOEXEC
    } else {
        0
    };
    // SAFETY: `close_range` reads three integers and no memory. Callers run it where no `OwnedFd` of
    // theirs from `first` on is used again: right before an exec, or in a process that only waits.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) })?;
    Ok(())
}

/// Replaces this process's image. Returns only the error.
pub(crate) fn replace_image(
    path: &CString,
    argv: &[CString],
    environment: &[CString],
) -> io::Error {
    let argv = pointers(argv);
    let environment = pointers(environment);
    // SAFETY: `path` is a C string; both arrays hold pointers to C strings that outlive the call and
    // end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// Moves this process into new namespaces, `flags` of `CLONE_NEW*`. It must be single-threaded.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: without CLONE_FILES no descriptor table is split off that a `BorrowedFd` of another
    // thread refers to; `unshare` reads an integer and no memory.
    checked(libc::c_long::from(unsafe { libc::unshare(flags) }))?;
    Ok(())
}

/// Ends this process at once: nothing that the process it was forked from registered is run.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: `_exit` takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Kills every process in this one's domain and in those within it, but not this one. None is made meanwhile:
/// the kernel goes through all of them under the lock that a fork needs.
pub(crate) fn end_scope(_: &Scoped) {
    // SAFETY: `kill` reads its integer arguments and no memory. That it reaches no process of others is what
    // `Scoped` says: this process is in a domain that was seen to hold its signals.
    let _ = unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// A dead child of this thread that nobody waited for yet. It stays to be waited for.
pub(crate) fn next_dead() -> Option<Pid> {
    // SAFETY: `siginfo_t` is plain old data, for which zeroes are a valid value.
    let mut found: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: `waitid` writes one `siginfo_t`, which is what the pointer points to.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut found, options) };
    let is_dead = [libc::CLD_EXITED, libc::CLD_KILLED, libc::CLD_DUMPED].contains(&found.si_code);
    if result != 0 || !is_dead {
        return None;
    }
    // SAFETY: what `waitid` filled in is about a child, so that its union holds a process id; where it found
    // nothing it is all zeroes, which is no code of `is_dead`.
    Pid::from_raw(unsafe { found.si_pid() })
}

/// Closes every descriptor but these.
pub(crate) fn close_all_but<const N: usize>(keep: [BorrowedFd<'_>; N]) -> io::Result<()> {
    let mut kept = keep.map(|descriptor| descriptor.as_raw_fd().cast_unsigned());
    kept.sort_unstable();
    let mut next = 0;
    for number in kept {
        if next < number {
            close_range(next, number - 1)?;
        }
        next = number + 1;
    }
    close_range(next, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: `close_range` reads three integers and no memory. The only callers are processes that hold
    // nothing but what they keep from here on, and end by `_exit`.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    Ok(())
}

/// Whether a terminal controls this process. Numbers of a session that was made in a pid namespace outside are 0.
pub(crate) fn is_controlled_by(terminal: BorrowedFd<'_>) -> bool {
    // SAFETY: `getsid` takes a number and reads no memory.
    let own = unsafe { libc::getsid(0) };
    // SAFETY: `tcgetsid` takes an open descriptor and reads no memory of ours.
    let its = unsafe { libc::tcgetsid(terminal.as_raw_fd()) };
    own == its
}
