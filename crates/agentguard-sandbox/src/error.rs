//! What can go wrong between a permit and a confined agent.

use std::io;

use agentguard_core::Unrecorded;
use serde::{Deserialize, Serialize};

/// Why a session could not be confined, or ended badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A step of the set-up failed; nothing of the agent ran.
    #[error("cannot confine: {failure}")]
    Setup {
        /// Which step, and why.
        failure: Failure,
    },
    /// The mediator is gone; everything inside died with it.
    #[error("the mediator ended before the session did")]
    MediatorLost,
    /// The filter could not be compiled.
    #[error("cannot compile the system call filter")]
    Filter {
        /// What seccompiler said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The mediator could not be reached.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something that happened could not be written down, so that the session was ended.
    #[error("the session was ended, since the log could not be written")]
    Unrecorded {
        /// Why not.
        #[source]
        source: Unrecorded,
    },
    /// The mediator sent something that is no message.
    #[error("the mediator sent a message that cannot be read")]
    Garbled,
}

impl Error {
    pub(crate) fn filter(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Filter {
            source: Box::new(source),
        }
    }

    pub(crate) fn unrecorded(source: Unrecorded) -> Self {
        Self::Unrecorded { source }
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// A mediator that ended meanwhile reads nothing more, and said why. Any other error leaves it waiting.
    pub(crate) fn unless_gone(self) -> Result<(), Self> {
        if let Self::Io { source, .. } = &self
            && source.kind() == io::ErrorKind::BrokenPipe
        {
            return Ok(());
        }
        Err(self)
    }
}

/// A step of the set-up that failed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct Failure {
    /// What was being done.
    pub step: String,
    /// What the system said.
    pub reason: String,
    /// The error's number, where it was the kernel's.
    pub errno: Option<i32>,
}

impl Failure {
    /// A failure of our own finding.
    pub(crate) fn new(step: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            reason: reason.into(),
            errno: None,
        }
    }
}

/// Names the step in which something failed.
pub(crate) trait Step<T> {
    /// Says what was being done.
    fn step(self, step: impl Into<String>) -> Result<T, Failure>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            step: step.into(),
            reason: error.to_string(),
            errno: error.raw_os_error(),
        })
    }
}

impl<T> Step<T> for rustix::io::Result<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure> {
        self.map_err(io::Error::from).step(step)
    }
}
