//! Messages that callers may address to somebody (`sendto`, `sendmsg`, `sendmmsg`): copied, and sent for them.
//!
//! Only where sockets have to be led to a gate, or may have been handed in. A message names its receiver in memory, and its socket by a number that
//! may stand for another a moment later; so all of it is copied, and the copy is sent on the socket that was looked
//! at. What a message carries besides is the descriptors in it, and no more: options of IP could name a route.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, sendmsg,
    sendto, sockopt,
};
use rustix::process::{Pid, Signal, kill_process};

use super::calling::destination;
use super::connect::{Target, interrupted, low_and_whole, may_wait};
use super::exec::{Shared, Worker};
use crate::sys::{Notification, read_memory, read_pieces, write_memory};

/// More of a stream is not sent at once: callers go on with the rest.
const MOST_AT_ONCE: usize = 1 << 20;
/// So many bytes are copied and not sent yet, of all callers': no bound of the session's counts them.
const MOST_COPIED: usize = 32 << 20;
/// What is no longer is not counted: so few callers wait that it is little.
const SHORT: usize = 4096;
/// `UIO_MAXIOV` of linux/uio.h.
const MOST_PIECES: usize = 1024;
/// `SCM_MAX_FD` of net/scm.h.
const MOST_RIGHTS: usize = 253;
/// `struct sockaddr_storage`.
const LONGEST_NAME: usize = 128;
/// What holds [`MOST_RIGHTS`] and a few other words.
const LONGEST_CONTROL: usize = 4096;
/// `struct msghdr`, and `struct mmsghdr` with the length that was sent behind it.
const HEADER: usize = 56;
const HEADER_OF_SEVERAL: u64 = 64;
/// `struct cmsghdr`.
const CONTROL_HEADER: usize = 16;
/// What callers may ask for; the rest would change where a message goes, or what is told of it.
const FLAGS: SendFlags = SendFlags::DONTWAIT
    .union(SendFlags::EOR)
    .union(SendFlags::MORE)
    .union(SendFlags::OOB);

/// The first message of a connection, and to whom.
const FASTOPEN: SendFlags = SendFlags::from_bits_retain(libc::MSG_FASTOPEN.cast_unsigned());

/// What a call asks for.
struct Sending {
    socket: OwnedFd,
    domain: AddressFamily,
    kind: SocketType,
    flags: SendFlags,
    what: What,
}

enum What {
    One(Message),
    /// Messages whose headers stand in a row.
    Several {
        address: u64,
        count: u32,
    },
}

struct Message {
    name: Option<Vec<u8>>,
    bytes: Vec<u8>,
    rights: Vec<OwnedFd>,
    _room: Room,
}

/// How many bytes are copied, and not sent yet.
#[derive(Debug, Default)]
pub(super) struct Copied(Arc<AtomicUsize>);

/// Room for some of them, until it is dropped.
struct Room {
    copied: Arc<AtomicUsize>,
    length: usize,
}

impl Copied {
    /// Takes room. Where there is none, callers are told to try again, as where too many wait.
    fn take(&self, length: usize) -> Result<Room, Errno> {
        let length = if length > SHORT { length } else { 0 };
        let more = |copied: usize| {
            let all = copied.checked_add(length);
            all.filter(|all| *all <= MOST_COPIED)
        };
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map_err(|_| Errno::AGAIN)?;
        Ok(Room {
            copied: Arc::clone(&self.0),
            length,
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.copied.fetch_sub(self.length, Ordering::Relaxed);
    }
}

impl Worker<'_> {
    /// Sends for a caller.
    pub(super) fn answer_message(&self, notification: &Notification) {
        let sending = match Sending::of(self.shared, notification) {
            Ok(sending) => sending,
            Err(errno) => {
                let errno = errno.raw_os_error();
                return self.shared.listener.refuse(notification, errno);
            }
        };
        let may_wait = may_wait(&sending.socket) && !sending.flags.contains(SendFlags::DONTWAIT);
        self.act(notification, may_wait, move |shared, notification| {
            sending.finish(shared, notification);
        });
    }
}

impl Sending {
    fn of(shared: &Shared, notification: &Notification) -> Result<Self, Errno> {
        let arguments = notification.arguments.map(low_and_whole);
        let [(number, _), (_, second), third, fourth, fifth, sixth] = arguments;
        let thread = notification.thread;
        let socket = shared.processes.descriptor(thread, number.cast_signed())?;
        let domain = sockopt::socket_domain(&socket)?;
        let kind = sockopt::socket_type(&socket)?;
        let (what, flags) = match notification.number {
            libc::SYS_sendto => {
                let length = usize::try_from(third.1).map_err(|_| Errno::INVAL)?;
                let name = name(thread, fifth.1, sixth.0)?;
                let (bytes, room) = bytes(shared, thread, vec![(second, length)], kind)?;
                let message = Message {
                    name,
                    bytes,
                    rights: Vec::new(),
                    _room: room,
                };
                (What::One(message), fourth.0)
            }
            libc::SYS_sendmsg => {
                let message = Message::at(shared, thread, second, (domain, kind))?;
                (What::One(message), third.0)
            }
            libc::SYS_sendmmsg => {
                let several = What::Several {
                    address: second,
                    count: third.0,
                };
                (several, fourth.0)
            }
            _ => return Err(Errno::NOSYS),
        };
        Ok(Self {
            socket,
            domain,
            kind,
            flags: SendFlags::from_bits_retain(flags),
            what,
        })
    }

    fn finish(self, shared: &Shared, notification: &Notification) {
        let sent = match &self.what {
            What::One(message) => self.send(shared, notification, message),
            What::Several { address, count } => {
                self.send_several(shared, notification, (*address, *count))
            }
        };
        let errno = sent.err().map(Errno::raw_os_error);
        let errno = errno.map(|errno| interrupted(&self.socket, errno));
        let is_told = !self.flags.contains(SendFlags::NOSIGNAL) && self.kind == SocketType::STREAM;
        drop(self);
        shared.waits.leave(notification);
        if errno == Some(libc::EPIPE) && is_told && shared.listener.still_waits(notification) {
            let _ = kill_process(notification.thread, Signal::PIPE);
        }
        match (sent, errno) {
            (Ok(done), _) => shared.listener.succeed_with(notification, done),
            (Err(_), errno) => {
                let errno = errno.unwrap_or(libc::EACCES);
                shared.listener.refuse(notification, errno);
            }
        }
    }

    fn send_several(
        &self,
        shared: &Shared,
        notification: &Notification,
        (address, count): (u64, u32),
    ) -> Result<usize, Errno> {
        let thread = notification.thread;
        let mut done = 0;
        for number in 0..u64::from(count).min(1024) {
            let at = address.wrapping_add(number * HEADER_OF_SEVERAL);
            let sent = Message::at(shared, thread, at, (self.domain, self.kind))
                .and_then(|message| self.send(shared, notification, &message));
            match sent {
                Ok(length) => {
                    let length = u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes();
                    let place = at.wrapping_add(u64::try_from(HEADER).unwrap_or(0));
                    let _ = write_memory(thread, place, &length);
                    done += 1;
                }
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Sends one message, where it may go.
    fn send(
        &self,
        shared: &Shared,
        notification: &Notification,
        message: &Message,
    ) -> Result<usize, Errno> {
        // It waits still: what was read was its own.
        if !shared.listener.still_waits(notification) {
            return Err(Errno::SRCH);
        }
        let flags = (self.flags & FLAGS) | SendFlags::NOSIGNAL;
        let socket = self.socket.as_fd();
        match (self.domain, self.kind, &message.name) {
            (AddressFamily::UNIX, SocketType::STREAM, Some(_)) => Err(Errno::ISCONN),
            (AddressFamily::UNIX, SocketType::STREAM | SocketType::SEQPACKET, _)
            | (AddressFamily::UNIX, _, None) => message.send_on(socket, flags),
            // It would be connected to whoever is named.
            (_, _, _) if self.flags.contains(FASTOPEN) => Err(Errno::OPNOTSUPP),
            (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM, _) | (_, _, None) => {
                rustix::net::send(socket, &message.bytes, flags)
            }
            (AddressFamily::NETLINK, _, Some(name)) if is_kernel(name) => {
                rustix::net::send(socket, &message.bytes, flags)
            }
            (AddressFamily::INET | AddressFamily::INET6, SocketType::DGRAM, Some(name)) => {
                let to = self.receiver(shared, notification, name)?;
                shared.tell(shared.look(notification.thread, (socket, name.as_slice())))?;
                sendto(socket, &message.bytes, flags, &to)
            }
            (_, _, _) => Err(Errno::ACCESS),
        }
    }

    /// Whom a datagram goes to. What was handed in goes to nobody.
    fn receiver(
        &self,
        shared: &Shared,
        notification: &Notification,
        name: &[u8],
    ) -> Result<SocketAddr, Errno> {
        let socket = self.socket.as_fd();
        if !shared.peers.is_of_network(socket) {
            return Err(Errno::ACCESS);
        }
        match shared.target(notification.thread, (socket, name.to_vec()))? {
            Target::Gate(gate) => Ok(gate),
            Target::Address(_) => {
                let (to, port) = destination(name).ok_or(Errno::INVAL)?;
                Ok(SocketAddr::from((to, port)))
            }
            Target::Same | Target::Pinned(_) => Err(Errno::INVAL),
        }
    }
}

impl Message {
    /// Copies the message whose header is at `address`.
    fn at(
        shared: &Shared,
        thread: Pid,
        address: u64,
        (domain, kind): (AddressFamily, SocketType),
    ) -> Result<Self, Errno> {
        let header = read(thread, address, HEADER)?;
        let word = |at: usize| {
            let word = header.get(at..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| u64::from_ne_bytes(*word))
        };
        let (length_of_name, _) = low_and_whole(word(8));
        let pieces = usize::try_from(word(24)).map_err(|_| Errno::MSGSIZE)?;
        if pieces > MOST_PIECES {
            return Err(Errno::MSGSIZE);
        }
        let list = read(thread, word(16), pieces * 16)?;
        let pieces = list.chunks_exact(16).map(|piece| {
            let number = |at: usize| {
                let word = piece.get(at..).and_then(|rest| rest.first_chunk());
                word.map_or(0, |word| u64::from_ne_bytes(*word))
            };
            (number(0), usize::try_from(number(8)).unwrap_or(usize::MAX))
        });
        let control = match domain {
            AddressFamily::UNIX if word(32) != 0 => {
                let length = usize::try_from(word(40)).map_err(|_| Errno::NOBUFS)?;
                if length > LONGEST_CONTROL {
                    return Err(Errno::NOBUFS);
                }
                read(thread, word(32), length)?
            }
            _ => Vec::new(),
        };
        let name = name(thread, word(0), length_of_name)?;
        let (bytes, room) = bytes(shared, thread, pieces.collect(), kind)?;
        Ok(Self {
            name,
            bytes,
            rights: rights(shared, thread, &control)?,
            _room: room,
        })
    }

    fn send_on(&self, socket: BorrowedFd<'_>, flags: SendFlags) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_RIGHTS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let rights: Vec<_> = self.rights.iter().map(|one| one.as_fd()).collect();
        if !rights.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&rights)) {
            return Err(Errno::NOBUFS);
        }
        sendmsg(socket, &[IoSlice::new(&self.bytes)], &mut control, flags)
    }
}

/// Whether a `struct sockaddr_nl` names the kernel, and no group (netlink(7)).
fn is_kernel(name: &[u8]) -> bool {
    name.get(4..12)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}

/// A receiver, where one is named. As `move_addr_to_kernel` of net/socket.c has it.
fn name(thread: Pid, address: u64, length: u32) -> Result<Option<Vec<u8>>, Errno> {
    let length = usize::try_from(length.cast_signed()).map_err(|_| Errno::INVAL)?;
    match (address, length) {
        (0, _) | (_, 0) => Ok(None),
        (_, length) if length > LONGEST_NAME => Err(Errno::INVAL),
        (address, length) => read(thread, address, length).map(Some),
    }
}

/// What is sent: of a stream no more than is sent at once.
fn bytes(
    shared: &Shared,
    thread: Pid,
    mut pieces: Vec<(u64, usize)>,
    kind: SocketType,
) -> Result<(Vec<u8>, Room), Errno> {
    let mut left = MOST_AT_ONCE;
    for (_, length) in &mut pieces {
        if *length > left && kind != SocketType::STREAM {
            return Err(Errno::MSGSIZE);
        }
        *length = (*length).min(left);
        left -= *length;
    }
    let room = shared.copied.take(MOST_AT_ONCE - left)?;
    let mut all = vec![0; MOST_AT_ONCE - left];
    if all.is_empty() {
        return Ok((all, room));
    }
    match read_pieces(thread, &pieces, &mut all) {
        Ok(read) if read == all.len() => Ok((all, room)),
        Ok(_) | Err(_) => Err(Errno::FAULT),
    }
}

/// The descriptors that a message carries (cmsg(3)). Who sent it is the kernel's to say.
fn rights(shared: &Shared, thread: Pid, mut control: &[u8]) -> Result<Vec<OwnedFd>, Errno> {
    let mut all = Vec::new();
    while let Some((header, _)) = control.split_at_checked(CONTROL_HEADER) {
        let length = header
            .first_chunk()
            .copied()
            .map_or(0, usize::from_ne_bytes);
        let body = control.get(CONTROL_HEADER..length).ok_or(Errno::INVAL)?;
        let word = |at: usize| {
            let word = header.get(at..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| i32::from_ne_bytes(*word))
        };
        match (word(8), word(12)) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for number in body.chunks_exact(4) {
                    let number = number.first_chunk().copied().map_or(-1, i32::from_ne_bytes);
                    all.push(shared.processes.descriptor(thread, number)?);
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {}
            (_, _) => return Err(Errno::INVAL),
        }
        if all.len() > MOST_RIGHTS {
            return Err(Errno::INVAL);
        }
        control = control
            .get(length.next_multiple_of(8)..)
            .unwrap_or_default();
    }
    Ok(all)
}

fn read(thread: Pid, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut copied = vec![0; length];
    if length == 0 {
        return Ok(copied);
    }
    match read_memory(thread, address, &mut copied) {
        Ok(read) if read == length => Ok(copied),
        Ok(_) | Err(_) => Err(Errno::FAULT),
    }
}
