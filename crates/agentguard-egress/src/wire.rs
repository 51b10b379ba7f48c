//! What the gate and the guard say to each other: frames of JSON, each with its length before it.
//!
//! Both ends are ours; the bounds are there because an agent fills some of the fields.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use agentguard_core::{Api, HostGrant, HostName, OutcomeOf, Place, Reach, Rule};
use serde::{Deserialize, Serialize};

use crate::settings::Patience;

/// More than a request takes: 64 KiB of body and as much of a head, of which each byte may become six.
pub(crate) const LONGEST: usize = 4 << 20;
/// More than all certificates of a machine take.
pub(crate) const LONGEST_PLAN: usize = 64 << 20;
/// How many requests are judged at once.
pub(crate) const LINES: usize = 4;

/// What a gate is told when it starts. The listeners and its ends of the lines follow.
#[derive(Deserialize, Serialize)]
pub(crate) struct Plan {
    pub(crate) hosts: Vec<HostGrant>,
    pub(crate) addresses: BTreeMap<HostName, Place>,
    pub(crate) session: String,
    pub(crate) not_before: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) roots: String,
    pub(crate) stand_ins: Ipv4Addr,
    pub(crate) patience: Patience,
    pub(crate) tcp: usize,
    pub(crate) dns_udp: usize,
    pub(crate) dns_tcp: usize,
}

/// What the gate asks or tells. Each is answered by one [`Answer`].
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Asked {
    /// A host is looked up or connected to that the session was not granted, or whose address it may not
    /// reach.
    Reach(Reach),
    /// The gate refuses what was sent to a host, by a rule of its own.
    Refuse(Reach, Rule),
    /// May this be sent?
    Api(Box<Api>),
    /// What came of a request that was permitted.
    Outcome { of: u64, outcome: OutcomeOf },
}

/// The guard's answer.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Answer {
    /// It was permitted, and this entry says so.
    Permitted { entry: u64 },
    /// It was refused.
    Refused { rule: Rule, entry: Option<u64> },
    /// It was written down.
    Noted,
}
