//! Questions to humans: how one ended, and by whom.

use serde::{Deserialize, Serialize};

use crate::Evidence;

/// How a question to a human ended, in the ruling that came of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// The entry that holds the question.
    pub question: u64,
    /// How it ended.
    pub answer: Answered,
    /// Who answered, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Approver>,
    /// What the human said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a question ended. One of them lets happen what was asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// A human said yes.
    Approved,
    /// A human said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// Whoever asked waits no more.
    Withdrawn,
    /// What was answered was not what was asked.
    Void,
}

/// A human who answered.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Approver {
    /// The human's id.
    pub id: String,
    /// The name that the human goes by.
    pub login: String,
    /// How well it is known who that is.
    pub evidence: Evidence,
}
