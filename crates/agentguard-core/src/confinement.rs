//! What the kernel holds a session to, as policy compiled it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{CredentialName, Digest, HostGrant, HostName, Level, Place, Promise, RuleId};

/// What network a session sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Its own, with nothing in it but the granted loopback ports.
    Isolated,
    /// Its own, with the granted loopback ports, and one way out: a gate that judges each request to the
    /// granted hosts.
    Gated,
    /// The host's: a weaker run, asked for by name.
    Host,
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
    /// Paths relative to the workspace that cannot be changed, renamed or removed; patterns of any depth begin
    /// with `**/`.
    pub pins: Vec<PathBuf>,
    /// Patterns of paths relative to the workspace: a name that comes into being there is judged.
    pub places: Vec<String>,
    /// Patterns of directories that hold what was fetched, in which places of any depth are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<String>,
    /// Names of variables that pass from the caller's environment; a `*` at the end stands for any rest.
    pub environment: Vec<String>,
    /// Variables that are set inside, whatever the caller's say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Names of programs that show nothing of a child which they could not start. What they start and is refused
    /// is ended as it starts, with the reason on its standard error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mute: Vec<String>,
    /// Loopback ports of the host that appear on the session's loopback.
    pub ports: Vec<u16>,
    /// Unix sockets of the host, by absolute paths at which they also appear inside, to which it may connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<PathBuf>,
    /// Whether its commits are signed by its agent's key, which it never reads.
    #[serde(default, skip_serializing_if = "is_not")]
    pub signs_commits: bool,
    /// Whether its commits name it, in trailers of their messages.
    #[serde(default, skip_serializing_if = "is_not")]
    pub names_session: bool,
    /// Hosts that it reaches through the gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostGrant>,
    /// Where hosts are whose names are not looked up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<HostName, Place>,
    /// Credentials that it puts to use and never reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialName>,
    /// Names of these hosts whose TLS the gate passes on as it is, because their clients would not have it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uninspected: Vec<HostName>,
    /// Names of these hosts to whose servers an escaped `/` in a path is a part of a segment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escaped_slashes: Vec<HostName>,
    /// Names of these hosts with whose model it speaks. What stands for a credential may stand in the body of what is
    /// said there: an agent that read it once says it again with every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<HostName>,
    /// Findings that end it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends_on: Vec<RuleId>,
    /// Bounds on use.
    pub limits: Limits,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_not(word: &bool) -> bool {
    !*word
}

/// How connections come to the gate, whatever a program does to get past it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forcing {
    /// The session's network has every address, and the kernel turns each connection to the gate's listener.
    Redirect,
    /// The session's network has every address, and the gate listens at all of them, on the ports that grants name, 80
    /// and 443. Elsewhere nobody listens.
    AnyAddress,
    /// The network is the host's, and the mediator makes each connection itself, to the gate's listener: who connects
    /// says only to whom.
    Mediated,
}

impl Forcing {
    /// Its word in entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::AnyAddress => "any_address",
            Self::Mediated => "mediated",
        }
    }
}

impl Network {
    /// Whether it is the session's own.
    #[must_use]
    pub fn is_own(self) -> bool {
        match self {
            Self::Isolated | Self::Gated => true,
            Self::Host => false,
        }
    }
}

impl Confinement {
    /// What a session that is held to this may not rely on.
    #[must_use]
    pub fn missing(&self) -> Vec<Promise> {
        self.level.missing(self.network)
    }

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

impl Tier {
    /// The word used in entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::User => "user",
            Self::Org => "org",
            Self::Shipped => "shipped",
        }
    }
}

/// Which policy decided, by content.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TierDigest {
    /// Its tier.
    pub tier: Tier,
    /// The digest of its files, by name and content.
    pub digest: Digest,
}
