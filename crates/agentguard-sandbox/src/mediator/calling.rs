//! Who connects to the gate: told to it before a connection is made, since the mediator makes them all.
//!
//! A caller waits while it is looked at, so that what it runs is what connects. A socket is told by its cookie,
//! which no other ever has; so nobody who takes a number, a port or a process's id over is taken for the caller. Who
//! makes a connection in another way, as `sendto` with `MSG_FASTOPEN` does, is told by nobody, and unknown. What is
//! told says who connected, and not who writes: a socket can be handed on.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use agentguard_core::{Caller, Calling, Digest};
use rustix::net::{SocketType, sockopt};
use rustix::process::Pid;

use super::caller::Processes;
use super::image::{Images, is_settled, key_from};
use crate::plan::FileKey;

/// A write of no more is done whole or not at all (`PIPE_BUF`, pipe(7)).
const LONGEST: usize = 4096;
/// As many programs are remembered as one session may reasonably connect by.
const MOST_KNOWN: usize = 1024;
pub(super) const LOOKUPS: u16 = 53;

/// Tells the gate who connects.
#[derive(Debug)]
pub(super) struct Callings {
    line: OwnedFd,
    known: Mutex<HashMap<FileKey, Digest>>,
}

impl Callings {
    pub(super) fn new(line: OwnedFd) -> Self {
        Self {
            line,
            known: Mutex::default(),
        }
    }

    /// What is to be told of a connect of this socket, before the caller is let go; nothing where it does not lead to
    /// the gate.
    pub(super) fn look(
        &self,
        (images, processes): (&Images, &Processes),
        thread: Pid,
        (socket, address): (BorrowedFd<'_>, &[u8]),
    ) -> Option<Calling> {
        let caller = match destination(address) {
            Some((to, port)) if !leads_to_gate(socket, to, port)? => return None,
            Some(_) => self.caller(images, processes, thread),
            // It is connected to nobody any more, and whoever connects it next may be another.
            None if is_nobody(address) => Caller::unknown(),
            None => return None,
        };
        let socket = sockopt::socket_cookie(socket).ok()?;
        Some(Calling {
            socket,
            to: None,
            caller,
        })
    }

    /// What is to be told of whatever this socket sends to `to`, which only the mediator leads to the gate.
    pub(super) fn look_to(
        &self,
        (images, processes): (&Images, &Processes),
        thread: Pid,
        (socket, to): (BorrowedFd<'_>, SocketAddr),
    ) -> Option<Calling> {
        Some(Calling {
            socket: sockopt::socket_cookie(socket).ok()?,
            to: Some(to),
            caller: self.caller(images, processes, thread),
        })
    }

    /// Tells it, and returns whether it was told. Where the gate does not keep up it is not, and the caller is unknown
    /// there.
    pub(super) fn tell(&self, calling: &Calling) -> bool {
        let line = |calling: &Calling| {
            let mut line = serde_json::to_vec(calling).ok()?;
            line.push(b'\n');
            (line.len() <= LONGEST).then_some(line)
        };
        let unknown = || Calling {
            caller: Caller::unknown(),
            ..*calling
        };
        let line = line(calling).or_else(|| line(&unknown()));
        line.is_some_and(|line| rustix::io::write(self.line.as_fd(), &line).is_ok())
    }

    fn caller(&self, images: &Images, processes: &Processes, thread: Pid) -> Caller {
        let Some(path) = processes.link(thread, "exe") else {
            return Caller::unknown();
        };
        let sha256 = self.digest(images, processes, thread);
        Caller { path, sha256 }
    }

    /// What a program holds. Nobody can write to what runs, and what was written since has another time of change.
    fn digest(&self, images: &Images, processes: &Processes, thread: Pid) -> Option<Digest> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key_from(&processes.state(thread, "exe").ok()?).ok()?;
        if let Some(digest) = known().get(&key) {
            return Some(*digest);
        }
        let image = images.running(processes, thread, None).ok()?;
        let digest = image.program.sha256;
        if is_settled(&image.key) && known().len() < MOST_KNOWN {
            known().insert(image.key, digest);
        }
        Some(digest)
    }
}

/// Whether a connect to this address ends at the gate. What is the session's own is not looked at further.
fn leads_to_gate(socket: BorrowedFd<'_>, to: IpAddr, port: u16) -> Option<bool> {
    let is_stream = sockopt::socket_type(socket).ok()? == SocketType::STREAM;
    Some(port == LOOKUPS || is_stream && !to.to_canonical().is_loopback())
}

/// Address and port of a `struct sockaddr_in` or `sockaddr_in6`.
pub(super) fn destination(address: &[u8]) -> Option<(IpAddr, u16)> {
    let port = u16::from_be_bytes(*address.get(2..)?.first_chunk()?);
    let to = match family(address)? {
        libc::AF_INET => Ipv4Addr::from(*address.get(4..)?.first_chunk::<4>()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(*address.get(8..)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some((to, port))
}

pub(super) fn is_nobody(address: &[u8]) -> bool {
    family(address) == Some(libc::AF_UNSPEC)
}

fn family(address: &[u8]) -> Option<i32> {
    Some(u16::from_ne_bytes(*address.first_chunk()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_family(family: i32, rest: &[u8]) -> Vec<u8> {
        let family = u16::try_from(family).unwrap();
        [&family.to_ne_bytes()[..], rest].concat()
    }

    #[test]
    fn an_address_is_read_as_the_kernel_has_it_and_a_short_one_is_none() {
        let four = of_family(libc::AF_INET, &[1, 187, 203, 0, 113, 7, 0, 0]);
        let to = destination(&four);
        assert_eq!(to, Some((Ipv4Addr::new(203, 0, 113, 7).into(), 443)));
        let mut six = of_family(libc::AF_INET6, &[0, 53, 9, 9, 9, 9]);
        six.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(destination(&six), Some((Ipv6Addr::LOCALHOST.into(), 53)));
        for length in 0..7 {
            assert_eq!(destination(&four[..length]), None, "{length}");
        }
        assert_eq!(destination(&six[..23]), None);
        assert_eq!(
            destination(&of_family(libc::AF_UNIX, b"/a-path-of-some-length")),
            None
        );
        assert!(is_nobody(&of_family(libc::AF_UNSPEC, &[])) && !is_nobody(&four));
    }

    #[test]
    fn what_the_session_keeps_to_itself_is_not_told() {
        use std::net::{TcpListener, UdpSocket};
        let (tcp, udp) = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let is_told = |socket: BorrowedFd<'_>, to: &str, port| {
            leads_to_gate(socket, to.parse().unwrap(), port).unwrap()
        };
        for (to, port, by_tcp, by_udp) in [
            ("127.0.0.1", 80, false, false),
            ("::1", 80, false, false),
            ("::ffff:127.0.0.1", 80, false, false),
            ("127.0.0.53", 53, true, true),
            ("203.0.113.7", 443, true, false),
        ] {
            assert_eq!(is_told(tcp.as_fd(), to, port), by_tcp, "{to}");
            assert_eq!(is_told(udp.as_fd(), to, port), by_udp, "{to}");
        }
    }

    #[test]
    fn a_line_is_told_whole_or_says_less_and_a_full_one_holds_nobody_up() {
        use std::io::Read as _;
        let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
        let (read, write) = rustix::pipe::pipe_with(flags).unwrap();
        let callings = Callings::new(write);
        let calling = |path: String| Calling {
            socket: 7,
            to: None,
            caller: Caller { path, sha256: None },
        };
        callings.tell(&calling("/bin/a".to_owned()));
        callings.tell(&calling("\u{1}".repeat(4000)));
        let mut bytes = [0; 4096];
        let length = std::fs::File::from(read.try_clone().unwrap())
            .read(&mut bytes)
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&bytes[..length]),
            "{\"socket\":7,\"path\":\"/bin/a\"}\n{\"socket\":7,\"path\":\"unknown\"}\n"
        );
        for _ in 0..10_000 {
            callings.tell(&calling("/bin/a".to_owned()));
        }
    }
}
