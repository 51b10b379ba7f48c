//! What entries mean together: numbers, clocks, who acted, and what belongs to what.

use std::collections::BTreeMap;

use agentguard_core::{
    Commitment, CredentialAct, Digest, Enforcement, Entry, Event, Evidence, Ruling, SessionStatus,
    Span,
};

use super::lean::{Lean, LeanEvent, Middle};
use super::questions::Questions;
use super::report::{Fault, Remark, Report};
use super::signatures::Signatures;

/// Checks entries one after the other.
pub(crate) struct Meaning<'c> {
    check: &'c dyn Fn(&Entry) -> bool,
    clock: Option<Reading>,
    head: Option<Head>,
    middle: Middle,
    /// What was decided at each place, so far as it can have an outcome.
    decided: Vec<Decided>,
    credentials: BTreeMap<String, CredentialAct>,
    questions: Questions,
    signatures: Signatures,
    ended: bool,
    anchored: BTreeMap<String, (u64, SessionStatus)>,
}

/// The clocks of the entry before.
struct Reading {
    time: String,
    mono: u64,
    boot: String,
}

/// What a session's first entry says, and every other must repeat.
struct Head {
    session: String,
    agent: String,
    human: String,
    evidence: Evidence,
    required: Evidence,
    enforcement: Enforcement,
    is_anchor: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Decided {
    Nothing,
    Open,
    Closed,
    Refused,
}

impl<'c> Meaning<'c> {
    /// `check` says whether the agent's signature in a session's first entry is right.
    pub(crate) fn new(check: &'c dyn Fn(&Entry) -> bool) -> Self {
        Self {
            check,
            clock: None,
            head: None,
            middle: Middle::default(),
            decided: Vec::new(),
            credentials: BTreeMap::new(),
            questions: Questions::default(),
            signatures: Signatures::default(),
            ended: false,
            anchored: BTreeMap::new(),
        }
    }

    /// Checks the entry at `index`, and answers what it commits to.
    pub(crate) fn see(
        &mut self,
        index: u64,
        bytes: &[u8],
        report: &mut Report,
    ) -> Option<Commitment> {
        self.decided.push(Decided::Nothing);
        if let Some(quick) = self.middle.read(bytes)
            && let Ok(event) = serde_json::from_slice::<LeanEvent<'_>>(quick.event)
        {
            self.see_place(index, quick.seq, report);
            self.see_clock(index, (quick.time, quick.mono, None), report);
            self.see_event(index, &event, bytes, report);
            return event
                .text
                .and_then(|text| Digest::parse(text).ok())
                .map(Commitment);
        }
        let entry: Lean<'_> = match serde_json::from_slice(bytes) {
            Ok(entry) => entry,
            Err(error) => {
                let detail = format!("what stands there is no entry: {error}");
                report.find(Fault::Entry, index, detail);
                return None;
            }
        };
        if entry.v != 1 {
            report.find(Fault::Entry, index, "its version is not 1");
        }
        self.see_place(index, entry.seq, report);
        self.see_clock(index, (entry.time, entry.mono, Some(entry.boot)), report);
        if index == 0 {
            self.see_first(bytes, report);
        }
        let is_anchor = self.head.as_ref().is_some_and(|head| head.is_anchor);
        if is_anchor {
            self.see_anchor(index, bytes, report);
            return None;
        }
        if self.see_head(index, &entry, report) {
            self.middle.learn(bytes);
        }
        self.see_event(index, &entry.event, bytes, report);
        let text = entry.event.text?;
        Digest::parse(text).ok().map(Commitment)
    }

    /// Notes what is left open, once all entries were seen.
    pub(crate) fn end(self, report: &mut Report) {
        for (index, decided) in (0u64..).zip(&self.decided) {
            if *decided == Decided::Open {
                report.remark(Remark::Interrupted, index);
            }
        }
        let is_session = self.head.is_some_and(|head| !head.is_anchor);
        if is_session && !self.ended {
            report.remark_many(Remark::Unended, 0, 0);
        }
    }

    fn see_place(&mut self, index: u64, seq: u64, report: &mut Report) {
        if seq != index {
            let detail = format!("it says that it is entry {seq}");
            report.find(Fault::Sequence, index, detail);
        }
        if std::mem::take(&mut self.ended) {
            report.find(Fault::AfterEnd, index, "it follows after the session's end");
        }
    }

    /// Compares both clocks with the entry before, whose boot it has where none is named.
    fn see_clock(
        &mut self,
        index: u64,
        (time, mono, boot): (&str, u64, Option<&str>),
        report: &mut Report,
    ) {
        if !is_time(time) {
            report.find(Fault::Entry, index, "its time is none");
            return;
        }
        let Some(last) = &mut self.clock else {
            self.clock = Some(Reading {
                time: time.to_owned(),
                mono,
                boot: boot.unwrap_or_default().to_owned(),
            });
            return;
        };
        if time < last.time.as_str() {
            let is_same_boot = boot.is_none_or(|boot| boot == last.boot);
            if is_same_boot && mono < last.mono {
                report.remark(Remark::Clock, index);
            } else {
                let detail = format!("the clock goes back from {} to {time}", last.time);
                report.find(Fault::Clock, index, detail);
            }
        }
        last.mono = mono;
        replace(&mut last.time, time);
        if let Some(boot) = boot {
            replace(&mut last.boot, boot);
        }
    }

    fn see_first(&mut self, bytes: &[u8], report: &mut Report) {
        let entry: Entry = match serde_json::from_slice(bytes) {
            Ok(entry) => entry,
            Err(error) => {
                report.find(Fault::Entry, 0, format!("it is no entry: {error}"));
                return;
            }
        };
        let is_of_session = report
            .origin
            .strip_suffix(entry.session.as_str())
            .is_some_and(|rest| rest.ends_with('/'));
        let mut head = Head {
            session: entry.session.to_string(),
            agent: entry.agent.to_string(),
            human: entry.human.clone(),
            evidence: entry.evidence,
            required: Evidence::None,
            enforcement: Enforcement::Policy,
            is_anchor: false,
        };
        if let (Event::Anchor { .. }, false) = (&entry.event, is_of_session) {
            head.is_anchor = true;
        } else if let (
            Event::Start {
                agent,
                human,
                require_evidence,
                require_approval,
                policy,
                enforcement,
                ruling,
                ..
            },
            true,
        ) = (&entry.event, is_of_session)
        {
            head.required = *require_evidence;
            head.enforcement = *enforcement;
            self.signatures = Signatures::of(agent);
            self.questions.begin(policy, *require_approval);
            let is_same = human.id == entry.human
                && human.evidence == entry.evidence
                && agent.name == entry.agent;
            if !is_same {
                report.find(Fault::Entry, 0, "its author is not who the session names");
            }
            see_beginning(ruling, entry.evidence < *require_evidence, report);
            if !(self.check)(&entry) {
                let detail = "the agent did not sign the session's start";
                report.find(Fault::Signature, 0, detail);
            }
        } else {
            report.find(
                Fault::Entry,
                0,
                "no log of this name begins with such an entry",
            );
        }
        self.head = Some(head);
    }

    /// Answers whether the entry is of the session that the first one began.
    fn see_head(&self, index: u64, entry: &Lean<'_>, report: &mut Report) -> bool {
        let Some(head) = &self.head else { return false };
        let is_same = entry.session == head.session
            && entry.agent == head.agent
            && entry.human == head.human
            && entry.evidence == head.evidence;
        if !is_same {
            report.find(
                Fault::Entry,
                index,
                "it is of another session, agent or human",
            );
        }
        is_same
    }

    fn see_event(&mut self, index: u64, event: &LeanEvent<'_>, bytes: &[u8], report: &mut Report) {
        match event.kind {
            "decision" => {
                self.see_decision(index, event, report);
                self.see_approval(index, event, bytes, report);
            }
            "question" => self.questions.see(index, bytes),
            "signature" => self.see_signature(index, bytes, report),
            "refs" => {
                if let Err(detail) = self.signatures.check(bytes) {
                    report.find(Fault::Entry, index, detail);
                }
            }
            "outcome" | "repeat" => self.see_outcome(index, event, report),
            "credential" => self.see_credential(index, event, report),
            "session.start" if index == 0 => {}
            "session.end" => self.ended = true,
            "difference" | "finding" => {}
            kind => {
                let detail = format!(
                    "an entry of kind `{}` may not stand here",
                    kind.escape_debug()
                );
                report.find(Fault::Entry, index, detail);
            }
        }
        // These are few, and read by others: they must be whole.
        let is_many = matches!(event.kind, "decision" | "outcome");
        if !is_many && index > 0 && serde_json::from_slice::<Entry>(bytes).is_err() {
            report.find(Fault::Entry, index, "a part of it is missing or wrong");
        }
    }

    fn see_decision(&mut self, index: u64, event: &LeanEvent<'_>, report: &mut Report) {
        let (evidence, required, enforcement) = self.head.as_ref().map_or(
            (Evidence::None, Evidence::None, Enforcement::Policy),
            |head| (head.evidence, head.required, head.enforcement),
        );
        let decided = match event.ruling.as_ref().map(|ruling| ruling.ruling) {
            Some("allow") => Decided::Open,
            Some("deny") => Decided::Refused,
            Some("unenforced") => {
                if enforcement == Enforcement::Policy {
                    let detail = "it lets be what a rule refuses, and the session is no shadow";
                    report.find(Fault::Entry, index, detail);
                }
                Decided::Open
            }
            Some(_) | None => {
                report.find(Fault::Entry, index, "it decides nothing");
                return;
            }
        };
        if decided == Decided::Open && evidence < required {
            report.find(
                Fault::Evidence,
                index,
                "it was allowed without the evidence required",
            );
        }
        if let Some(last) = self.decided.last_mut() {
            *last = decided;
        }
    }

    fn see_signature(&mut self, index: u64, bytes: &[u8], report: &mut Report) {
        match self.signatures.see(index, bytes) {
            Ok(false) => {}
            // It can be repeated, as what was decided to be refused.
            Ok(true) => {
                if let Some(last) = self.decided.last_mut() {
                    *last = Decided::Refused;
                }
            }
            Err(detail) => report.find(Fault::Entry, index, detail),
        }
    }

    fn see_approval(
        &mut self,
        index: u64,
        event: &LeanEvent<'_>,
        bytes: &[u8],
        report: &mut Report,
    ) {
        let is_asked = |ruling: &super::lean::LeanRuling<'_>| ruling.approval.is_some();
        if event.ruling.as_ref().is_some_and(is_asked)
            && let Err(detail) = self.questions.check(bytes)
        {
            report.find(Fault::Approval, index, detail);
        }
    }

    fn see_outcome(&mut self, index: u64, event: &LeanEvent<'_>, report: &mut Report) {
        let of = event.of.filter(|of| *of < index);
        let place = of.and_then(|of| usize::try_from(of).ok());
        let decided = place.and_then(|place| self.decided.get_mut(place));
        let result = event.outcome.as_ref().map(|outcome| outcome.result);
        let fits = match (decided, event.kind) {
            (Some(Decided::Refused), "repeat") => true,
            (Some(Decided::Refused), _) => matches!(result, Some("untold" | "killed" | "failed")),
            (Some(open @ (Decided::Open | Decided::Closed)), "outcome") => {
                *open = Decided::Closed;
                is_result(result)
            }
            (Some(Decided::Nothing | Decided::Open | Decided::Closed) | None, _) => false,
        };
        if !fits {
            report.find(
                Fault::Outcome,
                index,
                "it does not fit the decision that it names",
            );
        }
    }

    fn see_credential(&mut self, index: u64, event: &LeanEvent<'_>, report: &mut Report) {
        let (Some(act), Some(handle)) = (event.act, &event.handle) else {
            report.find(Fault::Entry, index, "it names no credential");
            return;
        };
        let before = self.credentials.get(handle.as_ref()).copied();
        let fault = match (act, before) {
            (CredentialAct::Mint, None) => None,
            (CredentialAct::Mint, Some(_)) => Some("a credential was minted a second time"),
            (CredentialAct::Use | CredentialAct::Revoke, None) => {
                Some("a credential was used or revoked that was not minted")
            }
            (CredentialAct::Use | CredentialAct::Revoke, Some(CredentialAct::Revoke)) => {
                Some("a credential was used or revoked after it was revoked")
            }
            (
                CredentialAct::Use | CredentialAct::Revoke,
                Some(CredentialAct::Mint | CredentialAct::Use),
            ) => None,
        };
        if let Some(detail) = fault {
            report.find(Fault::Credential, index, detail);
        }
        if act == CredentialAct::Revoke || before.is_none() {
            self.credentials.insert(handle.to_string(), act);
        }
    }

    fn see_anchor(&mut self, index: u64, bytes: &[u8], report: &mut Report) {
        let event = serde_json::from_slice::<Entry>(bytes).map(|entry| entry.event);
        let (log, fits) = match event {
            Ok(Event::Anchor {
                log, size, state, ..
            }) => {
                let fits = self.see_state(&log, size, state);
                (log, fits)
            }
            Ok(Event::Erasure { log, entries, .. }) => {
                let fits = self.may_be_erased(&log, &entries);
                (log, fits)
            }
            Ok(_) | Err(_) => {
                report.find(Fault::Entry, index, "it is no anchor");
                return;
            }
        };
        if !log.starts_with(&format!("{}/", report.origin)) {
            report.find(
                Fault::Entry,
                index,
                "it anchors a log of another installation",
            );
        }
        if !fits {
            let detail = format!(
                "it does not follow from the state of `{}`",
                log.escape_debug()
            );
            report.find(Fault::Entry, index, detail);
        }
    }

    /// Takes over the state of a log, and answers whether it may follow its state before.
    fn see_state(&mut self, log: &str, size: u64, state: SessionStatus) -> bool {
        let before = self.anchored.insert(log.to_owned(), (size, state));
        match (before, state) {
            (None, SessionStatus::Begun | SessionStatus::Lost) => true,
            (Some((before, SessionStatus::Begun)), SessionStatus::Ended | SessionStatus::Lost) => {
                before <= size
            }
            (None, SessionStatus::Ended) | (Some(_), _) => false,
        }
    }

    /// Whether texts of these entries can have been erased: of a log that is over, in order.
    fn may_be_erased(&self, log: &str, entries: &[Span]) -> bool {
        let size = match self.anchored.get(log) {
            Some((size, SessionStatus::Ended | SessionStatus::Lost)) => *size,
            Some((_, SessionStatus::Begun)) | None => return false,
        };
        let ends = entries.iter().map(|span| span.last.saturating_add(1));
        let begins = std::iter::once(0).chain(ends);
        let mut after = begins.zip(entries);
        !entries.is_empty()
            && after
                .all(|(end, span)| end <= span.first && span.first <= span.last && span.last < size)
    }
}

/// Checks how a session was ruled to begin, where there may be less evidence than policy requires.
fn see_beginning(ruling: &Ruling, lacks_evidence: bool, report: &mut Report) {
    match ruling {
        Ruling::Allow { .. } if lacks_evidence => {
            let detail = "the session was allowed without the evidence required";
            report.find(Fault::Evidence, 0, detail);
        }
        Ruling::Unenforced { .. } => {
            report.find(Fault::Entry, 0, "a rule refused the session, and it began");
        }
        Ruling::Allow { .. } | Ruling::Deny { .. } => {}
    }
}

/// Whether this is the word for what came of a decision that was allowed.
fn is_result(word: Option<&str>) -> bool {
    matches!(
        word,
        Some(
            "started"
                | "done"
                | "answered"
                | "passed"
                | "pushed"
                | "unanswered"
                | "failed"
                | "killed"
                | "exited"
                | "signaled"
        )
    )
}

fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00.000000Z";
    text.len() == shape.len()
        && text.bytes().zip(shape).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            like => byte == *like,
        })
}

fn replace(kept: &mut String, with: &str) {
    if kept != with {
        kept.clear();
        kept.push_str(with);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_erased_of_logs_that_are_over_only_and_in_order() {
        let check = |_: &Entry| true;
        let mut meaning = Meaning::new(&check);
        let may = |meaning: &Meaning<'_>, log: &str, spans: &[(u64, u64)]| {
            let spans: Vec<Span> = spans.iter().copied().map(Into::into).collect();
            meaning.may_be_erased(log, &spans)
        };
        assert!(!may(&meaning, "a/b", &[(0, 0)]), "it is not known");
        assert!(meaning.see_state("a/b", 1, SessionStatus::Begun));
        assert!(!may(&meaning, "a/b", &[(0, 0)]), "it is not over");
        assert!(meaning.see_state("a/b", 9, SessionStatus::Ended));
        for (spans, expected) in [
            (&[(0, 0)][..], true),
            (&[(0, 3), (4, 4), (7, 8)], true),
            (&[], false),
            (&[(0, 9)], false),
            (&[(3, 2)], false),
            (&[(4, 5), (5, 6)], false),
            (&[(4, 5), (1, 2)], false),
            (&[(0, u64::MAX)], false),
        ] {
            assert_eq!(may(&meaning, "a/b", spans), expected, "{spans:?}");
        }
    }
}
