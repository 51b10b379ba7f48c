//! What is refused besides where the agent has no namespaces of its own: what would reach processes, memory
//! and networks that are others'.

use super::{Refused, When, absent, family, when};

const OTHERS: &str =
    "the processor, memory or disk time of a process outside: the guard's, above all";
const SHARED: &str = "shared memory and queues that processes outside have too";
const NETWORK: &str = "the network is the host's, and no rule would see what goes there";

/// `PRIO_USER` of `linux/resource.h`.
const PRIO_USER: u64 = 2;
/// `IOPRIO_WHO_USER` of `linux/ioprio.h`.
const IOPRIO_WHO_USER: u64 = 3;

/// Refused on every network. Without an argument a call is about its own process, as in most programs.
pub(super) const BESIDE: &[Refused] = &[
    when(libc::SYS_setpriority, &[When::Not(1, 0)], OTHERS),
    when(libc::SYS_setpriority, &[When::Is(0, PRIO_USER)], OTHERS),
    when(libc::SYS_ioprio_set, &[When::Not(1, 0)], OTHERS),
    when(
        libc::SYS_ioprio_set,
        &[When::Is(0, IOPRIO_WHO_USER)],
        OTHERS,
    ),
    when(libc::SYS_sched_setaffinity, &[When::Not(0, 0)], OTHERS),
    when(libc::SYS_sched_setattr, &[When::Not(0, 0)], OTHERS),
    when(libc::SYS_sched_setparam, &[When::Not(0, 0)], OTHERS),
    when(libc::SYS_sched_setscheduler, &[When::Not(0, 0)], OTHERS),
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
