//! Sockets of a session that has no network of its own, and is granted hosts: each is led to the gate.
//!
//! The sockets are the host's, and so is the loopback. What a caller would connect to is copied once and told to the
//! gate, which judges that and connects to it; the caller's socket is connected to the gate, and to nothing else. So
//! nothing that is written to the caller's memory meanwhile changes where it leads. Datagrams go to the gate's
//! resolver, or nowhere. Nothing listens: whoever reaches the host's loopback would reach it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use agentguard_core::Calling;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use rustix::process::Pid;

use super::calling::{LOOKUPS, destination, is_nobody};
use super::connect::{Target, low_and_whole};
use super::exec::{Shared, Worker};
use crate::sys::Notification;

impl Shared {
    /// What is to be told to the gate of a connect of this socket, before the caller is let go.
    pub(super) fn look(
        &self,
        thread: Pid,
        (socket, address): (BorrowedFd<'_>, &[u8]),
    ) -> Option<Calling> {
        let callings = self.callings.as_ref()?;
        let seen = (&self.images, &self.processes);
        match &self.ways {
            None => callings.look(seen, thread, (socket, address)),
            Some(_) => {
                let to = SocketAddr::from(destination(address)?);
                callings.look_to(seen, thread, (socket, to))
            }
        }
    }

    /// Tells it. Where only this tells the gate whom a connection is to, none is made that could not be told.
    pub(super) fn tell(&self, calling: Option<Calling>) -> Result<(), Errno> {
        let (Some(calling), Some(callings)) = (calling, &self.callings) else {
            return Ok(());
        };
        match (callings.tell(&calling), &self.ways) {
            (true, _) | (false, None) => Ok(()),
            (false, Some(_)) => Err(Errno::AGAIN),
        }
    }

    /// What a socket that is no unix socket in a directory is connected to, where `address` is asked for.
    pub(super) fn target(
        &self,
        thread: Pid,
        (socket, address): (BorrowedFd<'_>, Vec<u8>),
    ) -> Result<Target, Errno> {
        let Some(ways) = &self.ways else {
            return Ok(Target::Address(address));
        };
        let domain = sockopt::socket_domain(socket)?;
        if domain == AddressFamily::UNIX {
            return Ok(Target::Address(address));
        }
        let kind = sockopt::socket_type(socket)?;
        if is_nobody(&address) {
            return match kind {
                SocketType::STREAM => Ok(Target::Address(address)),
                // Without its peer the kernel would let it be bound anew.
                SocketType::DGRAM => Ok(Target::Same),
                _ => Err(Errno::ACCESS),
            };
        }
        let (to, port) = destination(&address).ok_or(Errno::INVAL)?;
        let way = match (kind, port) {
            (SocketType::STREAM, LOOKUPS) => ways.lookup_connections,
            (SocketType::STREAM, _) => ways.connections,
            (SocketType::DGRAM, LOOKUPS) => ways.lookups,
            // As in a network where nobody else is.
            (SocketType::DGRAM, _) => {
                let caller = || self.processes.link(thread, "exe");
                self.nowhere.note((to, port), caller);
                return Err(Errno::NETUNREACH);
            }
            (_, _) => return Err(Errno::ACCESS),
        };
        let gate = match (domain, to) {
            (AddressFamily::INET, IpAddr::V4(_)) => way.four(),
            (AddressFamily::INET6, _) if kind == SocketType::DGRAM => way.six(),
            (AddressFamily::INET6, IpAddr::V6(_)) => match sockopt::ipv6_v6only(socket)? {
                true => way.six(),
                false => way.mapped(),
            },
            (_, _) => return Err(Errno::AFNOSUPPORT),
        };
        gate.map(Target::Gate).ok_or(Errno::NETUNREACH)
    }
}

impl Worker<'_> {
    /// Makes a socket for datagrams, which nobody can bind to more than the loopback.
    pub(super) fn answer_socket(&self, notification: &Notification) {
        let listener = &self.shared.listener;
        let [(family, _), (kind, _), ..] = notification.arguments.map(low_and_whole);
        match datagrams(family, kind) {
            Ok(socket) => {
                let close_on_exec = kind & libc::SOCK_CLOEXEC.cast_unsigned() != 0;
                listener.hand_over(notification, socket, close_on_exec);
            }
            Err(errno) => listener.refuse(notification, errno.raw_os_error()),
        }
    }

    /// Makes a unix socket listen, and others where the network is the session's own.
    pub(super) fn answer_listen(&self, notification: &Notification) {
        let shared = self.shared;
        let [(number, _), (backlog, _), ..] = notification.arguments.map(low_and_whole);
        let listen = || {
            let socket = shared
                .processes
                .descriptor(notification.thread, number.cast_signed())?;
            if !shared.listener.still_waits(notification) {
                return Err(Errno::SRCH);
            }
            match sockopt::socket_domain(&socket)? {
                AddressFamily::UNIX => rustix::net::listen(&socket, backlog.cast_signed()),
                _ if shared.ways.is_some() => Err(Errno::ACCESS),
                _ if !shared.peers.is_of_network(socket.as_fd()) => Err(Errno::ACCESS),
                _ => rustix::net::listen(&socket, backlog.cast_signed()),
            }
        };
        match listen() {
            Ok(()) => shared.listener.succeed(notification),
            Err(errno) => shared.listener.refuse(notification, errno.raw_os_error()),
        }
    }
}

fn datagrams(family: u32, kind: u32) -> Result<OwnedFd, Errno> {
    let (family, loopback) = match i32::try_from(family) {
        Ok(libc::AF_INET) => (AddressFamily::INET, IpAddr::from(Ipv4Addr::LOCALHOST)),
        Ok(libc::AF_INET6) => (AddressFamily::INET6, Ipv6Addr::LOCALHOST.into()),
        Ok(_) | Err(_) => return Err(Errno::AFNOSUPPORT),
    };
    let mut flags = SocketFlags::CLOEXEC;
    if kind & libc::SOCK_NONBLOCK.cast_unsigned() != 0 {
        flags |= SocketFlags::NONBLOCK;
    }
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    bind(&socket, &SocketAddr::from((loopback, 0)))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::net::getsockname;

    use super::*;

    /// At every address, whoever is in the same network could send to it.
    #[test]
    fn datagrams_are_heard_from_this_machine_only() {
        for (family, loopback) in [
            (libc::AF_INET, IpAddr::from(Ipv4Addr::LOCALHOST)),
            (libc::AF_INET6, Ipv6Addr::LOCALHOST.into()),
        ] {
            for kind in [libc::SOCK_DGRAM, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK] {
                let made = datagrams(family.cast_unsigned(), kind.cast_unsigned()).unwrap();
                let own = SocketAddr::try_from(getsockname(&made).unwrap()).unwrap();
                assert!(own.ip() == loopback && own.port() != 0, "{own}");
                let is_nonblocking = fcntl_getfl(&made).unwrap().contains(OFlags::NONBLOCK);
                assert_eq!(is_nonblocking, kind & libc::SOCK_NONBLOCK != 0);
            }
        }
        let other = datagrams(
            libc::AF_UNIX.cast_unsigned(),
            libc::SOCK_DGRAM.cast_unsigned(),
        );
        assert_eq!(other.unwrap_err(), Errno::AFNOSUPPORT);
    }
}
