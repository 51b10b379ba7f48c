//! Connecting for a caller, and waking whoever waits in that.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::Pid;

use super::checked;

/// What wakes a thread of ours: by default it is for asynchronous input, which nothing here asks for.
const WAKE: libc::c_int = libc::SIGIO;

/// Connects `socket` to an address as it was copied from a caller: any family, any bytes.
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(address.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `length` bytes from the address, which is as many as are borrowed, and
    // which need no alignment to be copied.
    let result = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    checked(libc::c_long::from(result))?;
    Ok(())
}

/// Binds `socket` to an address as it was copied from a caller: any family, any bytes.
pub(crate) fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(address.len()).map_err(io::Error::other)?;
    // SAFETY: as for `connect`.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    checked(libc::c_long::from(result))?;
    Ok(())
}

/// Which network namespace a socket belongs to, as a number that is never used twice (Linux 5.14).
pub(crate) fn network_of(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which has as many, and then the
    // length written to `length`; both live until the call is over.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            std::ptr::from_mut(&mut cookie).cast(),
            &raw mut length,
        )
    };
    checked(libc::c_long::from(result))?;
    Ok(cookie)
}

/// Has `socket` handed only what `program` lets through (socket(7), `SO_ATTACH_FILTER`).
pub(crate) fn attach_filter(
    socket: BorrowedFd<'_>,
    program: &[libc::sock_filter],
) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `length` bytes of `program`, and the `len` instructions that it points to,
    // which were borrowed and outlive the call; it writes to neither.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&program).cast(),
            length,
        )
    };
    checked(libc::c_long::from(result))?;
    Ok(())
}

/// How many packets a socket of packets had no room for since it was last asked.
///
/// # References
///
/// - packet(7), `PACKET_STATISTICS`: `struct tpacket_stats` of linux/if_packet.h holds two numbers, the second of which is
///   of what was dropped.
pub(crate) fn packets_dropped(socket: BorrowedFd<'_>) -> io::Result<u32> {
    const PACKET_STATISTICS: libc::c_int = 6;
    let mut counted = [0u32; 2];
    let mut length = libc::socklen_t::try_from(size_of_val(&counted)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `counted`, which has as many, and how many to `length`; both
    // outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_STATISTICS,
            std::ptr::from_mut(&mut counted).cast(),
            &raw mut length,
        )
    };
    checked(libc::c_long::from(result))?;
    let [_, dropped] = counted;
    Ok(dropped)
}

/// Makes [`wake`] end a call that waits with `EINTR`, and do nothing else.
pub(crate) fn be_woken() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: `sigaction` is plain old data; zeroes are no flags and an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = nothing;
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the handler does nothing, so that it may run at any moment; the kernel reads `action`, and
    // a null old action is allowed.
    let result = unsafe { libc::sigaction(WAKE, &raw const action, std::ptr::null_mut()) };
    checked(libc::c_long::from(result))?;
    Ok(())
}

/// Wakes a thread of this process, where it waits in a call.
pub(crate) fn wake(thread: Pid) {
    let own = libc::c_long::from(rustix::process::getpid().as_raw_nonzero().get());
    let thread = libc::c_long::from(thread.as_raw_nonzero().get());
    // SAFETY: `tgkill` takes three integers and reads no memory. An error means that the thread is gone.
    let _ = unsafe { libc::syscall(libc::SYS_tgkill, own, thread, WAKE) };
}
