//! The guard: runs a command as a session, from policy to the last entry.

use std::sync::Arc;

use agentguard_audit::{Author, Places, SessionLog};
use agentguard_core::{
    Action, Gate, NobodyToAsk, OutcomeOf, Refusal, Rule, SessionId, Start, Tally,
};
use agentguard_sandbox::{Ended, HeldSignals, prepare};

use crate::record::{Beginning, SessionRecord};
use crate::run::{Run, Tell, Told};
use crate::supervise::{Floors, Supervisor};
use crate::text::command_line;
use crate::{Arranged, Error, SystemClock};

/// Guards the sessions of one user.
#[derive(Clone, Debug)]
pub struct Guard {
    places: Places,
}

/// What became of a session.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Which session.
    pub session: SessionId,
    /// How its command ended.
    pub outcome: OutcomeOf,
    /// Why the command itself could not be executed, by the error's number.
    pub not_executed: Option<i32>,
    /// Whether its time was over.
    pub is_out_of_time: bool,
    /// What was counted.
    pub tally: Tally,
}

impl Guard {
    /// A guard that keeps keys and logs, and finds policies, in these places.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self { places }
    }

    /// Says what would be enforced, and runs nothing.
    ///
    /// # Errors
    ///
    /// Returns what would keep the session from being arranged.
    pub fn plan(&self, run: &Run) -> Result<Arranged, Error> {
        Arranged::new(&self.places, run)
    }

    /// Runs a command as a session, and returns when everything in it is dead.
    ///
    /// Call `agentguard::sandbox::enter_if_asked` first in `main`: the mediator is this program again.
    ///
    /// # Errors
    ///
    /// Returns why the session did not come about, or was ended: a policy, the log, the kernel, or a rule
    /// that refuses the session itself. A refused *command* is no error: it is how the session ended.
    pub fn exec(
        &self,
        run: &Run,
        tell: &dyn Tell,
        signals: &HeldSignals,
    ) -> Result<Finished, Error> {
        let mut arranged = Arranged::new(&self.places, run)?;
        let prepared = prepare(&arranged.plan)?; // it stands, and nothing of the agent runs
        arranged.session.branch.clone_from(&prepared.branch);
        let log = SessionLog::create(&self.places, author(&arranged), Arc::new(SystemClock))?;
        let denied = std::mem::take(&mut arranged.denied.content);
        let judge = arranged
            .policies
            .judge(arranged.session.clone())
            .with_denied_content(denied);
        let start = start(&arranged, run);
        let session = arranged.session.id.clone();
        let confined = arranged.confined.clone();
        let record = SessionRecord::new(log, beginning(&arranged, prepared.refs.clone())?);
        let gate = Gate::new(
            Floors {
                judge: &judge,
                confined: &confined,
            },
            NobodyToAsk,
            &record,
        );
        let permit = match gate.admit(judge.question(Action::Session(Box::new(start)))) {
            Ok(permit) => permit,
            Err(refusal) => return Err(refused(record, &refusal, run, tell)),
        };
        let supervisor = Supervisor {
            gate: &gate,
            judge: &judge,
            record: &record,
            tell,
        };
        let ended = match prepared.start(permit, &supervisor, signals) {
            Ok(ended) => ended,
            Err(error) => return Err(broken(record, error)),
        };
        if ended.is_out_of_time {
            record.finding(Rule::new(
                "session/time",
                "the session's time was over, and it was ended",
            ))?;
        }
        let tally = record.end(ended.outcome.clone())?;
        // What was learnt saves time; the session is over, and recorded, without it.
        let _ = arranged.programs.keep(&ended.learnt);
        let Ended {
            outcome,
            not_executed,
            is_out_of_time,
            ..
        } = ended;
        Ok(Finished {
            session,
            outcome,
            not_executed,
            is_out_of_time,
            tally,
        })
    }
}

fn author(arranged: &Arranged) -> Author {
    let session = &arranged.session;
    Author {
        session: session.id.clone(),
        agent: session.agent.name.clone(),
        human: session.human.id.clone(),
        evidence: session.human.evidence,
    }
}

fn start(arranged: &Arranged, run: &Run) -> Start {
    Start {
        session: arranged.session.clone(),
        confinement: arranged.confined.confinement.clone(),
        command: run
            .command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
    }
}

fn beginning(arranged: &Arranged, refs: Vec<String>) -> Result<Beginning, Error> {
    Ok(Beginning {
        key: arranged.key.try_clone()?,
        policies: arranged.policies.clone(),
        confined: arranged.confined.clone(),
        refs,
    })
}

/// The session itself was refused: nothing ran, and the log says so and ends.
fn refused(record: SessionRecord, refusal: &Refusal, run: &Run, tell: &dyn Tell) -> Error {
    let words: Vec<_> = run
        .command
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    let rule = refusal.rule().clone();
    let told = Told::new(
        format!("`{}`", command_line(&words)),
        rule.clone(),
        refusal.index(),
        true,
    );
    tell.refused(&told);
    if refusal.index().is_some() {
        let outcome = OutcomeOf::Killed { rule: rule.clone() };
        if let Err(error) = record.end(outcome) {
            return error.into();
        }
    }
    Error::Refused {
        rule: Box::new(rule),
    }
}

/// The session was ended early: the log says why, if it can still be written, and ends.
fn broken(record: SessionRecord, error: agentguard_sandbox::Error) -> Error {
    let rule = Rule::new("guard/broken", format!("the session was ended: {error}"));
    let _ = record.finding(rule.clone());
    let _ = record.end(OutcomeOf::Killed { rule });
    Error::Sandbox(error)
}
