//! What can go wrong on the guard's side of the gate.

use std::io;

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
