//! Messages to the kernel's networking (netlink(7)), and its answers.

use std::io;

use rustix::net::netlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLA_F_NESTED: u16 = 0x8000;
/// `struct nlmsghdr`, whose length comes first.
const HEADER: usize = 16;
/// What the kernel says at once is shorter.
const AT_ONCE: usize = 16 << 10;

/// A part of the kernel's networking.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// Routes and addresses.
    Route,
    /// Rules about packets.
    Netfilter,
}

impl Part {
    fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Route => None, // NETLINK_ROUTE is 0
            Self::Netfilter => Some(netlink::NETFILTER),
        }
    }
}

/// Flags of a message that makes something.
#[derive(Clone, Copy)]
pub(super) enum Make {
    /// What is not there yet.
    New,
    /// One more, behind the others.
    Last,
}

impl Make {
    fn flags(self) -> u16 {
        const NLM_F_EXCL: u16 = 0x200;
        const NLM_F_CREATE: u16 = 0x400;
        const NLM_F_APPEND: u16 = 0x800;
        match self {
            Self::New => NLM_F_CREATE | NLM_F_EXCL,
            Self::Last => NLM_F_CREATE | NLM_F_APPEND,
        }
    }
}

/// Messages that are sent together.
#[derive(Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    sent: u32,
    /// Of how many the kernel says what came of them.
    answered: usize,
}

impl Messages {
    /// Adds a message that makes something.
    pub(super) fn make(&mut self, kind: u16, make: Make, body: impl FnOnce(&mut Body<'_>)) {
        self.answered += 1;
        self.add(kind, NLM_F_ACK | make.flags(), body);
    }

    /// Adds a message that is not answered.
    pub(super) fn tell(&mut self, kind: u16, body: impl FnOnce(&mut Body<'_>)) {
        self.add(kind, 0, body);
    }

    fn add(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Body<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]); // its length, once it is known
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        self.bytes.extend(self.sent.to_ne_bytes());
        self.bytes.extend([0; 4]); // from whoever sends it
        self.sent += 1;
        body(&mut Body(&mut self.bytes));
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// Sends them, and returns the first error the kernel answers with.
    pub(super) fn send(&self, to: Part) -> io::Result<()> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            to.protocol(),
        )?;
        send(&socket, &self.bytes, SendFlags::empty())?;
        let (mut answers, mut buffer) = (0, vec![0; AT_ONCE]);
        while answers < self.answered {
            // The kernel has answered when it has taken them: what is not there never comes.
            let (length, _) = recv(&socket, &mut buffer, RecvFlags::DONTWAIT)?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let (kind, body, after) = message(rest).ok_or_else(garbled)?;
                if kind == NLMSG_ERROR {
                    error(body)?;
                    answers += 1;
                }
                rest = after;
            }
        }
        Ok(())
    }
}

/// What a message holds.
pub(super) struct Body<'m>(&'m mut Vec<u8>);

impl Body<'_> {
    /// A fixed part, whose length is a multiple of four.
    pub(super) fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// An attribute.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.enclose(kind, |body| body.0.extend_from_slice(value));
    }

    /// A name, with the zero behind it.
    pub(super) fn name(&mut self, kind: u16, name: &str) {
        self.enclose(kind, |body| {
            body.0.extend_from_slice(name.as_bytes());
            body.0.push(0);
        });
    }

    /// A number as nf_tables has it.
    pub(super) fn number(&mut self, kind: u16, number: u32) {
        self.attribute(kind, &number.to_be_bytes());
    }

    /// An attribute that holds others.
    pub(super) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        self.enclose(kind | NLA_F_NESTED, inside);
    }

    fn enclose(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend([0; 2]); // its length, once it is known
        self.0.extend(kind.to_ne_bytes());
        inside(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        if let Some(place) = self.0.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
        self.0.resize(aligned(self.0.len()), 0);
    }
}

/// The first message: its kind, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..length)?;
    Some((kind, body, bytes.get(aligned(length)..).unwrap_or_default()))
}

/// The number in `struct nlmsgerr`; 0 is none.
fn error(body: &[u8]) -> io::Result<()> {
    let number = body.first_chunk().ok_or_else(garbled)?;
    match i32::from_ne_bytes(*number) {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number.saturating_neg())),
    }
}

const fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

fn garbled() -> io::Error {
    io::Error::other("the kernel's answer cannot be read")
}
