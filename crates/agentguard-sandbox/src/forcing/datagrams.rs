//! Hears of datagrams that go nowhere.
//!
//! Every address is one of the session's own, and at hardly any somebody listens: the kernel answers as a port does that is
//! closed, so that clients fall back at once. These sockets are handed a copy of what was sent, for the gate to write down
//! whom it was for: of datagrams that are for others than the loopback, and neither ask for a name nor answer that.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};

use super::LOOKUPS;
use crate::error::{Failure, Step};
use crate::sys::{self, Instruction};

const STEP: &str = "hear of datagrams that go nowhere";
/// More than the heads of a packet and of its datagram take.
const HEADS: u32 = 128;
const FRAGMENT: u32 = 44;
const UDP: u32 = 17;
const UDP_LITE: u32 = 136;

// linux/bpf_common.h
const LOAD_BYTE: u16 = 0x30;
const LOAD_TWO: u16 = 0x28;
const LOAD_FOUR: u16 = 0x20;
const LOAD_TWO_BEHIND_HEAD: u16 = 0x48;
const LENGTH_OF_HEAD: u16 = 0xb1;
const IS: u16 = 0x15;
const HAS_BITS: u16 = 0x45;
const RETURN: u16 = 0x06;

/// How many datagrams there was no room for in such a socket, since it was last asked.
///
/// # Errors
///
/// Returns an error where it is no socket of packets.
pub fn unheard(socket: BorrowedFd<'_>) -> io::Result<u32> {
    sys::packets_dropped(socket)
}

/// One socket for each family.
pub(super) fn hear() -> Result<Vec<OwnedFd>, Failure> {
    let lookups = u32::from(LOOKUPS);
    let four = [
        (LOAD_BYTE, 0, 0, 9), // its protocol
        (IS, 1, 0, UDP),
        (IS, 0, 10, UDP_LITE),
        (LOAD_BYTE, 0, 0, 16), // the first byte of the destination
        (IS, 8, 0, 127),
        (LOAD_TWO, 0, 0, 6), // only the first fragment says its port
        (HAS_BITS, 6, 0, 0x1fff),
        (LENGTH_OF_HEAD, 0, 0, 0),
        (LOAD_TWO_BEHIND_HEAD, 0, 0, 2),
        (IS, 3, 0, lookups),
        (LOAD_TWO_BEHIND_HEAD, 0, 0, 0), // from there the gate answers, and nobody else can
        (IS, 1, 0, lookups),
        (RETURN, 0, 0, HEADS),
        (RETURN, 0, 0, 0),
    ];
    let six = [
        (LOAD_BYTE, 0, 0, 6), // what comes next
        (IS, 6, 0, FRAGMENT),
        (IS, 1, 0, UDP),
        (IS, 0, 13, UDP_LITE),
        (LOAD_TWO, 0, 0, 42), // the port
        (IS, 11, 0, lookups),
        (LOAD_TWO, 0, 0, 40),
        (IS, 9, 0, lookups),
        (LOAD_FOUR, 0, 0, 24), // the destination: is it `::1`?
        (IS, 0, 6, 0),
        (LOAD_FOUR, 0, 0, 28),
        (IS, 0, 4, 0),
        (LOAD_FOUR, 0, 0, 32),
        (IS, 0, 2, 0),
        (LOAD_FOUR, 0, 0, 36),
        (IS, 1, 0, 1),
        (RETURN, 0, 0, HEADS),
        (RETURN, 0, 0, 0),
    ];
    Ok(vec![
        heard(libc::ETH_P_IP, &four).step(STEP)?,
        heard(libc::ETH_P_IPV6, &six).step(STEP)?,
    ])
}

fn heard(family: libc::c_int, program: &[(u16, u8, u8, u32)]) -> Result<OwnedFd, Errno> {
    // The network says it with its first byte first.
    let family = u16::try_from(family).map_err(|_| Errno::INVAL)?.to_be();
    let protocol = NonZeroU32::new(family.into()).map(Protocol::from_raw);
    let kind = SocketType::DGRAM;
    let socket = socket_with(AddressFamily::PACKET, kind, SocketFlags::CLOEXEC, protocol)?;
    let program: Vec<_> = program
        .iter()
        .map(|(code, jt, jf, k)| Instruction {
            code: *code,
            jt: *jt,
            jf: *jf,
            k: *k,
        })
        .collect();
    let attached = sys::attach_filter(socket.as_fd(), &program);
    attached.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))?;
    Ok(socket)
}
