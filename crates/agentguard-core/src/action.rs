//! What an agent wants to do, as typed and canonical values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Api, Confinement, Digest, Enforcement, Push, Reach, Rule, Session};

/// One thing an agent wants to do. Bytes from outside become one of these once, at the edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Start a session under a confinement. Whatever its static rules allow is admitted with it.
    Session(Box<Start>),
    /// Replace a process's image by a program.
    Exec(Exec),
    /// Make a name at one of the workspace's places that make others run code.
    File(Making),
    /// Connect to a unix socket that is none of the session's own.
    Connect(Connect),
    /// Look up or connect to a host of the network.
    Reach(Reach),
    /// Ask something of a host.
    Api(Box<Api>),
    /// Have a server change refs.
    Push(Box<Push>),
}

impl Action {
    /// The word for its kind, as policies and entries write it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Exec(_) => "exec",
            Self::File(_) => "file",
            Self::Connect(_) => "connect",
            Self::Reach(_) => "reach",
            Self::Api(_) => "api",
            Self::Push(_) => "push",
        }
    }
}

/// The start of a session: who, where, and what will be allowed without being asked again.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The session to be.
    pub session: Session,
    /// What the kernel will hold it to.
    pub confinement: Confinement,
    /// The command to run, with what its profile adds to it.
    pub command: Vec<String>,
    /// Whose refusals will hold.
    #[serde(default = "Enforcement::unsaid")]
    pub enforcement: Enforcement,
    /// The profile of a known agent that holds for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What of the agent's own protection its profile turned off, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switched_off: Vec<Rule>,
}

/// The execution of a program, as the kernel is about to do it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// The image that will run: for a script, its interpreter.
    pub program: Program,
    /// The file named in the call, where that is a script and the image its interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Program>,
    /// The arguments as the image will see them. Bytes that are no UTF-8 stand as U+FFFD.
    pub argv: Vec<String>,
    /// The working directory.
    pub cwd: String,
    /// The variables that change what a program does: the loader's, shells', git's, interpreters'.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The path of the image that makes the call, or `unknown`.
    pub caller: String,
}

/// A name that is about to come into being, or to stand for something else, at one of the places that policy
/// has judged.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Making {
    /// What makes it.
    pub by: MadeBy,
    /// Where it is to be, relative to the workspace. Bytes that are no UTF-8 stand as U+FFFD.
    pub path: String,
    /// Which place it is: the pattern of policy's that it matches, or `repository`, where a directory becomes a
    /// git repository by it, or one that is gets settings or a hook; `link`, where a link at a pin would lead elsewhere;
    /// or the path to which what lies at a pin leads.
    pub place: String,
    /// The path of what gets the name, or what a symbolic link is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The path of the image that makes the call, or `unknown`.
    pub caller: String,
}

/// A connection to a unix socket of the host, as the mediator is about to make it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// Where the socket lies, with every link followed, as seen inside the session.
    pub path: String,
    /// Whether the session was granted it. What was not is never connected.
    pub granted: bool,
    /// The path of the image that makes the call, or `unknown`.
    pub caller: String,
}

/// The call that makes a name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MadeBy {
    /// A file is made, or what is there opened by a call that could have made it.
    Open,
    /// A directory is made.
    Mkdir,
    /// A FIFO, a socket or the like is made, or a file without opening it.
    Mknod,
    /// A symbolic link is made.
    Symlink,
    /// A file gets another name.
    Link,
    /// A file, or a directory with all that is in it, is moved.
    Rename,
}

/// A program, known by what it contains.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Where it lies, with every link followed, as seen inside the session.
    pub path: String,
    /// The digest of its content.
    pub sha256: Digest,
    /// What kind of place it comes from.
    pub class: ProgramClass,
}

impl Program {
    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// What kind of place a program comes from: how much of it the agent could have made.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramClass {
    /// A read-only system directory.
    System,
    /// A toolchain bound read-only into the agent's home, or another read-only grant.
    Toolchain,
    /// The workspace, or anything else the agent can write and that lasts.
    Workspace,
    /// A temporary directory.
    Temporary,
    /// Memory that has no name in any directory.
    Memfd,
    /// A file that was unlinked.
    Deleted,
    /// The dynamic loader, run as a program: what it loads is not what was judged.
    Loader,
    /// None of these.
    Unknown,
}
