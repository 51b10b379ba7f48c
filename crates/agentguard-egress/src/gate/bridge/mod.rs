//! Servers of git that speak nothing but SSH: a session's client speaks HTTPS to the gate, so that all is judged as it is
//! anywhere, and the gate carries on over SSH what was permitted.
//!
//! To the rest of the gate such a server is one that speaks HTTP: what stands here answers as `git http-backend` does.

mod asked;
mod first;
mod serve;
mod talk;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentguard_core::{Binding, CredentialName, Host, Scheme};
use hyper::StatusCode;
use tokio::sync::Semaphore;

use super::refusal::Fault;
use super::request::{Origin, Read};
use crate::ssh::{Begun, Errand, quotable};
use crate::wire::{self, Bound, LONGEST};
use asked::Asked;
pub(super) use serve::{answered, open};

/// More conversations at once wait to begin.
const MOST: usize = 8;

/// Which servers there are, and the line to who asks them.
pub(super) struct Ssh {
    bound: Vec<Bound>,
    line: Mutex<UnixStream>,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Ssh {
    pub(super) fn new(bound: Vec<Bound>, line: OwnedFd, patience: Duration) -> Self {
        Self {
            bound,
            line: Mutex::new(line.into()),
            places: Arc::new(Semaphore::new(MOST)),
            patience,
        }
    }

    /// Whether the server there speaks SSH.
    pub(super) fn leads_to(&self, origin: &Origin) -> bool {
        let mut bound = self.bound.iter().flat_map(|one| &one.bound);
        bound.any(|bound| is_at(bound, &origin.host, origin.port))
    }

    /// The key by which a request is carried on, where its server speaks SSH.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be carried on.
    pub(super) fn key_for(
        &self,
        origin: &Origin,
        read: &Read,
    ) -> Result<Option<CredentialName>, Fault> {
        if !self.leads_to(origin) {
            return Ok(None);
        }
        let refused = |reason: &str| Fault::new(StatusCode::FORBIDDEN, "gate/ssh", reason);
        let (method, target) = (&read.method, &read.target);
        if origin.scheme == Scheme::Http || read.upgrade.is_some() {
            let reason = "the server speaks SSH, and what goes there comes over HTTPS";
            return Err(refused(reason).with_remedy("leave the URL as git has it: it leads here"));
        }
        if target.segments.iter().any(|segment| segment == "lfs") {
            let reason = "large files of git LFS are not carried over SSH, and no command but git's own two is run there";
            return Err(refused(reason).with_remedy("push without them, or by an API of the host"));
        }
        let Some(asked) = Asked::of(method, &target.segments, target.query.get("service")) else {
            let reason = "the server speaks SSH, over which is carried what git fetches and pushes, and nothing else";
            return Err(refused(reason));
        };
        quotable(&asked.repository).map_err(refused)?;
        let covers = |bound: &Binding| {
            bound.covers(&origin.host, origin.port, method.as_str(), &target.segments)
        };
        let found = self.bound.iter().find(|one| one.bound.iter().any(covers));
        match found {
            Some(found) => Ok(Some(found.name.clone())),
            None => Err(
                refused("no key that the session was lent is for this repository")
                    .with_remedy("ask whoever started this session for one"),
            ),
        }
    }

    /// Has the guard begin a conversation.
    fn begin(&self, errand: &Errand) -> io::Result<Result<Vec<OwnedFd>, String>> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        wire::send(&mut *line, errand)?;
        let begun = wire::receive(&mut *line, LONGEST)?;
        match begun.ok_or(io::ErrorKind::UnexpectedEof)? {
            Begun::Talking => Ok(Ok(wire::receive_descriptors(&*line)?)),
            Begun::Not(why) => Ok(Err(why)),
        }
    }
}

fn is_at(bound: &Binding, host: &Host, port: u16) -> bool {
    bound.host == *host && bound.port == port
}
