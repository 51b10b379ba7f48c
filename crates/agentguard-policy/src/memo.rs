//! Verdicts that need no second thought: kept by the whole input, bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use agentguard_core::Verdict;

/// Verdicts kept in each of the two halves.
const HALF: usize = 2048;

/// Verdicts by input. One belongs to one session under one policy, so its key is the rest of the input.
///
/// When a half is full it becomes the old one and the old one is forgotten: what is asked for again
/// moves over. Questions to a human are never kept.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    new: HashMap<Box<str>, Verdict>,
    old: HashMap<Box<str>, Verdict>,
}

impl Memo {
    /// The verdict kept for `key`.
    pub(crate) fn find(&self, key: &str) -> Option<Verdict> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = halves.new.get(key) {
            return Some(verdict.clone());
        }
        let (key, verdict) = halves.old.remove_entry(key)?;
        halves.insert(key, verdict.clone());
        Some(verdict)
    }

    /// Keeps `verdict`, unless it asks.
    pub(crate) fn keep(&self, key: &str, verdict: &Verdict) {
        match verdict {
            Verdict::Ask(_) => {}
            Verdict::Allow(_) | Verdict::Deny(_) => {
                let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
                halves.insert(key.into(), verdict.clone());
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let halves = self.halves.lock().unwrap();
        halves.new.len() + halves.old.len()
    }
}

impl Halves {
    fn insert(&mut self, key: Box<str>, verdict: Verdict) {
        if self.new.len() >= HALF {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(key, verdict);
    }
}

#[cfg(test)]
mod tests {
    use agentguard_core::Rule;

    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_what_is_used_stays() {
        let memo = Memo::default();
        let verdict = Verdict::Allow(Rule::new("a/b", "c"));
        memo.keep("used", &verdict);
        for i in 0..3 * HALF {
            memo.keep(&i.to_string(), &verdict);
            assert_eq!(memo.find("used"), Some(verdict.clone()));
        }
        assert!(memo.len() <= 2 * HALF);
        assert_eq!(memo.find("0"), None);
    }

    #[test]
    fn a_question_to_a_human_is_asked_each_time() {
        let memo = Memo::default();
        memo.keep("x", &Verdict::Ask(Rule::new("a/b", "c")));
        assert_eq!(memo.find("x"), None);
    }
}
