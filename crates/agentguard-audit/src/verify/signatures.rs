//! What the agent's key signed for git, and the commits that are said to be signed by it.

use std::collections::BTreeSet;

use agentguard_core::ssh::fingerprint_of;
use agentguard_core::{Agent, Entry, Event, Ruling};

/// The signatures of a log so far.
#[derive(Default)]
pub(crate) struct Signatures {
    /// The name of the agent's key.
    key: Option<String>,
    made: BTreeSet<u64>,
}

impl Signatures {
    /// Of a session of this agent.
    pub(crate) fn of(agent: &Agent) -> Self {
        Self {
            key: fingerprint_of(&agent.key),
            made: BTreeSet::new(),
        }
    }

    /// Checks a signature: it is by the agent's key, and what was signed is named. Answers whether it was refused.
    pub(crate) fn see(&mut self, index: u64, bytes: &[u8]) -> Result<bool, &'static str> {
        // One that cannot be read is found elsewhere.
        let Ok(Entry {
            event:
                Event::Signature {
                    key,
                    message,
                    ruling,
                },
            ..
        }) = serde_json::from_slice(bytes)
        else {
            return Ok(false);
        };
        if self.key.as_ref() != Some(&key) {
            return Err("it is by another key than the agent's");
        }
        match (ruling, message) {
            (Ruling::Allow { .. }, Some(_)) => {
                self.made.insert(index);
                Ok(false)
            }
            (Ruling::Allow { .. }, None) => Err("it does not say what was signed"),
            (Ruling::Deny { .. }, _) => Ok(true),
            (Ruling::Unenforced { .. }, _) => Err("it lets be what no policy refuses"),
        }
    }

    /// Checks the commits that appeared: those that were signed in the session name the entry.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), &'static str> {
        let Ok(Entry {
            event: Event::Refs { commits, .. },
            ..
        }) = serde_json::from_slice(bytes)
        else {
            return Ok(());
        };
        let mut named = commits.iter().filter_map(|commit| commit.signature);
        match named.all(|index| self.made.contains(&index)) {
            true => Ok(()),
            false => Err("a commit's signature was not made before it"),
        }
    }
}
