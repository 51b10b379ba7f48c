//! What can go wrong on the guard's side of the gate.

use std::io;

use agentguard_core::Unrecorded;

/// Why there is no gate, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The session's authority could not be made.
    #[error("cannot make the session's certificate authority")]
    Authority {
        /// What rcgen said.
        #[source]
        source: rcgen::Error,
    },
    /// The gate could not be started or reached.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The gate ended, as often as it was started.
    #[error("the gate ended {starts} times; the session has no network any more")]
    Lost {
        /// How often it was started.
        starts: u32,
    },
    /// Something that happened could not be written down, so that the gate was ended.
    #[error("the gate was ended, since the log could not be written")]
    Unrecorded {
        /// Why not.
        #[source]
        source: Unrecorded,
    },
    /// The gate sent something that is no message.
    #[error("the gate sent a message that cannot be read")]
    Garbled,
}

impl Error {
    pub(crate) fn io<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            doing,
            source: source.into(),
        }
    }
}
