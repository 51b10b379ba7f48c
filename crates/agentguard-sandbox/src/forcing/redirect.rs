//! The rules of nf_tables that turn connections and lookups to the gate.
//!
//! They are those of
//!
//! ```text
//! table inet agentguard {
//!     chain turn {
//!         type nat hook output priority -100
//!         meta l4proto { tcp, udp } th dport 53 redirect to :53
//!         meta l4proto tcp ip daddr & 255.0.0.0 != 127.0.0.0 redirect to :1
//!         meta l4proto tcp ip6 daddr != ::1 redirect to :1
//!     }
//! }
//! ```

use std::io;
use std::net::Ipv6Addr;

use super::netlink::{Body, Make, Messages, Part};

// linux/netfilter/nfnetlink.h
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
// linux/netfilter/nf_tables.h: messages
const NEWTABLE: u16 = NFNL_SUBSYS_NFTABLES << 8;
const NEWCHAIN: u16 = NFNL_SUBSYS_NFTABLES << 8 | 3;
const NEWRULE: u16 = NFNL_SUBSYS_NFTABLES << 8 | 6;
// attributes of tables, chains and rules
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
/// `NFPROTO_INET`: IPv4 and IPv6.
const BOTH_FAMILIES: u8 = 1;
/// `NF_INET_LOCAL_OUT`.
const OUTPUT: u32 = 3;
/// `NF_IP_PRI_NAT_DST`, which is -100.
const BEFORE_ROUTING: u32 = 100u32.wrapping_neg();
/// `NFT_REG_1`: every expression of ours writes and reads it.
const REGISTER: u32 = 1;
// keys of `meta`
const FAMILY: u32 = 15;
const PROTOCOL: u32 = 16;
// where `payload` counts from
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

const TABLE: &str = "agentguard";
const CHAIN: &str = "turn";

/// Turns lookups to port `lookups`, and every other connection but those to the loopback to `connections`.
pub(super) fn turn(connections: u16, lookups: u16) -> io::Result<()> {
    let mut messages = Messages::default();
    // The batch is for the subsystem that its header names.
    messages.tell(NFNL_MSG_BATCH_BEGIN, |body| {
        head(body, 0, NFNL_SUBSYS_NFTABLES)
    });
    messages.make(NEWTABLE, Make::New, |body| {
        head(body, BOTH_FAMILIES, 0);
        body.name(TABLE_NAME, TABLE);
    });
    messages.make(NEWCHAIN, Make::New, |body| {
        head(body, BOTH_FAMILIES, 0);
        body.name(CHAIN_TABLE, TABLE);
        body.name(CHAIN_NAME, CHAIN);
        body.nest(CHAIN_HOOK, |hook| {
            hook.number(HOOK_NUMBER, OUTPUT);
            hook.number(HOOK_PRIORITY, BEFORE_ROUTING);
        });
        body.name(CHAIN_TYPE, "nat");
    });
    for protocol in [libc::IPPROTO_UDP, libc::IPPROTO_TCP] {
        rule(&mut messages, |rule| {
            rule.is_protocol(protocol);
            rule.load(TRANSPORT, 2, 2); // the port of the destination
            rule.compare(Is::Equal, &53u16.to_be_bytes());
            rule.turn_to(lookups);
        });
    }
    rule(&mut messages, |rule| {
        rule.is_family(libc::AF_INET);
        rule.is_protocol(libc::IPPROTO_TCP);
        rule.load(NETWORK, 16, 1); // the first byte of the destination
        rule.compare(Is::Other, &[127]);
        rule.turn_to(connections);
    });
    rule(&mut messages, |rule| {
        rule.is_family(libc::AF_INET6);
        rule.is_protocol(libc::IPPROTO_TCP);
        rule.load(NETWORK, 24, 16); // the destination
        rule.compare(Is::Other, &Ipv6Addr::LOCALHOST.octets());
        rule.turn_to(connections);
    });
    messages.tell(NFNL_MSG_BATCH_END, |body| {
        head(body, 0, NFNL_SUBSYS_NFTABLES)
    });
    messages.send(Part::Netfilter)
}

/// `struct nfgenmsg`.
fn head(body: &mut Body<'_>, family: u8, resource: u16) {
    let [high, low] = resource.to_be_bytes();
    body.fixed(&[family, 0, high, low]);
}

fn rule(messages: &mut Messages, expressions: impl FnOnce(&mut Rule<'_, '_>)) {
    messages.make(NEWRULE, Make::Last, |body| {
        head(body, BOTH_FAMILIES, 0);
        body.name(RULE_TABLE, TABLE);
        body.name(RULE_CHAIN, CHAIN);
        body.nest(RULE_EXPRESSIONS, |list| expressions(&mut Rule(list)));
    });
}

/// How what was loaded is compared (`enum nft_cmp_ops`).
#[derive(Clone, Copy)]
enum Is {
    Equal,
    Other,
}

/// The expressions of a rule, in their order.
struct Rule<'b, 'm>(&'b mut Body<'m>);

impl Rule<'_, '_> {
    fn is_family(&mut self, family: i32) {
        self.meta(FAMILY);
        self.compare_byte(family);
    }

    fn is_protocol(&mut self, protocol: i32) {
        self.meta(PROTOCOL);
        self.compare_byte(protocol);
    }

    fn compare_byte(&mut self, value: i32) {
        // What fits into no byte is nothing that a byte equals.
        match u8::try_from(value) {
            Ok(byte) => self.compare(Is::Equal, &[byte]),
            Err(_) => self.compare(Is::Equal, &value.to_be_bytes()),
        }
    }

    fn meta(&mut self, key: u32) {
        self.expression("meta", |data| {
            data.number(1, REGISTER);
            data.number(2, key);
        });
    }

    fn load(&mut self, base: u32, offset: u32, length: u32) {
        self.expression("payload", |data| {
            data.number(1, REGISTER);
            data.number(2, base);
            data.number(3, offset);
            data.number(4, length);
        });
    }

    fn compare(&mut self, how: Is, value: &[u8]) {
        self.expression("cmp", |data| {
            data.number(1, REGISTER);
            data.number(
                2,
                match how {
                    Is::Equal => 0,
                    Is::Other => 1,
                },
            );
            data.nest(3, |data| data.attribute(DATA_VALUE, value));
        });
    }

    fn turn_to(&mut self, port: u16) {
        self.expression("immediate", |data| {
            data.number(1, REGISTER);
            data.nest(2, |data| data.attribute(DATA_VALUE, &port.to_be_bytes()));
        });
        self.expression("redir", |data| data.number(1, REGISTER));
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Body<'_>)) {
        self.0.nest(LIST_ELEMENT, |element| {
            element.name(EXPRESSION_NAME, name);
            element.nest(EXPRESSION_DATA, data);
        });
    }
}
