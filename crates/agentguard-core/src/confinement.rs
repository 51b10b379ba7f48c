//! What the kernel holds a session to, as policy compiled it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// How much is enforced. The order is the order of strength.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// An old kernel's Landlock and a system call filter.
    OldKernel,
    /// Landlock, the filter and the mediator, without namespaces.
    NoNamespaces,
    /// Everything.
    Full,
}

impl Level {
    /// The word used in policies, entries and flags.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OldKernel => "old-kernel",
            Self::NoNamespaces => "no-namespaces",
            Self::Full => "full",
        }
    }

    /// Parses the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::OldKernel, Self::NoNamespaces, Self::Full]
            .into_iter()
            .find(|level| level.as_str() == word)
    }
}

/// What network a session sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Its own, with nothing in it but the granted loopback ports.
    Isolated,
    /// The host's: a weaker run, asked for by name.
    Host,
}

/// Something a session may rely on being held, or is told that it is not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// Every exec is judged, and what runs is what was judged.
    Execs,
    /// Nothing outside the workspace and the agent's home can be changed.
    Writes,
    /// What is not granted cannot be seen.
    Reads,
    /// Nothing but the granted loopback ports can be reached.
    Network,
    /// No process outside can be signalled, traced or read.
    Processes,
    /// Nothing survives the session.
    Lifetime,
}

impl Promise {
    /// What is promised, in words that follow "promised:" or "not promised:".
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Execs => "every exec is judged, and what runs is what was judged",
            Self::Writes => "nothing outside the workspace and the agent's home can be changed",
            Self::Reads => "what is not granted cannot be seen",
            Self::Network => "nothing but the granted loopback ports can be reached",
            Self::Processes => "no process outside can be signalled, traced or read",
            Self::Lifetime => "nothing survives the session",
        }
    }
}

/// What may be done below a path.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read and execute.
    Read,
    /// Read, execute, and change.
    Write,
}

/// A path that a session sees.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// An absolute path on the host, at which it also appears inside.
    pub path: PathBuf,
    /// What may be done below it.
    pub access: Access,
}

/// A part of the human's home that appears in the agent's.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HomeGrant {
    /// A path relative to the home directory.
    pub path: PathBuf,
    /// What may be done below it.
    pub access: Access,
}

/// For whom bounds on memory and processes hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// For all of the session together: a cgroup of its own holds them.
    Session,
    /// For each process by itself, and for the number of all of them.
    Process,
}

impl Held {
    /// Its word in policies and entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Process => "process",
        }
    }

    /// What held before there was anything else.
    fn formerly() -> Self {
        Self::Process
    }
}

/// Bounds on what a session uses.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads of the session.
    pub processes: u64,
    /// Descriptors a process may hold.
    pub files: u64,
    /// Bytes of memory; none for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Bytes in each of the private directories that lie in memory, `/tmp` and `/dev/shm`.
    pub temporary_bytes: u64,
    /// Seconds until the session is ended; none for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// For whom the bounds on memory and processes hold.
    #[serde(default = "Held::formerly")]
    pub held: Held,
}

/// What the kernel holds a session to. Nothing that is not named here exists inside.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Confinement {
    /// How much must be enforced. What cannot be is an error before the agent starts.
    pub level: Level,
    /// What network it sees.
    pub network: Network,
    /// Where it works.
    pub workspace: PathBuf,
    /// Paths it sees, besides the workspace and its home.
    pub grants: Vec<Grant>,
    /// Where its home appears.
    pub home: PathBuf,
    /// What of the human's home appears there.
    pub home_grants: Vec<HomeGrant>,
    /// Absolute paths within what is granted that cannot be opened at all.
    pub masks: Vec<PathBuf>,
    /// Paths relative to the workspace that cannot be changed, renamed or removed.
    pub pins: Vec<PathBuf>,
    /// Names of variables that pass from the caller's environment; a `*` at the end stands for any rest.
    pub environment: Vec<String>,
    /// Loopback ports of the host that appear on the session's loopback.
    pub ports: Vec<u16>,
    /// Bounds on use.
    pub limits: Limits,
}

impl Confinement {
    /// Every tree of the host that a session sees, by its path inside: grants, those in its home, and
    /// last what it may write in any case, its workspace and home.
    #[must_use]
    pub fn trees(&self) -> Vec<Grant> {
        let home = self.home_grants.iter().map(|grant| Grant {
            path: self.home.join(&grant.path),
            access: grant.access,
        });
        let own = [&self.workspace, &self.home].map(|path| Grant {
            path: path.clone(),
            access: Access::Write,
        });
        self.grants.iter().cloned().chain(home).chain(own).collect()
    }
}

/// Where a policy comes from. The order is the order of authority; a lower tier may only tighten.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The repository's own, `.agentguard/policy`.
    Repository,
    /// The user's, or the one named by `--policy`.
    User,
    /// The organisation's, `/etc/agentguard/policy`.
    Org,
    /// The policies that ship with agentguard, where no higher tier is configured.
    Shipped,
}

/// Which policy decided, by content.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TierDigest {
    /// Its tier.
    pub tier: Tier,
    /// The digest of its files, by name and content.
    pub digest: Digest,
}
