//! Who made a connection: what the mediator said of the socket before it connected it.
//!
//! The mediator names sockets by their cookies. Which socket a connection is of is asked of the kernel, once a
//! connection, by both its addresses (sock_diag(7)). What it does not tell, or nobody told, is unknown.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use agentguard_core::{Caller, Calling};
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Sockets that were told of and not seen yet: lookups', and those whose connection failed.
const MOST_KNOWN: usize = 4096;
/// What the kernel says at once is shorter (`netlink_dump`).
const AT_ONCE: usize = 32 << 10;

/// Tells callers apart.
pub(super) struct Callers(Option<Mutex<Known>>);

struct Known {
    /// Where the mediator says who connects.
    line: OwnedFd,
    /// Where the kernel is asked.
    sockets: OwnedFd,
    /// What of a line has come.
    rest: Vec<u8>,
    by_socket: HashMap<u64, Calling>,
    order: VecDeque<u64>,
    asked: u32,
}

impl Callers {
    /// Takes what was handed over: a line and a socket, or nothing.
    pub(super) fn new(handed: Vec<OwnedFd>) -> Self {
        let [line, sockets] = match <[OwnedFd; 2]>::try_from(handed) {
            Ok(both) => both,
            Err(_) => return Self(None),
        };
        Self(Some(Mutex::new(Known {
            line,
            sockets,
            rest: Vec::new(),
            by_socket: HashMap::new(),
            order: VecDeque::new(),
            asked: 0,
        })))
    }

    /// Who made the connection that came from `from` and was made to `to`. It is asked once: a socket that is connected
    /// anew is told of anew.
    pub(super) fn of_connection(&self, from: SocketAddr, to: SocketAddr) -> Caller {
        let told = self.told_of(from, to);
        told.map_or_else(Caller::unknown, |told| told.caller)
    }

    /// What was told of it, if anything was.
    pub(super) fn told_of(&self, from: SocketAddr, to: SocketAddr) -> Option<Calling> {
        self.of(|known| {
            let socket = known.ask(&Request::of_connection(from, to))?;
            known.take(single(socket)?)
        })
    }

    /// Who looks up from `from`, if only one socket is there that could.
    pub(super) fn of_lookup(&self, from: SocketAddr) -> Caller {
        let told = self.told_of_lookup(from);
        told.map_or_else(Caller::unknown, |told| told.caller)
    }

    /// What was told of it, if anything was.
    pub(super) fn told_of_lookup(&self, from: SocketAddr) -> Option<Calling> {
        self.of(|known| {
            let mut sockets = Vec::new();
            for family in [libc_family::INET, libc_family::INET6] {
                sockets.extend(known.ask(&Request::of_datagrams(family, from.port()))?);
            }
            known.by_socket.get(&single(sockets)?).cloned()
        })
    }

    fn of(&self, find: impl FnOnce(&mut Known) -> Option<Calling>) -> Option<Calling> {
        let known = self.0.as_ref()?;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.hear();
        find(&mut known)
    }
}

/// Of several nobody knows which it was.
fn single(sockets: Vec<u64>) -> Option<u64> {
    match sockets[..] {
        [socket] => Some(socket),
        _ => None,
    }
}

impl Known {
    /// Reads all that was said by now.
    fn hear(&mut self) {
        let mut buffer = vec![0; AT_ONCE];
        while let Ok(length @ 1..) = rustix::io::read(&self.line, &mut buffer) {
            self.rest
                .extend_from_slice(buffer.get(..length).unwrap_or_default());
            let mut rest = std::mem::take(&mut self.rest);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let after = rest.split_off(end + 1);
                // The first may be the end of one that another gate read.
                if let Ok(calling) = serde_json::from_slice::<Calling>(&rest) {
                    self.keep(calling);
                }
                rest = after;
            }
            rest.truncate(AT_ONCE); // no line is as long
            self.rest = rest;
        }
    }

    fn keep(&mut self, calling: Calling) {
        let socket = calling.socket;
        if self.by_socket.insert(socket, calling).is_none() {
            self.order.push_back(socket);
        }
        while self.order.len() > MOST_KNOWN {
            if let Some(oldest) = self.order.pop_front() {
                self.by_socket.remove(&oldest);
            }
        }
    }

    /// What was told of a socket, which is told of anew where it connects once more.
    fn take(&mut self, socket: u64) -> Option<Calling> {
        let told = self.by_socket.remove(&socket)?;
        self.order.retain(|known| *known != socket);
        Some(told)
    }

    /// Which sockets the kernel has that are as a request says; none where it does not say.
    fn ask(&mut self, request: &Request) -> Option<Vec<u64>> {
        self.asked = self.asked.wrapping_add(1);
        let bytes = request.to_bytes(self.asked);
        send(&self.sockets, &bytes, SendFlags::empty()).ok()?;
        let (mut found, mut buffer) = (Vec::new(), vec![0; AT_ONCE]);
        loop {
            // The kernel has answered when it has taken the question.
            let (length, _) = recv(&self.sockets, &mut buffer, RecvFlags::DONTWAIT).ok()?;
            let mut rest = buffer.get(..length).filter(|said| !said.is_empty())?;
            while !rest.is_empty() {
                let (said, after) = Said::first(rest, self.asked)?;
                match said {
                    Said::Socket(socket) => {
                        found.extend(request.is_of(&socket).then_some(socket.cookie));
                        if !request.is_dump {
                            return Some(found);
                        }
                    }
                    Said::Over => return Some(found),
                    Said::Earlier => {}
                }
                rest = after;
            }
        }
    }
}

/// The numbers of families and protocols in the kernel's messages.
mod libc_family {
    pub(super) const INET: u8 = 2;
    pub(super) const INET6: u8 = 10;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
}

/// A `struct nlmsghdr` with a `struct inet_diag_req_v2` (linux/inet_diag.h).
struct Request {
    family: u8,
    protocol: u8,
    is_dump: bool,
    near: (IpAddr, u16),
    far: (IpAddr, u16),
}

/// What the kernel says of a socket.
#[derive(Debug, Eq, PartialEq)]
struct Socket {
    far_port: u16,
    cookie: u64,
}

impl Request {
    fn of_connection(from: SocketAddr, to: SocketAddr) -> Self {
        let (near, far) = (from.ip().to_canonical(), to.ip().to_canonical());
        Self {
            family: match near {
                IpAddr::V4(_) => libc_family::INET,
                IpAddr::V6(_) => libc_family::INET6,
            },
            protocol: libc_family::TCP,
            is_dump: false,
            near: (near, from.port()),
            far: (far, to.port()),
        }
    }

    /// Every one that sends from a port.
    fn of_datagrams(family: u8, port: u16) -> Self {
        let any = match family {
            libc_family::INET => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self {
            family,
            protocol: libc_family::UDP,
            is_dump: true,
            near: (any, port),
            far: (any, 0),
        }
    }

    fn to_bytes(&self, number: u32) -> Vec<u8> {
        const SOCK_DIAG_BY_FAMILY: u16 = 20; // linux/sock_diag.h
        const NLM_F_REQUEST: u16 = 1; // linux/netlink.h
        const NLM_F_DUMP: u16 = 0x300;
        let flags = match self.is_dump {
            true => NLM_F_REQUEST | NLM_F_DUMP,
            false => NLM_F_REQUEST,
        };
        let mut bytes = 72u32.to_ne_bytes().to_vec();
        bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(number.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend([self.family, self.protocol, 0, 0]);
        bytes.extend(u32::MAX.to_ne_bytes()); // in any state
        bytes.extend(self.near.1.to_be_bytes());
        bytes.extend(self.far.1.to_be_bytes());
        for address in [self.near.0, self.far.0] {
            match address {
                IpAddr::V4(address) => {
                    bytes.extend(address.octets());
                    bytes.extend([0; 12]);
                }
                IpAddr::V6(address) => bytes.extend(address.octets()),
            }
        }
        bytes.extend([0; 4]); // at any interface
        bytes.extend([0xff; 8]); // no cookie is known
        bytes
    }

    /// Whether it is the one that was asked for, whose near port the kernel goes by: where there is none, it tells of
    /// one that listens there.
    fn is_of(&self, socket: &Socket) -> bool {
        self.is_dump || self.far.1 == socket.far_port
    }
}

/// One of the kernel's messages.
#[derive(Debug, Eq, PartialEq)]
enum Said {
    Socket(Socket),
    /// There are no more, or there is none.
    Over,
    /// The rest of an answer to somebody else's question.
    Earlier,
}

impl Said {
    /// The first message, and what follows.
    fn first(bytes: &[u8], number: u32) -> Option<(Self, &[u8])> {
        const NLMSG_ERROR: u16 = 2;
        const NLMSG_DONE: u16 = 3;
        let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
        let body = bytes.get(16..length)?;
        let after = bytes.get((length + 3) & !3..).unwrap_or_default();
        let of = u32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
        let said = match kind {
            _ if of != number => Self::Earlier,
            NLMSG_DONE | NLMSG_ERROR => Self::Over,
            _ => Self::Socket(Socket::read(body)?),
        };
        Some((said, after))
    }
}

impl Socket {
    /// Reads a `struct inet_diag_msg`: its far port follows six bytes, its cookie both addresses and the interface.
    fn read(body: &[u8]) -> Option<Self> {
        let low = u32::from_ne_bytes(*body.get(44..)?.first_chunk()?);
        let high = u32::from_ne_bytes(*body.get(48..)?.first_chunk()?);
        Some(Self {
            far_port: u16::from_be_bytes(*body.get(6..)?.first_chunk()?),
            cookie: u64::from(high) << 32 | u64::from(low),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with, sockopt};
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    struct Session {
        callers: Callers,
        line: OwnedFd,
    }

    impl Session {
        fn new() -> Self {
            let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
            let (told, line) = pipe_with(flags).unwrap();
            let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
            let protocol = Some(netlink::SOCK_DIAG);
            let sockets = socket_with(family, kind, SocketFlags::CLOEXEC, protocol).unwrap();
            let callers = Callers::new(vec![told, sockets]);
            Self { callers, line }
        }

        fn say(&self, socket: u64, path: &str) {
            let line = format!("{{\"socket\":{socket},\"path\":\"{path}\"}}\n");
            rustix::io::write(&self.line, line.as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_socket_that_is_told_of_anew_is_the_newest() {
        let session = Session::new();
        session.callers.of(|known| {
            let keep = |known: &mut Known, socket| {
                let told = format!("{{\"socket\":{socket},\"path\":\"/bin/{socket}\"}}");
                known.keep(serde_json::from_str(&told).unwrap());
            };
            keep(known, 0);
            assert!(known.take(0).is_some());
            (1..).take(MOST_KNOWN - 1).for_each(|one| keep(known, one));
            keep(known, 0);
            keep(known, u64::MAX);
            assert_eq!(known.by_socket.len(), MOST_KNOWN);
            assert!(known.take(1).is_none());
            known.take(0)
        });
        assert!(session.callers.of(|known| known.take(2)).is_some());
    }

    #[test]
    fn a_connection_is_of_whom_its_socket_was_told() {
        let session = Session::new();
        for (at, is_six) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
            let server = TcpListener::bind(at).unwrap();
            let to = server.local_addr().unwrap();
            assert_eq!(to.is_ipv6(), is_six);
            let both = [
                TcpStream::connect(to).unwrap(),
                TcpStream::connect(to).unwrap(),
            ];
            for (stream, path) in both.iter().zip(["/bin/one", "/bin/two"]) {
                session.say(sockopt::socket_cookie(stream).unwrap(), path);
            }
            let of = |stream: &TcpStream| {
                let from = stream.local_addr().unwrap();
                session.callers.of_connection(from, to).path
            };
            assert_eq!(of(&both[1]), "/bin/two");
            assert_eq!(of(&both[0]), "/bin/one");
            // It was told of one connection.
            assert_eq!(of(&both[0]), "unknown");
            // Nobody is there any more, or it is who listens.
            let nobody = "127.0.0.1:1".parse().unwrap();
            assert_eq!(session.callers.of_connection(nobody, to).path, "unknown");
            session.say(sockopt::socket_cookie(&server).unwrap(), "/bin/server");
            assert_eq!(session.callers.of_connection(to, nobody).path, "unknown");
            let gone = TcpStream::connect(to).unwrap();
            assert_eq!(of(&gone), "unknown");
        }
    }

    #[test]
    fn a_lookup_is_of_the_one_socket_that_could_have_sent_it() {
        let session = Session::new();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        session.say(sockopt::socket_cookie(&socket).unwrap(), "/bin/asks");
        let from = socket.local_addr().unwrap();
        for _ in 0..2 {
            assert_eq!(session.callers.of_lookup(from).path, "/bin/asks");
        }
        // One that has a peer is one as well.
        socket.connect("127.0.0.1:53").unwrap();
        assert_eq!(session.callers.of_lookup(from).path, "/bin/asks");
        for address in ["::1", "127.0.0.2"] {
            let other = UdpSocket::bind((address, from.port())).unwrap();
            session.say(sockopt::socket_cookie(&other).unwrap(), "/bin/other");
            assert_eq!(session.callers.of_lookup(from).path, "unknown", "{address}");
        }
        assert_eq!(session.callers.of_lookup(from).path, "/bin/asks");
    }

    #[test]
    fn a_connection_is_told_from_what_else_has_its_port() {
        let session = Session::new();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let stream = TcpStream::connect(to).unwrap();
        let from = stream.local_addr().unwrap();
        // The same ports, and other addresses.
        let _server = TcpListener::bind(("127.0.0.2", to.port())).unwrap();
        let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
        let other = socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
        let near = SocketAddr::from(([127, 0, 0, 2], from.port()));
        rustix::net::bind(&other, &near).unwrap();
        let far = SocketAddr::from(([127, 0, 0, 2], to.port()));
        rustix::net::connect(&other, &far).unwrap();
        session.say(sockopt::socket_cookie(&other).unwrap(), "/bin/other");
        session.say(sockopt::socket_cookie(&stream).unwrap(), "/bin/one");
        assert_eq!(session.callers.of_connection(from, to).path, "/bin/one");
        assert_eq!(session.callers.of_connection(near, far).path, "/bin/other");
    }

    #[test]
    fn what_is_said_in_pieces_or_is_no_line_harms_nobody() {
        let session = Session::new();
        let known = session.callers.0.as_ref().unwrap();
        for piece in [
            "end of a line\"}\n{\"socket\":5,",
            "\"path\":\"/bin/a\"}\n{\"sock",
        ] {
            rustix::io::write(&session.line, piece.as_bytes()).unwrap();
            known.lock().unwrap().hear();
        }
        rustix::io::write(&session.line, "x".repeat(60_000).as_bytes()).unwrap();
        known.lock().unwrap().hear();
        let mut known = known.lock().unwrap();
        assert_eq!(known.by_socket[&5].caller.path, "/bin/a");
        assert!(known.rest.len() <= AT_ONCE);
        for socket in 0..9000 {
            known.keep(Calling {
                socket,
                to: None,
                caller: Caller::unknown(),
            });
        }
        assert_eq!(
            (known.by_socket.len(), known.order.len()),
            (MOST_KNOWN, MOST_KNOWN)
        );
        assert!(Callers::new(Vec::new()).0.is_none());
    }

    #[test]
    fn what_the_kernel_says_is_read_whole_or_not_at_all() {
        let request = Request::of_connection(
            "198.18.0.1:1234".parse().unwrap(),
            "203.0.113.7:443".parse().unwrap(),
        );
        assert_eq!(request.to_bytes(1).len(), 72);
        let mut message = vec![0; 16 + 72];
        message[0] = 88;
        message[4] = 20;
        message[8] = 7;
        for length in 0..message.len() {
            assert_eq!(Said::first(&message[..length], 7), None, "{length}");
        }
        assert!(
            matches!(Said::first(&message, 7), Some((Said::Socket(_), rest)) if rest.is_empty())
        );
        assert_eq!(
            Said::first(&message, 8).map(|(said, _)| said),
            Some(Said::Earlier)
        );
        let two = [message.as_slice(), &message].concat();
        let rest = Said::first(&two, 7).map(|(_, rest)| rest);
        assert_eq!(rest, Some(message.as_slice()));
    }
}
