//! A question, and an answer to it, as they lie in their files.

use agentguard_core::{
    AgentName, Commitment, Digest, Rule, SessionId, Statement, TierDigest, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Letters that are not taken for one another. There are 32.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// How many of them make 65 bits.
const LENGTH: usize = 13;

/// What a human is asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Asked {
    /// What it is called by: random, and used once.
    pub id: String,
    /// In which session.
    pub session: SessionId,
    /// Who wants to act.
    pub agent: AgentName,
    /// The id of the human who started the session.
    pub human: String,
    /// The kind of action.
    pub kind: String,
    /// The action in words.
    pub action: String,
    /// The rule that asks.
    pub rule: Rule,
    /// The policies that decided so.
    pub policy: Vec<TierDigest>,
    /// The action as policy saw it, in JSON.
    pub input: String,
    /// Digests all that is sent, where that is known: also what policy does not see.
    pub whole: Option<Digest>,
    /// The entry that holds the question.
    pub entry: u64,
    /// Commits to the action, as that entry does.
    pub text: Commitment,
    /// When nothing comes of an answer any more, as that entry says.
    pub over: Timestamp,
    /// Whether a yes has to be signed.
    pub must_be_signed: bool,
    /// Random, so that nobody finds by guessing what a digest of this is of.
    pub salt: String,
    /// Until when whoever asks waits, in microseconds since 1970. Later it has to be asked for again.
    pub waits_until: u64,
    /// Until when it can be answered, in microseconds since 1970.
    pub until: u64,
}

/// A question with the digest that its answer repeats.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Question {
    /// What is asked.
    pub asked: Asked,
    /// Digests it.
    pub digest: Digest,
}

impl Question {
    pub(crate) fn new(asked: Asked) -> Self {
        let digest = digest(&asked);
        Self { asked, digest }
    }

    /// What a human signs who answers so.
    pub(crate) fn statement<'s>(&'s self, said: Said, reason: Option<&'s str>) -> Statement<'s> {
        let asked = &self.asked;
        Statement {
            id: &asked.id,
            session: &asked.session,
            agent: &asked.agent,
            human: &asked.human,
            policy: &asked.policy,
            action: &asked.kind,
            text: &asked.text,
            rule: &asked.rule.id,
            entry: asked.entry,
            until: &asked.over,
            question: self.digest,
            is_yes: said == Said::Yes,
            reason,
        }
    }

    /// Whether the digest is of what stands there.
    pub(crate) fn is_whole(&self) -> bool {
        digest(&self.asked) == self.digest
    }
}

fn digest(asked: &Asked) -> Digest {
    // It is always writable: its keys are text.
    let text = serde_json::to_string(asked).unwrap_or_default();
    Digest::of(format!("agentguard question v1\n{text}").as_bytes())
}

/// What lies beside a question that is over.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) session: SessionId,
    pub(crate) digest: Digest,
    pub(crate) said: Said,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The human's signature, as in [`agentguard_core::Signed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sshsig: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Yes,
    No,
    /// The guard's own: it takes no answer any more.
    Over,
}

impl Answer {
    pub(crate) fn new(question: &Question, said: Said, reason: Option<String>) -> Self {
        Self {
            id: question.asked.id.clone(),
            session: question.asked.session.clone(),
            digest: question.digest,
            said,
            reason,
            sshsig: None,
        }
    }

    /// Whether it is an answer to exactly this question.
    pub(crate) fn is_to(&self, question: &Question) -> bool {
        self.id == question.asked.id
            && self.session == question.asked.session
            && self.digest == question.digest
    }
}

/// Makes an id of random bytes.
pub(crate) fn id_of(random: &[u8; 16]) -> String {
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).copied();
    let letters = random.iter().take(LENGTH).filter_map(letter);
    letters.map(char::from).collect()
}

/// Whether this can be an id: then it is a file's name as well.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|letter| LETTERS.contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_name_and_nothing_else_is_one() {
        let id = id_of(&[255, 0, 31, 32, 64, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]);
        assert!(is_id(&id), "{id}");
        for other in [
            "",
            "..",
            "../../etc/x",
            "0123456789abc/",
            "0123456789ABC",
            "0123456789abci",
        ] {
            assert!(!is_id(other), "{other}");
        }
    }

    #[test]
    fn an_answer_is_to_one_question_of_one_session_as_it_was_asked() {
        let question = crate::approvals::tests::question("0123456789abc", u64::MAX);
        let answer = || Answer::new(&question, Said::Yes, None);
        assert!(answer().is_to(&question));
        let others = [
            Answer {
                id: "0123456789abd".to_owned(),
                ..answer()
            },
            Answer {
                session: SessionId::from_random([9; 16]),
                ..answer()
            },
            Answer {
                digest: Digest::of(b"another"),
                ..answer()
            },
        ];
        for other in others {
            assert!(!other.is_to(&question), "{other:?}");
        }
    }
}
