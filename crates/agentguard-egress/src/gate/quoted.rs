//! Placeholders in what an agent says to its model. It read one, and from then on says it again with each request: that
//! is let through where policy says so, as it is, and is told of once.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use agentguard_core::{Host, Rule};

use super::accept::Shared;

/// The conversation that a body belongs to.
pub(super) struct Conversation {
    shared: Arc<Shared>,
    host: Host,
    /// What is found before it is known whether anything is said.
    unsaid: BTreeSet<usize>,
    is_said: bool,
}

impl Conversation {
    /// With `host`, where policy says that there is one.
    pub(super) fn with(host: &Host, shared: &Arc<Shared>) -> Option<Self> {
        shared.is_conversation(host).then(|| Self {
            shared: Arc::clone(shared),
            host: host.clone(),
            unsaid: BTreeSet::new(),
            is_said: false,
        })
    }

    /// What stands for a credential stands in it.
    pub(super) fn quotes(&mut self, credential: usize) {
        match self.is_said {
            true => self.tell(credential),
            false => _ = self.unsaid.insert(credential),
        }
    }

    /// It was permitted, and is said.
    pub(super) fn begins(&mut self) {
        self.is_said = true;
        for credential in std::mem::take(&mut self.unsaid) {
            self.tell(credential);
        }
    }

    /// Tells of it the first time.
    fn tell(&self, credential: usize) {
        let quoted = &self.shared.quoted;
        let mut quoted = quoted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(name) = self.shared.lent.name(credential) else {
            return;
        };
        if quoted.insert(credential) {
            let host = &self.host;
            let reason = format!(
                "the placeholder of `{name}` stands in what is said to `{host}`, and is sent as it is"
            );
            self.shared
                .guard
                .found(Rule::new("credential/quoted", reason));
        }
    }
}
