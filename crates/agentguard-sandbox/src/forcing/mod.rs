//! Turns every connection of the session's network to the gate, in the kernel.
//!
//! The network has `lo` and nothing else. A route makes every address local, so that a connection to any is
//! begun; rules of nf_tables turn its first packet to a listener of ours, whatever program begins it and
//! whatever it believes of proxies and resolvers. Route and rules take rights over the network that nothing
//! of the agent's ever has. Who asks for an address on a connection to the gate is told by the kernel
//! (`SO_ORIGINAL_DST`), and not by whoever connects.

mod any_address;
mod callers;
mod datagrams;
mod mediated;
mod netlink;
mod redirect;
mod route;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use agentguard_core::Forcing;
use rustix::io::Errno;

use crate::error::{Failure, Step};
pub use datagrams::unheard;
pub(crate) use mediated::{Ways, listen_beside};
pub(crate) use route::add_addresses;

/// Where connections are turned to. Ports below 1024 are none that an agent's own servers could want, or take.
const CONNECTIONS: u16 = 1;
/// Where names are looked up.
const LOOKUPS: u16 = 53;

/// Listeners inside the session's network, for a gate outside.
#[derive(Debug)]
pub struct GateListeners {
    /// How connections come to them.
    pub forcing: Forcing,
    /// Whatever is connected to by TCP, but for the session's own loopback and lookups.
    pub connections: Vec<OwnedFd>,
    /// Lookups by datagrams.
    pub lookups: Vec<OwnedFd>,
    /// Lookups by TCP.
    pub lookup_connections: Vec<OwnedFd>,
    /// What hears of datagrams that go nowhere.
    pub datagrams: Vec<OwnedFd>,
    /// What tells who connects: the end of a pipe on which the mediator says it, and a socket by which the kernel is
    /// asked which socket a connection is of.
    pub callers: Vec<OwnedFd>,
}

/// A network that leads to a gate.
pub(crate) struct Forced {
    pub(crate) listeners: GateListeners,
    /// Where the gate is told who connects.
    pub(crate) callings: OwnedFd,
}

/// Forces the network of this process to the gate, and listens there for it. The loopback is up. `ports` are those that
/// grants name, which count where the kernel cannot turn connections to all of them.
pub(crate) fn force(ports: BTreeSet<u16>) -> Result<Forced, Failure> {
    // Before the rules: what is turned to nobody is refused.
    let mut listeners = listen(Forcing::Redirect)?;
    let callings = callers::make(&mut listeners.callers)?;
    let datagrams = datagrams::hear()?;
    route::make_all_local().step("make every address local")?;
    match redirect::turn(CONNECTIONS, LOOKUPS) {
        Ok(()) => {}
        Err(error) if has_no_such(&error) => {
            let callers = std::mem::take(&mut listeners.callers);
            drop(listeners);
            listeners = any_address::listen(ports, callers)?;
        }
        Err(error) => return Err(Failure::new(STEP, error.to_string())),
    }
    listeners.datagrams = datagrams;
    Ok(Forced {
        listeners,
        callings,
    })
}

/// Whether the kernel turns connections to the gate, by trying.
pub(crate) fn try_redirect() -> Result<(), Failure> {
    match force(BTreeSet::new())?.listeners.forcing {
        Forcing::Redirect | Forcing::Mediated => Ok(()),
        Forcing::AnyAddress => Err(Failure::new(
            STEP,
            "this kernel has no nf_tables that can redirect",
        )),
    }
}

fn listen(forcing: Forcing) -> Result<GateListeners, Failure> {
    let mut listeners = GateListeners {
        forcing,
        connections: Vec::new(),
        lookups: Vec::new(),
        lookup_connections: Vec::new(),
        datagrams: Vec::new(),
        callers: Vec::new(),
    };
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        let connections = TcpListener::bind((address, CONNECTIONS));
        if address.is_ipv6() && is_missing(&connections) {
            break; // a kernel without IPv6 has nothing to connect to there either
        }
        let connections = connections.step("listen for connections")?;
        let lookups = UdpSocket::bind((address, LOOKUPS)).step("listen for lookups")?;
        let by_tcp = TcpListener::bind((address, LOOKUPS)).step("listen for lookups")?;
        listeners.connections.push(connections.into());
        listeners.lookups.push(lookups.into());
        listeners.lookup_connections.push(by_tcp.into());
    }
    Ok(listeners)
}

fn is_missing(bound: &std::io::Result<TcpListener>) -> bool {
    let errno = bound.as_ref().err().and_then(Errno::from_io_error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

const STEP: &str = "turn connections to the gate";

fn has_no_such(error: &std::io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT)
    )
}
