//! Pairs of unix sockets for datagrams: made here, of a kind that names no receiver.
//!
//! A datagram socket sends to whoever each message names, also where it is one of a pair. One for sequenced packets
//! keeps the bounds of messages as well, and sends to its other end whatever is named (`unix_seqpacket_sendmsg`). What
//! a program can tell of it: `SO_TYPE`, and an end of what comes where the other end was closed.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::connect::low_and_whole;
use super::exec::Worker;
use crate::sys::{Notification, write_memory};

impl Worker<'_> {
    pub(super) fn answer_pair(&self, notification: &Notification) {
        let listener = &self.shared.listener;
        match self.pair(notification) {
            Ok(()) => listener.succeed(notification),
            Err(errno) => listener.refuse(notification, errno.raw_os_error()),
        }
    }

    /// As the kernel does, the place for the numbers is written to before there are any.
    fn pair(&self, notification: &Notification) -> Result<(), Errno> {
        let [_, (kind, _), (protocol, _), (_, place), ..] =
            notification.arguments.map(low_and_whole);
        let listener = &self.shared.listener;
        let pair = pair(kind, protocol)?;
        let write = |numbers: [i32; 2]| {
            let bytes = numbers.map(i32::to_ne_bytes);
            let bytes = bytes.as_flattened();
            // It waits still: the memory is its own.
            match listener.still_waits(notification) {
                true if write_memory(notification.thread, place, bytes).ok()
                    == Some(bytes.len()) =>
                {
                    Ok(())
                }
                true => Err(Errno::FAULT),
                false => Err(Errno::SRCH),
            }
        };
        write([-1, -1])?;
        let closes = kind & libc::SOCK_CLOEXEC.cast_unsigned() != 0;
        let numbers = listener.hand_over_both(notification, pair, closes);
        write(numbers.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::MFILE))?)
    }
}

fn pair(kind: u32, protocol: u32) -> Result<(OwnedFd, OwnedFd), Errno> {
    /// `SOCK_TYPE_MASK` of linux/net.h.
    const KIND: u32 = 0xf;
    let known = libc::SOCK_NONBLOCK.cast_unsigned() | libc::SOCK_CLOEXEC.cast_unsigned();
    if kind & !(KIND | known) != 0 {
        return Err(Errno::INVAL);
    }
    if protocol != 0 && protocol != libc::PF_UNIX.cast_unsigned() {
        return Err(Errno::PROTONOSUPPORT);
    }
    let mut flags = SocketFlags::CLOEXEC;
    if kind & libc::SOCK_NONBLOCK.cast_unsigned() != 0 {
        flags |= SocketFlags::NONBLOCK;
    }
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}
