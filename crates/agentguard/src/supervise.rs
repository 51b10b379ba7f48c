//! Serves a session: each exec goes through the gate, each effect into the record.

use std::os::fd::BorrowedFd;

use agentguard_core::{
    Action, Approve, Connect, Enforcement, Exec, Gate, Index, Judge, MadeBy, Making, NobodyToAsk,
    OutcomeOf, Permit, Reach, RefMove, Refusal, Rule, Ruling, Undecided, Unrecorded, Verdict,
};
use agentguard_policy::{Confined, Question, SessionJudge};
use agentguard_sandbox::{CommitFound, Difference, MayRun, Refused, Supervise};

use crate::approvals::Book;
use crate::asked::run_words;
use crate::ending::Ending;
use crate::lending::Lending;
use crate::record::SessionRecord;
use crate::run::{Tell, Told};

/// Policy's judge, with the floors that policy sets for every session.
pub(crate) struct Floors<'j> {
    judge: &'j SessionJudge,
    confined: &'j Confined,
}

impl Judge<Question> for Floors<'_> {
    fn judge(&self, question: &Question) -> Result<Verdict, Undecided> {
        let verdict = self.judge.judge(question)?;
        Ok(match question.action() {
            Action::Session(start) => match below(self.confined, start) {
                Some(rule) => Verdict::Deny(rule).strictest(verdict),
                None => verdict,
            },
            Action::Exec(_)
            | Action::File(_)
            | Action::Connect(_)
            | Action::Reach(_)
            | Action::Api(_)
            | Action::Push(_) => verdict,
        })
    }
}

/// What policy requires and this session does not have.
fn below(confined: &Confined, start: &agentguard_core::Start) -> Option<Rule> {
    let human = &start.session.human;
    if human.evidence < confined.require_evidence {
        let required = confined.require_evidence.as_str();
        let reason = format!(
            "policy requires evidence `{required}` for who asked, and there is `{}`",
            human.evidence.as_str()
        );
        return Some(
            Rule::new("session/evidence", reason)
                .with_remedy("start it where the platform vouches for the human"),
        );
    }
    if start.confinement.level < confined.require_level {
        let reason = format!(
            "policy requires level `{}`, and `{}` was asked for",
            confined.require_level.as_str(),
            start.confinement.level.as_str()
        );
        return Some(Rule::new("session/level", reason).with_remedy("run it without `--level`"));
    }
    None
}

/// Says no where a human would have to be asked; in a shadow lets be what holds there no more.
pub(crate) struct Answers<'j> {
    judge: &'j SessionJudge,
    enforcement: Enforcement,
    book: &'j Book,
}

impl Approve<Question> for Answers<'_> {
    fn settle(&self, question: &Question, verdict: Verdict) -> Ruling {
        match (self.enforcement, NobodyToAsk.settle(question, verdict)) {
            (Enforcement::Shadow, Ruling::Deny { rule, asked, .. })
                if !self.judge.holds(question, &rule) =>
            {
                Ruling::Unenforced { rule, asked }
            }
            (Enforcement::Policy | Enforcement::Shadow, ruling) => ruling,
        }
    }

    /// These wait beside all others. A name that is made would keep one of the mediator's workers, and a shadow only says
    /// what would be asked.
    fn can_ask(&self, question: &Question) -> bool {
        match (question.action(), self.enforcement) {
            (Action::Api(_) | Action::Exec(_), Enforcement::Policy) => self.book.can_ask(),
            // Where it does not wait, the very same can be pushed again.
            (Action::Push(_), Enforcement::Policy) => true,
            (
                Action::Session(_)
                | Action::Exec(_)
                | Action::File(_)
                | Action::Connect(_)
                | Action::Reach(_)
                | Action::Api(_)
                | Action::Push(_),
                Enforcement::Policy | Enforcement::Shadow,
            ) => false,
        }
    }
}

/// The gate of a session.
pub(crate) type SessionGate<'s> = Gate<Floors<'s>, Answers<'s>, &'s SessionRecord>;

/// Makes it of policy's judge and what policy sets for every session.
pub(crate) fn session_gate<'s>(
    (judge, confined): (&'s SessionJudge, &'s Confined),
    enforcement: Enforcement,
    record: &'s SessionRecord,
    book: &'s Book,
) -> SessionGate<'s> {
    Gate::new(
        Floors { judge, confined },
        Answers {
            judge,
            enforcement,
            book,
        },
        record,
    )
}

pub(crate) struct Supervisor<'s> {
    pub(crate) gate: &'s SessionGate<'s>,
    pub(crate) judge: &'s SessionJudge,
    pub(crate) record: &'s SessionRecord,
    pub(crate) book: &'s Book,
    pub(crate) tell: &'s dyn Tell,
    pub(crate) lending: &'s Lending,
}

impl<'s> Supervisor<'s> {
    pub(crate) fn new(
        (gate, judge): (&'s SessionGate<'s>, &'s SessionJudge),
        (record, book, lending): (&'s SessionRecord, &'s Book, &'s Lending),
        tell: &'s dyn Tell,
    ) -> Self {
        Self {
            gate,
            judge,
            record,
            book,
            lending,
            tell,
        }
    }
}

impl Supervisor<'_> {
    /// Puts an action through the gate, and tells whoever watches where a rule refused. Returns what it told
    /// where the action does not happen.
    pub(crate) fn admit(
        &self,
        action: Action,
        words: String,
        is_first: bool,
    ) -> Result<Permit<Question>, Told> {
        let admitted = self.gate.admit(self.judge.question(action));
        self.told(admitted, words, is_first)
    }

    /// Tells whoever watches what a rule refused, or would have.
    pub(crate) fn told(
        &self,
        admitted: Result<Permit<Question>, Refusal>,
        words: String,
        is_first: bool,
    ) -> Result<Permit<Question>, Told> {
        match admitted {
            Ok(permit) => {
                if let Some(rule) = permit.against() {
                    let told = Told::new(words, rule.clone(), Some(permit.index()), is_first);
                    self.tell.refused(&told.not_enforced());
                }
                Ok(permit)
            }
            Err(refusal) => {
                let (rule, entry) = (refusal.rule().clone(), refusal.index());
                let told = Told::new(words, rule, entry, is_first);
                self.tell.refused(&told);
                Err(told)
            }
        }
    }

    /// Says to whoever watches that something was refused, of which the agent hears from who asked.
    pub(crate) fn tell(&self, words: String, rule: &Rule, entry: Option<Index>) {
        let told = Told::new(words, rule.clone(), entry, false);
        self.tell.refused(&told);
    }
}

/// What the agent is told of it.
pub(crate) fn to_agent(told: Told) -> Refused {
    Refused {
        entry: told.entry.map(Index),
        text: told.lines(),
        rule: told.rule.id,
    }
}

/// What is done to make a name, in words.
fn making_word(by: MadeBy) -> &'static str {
    match by {
        MadeBy::Open => "write",
        MadeBy::Mkdir | MadeBy::Mknod => "make",
        MadeBy::Symlink | MadeBy::Link => "link",
        MadeBy::Rename => "move to",
    }
}

impl Supervise for Supervisor<'_> {
    type Action = Question;

    fn exec(&self, exec: Exec, is_first: bool) -> Result<Permit<Question>, Refused> {
        let words = run_words(&exec);
        self.admit(Action::Exec(exec), words, is_first)
            .map_err(to_agent)
    }

    fn exec_or_wait(&self, exec: Exec, is_first: bool) -> Result<MayRun<Question>, Refused> {
        self.run_or_ask(exec, is_first)
    }

    fn answered(&self, ticket: u64, is_first: bool) -> Option<Result<Permit<Question>, Refused>> {
        self.run_answered(ticket, is_first)
    }

    fn no_longer_waits(&self, ticket: u64) {
        self.run_withdrawn(ticket);
    }

    fn name(&self, making: Making) -> Result<Permit<Question>, Refused> {
        let words = format!("{} `{}`", making_word(making.by), making.path);
        self.admit(Action::File(making), words, false)
            .map_err(to_agent)
    }

    fn connect(&self, connect: Connect) -> Result<Permit<Question>, Refused> {
        let words = format!("connect to `{}`", connect.path);
        self.admit(Action::Connect(connect), words, false)
            .map_err(to_agent)
    }

    fn outcome(&self, of: Index, outcome: OutcomeOf) -> Result<(), Unrecorded> {
        self.record.outcome(of, outcome)
    }

    fn nowhere(&self, reach: Reach) -> Result<(), Unrecorded> {
        let rule = Rule::new("gate/datagram", "nothing but lookups goes out as datagrams")
            .with_remedy("use TCP: what speaks QUIC falls back to it");
        let words = format!("send a datagram to `{}`", reach.host);
        match self.refuse_action(Action::Reach(reach), words, rule).entry {
            Some(_) => Ok(()),
            None => Err(Unrecorded::new("a refusal could not be written down")),
        }
    }

    fn changed(&self, difference: Difference) -> Result<(), Unrecorded> {
        self.record.changed(&difference)
    }

    fn moved(
        &self,
        moved: Vec<RefMove>,
        commits: Vec<CommitFound>,
        complete: bool,
    ) -> Result<(), Unrecorded> {
        self.record.moved(&moved, commits, complete)
    }

    fn holding_nothing<T>(&self, stop: impl FnOnce() -> T) -> T {
        self.record.holding_nothing(stop)
    }

    fn early_end(&self) -> Option<BorrowedFd<'_>> {
        self.lending.ending.as_ref().map(Ending::event)
    }
}
