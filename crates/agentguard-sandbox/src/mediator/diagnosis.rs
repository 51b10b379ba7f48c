//! Asks the kernel which unix sockets of this network namespace are bound to which inodes (sock_diag(7)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};

const SOCK_DIAG_BY_FAMILY: u16 = 20; // linux/sock_diag.h
const NLM_F_REQUEST_DUMP: u16 = 0x301; // linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const UDIAG_SHOW_VFS: u32 = 2; // linux/unix_diag.h
const UNIX_DIAG_VFS: u16 = 1;
const ESTABLISHED: u8 = 1; // net/tcp_states.h, of which unix sockets use three
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct unix_diag_msg`.
const MESSAGE: usize = 16;
/// `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// The kernel fills at most so much at once (`netlink_dump`).
const AT_ONCE: usize = 32 << 10;

/// A file that a socket is bound to, as the kernel has it and not as stat(2) shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bound {
    /// The low bits of the inode's number.
    pub(super) inode: u32,
    /// The file system's device: `major << 20 | minor`.
    pub(super) device: u32,
}

/// Whether a socket of this namespace is bound to this file, and could be connected to.
///
/// What the host accepted from a caller in here is a socket of this namespace too, and has the name of the
/// one it was accepted on: that is a connection, and counts for nothing.
pub(super) fn is_bound(diagnosis: BorrowedFd<'_>, wanted: Bound) -> io::Result<bool> {
    send(diagnosis, &request(), SendFlags::empty())?;
    let (mut found, mut buffer) = (false, vec![0; AT_ONCE]);
    loop {
        let (length, _) = recv(diagnosis.as_fd(), &mut buffer, RecvFlags::empty())?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Err(garbled());
        }
        while !rest.is_empty() {
            let (kind, body, after) = message(rest).ok_or_else(garbled)?;
            match kind {
                NLMSG_DONE => return Ok(found),
                NLMSG_ERROR => return Err(refused(body)),
                _ => found |= bound(body) == Some(wanted),
            }
            rest = after;
        }
    }
}

/// A `struct nlmsghdr` with a `struct unix_diag_req`: every socket, in whatever state.
fn request() -> Vec<u8> {
    let length = 40u32;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    bytes.extend([0; 8]); // sequence, port
    bytes.extend([1, 0, 0, 0]); // AF_UNIX, protocol, padding
    bytes.extend(u32::MAX.to_ne_bytes()); // states
    bytes.extend(0u32.to_ne_bytes()); // any socket
    bytes.extend(UDIAG_SHOW_VFS.to_ne_bytes());
    bytes.extend([0xff; 8]); // no cookie
    bytes
}

/// The first message: its kind, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..length)?;
    Some((kind, body, bytes.get(aligned(length)..).unwrap_or_default()))
}

/// The file that a socket is bound to, where it is one that can be connected to.
fn bound(body: &[u8]) -> Option<Bound> {
    let [_, kind, state, _] = *body.first_chunk()?;
    let is_datagram = libc::c_int::from(kind) == libc::SOCK_DGRAM;
    if state == ESTABLISHED && !is_datagram {
        return None;
    }
    let mut rest = body.get(MESSAGE..)?;
    while !rest.is_empty() {
        let [low, high, kind_low, kind_high] = *rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let value = rest.get(ATTRIBUTE..length)?;
        if u16::from_ne_bytes([kind_low, kind_high]) == UNIX_DIAG_VFS {
            return Some(Bound {
                inode: u32::from_ne_bytes(*value.first_chunk()?),
                device: u32::from_ne_bytes(*value.get(4..)?.first_chunk()?),
            });
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    None
}

const fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

fn refused(body: &[u8]) -> io::Error {
    let number = body
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    io::Error::from_raw_os_error(number.saturating_neg())
}

fn garbled() -> io::Error {
    io::Error::other("the kernel's answer about sockets cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `struct unix_diag_msg` with the attributes of a bound socket and of its name before.
    fn of(kind: i32, state: u8) -> Vec<u8> {
        let mut bytes = vec![1, u8::try_from(kind).unwrap(), state, 0];
        bytes.extend([0; 12]);
        bytes.extend([6, 0, 0, 0, b'a', b'b', 0, 0]);
        bytes.extend([12, 0, 1, 0]);
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(9u32.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_connection_is_nobody_who_listens() {
        let file = Some(Bound {
            inode: 7,
            device: 9,
        });
        assert_eq!(bound(&of(libc::SOCK_STREAM, 10)), file);
        assert_eq!(bound(&of(libc::SOCK_STREAM, 7)), file);
        assert_eq!(bound(&of(libc::SOCK_STREAM, ESTABLISHED)), None);
        assert_eq!(bound(&of(libc::SOCK_SEQPACKET, ESTABLISHED)), None);
        assert_eq!(bound(&of(libc::SOCK_DGRAM, ESTABLISHED)), file);
    }

    #[test]
    fn what_is_cut_off_is_read_as_nothing() {
        let whole = of(libc::SOCK_STREAM, 10);
        for length in 0..whole.len() {
            assert_eq!(bound(&whole[..length]), None, "{length}");
        }
        assert!(message(&[40, 0, 0, 0, 20, 0, 0, 0]).is_none());
        assert!(message(&[4, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_none());
    }

    #[test]
    fn only_the_file_that_a_socket_is_bound_to_is_the_one() {
        use std::os::unix::fs::MetadataExt as _;
        let path = format!("/dev/shm/agentguard-bound-{}", std::process::id());
        let bound = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let file = std::fs::metadata(&path).unwrap();
        let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
        let own = Bound {
            inode: u32::try_from(file.ino()).unwrap(),
            device: major << 20 | minor,
        };
        let elsewhere = Bound {
            device: own.device ^ 1 << 19,
            ..own
        };
        let other = Bound {
            inode: own.inode ^ 1 << 30,
            ..own
        };
        let is_one = |wanted| {
            let (family, raw) = (
                rustix::net::AddressFamily::NETLINK,
                rustix::net::SocketType::RAW,
            );
            let protocol = Some(rustix::net::netlink::SOCK_DIAG);
            let asked = rustix::net::socket(family, raw, protocol).unwrap();
            is_bound(asked.as_fd(), wanted).unwrap()
        };
        assert_eq!([own, elsewhere, other].map(is_one), [true, false, false]);
        drop(bound);
        assert!(!is_one(own));
        std::fs::remove_file(path).unwrap();
    }
}
