//! The plan of a session: everything the mediator has to know, as values.

use std::path::PathBuf;

use agentguard_core::{Confinement, Level};
use serde::{Deserialize, Serialize};

use crate::root::Named;

/// Where the socket appears on which the guard signs, where there are mounts.
const SIGNING: &str = "/run/agentguard/signing";
/// Where what git is to start lies, where there are mounts.
pub const HOOKS: &str = "/run/agentguard/hooks";
/// Where the session's own temporary directory on a disk appears, where there are mounts.
pub(crate) const TEMPORARY: &str = "/var/tmp";

/// What the mediator sets up. Made by the guard from policy; the agent never sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What the kernel holds the session to.
    pub confinement: Confinement,
    /// The host's directory that appears as the agent's home, and without mounts is it.
    pub private_home: PathBuf,
    /// The host's directory that is `/var/tmp` inside: on a disk, and for this session only. Without mounts it is
    /// itself inside, at its own place.
    pub temporary: PathBuf,
    /// The host's socket on which the guard signs, where the session's commits are signed.
    #[serde(default)]
    pub signing: Option<PathBuf>,
    /// The human's home, of which parts may appear in the agent's.
    pub human_home: PathBuf,
    /// Where the command starts.
    pub directory: PathBuf,
    /// The command and its arguments, as bytes.
    pub command: Vec<Vec<u8>>,
    /// The whole environment, as `NAME=value` bytes.
    pub environment: Vec<Vec<u8>>,
    /// The user to become, where the guard runs as root.
    pub become_user: Option<User>,
    /// Files that exist only inside, read-only.
    pub files: Vec<InsideFile>,
    /// What git starts in the place of hooks, in [`HOOKS`].
    #[serde(default)]
    pub hooks: Option<Hooks>,
    /// What git's settings outside of the workspace name, some of which may lie in it.
    #[serde(default)]
    pub named: Vec<Named>,
    /// Masks whose file somebody outside may put another in the place of, by every path that leads there: each open is
    /// judged.
    #[serde(default)]
    pub replaceable: Vec<PathBuf>,
    /// Where the files lie by whose locks sessions with names on one file system take turns; nowhere where there is only
    /// this one.
    #[serde(default)]
    pub turns: Option<PathBuf>,
    /// Digests of dynamic loaders, in hexadecimal: run as a program, each is class `loader`.
    pub identities: Vec<KnownIdentity>,
    /// Layers switched off, so that a test can show that the others hold. Always empty but in tests.
    #[serde(default)]
    pub without: Vec<Layer>,
}

impl Plan {
    /// Where the session's temporary directory on a disk lies, as its processes see it.
    #[must_use]
    pub fn temporary_inside(&self) -> PathBuf {
        match self.confinement.level {
            Level::Full => PathBuf::from(TEMPORARY),
            Level::NoNamespaces | Level::OldKernel => self.temporary.clone(),
        }
    }

    /// Where the socket lies on which the guard signs, as its processes see it.
    #[must_use]
    pub fn signing_inside(&self) -> Option<PathBuf> {
        let signing = self.signing.as_ref()?;
        Some(match self.confinement.level {
            Level::Full => PathBuf::from(SIGNING),
            Level::NoNamespaces | Level::OldKernel => signing.clone(),
        })
    }
}

/// A user that exists only inside.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The user's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
}

/// A file that exists only inside.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct InsideFile {
    /// Where it appears.
    pub path: PathBuf,
    /// What it holds.
    #[serde(with = "as_text")]
    pub content: Vec<u8>,
}

/// A script that exists only inside, read-only, under several names.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Hooks {
    /// What it says.
    pub script: String,
    /// What it is called.
    pub names: Vec<String>,
}

/// Bytes as the characters that have their numbers: most files are text, and stay as short.
mod as_text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().copied().map(char::from).collect();
        text.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        bytes.map_err(D::Error::custom)
    }
}

/// What is known of a file that nobody inside can change: its digest holds as long as these do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct FileKey {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// The size.
    pub size: u64,
    /// When the content last changed, in nanoseconds.
    pub modified: i64,
    /// When anything about it last changed, in nanoseconds.
    pub changed: i64,
}

/// A file's identity, kept across sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct KnownIdentity {
    /// Which file, in which state.
    pub key: FileKey,
    /// What it holds.
    pub sha256: agentguard_core::Digest,
}

/// One layer of the confinement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Read-only mounts, masks and pins; what is not granted is absent all the same.
    Mounts,
    /// Landlock.
    Landlock,
    /// The filter, but for what the mediator has to be asked.
    Filter,
}
