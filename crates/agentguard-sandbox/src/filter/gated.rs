//! What is refused and asked about besides where the agent has no network of its own and is granted hosts: its sockets
//! are the host's, and the mediator leads each of them to the gate.
//!
//! What a socket could be told before, so that what the mediator sends on it goes elsewhere (routes in options, other
//! interfaces), is refused; of the options of IPv4 and IPv6 those pass that are known to do nothing of the kind.

use super::asked::{Asked, Asks, asked};
use super::{MPTCP, Refused, When, family, flag, when};

const LINKS: &str = "tells of the host's network, which is not the session's";
const KINDS: &str = "a kind of socket that leads past the gate";
const ROUTES: &str =
    "would lead what is connected to the gate elsewhere, or over another interface";
const EARLY: &str = "would send before the connection is made, and to whoever is named there";

const TYPE: u64 = 0xf; // SOCK_TYPE_MASK, linux/net.h
const STREAM: When = When::Bits(1, TYPE, family(libc::SOCK_STREAM));
const DATAGRAMS: When = When::Bits(1, TYPE, family(libc::SOCK_DGRAM));
const INET: When = When::Is(0, family(libc::AF_INET));
const INET6: When = When::Is(0, family(libc::AF_INET6));
const TCP: When = When::Not(2, family(libc::IPPROTO_TCP));
const UDP: When = When::Not(2, family(libc::IPPROTO_UDP));
const ANY: When = When::Not(2, 0);
const FASTOPEN: u64 = flag(libc::MSG_FASTOPEN);
/// `SO_BINDTOIFINDEX` of asm-generic/socket.h.
const BIND_TO_INDEX: u64 = 62;

const fn of_type(number: u64) -> When {
    When::Bits(1, TYPE, number)
}

const fn early(number: libc::c_long, when: &'static [When]) -> Refused {
    Refused {
        number,
        errno: libc::EOPNOTSUPP,
        when,
        why: EARLY,
    }
}

const fn option(when_: &'static [When], why: &'static str) -> Refused {
    when(libc::SYS_setsockopt, when_, why)
}

const fn kind(when_: &'static [When]) -> Refused {
    when(libc::SYS_socket, when_, KINDS)
}

/// Refused where the gate is reached by the mediator alone.
pub(super) const GATED: &[Refused] = &[
    Refused {
        number: libc::SYS_socket,
        errno: libc::EAFNOSUPPORT,
        when: &[When::Is(0, family(libc::AF_NETLINK))],
        why: LINKS,
    },
    kind(&[INET, STREAM, ANY, TCP]),
    kind(&[INET6, STREAM, ANY, TCP]),
    kind(&[INET, DATAGRAMS, ANY, UDP]),
    kind(&[INET6, DATAGRAMS, ANY, UDP]),
    kind(&[INET, of_type(4)]), // SOCK_RDM
    kind(&[INET6, of_type(4)]),
    kind(&[INET, of_type(5)]), // SOCK_SEQPACKET, which is SCTP where no protocol is named
    kind(&[INET6, of_type(5)]),
    kind(&[INET, of_type(6)]), // SOCK_DCCP
    kind(&[INET6, of_type(6)]),
    early(libc::SYS_sendto, &[When::Bits(3, FASTOPEN, FASTOPEN)]),
    early(libc::SYS_sendmsg, &[When::Bits(2, FASTOPEN, FASTOPEN)]),
    early(libc::SYS_sendmmsg, &[When::Bits(3, FASTOPEN, FASTOPEN)]),
    early(
        libc::SYS_setsockopt,
        &[
            When::Is(1, family(libc::SOL_TCP)),
            When::Is(2, family(libc::TCP_FASTOPEN_CONNECT)),
        ],
    ),
    option(
        &[
            When::Is(1, family(libc::SOL_SOCKET)),
            When::Is(2, family(libc::SO_BINDTODEVICE)),
        ],
        ROUTES,
    ),
    option(
        &[
            When::Is(1, family(libc::SOL_SOCKET)),
            When::Is(2, BIND_TO_INDEX),
        ],
        ROUTES,
    ),
    option(
        &[
            When::Is(1, family(libc::IPPROTO_IP)),
            When::Not(2, family(libc::IP_TOS)),
            When::Not(2, family(libc::IP_TTL)),
            When::Not(2, family(libc::IP_PKTINFO)),
            When::Not(2, family(libc::IP_MTU_DISCOVER)),
            When::Not(2, family(libc::IP_RECVERR)),
            When::Not(2, family(libc::IP_RECVTTL)),
            When::Not(2, family(libc::IP_RECVTOS)),
        ],
        ROUTES,
    ),
    option(
        &[
            When::Is(1, family(libc::IPPROTO_IPV6)),
            When::Not(2, family(libc::IPV6_UNICAST_HOPS)),
            When::Not(2, family(libc::IPV6_MTU_DISCOVER)),
            When::Not(2, family(libc::IPV6_RECVERR)),
            When::Not(2, family(libc::IPV6_V6ONLY)),
            When::Not(2, family(libc::IPV6_RECVPKTINFO)),
            When::Not(2, family(libc::IPV6_RECVHOPLIMIT)),
            When::Not(2, family(libc::IPV6_RECVTCLASS)),
            When::Not(2, family(libc::IPV6_TCLASS)),
        ],
        ROUTES,
    ),
    option(&[When::Is(1, family(libc::SOL_UDP))], ROUTES),
    option(&[When::Is(1, MPTCP)], ROUTES),
];

const NAMED: &str = "each message may name its receiver in memory that no filter reads, and the descriptor could be \
    exchanged after a look at it";
const BOUND: &str = "a socket for datagrams is bound to the loopback before anybody has it, where nobody elsewhere \
    reaches it";
const SERVERS: &str = "the loopback is the host's, and a socket listens that was bound to nothing";

const HANDED_IN: &str = "a socket of another network may have been handed in by whoever listens at a socket that is granted";

/// What is asked where sockets may be handed in, since a unix socket of the host's is granted.
pub(super) const ASKED_HANDED_IN: &[Asked] = &[
    Asked {
        number: libc::SYS_sendto,
        what: Asks::Message,
        when: &[When::Not(5, 0)],
        why: HANDED_IN,
    },
    asked(libc::SYS_sendmsg, Asks::Message, HANDED_IN),
    asked(libc::SYS_sendmmsg, Asks::Message, HANDED_IN),
    asked(libc::SYS_listen, Asks::Server, HANDED_IN),
    // Also where no names are judged: those of sockets are made here then, with the mask that the caller has.
    asked(libc::SYS_bind, Asks::Name, HANDED_IN),
    asked(libc::SYS_umask, Asks::Mask, HANDED_IN),
];

/// What is asked of the mediator there.
pub(super) const ASKED_GATED: &[Asked] = &[
    Asked {
        number: libc::SYS_socket,
        what: Asks::Datagrams,
        when: &[INET, DATAGRAMS],
        why: BOUND,
    },
    Asked {
        number: libc::SYS_socket,
        what: Asks::Datagrams,
        when: &[INET6, DATAGRAMS],
        why: BOUND,
    },
    Asked {
        number: libc::SYS_sendto,
        what: Asks::Message,
        when: &[When::Not(5, 0)],
        why: NAMED,
    },
    asked(libc::SYS_sendmsg, Asks::Message, NAMED),
    asked(libc::SYS_sendmmsg, Asks::Message, NAMED),
    asked(libc::SYS_listen, Asks::Server, SERVERS),
];
