//! What kind of address something is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::AddressClass;

/// Where clouds tell their guests who they are, and what they may: those of AWS, Google, Azure, DigitalOcean,
/// Oracle and others; Alibaba; Azure's own; Oracle's second.
const METADATA: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// The same over IPv6, each with the length of its prefix.
const METADATA_6: [(Ipv6Addr, u32); 6] = [
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128),
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128),
    (Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1), 128),
    (Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200), 128),
];
/// What the registries of special addresses hold
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>), the more special first.
const SPECIAL: [(Ipv4Addr, u32, AddressClass); 17] = [
    (Ipv4Addr::new(127, 0, 0, 0), 8, AddressClass::Local),
    (Ipv4Addr::new(0, 0, 0, 0), 8, AddressClass::Local),
    (Ipv4Addr::new(10, 0, 0, 0), 8, AddressClass::Private),
    (Ipv4Addr::new(172, 16, 0, 0), 12, AddressClass::Private),
    (Ipv4Addr::new(192, 168, 0, 0), 16, AddressClass::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, AddressClass::Private),
    (Ipv4Addr::new(169, 254, 0, 0), 16, AddressClass::Special),
    (Ipv4Addr::new(192, 0, 0, 0), 24, AddressClass::Special),
    (Ipv4Addr::new(192, 0, 2, 0), 24, AddressClass::Special),
    (Ipv4Addr::new(192, 88, 99, 0), 24, AddressClass::Special),
    (Ipv4Addr::new(198, 18, 0, 0), 15, AddressClass::Special),
    (Ipv4Addr::new(198, 51, 100, 0), 24, AddressClass::Special),
    (Ipv4Addr::new(203, 0, 113, 0), 24, AddressClass::Special),
    (Ipv4Addr::new(224, 0, 0, 0), 4, AddressClass::Special),
    (Ipv4Addr::new(240, 0, 0, 0), 4, AddressClass::Special),
    (Ipv4Addr::new(192, 31, 196, 0), 24, AddressClass::Special),
    (Ipv4Addr::new(192, 175, 48, 0), 24, AddressClass::Special),
];

impl AddressClass {
    /// What kind of address `address` is. One that holds an IPv4 address in whichever way is of that one's
    /// kind: a packet to it may end up there. Addresses of this machine that are not its loopback are not
    /// known from the address alone.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_4(address),
            IpAddr::V6(address) => of_6(address),
        }
    }
}

fn of_4(address: Ipv4Addr) -> AddressClass {
    if METADATA.contains(&address) {
        return AddressClass::Metadata;
    }
    let is_within = |network: Ipv4Addr, length: u32| {
        let beyond = 32u32.saturating_sub(length);
        address.to_bits() >> beyond == network.to_bits() >> beyond
    };
    SPECIAL
        .iter()
        .find(|(network, length, _)| is_within(*network, *length))
        .map_or(AddressClass::Public, |(_, _, class)| *class)
}

fn of_6(address: Ipv6Addr) -> AddressClass {
    if METADATA_6
        .iter()
        .any(|(network, length)| is_within_6(address, *network, *length))
    {
        return AddressClass::Metadata;
    }
    // So are `::` and `::1`: they hold addresses of 0.0.0.0/8.
    if let Some(inner) = embedded(address) {
        return of_4(inner);
    }
    let [first, second, ..] = address.segments();
    match first {
        0xfc00..=0xfdff => AddressClass::Private,
        // What is assigned to hosts of the internet, but for documentation and what is not one host.
        0x2001 if second == 0x0db8 || second < 0x0200 => AddressClass::Special,
        0x3fff if second < 0x1000 => AddressClass::Special,
        0x2000..=0x3fff => AddressClass::Public,
        _ => AddressClass::Special,
    }
}

/// The IPv4 address within: mapped, compatible, translated (RFC 2765), NAT64 (RFC 6052 and RFC 8215), 6to4
/// (RFC 3056), Teredo's client (RFC 4380) and ISATAP (RFC 5214).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let joined = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) => joined(g, h),
        (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, ..) => joined(g, h),
        (0x2002, ..) => joined(b, c),
        (0x2001, 0, ..) => joined(!g, !h),
        (_, _, _, _, 0 | 0x200, 0x5efe) => joined(g, h),
        _ => None,
    }
}

fn is_within_6(address: Ipv6Addr, network: Ipv6Addr, length: u32) -> bool {
    let beyond = 128u32.saturating_sub(length);
    address.to_bits() >> beyond == network.to_bits() >> beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_the_kind_it_leads_to_however_it_is_written() {
        use AddressClass::{Local, Metadata, Private, Public, Special};
        for (text, class) in [
            ("8.8.8.8", Public),
            ("127.0.0.1", Local),
            ("127.255.0.1", Local),
            ("0.0.0.0", Local),
            ("10.1.2.3", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.168.0.1", Private),
            ("100.64.0.1", Private),
            ("100.128.0.1", Public),
            ("169.254.1.1", Special),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("192.0.0.192", Metadata),
            ("192.0.0.1", Special),
            ("198.18.0.1", Special),
            ("198.19.255.255", Special),
            ("203.0.113.9", Special),
            ("224.0.0.1", Special),
            ("239.255.255.255", Special),
            ("255.255.255.255", Special),
            ("::1", Local),
            ("::", Local),
            ("::ffff:127.0.0.1", Local),
            ("::127.0.0.1", Local),
            ("::ffff:0:127.0.0.1", Local),
            ("64:ff9b::169.254.169.254", Metadata),
            ("64:ff9b:1::10.0.0.1", Private),
            ("64:ff9b::8.8.8.8", Public),
            ("2002:a9fe:a9fe::1", Metadata),
            ("2002:7f00:1::", Local),
            // Teredo holds its client's address with all bits turned.
            ("2001:0:1:2:3:4:80ff:fffe", Local),
            ("fe80::5efe:10.0.0.1", Private),
            ("2a00:1450::200:5efe:10.0.0.1", Private),
            ("fe80::1", Special),
            ("fec0::1", Special),
            ("fd12:3456::1", Private),
            ("fc00::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("64:ff9b:2::10.0.0.1", Special),
            ("2001:db8::1", Special),
            // Of the one is not known what it is, and the other is given out.
            ("2001:1ff::1", Special),
            ("2001:200::1", Public),
            ("2606:4700::1111", Public),
            ("2a00:1450:4001:81b::200e", Public),
            ("ff02::1", Special),
            ("4000::1", Special),
        ] {
            assert_eq!(AddressClass::of(text.parse().unwrap()), class, "{text}");
        }
    }

    /// The first and the last address of networks, their kind, and that of what is beside.
    const EDGES: [(&str, &str, AddressClass, AddressClass); 24] = {
        use AddressClass::{Local, Metadata, Private, Public, Special};
        [
            ("0.0.0.0", "0.255.255.255", Local, Public),
            ("10.0.0.0", "10.255.255.255", Private, Public),
            ("100.64.0.0", "100.127.255.255", Private, Public),
            ("127.0.0.0", "127.255.255.255", Local, Public),
            ("169.254.0.0", "169.254.255.255", Special, Public),
            ("172.16.0.0", "172.31.255.255", Private, Public),
            ("192.0.0.0", "192.0.0.255", Special, Public),
            ("192.0.2.0", "192.0.2.255", Special, Public),
            ("192.31.196.0", "192.31.196.255", Special, Public),
            ("192.88.99.0", "192.88.99.255", Special, Public),
            ("192.168.0.0", "192.168.255.255", Private, Public),
            ("192.175.48.0", "192.175.48.255", Special, Public),
            ("198.18.0.0", "198.19.255.255", Special, Public),
            ("198.51.100.0", "198.51.100.255", Special, Public),
            ("203.0.113.0", "203.0.113.255", Special, Public),
            ("224.0.0.0", "255.255.255.255", Special, Public),
            (
                "fd00:ec2::",
                "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff",
                Metadata,
                Private,
            ),
            ("fd00:42::42", "fd00:42::42", Metadata, Private),
            (
                "fd00:c1::a9fe:a9fe",
                "fd00:c1::a9fe:a9fe",
                Metadata,
                Private,
            ),
            ("fd00:100::100:200", "fd00:100::100:200", Metadata, Private),
            ("fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::1", Metadata, Private),
            ("fd20:ce::254", "fd20:ce::254", Metadata, Private),
            (
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                Special,
                Public,
            ),
            (
                "3fff::",
                "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
                Special,
                Public,
            ),
        ]
    };

    #[test]
    fn a_kind_holds_from_the_first_to_the_last_address_of_its_network() {
        for (first, last, class, beside) in EDGES {
            let [first, last] = [first, last].map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!([first, last].map(AddressClass::of), [class; 2], "{first}");
            let (before, behind) = match (first, last) {
                (IpAddr::V4(first), IpAddr::V4(last)) => (
                    first
                        .to_bits()
                        .checked_sub(1)
                        .map(|bits| IpAddr::V4(bits.into())),
                    last.to_bits()
                        .checked_add(1)
                        .map(|bits| IpAddr::V4(bits.into())),
                ),
                (IpAddr::V6(first), IpAddr::V6(last)) => (
                    first
                        .to_bits()
                        .checked_sub(1)
                        .map(|bits| IpAddr::V6(bits.into())),
                    last.to_bits()
                        .checked_add(1)
                        .map(|bits| IpAddr::V6(bits.into())),
                ),
                other => panic!("{other:?}"),
            };
            for near in [before, behind].into_iter().flatten() {
                assert_eq!(AddressClass::of(near), beside, "{near}");
            }
        }
    }
}
