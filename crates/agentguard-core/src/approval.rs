//! Questions to humans: how one ended, and by whom.

use serde::{Deserialize, Serialize};

use crate::{AgentName, Commitment, Digest, Evidence, RuleId, SessionId, TierDigest, Timestamp};

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
    /// The human's signature, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// A signature of the human who answered, with a key of their own.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Signed {
    /// Digests all that the human was asked, with a random value that nobody else is told.
    pub question: Digest,
    /// The signature over the [`Statement`], which names its key: the blob that `ssh-keygen -Y sign` makes, in base64.
    pub sshsig: String,
}

/// What a human signs.
///
/// # References
///
/// - <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>
#[derive(Clone, Copy, Debug)]
pub struct Statement<'s> {
    /// What the question is called by.
    pub id: &'s str,
    /// In which session.
    pub session: &'s SessionId,
    /// Who wants to act.
    pub agent: &'s AgentName,
    /// The id of the human who started the session.
    pub human: &'s str,
    /// The policies that decided so.
    pub policy: &'s [TierDigest],
    /// The kind of action.
    pub action: &'s str,
    /// Commits to the action, as the question's entry does.
    pub text: &'s Commitment,
    /// The rule that asks.
    pub rule: &'s RuleId,
    /// The question's entry.
    pub entry: u64,
    /// When nothing comes of an answer any more.
    pub until: &'s Timestamp,
    /// Digests all that is asked.
    pub question: Digest,
    /// Whether the answer is yes.
    pub is_yes: bool,
    /// What the human said of it.
    pub reason: Option<&'s str>,
}

impl Statement<'_> {
    /// The namespace of its signatures: one made for anything else is none.
    pub const NAMESPACE: &'static str = "agentguard-approval";

    /// The bytes that are signed. The human's id, which may hold anything, stands last, so that they are read in one way
    /// only.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!(
            "agentguard approval v1\n{}\nsession {}\nagent {}\n",
            self.id, self.session, self.agent
        );
        for policy in self.policy {
            text.push_str(&format!(
                "policy {} {}\n",
                policy.tier.as_str(),
                policy.digest
            ));
        }
        let answer = if self.is_yes { "approved" } else { "denied" };
        let reason = self.reason.map_or_else(
            || "none".to_owned(),
            |reason| Digest::of(reason.as_bytes()).to_string(),
        );
        text.push_str(&format!(
            "action {}\ntext {}\nrule {}\nentry {}\nuntil {}\nquestion {}\nanswer {answer}\nreason {reason}\n\
             human {}\n",
            self.action, self.text.0, self.rule, self.entry, self.until, self.question, self.human
        ));
        text.into_bytes()
    }
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
