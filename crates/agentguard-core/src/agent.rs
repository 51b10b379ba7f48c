//! Agents: named identities, each with a key of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of an agent, safe as a file name and as a word in a log.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentName(String);

impl AgentName {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidName`] unless it is 1 to 64 of `a-z`, `0-9`, `-`, `_`, `.`, and starts with a
    /// letter or digit.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let starts_well = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if starts_well && text.len() <= 64 && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                text: text.to_owned(),
            })
        }
    }

    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AgentName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<AgentName> for String {
    fn from(name: AgentName) -> Self {
        name.0
    }
}

/// A name that is not one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{text}` is not a name: use 1 to 64 of a-z, 0-9, `-`, `_`, `.`, beginning with a letter or digit"
)]
pub struct InvalidName {
    text: String,
}

/// An agent's identity, without its secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name.
    pub name: AgentName,
    /// Its verifier key, `name+hash+base64`, as C2SP's signed-note writes it.
    pub key: String,
}
