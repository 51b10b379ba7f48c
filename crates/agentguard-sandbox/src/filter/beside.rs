//! What is refused besides where the agent has no namespaces of its own: what would reach processes, memory
//! and networks that are others'.

use std::collections::BTreeMap;

use agentguard_core::Network;
use seccompiler::{BpfProgram, SeccompAction};

use super::asked::{Asked, Asks, asked, of_itself};
use super::file_systems::{KIND, OF_BTRFS};
use super::gated::GATED;
use super::{ANSWERS_BESIDE, Judged, Refused, When, absent, add_row, compile, family, flag, when};
use crate::Error;

const OTHERS: &str =
    "the processor, memory or disk time of a process outside: the guard's, above all";
const SHARED: &str = "shared memory and queues that processes outside have too";
const WATCHES: &str =
    "watches on files are counted for a user, and nothing else would leave those outside theirs";
const NETWORK: &str = "the network is the host's, and no rule would see what goes there";

const ATTRIBUTES: &str = "Landlock does not hold modes, owners and times outside: the mediator changes those that are the agent's";
const EXTENDED: &str = "Landlock does not hold extended attributes and flags outside, and no mount those of a masked file \
    that somebody puts there anew";
const NEITHER: &str = "Landlock asks for no right where a file is opened neither to be read nor written, and who waits on \
    such a terminal learns when somebody types";
const SETTINGS: &str =
    "file systems take settings, and new directories, by whoever may only read there";
/// The kinds of requests (`_IOC_TYPE`) that file systems share, and of these those that only tell: flags, and where
/// a file lies (linux/fs.h, linux/fiemap.h).
const OF_FILES: u64 = 0x6600;
/// Those of f2fs, some of which change a file that is only read (linux/f2fs.h).
const OF_F2FS: u64 = 0xf500;
const GET_FLAGS: [u64; 2] = [0x8008_6601, 0x8004_6601];
const FIEMAP: u64 = 0xc020_660b;
/// `FS_IOC_FSSETXATTR` and `FS_IOC_SETVERSION`, and `FAT_IOCTL_SET_ATTRIBUTES` of linux/msdos_fs.h.
const SET_ATTRIBUTES: u64 = 0x401c_5820;
const SET_VERSION: u64 = 0x4008_7602;
const SET_FAT_ATTRIBUTES: u64 = 0x4004_7211;

/// Of `linux/resource.h` and `linux/ioprio.h`. A group may have others in it: whoever wants to joins one of the same
/// terminal's.
const PRIO_PGRP: u64 = 1;
const PRIO_USER: u64 = 2;
const IOPRIO_WHO_PGRP: u64 = 2;
const IOPRIO_WHO_USER: u64 = 3;

/// Refused where a file that is named may be none of the agent's: what is open was held when it was opened.
pub(super) const UNTOLD: &[Refused] = &[
    no_attributes(libc::SYS_getxattr),
    no_attributes(libc::SYS_lgetxattr),
    no_attributes(libc::SYS_listxattr),
    no_attributes(libc::SYS_llistxattr),
    absent(GETXATTRAT, EXTENDED),
    absent(LISTXATTRAT, EXTENDED),
];

/// Refused on every network.
pub(super) const BESIDE: &[Refused] = &[
    when(libc::SYS_setpriority, &[When::Is(0, PRIO_PGRP)], OTHERS),
    when(libc::SYS_setpriority, &[When::Is(0, PRIO_USER)], OTHERS),
    when(
        libc::SYS_ioprio_set,
        &[When::Is(0, IOPRIO_WHO_PGRP)],
        OTHERS,
    ),
    when(
        libc::SYS_ioprio_set,
        &[When::Is(0, IOPRIO_WHO_USER)],
        OTHERS,
    ),
    #[cfg(target_arch = "x86_64")]
    when(
        libc::SYS_open,
        &[When::Bits(
            1,
            flag(libc::O_ACCMODE | libc::O_PATH),
            flag(libc::O_ACCMODE),
        )],
        NEITHER,
    ),
    when(
        libc::SYS_openat,
        &[When::Bits(
            2,
            flag(libc::O_ACCMODE | libc::O_PATH),
            flag(libc::O_ACCMODE),
        )],
        NEITHER,
    ),
    no_attributes(libc::SYS_setxattr),
    no_attributes(libc::SYS_lsetxattr),
    no_attributes(libc::SYS_fsetxattr),
    no_attributes(libc::SYS_removexattr),
    no_attributes(libc::SYS_lremovexattr),
    no_attributes(libc::SYS_fremovexattr),
    absent(SETXATTRAT, EXTENDED),
    absent(REMOVEXATTRAT, EXTENDED),
    when(
        libc::SYS_ioctl,
        &[
            When::Bits(1, KIND, OF_FILES),
            When::Not(1, GET_FLAGS[0]),
            When::Not(1, GET_FLAGS[1]),
            When::Not(1, FIEMAP),
        ],
        SETTINGS,
    ),
    when(libc::SYS_ioctl, &[When::Bits(1, KIND, OF_BTRFS)], SETTINGS),
    when(libc::SYS_ioctl, &[When::Bits(1, KIND, OF_F2FS)], SETTINGS),
    when(libc::SYS_ioctl, &[When::Is(1, SET_ATTRIBUTES)], SETTINGS),
    when(libc::SYS_ioctl, &[When::Is(1, SET_VERSION)], SETTINGS),
    when(
        libc::SYS_ioctl,
        &[When::Is(1, SET_FAT_ATTRIBUTES)],
        SETTINGS,
    ),
    // It takes times that only whole seconds have; everybody has the others.
    #[cfg(target_arch = "x86_64")]
    absent(libc::SYS_utime, ATTRIBUTES),
    // As where all are taken, which is what programs are prepared for.
    Refused {
        number: libc::SYS_inotify_init1,
        errno: libc::EMFILE,
        when: &[],
        why: WATCHES,
    },
    #[cfg(target_arch = "x86_64")]
    Refused {
        number: libc::SYS_inotify_init,
        errno: libc::EMFILE,
        when: &[],
        why: WATCHES,
    },
    absent(libc::SYS_mq_open, SHARED),
    absent(libc::SYS_mq_unlink, SHARED),
    absent(libc::SYS_msgctl, SHARED),
    absent(libc::SYS_msgget, SHARED),
    absent(libc::SYS_msgrcv, SHARED),
    absent(libc::SYS_msgsnd, SHARED),
    absent(libc::SYS_semctl, SHARED),
    absent(libc::SYS_semget, SHARED),
    absent(libc::SYS_semop, SHARED),
    absent(libc::SYS_semtimedop, SHARED),
    absent(libc::SYS_shmat, SHARED),
    absent(libc::SYS_shmctl, SHARED),
    absent(libc::SYS_shmget, SHARED),
];

/// Refused where the session is to have no network but its own: it has none at all then.
pub(super) const NETWORKS: &[Refused] = &[
    no_family(&[When::Is(0, family(libc::AF_INET))]),
    no_family(&[When::Is(0, family(libc::AF_INET6))]),
    no_family(&[When::Is(0, family(libc::AF_NETLINK))]),
];

const fn no_family(when: &'static [When]) -> Refused {
    Refused {
        number: libc::SYS_socket,
        errno: libc::EAFNOSUPPORT,
        when,
        why: NETWORK,
    }
}

/// As on a file system that has none.
const fn no_attributes(number: libc::c_long) -> Refused {
    Refused {
        number,
        errno: libc::EOPNOTSUPP,
        when: &[],
        why: EXTENDED,
    }
}

/// Calls of Linux 6.13, which have one number everywhere.
const SETXATTRAT: libc::c_long = 463;
const GETXATTRAT: libc::c_long = 464;
const LISTXATTRAT: libc::c_long = 465;
const REMOVEXATTRAT: libc::c_long = 466;

/// What is asked of the mediator besides.
pub(super) const ASKED_BESIDE: &[Asked] = &[
    asked(libc::SYS_fchmod, Asks::Attributes, ATTRIBUTES),
    asked(libc::SYS_fchmodat, Asks::Attributes, ATTRIBUTES),
    asked(libc::SYS_fchmodat2, Asks::Attributes, ATTRIBUTES),
    asked(libc::SYS_fchown, Asks::Attributes, ATTRIBUTES),
    asked(libc::SYS_fchownat, Asks::Attributes, ATTRIBUTES),
    asked(libc::SYS_utimensat, Asks::Attributes, ATTRIBUTES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_chmod, Asks::Attributes, ATTRIBUTES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_chown, Asks::Attributes, ATTRIBUTES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_lchown, Asks::Attributes, ATTRIBUTES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_utimes, Asks::Attributes, ATTRIBUTES),
    #[cfg(target_arch = "x86_64")]
    asked(libc::SYS_futimesat, Asks::Attributes, ATTRIBUTES),
    // Without a number a call is about its own process, as in most programs.
    of_itself(libc::SYS_setpriority, &[When::Not(1, 0)], OTHERS),
    of_itself(libc::SYS_ioprio_set, &[When::Not(1, 0)], OTHERS),
    of_itself(libc::SYS_sched_setaffinity, &[When::Not(0, 0)], OTHERS),
    of_itself(libc::SYS_sched_setattr, &[When::Not(0, 0)], OTHERS),
    of_itself(libc::SYS_sched_setparam, &[When::Not(0, 0)], OTHERS),
    of_itself(libc::SYS_sched_setscheduler, &[When::Not(0, 0)], OTHERS),
];

/// What an agent is refused besides that has no namespaces of its own, or of which opens are judged.
pub(super) fn refusing(beside: Option<Network>, judged: Judged) -> Result<Vec<BpfProgram>, Error> {
    let rows = match beside {
        None if judged == Judged::Opens => UNTOLD.to_vec(),
        None => Vec::new(),
        Some(Network::Isolated) => [UNTOLD, BESIDE, NETWORKS].concat(),
        Some(Network::Gated) => [UNTOLD, BESIDE, GATED].concat(),
        Some(Network::Host) => [UNTOLD, BESIDE].concat(),
    };
    let mut programs = Vec::new();
    for errno in ANSWERS_BESIDE {
        let mut rules = BTreeMap::new();
        for row in rows.iter().filter(|row| row.errno == errno) {
            add_row(&mut rules, row.number, row.when)?;
        }
        if !rules.is_empty() {
            let refused = SeccompAction::Errno(errno.cast_unsigned());
            programs.push(compile(rules, refused)?);
        }
    }
    Ok(programs)
}
