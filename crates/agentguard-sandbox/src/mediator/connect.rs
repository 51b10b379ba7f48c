//! Connects for callers: what was looked at is what is connected, since nobody else does it.
//!
//! The caller's socket is taken by its description and its address is copied once, so that neither another
//! descriptor put in its place nor a thread that writes to the address changes anything. A unix socket in a
//! directory is looked up as the caller would, and pinned; then it is known who listens ([`Peers`]), and what
//! is pinned is connected. Nothing is ever left to the kernel's own reading of the call.
//!
//! [`Peers`]: super::peers::Peers

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use agentguard_core::{Connect, OutcomeOf};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};

use super::caller::{Named, later};
use super::exec::{Shared, Worker};
use super::explain::Telling;
use super::peers::{Peer, address_of};
use super::resolve::Resolver;
use crate::error::Error;
use crate::sys::{self, Notification, read_memory};
use crate::wire::{FromWorker, Outcome};

/// `struct sockaddr_storage`: the kernel copies no more.
const LONGEST: usize = 128;
/// `struct sockaddr_un`.
const LONGEST_UNIX: usize = 110;
/// Where the path stands in it.
const PATH: usize = 2;
/// `ERESTARTSYS` of linux/errno.h: the kernel calls again when the caller's signal was handled, or returns
/// `EINTR`, as the handler asked.
const RESTART: i32 = 512;
/// For each wait; it does little.
const STACK: usize = 64 << 10;

/// What a call asks for.
struct Asked {
    socket: OwnedFd,
    address: Vec<u8>,
}

/// What is connected to what.
struct Connection {
    socket: OwnedFd,
    target: Target,
    /// The entry that allowed it, where it was asked about.
    entry: Option<u64>,
}

pub(super) enum Target {
    /// The address that was copied.
    Address(Vec<u8>),
    /// What a descriptor of ours holds.
    Pinned(OwnedFd),
    /// The gate, instead of what was asked for.
    Gate(SocketAddr),
    /// Nobody: it stays connected to the gate.
    Same,
}

impl Worker<'_> {
    /// Answers a connect.
    pub(super) fn answer_connect(&self, notification: &Notification) -> Result<(), Error> {
        let shared = self.shared;
        let asked = match Asked::of(shared, notification) {
            Ok(asked) => asked,
            Err(errno) => {
                shared.listener.refuse(notification, errno.raw_os_error());
                return Ok(());
            }
        };
        let whom = (asked.socket.as_fd(), asked.address.as_slice());
        let calling = shared.look(notification.thread, whom);
        // It waits still: what was read was its own.
        if !shared.listener.still_waits(notification) {
            return Ok(());
        }
        match self.decide(notification, asked)? {
            Ok(connection) => match shared.tell(calling) {
                Ok(()) => self.perform(notification, connection),
                Err(errno) => shared.listener.refuse(notification, errno.raw_os_error()),
            },
            Err(errno) => shared.listener.refuse(notification, errno.raw_os_error()),
        }
        Ok(())
    }

    fn decide(
        &self,
        notification: &Notification,
        Asked { socket, address }: Asked,
    ) -> Result<Result<Connection, Errno>, Error> {
        let shared = self.shared;
        let path = match unix_path(&socket, &address) {
            Ok(Some(path)) => path.to_vec(),
            Ok(None) if !shared.peers.is_of_network(socket.as_fd()) => {
                return Ok(Err(Errno::ACCESS));
            }
            Ok(None) => {
                let target = match shared.target(notification.thread, (socket.as_fd(), address)) {
                    Ok(target) => target,
                    Err(errno) => return Ok(Err(errno)),
                };
                return Ok(Ok(Connection {
                    socket,
                    target,
                    entry: None,
                }));
            }
            Err(errno) => return Ok(Err(errno)),
        };
        let named = Named { at: None, path };
        let mut resolver = Resolver::new(&shared.processes, notification.thread);
        let pinned = match resolver.file(&named, true) {
            Ok(pinned) => pinned,
            Err(errno) => return Ok(Err(later(errno))),
        };
        let entry = match shared.peers.of_socket(pinned.as_fd()) {
            Ok(Peer::Nobody(errno)) => return Ok(Err(errno)),
            Ok(Peer::Session) => None,
            Ok(Peer::Granted) => match self.admit(notification, &pinned, true)? {
                Some(entry) => Some(entry),
                None => return Ok(Err(Errno::ACCESS)),
            },
            // Nobody could look who listens there, which is no word about a socket of the host's.
            Err(errno) if later(errno) == Errno::AGAIN => return Ok(Err(Errno::AGAIN)),
            Ok(Peer::Host) | Err(_) => {
                self.admit(notification, &pinned, false)?;
                return Ok(Err(Errno::ACCESS));
            }
        };
        Ok(Ok(Connection {
            socket,
            target: Target::Pinned(pinned),
            entry,
        }))
    }

    /// Asks the guard; a refusal is explained. What is not granted is asked about too, so that there is a rule
    /// and an entry, and never connected.
    fn admit(
        &self,
        notification: &Notification,
        pinned: &OwnedFd,
        granted: bool,
    ) -> Result<Option<u64>, Error> {
        let processes = &self.shared.processes;
        let unknown = || "unknown".to_owned();
        let path = processes
            .path_of(pinned.as_fd())
            .unwrap_or_else(|_| unknown());
        let caller = processes
            .link(notification.thread, "exe")
            .unwrap_or_else(unknown);
        let connect = Connect {
            path: path.clone(),
            granted,
            caller,
        };
        let answer = self
            .shared
            .seats
            .ask(&self.seat, &FromWorker::Connect { connect })?;
        match answer.entry {
            Some(entry) if answer.allow => return Ok(Some(entry)),
            Some(_) | None => {}
        }
        let told = self.shared.told.tell(notification.thread, &path, &answer);
        if let (Telling::Lost, Some(entry)) = (told, answer.entry) {
            self.shared.note(entry, OutcomeOf::Untold);
        }
        Ok(None)
    }

    /// Connects at once where that cannot wait, else in a thread of its own.
    fn perform(&self, notification: &Notification, connection: Connection) {
        let may_wait = may_wait(&connection.socket);
        self.act(notification, may_wait, move |shared, notification| {
            connection.finish(shared, notification);
        });
    }

    /// Does something for a caller, which answers it, in a thread of its own where it may wait.
    pub(super) fn act(
        &self,
        notification: &Notification,
        may_wait: bool,
        act: impl FnOnce(&Shared, &Notification) + Send + 'static,
    ) {
        let shared = self.shared;
        if !may_wait {
            return act(shared, notification);
        }
        if !shared.waits.enter(notification) {
            return shared.listener.refuse(notification, libc::EAGAIN);
        }
        let (in_thread, asked) = (Arc::clone(shared), *notification);
        let wait = move || {
            in_thread.waits.begin(&asked);
            act(&in_thread, &asked);
        };
        let thread = std::thread::Builder::new().stack_size(STACK);
        if thread.spawn(wait).is_err() {
            shared.waits.leave(notification);
            shared.listener.refuse(notification, libc::EAGAIN);
        }
    }
}

impl Asked {
    fn of(shared: &Shared, notification: &Notification) -> Result<Self, Errno> {
        let [number, address, length, ..] = notification.arguments.map(low_and_whole);
        let socket = shared
            .processes
            .descriptor(notification.thread, number.0.cast_signed())?;
        let length = usize::try_from(length.0.cast_signed()).map_err(|_| Errno::INVAL)?;
        if length > LONGEST {
            return Err(Errno::INVAL);
        }
        let mut copied = vec![0; length];
        match read_memory(notification.thread, address.1, &mut copied) {
            Ok(read) if read == length => Ok(Self {
                socket,
                address: copied,
            }),
            Ok(_) | Err(_) => Err(Errno::FAULT),
        }
    }
}

impl Connection {
    fn finish(self, shared: &Shared, notification: &Notification) {
        let socket = self.socket.as_fd();
        let connected = match &self.target {
            Target::Address(address) => sys::connect(socket, address),
            Target::Pinned(pinned) => sys::connect(socket, &address_of(pinned.as_fd())),
            Target::Gate(gate) => rustix::net::connect(socket, gate).map_err(io::Error::from),
            Target::Same => Ok(()),
        };
        let errno = connected.err().map(|error| self.errno(&error));
        let entry = self.entry;
        // Before the answer: the caller may close its socket, and then the other side has to hear of it.
        drop(self);
        shared.waits.leave(notification);
        if let (Some(entry), Some(errno)) = (entry, errno) {
            shared.note(entry, OutcomeOf::Failed { errno });
        }
        match errno {
            None => shared.listener.succeed(notification),
            Some(errno) => shared.listener.refuse(notification, errno),
        }
    }

    /// A wait that was ended for a signal of the caller's ends as it would have for the caller.
    fn errno(&self, error: &io::Error) -> i32 {
        interrupted(&self.socket, error.raw_os_error().unwrap_or(libc::EACCES))
    }
}

impl Shared {
    /// Keeps what came of a decision, to be told with the next look around.
    pub(super) fn note(&self, of: u64, outcome: OutcomeOf) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.push(Outcome { of, outcome });
    }
}

/// The error of a wait that ended, as the caller would have had it.
pub(super) fn interrupted(socket: &OwnedFd, errno: i32) -> i32 {
    let has_limit = || {
        !matches!(
            sockopt::socket_timeout(socket, sockopt::Timeout::Send),
            Ok(None)
        )
    };
    match errno {
        libc::EINTR if !has_limit() => RESTART,
        errno => errno,
    }
}

/// The path that a unix socket is to be connected to; none for other families, and for names that are no
/// paths. As `unix_validate_addr` and `unix_mkname_bsd` in net/unix/af_unix.c read it.
fn unix_path<'a>(socket: &OwnedFd, address: &'a [u8]) -> Result<Option<&'a [u8]>, Errno> {
    if sockopt::socket_domain(socket)? != AddressFamily::UNIX {
        return Ok(None);
    }
    let is_unix =
        |family: &[u8; 2]| libc::c_int::from(u16::from_ne_bytes(*family)) == libc::AF_UNIX;
    let Some(name) = address
        .get(PATH..)
        .filter(|_| address.first_chunk().is_some_and(is_unix))
    else {
        return Ok(None);
    };
    match name.first() {
        None | Some(0) => Ok(None),
        Some(_) if address.len() > LONGEST_UNIX => Err(Errno::INVAL),
        Some(_) => Ok(name.split(|byte| *byte == 0).next()),
    }
}

/// Whether a connect of this socket could wait: for a place in a queue, or for the other side.
pub(super) fn may_wait(socket: &OwnedFd) -> bool {
    rustix::fs::fcntl_getfl(socket).map_or(true, |flags| !flags.contains(OFlags::NONBLOCK))
}

/// A register as the kernel reads it: a 32-bit number, or an address.
pub(super) fn low_and_whole(register: u64) -> (u32, u64) {
    (u32::try_from(register & 0xffff_ffff).unwrap_or(0), register)
}
