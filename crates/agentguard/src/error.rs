//! Why a session did not come about, or ended badly.

use std::io;
use std::path::PathBuf;

use agentguard_core::{Level, Rule};

/// Why a session did not come about, or ended badly. Nothing of the agent runs any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A policy cannot be loaded, or makes no confinement.
    #[error(transparent)]
    Policy(#[from] agentguard_policy::Error),
    /// The log cannot be written.
    #[error("the log cannot be written")]
    Log(#[from] agentguard_audit::Error),
    /// Texts beside a log are not erased.
    #[error(transparent)]
    Unerased(agentguard_audit::Error),
    /// A log cannot be read.
    #[error(transparent)]
    Unread(agentguard_audit::Error),
    /// It is not known who acts, or who asked.
    #[error(transparent)]
    Identity(#[from] agentguard_credentials::Error),
    /// The kernel does not hold what was promised.
    #[error(transparent)]
    Sandbox(#[from] agentguard_sandbox::Error),
    /// The workspace is none.
    #[error("`{}` cannot be a workspace: {reason}", path.display())]
    Workspace {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// What is made would be closed to whoever makes it (umask(2)).
    #[error("the mask for new files, {mask:04o}, would close agentguard's own to it")]
    Mask {
        /// Which mask.
        mask: u32,
    },
    /// The session's gate cannot be prepared.
    #[error(transparent)]
    Gate(#[from] agentguard_egress::Error),
    /// A weaker level was asked for by name, and cannot be had.
    #[error("level `{}` cannot be had: {reason}", level.as_str())]
    Level {
        /// Which level.
        level: Level,
        /// Why not.
        reason: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// Something about the surroundings could not be read or made.
    #[error("cannot {doing}")]
    Surroundings {
        /// What was being done.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The session itself was refused. The log says so.
    #[error("the session is refused: {} (rule `{}`)", rule.reason, rule.id)]
    Refused {
        /// By which rule.
        rule: Box<Rule>,
    },
    /// The log failed before the session had begun in it. Nothing ran.
    #[error("{}", rule.reason)]
    Unbegun {
        /// How the log failed, as a rule of ours.
        rule: Box<Rule>,
    },
    /// What happened could not be written down.
    #[error(transparent)]
    Unrecorded(#[from] agentguard_core::Unrecorded),
}

impl Error {
    pub(crate) fn doing(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Surroundings { doing, source }
    }

    /// What to do about it, where there is something.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Refused { rule } | Self::Unbegun { rule } => rule.remedy.as_deref(),
            Self::Policy(error) => error.remedy(),
            Self::Workspace { .. } => Some("name a directory of the project with --workspace"),
            Self::Level { remedy, .. } => Some(remedy),
            Self::Mask { .. } => Some("set one that leaves their owner all rights: `umask 022`"),
            Self::Unerased(_)
            | Self::Unread(_)
            | Self::Log(_)
            | Self::Identity(_)
            | Self::Sandbox(_)
            | Self::Gate(_)
            | Self::Surroundings { .. }
            | Self::Unrecorded(_) => None,
        }
    }
}
