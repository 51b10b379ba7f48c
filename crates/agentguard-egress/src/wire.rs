//! What the gate and the guard say to each other: frames of JSON, each with its length before it.
//!
//! Both ends are ours; the bounds are there because an agent fills some of the fields.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use agentguard_core::{Api, Digest, HostGrant, HostName, OutcomeOf, Place, Reach, Rule};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::settings::Patience;

/// More than a request takes: 64 KiB of body and as much of a head, of which each byte may become six.
pub(crate) const LONGEST: usize = 4 << 20;
/// More than all certificates of a machine take.
pub(crate) const LONGEST_PLAN: usize = 64 << 20;
/// How many requests are judged at once.
pub(crate) const LINES: usize = 4;

/// How many descriptors are handed over at most.
const MOST_DESCRIPTORS: usize = 32;

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
    /// May this be sent? The digest is of all of it, where its body was read whole.
    Api(Box<Api>, Option<Digest>),
    /// Whoever sent a request that is held does not wait any more.
    Withdraw { ticket: u64 },
    /// What came of a request that was permitted.
    Outcome { of: u64, outcome: OutcomeOf },
}

/// The guard's answer.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Answer {
    /// It was permitted, and this entry says so.
    Permitted { entry: u64 },
    /// It was refused.
    Refused {
        rule: Rule,
        entry: Option<u64>,
        /// What a human calls the question by that was asked about it.
        approval: Option<String>,
    },
    /// A human is asked. What comes of it is told on the line for that.
    Held { ticket: u64 },
    /// It was written down.
    Noted,
}

/// What came of a request that was held. Each that was held is settled once.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Settled {
    pub(crate) ticket: u64,
    pub(crate) answer: Answer,
}

/// Sends one message.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let message = serde_json::to_vec(message)?;
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&message)
}

/// Waits for one message. `None` when the other side has closed.
pub(crate) fn receive<T: DeserializeOwned>(
    from: &mut impl Read,
    longest: usize,
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if is_end(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > longest {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    match from.read_exact(&mut message) {
        Ok(()) => Ok(Some(serde_json::from_slice(&message)?)),
        Err(error) if is_end(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the other side is gone.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Sends descriptors along with one byte.
pub(crate) fn send_descriptors(to: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    if !buffer.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(to, &[IoSlice::new(b"d")], &mut buffer, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the descriptors sent along with one byte.
pub(crate) fn receive_descriptors(from: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut slices = [IoSliceMut::new(&mut byte)];
    recvmsg(from, &mut slices, &mut buffer, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in buffer.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(descriptors)
}
