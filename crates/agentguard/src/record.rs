//! The record of one session: what the gate writes down before anything happens, and what comes of it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use agentguard_audit::SessionLog;
use agentguard_core::ssh::fingerprint_of;
use agentguard_core::{
    Action, Bodies, Brought, Change, Class, CommitSeen, Commitment, CredentialAct, CredentialName,
    Digest, Event, Forcing, Index, MessageDigest, OutcomeOf, Program, Promise, Record, RefMove,
    Rule, RuleId, Ruling, Salt, Start, Tally, Timestamp, Unrecorded,
};
use agentguard_credentials::{AgentKey, Signing, session_statement};
use agentguard_policy::{Confined, Policies, Question};
use agentguard_sandbox::{CommitFound, Difference};

use crate::arrange::random;
use crate::planted::Planted;
use crate::private::Private;

/// Refusals told apart; past it each is an entry of its own again.
const MOST_REFUSALS: usize = 10_000;
/// Of refs and of commits, in one entry: an entry is at most 65,535 bytes long.
const MOST_MOVES: usize = 100;
const MOST_COMMITS: usize = 400;

/// Signatures that are remembered until their commits are seen.
const MOST_SIGNATURES: usize = 10_000;

/// What a session's first entry says besides the session.
pub(crate) struct Beginning {
    pub(crate) key: AgentKey,
    pub(crate) policies: Policies,
    pub(crate) confined: Confined,
    pub(crate) refs: Vec<String>,
    /// How its connections come to the gate.
    pub(crate) forcing: Option<Forcing>,
    /// Why its commits are not signed, or do not name it, where policy would have it so, or git does not work.
    pub(crate) off: Vec<Rule>,
}

/// Writes a session's entries.
pub(crate) struct SessionRecord {
    log: SessionLog,
    beginning: Beginning,
    refusals: Mutex<HashMap<Digest, Refusals>>,
    tally: Mutex<Tally>,
    planted: Mutex<Planted>,
    private: Private,
    /// Which entry was written before what was signed.
    signatures: Mutex<HashMap<MessageDigest, Index>>,
    /// Findings that are written once.
    found: Mutex<HashSet<RuleId>>,
    /// The questions to humans, and under which salt each commits to its text.
    asked: Mutex<HashMap<u64, (Digest, Salt)>>,
}

/// The same refusal, so many times.
struct Refusals {
    first: Index,
    /// Since the last count that was written down.
    unwritten: u64,
    /// All of them.
    total: u64,
}

impl SessionRecord {
    pub(crate) fn new(log: SessionLog, beginning: Beginning) -> Self {
        let confinement = &beginning.confined.confinement;
        let pins_are_held = confinement.level.holds(Promise::Pins);
        let planted = Planted::new(&confinement.pins, &confinement.fetched, pins_are_held);
        let private = Private::of(&beginning.confined.private);
        Self {
            log,
            beginning,
            refusals: Mutex::default(),
            tally: Mutex::default(),
            planted: Mutex::new(planted),
            private,
            signatures: Mutex::default(),
            found: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// What came of a decision.
    pub(crate) fn outcome(&self, of: Index, outcome: OutcomeOf) -> Result<(), Unrecorded> {
        self.outcome_with(of, outcome, &Bodies::UNKNOWN)
    }

    /// The same, with what passed of bodies. Where policy names something as private that may stand in what was sent,
    /// that has no digest: it could be found by it.
    pub(crate) fn outcome_with(
        &self,
        of: Index,
        outcome: OutcomeOf,
        bodies: &Bodies,
    ) -> Result<(), Unrecorded> {
        let class = match outcome {
            OutcomeOf::Killed { .. } => {
                self.count(|tally| tally.killed += 1);
                Class::Critical
            }
            OutcomeOf::Started { .. }
            | OutcomeOf::Failed { .. }
            | OutcomeOf::Done
            | OutcomeOf::Answered { .. }
            | OutcomeOf::Passed { .. }
            | OutcomeOf::Unanswered { .. }
            | OutcomeOf::Pushed { .. }
            | OutcomeOf::Untold
            | OutcomeOf::Exited { .. }
            | OutcomeOf::Signaled { .. } => Class::Covered,
        };
        let bodies = Bodies {
            sent: bodies.sent.clone().filter(|_| !self.private.is_in_bodies()),
            received: bodies.received.clone(),
        };
        let text = Some(&bodies).filter(|bodies| **bodies != Bodies::UNKNOWN);
        let text = text.map(json).transpose()?;
        let of = of.0;
        let event = |text| Event::Outcome { of, outcome, text };
        self.append(class, text.as_deref(), event).map(|_| ())
    }

    /// Files of the workspace changed.
    pub(crate) fn changed(&self, difference: &Difference) -> Result<(), Unrecorded> {
        let text = json(&difference.changes)?;
        let files = count_of(&difference.changes);
        let complete = difference.complete;
        let covered_by = RuleId::parse("session/workspace")
            .map_err(|error| Unrecorded::new(error.to_string()))?;
        let event = |text| Event::Difference {
            covered_by,
            files,
            complete,
            text,
        };
        self.planted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(difference);
        self.append_with_text(Class::Covered, &text, event)
            .map(|_| ())
    }

    /// What the session leaves that makes others run code, as a finding, if there is any.
    pub(crate) fn planted(&self) -> Result<Option<Rule>, Unrecorded> {
        let planted = self.planted.lock().unwrap_or_else(PoisonError::into_inner);
        let found = planted.finding();
        if let Some(rule) = &found {
            self.finding(rule.clone())?;
        }
        Ok(found)
    }

    /// Refs moved.
    pub(crate) fn moved(
        &self,
        moved: &[RefMove],
        commits: Vec<CommitFound>,
        complete: bool,
    ) -> Result<(), Unrecorded> {
        let commits: Vec<_> = commits.into_iter().map(|found| self.seen(found)).collect();
        let mut moves = moved.chunks(MOST_MOVES);
        let mut commits = commits.chunks(MOST_COMMITS);
        loop {
            let (some_moved, some_commits) = (moves.next(), commits.next());
            if some_moved.is_none() && some_commits.is_none() {
                break;
            }
            let moved = some_moved.unwrap_or_default().to_vec();
            let commits = some_commits.unwrap_or_default().to_vec();
            self.append(Class::Normal, None, |_| Event::Refs { moved, commits })?;
        }
        if complete {
            return Ok(());
        }
        let rule = Rule::new(
            "guard/commits-unread",
            "not every commit that appeared could be read",
        );
        self.append(Class::Normal, None, |_| Event::Finding { rule, of: None })
            .map(|_| ())
    }

    /// A commit that appeared, with the entry by which it was signed.
    fn seen(&self, found: CommitFound) -> CommitSeen {
        let mut signatures = self
            .signatures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Each commit appears once: its signature makes room for others.
        let signed = found.signed.and_then(|message| signatures.remove(&message));
        CommitSeen {
            id: found.id,
            origin: found.origin,
            signature: signed.map(|index| index.0),
        }
    }

    /// The key of the session's agent.
    pub(crate) fn key(&self) -> &AgentKey {
        &self.beginning.key
    }

    /// Notes that this was found. Says whether that is new.
    pub(crate) fn note_found(&self, rule: &Rule) -> bool {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.insert(rule.id.clone())
    }

    /// A credential was lent, used or ended.
    pub(crate) fn credential(
        &self,
        class: Class,
        act: CredentialAct,
        name: &CredentialName,
        token_sha256: Digest,
    ) -> Result<(), Unrecorded> {
        let handle = name.to_string();
        let event = |_| Event::Credential {
            act,
            handle,
            token_sha256,
        };
        self.append(class, None, event).map(|_| ())
    }

    /// A human is to be asked, and can answer until then.
    pub(crate) fn asked(
        &self,
        question: &Question,
        id: &str,
        rule: &Rule,
        until: Timestamp,
    ) -> Result<(Index, Commitment), Unrecorded> {
        let salt = Salt(random().map_err(|error| Unrecorded::new(error.to_string()))?);
        let text = self.text(question)?;
        let event = |text| Event::Question {
            id: id.to_owned(),
            action: question.action().kind().to_owned(),
            rule: rule.clone(),
            until,
            text,
        };
        let appended = self
            .log
            .append_shared(Class::Critical, (&text, salt), event);
        let (index, commitment) = appended.map_err(unrecorded)?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(index.0, (Digest::of(text.as_bytes()), salt));
        Ok((index, commitment))
    }

    /// Under which salt a question commits to this text, which it has to be about.
    fn salt_of(&self, question: u64, text: &str) -> Result<Salt, Unrecorded> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.get(&question) {
            Some((digest, salt)) if *digest == Digest::of(text.as_bytes()) => Ok(*salt),
            Some(_) | None => Err(Unrecorded::new("the question was about something else")),
        }
    }

    /// Does `stop`, by which this process is stopped, while it holds nothing that other guards wait for.
    pub(crate) fn holding_nothing<T>(&self, stop: impl FnOnce() -> T) -> T {
        self.log.holding_nothing(stop)
    }

    /// Something that should not have happened.
    pub(crate) fn finding(&self, rule: Rule) -> Result<(), Unrecorded> {
        self.append(Class::Critical, None, |_| Event::Finding { rule, of: None })
            .map(|_| ())
    }

    /// The session is over, and everything in it is dead.
    pub(crate) fn end(self, status: OutcomeOf) -> Result<Tally, Unrecorded> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        for refusal in refusals.values().filter(|refusal| refusal.unwritten > 0) {
            self.append(Class::Covered, None, |_| Event::Repeat {
                of: refusal.first.0,
                count: refusal.unwritten,
            })?;
        }
        drop(refusals);
        let tally = *self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        self.append(Class::Critical, None, |_| Event::End { status, tally })?;
        self.log.end().map_err(unrecorded)?;
        Ok(tally)
    }

    fn begin(&self, start: &Start, ruling: &Ruling) -> Result<Index, Unrecorded> {
        let index = self.start(start, ruling)?;
        // What is not as policy would have it is found where it began.
        for rule in &self.beginning.off {
            self.finding(rule.clone())?;
        }
        Ok(index)
    }

    fn start(&self, start: &Start, ruling: &Ruling) -> Result<Index, Unrecorded> {
        let Beginning {
            key,
            policies,
            confined,
            refs,
            forcing,
            ..
        } = &self.beginning;
        let text = json(&serde_json::json!({
            "session": start.session,
            "workspace": start.session.workspace,
            "command": start.command,
            "confinement": start.confinement,
            "covered": confined.covered,
            "enforcement": start.enforcement,
        }))?;
        let session = &start.session;
        let refs = if refs_fit(refs) {
            refs.clone()
        } else {
            Vec::new()
        };
        let event = |text: Commitment| Event::Start {
            agent: session.agent.clone(),
            human: session.human.clone(),
            trigger: session.trigger.clone(),
            policy: policies.digests(),
            level: start.confinement.level,
            network: start.confinement.network,
            forcing: *forcing,
            missing: start.confinement.missing(),
            held: Some(start.confinement.limits.held),
            enforcement: start.enforcement,
            require_evidence: confined.require_evidence,
            require_approval: confined.require_approval,
            covered: confined
                .covered
                .iter()
                .map(|rule| rule.id.clone())
                .collect(),
            profile: start.profile.clone(),
            switched_off: start.switched_off.clone(),
            credentials: start.confinement.credentials.clone(),
            ruling: ruling.clone(),
            refs,
            text,
            signature: key.sign(&session_statement(&session.id, &session.human.id, &text)),
        };
        self.append_with_text(Class::Critical, &text, event)
    }

    /// A decision, about a program where it is about one.
    fn decision(
        &self,
        program: Option<&Program>,
        question: &Question,
        ruling: &Ruling,
    ) -> Result<Index, Unrecorded> {
        match ruling {
            Ruling::Allow { .. } => {
                self.count(|tally| tally.allowed += 1);
                let class = class_of(question.action());
                self.write_decision(class, program, question, ruling)
            }
            // Each is an entry of its own: it happens, and something comes of it.
            Ruling::Unenforced { .. } => {
                self.count(|tally| tally.unenforced += 1);
                let class = class_of(question.action());
                self.write_decision(class, program, question, ruling)
            }
            Ruling::Deny { .. } => {
                self.count(|tally| tally.refused += 1);
                self.refusal(program, question, ruling)
            }
        }
    }

    /// The first of a kind is an entry; repeats are counted, and the count written down each time it
    /// doubles, and at the end.
    fn refusal(
        &self,
        program: Option<&Program>,
        question: &Question,
        ruling: &Ruling,
    ) -> Result<Index, Unrecorded> {
        // The same may be refused for another reason: what a gate refuses by itself does not follow from the input.
        let rule = ruling.rule();
        // So it may after another question.
        let asked = ruling.approval().map(|approval| approval.question);
        let key = format!(
            "{}\n{}\n{}\n{asked:?}",
            question.own_input(),
            rule.id,
            rule.reason
        );
        self.counted(Digest::of(key.as_bytes()), || {
            self.write_decision(Class::Critical, program, question, ruling)
        })
    }

    fn counted(
        &self,
        key: Digest,
        write: impl FnOnce() -> Result<Index, Unrecorded>,
    ) -> Result<Index, Unrecorded> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = refusals.get_mut(&key) {
            known.total += 1;
            known.unwritten += 1;
            if known.total.is_power_of_two() {
                let (of, count) = (known.first.0, known.unwritten);
                known.unwritten = 0;
                self.append(Class::Normal, None, |_| Event::Repeat { of, count })?;
            }
            return Ok(known.first);
        }
        let first = write()?;
        if refusals.len() < MOST_REFUSALS {
            refusals.insert(
                key,
                Refusals {
                    first,
                    unwritten: 0,
                    total: 1,
                },
            );
        }
        Ok(first)
    }

    fn write_decision(
        &self,
        class: Class,
        program: Option<&Program>,
        question: &Question,
        ruling: &Ruling,
    ) -> Result<Index, Unrecorded> {
        let event = |text| Event::Decision {
            action: question.action().kind().to_owned(),
            text,
            program: program.map(|program| program.sha256),
            class: program.map(|program| program.class),
            brings: brought(question.action()),
            ruling: ruling.clone(),
        };
        let text = self.text(question)?;
        let Some(approval) = ruling.approval() else {
            return self.append_with_text(class, &text, event);
        };
        // As its question commits to it: whoever reads both sees that they are about the same.
        let salt = self.salt_of(approval.question, &text)?;
        let appended = self.log.append_shared(class, (&text, salt), event);
        appended.map(|(index, _)| index).map_err(unrecorded)
    }

    /// What is written down of a question: what policy saw, without what policy says is private.
    fn text(&self, question: &Question) -> Result<String, Unrecorded> {
        let input = question.own_input();
        if !matches!(question.action(), Action::Api(_)) {
            return Ok(input);
        }
        let left = self.private.taken_out(&input);
        left.map(Cow::into_owned)
            .map_err(|error| Unrecorded::new(error.to_string()))
    }

    fn append_with_text(
        &self,
        class: Class,
        text: &str,
        event: impl FnOnce(Commitment) -> Event,
    ) -> Result<Index, Unrecorded> {
        let appended = self.log.append_with_text(class, text, event);
        appended.map_err(unrecorded)
    }

    fn append(
        &self,
        class: Class,
        text: Option<&str>,
        event: impl FnOnce(Option<Commitment>) -> Event,
    ) -> Result<Index, Unrecorded> {
        self.log.append(class, text, event).map_err(unrecorded)
    }

    fn count(&self, add: impl FnOnce(&mut Tally)) {
        add(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Record<Question> for SessionRecord {
    fn record(&self, question: &Question, ruling: &Ruling) -> Result<Index, Unrecorded> {
        match question.action() {
            Action::Session(start) => self.begin(start, ruling),
            Action::Exec(exec) => self.decision(Some(&exec.program), question, ruling),
            Action::File(_)
            | Action::Connect(_)
            | Action::Reach(_)
            | Action::Api(_)
            | Action::Push(_) => self.decision(None, question, ruling),
        }
    }
}

impl Record<Signing> for SessionRecord {
    /// It is on the disk before anything is signed.
    fn record(&self, signing: &Signing, ruling: &Ruling) -> Result<Index, Unrecorded> {
        let write = || {
            let event = |_| Event::Signature {
                key: fingerprint_of(&self.key().agent().key).unwrap_or_default(),
                message: signing.message().ok(),
                ruling: ruling.clone(),
            };
            self.append(Class::Critical, None, event)
        };
        if !ruling.is_allow() {
            self.count(|tally| tally.refused += 1);
            let rule = ruling.rule();
            let key = format!("signature\n{}\n{}", rule.id, rule.reason);
            return self.counted(Digest::of(key.as_bytes()), write);
        }
        self.count(|tally| tally.allowed += 1);
        let index = write()?;
        if let Ok(message) = signing.message() {
            let mut signatures = self
                .signatures
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if signatures.len() < MOST_SIGNATURES {
                signatures.insert(message, index);
            }
        }
        Ok(index)
    }
}

/// How soon an action is durable that was allowed: what changes something elsewhere is on the disk before.
fn class_of(action: &Action) -> Class {
    match action {
        Action::Push(_) => Class::Critical,
        Action::Api(api) if !api.is_reading() => Class::Critical,
        Action::Session(_)
        | Action::Exec(_)
        | Action::File(_)
        | Action::Connect(_)
        | Action::Reach(_)
        | Action::Api(_) => Class::Normal,
    }
}

/// The commits that an action brings to a server.
fn brought(action: &Action) -> Option<Brought> {
    match action {
        Action::Push(push) => Some(Brought::by(push)),
        Action::Session(_)
        | Action::Exec(_)
        | Action::File(_)
        | Action::Connect(_)
        | Action::Reach(_)
        | Action::Api(_) => None,
    }
}

/// Many refs would not fit into an entry; commits that were there before are then told from those that
/// came only by the repository itself.
fn refs_fit(refs: &[String]) -> bool {
    const MOST: usize = 40_000;
    refs.iter().map(|line| line.len() + 4).sum::<usize>() <= MOST
}

fn count_of(changes: &[Change]) -> u64 {
    u64::try_from(changes.len()).unwrap_or(u64::MAX)
}

fn json(value: &impl serde::Serialize) -> Result<String, Unrecorded> {
    serde_json::to_string(value).map_err(|error| Unrecorded::new(error.to_string()))
}

fn unrecorded(error: agentguard_audit::Error) -> Unrecorded {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    Unrecorded::new(reason)
}

#[cfg(test)]
mod tests {
    use agentguard_core::{AddressClass, Api, Scheme};

    use super::*;

    #[test]
    fn what_changes_something_elsewhere_is_on_the_disk_before_it_is_sent() {
        for (method, class) in [
            ("GET", Class::Normal),
            ("HEAD", Class::Normal),
            ("OPTIONS", Class::Normal),
            ("POST", Class::Critical),
            ("DELETE", Class::Critical),
            ("get", Class::Critical),
        ] {
            let api = Api {
                scheme: Scheme::Https,
                host: "api.example.com".to_owned(),
                port: 443,
                method: method.to_owned(),
                path: Vec::new(),
                query: std::collections::BTreeMap::new(),
                headers: std::collections::BTreeMap::new(),
                upgrade: None,
                body: None,
                form: None,
                body_seen: true,
                graphql: None,
                pushes: false,
                ssh: false,
                address: "192.0.2.1".to_owned(),
                class: AddressClass::Public,
                caller: "unknown".to_owned(),
                caller_sha256: None,
                credentials: Vec::new(),
            };
            assert_eq!(class_of(&Action::Api(Box::new(api))), class, "{method}");
        }
    }
}
