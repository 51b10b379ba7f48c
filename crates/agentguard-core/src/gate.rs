//! The gate: judge, settle, record, and only then permit.

use crate::{Rule, Ruling, Verdict};

/// Where an entry stands in its log.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Index(pub u64);

impl std::fmt::Display for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Judges actions of kind `A`.
pub trait Judge<A> {
    /// Says what the rules make of `action`.
    ///
    /// # Errors
    ///
    /// Returns [`Undecided`] where no verdict could be reached; the gate denies then.
    fn judge(&self, action: &A) -> Result<Verdict, Undecided>;
}

impl<A, J: Judge<A> + ?Sized> Judge<A> for &J {
    fn judge(&self, action: &A) -> Result<Verdict, Undecided> {
        (**self).judge(action)
    }
}

/// Answers what a rule leaves to a human.
pub trait Approve<A> {
    /// Turns a verdict into a ruling. A deny stays one, but in a session that was asked for as a shadow.
    fn settle(&self, action: &A, verdict: Verdict) -> Ruling;

    /// Whether a human can be asked about `action`, which waits for that long.
    fn can_ask(&self, _action: &A) -> bool {
        false
    }
}

/// Keeps the record.
pub trait Record<A> {
    /// Writes down `action` and its ruling, as durably as the action's class demands.
    ///
    /// # Errors
    ///
    /// Returns [`Unrecorded`] where the entry may not have been kept; the action does not happen then.
    fn record(&self, action: &A, ruling: &Ruling) -> Result<Index, Unrecorded>;
}

impl<A, R: Record<A> + ?Sized> Record<A> for &R {
    fn record(&self, action: &A, ruling: &Ruling) -> Result<Index, Unrecorded> {
        (**self).record(action, ruling)
    }
}

/// No verdict could be reached: an error, a timeout, a rule that made no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no verdict: {reason}")]
pub struct Undecided {
    /// Why not.
    pub reason: String,
}

impl Undecided {
    /// The id of the rule under which what is undecided is denied.
    pub const RULE: &'static str = "guard/undecided";

    /// Says why no verdict was reached.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

impl From<Undecided> for Verdict {
    fn from(undecided: Undecided) -> Self {
        Self::Deny(Rule::new(
            Undecided::RULE,
            format!("no verdict was reached: {}", undecided.reason),
        ))
    }
}

/// The record may not have been kept.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot record: {reason}")]
pub struct Unrecorded {
    /// Why not.
    pub reason: String,
}

impl Unrecorded {
    /// Says why nothing was recorded.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// An approver for runs that nobody watches: every question is answered with no.
#[derive(Clone, Copy, Debug)]
pub struct NobodyToAsk;

impl<A> Approve<A> for NobodyToAsk {
    fn settle(&self, _action: &A, verdict: Verdict) -> Ruling {
        match verdict {
            Verdict::Allow(rule) => Ruling::Allow {
                rule,
                approval: None,
            },
            Verdict::Deny(rule) => Ruling::Deny {
                rule,
                asked: false,
                approval: None,
            },
            Verdict::Ask(mut rule) => {
                rule.reason = format!(
                    "{} (it needs approval, and approval is not available)",
                    rule.reason
                );
                Ruling::Deny {
                    rule,
                    asked: true,
                    approval: None,
                }
            }
        }
    }
}

/// Proof that an action was admitted and recorded. It is spent by value: one permit, one act.
///
/// It guards against forgetting the gate, not against hostile code in our own process. Nobody else
/// can make one:
///
/// ```compile_fail
/// let forged = agentguard_core::Permit { action: 1u8, index: agentguard_core::Index(0), against: None };
/// ```
///
/// nor use one twice:
///
/// ```compile_fail
/// fn twice(permit: agentguard_core::Permit<u8>) {
///     let _ = permit.spend();
///     let _ = permit.spend();
/// }
/// ```
#[derive(Debug)]
#[must_use = "an admitted action has not happened yet"]
pub struct Permit<A> {
    action: A,
    index: Index,
    against: Option<Rule>,
}

impl<A> Permit<A> {
    /// Takes out the action to perform it, with the index of the entry that admitted it.
    pub fn spend(self) -> (A, Index) {
        (self.action, self.index)
    }

    /// What was admitted.
    #[must_use]
    pub fn action(&self) -> &A {
        &self.action
    }

    /// The entry that admitted it.
    #[must_use]
    pub fn index(&self) -> Index {
        self.index
    }

    /// The rule that would have refused it, were the session no shadow.
    #[must_use]
    pub fn against(&self) -> Option<&Rule> {
        self.against.as_ref()
    }
}

/// An action that a rule leaves to a human. Nothing happens until the gate is told what the human said.
#[derive(Debug)]
#[must_use = "whoever wants this action waits"]
pub struct Waiting<A> {
    action: A,
    rule: Rule,
}

impl<A> Waiting<A> {
    /// What is asked about.
    #[must_use]
    pub fn action(&self) -> &A {
        &self.action
    }

    /// The rule that asks.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }
}

/// What became of an action that may wait.
#[derive(Debug)]
#[must_use = "an admitted action has not happened yet"]
pub enum Admitted<A> {
    /// It may happen.
    Permit(Permit<A>),
    /// A human is to be asked first.
    Waiting(Waiting<A>),
}

/// Why an action does not happen. Not an error of ours: a ruling, or a log that could not be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// A rule refused it, and the log knows.
    Denied {
        /// The rule that refused.
        rule: Rule,
        /// The entry that says so.
        index: Index,
    },
    /// The log could not be written, so whatever the rules say, it does not happen.
    Unrecorded {
        /// Why the log could not be written, as a rule of ours.
        rule: Rule,
    },
}

impl Refusal {
    /// The rule to show.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        match self {
            Self::Denied { rule, .. } | Self::Unrecorded { rule } => rule,
        }
    }

    /// The entry that holds the refusal, where one could be written.
    #[must_use]
    pub fn index(&self) -> Option<Index> {
        match self {
            Self::Denied { index, .. } => Some(*index),
            Self::Unrecorded { .. } => None,
        }
    }

    fn unrecorded(error: Unrecorded) -> Self {
        let rule = Rule::new(
            "guard/unrecorded",
            format!("the log cannot be written: {}", error.reason),
        );
        Self::Unrecorded {
            rule: rule
                .with_remedy("free the log's disk or repair it; `agentguard verify` says more"),
        }
    }
}

/// Through which every action goes.
#[derive(Debug)]
pub struct Gate<J, P, R> {
    judge: J,
    approve: P,
    log: R,
}

impl<J, P, R> Gate<J, P, R> {
    /// Joins a judge, an approver and a log.
    pub fn new(judge: J, approve: P, log: R) -> Self {
        Self {
            judge,
            approve,
            log,
        }
    }

    /// The log behind the gate, for outcomes.
    #[must_use]
    pub fn log(&self) -> &R {
        &self.log
    }

    /// Admits `action`, or says why not. Either way the log knows first.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] where a rule refuses, where no verdict was reached, where a human would
    /// have to be asked and cannot, or where the log cannot be written.
    pub fn admit<A>(&self, action: A) -> Result<Permit<A>, Refusal>
    where
        J: Judge<A>,
        P: Approve<A>,
        R: Record<A>,
    {
        let verdict = self.judge.judge(&action).unwrap_or_else(Verdict::from); // an error denies
        let ruling = self.approve.settle(&action, verdict); // ask becomes allow or deny
        self.record(action, ruling)
    }

    /// The same for an action that can wait until a human has answered, where one can be asked.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] as [`Gate::admit`] does.
    pub fn admit_or_wait<A>(&self, action: A) -> Result<Admitted<A>, Refusal>
    where
        J: Judge<A>,
        P: Approve<A>,
        R: Record<A>,
    {
        let verdict = self.judge.judge(&action).unwrap_or_else(Verdict::from);
        match verdict {
            Verdict::Ask(rule) if self.approve.can_ask(&action) => {
                Ok(Admitted::Waiting(Waiting { action, rule }))
            }
            verdict @ (Verdict::Allow(_) | Verdict::Ask(_) | Verdict::Deny(_)) => {
                let ruling = self.approve.settle(&action, verdict);
                self.record(action, ruling).map(Admitted::Permit)
            }
        }
    }

    /// Takes up an action that waited, with what the human made of it. The log knows first, as ever.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] where the human refused, where nobody answered, or where the log cannot be written.
    pub fn conclude<A>(&self, waiting: Waiting<A>, ruling: Ruling) -> Result<Permit<A>, Refusal>
    where
        R: Record<A>,
    {
        self.record(waiting.action, ruling)
    }

    fn record<A>(&self, action: A, ruling: Ruling) -> Result<Permit<A>, Refusal>
    where
        R: Record<A>,
    {
        let index = self
            .log
            .record(&action, &ruling)
            .map_err(Refusal::unrecorded)?; // no record, no action
        let against = match ruling {
            Ruling::Allow { .. } => None,
            Ruling::Unenforced { rule, .. } => Some(rule),
            Ruling::Deny { rule, .. } => return Err(Refusal::Denied { rule, index }),
        };
        Ok(Permit {
            action,
            index,
            against,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    struct Says(Result<Verdict, Undecided>);

    impl Judge<u8> for Says {
        fn judge(&self, _: &u8) -> Result<Verdict, Undecided> {
            self.0.clone()
        }
    }

    #[derive(Default)]
    struct Paper {
        lines: RefCell<Vec<(u8, Ruling)>>,
        full: bool,
    }

    impl Record<u8> for Paper {
        fn record(&self, action: &u8, ruling: &Ruling) -> Result<Index, Unrecorded> {
            if self.full {
                return Err(Unrecorded::new("no space left on device"));
            }
            self.lines.borrow_mut().push((*action, ruling.clone()));
            Ok(Index(41))
        }
    }

    fn gate(verdict: Result<Verdict, Undecided>, full: bool) -> Gate<Says, NobodyToAsk, Paper> {
        Gate::new(
            Says(verdict),
            NobodyToAsk,
            Paper {
                full,
                ..Paper::default()
            },
        )
    }

    #[test]
    fn a_denied_action_gets_no_permit_and_is_recorded() {
        let gate = gate(Ok(Verdict::Deny(Rule::new("a/no", "no"))), false);
        let refusal = gate.admit(1).unwrap_err();
        assert_eq!(refusal.rule().id.as_str(), "a/no");
        assert_eq!(gate.log().lines.borrow().len(), 1);
    }

    #[test]
    fn a_judge_that_fails_denies() {
        let gate = gate(Err(Undecided::new("engine timed out")), false);
        let refusal = gate.admit(1).unwrap_err();
        assert_eq!(refusal.rule().id.as_str(), "guard/undecided");
        assert!(!gate.log().lines.borrow()[0].1.is_allow());
    }

    #[test]
    fn a_question_nobody_can_answer_is_refused_under_the_rule_that_asked() {
        let gate = gate(
            Ok(Verdict::Ask(Rule::new("a/ask", "deploys need a human"))),
            false,
        );
        let refusal = gate.admit(1).unwrap_err();
        assert_eq!(refusal.rule().id.as_str(), "a/ask");
        assert!(refusal.rule().reason.contains("approval is not available"));
    }

    #[test]
    fn a_log_that_fails_refuses_what_was_allowed() {
        let gate = gate(Ok(Verdict::Allow(Rule::new("a/yes", "yes"))), true);
        let refusal = gate.admit(1).unwrap_err();
        assert_eq!(refusal.index(), None);
        assert_eq!(refusal.rule().id.as_str(), "guard/unrecorded");
    }

    struct Shadow;

    impl Approve<u8> for Shadow {
        fn settle(&self, _: &u8, verdict: Verdict) -> Ruling {
            Ruling::Unenforced {
                rule: verdict.rule().clone(),
                asked: false,
            }
        }
    }

    #[test]
    fn what_is_not_enforced_is_permitted_against_its_rule_and_only_if_it_is_recorded() {
        let says = || Says(Ok(Verdict::Deny(Rule::new("a/no", "no"))));
        let gate = Gate::new(says(), Shadow, Paper::default());
        let permit = gate.admit(1).unwrap();
        assert_eq!(permit.against().unwrap().id.as_str(), "a/no");
        assert!(!gate.log().lines.borrow()[0].1.is_allow());
        let full = Paper {
            full: true,
            ..Paper::default()
        };
        assert!(Gate::new(says(), Shadow, full).admit(1).is_err());
    }

    #[test]
    fn what_is_allowed_and_recorded_is_permitted_under_its_entry() {
        let gate = gate(Ok(Verdict::Allow(Rule::new("a/yes", "yes"))), false);
        let (action, index) = gate.admit(9).unwrap().spend();
        assert_eq!((action, index), (9, Index(41)));
        assert_eq!(gate.log().lines.borrow().len(), 1);
    }
}
