//! Questions to humans, and what was decided upon them.

use std::collections::BTreeMap;

use agentguard_core::{Answered, Entry, Event, RuleId, Ruling};

/// The questions of a log so far.
#[derive(Default)]
pub(crate) struct Questions(BTreeMap<u64, Question>);

struct Question {
    action: String,
    rule: RuleId,
    is_used: bool,
}

impl Questions {
    /// Takes over a question.
    pub(crate) fn see(&mut self, index: u64, bytes: &[u8]) {
        // One that cannot be read is found elsewhere.
        if let Ok(Entry {
            event: Event::Question { action, rule, .. },
            ..
        }) = serde_json::from_slice(bytes)
        {
            let question = Question {
                action,
                rule: rule.id,
                is_used: false,
            };
            self.0.insert(index, question);
        }
    }

    /// Checks a decision that names a question: it is about the same, and what was allowed a human said yes to,
    /// once.
    pub(crate) fn check(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let unread = "what it says of an approval cannot be read";
        let entry: Entry = serde_json::from_slice(bytes).map_err(|_| unread)?;
        let Event::Decision { action, ruling, .. } = &entry.event else {
            return Err(unread);
        };
        let approval = ruling.approval().ok_or(unread)?;
        let question = self.0.get_mut(&approval.question);
        let question = question.ok_or("it names a question that was not asked before it")?;
        if question.action != *action || question.rule != ruling.rule().id {
            return Err("the question that it names was about something else");
        }
        let is_yes = approval.answer == Answered::Approved;
        let is_answer = matches!(approval.answer, Answered::Approved | Answered::Denied);
        if is_answer != approval.by.is_some() {
            return Err("it does not say who answered, or says so where nobody did");
        }
        match ruling {
            Ruling::Allow { .. } if !is_yes => Err("it was allowed, and no human said yes"),
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
