//! Every unsafe line of agentguard: system calls behind safe functions that take borrowed
//! descriptors. One operation a block, each with its proof.
#![expect(
    unsafe_code,
    reason = "system calls that no library of the field offers safely"
)]

mod handed;
mod mount;
mod process;
mod seccomp;
mod signal;
mod socket;
mod trace;

pub(crate) use libc::sock_filter as Instruction;
pub(crate) use mount::{Attributes, change_tree, idmap_tree, raise_loopback};
pub(crate) use process::{
    Forked, close_above, close_all_but, end, end_scope, find_user_keyring, fork, fork_into,
    fork_sibling, is_controlled_by, most_descriptors, move_away, next_dead, replace_image,
    share_one_heap, unshare,
};
pub(crate) use seccomp::{
    Listener, Notification, install_filter, install_listener, landlock_version,
};
pub(crate) use signal::{
    Held, Signals, block_forwarded, forget_blocked, forget_callers, forget_ignored, stop,
};
pub(crate) use socket::{
    attach_filter, be_woken, bind, connect, network_of, packets_dropped, wake,
};
pub(crate) use trace::{Tracee, read_memory, read_pieces, write_memory};

use std::io;

/// Turns a C result into the error the kernel left.
fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
