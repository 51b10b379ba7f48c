//! Names of unix sockets: made by `bind`, where nobody opens anything.
//!
//! A socket that lies where git looks for a directory is one to git, which asks only whether it could go there. So each is
//! judged, and made beneath the directory that was looked at. What a socket's peers are told is the path that it was bound
//! to, which programs connect to: where no link is on the way, it is bound by that, while nobody else makes a name in
//! any directory that the path goes through.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{Errno, Result};

use super::call::Naming;
use super::{Attempting, Done, Stopped, What, trees};
use crate::mediator::caller::Named;
use crate::mediator::resolve::{Place, Resolver};
use crate::sys;

impl Attempting<'_> {
    pub(super) fn bind(
        &self,
        resolver: &mut Resolver<'_>,
        naming: &Naming,
    ) -> std::result::Result<Done, Stopped> {
        let address = naming.address.as_slice();
        let shared = self.worker.shared;
        let thread = self.notification.thread;
        let socket = shared.processes.descriptor(thread, naming.number)?;
        // One that was handed in would have its name where others are.
        if !shared.peers.is_of_network(socket.as_fd()) {
            return Err(Errno::ACCESS.into());
        }
        let Some(named) = &naming.named else {
            if !shared.listener.still_waits(self.notification) {
                return Err(Stopped::Gone);
            }
            bind(socket.as_fd(), address)?;
            return Ok(Done::Nothing);
        };
        let place = resolver.place(named)?;
        self.mask()?;
        if self.bind_by_path(resolver, (socket.as_fd(), address), (named, &place))? {
            return Ok(Done::Nothing);
        }
        let trees = self.trees(&place)?;
        let _held = super::hold(&trees, &place)?;
        self.may(&place, &What::File)?;
        bind_in(
            place.parent.as_fd(),
            socket.as_fd(),
            &address_of(&place.name),
        )?;
        Ok(Done::Nothing)
    }

    /// Binds it by the path that the caller has for it, or does nothing where that could come to lead elsewhere.
    fn bind_by_path(
        &self,
        resolver: &Resolver<'_>,
        (socket, address): (BorrowedFd<'_>, &[u8]),
        (named, place): (&Named, &Place),
    ) -> std::result::Result<bool, Stopped> {
        let shared = self.worker.shared;
        let Some(way) = resolver.way(named)? else {
            return Ok(false);
        };
        let all: Vec<_> = way.iter().map(AsFd::as_fd).collect();
        let trees = shared.names.trees.around(&shared.processes, &all)?;
        let _alone = trees::have(&trees)?;
        // Now nothing on it moves.
        let way = resolver.way(named)?;
        let (first, last) = match way.as_deref() {
            Some([first, .., last]) => (first, last),
            Some([only]) => (only, only),
            Some([]) | None => return Ok(false),
        };
        if !is_same(last.as_fd(), place.parent.as_fd())? {
            return Ok(false);
        }
        self.may(place, &What::File)?;
        bind_in(first.as_fd(), socket, address)?;
        Ok(true)
    }
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool> {
    let (one, other) = (fs::fstat(one)?, fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Binds it from a directory on. The working directory is the thread's own: what connects counts on it.
fn bind_in(directory: BorrowedFd<'_>, socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    let own = fs::open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::fchdir(directory)?;
    let bound = bind(socket, address);
    rustix::process::fchdir(own)?;
    bound
}

fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    let bound = sys::bind(socket, address);
    bound.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))
}

/// The address of a name in the working directory.
fn address_of(name: &[u8]) -> Vec<u8> {
    const UNIX: u16 = 1; // AF_UNIX, linux/socket.h
    [&UNIX.to_ne_bytes(), name, b"\0"].concat()
}
