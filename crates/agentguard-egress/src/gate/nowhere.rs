//! Datagrams that go nowhere: whom each was for is written down.
//!
//! The kernel has answered by then that nobody is there. What repeats is counted by the record; of what is different each
//! time so much is told as takes little of the log, and the rest waits in the socket for as long as there is room.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use agentguard_core::{AddressClass, Reach, ReachedBy, Rule};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::accept::Shared;

/// So many are told apart within a while: whoever sends more is seen to.
const MOST: usize = 64;
const A_WHILE: Duration = Duration::from_secs(1);
/// More than the heads of a packet and of its datagram take.
const HEADS: usize = 128;
/// What comes next in a packet: datagrams of both kinds, and a piece of one.
const DATAGRAM: [u8; 2] = [17, 136];
const FRAGMENT: u8 = 44;

/// Makes ready what hears of them: it is read as any socket of datagrams is.
pub(super) fn open(socket: OwnedFd) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Has each written down.
pub(super) async fn hear(socket: UdpSocket, shared: Arc<Shared>) {
    let (mut known, mut since) = (HashSet::new(), Instant::now());
    loop {
        let mut packet = [0; HEADS];
        let Ok(length) = socket.peek(&mut packet).await else {
            // The network is gone, or it is tried again.
            tokio::task::yield_now().await;
            continue;
        };
        let Some((from, to)) = read(packet.get(..length).unwrap_or_default()) else {
            take(&socket);
            continue;
        };
        if known.len() >= MOST && !known.contains(&to) {
            sleep_until(since + A_WHILE).await;
        }
        if since.elapsed() >= A_WHILE {
            (known, since) = (HashSet::new(), Instant::now());
        }
        known.insert(to);
        let rule = Rule::new("gate/datagram", "nothing but lookups goes out as datagrams")
            .with_remedy("use TCP: what speaks QUIC falls back to it");
        if shared
            .guard
            .refuse(reach(&shared, from, to), rule)
            .await
            .is_err()
        {
            return;
        }
        take(&socket);
    }
}

/// Takes one away that was told of. As long as it lies there the guard knows that it was not.
fn take(socket: &UdpSocket) {
    let _ = socket.try_recv(&mut [0; 1]);
}

fn reach(shared: &Shared, from: u16, to: SocketAddr) -> Reach {
    let caller = shared
        .callers
        .of_lookup((Ipv4Addr::UNSPECIFIED, from).into());
    let names = shared.names.lock().unwrap_or_else(PoisonError::into_inner);
    let name = names.name_at(to.ip()).map(ToString::to_string);
    Reach {
        by: ReachedBy::Connect,
        class: name.is_none().then(|| AddressClass::of(to.ip())),
        host: name.unwrap_or_else(|| to.ip().to_string()),
        port: Some(to.port()),
        granted: false,
        caller: caller.path,
        caller_sha256: caller.sha256,
    }
}

/// From which port a datagram is, and whom it is for.
fn read(packet: &[u8]) -> Option<(u16, SocketAddr)> {
    let first = *packet.first()?;
    let (protocol, to, head) = match first >> 4 {
        4 => {
            let to: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            let head = usize::from(first & 15) * 4;
            (*packet.get(9)?, IpAddr::from(Ipv4Addr::from(to)), head)
        }
        6 => {
            let to: [u8; 16] = *packet.get(24..)?.first_chunk()?;
            let to = IpAddr::from(Ipv6Addr::from(to));
            match *packet.get(6)? {
                // RFC 8200, section 4.5: the first says its ports.
                FRAGMENT if two(packet, 42)? & !7 == 0 => (*packet.get(40)?, to, 48),
                next => (next, to, 40),
            }
        }
        _ => return None,
    };
    if !DATAGRAM.contains(&protocol) {
        return None;
    }
    Some((two(packet, head)?, (to, two(packet, head + 2)?).into()))
}

fn two(packet: &[u8], at: usize) -> Option<u16> {
    let bytes = packet.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four(protocol: u8, options: usize) -> Vec<u8> {
        let words = 5 + u8::try_from(options).unwrap();
        let mut packet = vec![0; 20 + 4 * options];
        packet[0] = 0x40 | words;
        packet[9] = protocol;
        packet[16..20].copy_from_slice(&[203, 0, 113, 9]);
        packet.extend([0x12, 0x34, 1, 187, 0, 8, 0, 0]);
        packet
    }

    fn six(next: u8, between: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[6] = next;
        let to: Ipv6Addr = "2001:db8::1".parse().unwrap();
        packet[24..40].copy_from_slice(&to.octets());
        packet.extend(between);
        packet.extend([0x12, 0x34, 1, 187, 0, 8, 0, 0]);
        packet
    }

    #[test]
    fn whom_a_datagram_is_for_is_read_from_its_heads() {
        let to = |text: &str| Some((0x1234, text.parse().unwrap()));
        for (protocol, options) in [(17, 0), (17, 10), (136, 1)] {
            assert_eq!(read(&four(protocol, options)), to("203.0.113.9:443"));
        }
        assert_eq!(read(&six(17, &[])), to("[2001:db8::1]:443"));
        let first = [17, 0, 0, 1, 0, 0, 0, 7];
        assert_eq!(read(&six(44, &first)), to("[2001:db8::1]:443"));
        let later = [17, 0, 0, 9, 0, 0, 0, 7];
        assert_eq!(read(&six(44, &later)), None);
        for other in [four(6, 0), six(6, &[]), six(58, &[])] {
            assert_eq!(read(&other), None);
        }
        let whole = four(17, 10);
        for length in 0..whole.len() {
            // However little of it came.
            let _ = read(&whole[..length]);
        }
    }
}
