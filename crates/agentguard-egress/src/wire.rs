//! What the gate and the guard say to each other: frames of JSON, each with its length before it.
//!
//! Both ends are ours; the bounds are there because an agent fills some of the fields.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use agentguard_core::{
    Api, Binding, Bodies, CredentialName, Digest, Forcing, HostGrant, HostName, OutcomeOf, Place,
    Push, Reach, Rule, Secret,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

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
    pub(crate) uninspected: Vec<HostName>,
    pub(crate) escaped_slashes: Vec<HostName>,
    pub(crate) conversations: Vec<HostName>,
    pub(crate) session: String,
    pub(crate) not_before: i64,
    #[serde(with = "secret")]
    pub(crate) key: Secret,
    pub(crate) credentials: Vec<Lent>,
    pub(crate) ssh: Vec<Bound>,
    pub(crate) roots: String,
    pub(crate) stand_ins: Ipv4Addr,
    pub(crate) patience: Patience,
    pub(crate) forcing: Forcing,
    pub(crate) tcp: usize,
    pub(crate) dns_udp: usize,
    pub(crate) dns_tcp: usize,
    pub(crate) datagrams: usize,
    pub(crate) callers: usize,
    pub(crate) spool: PathBuf,
}

/// A key of SSH, which the gate does not get.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Bound {
    pub(crate) name: CredentialName,
    pub(crate) bound: Vec<Binding>,
}

/// A credential, on its way to the gate.
#[derive(Deserialize, Serialize)]
pub(crate) struct Lent {
    pub(crate) name: CredentialName,
    pub(crate) placeholder: String,
    #[serde(with = "secret")]
    pub(crate) secret: Secret,
    pub(crate) bound: Vec<Binding>,
}

/// What the gate asks, each answered by one [`Answer`], or tells.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Asked {
    /// A host is looked up or connected to that the session was not granted, or whose address it may not
    /// reach.
    Reach(Reach),
    /// The gate refuses what was sent to a host, by a rule of its own.
    Refuse(Reach, Rule),
    /// The gate refuses what was sent to a host, or asked of it, since this credential's placeholder stands
    /// where it may not.
    Misused(CredentialName, Reach, Rule),
    /// Something was let through that is to be known of.
    Found(Rule),
    /// May a connection be passed on of which nothing is seen?
    Tunnel(Reach),
    /// May a server be asked to change these refs? The digest is of all that is sent with it.
    Push(Box<Push>, Digest),
    /// May this be sent? The digest is of all of it, where its body was read whole.
    Api(Box<Api>, Option<Digest>),
    /// Whoever sent a request that is held does not wait any more.
    Withdraw { ticket: u64 },
    /// The thread that answers on this line is to keep to this processor, or to none.
    Near(Option<u16>),
    /// What came of a request that was permitted.
    Outcome {
        of: u64,
        outcome: OutcomeOf,
        bodies: Bodies,
    },
}

impl Asked {
    /// Whether it is told, and not answered.
    pub(crate) fn is_told(&self) -> bool {
        match self {
            Self::Found(_) | Self::Withdraw { .. } | Self::Near(_) | Self::Outcome { .. } => true,
            Self::Reach(_)
            | Self::Refuse(_, _)
            | Self::Misused(_, _, _)
            | Self::Tunnel(_)
            | Self::Push(_, _)
            | Self::Api(_, _) => false,
        }
    }
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
        /// Of a push, which rule refuses each of its first refs, if it were the only one.
        each: Vec<Option<Rule>>,
    },
    /// A human is asked. What comes of it is told on the line for that.
    Held {
        ticket: u64,
        /// What a human calls the question by.
        approval: String,
    },
}

/// What came of a request that was held. Each that was held is settled once.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Settled {
    pub(crate) ticket: u64,
    pub(crate) answer: Answer,
}

/// Sends one message. What it was written to is wiped: a plan has secrets.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, message)?;
    // A buffer that had to grow would leave copies behind.
    let head = u32::try_from(length.0)
        .map_err(io::Error::other)?
        .to_le_bytes();
    let mut frame = Zeroizing::new(Vec::with_capacity(head.len() + length.0));
    frame.extend_from_slice(&head);
    serde_json::to_writer(&mut *frame, message)?;
    to.write_all(&frame)
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
    let mut message = Zeroizing::new(vec![0; length]);
    match from.read_exact(&mut message) {
        Ok(()) => Ok(Some(serde_json::from_slice(&message)?)),
        Err(error) if is_end(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Counts what is written to it.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A secret in a message: a text of two digits a byte, which is read without being copied on the way.
mod secret {
    use std::fmt;

    use agentguard_core::Secret;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use zeroize::Zeroizing;

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        let bytes = secret.danger_reveal();
        let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
        for byte in bytes {
            for digit in [byte >> 4, byte & 15] {
                let digit = DIGITS.get(usize::from(digit)).copied();
                text.push(char::from(digit.unwrap_or(b'0')));
            }
        }
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two digits a byte")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                let mut bytes = Vec::with_capacity(text.len() / 2);
                for pair in text.as_bytes().chunks(2) {
                    let digit = |at: usize| {
                        let digit = pair
                            .get(at)
                            .and_then(|digit| char::from(*digit).to_digit(16));
                        digit.ok_or_else(|| E::custom("no digit"))
                    };
                    let byte = digit(0)? << 4 | digit(1)?;
                    bytes.push(u8::try_from(byte).map_err(E::custom)?);
                }
                Ok(Secret::new(bytes))
            }
        }

        from.deserialize_str(Text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_on_the_other_side() {
        let all: Vec<u8> = (0..=255).collect();
        let lent = Lent {
            name: CredentialName::parse("one").unwrap(),
            placeholder: "placeholder".to_owned(),
            secret: Secret::new(all.clone()),
            bound: Vec::new(),
        };
        let mut message = Vec::new();
        send(&mut message, &lent).unwrap();
        let lent: Lent = receive(&mut message.as_slice(), LONGEST).unwrap().unwrap();
        assert!(lent.secret.is(&all));
        let text = String::from_utf8(message.split_off(4)).unwrap();
        assert!(text.contains("\"secret\":\"000102"), "{text}");
        for bad in [
            "\"secret\":\"00010\"",
            "\"secret\":\"0x\"",
            "\"secret\":[0]",
        ] {
            let end = text.find("\"secret\"").unwrap();
            let text = text.split_at(end).0.to_owned() + bad + ",\"bound\":[]}";
            assert!(serde_json::from_str::<Lent>(&text).is_err(), "{text}");
        }
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    #[test]
    fn a_message_is_no_longer_than_whoever_waits_for_it_says() {
        let mut message = Vec::new();
        send(&mut message, &"text").unwrap();
        let heard = |bytes: &[u8], longest| receive::<String>(&mut &*bytes, longest);
        assert_eq!(heard(&message, 6).unwrap().as_deref(), Some("text"));
        let error = heard(&message, 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // Whoever is gone says no more, wherever that was.
        for end in 0..message.len() {
            assert_eq!(heard(&message[..end], 6).unwrap(), None, "{end}");
        }
        // Anything else that goes wrong is no end.
        for end in [0, 4] {
            let error = receive::<String>(&mut (&message[..end]).chain(Broken), 6).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{end}");
        }
        message[4] = b'x';
        let error = heard(&message, 6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
