//! Listeners at every address, where the kernel has no rules that turn connections to one.
//!
//! Every address is local already, and what listens at none in particular hears connections to all: to whom one is, the
//! kernel says as of any other (`getsockname`). But it listens at one port each; so only ports that are named lead to the
//! gate, and at every other nobody is, as at datagrams but for lookups.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use agentguard_core::Forcing;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, listen as wait_at, socket_with, sockopt,
};

use super::{GateListeners, LOOKUPS};
use crate::error::{Failure, Step};

/// What clients mean that name no port.
const USUAL: [u16; 2] = [80, 443];
/// Each takes two descriptors.
const MOST: usize = 8;
/// As many as may wait with what is turned by the kernel (`std::net::TcpListener`).
const QUEUE: i32 = 128;
const STEP: &str = "listen at every address";

/// Listens at the usual ports and these.
pub(super) fn listen(
    mut ports: BTreeSet<u16>,
    callers: Vec<OwnedFd>,
) -> Result<GateListeners, Failure> {
    ports.extend(USUAL);
    ports.remove(&LOOKUPS);
    if ports.len() > MOST {
        let why = format!(
            "this kernel has no nf_tables that can redirect, and grants name more than {MOST} ports"
        );
        return Err(Failure::new(STEP, why));
    }
    let mut listeners = GateListeners {
        forcing: Forcing::AnyAddress,
        connections: Vec::new(),
        lookups: Vec::new(),
        lookup_connections: Vec::new(),
        datagrams: Vec::new(),
        callers,
    };
    for address in [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
    ] {
        let lookups = match at((address, LOOKUPS).into(), SocketType::DGRAM) {
            // A kernel without it has nothing to connect to there either.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if address.is_ipv6() => break,
            lookups => lookups.step(STEP)?,
        };
        listeners.lookups.push(lookups);
        let by_tcp = at((address, LOOKUPS).into(), SocketType::STREAM).step(STEP)?;
        listeners.lookup_connections.push(by_tcp);
        for port in &ports {
            let step = || format!("listen at port {port} of every address");
            let connections = at((address, *port).into(), SocketType::STREAM).step(step())?;
            listeners.connections.push(connections);
        }
    }
    Ok(listeners)
}

fn at(address: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    if kind == SocketType::STREAM {
        wait_at(&socket, QUEUE)?;
    }
    Ok(socket)
}
