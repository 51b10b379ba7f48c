//! What tells a gate who connects to it.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::error::{Failure, Step};

/// For connections that are told and not accepted yet: more than two queues of listeners take.
const LINE: usize = 256 << 10;

/// Makes a line on which it is told, and a socket of this network by which the kernel is asked about sockets. They are
/// for the gate; the line's other end is returned.
pub(super) fn make(callers: &mut Vec<OwnedFd>) -> Result<OwnedFd, Failure> {
    const STEP: &str = "make what tells the gate who connects";
    // Neither who tells nor who is told waits for the other.
    let (line, told) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).step(STEP)?;
    // Where the user has no more pipes left the usual length has to do.
    let _ = fcntl_setpipe_size(&told, LINE);
    let kind = (
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
    );
    // A kernel without it leaves callers unknown.
    if let Ok(sockets) = socket_with(kind.0, kind.1, kind.2, Some(netlink::SOCK_DIAG)) {
        callers.extend([line, sockets]);
    }
    Ok(told)
}
