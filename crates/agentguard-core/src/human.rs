//! On whose authority: the human, how strong the evidence is, and what started the session.

use serde::{Deserialize, Serialize};

/// How well it is known who the human is. The order is the order of strength.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nobody is named.
    None,
    /// The environment or a flag says so.
    Asserted,
    /// The platform's event payload says so, and no earlier step of the job could have written it.
    Event,
    /// A token that the issuer signed says so.
    Oidc,
    /// The human's own key signed for it.
    Signed,
}

impl Evidence {
    /// What stands where nothing is said.
    pub(crate) fn none() -> Self {
        Self::None
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The word used in policies, entries and flags.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Asserted => "asserted",
            Self::Event => "event",
            Self::Oidc => "oidc",
            Self::Signed => "signed",
        }
    }

    /// Parses the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::None,
            Self::Asserted,
            Self::Event,
            Self::Oidc,
            Self::Signed,
        ]
        .into_iter()
        .find(|evidence| evidence.as_str() == word)
    }
}

/// Who triggered the work.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Human {
    /// A stable id with its authority: `github:583231`, `gitlab:12`, `local:1000@host`.
    pub id: String,
    /// The name people know them by.
    pub login: String,
    /// How well this is known.
    pub evidence: Evidence,
    /// Through what it became known: platform, run, event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
}

/// What kind of event started the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// A person typed the command.
    Terminal,
    /// A GitHub Actions job.
    Github,
    /// A GitLab CI job.
    Gitlab,
    /// A program without a terminal, and no platform that says more.
    Unattended,
}

/// What started the session, as the platform tells it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// The kind of event.
    pub kind: TriggerKind,
    /// The platform's word for it: `issues`, `schedule`, `push`, `merge_request_event`.
    pub event: String,
    /// Where it is to be looked up: a run's address or the terminal's name.
    pub reference: String,
    /// Whether the human asked for it, or only owns the schedule that did.
    pub requested: bool,
    /// Further facts that name people or runs, as `name=value`, for the reader.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_ordered_by_strength_and_its_words_come_back() {
        let words = ["none", "asserted", "event", "oidc", "signed"];
        let all: Vec<_> = words
            .iter()
            .filter_map(|word| Evidence::parse(word))
            .collect();
        assert!(all.is_sorted());
        assert_eq!(all.iter().map(|e| e.as_str()).collect::<Vec<_>>(), words);
        assert_eq!(Evidence::parse("strong"), None);
    }
}
