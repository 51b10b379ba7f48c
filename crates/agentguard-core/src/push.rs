//! Pushes: what git asks a server to do to its refs.

use serde::{Deserialize, Serialize};

use crate::{CredentialName, Digest};

/// A push, as it stands on the wire: whatever client sends it, and whatever words made the client send it. What is
/// written to a repository by the interface of whoever hosts it is one as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Push {
    /// How it is sent.
    #[serde(default)]
    pub by: PushedBy,
    /// The canonical name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The repository: the path's segments, decoded, without `.git` at their end.
    pub repository: Vec<String>,
    /// What is asked of each ref, in the order of the wire. There is one at least, and none twice.
    pub refs: Vec<RefUpdate>,
    /// The commits that the server does not have yet.
    #[serde(default)]
    pub commits: Vec<PushedCommit>,
    /// Every path that any of them changes, in order.
    #[serde(default)]
    pub paths: Vec<PathChange>,
    /// What becomes of files that say what runs where, in each commit that changes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub infrastructure: Vec<FileChange>,
    /// Why it is not known what the refs are to hold, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
    /// The commit that the server is to merge into its refs. What comes of that only the server knows; what is told here
    /// is what the commit brings that the server's own branch does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merges: Option<String>,
    /// What the server is told beside it (`git push --push-option`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Whether the server is to do all of it or nothing.
    pub atomic: bool,
    /// Whether it comes with a certificate that somebody signed.
    pub signed: bool,
    /// The path of the program that asks, or `unknown`. It says what is likely, and grants nothing.
    pub caller: String,
    /// The digest of its content, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_sha256: Option<Digest>,
    /// The credentials that are put into it before it is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialName>,
}

/// How a push is sent.
#[derive(Default, Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushedBy {
    /// As git does.
    #[default]
    Git,
    /// By the host's interface, as a request to change a file or a ref.
    Rest,
    /// By the host's interface in GraphQL.
    Graphql,
}

/// What a push asks of one ref.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RefUpdate {
    /// Its full name, `refs/heads/main`.
    pub name: String,
    /// What kind of ref it is.
    pub kind: RefKind,
    /// Its name without what says the kind: `main`.
    pub short: String,
    /// What is done to it.
    pub change: RefChange,
    /// Whether what it is to point to holds what it pointed to. Where the push itself does not show that, it is
    /// taken for one that does not.
    pub forward: bool,
    /// The object it is said to point to now. The server holds the client to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The object it is to point to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// What a server says became of a ref that it was asked to change.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RefOutcome {
    /// The ref that was asked for.
    pub name: String,
    /// Why the server refused it, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The ref that it changed instead, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

/// A commit that a push brings.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PushedCommit {
    /// Its id.
    pub id: String,
    /// The mail address of who is said to have written it.
    pub author: String,
    /// The mail address of who is said to have committed it.
    pub committer: String,
    /// How many parents it has.
    pub parents: usize,
    /// Whether it bears a signature, of whatever kind.
    pub signed: bool,
    /// Whose that is, where it is one of SSH's by a key of Ed25519 and fits the commit: the key's name as
    /// `ssh-keygen -l` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The sessions that its message names in trailers. Whoever wrote it says so, and nothing proves it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
}

/// A path that a commit changes, compared to each of its parents.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct PathChange {
    /// The path. Bytes that are no UTF-8 stand as U+FFFD.
    pub path: String,
    /// What becomes of it.
    pub change: PathChanged,
    /// Its mode then, in octal: `100644`, `100755`, `120000` for a link, `160000` for a submodule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// How long it is then, where the push holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A commit's change to a file that says what runs where: what it said, what it says, and where the two differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileChange {
    /// The commit. There is none yet where it is written by an interface.
    pub commit: String,
    /// The file.
    pub path: String,
    /// What it is read as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
    /// What it holds in the commit's first parent, where there is one that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// What it holds now, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
    /// Where the two differ.
    #[serde(default)]
    pub changes: Vec<ValueChange>,
    /// Why one of the two cannot be read. Then there are no changes here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Why it is not known what it held before, where it is not. Then it changes as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

/// What a file that says what runs where is read as.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// What compose starts.
    Compose,
    /// The instructions of a Dockerfile.
    Dockerfile,
    /// What Kubernetes is told, or what makes that: the documents of a file.
    Kubernetes,
    /// A pipeline of GitHub or GitLab.
    Pipeline,
    /// Terraform or OpenTofu: its blocks by their names.
    Terraform,
    /// What Upsun deploys, or Platform.sh as it was called.
    Upsun,
}

/// A place at which two values differ. Where only one of them has it, the other is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueChange {
    /// The names and numbers that lead to it.
    pub at: Vec<String>,
    /// What stood there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// What stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
}

/// What becomes of a path.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathChanged {
    /// It is new.
    Added,
    /// It holds something else, or has another mode.
    Changed,
    /// It is gone.
    Removed,
}

/// What kind of ref it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefKind {
    /// Below `refs/heads/`.
    Branch,
    /// Below `refs/tags/`.
    Tag,
    /// Any other, `HEAD` among them.
    Other,
}

/// What is done to a ref.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefChange {
    /// It comes into being.
    Create,
    /// It points to something else, which may or may not hold what it pointed to: it is not known.
    Update,
    /// It is removed.
    Delete,
}

impl RefKind {
    /// The kind of a ref by its full name, and its name without what says the kind.
    #[must_use]
    pub fn of(name: &str) -> (Self, &str) {
        if let Some(branch) = name.strip_prefix("refs/heads/") {
            (Self::Branch, branch)
        } else if let Some(tag) = name.strip_prefix("refs/tags/") {
            (Self::Tag, tag)
        } else {
            (Self::Other, name)
        }
    }
}

impl RefUpdate {
    /// What a command asks, of which an id of zeros is none. `None` where both are.
    #[must_use]
    pub fn new(old: Option<String>, new: Option<String>, name: &str) -> Option<Self> {
        let change = match (&old, &new) {
            (None, None) => return None,
            (None, Some(_)) => RefChange::Create,
            (Some(_), Some(_)) => RefChange::Update,
            (Some(_), None) => RefChange::Delete,
        };
        let (kind, short) = RefKind::of(name);
        Some(Self {
            name: name.to_owned(),
            kind,
            short: short.to_owned(),
            change,
            forward: false,
            old,
            new,
        })
    }
}

impl Push {
    /// What it asks, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let one = |update: &RefUpdate| match (&self.merges, update.change) {
            (Some(commit), _) => format!("merge `{commit}` into `{}`", update.name),
            (None, RefChange::Create) => format!("create `{}`", update.name),
            (None, RefChange::Update) => format!("update `{}`", update.name),
            (None, RefChange::Delete) => format!("delete `{}`", update.name),
        };
        let refs: Vec<_> = self.refs.iter().map(one).collect();
        format!(
            "push to `{}/{}`: {}",
            self.host,
            self.repository.join("/"),
            refs.join(", ")
        )
    }
}
