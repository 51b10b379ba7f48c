//! The table of system calls: what is refused inside, with what error, and why.
//!
//! Filter and mediator are made from this one table. Three programs are stacked, and the kernel takes
//! the strictest answer: one refuses foreign interfaces and calls newer than this table, one refuses
//! what stands in [`REFUSED`], one asks the mediator about what stands in [`ASKED`].

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use agentguard_core::Network;

use crate::Error;
use beside::{ASKED_BESIDE, BESIDE, NETWORKS};

mod beside;

/// The highest system call number this table has thought about (`removexattrat`, Linux 6.13).
/// Later ones do not exist inside: programs fall back on what they used before.
const LAST_KNOWN: u32 = 466;

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

/// A system call about which the mediator is asked.
struct Asked {
    number: libc::c_long,
    what: Asks,
    /// All of them must hold; none means always.
    when: &'static [When],
    why: &'static str,
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
    /// A mode, an owner or times are to be changed.
    Attributes,
}

const fn asked(number: libc::c_long, what: Asks, why: &'static str) -> Asked {
    Asked {
        number,
        what,
        when: &[],
        why,
    }
}

/// What is asked of the mediator, and why. Where a call is asked about only with some arguments, several
/// rows may name it.
const ASKED: &[Asked] = &[
    asked(libc::SYS_execve, Asks::Program, PROGRAMS),
    asked(libc::SYS_execveat, Asks::Program, PROGRAMS),
    Asked {
        number: libc::SYS_openat,
        what: Asks::Name,
        when: &[When::Bits(2, CREATING, flag(libc::O_CREAT))],
        why: NAMES,
    },
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
    asked(libc::SYS_connect, Asks::Connection, CONNECTIONS),
];

/// Of an open's flags: it may make a name, and neither makes a file without one (`O_TMPFILE`, which gets its
/// name by a link) nor only names a file (`O_PATH`, which makes none).
const CREATING: u64 =
    flag(libc::O_CREAT) | flag(libc::O_TMPFILE & !libc::O_DIRECTORY) | flag(libc::O_PATH);

const PROGRAMS: &str = "every program that starts is judged";
const NAMES: &str = "a name that comes into being may be one that makes others run code";
const CONNECTIONS: &str = "a unix socket of the host leads past every mount to whoever listens there; every family is \
    asked about, since the descriptor could be exchanged after a look at it";
const TRACING: &str = "reaches into other processes, and would hide an exec from the mediator";
const MOUNTS: &str = "would take masks and read-only mounts away";
const NAMESPACES: &str = "a new namespace gives capabilities that nothing here needs";
const KERNEL: &str = "a kernel interface with a history of holes that no agent's work needs";
const HANDLES: &str = "opens files past every directory that was checked";
const KEYS: &str = "keyrings are shared with the session outside";
const SOCKETS: &str = "a kind of socket that no network rule would see";
const DATAGRAMS: &str = "each datagram names its receiver in memory that no filter reads, and could reach a \
    unix socket of the host; a pair can do so too";
const TERMINAL: &str = "types into, or takes over, the terminal of whoever watches";
const RIGHTS: &str = "a set-user-id program runs outside with the rights of whose workspace it is, which may be root";
const MACHINE: &str = "changes the machine, not the workspace";

/// Every refusal. Where a call is refused only with some arguments, several rows may name it.
const REFUSED: &[Refused] = &[
    always(libc::SYS_ptrace, TRACING),
    always(libc::SYS_process_vm_readv, TRACING),
    always(libc::SYS_process_vm_writev, TRACING),
    always(libc::SYS_process_madvise, TRACING),
    always(libc::SYS_pidfd_getfd, TRACING),
    always(libc::SYS_kcmp, TRACING),
    when(
        libc::SYS_prlimit64,
        &[When::Not(0, 0)],
        "limits of another process: pid 1 of the session could no longer see its end",
    ),
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
    absent(
        libc::SYS_clone3,
        "its flags lie in memory where no filter can read them; callers fall back on clone",
    ),
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
    always(libc::SYS_quotactl, KERNEL),
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
    when(libc::SYS_fchmodat2, &[When::Bits(2, SUID, SUID)], RIGHTS),
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
    absent(
        libc::SYS_openat2,
        "its modes lie in memory where no filter can read them; callers fall back on openat",
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
    always(libc::SYS_sethostname, MACHINE),
    always(libc::SYS_setdomainname, MACHINE),
    always(libc::SYS_syslog, MACHINE),
    when(libc::SYS_ioctl, &[When::Is(1, libc::TIOCSTI)], TERMINAL),
    when(libc::SYS_ioctl, &[When::Is(1, libc::TIOCLINUX)], TERMINAL),
    when(libc::SYS_ioctl, &[When::Is(1, TIOCSETD)], TERMINAL),
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
    when(
        libc::SYS_socket,
        &[When::Bits(1, 0xf, family(libc::SOCK_RAW))],
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
        &[When::Bits(1, 0xf, family(libc::SOCK_DGRAM))],
        DATAGRAMS,
    ),
    when(
        libc::SYS_socketpair,
        &[When::Bits(1, 0xf, family(libc::SOCK_RAW))],
        DATAGRAMS,
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

/// What the mediator needs of [`REFUSED`], after it has given up everything else.
const NEEDED_BY_MEDIATOR: [libc::c_long; 5] = [
    // But for namespaces: see `for_mediator`.
    libc::SYS_unshare,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_pidfd_getfd,
    libc::SYS_ioctl,
];

/// `S_ISUID` of `linux/stat.h`.
const SUID: u64 = 0o4000;
/// `S_ISGID` of `linux/stat.h`.
const SGID: u64 = 0o2000;
/// `SOCK_PACKET` of `linux/net.h`, deprecated but still taken.
const OLD_PACKET: u64 = 10;
const MPTCP: u64 = 262; // IPPROTO_MPTCP, linux/in.h
const SCTP: u64 = 132; // IPPROTO_SCTP
const SMC: u64 = 256; // IPPROTO_SMC
const TIOCSETD: u64 = 0x5423; // asm-generic/ioctls.h

const fn flag(flag: libc::c_int) -> u64 {
    flag.cast_unsigned() as u64
}

const fn family(family: libc::c_int) -> u64 {
    family.cast_unsigned() as u64
}

/// An agent's programs: those to install as they are, then the one that asks.
pub(crate) type Filters = (Vec<BpfProgram>, BpfProgram);

/// The programs for the agent: those to install as they are, then the one with a listener.
///
/// With `files_are_roots`, what the agent writes belongs to root outside: then the set-group-id bit is
/// refused like the set-user-id bit, though directories could use it. An agent that `is_beside` others, with no
/// mounts of its own, is asked about attributes too. Without `judges_names`, nothing is asked about names.
pub(crate) fn for_agent(
    files_are_roots: bool,
    judges_names: bool,
    is_beside: bool,
) -> Result<Filters, Error> {
    let mut plain = vec![foreign()];
    if files_are_roots {
        plain.push(refusing_group_rights()?);
    }
    for errno in [libc::EPERM, libc::ENOSYS, libc::EAFNOSUPPORT] {
        plain.push(refusing(errno, |_| true)?);
    }
    let asked = if is_beside { ASKED_BESIDE } else { &[] };
    Ok((plain, asking(judges_names, asked)?))
}

/// The programs for an agent that has no namespaces of its own, besides those of [`for_agent`].
pub(crate) fn beside_others(network: Network) -> Result<Vec<BpfProgram>, Error> {
    let rows = match network {
        Network::Isolated => [BESIDE, NETWORKS].concat(),
        Network::Host => BESIDE.to_vec(),
    };
    let mut programs = Vec::new();
    for errno in [
        libc::EPERM,
        libc::ENOSYS,
        libc::EAFNOSUPPORT,
        libc::EOPNOTSUPP,
    ] {
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

/// The programs for the mediator: as the agent's, less what it needs, and no exec at all.
pub(crate) fn for_mediator() -> Result<Vec<BpfProgram>, Error> {
    let mut none = BTreeMap::new();
    for row in ASKED.iter().filter(|row| row.what == Asks::Program) {
        none.insert(row.number, Vec::new());
    }
    let no_exec = compile(none, SeccompAction::Errno(libc::EPERM.cast_unsigned()))?;
    let mut namespaces = BTreeMap::new();
    let own_directory = When::Not(0, flag(libc::CLONE_FS));
    add_row(&mut namespaces, libc::SYS_unshare, &[own_directory])?;
    let namespaces = compile(
        namespaces,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
    )?;
    let rest = refusing(libc::EPERM, |number| !NEEDED_BY_MEDIATOR.contains(&number))?;
    Ok(vec![foreign(), no_exec, namespaces, rest])
}

/// What a call that arrived at the mediator is about; nothing where the table does not ask about it.
pub(crate) fn asks(number: libc::c_long) -> Option<Asks> {
    let mut rows = ASKED.iter().chain(ASKED_BESIDE);
    let row = rows.find(|row| row.number == number)?;
    Some(row.what)
}

/// The table as text, for `doctor` and the documentation: call, error, reason.
pub fn table() -> Vec<(i64, &'static str, &'static str)> {
    let refused = REFUSED.iter().chain(BESIDE).chain(NETWORKS).map(|row| {
        let word = if row.errno == libc::ENOSYS {
            "absent"
        } else {
            "refused"
        };
        (row.number, word, row.why)
    });
    let asked = ASKED.iter().chain(ASKED_BESIDE);
    refused
        .chain(asked.map(|row| (row.number, "asked", row.why)))
        .collect()
}

/// Kills callers of another architecture's interface; x32 and what is newer than the table is absent.
fn foreign() -> BpfProgram {
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
    vec![
        load(4), // seccomp_data.arch
        jump(0x15, ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(0), // seccomp_data.nr; x32 calls have bit 30 set
        jump(0x25, LAST_KNOWN, 0, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
        answer(libc::SECCOMP_RET_ALLOW),
    ]
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
fn asking(judges_names: bool, more: &[Asked]) -> Result<BpfProgram, Error> {
    const TAG: u32 = 0x6167;
    let mut rules = BTreeMap::new();
    let is_asked = |row: &&Asked| match row.what {
        Asks::Name | Asks::Mask => judges_names,
        Asks::Program | Asks::Connection | Asks::Attributes => true,
    };
    for row in ASKED.iter().chain(more).filter(is_asked) {
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
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_reason_and_no_row_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for row in REFUSED {
            assert!(row.why.len() > 10);
            let conditions: Vec<String> = row
                .when
                .iter()
                .map(|when| match when {
                    When::Is(a, v) => format!("{a}={v}"),
                    When::Not(a, v) => format!("{a}!{v}"),
                    When::Bits(a, m, v) => format!("{a}&{m}={v}"),
                })
                .collect();
            assert!(
                seen.insert((row.number, conditions)),
                "{} stands twice",
                row.number
            );
        }
    }

    #[test]
    fn no_row_lies_above_the_last_known_call() {
        assert!(
            REFUSED
                .iter()
                .all(|row| u32::try_from(row.number).is_ok_and(|number| number <= LAST_KNOWN))
        );
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is what must fail")]
    fn a_mediator_can_start_no_program() {
        let status = || std::process::Command::new("/bin/true").status();
        assert!(status().unwrap().success());
        let filtered = move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            for program in for_mediator().unwrap() {
                crate::sys::install_filter(&program).unwrap();
            }
            status().map_err(|error| error.raw_os_error())
        };
        // The filters hold for this one thread, and what it starts.
        let answer = std::thread::spawn(filtered).join().unwrap();
        assert_eq!(answer.unwrap_err(), Some(libc::EPERM));
    }

    #[test]
    fn the_asking_program_asks() {
        let program = asking(true, &[]).unwrap();
        assert!(
            program
                .iter()
                .any(|i| i.code == 0x06 && i.k == libc::SECCOMP_RET_USER_NOTIF)
        );
        assert!(
            !program
                .iter()
                .any(|i| i.code == 0x06 && i.k & 0xffff_0000 == libc::SECCOMP_RET_TRACE)
        );
    }
}
