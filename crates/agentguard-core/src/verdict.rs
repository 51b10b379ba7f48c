//! What a judge answers, and what the gate makes of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Approval;

/// Names a rule: `area/name`, lower case, as policy authors wrote it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleId(String);

impl RuleId {
    /// Parses `area/name`.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidRuleId`] unless both halves are non-empty and made of `a-z`, `0-9`, `-`, `_`.
    pub fn parse(text: &str) -> Result<Self, InvalidRuleId> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        match text.split_once('/') {
            Some((area, name)) if text.len() <= 128 && is_word(area) && is_word(name) => {
                Ok(Self(text.to_owned()))
            }
            Some(_) | None => Err(InvalidRuleId {
                text: text.to_owned(),
            }),
        }
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RuleId {
    type Error = InvalidRuleId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.0
    }
}

/// A rule id that is not `area/name`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("rule id `{text}` is not of the form `area/name`")]
pub struct InvalidRuleId {
    text: String,
}

/// What decided: an id, the reason in plain words, and what would be allowed instead.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Rule {
    /// Which rule.
    pub id: RuleId,
    /// Why, for the agent and for the human who reads the log.
    pub reason: String,
    /// What to do instead, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Rule {
    /// Makes one of agentguard's own rules, whose id is a literal.
    ///
    /// An id that does not parse becomes `guard/unnamed` rather than a panic: the refusal stands.
    #[must_use]
    pub fn new(id: &'static str, reason: impl Into<String>) -> Self {
        let id = RuleId::parse(id).unwrap_or_else(|_| RuleId("guard/unnamed".to_owned()));
        Self {
            id,
            reason: reason.into(),
            remedy: None,
        }
    }

    /// Adds what to do instead.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// What a judge thinks of an action.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "rule", rename_all = "snake_case")]
#[must_use]
pub enum Verdict {
    /// It may happen.
    Allow(Rule),
    /// A human has to say so first.
    Ask(Rule),
    /// It may not happen.
    Deny(Rule),
}

impl Verdict {
    /// Keeps the stricter of two: deny over ask over allow. Of two equals the first stands.
    pub fn strictest(self, other: Self) -> Self {
        if other.strictness() > self.strictness() {
            other
        } else {
            self
        }
    }

    /// The rule that decided.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        match self {
            Self::Allow(rule) | Self::Ask(rule) | Self::Deny(rule) => rule,
        }
    }

    fn strictness(&self) -> u8 {
        match self {
            Self::Allow(_) => 0,
            Self::Ask(_) => 1,
            Self::Deny(_) => 2,
        }
    }
}

/// What was decided in the end, once nobody is left to ask.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ruling", rename_all = "snake_case")]
#[must_use]
pub enum Ruling {
    /// It happens.
    Allow {
        /// The rule that allowed it, or left it to a human.
        rule: Rule,
        /// Who said yes, where a rule left it to a human.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Box<Approval>>,
    },
    /// It does not happen.
    Deny {
        /// The rule that refused it.
        rule: Rule,
        /// Whether the rule only asked, and nobody said yes.
        #[serde(default)]
        asked: bool,
        /// How the question ended, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Box<Approval>>,
    },
    /// A rule refused it, and it happens all the same: the session is a [shadow](crate::Enforcement::Shadow).
    Unenforced {
        /// The rule that would have refused it.
        rule: Rule,
        /// Whether the rule only asked.
        #[serde(default)]
        asked: bool,
    },
}

impl Ruling {
    /// The rule that decided.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        match self {
            Self::Allow { rule, .. } | Self::Deny { rule, .. } | Self::Unenforced { rule, .. } => {
                rule
            }
        }
    }

    /// How the question to a human ended, where there was one.
    #[must_use]
    pub fn approval(&self) -> Option<&Approval> {
        match self {
            Self::Allow { approval, .. } | Self::Deny { approval, .. } => approval.as_deref(),
            Self::Unenforced { .. } => None,
        }
    }

    /// Whether it was allowed, by a rule or a human.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        match self {
            Self::Allow { .. } => true,
            Self::Deny { .. } | Self::Unenforced { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Verdict; 3] {
        let rule = |id| Rule::new(id, "because");
        [
            Verdict::Allow(rule("a/allow")),
            Verdict::Ask(rule("a/ask")),
            Verdict::Deny(rule("a/deny")),
        ]
    }

    #[test]
    fn the_strictest_verdict_wins_whatever_the_order() {
        for (i, first) in all().into_iter().enumerate() {
            for (j, second) in all().into_iter().enumerate() {
                let expected = all()[i.max(j)].clone();
                assert_eq!(first.clone().strictest(second), expected);
            }
        }
    }

    #[test]
    fn strictest_is_associative() {
        for a in all() {
            for b in all() {
                for c in all() {
                    let left = a.clone().strictest(b.clone()).strictest(c.clone());
                    let right = a.clone().strictest(b.clone().strictest(c.clone()));
                    assert_eq!(left, right);
                }
            }
        }
    }

    #[test]
    fn a_rule_id_has_two_halves() {
        assert!(RuleId::parse("git/protected-branch").is_ok());
        for bad in ["git", "/x", "git/", "Git/x", "git/x y", "git/x/y", ""] {
            assert!(RuleId::parse(bad).is_err(), "{bad}");
        }
    }
}
