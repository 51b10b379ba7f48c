//! The signals that a guard passes on instead of dying of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Signal;

use super::checked;

/// What a terminal, a shell or a supervisor sends to a command that it wants to end or to wake.
const FORWARDED: [libc::c_int; 11] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGWINCH,
];

/// A signal that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Held {
    pub(crate) number: i32,
    /// Whether a key of the terminal's, or its end, meant all of our group.
    pub(crate) is_from_terminal: bool,
}

/// Where blocked signals are read.
#[derive(Debug)]
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Takes the next signal, if one is there. Never waits.
    pub(crate) fn next(&self) -> Option<Held> {
        const FROM_KERNEL: i32 = 0x80; // SI_KERNEL, asm-generic/siginfo.h
        let mut raw = [0u8; size_of::<libc::signalfd_siginfo>()];
        let read = rustix::io::read(&self.0, &mut raw).ok()?;
        let (fields, _) = raw.as_chunks::<4>();
        // The error is of no use.
        let [number, _, code, ..] = fields else {
            return None;
        };
        (read == raw.len()).then(|| Held {
            number: i32::from_ne_bytes(*number),
            is_from_terminal: i32::from_ne_bytes(*code) == FROM_KERNEL,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Blocks the forwarded signals for this thread, and every thread it makes from now on, and returns
/// where they are read instead.
pub(crate) fn block_forwarded() -> io::Result<Signals> {
    let set = forwarded_set()?;
    mask(libc::SIG_BLOCK, &set)?;
    // SAFETY: `signalfd` with -1 makes a new descriptor and reads the set, which outlives the call.
    let result =
        unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    checked(libc::c_long::from(result))?;
    // SAFETY: the kernel just made this descriptor for this process, and nobody else knows of it.
    Ok(Signals(unsafe { OwnedFd::from_raw_fd(result) }))
}

/// Stops this process until it is sent on. Returns whether it was: where no shell looks after its group the kernel does
/// not stop it by this signal (setpgid(2)).
pub(crate) fn stop() -> io::Result<bool> {
    let mut set = empty_set()?;
    // SAFETY: `set` was initialised by `sigemptyset`, and the number is a signal's.
    checked(libc::c_long::from(unsafe {
        libc::sigaddset(&raw mut set, libc::SIGTSTP)
    }))?;
    mask(libc::SIG_UNBLOCK, &set)?;
    let stopped = rustix::process::kill_process(rustix::process::getpid(), Signal::TSTP);
    mask(libc::SIG_BLOCK, &set)?;
    stopped?;
    let mut came = empty_set()?;
    // SAFETY: `sigpending` writes the whole set it is given.
    checked(libc::c_long::from(unsafe {
        libc::sigpending(&raw mut came)
    }))?;
    // SAFETY: the set is initialised, and the number is a signal's.
    Ok(unsafe { libc::sigismember(&raw const came, libc::SIGCONT) } == 1)
}

/// Unblocks every signal, as a program expects to find them.
pub(crate) fn forget_blocked() -> io::Result<()> {
    mask(libc::SIG_SETMASK, &empty_set()?)
}

/// Takes those signals as this program needs them that its caller may have ignored: with `SIGCHLD` ignored nobody could
/// be waited for, and a limit on the length of files would end it by `SIGXFSZ` while it writes its log.
pub(crate) fn forget_callers() -> io::Result<()> {
    react(libc::SIGCHLD, libc::SIG_DFL)?;
    react(libc::SIGXFSZ, libc::SIG_IGN)
}

/// Lets those signals do to a program what it expects that this one ignores: Rust's runtime does so with `SIGPIPE`.
pub(crate) fn forget_ignored() -> io::Result<()> {
    react(libc::SIGPIPE, libc::SIG_DFL)?;
    react(libc::SIGXFSZ, libc::SIG_DFL)
}

/// Sets what a signal does: one of the two that are no function's address.
fn react(signal: libc::c_int, how: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: no handler is installed, `SIG_DFL` and `SIG_IGN` alone are asked for; the call reads two integers.
    if unsafe { libc::signal(signal, how) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn forwarded_set() -> io::Result<libc::sigset_t> {
    let mut set = empty_set()?;
    for signal in FORWARDED {
        // SAFETY: `set` was initialised by `sigemptyset`, and the number is a signal's.
        checked(libc::c_long::from(unsafe {
            libc::sigaddset(&raw mut set, signal)
        }))?;
    }
    Ok(set)
}

fn empty_set() -> io::Result<libc::sigset_t> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` writes the whole set it is given.
    checked(libc::c_long::from(unsafe {
        libc::sigemptyset(set.as_mut_ptr())
    }))?;
    // SAFETY: `sigemptyset` succeeded, so the set is initialised.
    Ok(unsafe { set.assume_init() })
}

fn mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialised and outlives the call; a null old set is allowed.
    let result =
        unsafe { libc::pthread_sigmask(how, std::ptr::from_ref(set), std::ptr::null_mut()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}
