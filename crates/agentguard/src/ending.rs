//! What ends a session before its command does: a finding that policy names.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use agentguard_core::{Rule, RuleId};
use rustix::event::{EventfdFlags, eventfd};

use crate::Error;

/// Ends a session where something is found for which policy says so.
pub(crate) struct Ending {
    on: Vec<RuleId>,
    /// Readable once it is to end.
    event: OwnedFd,
    by: OnceLock<Rule>,
}

impl Ending {
    /// On findings by these rules.
    pub(crate) fn new(on: Vec<RuleId>) -> Result<Self, Error> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let event =
            event.map_err(|errno| Error::doing("arrange what ends it early")(errno.into()))?;
        Ok(Self {
            on,
            event,
            by: OnceLock::new(),
        })
    }

    /// Something was found, and written down. The first such thing is why the session ends.
    pub(crate) fn found(&self, rule: &Rule) {
        if self.on.contains(&rule.id) && self.by.set(rule.clone()).is_ok() {
            // Its counter is 0 before, so that it takes this.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Why the session was ended.
    pub(crate) fn reason(&self) -> Option<Rule> {
        let rule = self.by.get()?;
        let reason = format!("the session was ended: {}", rule.reason);
        Some(Rule::new("session/misuse", reason))
    }
}
