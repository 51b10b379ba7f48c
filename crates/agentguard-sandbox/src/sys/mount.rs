//! Attributes of mounts, and the session's loopback.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::checked;

/// What a mount forbids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Attributes {
    /// Changes.
    pub(crate) read_only: bool,
    /// Opening devices.
    pub(crate) no_devices: bool,
}

/// Sets attributes on a detached tree and everything below it; none of it propagates anywhere.
/// Set-uid bits count nowhere.
pub(crate) fn change_tree(tree: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
    let mut set = libc::MOUNT_ATTR_NOSUID;
    if attributes.read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    if attributes.no_devices {
        set |= libc::MOUNT_ATTR_NODEV;
    }
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    mount_setattr(tree, &attr)
}

/// Shows a detached tree's owners through the map of a user namespace.
pub(crate) fn idmap_tree(tree: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let descriptor = u64::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: descriptor,
    };
    mount_setattr(tree, &attr)
}

fn mount_setattr(tree: BorrowedFd<'_>, attr: &libc::mount_attr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is a C string, `attr` points to a live `mount_attr` and its size is given
    // (mount_setattr(2)); the kernel writes to neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<libc::mount_attr>(),
        )
    };
    checked(result)?;
    Ok(())
}

/// Brings up `lo` in the caller's network namespace.
pub(crate) fn raise_loopback() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: `ifreq` is plain old data, for which zeroes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = libc::c_char::try_from(*from).map_err(io::Error::other)?;
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq` (netdevice(7)), which lives until the call is over.
    let result = unsafe {
        libc::ioctl(
            socket.as_fd().as_raw_fd(),
            libc::SIOCSIFFLAGS,
            std::ptr::from_ref(&request),
        )
    };
    checked(libc::c_long::from(result))?;
    Ok(())
}
