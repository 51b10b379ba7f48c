//! Entries: what the log holds, one JSON object each. The exact bytes are the leaf.
//!
//! Every entry names the human, the agent and the session. Texts that could be personal (arguments,
//! paths, environment) are not in the entry but beside it, as [`Commitment`]s.

use serde::{Deserialize, Serialize};

use crate::{
    Agent, AgentName, Brought, Commitment, CredentialName, Digest, Enforcement, Evidence, Forcing,
    Held, Human, Level, MessageDigest, Network, ProgramClass, Promise, RefOutcome, Rule, RuleId,
    Ruling, SessionId, TierDigest, Timestamp, Trigger,
};

/// How soon an entry is durable.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An effect of what was already admitted: gathered, at most one second behind.
    Covered,
    /// Written before the act; survives any process's death; synced within 100 ms.
    Normal,
    /// Synced to the disk before the act.
    Critical,
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The format's version: 1.
    pub v: u8,
    /// Its place in the log, from 0, without gaps.
    pub seq: u64,
    /// The wall clock's time.
    pub time: Timestamp,
    /// Nanoseconds since the boot.
    pub mono: u64,
    /// Which boot, as the kernel's `boot_id` says.
    pub boot: String,
    /// The session.
    pub session: SessionId,
    /// The agent.
    pub agent: AgentName,
    /// The human's id.
    pub human: String,
    /// How well the human is known.
    pub evidence: Evidence,
    /// What happened.
    pub event: Event,
}

/// What an entry tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[expect(
    clippy::large_enum_variant,
    reason = "an event is written once and not kept"
)]
pub enum Event {
    /// A session begins, and what its static rules allow is admitted with it.
    #[serde(rename = "session.start")]
    Start {
        /// Who acts.
        agent: Agent,
        /// On whose authority.
        human: Human,
        /// What started it.
        trigger: Trigger,
        /// The policies that decide, highest tier first.
        policy: Vec<TierDigest>,
        /// How much is enforced.
        level: Level,
        /// What network it sees.
        network: Network,
        /// How its connections come to the gate, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forcing: Option<Forcing>,
        /// What a session of this level does not hold.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missing: Vec<Promise>,
        /// For whom the bounds on memory and processes hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Held>,
        /// Whose refusals hold.
        #[serde(
            default = "Enforcement::unsaid",
            skip_serializing_if = "Enforcement::is_policy"
        )]
        enforcement: Enforcement,
        /// The least evidence that policy asks for.
        require_evidence: Evidence,
        /// The least evidence that policy asks for of who approves.
        #[serde(default = "Evidence::none", skip_serializing_if = "Evidence::is_none")]
        require_approval: Evidence,
        /// Static rules that refuse without an entry of their own.
        covered: Vec<RuleId>,
        /// The profile of a known agent that held.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
        /// What of the agent's own protection the profile turned off, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        switched_off: Vec<Rule>,
        /// The credentials that were lent to it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        credentials: Vec<CredentialName>,
        /// The rule that admitted the session, or refused it.
        ruling: Ruling,
        /// The refs of the workspace's repository, `name id`, sorted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refs: Vec<String>,
        /// Commits to the text: command, workspace, confinement.
        text: Commitment,
        /// The agent's signature, in base64, over `agentguard session v1\n<session>\n<human>\n<text>\n`.
        signature: String,
    },
    /// An action was judged.
    #[serde(rename = "decision")]
    Decision {
        /// The kind of action.
        action: String,
        /// Commits to the text: the action as policy saw it.
        text: Commitment,
        /// The program's content, for an exec.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<Digest>,
        /// Where the program comes from, for an exec.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<ProgramClass>,
        /// The commits that it brings, for a push.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        brings: Option<Brought>,
        /// What was decided, and by which rule.
        ruling: Ruling,
    },
    /// A rule leaves an action to a human, who is asked. The decision that comes of it names this entry.
    #[serde(rename = "question")]
    Question {
        /// What a human calls it by.
        id: String,
        /// The kind of action.
        action: String,
        /// The rule that asks.
        rule: Rule,
        /// When nobody can answer it any more.
        until: Timestamp,
        /// Commits to the text: the action as policy saw it.
        text: Commitment,
    },
    /// What came of a decision.
    #[serde(rename = "outcome")]
    Outcome {
        /// The decision's place in this log.
        of: u64,
        /// What came of it.
        outcome: OutcomeOf,
        /// Commits to the text: [`Bodies`], where something passed of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Commitment>,
    },
    /// The same refusal again, so many more times.
    #[serde(rename = "repeat")]
    Repeat {
        /// The first refusal's place in this log.
        of: u64,
        /// How often since the last count.
        count: u64,
    },
    /// Files of the workspace changed.
    #[serde(rename = "difference")]
    Difference {
        /// The rule that covers these changes.
        covered_by: RuleId,
        /// How many files.
        files: u64,
        /// Whether the walk saw everything.
        complete: bool,
        /// Commits to the text: the list of changes.
        text: Commitment,
    },
    /// Refs of the workspace's repository moved.
    #[serde(rename = "refs")]
    Refs {
        /// Which, and from where to where.
        moved: Vec<RefMove>,
        /// Commits that first appeared in this workspace now.
        commits: Vec<CommitSeen>,
    },
    /// The agent's key was asked to sign something for git.
    #[serde(rename = "signature")]
    Signature {
        /// The key's name, as `ssh-keygen -l` shows it.
        key: String,
        /// What is signed, where it was to be signed for git.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<MessageDigest>,
        /// What was decided, and by which rule.
        ruling: Ruling,
    },
    /// A credential was minted, used or revoked.
    #[serde(rename = "credential")]
    Credential {
        /// What was done.
        act: CredentialAct,
        /// Which lease.
        handle: String,
        /// The digest of the token.
        token_sha256: Digest,
    },
    /// Something that should not happen did.
    #[serde(rename = "finding")]
    Finding {
        /// What it is.
        rule: Rule,
        /// The entry it concerns, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
    },
    /// The state of a session's log, in the log that anchors them.
    #[serde(rename = "anchor")]
    Anchor {
        /// The session's log.
        log: String,
        /// How many entries it has.
        size: u64,
        /// Its root.
        root: Digest,
        /// Whether the session has begun, ended, or was lost.
        state: SessionStatus,
    },
    /// Texts beside a session's log are erased, in the log that anchors the sessions'. The entry's human
    /// asked for it; its session and agent are those whose texts they were.
    #[serde(rename = "erasure")]
    Erasure {
        /// The session's log.
        log: String,
        /// The entries that commit to them, in order.
        entries: Vec<Span>,
        /// Why.
        reason: String,
    },
    /// A session ends: everything in it is dead.
    #[serde(rename = "session.end")]
    End {
        /// How its command ended.
        status: OutcomeOf,
        /// What was counted.
        tally: Tally,
    },
}

/// Entries from a first to a last one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The last, which may be the first.
    pub last: u64,
}

impl Span {
    /// Whether it contains this entry.
    #[must_use]
    pub fn contains(&self, index: u64) -> bool {
        (self.first..=self.last).contains(&index)
    }
}

impl From<(u64, u64)> for Span {
    fn from((first, last): (u64, u64)) -> Self {
        Self { first, last }
    }
}

impl From<Span> for (u64, u64) {
    fn from(span: Span) -> Self {
        (span.first, span.last)
    }
}

/// What came of a decision, or of the session's own command.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum OutcomeOf {
    /// The image that runs was verified to be the one judged.
    Started {
        /// The content of that image.
        program: Digest,
    },
    /// The kernel refused it.
    Failed {
        /// The error's number.
        errno: i32,
    },
    /// It was ended before its first instruction.
    Killed {
        /// By which rule.
        rule: Rule,
    },
    /// It was done.
    Done,
    /// A host answered a request.
    Answered {
        /// The status of its answer.
        status: u16,
        /// Bytes of the request's body that were sent on.
        sent: u64,
        /// Bytes of the answer's body that were handed back.
        received: u64,
        /// How long it took, in milliseconds.
        milliseconds: u64,
    },
    /// A connection was passed on, unseen, until one of its sides ended it.
    Passed {
        /// Bytes that were sent on.
        sent: u64,
        /// Bytes that were handed back.
        received: u64,
        /// How long it took, in milliseconds.
        milliseconds: u64,
    },
    /// No answer came of it, or only the beginning of one.
    Unanswered {
        /// Why.
        why: String,
    },
    /// A server took a push up, and said what became of the refs that it was asked to change.
    Pushed {
        /// What it says, in its order, as far as there is room for it.
        refs: Vec<RefOutcome>,
        /// Of how many more refs it spoke.
        #[serde(default, skip_serializing_if = "is_none")]
        more: u64,
        /// Why it could not take up what was sent, where it says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unpack: Option<String>,
    },
    /// It was refused, and the reason could not be shown to the agent.
    Untold,
    /// It ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
}

/// What passed of the bodies of a request and of its answer: beside the log, since whoever knows what may have been
/// said could find it by its digest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Bodies {
    /// What was sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Passed>,
    /// What was handed back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Passed>,
}

impl Bodies {
    /// Nothing passed, or nobody looked.
    pub const UNKNOWN: Self = Self {
        sent: None,
        received: None,
    };
}

/// What passed of one body.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// How many bytes.
    pub bytes: u64,
    /// Their digest.
    pub sha256: Digest,
    /// Of how many, from the first on, where it is not of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It has begun.
    Begun,
    /// It has ended, and everything in it is dead.
    Ended,
    /// Its guard died without ending it.
    Lost,
}

/// What a session did, in numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Actions allowed.
    pub allowed: u64,
    /// Actions refused, repeats included.
    pub refused: u64,
    /// Programs ended because they were not what was judged.
    pub killed: u64,
    /// Actions that a rule refused and a shadow let be.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unenforced: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A ref that moved.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RefMove {
    /// The ref's full name.
    pub name: String,
    /// Where it pointed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Where it points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// A commit that first appeared.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CommitSeen {
    /// Its id.
    pub id: String,
    /// How it came.
    pub origin: Origin,
    /// The entry by which what is signed of it was signed in this session, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<u64>,
}

/// How a commit came into a workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was made here.
    Made,
    /// It lies in a pack that appeared, as a fetch or a bundle leaves it.
    Received,
}

/// What is done with a credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialAct {
    /// It was made.
    Mint,
    /// It was put to use.
    Use,
    /// It was ended.
    Revoke,
}

/// A file of the workspace that changed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its path, relative to the workspace.
    pub path: String,
    /// What became of it.
    pub change: ChangeKind,
    /// What it holds now, for a regular file that was not too large to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Its mode now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content or mode is another.
    Changed,
    /// It is gone.
    Removed,
}
