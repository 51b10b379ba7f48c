//! The table of system calls: what is refused inside, with what error, and why.
//!
//! Filter and mediator are made from this one table. Several programs are made, each with one answer: one
//! closes foreign interfaces and every call that nobody has thought about, some refuse what stands in
//! [`REFUSED`], one asks the mediator about what stands in [`ASKED`]. They are installed as one, in which
//! the strictest answer stands, since the kernel takes its time with each ([`chain`]).

mod asked;
mod beside;
mod calls;
mod file_systems;
mod gated;

use std::collections::{BTreeMap, BTreeSet};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use agentguard_core::Network;

use crate::Error;
pub(crate) use asked::Asks;
use asked::{ASKED, ASKED_OF_OPENS, Asked};
use beside::{ASKED_BESIDE, BESIDE, NETWORKS, UNTOLD};
use gated::{ASKED_GATED, ASKED_HANDED_IN, GATED};

/// A system call that is refused inside.
#[derive(Clone, Copy)]
struct Refused {
    number: libc::c_long,
    errno: i32,
    /// All of them must hold; none means always.
    when: &'static [When],
    why: &'static str,
}

/// A condition on one argument, compared as the kernel reads it.
#[derive(Clone, Copy)]
enum When {
    /// The 32-bit argument equals.
    Is(u8, u64),
    /// The 32-bit argument differs.
    Not(u8, u64),
    /// The bits of the mask are these.
    Bits(u8, u64, u64),
}

const fn always(number: libc::c_long, why: &'static str) -> Refused {
    Refused {
        number,
        errno: libc::EPERM,
        when: &[],
        why,
    }
}

const fn when(number: libc::c_long, when: &'static [When], why: &'static str) -> Refused {
    Refused {
        number,
        errno: libc::EPERM,
        when,
        why,
    }
}

const fn absent(number: libc::c_long, why: &'static str) -> Refused {
    Refused {
        number,
        errno: libc::ENOSYS,
        when: &[],
        why,
    }
}

const PID_1: &str =
    "pid 1 of the session could no longer see its end, or not before everything else has run";
const TRACING: &str = "reaches into other processes, and would hide an exec from the mediator";
const MOUNTS: &str = "would take masks and read-only mounts away";
const NAMESPACES: &str = "a new namespace gives capabilities that nothing here needs";
const KERNEL: &str = "a kernel interface with a history of holes that no agent's work needs";
const HANDLES: &str = "opens files past every directory that was checked";
const KEYS: &str = "keyrings are shared with the session outside";
const SOCKETS: &str = "a kind of socket that no network rule would see";
const DATAGRAMS: &str = "each datagram names its receiver in memory that no filter reads, and could reach a \
    unix socket of the host; a pair of raw ones can do so too";
const TERMINAL: &str = "types into, or takes over, the terminal of whoever watches";
const RIGHTS: &str = "a set-user-id program runs outside with the rights of whose workspace it is, which may be root";
const LEASES: &str = "whoever opens the file outside, or changes the directory, would wait until the kernel breaks the lease";
const MACHINE: &str = "changes the machine, not the workspace";

/// Every refusal. Where a call is refused only with some arguments, several rows may name it.
const REFUSED: &[Refused] = &[
    always(libc::SYS_ptrace, TRACING),
    always(libc::SYS_process_vm_readv, TRACING),
    always(libc::SYS_process_vm_writev, TRACING),
    always(libc::SYS_process_madvise, TRACING),
    always(libc::SYS_pidfd_getfd, TRACING),
    always(libc::SYS_kcmp, TRACING),
    always(libc::SYS_process_mrelease, TRACING),
    always(libc::SYS_migrate_pages, TRACING),
    when(libc::SYS_move_pages, &[When::Not(0, 0)], TRACING),
    when(libc::SYS_get_robust_list, &[When::Not(0, 0)], TRACING),
    when(libc::SYS_sched_setaffinity, &[When::Is(0, 1)], PID_1),
    when(libc::SYS_sched_setscheduler, &[When::Is(0, 1)], PID_1),
    when(libc::SYS_sched_setparam, &[When::Is(0, 1)], PID_1),
    when(libc::SYS_sched_setattr, &[When::Is(0, 1)], PID_1),
    when(libc::SYS_setpriority, &[When::Is(1, 1)], PID_1),
    when(libc::SYS_setpriority, &[When::Is(0, EVERYONE)], PID_1),
    when(libc::SYS_ioprio_set, &[When::Is(1, 1)], PID_1),
    when(libc::SYS_ioprio_set, &[When::Is(0, EVERYONE_IO)], PID_1),
    when(libc::SYS_fcntl, &[When::Is(1, SETLEASE)], LEASES),
    when(libc::SYS_fcntl, &[When::Is(1, SETDELEG)], LEASES),
    always(libc::SYS_mount, MOUNTS),
    always(libc::SYS_umount2, MOUNTS),
    always(libc::SYS_pivot_root, MOUNTS),
    always(libc::SYS_chroot, MOUNTS),
    always(libc::SYS_open_tree, MOUNTS),
    always(libc::SYS_move_mount, MOUNTS),
    always(libc::SYS_fsopen, MOUNTS),
    always(libc::SYS_fsconfig, MOUNTS),
    always(libc::SYS_fsmount, MOUNTS),
    always(libc::SYS_fspick, MOUNTS),
    always(libc::SYS_mount_setattr, MOUNTS),
    always(libc::SYS_unshare, NAMESPACES),
    always(libc::SYS_setns, NAMESPACES),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_NEWUSER),
            flag(libc::CLONE_NEWUSER),
        )],
        NAMESPACES,
    ),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_NEWNS),
            flag(libc::CLONE_NEWNS),
        )],
        NAMESPACES,
    ),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_NEWNET),
            flag(libc::CLONE_NEWNET),
        )],
        NAMESPACES,
    ),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_NEWPID),
            flag(libc::CLONE_NEWPID),
        )],
        NAMESPACES,
    ),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_NEWIPC),
            flag(libc::CLONE_NEWIPC),
        )],
        NAMESPACES,
    ),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_NEWUTS),
            flag(libc::CLONE_NEWUTS),
        )],
        NAMESPACES,
    ),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_NEWCGROUP),
            flag(libc::CLONE_NEWCGROUP),
        )],
        NAMESPACES,
    ),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_PARENT),
            flag(libc::CLONE_PARENT),
        )],
        "the child would be the mediator's, and a zombie of it would keep the session from ending",
    ),
    when(
        libc::SYS_clone,
        &[When::Bits(
            0,
            flag(libc::CLONE_FS | libc::CLONE_THREAD),
            flag(libc::CLONE_FS),
        )],
        "another process could move the working directory after an exec was verified",
    ),
    always(libc::SYS_io_uring_setup, "its operations pass no filter"),
    always(libc::SYS_io_uring_enter, "its operations pass no filter"),
    always(libc::SYS_io_uring_register, "its operations pass no filter"),
    always(libc::SYS_bpf, KERNEL),
    always(libc::SYS_perf_event_open, KERNEL),
    always(
        libc::SYS_userfaultfd,
        "lets a program hold the mediator at a page fault",
    ),
    always(libc::SYS_fanotify_init, KERNEL),
    always(libc::SYS_fanotify_mark, KERNEL),
    always(libc::SYS_quotactl, KERNEL),
    always(libc::SYS_quotactl_fd, KERNEL),
    always(libc::SYS_vhangup, TERMINAL),
    always(libc::SYS_name_to_handle_at, HANDLES),
    always(libc::SYS_open_by_handle_at, HANDLES),
    always(libc::SYS_keyctl, KEYS),
    always(libc::SYS_add_key, KEYS),
    always(libc::SYS_request_key, KEYS),
    #[cfg(target_arch = "x86_64")]
    when(libc::SYS_chmod, &[When::Bits(1, SUID, SUID)], RIGHTS),
    when(libc::SYS_fchmod, &[When::Bits(1, SUID, SUID)], RIGHTS),
    when(libc::SYS_fchmodat, &[When::Bits(2, SUID, SUID)], RIGHTS),
    when(FCHMODAT2, &[When::Bits(2, SUID, SUID)], RIGHTS),
    when(libc::SYS_mknodat, &[When::Bits(2, SUID, SUID)], RIGHTS),
    when(
        libc::SYS_openat,
        &[
            When::Bits(2, flag(libc::O_CREAT), flag(libc::O_CREAT)),
            When::Bits(3, SUID, SUID),
        ],
        RIGHTS,
    ),
    when(
        libc::SYS_openat,
        &[
            When::Bits(2, flag(libc::O_TMPFILE), flag(libc::O_TMPFILE)),
            When::Bits(3, SUID, SUID),
        ],
        RIGHTS,
    ),
    always(libc::SYS_acct, MACHINE),
    always(libc::SYS_swapon, MACHINE),
    always(libc::SYS_swapoff, MACHINE),
    always(libc::SYS_reboot, MACHINE),
    always(libc::SYS_kexec_load, MACHINE),
    always(libc::SYS_kexec_file_load, MACHINE),
    always(libc::SYS_init_module, MACHINE),
    always(libc::SYS_finit_module, MACHINE),
    always(libc::SYS_delete_module, MACHINE),
    always(libc::SYS_settimeofday, MACHINE),
    always(libc::SYS_clock_settime, MACHINE),
    always(libc::SYS_adjtimex, MACHINE),
    always(libc::SYS_clock_adjtime, MACHINE),
    always(libc::SYS_sethostname, MACHINE),
    always(libc::SYS_setdomainname, MACHINE),
    always(libc::SYS_syslog, MACHINE),
    when(libc::SYS_ioctl, &[When::Is(1, libc::TIOCSTI)], TERMINAL),
    when(libc::SYS_ioctl, &[When::Is(1, libc::TIOCLINUX)], TERMINAL),
    when(libc::SYS_ioctl, &[When::Is(1, TIOCSETD)], TERMINAL),
    when(libc::SYS_ioctl, &[When::Is(1, libc::TIOCEXCL)], TERMINAL),
    when(libc::SYS_ioctl, &[When::Is(1, libc::TIOCCONS)], TERMINAL),
    when(
        libc::SYS_ioctl,
        &[When::Is(1, libc::TCXONC), When::Is(2, STOP_OUTPUT)],
        "holds whoever writes to the terminal, the guard too, and no key of the human's lets go",
    ),
    when(
        libc::SYS_ioctl,
        &[When::Bits(1, 0xffff_ff00, KEYBOARD)],
        TERMINAL,
    ),
    when(
        libc::SYS_ioctl,
        &[When::Bits(1, 0xffff_ff00, CONSOLE)],
        TERMINAL,
    ),
    file_systems::NO_SUBVOLUMES,
    file_systems::NO_SNAPSHOTS,
    file_systems::NO_REFLINKS,
    file_systems::NO_ENCRYPTION,
    file_systems::NO_KEYS_ADDED,
    file_systems::NO_KEYS_REMOVED,
    when(
        libc::SYS_personality,
        &[When::Not(0, 0), When::Not(0, 0xffff_ffff)],
        "other personalities undo hardening",
    ),
    Refused {
        number: libc::SYS_socket,
        errno: libc::EAFNOSUPPORT,
        when: &[
            When::Not(0, family(libc::AF_UNIX)),
            When::Not(0, family(libc::AF_INET)),
            When::Not(0, family(libc::AF_INET6)),
            When::Not(0, family(libc::AF_NETLINK)),
        ],
        why: SOCKETS,
    },
    // To netlink it is as SOCK_DGRAM, and what lists interfaces asks for it (getifaddrs(3)).
    when(
        libc::SYS_socket,
        &[
            When::Not(0, family(libc::AF_NETLINK)),
            When::Bits(1, 0xf, family(libc::SOCK_RAW)),
        ],
        SOCKETS,
    ),
    when(libc::SYS_socket, &[When::Bits(1, 0xf, OLD_PACKET)], SOCKETS),
    when(
        libc::SYS_socket,
        &[When::Is(0, family(libc::AF_NETLINK)), When::Not(2, 0)],
        SOCKETS,
    ),
    when(
        libc::SYS_socket,
        &[When::Is(0, family(libc::AF_INET)), When::Is(2, MPTCP)],
        SOCKETS,
    ),
    when(
        libc::SYS_socket,
        &[When::Is(0, family(libc::AF_INET6)), When::Is(2, MPTCP)],
        SOCKETS,
    ),
    when(
        libc::SYS_socket,
        &[When::Is(0, family(libc::AF_INET)), When::Is(2, SCTP)],
        SOCKETS,
    ),
    when(
        libc::SYS_socket,
        &[When::Is(0, family(libc::AF_INET6)), When::Is(2, SCTP)],
        SOCKETS,
    ),
    when(
        libc::SYS_socket,
        &[When::Is(0, family(libc::AF_INET)), When::Is(2, SMC)],
        SOCKETS,
    ),
    when(
        libc::SYS_socket,
        &[When::Is(0, family(libc::AF_INET6)), When::Is(2, SMC)],
        SOCKETS,
    ),
    // For unix sockets the kernel takes SOCK_RAW for SOCK_DGRAM (unix_create); that is refused above.
    when(
        libc::SYS_socket,
        &[
            When::Is(0, family(libc::AF_UNIX)),
            When::Bits(1, 0xf, family(libc::SOCK_DGRAM)),
        ],
        DATAGRAMS,
    ),
    when(
        libc::SYS_socketpair,
        &[When::Bits(1, 0xf, family(libc::SOCK_RAW))],
        DATAGRAMS,
    ),
    Refused {
        number: libc::SYS_socketpair,
        errno: libc::EAFNOSUPPORT,
        when: &[When::Not(0, family(libc::AF_UNIX))],
        why: SOCKETS,
    },
    when(
        libc::SYS_setsockopt,
        &[
            When::Is(1, family(libc::SOL_TCP)),
            When::Is(2, family(libc::TCP_ULP)),
        ],
        "turns a connection into a kind of socket that no network rule would see",
    ),
    #[cfg(target_arch = "x86_64")]
    when(libc::SYS_mknod, &[When::Bits(1, SUID, SUID)], RIGHTS),
    #[cfg(target_arch = "x86_64")]
    when(libc::SYS_creat, &[When::Bits(1, SUID, SUID)], RIGHTS),
    #[cfg(target_arch = "x86_64")]
    when(
        libc::SYS_open,
        &[
            When::Bits(1, flag(libc::O_CREAT), flag(libc::O_CREAT)),
            When::Bits(2, SUID, SUID),
        ],
        RIGHTS,
    ),
    #[cfg(target_arch = "x86_64")]
    when(
        libc::SYS_open,
        &[
            When::Bits(1, flag(libc::O_TMPFILE), flag(libc::O_TMPFILE)),
            When::Bits(2, SUID, SUID),
        ],
        RIGHTS,
    ),
    #[cfg(target_arch = "x86_64")]
    always(libc::SYS_iopl, KERNEL),
    #[cfg(target_arch = "x86_64")]
    always(libc::SYS_ioperm, KERNEL),
    #[cfg(target_arch = "x86_64")]
    always(libc::SYS_modify_ldt, KERNEL),
];

/// The errors that rows of [`REFUSED`] answer with, the first of them where several do.
const ANSWERS: [i32; 2] = [libc::EAFNOSUPPORT, libc::EPERM];
/// The same of what is refused besides, where the agent has no namespaces of its own.
const ANSWERS_BESIDE: [i32; 5] = [
    libc::EOPNOTSUPP,
    libc::EAFNOSUPPORT,
    libc::EMFILE,
    libc::ENOSYS,
    libc::EPERM,
];

/// What the mediator needs of [`REFUSED`], after it has given up everything else.
const NEEDED_BY_MEDIATOR: [libc::c_long; 7] = [
    // But for namespaces, and for new limits: see `for_mediator`.
    libc::SYS_unshare,
    libc::SYS_prlimit64,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_ioctl,
];

/// `S_ISUID` of `linux/stat.h`.
const SUID: u64 = 0o4000;
/// `S_ISGID` of `linux/stat.h`.
const SGID: u64 = 0o2000;
/// `SOCK_PACKET` of `linux/net.h`, deprecated but still taken.
const OLD_PACKET: u64 = 10;
const FCHMODAT2: libc::c_long = 452; // asm-generic/unistd.h
const MPTCP: u64 = 262; // IPPROTO_MPTCP, linux/in.h
const SCTP: u64 = 132; // IPPROTO_SCTP
const SMC: u64 = 256; // IPPROTO_SMC
const STOP_OUTPUT: u64 = 0; // TCOOFF, asm-generic/termbits.h
const TIOCSETD: u64 = 0x5423; // asm-generic/ioctls.h
const KEYBOARD: u64 = 0x4b00; // linux/kd.h: all of it, also what redefines keys
const CONSOLE: u64 = 0x5600; // linux/vt.h
const SETLEASE: u64 = 1024; // F_SETLEASE, linux/fcntl.h
const SETDELEG: u64 = 1040; // F_SETDELEG of Linux 6.19, linux/fcntl.h
const EVERYONE: u64 = 2; // PRIO_USER, sys/resource.h: pid 1 is of the same user
const EVERYONE_IO: u64 = 3; // IOPRIO_WHO_USER, linux/ioprio.h

const fn flag(flag: libc::c_int) -> u64 {
    flag.cast_unsigned() as u64
}

const fn family(family: libc::c_int) -> u64 {
    family.cast_unsigned() as u64
}

/// What the mediator is asked about files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Judged {
    Nothing,
    /// Names that are made, and opens to write.
    Names,
    /// Those, and all other opens.
    Opens,
}

/// The program for the agent, which is installed with a listener.
///
/// With `files_are_roots`, what the agent writes belongs to root outside: then the set-group-id bit is
/// refused like the set-user-id bit, though directories could use it. An agent that is `beside` others, with no
/// namespaces of its own, on that network, is asked about attributes too, and refused more. Where sockets may be
/// `handed_in`, what would lead one of them elsewhere is asked about.
pub(crate) fn for_agent(
    files_are_roots: bool,
    judged: Judged,
    beside: Option<Network>,
    handed_in: bool,
) -> Result<BpfProgram, Error> {
    chain(all_for_agent(files_are_roots, judged, beside, handed_in)?)
}

/// The program that asks about execs, and refuses nothing.
pub(crate) fn only_asking(
    judged: Judged,
    beside: Option<Network>,
    handed_in: bool,
) -> Result<BpfProgram, Error> {
    let more: &[&[Asked]] = match (beside, handed_in) {
        (Some(Network::Gated), false) => &[ASKED_BESIDE, ASKED_GATED],
        (Some(Network::Gated), true) => &[ASKED_BESIDE, ASKED_GATED, ASKED_HANDED_IN],
        (Some(Network::Isolated | Network::Host), false) => &[ASKED_BESIDE],
        (Some(Network::Isolated | Network::Host), true) => &[ASKED_BESIDE, ASKED_HANDED_IN],
        (None, false) => &[],
        (None, true) => &[ASKED_HANDED_IN],
    };
    asking(judged, more)
}

/// The programs of [`for_agent`], the strictest first.
fn all_for_agent(
    files_are_roots: bool,
    judged: Judged,
    beside: Option<Network>,
    handed_in: bool,
) -> Result<Vec<BpfProgram>, Error> {
    let mut programs = beside::refusing(beside, judged)?;
    for errno in ANSWERS {
        programs.push(refusing(errno, |_| true)?);
    }
    if files_are_roots {
        programs.push(refusing_group_rights()?);
    }
    programs.push(existing(&numbers_inside())?);
    programs.push(only_asking(judged, beside, handed_in)?);
    Ok(programs)
}

/// The program for the mediator: as the agent's, less what it needs, and no exec at all.
pub(crate) fn for_mediator() -> Result<BpfProgram, Error> {
    chain(all_for_mediator()?)
}

fn all_for_mediator() -> Result<Vec<BpfProgram>, Error> {
    let mut none = BTreeMap::new();
    for row in ASKED.iter().filter(|row| row.what == Asks::Program) {
        none.insert(row.number, Vec::new());
    }
    let no_exec = compile(none, SeccompAction::Errno(libc::EPERM.cast_unsigned()))?;
    let mut in_part = BTreeMap::new();
    let own_directory = When::Not(0, flag(libc::CLONE_FS));
    add_row(&mut in_part, libc::SYS_unshare, &[own_directory])?;
    let new_limit = When::Not(2, 0);
    add_row(&mut in_part, libc::SYS_prlimit64, &[new_limit])?;
    let in_part = compile(in_part, SeccompAction::Errno(libc::EPERM.cast_unsigned()))?;
    let rest = refusing(libc::EPERM, |number| !NEEDED_BY_MEDIATOR.contains(&number))?;
    let mut known = numbers_inside();
    known.extend(calls::ABSENT.iter().map(|absent| absent.call.0));
    Ok(vec![rest, in_part, no_exec, existing(&known)?])
}

/// One program that answers as all of them would: as the first that does not let the call through. So what
/// refuses comes before what asks, and nothing is asked about that is refused anyway.
///
/// Every program begins with loads of its own, and looks at nothing that another left.
fn chain(programs: Vec<BpfProgram>) -> Result<BpfProgram, Error> {
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K, linux/bpf_common.h
    const GO_ON: u16 = 0x05; // BPF_JMP | BPF_JA: `k` instructions are left out
    let last = programs.len().saturating_sub(1);
    let mut all = BpfProgram::new();
    for (place, mut program) in programs.into_iter().enumerate() {
        let mut left = u32::try_from(program.len()).map_err(Error::filter)?;
        for instruction in &mut program {
            left = left.saturating_sub(1);
            let lets_through =
                instruction.code == RETURN && instruction.k == libc::SECCOMP_RET_ALLOW;
            if lets_through && place != last {
                (instruction.code, instruction.k) = (GO_ON, left);
            }
        }
        all.extend(program);
    }
    Ok(all)
}

/// What a call that arrived at the mediator is about; nothing where the table does not ask about it.
pub(crate) fn asks(number: libc::c_long) -> Option<Asks> {
    let rows = ASKED.iter().chain(ASKED_BESIDE);
    let mut rows = rows.chain(ASKED_GATED).chain(ASKED_OF_OPENS);
    let row = rows.find(|row| row.number == number)?;
    Some(row.what)
}

/// The table as text, for `doctor` and the documentation: call, word, reason.
pub fn table() -> Vec<(i64, &'static str, &'static str)> {
    let refused = REFUSED.iter().chain(UNTOLD).chain(BESIDE);
    let refused = refused.chain(NETWORKS).chain(GATED).map(|row| {
        let word = if row.errno == libc::ENOSYS {
            "absent"
        } else {
            "refused"
        };
        (row.number, word, row.why)
    });
    let absent = calls::ABSENT
        .iter()
        .map(|absent| (absent.call.0, "absent", absent.why));
    let allowed = calls::ALLOWED.iter().flat_map(|group| {
        let calls = group.calls.iter();
        calls.map(|call| (call.0, "allowed", group.why))
    });
    let asked = ASKED
        .iter()
        .chain(ASKED_BESIDE)
        .chain(ASKED_GATED)
        .chain(ASKED_HANDED_IN)
        .chain(ASKED_OF_OPENS);
    refused
        .chain(asked.map(|row| (row.number, "asked", row.why)))
        .chain(absent)
        .chain(allowed)
        .collect()
}

/// The numbers that mean something inside: let through, asked about, or refused by a row.
fn numbers_inside() -> BTreeSet<libc::c_long> {
    let allowed = calls::ALLOWED.iter().flat_map(|group| group.calls);
    let allowed = allowed.map(|call| call.0);
    let asked = ASKED.iter().map(|row| row.number);
    let refused = REFUSED.iter().map(|row| row.number);
    allowed.chain(asked).chain(refused).collect()
}

/// Kills callers of another architecture's interface. Of this one, what is not in `numbers` does not
/// exist: neither what is newer, nor x32, whose numbers have bit 30 set.
fn existing(numbers: &BTreeSet<libc::c_long>) -> Result<BpfProgram, Error> {
    const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") {
        0xc000_003e
    } else {
        0xc000_00b7
    };
    let load = |offset| sock_filter {
        code: 0x20,
        jt: 0,
        jf: 0,
        k: offset,
    };
    let jump = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    let answer = |k| sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k,
    };
    let absent = answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned());
    let mut program = vec![
        load(4), // seccomp_data.arch
        jump(0x15, ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(0), // seccomp_data.nr
    ];
    for (first, last) in ranges(numbers)? {
        // Above the range: the next one looks. Below it: it lies in the gap before.
        program.push(jump(0x25, last, 3, 0));
        program.push(jump(0x35, first, 0, 1));
        program.push(answer(libc::SECCOMP_RET_ALLOW));
        program.push(absent.clone());
    }
    program.push(absent);
    Ok(program)
}

/// Numbers that follow each other, as first and last, in order.
fn ranges(numbers: &BTreeSet<libc::c_long>) -> Result<Vec<(u32, u32)>, Error> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        let number = u32::try_from(*number).map_err(Error::filter)?;
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some(_) | None => ranges.push((number, number)),
        }
    }
    Ok(ranges)
}

fn refusing(errno: i32, include: impl Fn(libc::c_long) -> bool) -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for row in REFUSED
        .iter()
        .filter(|row| row.errno == errno && include(row.number))
    {
        add_row(&mut rules, row.number, row.when)?;
    }
    compile(rules, SeccompAction::Errno(errno.cast_unsigned()))
}

/// Adds a row to rules: a call without conditions is met always.
fn add_row(
    rules: &mut BTreeMap<i64, Vec<SeccompRule>>,
    number: libc::c_long,
    when: &[When],
) -> Result<(), Error> {
    let conditions = when.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    let rules = rules.entry(number).or_default();
    if !conditions.is_empty() {
        rules.push(SeccompRule::new(conditions).map_err(Error::filter)?);
    }
    Ok(())
}

/// The rows about the set-user-id bit, about the set-group-id bit.
fn refusing_group_rights() -> Result<BpfProgram, Error> {
    let of_group = |when: &When| match *when {
        When::Bits(argument, SUID, SUID) => When::Bits(argument, SGID, SGID),
        When::Is(..) | When::Not(..) | When::Bits(..) => *when,
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for row in REFUSED
        .iter()
        .filter(|row| row.why == RIGHTS && !row.when.is_empty())
    {
        let when = row.when.iter().map(of_group);
        let conditions = when
            .map(|when| condition(&when))
            .collect::<Result<Vec<_>, _>>()?;
        let rule = SeccompRule::new(conditions).map_err(Error::filter)?;
        rules.entry(row.number).or_default().push(rule);
    }
    compile(rules, SeccompAction::Errno(libc::EPERM.cast_unsigned()))
}

/// seccompiler has no action that asks, so the program is compiled with a tag in its place.
fn asking(judged: Judged, more: &[&[Asked]]) -> Result<BpfProgram, Error> {
    const TAG: u32 = 0x6167;
    let mut rules = BTreeMap::new();
    let is_asked = |row: &&Asked| match row.what {
        Asks::Name | Asks::Mask => judged != Judged::Nothing,
        Asks::Program
        | Asks::Connection
        | Asks::Attributes
        | Asks::Datagrams
        | Asks::Pair
        | Asks::Message
        | Asks::Server
        | Asks::Itself => true,
    };
    let opens = match judged {
        Judged::Opens => ASKED_OF_OPENS,
        Judged::Nothing | Judged::Names => &[],
    };
    let more = more.iter().copied().flatten().chain(opens);
    for row in ASKED.iter().filter(is_asked).chain(more) {
        add_row(&mut rules, row.number, row.when)?;
    }
    let mut program = compile(rules, SeccompAction::Trace(TAG))?;
    let tagged = libc::SECCOMP_RET_TRACE | TAG;
    for instruction in program
        .iter_mut()
        .filter(|i| i.code == 0x06 && i.k == tagged)
    {
        instruction.k = libc::SECCOMP_RET_USER_NOTIF;
    }
    Ok(program)
}

fn condition(when: &When) -> Result<SeccompCondition, Error> {
    let (argument, operator, value) = match *when {
        When::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
        When::Not(argument, value) => (argument, SeccompCmpOp::Ne, value),
        When::Bits(argument, mask, value) => (argument, SeccompCmpOp::MaskedEq(mask), value),
    };
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(Error::filter)
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    matched: SeccompAction,
) -> Result<BpfProgram, Error> {
    let target = if cfg!(target_arch = "x86_64") {
        TargetArch::x86_64
    } else {
        TargetArch::aarch64
    };
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, matched, target).map_err(Error::filter)?;
    filter.try_into().map_err(Error::filter)
}

#[cfg(test)]
mod tests;
