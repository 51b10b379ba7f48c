//! Listeners for the gate of a session that has no network of its own: on the host's loopback, where the mediator
//! connects what callers would have connected elsewhere.
//!
//! Whoever else on the machine connects to them is told of by nobody, and not served.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};

use agentguard_core::Forcing;

use super::{Forced, GateListeners, callers, is_missing};
use crate::error::{Failure, Step};

const STEP: &str = "listen for the gate";

/// Where the gate listens.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) connections: Way,
    pub(crate) lookups: Way,
    pub(crate) lookup_connections: Way,
}

/// One listener, on the loopback of either family.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    four: Option<u16>,
    six: Option<u16>,
}

impl Way {
    /// Its address for a socket of IPv4.
    pub(crate) fn four(self) -> Option<SocketAddr> {
        Some((Ipv4Addr::LOCALHOST, self.four?).into())
    }

    /// Its address for a socket of IPv6.
    pub(crate) fn six(self) -> Option<SocketAddr> {
        Some((Ipv6Addr::LOCALHOST, self.six?).into())
    }

    /// Its address for a socket of IPv6 that is connected by IPv4.
    pub(crate) fn mapped(self) -> Option<SocketAddr> {
        let address = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        Some(SocketAddrV6::new(address, self.four?, 0, 0).into())
    }

    fn add(&mut self, at: SocketAddr) {
        match at {
            SocketAddr::V4(at) => self.four = Some(at.port()),
            SocketAddr::V6(at) => self.six = Some(at.port()),
        }
    }
}

/// Listens for a gate on ports of the host's that the kernel chooses.
pub(crate) fn listen_beside() -> Result<(Forced, Ways), Failure> {
    let mut listeners = GateListeners {
        forcing: Forcing::Mediated,
        connections: Vec::new(),
        lookups: Vec::new(),
        lookup_connections: Vec::new(),
        datagrams: Vec::new(), // the mediator hears of them
        callers: Vec::new(),
    };
    let mut ways = Ways {
        connections: Way::default(),
        lookups: Way::default(),
        lookup_connections: Way::default(),
    };
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        let connections = TcpListener::bind((address, 0));
        if address.is_ipv6() && is_missing(&connections) {
            break;
        }
        let connections = connections.step(STEP)?;
        let lookups = UdpSocket::bind((address, 0)).step(STEP)?;
        let by_tcp = TcpListener::bind((address, 0)).step(STEP)?;
        ways.connections.add(connections.local_addr().step(STEP)?);
        ways.lookups.add(lookups.local_addr().step(STEP)?);
        ways.lookup_connections.add(by_tcp.local_addr().step(STEP)?);
        listeners.connections.push(connections.into());
        listeners.lookups.push(lookups.into());
        listeners.lookup_connections.push(by_tcp.into());
    }
    let callings = callers::make(&mut listeners.callers)?;
    if listeners.callers.is_empty() {
        // Nobody could say whom a connection is to.
        let why = "this kernel does not tell which socket a connection is of (NETLINK_SOCK_DIAG)";
        return Err(Failure::new(STEP, why));
    }
    let forced = Forced {
        listeners,
        callings,
    };
    Ok((forced, ways))
}
