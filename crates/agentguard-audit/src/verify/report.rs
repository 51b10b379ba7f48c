//! What a verification found.

use agentguard_core::Digest;
use serde::Serialize;

/// More findings than this are only counted.
const MOST_FINDINGS: usize = 64;
/// A note names this many entries and counts the others.
const MOST_NAMED: usize = 16;

/// What is wrong with a log, in a word that does not change.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// The checkpoint is missing, unreadable, or not signed by the log's key.
    Checkpoint,
    /// An entry, a tile or a bundle is not what was signed, or not there.
    Changed,
    /// The root over the entries is not the one that was signed.
    Root,
    /// The log does not contain a state that it is known to have had.
    RolledBack,
    /// Something follows after the end.
    AfterEnd,
    /// What stands there is no entry, or not one that may stand there.
    Entry,
    /// An entry's number is not its place.
    Sequence,
    /// The wall clock went back while the boot's clock did not.
    Clock,
    /// Something was allowed without the evidence that policy required.
    Evidence,
    /// What was decided does not fit the question to a human that it names.
    Approval,
    /// An outcome or repeat does not fit what it belongs to.
    Outcome,
    /// A credential was used that was not minted, or that was revoked.
    Credential,
    /// The agent's signature over the session's start is wrong.
    Signature,
    /// A text beside the log is not what its entry commits to.
    Text,
}

/// Something that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// What, in a word.
    pub fault: Fault,
    /// The first entry it concerns, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What, in a sentence.
    pub detail: String,
}

/// What a reader should know of a log, in a word that does not change.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Remark {
    /// Decisions of which no outcome is recorded: the guard died, or is at it.
    Interrupted,
    /// Entries that no checkpoint covers yet.
    Unsigned,
    /// The session has not ended in its log.
    Unended,
    /// The write-ahead file ends within an entry, which was never acknowledged as durable.
    Torn,
    /// Texts that were erased, and the anchor log says so where it is known.
    Erased,
    /// Texts that the anchor log says were erased, and that are there.
    Unerased,
    /// Texts that are not there, and not erased: not given along, or not on the disk when power was lost.
    NoText,
    /// Both clocks went back together.
    Clock,
    /// The write-ahead file is not there: the published files were verified.
    Published,
}

/// Something that is not wrong, and worth knowing.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Note {
    /// What, in a word.
    pub remark: Remark,
    /// How many entries it concerns.
    pub count: u64,
    /// The first of them.
    pub entries: Vec<u64>,
}

/// What a verification found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// How many entries it has.
    pub entries: u64,
    /// How many of them the checkpoint covers.
    pub signed: u64,
    /// The root that is signed.
    pub root: Digest,
    /// What is wrong. Empty means: verified.
    pub findings: Vec<Finding>,
    /// How many more findings there are.
    pub more: u64,
    /// What is worth knowing.
    pub notes: Vec<Note>,
}

impl Report {
    pub(crate) fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            entries: 0,
            signed: 0,
            root: crate::merkle::empty_root(),
            findings: Vec::new(),
            more: 0,
            notes: Vec::new(),
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.findings.is_empty()
    }

    /// The first entry that something is wrong with, where one can be named.
    #[must_use]
    pub fn first_bad(&self) -> Option<u64> {
        self.findings
            .iter()
            .filter_map(|finding| finding.index)
            .min()
    }

    pub(crate) fn find(
        &mut self,
        fault: Fault,
        index: impl Into<Option<u64>>,
        detail: impl Into<String>,
    ) {
        if self.findings.len() == MOST_FINDINGS {
            self.more += 1;
            return;
        }
        self.findings.push(Finding {
            fault,
            index: index.into(),
            detail: detail.into(),
        });
    }

    /// Whether one of these entries was found changed, or may have been among those only counted.
    pub(crate) fn has_changed(&self, entries: &std::ops::Range<u64>) -> bool {
        let is_there = |index: Option<u64>| index.is_some_and(|index| entries.contains(&index));
        let mut findings = self.findings.iter();
        self.more > 0 || findings.any(|f| f.fault == Fault::Changed && is_there(f.index))
    }

    pub(crate) fn remark(&mut self, remark: Remark, entry: u64) {
        self.remark_many(remark, 1, entry);
    }

    /// Notes `count` entries from `first` on.
    pub(crate) fn remark_many(&mut self, remark: Remark, count: u64, first: u64) {
        let at = self.notes.iter().position(|note| note.remark == remark);
        let at = at.unwrap_or_else(|| {
            self.notes.push(Note {
                remark,
                count: 0,
                entries: Vec::new(),
            });
            self.notes.len() - 1
        });
        if let Some(note) = self.notes.get_mut(at) {
            note.count += count;
            let room = MOST_NAMED.saturating_sub(note.entries.len());
            let named = (first..first.saturating_add(count)).take(room);
            note.entries.extend(named);
        }
    }
}
