//! What is looked for, and what was found.

use agentguard_core::Level;
use serde::{Deserialize, Serialize};

/// Something that the confinement is built from. The order is that of setting up: what comes first is the
/// cause of what fails after it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// No session of agentguard around this process.
    Outermost,
    /// A kernel in which everything below is known to exist.
    Kernel,
    /// Privileges that no program gains any more.
    NoNewPrivileges,
    /// A user that is not root.
    Ordinary,
    /// The agent's user, which root becomes.
    Users,
    /// Files of other owners shown as the agent's, for sessions that root starts.
    Owners,
    /// User namespaces.
    UserNamespaces,
    /// The namespaces that come with them.
    Namespaces,
    /// Mounts in them.
    Mounts,
    /// A `/proc` of the session's own.
    Proc,
    /// Tracing the agent.
    Tracing,
    /// Tracing it where no namespace of its own is around it.
    TracingBeside,
    /// Landlock's scopes for signals and abstract sockets. What they need is newer than what Landlock needs, and so
    /// comes first.
    Scopes,
    /// Landlock.
    Landlock,
    /// Asking about every exec before it happens.
    Notifications,
    /// Programs that nobody can change while they run.
    Images,
    /// A network that the kernel turns to a gate, for sessions that policy grants hosts.
    Gate,
    /// IPv6, for programs inside and for hosts that have no other address.
    Ipv6,
    /// Limits on what a session uses as a whole.
    Limits,
    /// The kernel's keyring, for tokens that are kept there.
    Keyring,
}

impl What {
    /// Everything, in order.
    pub const ALL: [Self; 20] = [
        Self::Outermost,
        Self::Kernel,
        Self::NoNewPrivileges,
        Self::Ordinary,
        Self::Users,
        Self::Owners,
        Self::UserNamespaces,
        Self::Namespaces,
        Self::Mounts,
        Self::Proc,
        Self::Tracing,
        Self::TracingBeside,
        Self::Scopes,
        Self::Landlock,
        Self::Notifications,
        Self::Images,
        Self::Gate,
        Self::Ipv6,
        Self::Limits,
        Self::Keyring,
    ];

    /// What it is, in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Outermost => "no session of agentguard around this one",
            Self::Kernel => "Linux 6.2 or newer",
            Self::NoNewPrivileges => "no program gains privileges (no_new_privs)",
            Self::Ordinary => "an ordinary user, and not root",
            Self::Users => "root can become a user of the session's own",
            Self::Owners => "the workspace can be shown as that user's own (idmapped mounts)",
            Self::UserNamespaces => "user namespaces",
            Self::Namespaces => "mount, pid, network, ipc, uts and cgroup namespaces",
            Self::Mounts => "a root of its own, built from mounts",
            Self::Proc => "a `/proc` of its own",
            Self::Tracing => "tracing the agent, to see what really runs (ptrace)",
            Self::TracingBeside => "tracing the agent without a namespace around it",
            Self::Landlock => "Landlock, version 3 or newer",
            Self::Scopes => "Landlock's scopes for signals and abstract sockets (version 6)",
            Self::Notifications => "asking before every exec (seccomp notifications, killable)",
            Self::Images => "a running program cannot be written to",
            Self::Gate => "hosts that policy grants, through a gate (nf_tables: redirect)",
            Self::Ipv6 => "IPv6, inside and to hosts that policy grants",
            Self::Keyring => "tokens in the kernel's keyring (`agentguard credential add`)",
            Self::Limits => "limits on memory and processes as a whole (cgroup v2, delegated)",
        }
    }

    /// The levels that need it, the strongest first; none where sessions do without.
    #[must_use]
    pub fn levels(self) -> &'static [Level] {
        match self {
            Self::NoNewPrivileges
            | Self::Landlock
            | Self::Outermost
            | Self::Notifications
            | Self::Images => &[Level::Full, Level::NoNamespaces],
            Self::Users
            | Self::Owners
            | Self::UserNamespaces
            | Self::Namespaces
            | Self::Mounts
            | Self::Proc
            | Self::Tracing => &[Level::Full],
            Self::Ordinary | Self::TracingBeside | Self::Scopes => &[Level::NoNamespaces],
            Self::Kernel | Self::Gate | Self::Ipv6 | Self::Limits | Self::Keyring => &[],
        }
    }
}

/// What was found out about one of them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// It was tried, and it holds.
    Holds,
    /// It was tried, and it does not.
    Missing {
        /// Why, as far as can be seen from here.
        cause: String,
        /// What to do about it: one thing.
        remedy: String,
    },
    /// It could not be tried.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// One thing found out.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// About what.
    pub what: What,
    /// What.
    #[serde(flatten)]
    pub answer: Answer,
}

impl Finding {
    /// Whether a session at `level` cannot be had because of it.
    #[must_use]
    pub fn forbids(&self, level: Level) -> bool {
        matches!(self.answer, Answer::Missing { .. }) && self.what.levels().contains(&level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_stands_in_the_list_once_and_in_order() {
        assert!(What::ALL.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn what_is_missing_forbids_the_levels_that_need_it() {
        let missing = |what| Finding {
            what,
            answer: Answer::Missing {
                cause: String::new(),
                remedy: String::new(),
            },
        };
        assert!(missing(What::Landlock).forbids(Level::NoNamespaces));
        assert!(missing(What::Landlock).forbids(Level::Full));
        assert!(missing(What::Scopes).forbids(Level::NoNamespaces));
        assert!(!missing(What::Scopes).forbids(Level::Full));
        assert!(missing(What::Mounts).forbids(Level::Full));
        assert!(!missing(What::Mounts).forbids(Level::NoNamespaces));
        assert!(!missing(What::Limits).forbids(Level::Full));
        let holds = Finding {
            what: What::Landlock,
            answer: Answer::Holds,
        };
        assert!(!holds.forbids(Level::Full));
    }
}
