//! What the mediator is asked about: calls that the filter neither lets through nor refuses.

use super::{PID_1, When, family, flag};

/// A system call about which the mediator is asked.
pub(super) struct Asked {
    pub(super) number: libc::c_long,
    pub(super) what: Asks,
    /// All of them must hold; none means always.
    pub(super) when: &'static [When],
    pub(super) why: &'static str,
}

/// What a call that is asked about is about: who answers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asks {
    /// A program is to be started.
    Program,
    /// A name is to be made, or to stand for something else.
    Name,
    /// The mask for the modes of what is made changes.
    Mask,
    /// A socket is to be connected.
    Connection,
    /// A socket for datagrams is to be made.
    Datagrams,
    /// Two sockets for datagrams are to be made, each for the other.
    Pair,
    /// Something is to be sent, perhaps to an address.
    Message,
    /// A socket is to be connected to.
    Server,
    /// A mode, an owner or times are to be changed.
    Attributes,
    /// How a process runs is to change, which is named by its number.
    Itself,
}

pub(super) const fn asked(number: libc::c_long, what: Asks, why: &'static str) -> Asked {
    Asked {
        number,
        what,
        when: &[],
        why,
    }
}

/// A call that a process may make about itself, where these hold.
pub(super) const fn of_itself(
    number: libc::c_long,
    when: &'static [When],
    why: &'static str,
) -> Asked {
    Asked {
        number,
        what: Asks::Itself,
        when,
        why,
    }
}

const fn opening(number: libc::c_long, when: &'static [When]) -> Asked {
    Asked {
        number,
        what: Asks::Name,
        when,
        why: CONTENT,
    }
}

/// What is asked of the mediator, and why. Where a call is asked about only with some arguments, several
/// rows may name it.
pub(super) const ASKED: &[Asked] = &[
    asked(libc::SYS_execve, Asks::Program, PROGRAMS),
    asked(libc::SYS_execveat, Asks::Program, PROGRAMS),
    Asked {
        number: libc::SYS_openat,
        what: Asks::Name,
        when: &[When::Bits(2, CREATING, flag(libc::O_CREAT))],
        why: NAMES,
    },
    opening(
        libc::SYS_openat,
        &[When::Bits(2, WRITING, flag(libc::O_WRONLY))],
    ),
    opening(
        libc::SYS_openat,
        &[When::Bits(2, WRITING, flag(libc::O_RDWR))],
    ),
    opening(libc::SYS_openat, &[When::Bits(2, WRITING, BOTH)]),
    opening(
        libc::SYS_openat,
        &[When::Bits(2, EMPTYING, flag(libc::O_TRUNC))],
    ),
    opening(libc::SYS_truncate, &[]),
    asked(
        libc::SYS_umask,
        Asks::Mask,
        "whoever makes names for others takes on their mask, and need not look for it until one changes",
    ),
    asked(libc::SYS_mkdirat, Asks::Name, NAMES),
    asked(libc::SYS_mknodat, Asks::Name, NAMES),
    asked(libc::SYS_symlinkat, Asks::Name, NAMES),
    asked(libc::SYS_linkat, Asks::Name, NAMES),
    asked(libc::SYS_renameat, Asks::Name, NAMES),
    asked(libc::SYS_renameat2, Asks::Name, NAMES),
    #[cfg(target_arch = "x86_64")]
    Asked {
        number: libc::SYS_open,
        what: Asks::Name,
        when: &[When::Bits(1, CREATING, flag(libc::O_CREAT))],
        why: NAMES,
    },
    #[cfg(target_arch = "x86_64")]
    opening(
        libc::SYS_open,
        &[When::Bits(1, WRITING, flag(libc::O_WRONLY))],
    ),
    #[cfg(target_arch = "x86_64")]
    opening(
        libc::SYS_open,
        &[When::Bits(1, WRITING, flag(libc::O_RDWR))],
    ),
    #[cfg(target_arch = "x86_64")]
    opening(libc::SYS_open, &[When::Bits(1, WRITING, BOTH)]),
    #[cfg(target_arch = "x86_64")]
    opening(
        libc::SYS_open,
        &[When::Bits(1, EMPTYING, flag(libc::O_TRUNC))],
    ),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_creat, Asks::Name, NAMES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_mkdir, Asks::Name, NAMES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_mknod, Asks::Name, NAMES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_symlink, Asks::Name, NAMES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_link, Asks::Name, NAMES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_rename, Asks::Name, NAMES),
    asked(libc::SYS_bind, Asks::Name, NAMES),
    asked(libc::SYS_connect, Asks::Connection, CONNECTIONS),
    Asked {
        number: libc::SYS_socketpair,
        what: Asks::Pair,
        when: &[
            When::Is(0, family(libc::AF_UNIX)),
            When::Bits(1, 0xf, family(libc::SOCK_DGRAM)),
        ],
        why: PAIRS,
    },
    of_itself(libc::SYS_prlimit64, &[When::Not(0, 0)], PID_1),
];

/// What is asked besides where a mask may go (`Plan::replaceable`): every open but those that make no name and give no
/// content, and whatever takes a link away.
pub(super) const ASKED_OF_OPENS: &[Asked] = &[
    opening(libc::SYS_openat, &[When::Bits(2, NO_CONTENT, 0)]),
    #[cfg(target_arch = "x86_64")]
    opening(libc::SYS_open, &[When::Bits(1, NO_CONTENT, 0)]),
    Asked {
        number: libc::SYS_unlinkat,
        what: Asks::Name,
        when: &[When::Bits(2, REMOVING, 0)],
        why: LINKS,
    },
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_unlink, Asks::Name, LINKS),
];

/// Of `unlinkat`: a directory is taken away, which is no link.
const REMOVING: u64 = flag(libc::AT_REMOVEDIR);

/// Of an open's flags: it may make a name, and neither makes a file without one (`O_TMPFILE`, which gets its
/// name by a link) nor only names a file (`O_PATH`, which makes none).
const CREATING: u64 =
    flag(libc::O_CREAT) | flag(libc::O_TMPFILE & !libc::O_DIRECTORY) | flag(libc::O_PATH);

/// Of an open's flags: what is there may be written, or is emptied.
const WRITING: u64 = NO_CONTENT | flag(libc::O_ACCMODE);
const EMPTYING: u64 = NO_CONTENT | flag(libc::O_TRUNC);
const NO_CONTENT: u64 = flag(libc::O_TMPFILE & !libc::O_DIRECTORY) | flag(libc::O_PATH);
/// Neither to be read nor written, with the rights for both (open(2), "File access mode").
const BOTH: u64 = flag(libc::O_ACCMODE);

const CONTENT: &str = "a mount that holds or covers a file goes with the file, when somebody outside puts another in its place";
const LINKS: &str = "a link on the way to a mask tells what is masked, as long as it is there";
const PAIRS: &str = "each of a pair of sockets for datagrams may name another receiver in memory that no filter reads";
const PROGRAMS: &str = "every program that starts is judged";
const NAMES: &str = "a name that comes into being may be one that makes others run code";
const CONNECTIONS: &str = "a unix socket of the host leads past every mount to whoever listens there; every family is \
    asked about, since the descriptor could be exchanged after a look at it";
