//! Where a commit comes from: the push that brought it, and the session in which that was allowed, proven to whoever
//! has the log's key and a receipt.

use std::path::Path;

use agentguard_audit::{Error, Keys, Receipt, prove_all, verify_receipts};
use agentguard_core::{Entry, Event, Index, Ruling};
use serde::Serialize;

use crate::verify::is_signed;

/// A push that policy allowed, and the start of its session, both in one signed state of one log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provenance {
    /// The session's first entry: the human, the evidence, the policies.
    pub start: Receipt,
    /// The push's.
    pub push: Receipt,
}

impl Provenance {
    /// Writes the receipt of the commits of the push at `index`, for [`Provenance::verify`].
    ///
    /// # Errors
    ///
    /// Returns why there is no proof (yet).
    pub fn prove(directory: &Path, index: Index) -> Result<String, Error> {
        prove_all(directory, &[Index(0), index])
    }

    /// Verifies a receipt by the keys alone: what stands in it chooses neither the key nor what is believed.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoKey`] where the log's key is not among `keys`, and else what does not fit.
    pub fn verify(receipt: &[u8], keys: &Keys) -> Result<Self, Error> {
        let not = |problem| Error::NotProven { problem };
        let [start, push]: [Receipt; 2] = verify_receipts(receipt, keys)?
            .try_into()
            .map_err(|_| not("it holds not the two entries that it needs"))?;
        if start.checkpoint != push.checkpoint {
            return Err(not("its entries are not of one state of one log"));
        }
        is_beginning(&start).map_err(not)?;
        is_within(&push, &start.entry).map_err(not)?;
        is_allowed_push(&push.entry).map_err(not)?;
        Ok(Self { start, push })
    }

    /// Whether the push brought this commit, by its whole id.
    #[must_use]
    pub fn covers(&self, commit: &str) -> bool {
        let Event::Decision { brings, .. } = &self.push.entry.event else {
            return false;
        };
        brings.as_ref().is_some_and(|brings| brings.names(commit))
    }
}

/// Whether it is the first entry of a session's log, and a session that its rules held.
fn is_beginning(start: &Receipt) -> Result<(), &'static str> {
    let Event::Start {
        human,
        agent,
        enforcement,
        ruling,
        ..
    } = &start.entry.event
    else {
        return Err("its first entry is no session's start");
    };
    let entry = &start.entry;
    if start.index != 0 {
        return Err("a session's start is not its log's first entry");
    }
    let origin = &start.checkpoint.origin;
    if origin.rsplit('/').next() != Some(entry.session.as_str()) {
        return Err("the session is not the one that the log is of");
    }
    if human.id != entry.human || human.evidence != entry.evidence || agent.name != entry.agent {
        return Err("the session's start names two humans, or two agents");
    }
    if !is_signed(entry) {
        return Err("the agent did not sign its session's start");
    }
    if !matches!(ruling, Ruling::Allow { .. }) || !enforcement.is_policy() {
        return Err("its session was held to no policy");
    }
    Ok(())
}

/// Whether it is an entry of that session.
fn is_within(push: &Receipt, start: &Entry) -> Result<(), &'static str> {
    let entry = &push.entry;
    let is_same = (&entry.session, &entry.agent, &entry.human, entry.evidence)
        == (&start.session, &start.agent, &start.human, start.evidence);
    match is_same && push.index > 0 {
        true => Ok(()),
        false => Err("the push is not of the session that it is said to be of"),
    }
}

/// Whether it is a push that a rule allowed, or a human.
fn is_allowed_push(entry: &Entry) -> Result<(), &'static str> {
    let Event::Decision { action, ruling, .. } = &entry.event else {
        return Err("its second entry is no push");
    };
    match ruling {
        _ if action != "push" => Err("its second entry is no push"),
        Ruling::Allow { .. } => Ok(()),
        Ruling::Deny { .. } | Ruling::Unenforced { .. } => Err("the push was not allowed"),
    }
}
