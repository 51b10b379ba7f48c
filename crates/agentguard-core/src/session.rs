//! Sessions: one run, with its human, agent and trigger.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Agent, Human, Trigger};

/// Names a session: 32 hexadecimal digits, chosen at random.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

impl SessionId {
    /// Makes an id from random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(crate::Salt(bytes).to_hex())
    }

    /// Parses 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidSessionId`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidSessionId> {
        crate::Salt::parse(text)
            .map(|_| Self(text.to_owned()))
            .map_err(|_| InvalidSessionId)
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

/// A text that is not a session id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a session id: expected 32 lower-case hexadecimal digits")]
pub struct InvalidSessionId;

/// One run, as policies see it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Who triggered it.
    pub human: Human,
    /// Who acts in it.
    pub agent: Agent,
    /// What started it.
    pub trigger: Trigger,
    /// The directory it works in.
    pub workspace: String,
    /// The branch checked out there at the start, where it is a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}
