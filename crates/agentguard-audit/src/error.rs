//! What can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

/// Why a log could not be written, read or checked. Every text that comes from outside is escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {doing} `{}`", shown(.path))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file or directory of ours is not ours alone, or not what it should be.
    #[error("`{}` {problem}: {remedy}", shown(.path))]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// The system gave no random bytes.
    #[error("cannot get random bytes")]
    Random {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The log failed before: nothing more is written to it.
    #[error("the log failed before and stays closed: {reason}")]
    Latched {
        /// How it failed.
        reason: String,
    },
    /// An entry does not fit.
    #[error("an entry of {bytes} bytes is too long: 65535 is the most")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// An event could not be written as JSON.
    #[error("an event cannot be written as JSON")]
    Unwritable {
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A log does not hold what it must. It is not repaired.
    #[error("`{}` is damaged at entry {index}: {problem}", shown(.path))]
    Damaged {
        /// Which log.
        path: PathBuf,
        /// The first entry that is not as it must be.
        index: u64,
        /// What is wrong.
        problem: String,
    },
    /// A log or key that existed is not there. A new one is not begun in its place.
    #[error("`{}` is missing, and a new one must not take its place: {remedy}", shown(.path))]
    Missing {
        /// What is missing.
        path: PathBuf,
        /// What to do about it.
        remedy: String,
    },
    /// There is no log here.
    #[error("`{}` is not a log", shown(.path))]
    NotALog {
        /// Where.
        path: PathBuf,
    },
    /// No session is meant by this.
    #[error("no session begins with `{}`", .prefix.escape_debug())]
    UnknownSession {
        /// What was asked for.
        prefix: String,
    },
    /// Several sessions could be meant.
    #[error("{count} sessions begin with `{}`: write more of it", .prefix.escape_debug())]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many there are.
        count: usize,
    },
    /// A session's log is written to still.
    #[error("session {session} runs: its texts are erased when it has ended")]
    Running {
        /// Which session.
        session: String,
    },
    /// No key is known for a log.
    #[error("no key is known for `{}`: give one with `--key`", .origin.escape_debug())]
    NoKey {
        /// The log's origin.
        origin: String,
    },
    /// A text is not what it should be.
    #[error("not a {what}: {problem}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A receipt or a checkpoint proves nothing.
    #[error("not proven: {problem}")]
    NotProven {
        /// What does not fit.
        problem: &'static str,
    },
    /// An entry is not covered by a signed checkpoint yet, or there is none.
    #[error("entry {index} is not signed yet: the checkpoint covers {size} entries")]
    NotSigned {
        /// Which entry.
        index: u64,
        /// How many are signed.
        size: u64,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn malformed(what: &'static str, problem: &'static str) -> Self {
        Self::Malformed { what, problem }
    }

    pub(crate) fn damaged(path: &Path, index: u64, problem: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            index,
            problem: problem.into(),
        }
    }

    /// Whether a check was made and failed, rather than not made.
    #[must_use]
    pub fn is_refutation(&self) -> bool {
        match self {
            Self::NotProven { .. } | Self::Damaged { .. } | Self::Malformed { .. } => true,
            Self::Io { .. }
            | Self::Unsafe { .. }
            | Self::Random { .. }
            | Self::Latched { .. }
            | Self::TooLong { .. }
            | Self::Unwritable { .. }
            | Self::Missing { .. }
            | Self::NotALog { .. }
            | Self::UnknownSession { .. }
            | Self::Ambiguous { .. }
            | Self::Running { .. }
            | Self::NoKey { .. }
            | Self::NotSigned { .. } => false,
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
