//! The guard: runs a command as a session, from policy to the last entry.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use agentguard_audit::{Author, Places, SessionLog};
use agentguard_core::{
    Action, Confinement, Enforcement, Level, Network, OutcomeOf, Promise, Refusal, Rule, Session,
    SessionId, Start, Tally,
};
use agentguard_egress::Gate;
use agentguard_policy::{Confined, Policies, Sources};
use agentguard_sandbox::{Ended, HeldSignals, Launched};
use rustix::process::Pid;

use crate::approvals::{Book, Signers};
use crate::arrange::{sources, user_for_agents};
use crate::layout::refuse_level;
use crate::lending::Lending;
use crate::record::{Beginning, SessionRecord};
use crate::run::{Run, Tell, Told};
use crate::signing::Signer;
use crate::supervise::{Supervisor, session_gate};
use crate::text::command_line;
use crate::{Arranged, Error, SystemClock, bundle, gated, limits, signing, temporary, trailers};

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
    /// Bounds that it came to.
    pub reached: Vec<Rule>,
    /// What it leaves that makes others run code.
    pub planted: Option<Rule>,
    /// How much was enforced.
    pub level: Level,
    /// What it could not rely on.
    pub missing: Vec<Promise>,
    /// Whose refusals held.
    pub enforcement: Enforcement,
    /// What was counted.
    pub tally: Tally,
}

impl Guard {
    /// A guard that keeps keys and logs, and finds policies, in these places.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self { places }
    }

    /// The policies that would hold for a session in `workspace`: the organisation's, `user` or else the
    /// user's own, the repository's.
    ///
    /// # Errors
    ///
    /// Returns an error where somebody other than root can change the organisation's.
    pub fn sources(&self, user: Option<&Path>, workspace: &Path) -> Result<Sources, Error> {
        sources(&self.places, user, workspace)
    }

    /// Refuses a level that cannot be had for a run, whatever the machine can enforce. [`Guard::exec`] does the same.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Level`] where it cannot be had.
    pub fn refuse_level(&self, run: &Run) -> Result<(), Error> {
        refuse_level(run)
    }

    /// Says what would be enforced, and runs nothing.
    ///
    /// # Errors
    ///
    /// Returns what would keep the session from being arranged.
    pub fn plan(&self, run: &Run) -> Result<Arranged, Error> {
        let arranged = Arranged::new(&self.places, run)?;
        drop(Temporary(arranged.own.clone()));
        Ok(arranged)
    }

    /// Runs a command as a session, and returns when everything in it is dead.
    ///
    /// Call `agentguard::sandbox::enter_if_asked` first in `main`, and `agentguard::policy::evaluate_if_asked` and
    /// `agentguard::egress::enter_if_asked` next: the mediator, who evaluates policies that are read, and a session's
    /// gate are this program again.
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
        let launched = launch(run)?; // it begins while we make its plan
        let mut arranged = Arranged::new(&self.places, run)?;
        let signers = signers(&self.places)?;
        let _temporary = Temporary(arranged.own.clone());
        let lending = Lending::of(&self.places, &mut arranged, tell)?;
        let signer = Signer::of(&self.places, &mut arranged, tell)?;
        trailers::arrange(&self.places, &mut arranged)?;
        // It builds while we open the log.
        let building = launched.build(&arranged.plan, arranged.group.as_ref())?;
        let Arranged {
            mut session,
            confined,
            policies,
            key,
            denied,
            gate,
            ..
        } = arranged;
        let log = log(&self.places, &session, &policies)?;
        drop(arranged.starting); // it has a log
        policies.prepare(); // while the mediator builds
        let mut prepared = match building.ready() {
            Ok(prepared) => prepared, // it stands, and nothing of the agent runs
            Err(error) => {
                log.abandon();
                return Err(error.into());
            }
        };
        session.branch.clone_from(&prepared.branch);
        let judge = policies.judge(session.clone());
        let judge = judge.with_denied_content(denied.content);
        let start = start(&session, &confined, &arranged.plan.command, run.enforcement);
        let beginning = Beginning {
            key,
            policies,
            confined: confined.clone(),
            refs: prepared.refs.clone(),
            forcing: prepared.gate.as_ref().map(|gate| gate.forcing),
            off: arranged.off,
        };
        let book = self.book(&session, &beginning, (run, signers));
        let record = SessionRecord::new(log, beginning);
        let way_out = gated::gate(gate, prepared.gate.take());
        let gate = session_gate((&judge, &confined), run.enforcement, &record, &book);
        let permit = match gate.admit(judge.question(Action::Session(Box::new(start)))) {
            Ok(permit) => permit,
            Err(refusal) => return Err(refused(record, &refusal, &arranged.plan.command, tell)),
        };
        tell.begins();
        let supervisor = Supervisor::new((&gate, &judge), (&record, &book, &lending), tell);
        let beside = (way_out, (signer, prepared.mediator()));
        let session_runs = || prepared.start(permit, &supervisor, signals);
        let (ended, cut_off) = match lend_and_run(beside, &supervisor, session_runs) {
            Ok(over) => over,
            Err(error) => return Err(broken(record, error)),
        };
        // What was learnt only saves time: the session is complete without it.
        let _ = arranged.programs.keep(&ended.learnt);
        let mut reached = limits::reached(&confined.confinement.limits, &ended, arranged.group);
        reached.extend(cut_off);
        let about = (session.id, confined.confinement, run.enforcement);
        finish(about, record, ended, reached)
    }
}

/// Makes the log of a session, with its policies beside it.
fn log(places: &Places, session: &Session, policies: &Policies) -> Result<SessionLog, Error> {
    let log = SessionLog::create(places, author(session), Arc::new(SystemClock))?;
    match bundle::keep(log.directory(), policies) {
        Ok(()) => Ok(log),
        Err(error) => {
            log.abandon();
            Err(Error::doing("keep the session's policies")(error))
        }
    }
}

fn signers(places: &Places) -> Result<Signers, Error> {
    let doing = Error::doing("read whose approvals count by their signatures");
    Signers::read(places).map_err(doing)
}

impl Guard {
    /// The questions of a session to humans.
    fn book(
        &self,
        session: &Session,
        beginning: &Beginning,
        (run, signers): (&Run, Signers),
    ) -> Book {
        let policy = beginning.policies.digests();
        let signing = (signers, beginning.confined.require_approval);
        let places = self.places.clone();
        Book::new(places, session.clone(), policy, run.approval, signing)
    }
}

/// A session's temporary directory, removed with this.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        temporary::remove(&self.0);
    }
}

/// Runs a session between what is lent to it and what it used of that.
fn lend_and_run(
    (way_out, signer): (Option<Gate>, (Option<Signer>, Pid)),
    supervisor: &Supervisor<'_>,
    session: impl FnOnce() -> Result<Ended, agentguard_sandbox::Error>,
) -> Result<(Ended, Option<Rule>), Error> {
    supervisor.lending.begin(supervisor.record)?;
    let over = signing::beside(signer, supervisor, || {
        gated::beside(way_out, supervisor, session)
    });
    supervisor.lending.end();
    supervisor.all_withdrawn();
    let (mut ended, cut_off) = over?;
    if let Some(ending) = supervisor
        .lending
        .ending
        .as_ref()
        .filter(|_| ended.is_ended_early)
        && let Some(rule) = ending.reason()
    {
        ended.outcome = OutcomeOf::Killed { rule };
    }
    Ok((ended, cut_off))
}

/// Starts the mediator, with what is known of its session already.
fn launch(run: &Run) -> Result<Launched, Error> {
    let launched = Launched::launch()?;
    if run.level == Level::Full {
        let is_root = rustix::process::getuid().is_root();
        let user = is_root.then(user_for_agents).transpose()?;
        launched.announce(user, run.network.unwrap_or(Network::Isolated))?;
    }
    Ok(launched)
}

fn finish(
    (session, confinement, enforcement): (SessionId, Confinement, Enforcement),
    record: SessionRecord,
    ended: Ended,
    reached: Vec<Rule>,
) -> Result<Finished, Error> {
    let Ended {
        outcome,
        not_executed,
        is_out_of_time,
        ..
    } = ended;
    if is_out_of_time {
        record.finding(Rule::new(
            "session/time",
            "the session's time was over, and it was ended",
        ))?;
    }
    for rule in &reached {
        record.finding(rule.clone())?;
    }
    let planted = record.planted()?;
    let tally = record.end(outcome.clone())?;
    Ok(Finished {
        session,
        outcome,
        not_executed,
        is_out_of_time,
        reached,
        planted,
        level: confinement.level,
        missing: confinement.missing(),
        enforcement,
        tally,
    })
}

fn author(session: &Session) -> Author {
    Author {
        session: session.id.clone(),
        agent: session.agent.name.clone(),
        human: session.human.id.clone(),
        evidence: session.human.evidence,
    }
}

fn start(
    session: &Session,
    confined: &Confined,
    command: &[Vec<u8>],
    enforcement: Enforcement,
) -> Start {
    Start {
        session: session.clone(),
        confinement: confined.confinement.clone(),
        command: words(command),
        enforcement,
        profile: confined.profile.name.clone(),
        switched_off: confined.profile.switched_off.clone(),
    }
}

/// A command as people read it.
fn words(command: &[Vec<u8>]) -> Vec<String> {
    let word = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    command.iter().map(word).collect()
}

/// The session itself was refused: nothing ran, and the log says so and ends.
fn refused(
    record: SessionRecord,
    refusal: &Refusal,
    command: &[Vec<u8>],
    tell: &dyn Tell,
) -> Error {
    if let Refusal::Unrecorded { rule } = refusal {
        // No rule of anybody's refused it: the log failed.
        return Error::Unbegun {
            rule: Box::new(rule.clone()),
        };
    }
    let rule = refusal.rule().clone();
    let told = Told::new(
        format!("`{}`", command_line(&words(command))),
        rule.clone(),
        refusal.index(),
        true,
    );
    tell.refused(&told);
    let outcome = OutcomeOf::Killed { rule: rule.clone() };
    if let Err(error) = record.end(outcome) {
        return error.into();
    }
    Error::Refused {
        rule: Box::new(rule),
    }
}

/// The session was ended early: the log says why, if it can still be written, and ends.
fn broken(record: SessionRecord, error: Error) -> Error {
    let rule = Rule::new("guard/broken", format!("the session was ended: {error}"));
    let _ = record.finding(rule.clone());
    let _ = record.end(OutcomeOf::Killed { rule });
    error
}
