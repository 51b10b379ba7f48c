//! Questions to humans, and what was decided upon them.

use std::collections::BTreeMap;

use agentguard_core::{
    Answered, Approval, Commitment, Entry, Event, Evidence, RuleId, Ruling, Statement, TierDigest,
    Timestamp,
};

use crate::sshsig::verify_sshsig;

/// The questions of a log so far.
#[derive(Default)]
pub(crate) struct Questions {
    /// The policies that decide in this session.
    policy: Vec<TierDigest>,
    /// What policy requires of who says yes.
    required: Option<Evidence>,
    asked: BTreeMap<u64, Question>,
}

struct Question {
    id: String,
    action: String,
    rule: RuleId,
    until: Timestamp,
    text: Commitment,
    is_used: bool,
}

impl Questions {
    /// Takes over what the session's first entry says.
    pub(crate) fn begin(&mut self, policy: &[TierDigest], required: Evidence) {
        self.policy = policy.to_vec();
        self.required = Some(required);
    }

    /// Takes over a question.
    pub(crate) fn see(&mut self, index: u64, bytes: &[u8]) {
        // One that cannot be read is found elsewhere.
        if let Ok(Entry {
            event:
                Event::Question {
                    id,
                    action,
                    rule,
                    until,
                    text,
                },
            ..
        }) = serde_json::from_slice(bytes)
        {
            let question = Question {
                id,
                action,
                rule: rule.id,
                until,
                text,
                is_used: false,
            };
            self.asked.insert(index, question);
        }
    }

    /// Checks a decision that names a question: it is about the same, and what was allowed a human said yes to, in
    /// time, once, and signed it where that is required or said.
    pub(crate) fn check(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let unread = "what it says of an approval cannot be read";
        let entry: Entry = serde_json::from_slice(bytes).map_err(|_| unread)?;
        let Event::Decision {
            action,
            text,
            ruling,
            ..
        } = &entry.event
        else {
            return Err(unread);
        };
        let approval = ruling.approval().ok_or(unread)?;
        let question = self.asked.get_mut(&approval.question);
        let question = question.ok_or("it names a question that was not asked before it")?;
        let is_same = question.action == *action && question.text == *text;
        if !is_same || question.rule != ruling.rule().id {
            return Err("the question that it names was about something else");
        }
        let is_yes = approval.answer == Answered::Approved;
        let is_answer = matches!(approval.answer, Answered::Approved | Answered::Denied);
        if is_answer != approval.by.is_some() {
            return Err("it does not say who answered, or says so where nobody did");
        }
        question.check_signature(&self.policy, &entry, approval)?;
        let evidence = approval.by.as_ref().map(|by| by.evidence);
        match ruling {
            Ruling::Allow { .. } if !is_yes => Err("it was allowed, and no human said yes"),
            Ruling::Allow { .. } if entry.time > question.until => {
                Err("it was allowed after the time for an answer was over")
            }
            Ruling::Allow { .. } if evidence < self.required => {
                Err("it was allowed, and the yes was not signed as policy requires")
            }
            Ruling::Allow { .. } if std::mem::replace(&mut question.is_used, true) => {
                Err("one approval allowed it twice")
            }
            Ruling::Allow { .. } => Ok(()),
            Ruling::Deny { asked: true, .. } if !is_yes => Ok(()),
            Ruling::Deny { .. } | Ruling::Unenforced { .. } => {
                Err("it does not fit the answer to its question")
            }
        }
    }
}

impl Question {
    /// Who is said to have signed did, and exactly this: this question, in this session, with this answer.
    fn check_signature(
        &self,
        policy: &[TierDigest],
        entry: &Entry,
        approval: &Approval,
    ) -> Result<(), &'static str> {
        let by = approval.by.as_ref();
        let is_said = by.is_some_and(|by| by.evidence == Evidence::Signed);
        let Some(signed) = &approval.signed else {
            return match is_said {
                true => Err("it says that a human signed, and there is no signature"),
                false => Ok(()),
            };
        };
        if !is_said {
            return Err("there is a signature, and it does not say that a human signed");
        }
        let statement = Statement {
            id: &self.id,
            session: &entry.session,
            agent: &entry.agent,
            human: &entry.human,
            policy,
            action: &self.action,
            text: &self.text,
            rule: &self.rule,
            entry: approval.question,
            until: &self.until,
            question: signed.question,
            is_yes: approval.answer == Answered::Approved,
            reason: approval.reason.as_deref(),
        };
        let verified = verify_sshsig(&signed.sshsig, Statement::NAMESPACE, &statement.bytes());
        verified
            .map(|_| ())
            .map_err(|_| "no human signed this answer to this question")
    }
}
