//! The route that makes every address one of the session's own (rtnetlink(7)).

use std::io;

use rustix::io::Errno;

use super::netlink::{Make, Messages, Part};

const RTM_NEWROUTE: u16 = 24; // linux/rtnetlink.h
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_HOST: u8 = 254;
const RTN_LOCAL: u8 = 2;
const RTA_OIF: u16 = 4;
/// `lo` is the first interface of every network.
const LOOPBACK: u32 = 1;

/// As `ip route add local default dev lo` does, for both families.
pub(super) fn make_all_local() -> io::Result<()> {
    make_local(libc::AF_INET)?;
    match make_local(libc::AF_INET6) {
        Err(error) if has_no_family(&error) => Ok(()), // nothing is routed there at all
        made => made,
    }
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
