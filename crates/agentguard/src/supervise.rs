//! Serves a session: each exec goes through the gate, each effect into the record.

use agentguard_core::{
    Action, CommitSeen, Connect, Exec, Gate, Index, Judge, MadeBy, Making, NobodyToAsk, OutcomeOf,
    Permit, RefMove, Refusal, Rule, Undecided, Unrecorded, Verdict,
};
use agentguard_policy::{Confined, Question, SessionJudge};
use agentguard_sandbox::{Difference, Refused, Supervise};

use crate::record::SessionRecord;
use crate::run::{Tell, Told};
use crate::text::command_line;

/// Policy's judge, with the floors that policy sets for every session.
pub(crate) struct Floors<'j> {
    judge: &'j SessionJudge,
    confined: &'j Confined,
}

impl<'j> Floors<'j> {
    /// The floors that policy set when it made `confined`.
    pub(crate) fn new(judge: &'j SessionJudge, confined: &'j Confined) -> Self {
        Self { judge, confined }
    }
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
            | Action::Api(_) => verdict,
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

/// The gate of a session.
pub(crate) type SessionGate<'s> = Gate<Floors<'s>, NobodyToAsk, &'s SessionRecord>;

pub(crate) struct Supervisor<'s> {
    pub(crate) gate: &'s SessionGate<'s>,
    pub(crate) judge: &'s SessionJudge,
    pub(crate) record: &'s SessionRecord,
    pub(crate) tell: &'s dyn Tell,
}

impl Supervisor<'_> {
    /// Says to whoever watches that something was refused, of which the agent hears from who asked.
    pub(crate) fn tell(&self, action: String, rule: &Rule, entry: Option<Index>) {
        let told = Told::new(action, rule.clone(), entry, false);
        self.tell.refused(&told);
    }

    /// Says who refused `action` to whoever watches, and what the agent is told.
    fn refused(&self, action: String, refusal: &Refusal, is_first: bool) -> Refused {
        let told = Told::new(action, refusal.rule().clone(), refusal.index(), is_first);
        self.tell.refused(&told);
        Refused {
            entry: refusal.index(),
            rule: refusal.rule().id.clone(),
            text: told.lines(),
        }
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

    fn exec(
        &self,
        exec: Exec,
        is_first: bool,
        _: Option<Index>,
    ) -> Result<Permit<Question>, Refused> {
        let shown = exec.argv.clone();
        let program = exec.program.path.clone();
        self.gate
            .admit(self.judge.question(Action::Exec(exec)))
            .map_err(|refusal| {
                let words = if shown.is_empty() {
                    std::slice::from_ref(&program)
                } else {
                    &shown
                };
                self.refused(format!("`{}`", command_line(words)), &refusal, is_first)
            })
    }

    fn name(&self, making: Making) -> Result<Permit<Question>, Refused> {
        let action = format!("{} `{}`", making_word(making.by), making.path);
        self.gate
            .admit(self.judge.question(Action::File(making)))
            .map_err(|refusal| self.refused(action, &refusal, false))
    }

    fn connect(&self, connect: Connect) -> Result<Permit<Question>, Refused> {
        let action = format!("connect to `{}`", connect.path);
        let question = self.judge.question(Action::Connect(connect));
        self.gate
            .admit(question)
            .map_err(|refusal| self.refused(action, &refusal, false))
    }

    fn outcome(&self, of: Index, outcome: OutcomeOf) -> Result<(), Unrecorded> {
        self.record.outcome(of, outcome)
    }

    fn changed(&self, difference: Difference) -> Result<(), Unrecorded> {
        self.record.changed(&difference)
    }

    fn moved(
        &self,
        moved: Vec<RefMove>,
        commits: Vec<CommitSeen>,
        complete: bool,
    ) -> Result<(), Unrecorded> {
        self.record.moved(&moved, &commits, complete)
    }
}
