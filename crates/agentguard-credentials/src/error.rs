//! What can go wrong with keys and triggers.

use std::io;
use std::path::PathBuf;

use agentguard_core::{AgentName, CredentialName};

/// Why an identity or a human could not be established. Every text that comes from outside is escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory of ours is not ours alone, or not what it should be.
    #[error("`{}` {problem}: {remedy}", .path.to_string_lossy().escape_debug())]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// The agent was revoked; its name is not used again.
    #[error("agent `{name}` was revoked: choose another name with `--agent`")]
    Revoked {
        /// Which agent.
        name: AgentName,
    },
    /// There is no such agent.
    #[error("there is no agent `{name}`: `agentguard agent list` names those that there are")]
    Unknown {
        /// Which agent.
        name: AgentName,
    },
    /// There is no credential of this name that could be lent.
    #[error(
        "there is no credential `{name}`: `agentguard credential list` names those that there are"
    )]
    NoCredential {
        /// Which credential.
        name: CredentialName,
    },
    /// It was taken back before.
    #[error(
        "credential `{name}` is revoked already: `agentguard credential add {name}` adds another"
    )]
    TakenBack {
        /// Which credential.
        name: CredentialName,
    },
    /// There is a credential of this name already.
    #[error(
        "there is a credential `{name}` already: `agentguard credential revoke {name}` takes it back"
    )]
    Taken {
        /// Which credential.
        name: CredentialName,
    },
    /// What was given as a token cannot be one.
    #[error("the token {problem}")]
    Token {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A variable from which a token is read is not set.
    #[error("the token is in the variable `{}`, which is not set", .variable.escape_debug())]
    Absent {
        /// Which variable.
        variable: String,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} `{}`", .path.to_string_lossy().escape_debug())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gave no random bytes.
    #[error("cannot get random bytes for a key")]
    Random {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A platform is named, and a variable it always sets is not there.
    #[error(
        "`{variable}` is not set, though `{because}` says that this is a job of {platform}: {remedy}"
    )]
    Missing {
        /// Which variable.
        variable: &'static str,
        /// Which variable named the platform.
        because: &'static str,
        /// The platform.
        platform: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A value cannot stand in a log.
    #[error("`{name}` {problem}")]
    Invalid {
        /// Which variable or flag.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// This machine has no name, or one that cannot stand in a log.
    #[error(
        "this machine's name is none that a log could hold: give it one, by `hostname NAME` as root or by what started \
         the container (`--hostname`)"
    )]
    Nameless,
    /// Two platforms claim the job, and would name two humans.
    #[error("both `GITHUB_ACTIONS` and `GITLAB_CI` are set: unset the one whose job this is not")]
    TwoPlatforms,
}

impl Error {
    pub(crate) fn invalid(name: impl Into<String>, problem: &'static str) -> Self {
        Self::Invalid {
            name: name.into(),
            problem,
        }
    }
}
