//! Every system call that somebody has thought about, and why it is there inside or is not.
//!
//! The filter is a list of what exists: a call that is neither let through here, nor asked about, nor
//! refused by a row of the table above, answers ENOSYS, and programs fall back on what they used before.
//! So is every call that a kernel adds. The test `every_call_of_the_kernel_is_classified` holds these lists
//! against the kernel's own.

/// A system call: its number on this machine, and its name.
pub(super) type Call = (libc::c_long, &'static str);

/// Calls that are let through, and what makes that safe. Rows of the table above may still refuse one
/// for some of its arguments.
pub(super) struct Group {
    pub(super) why: &'static str,
    pub(super) calls: &'static [Call],
}

/// Names calls by the constants of `libc`, so that each has its number on every architecture.
macro_rules! calls {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

const NAMES: &str = "names of files: mounts and Landlock say what exists and what may be changed, \
                     whatever call it is";
const OPEN_FILES: &str = "acts on what is open, and opening was held";
const MEMORY: &str = "its own memory";
const PROCESSES: &str = "its own processes: others have no number in its pid namespace";
const SIGNALS: &str = "signals: others have no number in its pid namespace";
const IDENTITY: &str = "one user is mapped, and there is no capability to gain";
const WAITING: &str = "waits, or asks the time";
const ORDER: &str = "the order in which its own processes run";
const SOCKETS: &str = "sockets: its network has nothing in it but what was granted";
const QUEUES: &str = "shared among its own processes: the IPC namespace is its own";
const ITSELF: &str = "asks about itself or the machine, and changes nothing";
#[cfg(target_arch = "x86_64")]
const PROBES: &str =
    "entered from a probe that somebody outside has set; from anywhere else it is SIGILL";
const FEWER: &str = "takes something more from itself; no filter and no domain gives anything back";

/// What is let through.
pub(super) const ALLOWED: &[Group] = &[
    Group {
        why: NAMES,
        calls: calls!(
            SYS_openat SYS_newfstatat SYS_statx SYS_statfs SYS_faccessat SYS_faccessat2 SYS_readlinkat
            SYS_getxattr SYS_lgetxattr SYS_listxattr SYS_llistxattr SYS_setxattr SYS_lsetxattr
            SYS_removexattr SYS_lremovexattr SYS_truncate SYS_mkdirat SYS_mknodat SYS_unlinkat
            SYS_renameat2 SYS_linkat SYS_symlinkat SYS_fchmodat SYS_fchownat SYS_utimensat
            SYS_chdir SYS_getcwd SYS_umask SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch
        ),
    },
    Group {
        why: NAMES,
        calls: &[
            (452, "fchmodat2"),
            (463, "setxattrat"),
            (464, "getxattrat"),
            (465, "listxattrat"),
            (466, "removexattrat"),
        ],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: NAMES,
        calls: calls!(
            SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_readlink SYS_mkdir SYS_rmdir SYS_mknod
            SYS_unlink SYS_rename SYS_link SYS_symlink SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes
            SYS_futimesat SYS_inotify_init
        ),
    },
    Group {
        // A call of aarch64 too, that libc names for some architectures only.
        why: NAMES,
        calls: &[(
            if cfg!(target_arch = "x86_64") {
                264
            } else {
                38
            },
            "renameat",
        )],
    },
    Group {
        why: OPEN_FILES,
        calls: calls!(
            SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev
            SYS_preadv2 SYS_pwritev2 SYS_lseek SYS_close SYS_close_range SYS_dup SYS_dup3 SYS_pipe2
            SYS_fcntl SYS_ioctl SYS_flock SYS_fsync SYS_fdatasync SYS_sync SYS_syncfs SYS_ftruncate
            SYS_fallocate SYS_fadvise64 SYS_readahead SYS_fstat SYS_fstatfs SYS_fchdir SYS_fchmod SYS_fchown
            SYS_fgetxattr SYS_fsetxattr SYS_flistxattr SYS_fremovexattr SYS_getdents64 SYS_sendfile
            SYS_splice SYS_tee SYS_vmsplice SYS_copy_file_range
        ),
    },
    Group {
        why: OPEN_FILES,
        calls: &[
            (
                if cfg!(target_arch = "x86_64") {
                    277
                } else {
                    84
                },
                "sync_file_range",
            ),
            (451, "cachestat"),
        ],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: OPEN_FILES,
        calls: calls!(SYS_dup2 SYS_pipe SYS_getdents),
    },
    Group {
        why: MEMORY,
        calls: calls!(
            SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_madvise SYS_msync SYS_mincore SYS_brk SYS_mlock
            SYS_mlock2 SYS_mlockall SYS_munlock SYS_munlockall SYS_remap_file_pages SYS_memfd_create
            SYS_membarrier SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_mbind SYS_set_mempolicy
            SYS_get_mempolicy SYS_set_mempolicy_home_node SYS_move_pages SYS_mseal
        ),
    },
    Group {
        why: MEMORY,
        calls: &[(453, "map_shadow_stack")],
    },
    Group {
        why: PROCESSES,
        calls: calls!(
            SYS_clone SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_set_tid_address SYS_set_robust_list
            SYS_get_robust_list SYS_rseq SYS_futex SYS_futex_waitv SYS_setpgid SYS_getpgid SYS_setsid
            SYS_getsid SYS_getpid SYS_getppid SYS_gettid SYS_pidfd_open SYS_prlimit64 SYS_prctl
            SYS_personality
        ),
    },
    Group {
        why: PROCESSES,
        calls: &[
            (454, "futex_wake"),
            (455, "futex_wait"),
            (456, "futex_requeue"),
        ],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: PROCESSES,
        calls: calls!(SYS_fork SYS_vfork SYS_getpgrp SYS_arch_prctl SYS_getrlimit SYS_setrlimit),
    },
    #[cfg(target_arch = "aarch64")]
    Group {
        why: PROCESSES,
        calls: &[(163, "getrlimit"), (164, "setrlimit")],
    },
    Group {
        why: SIGNALS,
        calls: calls!(
            SYS_kill SYS_tkill SYS_tgkill SYS_pidfd_send_signal SYS_rt_sigaction SYS_rt_sigprocmask
            SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait SYS_rt_sigqueueinfo
            SYS_rt_tgsigqueueinfo SYS_rt_sigsuspend SYS_sigaltstack SYS_signalfd4 SYS_restart_syscall
        ),
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: SIGNALS,
        calls: calls!(SYS_signalfd SYS_pause SYS_alarm),
    },
    Group {
        why: IDENTITY,
        calls: calls!(
            SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getresuid SYS_getresgid SYS_getgroups
            SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid
            SYS_setfsgid SYS_setgroups SYS_capget
        ),
    },
    Group {
        why: WAITING,
        calls: calls!(
            SYS_nanosleep SYS_clock_nanosleep SYS_clock_gettime SYS_clock_getres SYS_gettimeofday
            SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime SYS_timer_gettime
            SYS_timer_getoverrun SYS_timer_delete SYS_timerfd_create SYS_timerfd_settime
            SYS_timerfd_gettime SYS_eventfd2 SYS_pselect6 SYS_ppoll SYS_epoll_create1 SYS_epoll_ctl
            SYS_epoll_pwait SYS_epoll_pwait2
        ),
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: WAITING,
        calls: calls!(SYS_time SYS_poll SYS_select SYS_epoll_create SYS_epoll_wait SYS_eventfd),
    },
    Group {
        why: ORDER,
        calls: calls!(
            SYS_sched_yield SYS_sched_setaffinity SYS_sched_getaffinity SYS_sched_setscheduler
            SYS_sched_getscheduler SYS_sched_setparam SYS_sched_getparam SYS_sched_setattr
            SYS_sched_getattr SYS_sched_get_priority_max SYS_sched_get_priority_min
            SYS_sched_rr_get_interval SYS_setpriority SYS_getpriority SYS_ioprio_set SYS_ioprio_get
        ),
    },
    Group {
        why: SOCKETS,
        calls: calls!(
            SYS_socket SYS_socketpair SYS_bind SYS_listen SYS_accept SYS_accept4 SYS_connect SYS_shutdown
            SYS_sendto SYS_sendmsg SYS_sendmmsg SYS_recvfrom SYS_recvmsg SYS_recvmmsg SYS_getsockname
            SYS_getpeername SYS_getsockopt SYS_setsockopt
        ),
    },
    Group {
        why: QUEUES,
        calls: calls!(
            SYS_shmget SYS_shmat SYS_shmctl SYS_shmdt SYS_semget SYS_semop SYS_semctl SYS_semtimedop
            SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink SYS_mq_timedsend
            SYS_mq_timedreceive SYS_mq_notify SYS_mq_getsetattr
        ),
    },
    Group {
        why: ITSELF,
        calls: calls!(
            SYS_uname SYS_sysinfo SYS_getrusage SYS_times SYS_getcpu SYS_getrandom
        ),
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        why: PROBES,
        calls: &[(335, "uretprobe"), (336, "uprobe")],
    },
    Group {
        why: FEWER,
        calls: calls!(
            SYS_seccomp SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self
            SYS_capset
        ),
    },
];

/// A call that does not exist inside.
pub(super) struct Absent {
    pub(super) call: Call,
    pub(super) why: &'static str,
}

const fn absent(number: libc::c_long, name: &'static str, why: &'static str) -> Absent {
    Absent {
        call: (number, name),
        why,
    }
}

const UNREADABLE: &str =
    "what it is to do lies in memory where no filter can read it; callers fall back";
const GONE: &str = "no kernel of today has it";
const OLD: &str = "an interface that nothing uses any more";
const LABELS: &str =
    "would change the label under which programs start, as `/proc/self/attr` would";
const MOUNTED: &str = "tells of mounts in every namespace it may look into";

const COMMON: &str = "what there is of it is for the whole machine (`fs.aio-max-nr`), and one session could take all";

/// What answers ENOSYS, though kernels have it.
pub(super) const ABSENT: &[Absent] = &[
    absent(libc::SYS_clone3, "clone3", UNREADABLE),
    absent(libc::SYS_openat2, "openat2", UNREADABLE),
    absent(
        447,
        "memfd_secret",
        "memory that the mediator cannot read, so no argument in it can be judged",
    ),
    absent(libc::SYS_io_setup, "io_setup", COMMON),
    absent(libc::SYS_io_destroy, "io_destroy", COMMON),
    absent(libc::SYS_io_submit, "io_submit", COMMON),
    absent(libc::SYS_io_cancel, "io_cancel", COMMON),
    absent(libc::SYS_io_getevents, "io_getevents", COMMON),
    absent(
        if cfg!(target_arch = "x86_64") {
            333
        } else {
            292
        },
        "io_pgetevents",
        COMMON,
    ),
    absent(457, "statmount", MOUNTED),
    absent(458, "listmount", MOUNTED),
    absent(459, "lsm_get_self_attr", LABELS),
    absent(460, "lsm_set_self_attr", LABELS),
    absent(461, "lsm_list_modules", LABELS),
    absent(
        467,
        "open_tree_attr",
        "would take masks and read-only mounts away",
    ),
    absent(468, "file_getattr", UNREADABLE),
    absent(469, "file_setattr", UNREADABLE),
    absent(470, "listns", "tells of namespaces outside"),
    absent(
        if cfg!(target_arch = "x86_64") {
            212
        } else {
            18
        },
        "lookup_dcookie",
        GONE,
    ),
    absent(
        if cfg!(target_arch = "x86_64") {
            180
        } else {
            42
        },
        "nfsservctl",
        GONE,
    ),
    #[cfg(target_arch = "x86_64")]
    absent(
        134,
        "uselib",
        "maps a library past every check of what is executed",
    ),
    #[cfg(target_arch = "x86_64")]
    absent(136, "ustat", OLD),
    #[cfg(target_arch = "x86_64")]
    absent(139, "sysfs", OLD),
    #[cfg(target_arch = "x86_64")]
    absent(156, "_sysctl", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(174, "create_module", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(177, "get_kernel_syms", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(178, "query_module", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(181, "getpmsg", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(182, "putpmsg", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(183, "afs_syscall", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(184, "tuxcall", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(185, "security", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(205, "set_thread_area", "of the 32-bit interface"),
    #[cfg(target_arch = "x86_64")]
    absent(211, "get_thread_area", "of the 32-bit interface"),
    #[cfg(target_arch = "x86_64")]
    absent(214, "epoll_ctl_old", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(215, "epoll_wait_old", GONE),
    #[cfg(target_arch = "x86_64")]
    absent(236, "vserver", GONE),
];

#[cfg(test)]
mod tests;
