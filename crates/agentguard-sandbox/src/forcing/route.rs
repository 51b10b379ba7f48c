//! Routes and addresses of a session's network (rtnetlink(7)).
//!
//! A route makes every address one of the session's own. Its loopback has an address of each family besides the usual:
//! where there is no other, libraries take a machine for one that nothing can be looked up on (`AI_ADDRCONFIG` of
//! getaddrinfo(3)), and do not even look up `localhost`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;

use super::netlink::{Make, Messages, Part};

const RTM_NEWADDR: u16 = 20; // linux/rtnetlink.h
const RTM_NEWROUTE: u16 = 24;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_HOST: u8 = 254;
const RTN_LOCAL: u8 = 2;
const RTA_OIF: u16 = 4;
/// Of linux/if_addr.h.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
/// `lo` is the first interface of every network.
const LOOPBACK: u32 = 1;

/// Second addresses of `lo`, which reach nothing that the first ones do not.
const FOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SIX: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// As `ip route add local default dev lo` does, for both families.
pub(super) fn make_all_local() -> io::Result<()> {
    make_local(libc::AF_INET)?;
    match make_local(libc::AF_INET6) {
        Err(error) if has_no_family(&error) => Ok(()), // nothing is routed there at all
        made => made,
    }
}

/// As `ip address add ADDRESS dev lo` does, for both families.
pub(crate) fn add_addresses() -> io::Result<()> {
    for added in [
        add(libc::AF_INET, 8, &FOUR.octets()),
        add(libc::AF_INET6, 128, &SIX.octets()),
    ] {
        match added {
            // Whoever may not ask for addresses is told none inside either, which libraries take for having all.
            Err(error)
                if has_no_family(&error) || error.kind() == io::ErrorKind::PermissionDenied => {}
            added => added?,
        }
    }
    Ok(())
}

fn add(family: i32, prefix: u8, address: &[u8]) -> io::Result<()> {
    let family = u8::try_from(family).map_err(io::Error::other)?;
    let mut messages = Messages::default();
    messages.make(RTM_NEWADDR, Make::New, |body| {
        // `struct ifaddrmsg`: family, length of the prefix, flags, scope, interface.
        body.fixed(&[family, prefix, 0, RT_SCOPE_HOST]);
        body.fixed(&LOOPBACK.to_ne_bytes());
        body.attribute(IFA_LOCAL, address);
        body.attribute(IFA_ADDRESS, address);
        // `struct ifa_cacheinfo`: preferred by nobody as where something comes from, valid for ever, and two times.
        let lives = [0, u32::MAX, 0, 0].map(u32::to_ne_bytes);
        body.attribute(IFA_CACHEINFO, lives.as_flattened());
    });
    messages.send(Part::Route)
}

fn has_no_family(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::OPNOTSUPP | Errno::ACCESS | Errno::NODEV)
    )
}

fn make_local(family: i32) -> io::Result<()> {
    let family = u8::try_from(family).map_err(io::Error::other)?;
    let mut messages = Messages::default();
    messages.make(RTM_NEWROUTE, Make::New, |body| {
        // `struct rtmsg`: family, lengths of destination and source, service, table, who made it, scope, kind.
        let route = [
            family,
            0,
            0,
            0,
            RT_TABLE_MAIN,
            RTPROT_STATIC,
            RT_SCOPE_HOST,
            RTN_LOCAL,
        ];
        body.fixed(&route);
        body.fixed(&0u32.to_ne_bytes()); // flags
        body.attribute(RTA_OIF, &LOOPBACK.to_ne_bytes());
    });
    messages.send(Part::Route)
}
