//! How much is enforced, and what may be relied on at each level.
//!
//! This is the one place that says which level holds which promise: what a session's first entry lists as
//! missing, what `exec` prints, and what the tests ask for all come from here.

use serde::{Deserialize, Serialize};

use crate::Network;

/// How much is enforced. The order is the order of strength.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// What a kernel can hold in which an agent could signal its guard. Nothing is promised there, and no
    /// session is started.
    OldKernel,
    /// Landlock with scopes, the filter and the mediator, without namespaces.
    NoNamespaces,
    /// Everything.
    Full,
}

impl Level {
    /// Every level, the strongest first.
    pub const ALL: [Self; 3] = [Self::Full, Self::NoNamespaces, Self::OldKernel];

    /// The word used in policies, entries and flags.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OldKernel => "old-kernel",
            Self::NoNamespaces => "no-namespaces",
            Self::Full => "full",
        }
    }

    /// Parses the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }

    /// Whether a session of this level may rely on `promise`.
    #[must_use]
    pub fn holds(self, promise: Promise) -> bool {
        match (self, promise) {
            (Self::Full, _) => true,
            (Self::OldKernel, _) => false,
            (
                Self::NoNamespaces,
                Promise::Execs
                | Promise::Writes
                | Promise::Attributes
                | Promise::Reads
                | Promise::Network
                | Promise::Sockets
                | Promise::Processes
                | Promise::Lifetime,
            ) => true,
            (
                Self::NoNamespaces,
                Promise::Names | Promise::Own | Promise::Pins | Promise::Unseen,
            ) => false,
        }
    }

    /// What a session of this level, on this network, may not rely on.
    #[must_use]
    pub fn missing(self, network: Network) -> Vec<Promise> {
        let is_held = |promise: &Promise| {
            self.holds(*promise) && (network.is_own() || *promise != Promise::Network)
        };
        let missing = Promise::ALL.into_iter().filter(|promise| !is_held(promise));
        missing.collect()
    }
}

/// Whose refusals a session is held to, of those that are no rules of the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    /// Every rule's.
    Policy,
    /// The deny-list's and the organisation's alone. What other rules refuse is recorded and goes on.
    Shadow,
}

impl Enforcement {
    /// What holds where an entry, or an action, says nothing else.
    pub(crate) fn unsaid() -> Self {
        Self::Policy
    }

    /// Whether every rule's refusal holds.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        *self == Self::Policy
    }
}

/// Something a session may rely on being held, or is told that it is not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// Every exec is judged, and what runs is what was judged.
    Execs,
    /// Nothing outside is made, changed in content, renamed, linked or removed.
    Writes,
    /// No mode, owner, time or attribute outside is changed.
    Attributes,
    /// What policy pins in the workspace stays as it is.
    Pins,
    /// What is not granted, or is masked, cannot be read or listed.
    Reads,
    /// What is not granted has no name: that it exists, how large and how old it is cannot be learnt.
    Names,
    /// Nothing but the granted hosts and loopback ports can be reached.
    Network,
    /// No unix socket of the host's but the granted ones can be reached.
    Sockets,
    /// What programs use between them is the session's own: `/tmp`, terminals, unix sockets, a loopback.
    Own,
    /// No process outside can be signalled, traced, limited or read.
    Processes,
    /// No process outside can be seen.
    Unseen,
    /// Nothing survives the session.
    Lifetime,
}

impl Promise {
    /// Every promise.
    pub const ALL: [Self; 12] = [
        Self::Execs,
        Self::Writes,
        Self::Attributes,
        Self::Pins,
        Self::Reads,
        Self::Names,
        Self::Network,
        Self::Sockets,
        Self::Own,
        Self::Processes,
        Self::Unseen,
        Self::Lifetime,
    ];

    /// What is promised, in words that follow "promised:" or "not promised:".
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Execs => "every exec is judged, and what runs is what was judged",
            Self::Writes => {
                "nothing outside the workspace and the agent's home is made, changed or removed"
            }
            Self::Attributes => {
                "no mode, owner, time or attribute outside the workspace and the agent's home is changed"
            }
            Self::Pins => {
                "what policy pins in the workspace cannot be changed, and names at its places are judged"
            }
            Self::Reads => "what is not granted cannot be read or listed",
            Self::Names => "what is not granted has no name, size or time inside",
            Self::Network => "nothing but the granted hosts and loopback ports can be reached",
            Self::Sockets => "no unix socket of the host's can be reached but those granted",
            Self::Own => {
                "`/tmp`, terminals, unix sockets and a loopback are there, and the session's own"
            }
            Self::Processes => {
                "no process outside can be signalled, traced, limited, nor its memory or variables read"
            }
            Self::Unseen => "no process outside, nor its command line, can be seen",
            Self::Lifetime => "nothing survives the session",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_level_holds_what_a_weaker_one_does() {
        for promise in Promise::ALL {
            let held: Vec<_> = Level::ALL.map(|level| level.holds(promise)).into();
            assert!(
                held.is_sorted_by(|stronger, weaker| stronger >= weaker),
                "{promise:?}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_told_by_level_and_network() {
        assert!(Level::Full.missing(Network::Isolated).is_empty());
        assert!(Level::Full.missing(Network::Gated).is_empty());
        assert_eq!(Level::Full.missing(Network::Host), [Promise::Network]);
        let weaker = Level::NoNamespaces.missing(Network::Isolated);
        let expected = [Promise::Pins, Promise::Names, Promise::Own, Promise::Unseen];
        assert_eq!(weaker, expected);
        assert_eq!(
            Level::OldKernel.missing(Network::Isolated),
            Promise::ALL.to_vec()
        );
    }
}
