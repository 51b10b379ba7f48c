//! The side of the guard: what it asked, who waits for it, and what came of it.
//!
//! Files are only how a human hears and answers. What was asked stands here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentguard_audit::Places;
use agentguard_core::{
    Action, Answered, Approval, Approver, Clock as _, Commitment, Digest, Evidence, Index, Rule,
    Ruling, Salt, Session, Signed, TierDigest, Timestamp, Unrecorded, Waiting,
};
use agentguard_policy::Question as Judged;

use super::place::{LONGEST_INPUT, Own, Place, answer_name, question_name};
use super::question::{Answer, Asked, Question, Said, id_of};
use super::signers::Signers;
use crate::SystemClock;
use crate::arrange::random;
use crate::human::login_of;

/// More questions of one session do not wait at once.
const MOST: usize = 64;
/// How long a question can be answered though nobody waits, and the very same be asked for again.
const VALID: Duration = Duration::from_secs(10 * 60);
/// How long after the time for an answer its entry says that it counts: it is heard, and written down, within that.
const MARGIN: Duration = Duration::from_secs(2);
/// What of that is left for writing.
const TO_WRITE: Duration = Duration::from_secs(1);
/// How long a program that nobody answered about is not asked about again. Shells look for a program that they were
/// refused in the next directory of `PATH`, which often is the same one by another name.
const SILENCE: Duration = Duration::from_secs(10);
/// When a question is over whose yes was used, or whose answer is none: it always was.
const OVER: u64 = 0;

/// The questions of one session.
pub(crate) struct Book {
    places: Places,
    session: Session,
    policy: Vec<TierDigest>,
    patience: Duration,
    /// Whose signatures count, and what policy requires of who says yes.
    signing: (Signers, Evidence),
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    own: Option<Desk>,
    open: Vec<Open>,
    tickets: u64,
}

/// Where answers come in, and what they have to be.
struct Desk {
    own: Own,
    signers: Signers,
    required: Evidence,
}

impl Desk {
    fn place(&self) -> &Place {
        self.own.place()
    }

    /// Who said so, and the signature. `None` where it is none that counts.
    fn who(
        &self,
        question: &Question,
        answer: &Answer,
        uid: u32,
    ) -> Option<(Approver, Option<Signed>)> {
        let Some(sshsig) = &answer.sshsig else {
            let by = approver(uid);
            let is_enough = answer.said == Said::No || by.evidence >= self.required;
            return is_enough.then_some((by, None));
        };
        let statement = question.statement(answer.said, answer.reason.as_deref());
        let by = self.signers.who_signed(sshsig, &statement).ok()?;
        let signed = Signed {
            question: question.digest,
            sshsig: sshsig.clone(),
        };
        Some((by, Some(signed)))
    }
}

/// A question that can be answered, or whose answer still counts.
struct Open {
    question: Question,
    /// The same for the same action in the same form, where its form is known whole.
    same: Option<Digest>,
    /// Whether whoever waits looks after it, and is not told.
    is_looked_after: bool,
    /// The same for an action that was refused and is so again, however it comes.
    refused: Option<Digest>,
    /// Who waits for it, first come first.
    waiting: Vec<Waits>,
    answer: Option<Approval>,
    /// Nanoseconds since the boot, or [`OVER`].
    until: u64,
}

struct Waits {
    ticket: u64,
    action: Waiting<Judged>,
    until: u64,
}

/// What becomes of an action that a human is to be asked about.
pub(crate) enum Asking {
    /// It waits.
    Held {
        /// By which its end is known.
        ticket: u64,
        /// The question's id.
        id: String,
        /// The question, where it is new.
        new: Option<Box<Question>>,
    },
    /// It was decided.
    Ruled(Box<Settled>),
}

/// An action that waits no more, and what was decided of it.
pub(crate) struct Settled {
    pub(crate) ticket: u64,
    pub(crate) action: Waiting<Judged>,
    pub(crate) ruling: Ruling,
    /// The question's id, where the very same can still be approved.
    pub(crate) open: Option<String>,
}

impl Book {
    /// The questions of `session`. Whoever asks waits for `patience`; where it is none, nobody is asked.
    pub(crate) fn new(
        places: Places,
        session: Session,
        policy: Vec<TierDigest>,
        patience: Duration,
        signing: (Signers, Evidence),
    ) -> Self {
        Self {
            places,
            session,
            policy,
            patience,
            signing,
            pages: Mutex::default(),
        }
    }

    /// Whether anybody is asked at all.
    pub(crate) fn can_ask(&self) -> bool {
        !self.patience.is_zero()
    }

    /// Asks about an action. `record` writes the question down before anybody sees it.
    pub(crate) fn ask(
        &self,
        action: Waiting<Judged>,
        words: &str,
        whole: Option<Digest>,
        record: impl FnOnce(&str, &Rule, Timestamp) -> Result<(Index, Commitment), Unrecorded>,
    ) -> Asking {
        let mut pages = self.pages();
        let is_looked_after = matches!(action.action().action(), Action::Exec(_));
        let input = same(&action, Digest::of(b""));
        let same = whole.map(|whole| same(&action, whole));
        let is_known = |open: &Open| {
            let is_same = same.is_some() && open.same == same;
            !open.is_over() && (is_same || is_looked_after && open.refused == Some(input))
        };
        let known = pages.open.iter().position(is_known);
        if let Some(place) = known {
            return self.join(&mut pages, place, action);
        }
        if !pages.make_room() {
            let why = format!("{MOST} questions wait for a human already");
            return Asking::Ruled(Box::new(refused(action, &why)));
        }
        let asked = self.open(&mut pages, &action, (words, whole), record);
        let question = match asked {
            Ok(question) => question,
            Err(why) => return Asking::Ruled(Box::new(refused(action, &why))),
        };
        pages.tickets += 1;
        let ticket = pages.tickets;
        let now = SystemClock.now().boot_nanos;
        pages.open.push(Open {
            question: question.clone(),
            same,
            is_looked_after,
            refused: None,
            waiting: vec![Waits {
                ticket,
                action,
                until: later(now, self.patience),
            }],
            answer: None,
            until: later(now, self.valid(whole)),
        });
        Asking::Held {
            ticket,
            id: question.asked.id.clone(),
            new: Some(Box::new(question)),
        }
    }

    /// What came of a question that is looked after, once.
    pub(crate) fn look_at(&self, ticket: u64) -> Option<Settled> {
        let mut pages = self.pages();
        let Pages { own, open, .. } = &mut *pages;
        let own = own.as_ref()?;
        let (place, until) = open.iter().enumerate().find_map(|(place, open)| {
            let waits = open.waiting.iter().find(|one| one.ticket == ticket)?;
            Some((place, waits.until))
        })?;
        let one = open.get_mut(place)?;
        let now = SystemClock.now().boot_nanos;
        one.hear(own);
        // Whoever is first, the clock or a human, is right.
        if one.answer.is_none() && (until <= now || one.is_over()) {
            one.close(own);
        }
        let answer = one.answer.as_ref()?.answer;
        let mut settled = Vec::new();
        one.settle(&mut settled, self.patience);
        let settled = settled.pop()?;
        let keep = match answer {
            Answered::Denied => Some(VALID),
            Answered::Expired | Answered::Void => Some(SILENCE),
            Answered::Approved | Answered::Withdrawn => None,
        };
        match keep {
            // Whoever asks again gets the same answer.
            Some(keep) => {
                one.refused = Some(same(&settled.action, Digest::of(b"")));
                one.until = later(now, keep);
            }
            None => drop(open.remove(place)),
        }
        Some(settled)
    }

    /// What came of all others meanwhile.
    pub(crate) fn look(&self) -> Vec<Settled> {
        let mut pages = self.pages();
        let Pages { own, open, .. } = &mut *pages;
        let Some(own) = own else { return Vec::new() };
        let mut settled = Vec::new();
        for open in open.iter_mut().filter(|open| !open.is_looked_after) {
            open.hear(own);
            open.settle(&mut settled, self.patience);
            if open.answer.is_none() && (open.is_over() || open.is_left()) {
                open.close(own);
                open.settle(&mut settled, self.patience);
            }
        }
        open.retain(|open| !open.is_over() || open.is_looked_after && !open.waiting.is_empty());
        settled
    }

    /// Whoever waits by this ticket does not wait any more.
    pub(crate) fn withdraw(&self, ticket: u64) -> Option<Settled> {
        let mut pages = self.pages();
        let Pages { own, open, .. } = &mut *pages;
        let waits = |open: &Open| open.waiting.iter().any(|one| one.ticket == ticket);
        let question = open.iter().position(waits)?;
        let one = open.get_mut(question)?;
        let place = one.waiting.iter().position(|one| one.ticket == ticket)?;
        let waits = one.waiting.remove(place);
        let settled = one.refuse(waits, Answered::Withdrawn, "whoever asked waits no more");
        if let Some(own) = own
            && one.is_left()
        {
            one.close(own);
            open.remove(question);
        }
        Some(settled)
    }

    /// Nobody waits any more.
    pub(crate) fn withdraw_all(&self) -> Vec<Settled> {
        let tickets: Vec<_> = {
            let pages = self.pages();
            let waiting = pages.open.iter().flat_map(|open| &open.waiting);
            waiting.map(|waits| waits.ticket).collect()
        };
        let withdrawn = tickets.into_iter().filter_map(|one| self.withdraw(one));
        withdrawn.collect()
    }

    /// An action that was asked about before, in the very same form.
    fn join(&self, pages: &mut Pages, place: usize, action: Waiting<Judged>) -> Asking {
        pages.tickets += 1;
        let ticket = pages.tickets;
        let until = later(SystemClock.now().boot_nanos, self.patience);
        let Pages { own, open, .. } = &mut *pages;
        let Some(open) = open.get_mut(place) else {
            return Asking::Ruled(Box::new(refused(action, "its question is over")));
        };
        open.waiting.push(Waits {
            ticket,
            action,
            until,
        });
        if let Some(own) = own {
            open.hear(own);
        }
        // An answer that came while nobody waited is for whoever asks first.
        if open.answer.is_some() && open.waiting.len() == 1 {
            let mut settled = Vec::new();
            open.settle(&mut settled, self.patience);
            if let Some(settled) = settled.pop() {
                return Asking::Ruled(Box::new(settled));
            }
        }
        Asking::Held {
            ticket,
            id: open.question.asked.id.clone(),
            new: None,
        }
    }

    /// Records a question, and shows it.
    fn open(
        &self,
        pages: &mut Pages,
        action: &Waiting<Judged>,
        (words, whole): (&str, Option<Digest>),
        record: impl FnOnce(&str, &Rule, Timestamp) -> Result<(Index, Commitment), Unrecorded>,
    ) -> Result<Question, String> {
        let unshown = |error: &dyn std::fmt::Display| format!("no human can be asked: {error}");
        let input = action.action().own_input();
        // The words say no more than it does.
        if input.len().max(words.len()) > LONGEST_INPUT {
            return Err(unshown(&"it is too long for one to read"));
        }
        let id = id_of(&random().map_err(|error| unshown(&error))?);
        let own = match &mut pages.own {
            Some(own) => own,
            none => {
                let own = Own::make(&self.places, &self.session.id);
                let (signers, required) = self.signing.clone();
                none.insert(Desk {
                    own: own.map_err(|error| unshown(&error))?,
                    signers,
                    required,
                })
            }
        };
        let now = SystemClock.now().unix_micros;
        let at = |duration: Duration| {
            now.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
        };
        let until = at(self.valid(whole));
        let over = Timestamp::from_unix_micros(at(self.valid(whole) + MARGIN));
        let salt = Salt(random().map_err(|error| unshown(&error))?).to_hex();
        let recorded = record(&id, action.rule(), over.clone());
        let (Index(entry), text) = recorded.map_err(|error| unshown(&error))?;
        let question = Question::new(Asked {
            id,
            session: self.session.id.clone(),
            agent: self.session.agent.name.clone(),
            human: self.session.human.id.clone(),
            kind: action.action().action().kind().to_owned(),
            action: words.to_owned(),
            rule: action.rule().clone(),
            policy: self.policy.clone(),
            input,
            whole,
            entry,
            text,
            over,
            must_be_signed: self.signing.1 > Evidence::Asserted,
            salt,
            waits_until: at(self.patience),
            until,
        });
        let name = question_name(&question.asked.id);
        let written = own.place().write_once(&name, &question);
        written.map_err(|error| unshown(&error))?;
        Ok(question)
    }

    /// How long a question can be answered: what cannot be known again, only while somebody waits.
    fn valid(&self, whole: Option<Digest>) -> Duration {
        match whole {
            Some(_) => self.patience.max(VALID),
            None => self.patience,
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    /// Forgets what is over, and where that is not enough, the oldest question that nobody waits for.
    fn make_room(&mut self) -> bool {
        let Self { own, open, .. } = self;
        let is_over = |open: &mut Open| open.is_over() && open.waiting.is_empty();
        for mut over in open.extract_if(.., is_over) {
            if let Some(own) = own {
                over.close(own);
            }
        }
        if open.len() >= MOST
            && let Some(own) = own
            && let Some(place) = open.iter().position(|open| open.waiting.is_empty())
        {
            open.remove(place).close(own);
        }
        open.len() < MOST
    }
}

impl Open {
    fn is_over(&self) -> bool {
        self.until <= SystemClock.now().boot_nanos
    }

    /// Whether what would be allowed now would be written down when nothing comes of an answer any more.
    fn is_too_late(&self) -> bool {
        let to_write = u64::try_from(TO_WRITE.as_micros()).unwrap_or(u64::MAX);
        let now = SystemClock.now().unix_micros.saturating_add(to_write);
        Timestamp::from_unix_micros(now) > self.question.asked.over
    }

    /// Whether nobody waits for it, and nobody could ask for it again.
    fn is_left(&self) -> bool {
        self.same.is_none() && self.waiting.is_empty()
    }

    /// Takes up an answer, if there is one.
    fn hear(&mut self, own: &Desk) {
        if self.answer.is_some() {
            return;
        }
        let id = &self.question.asked.id;
        let read = own.place().read::<Answer>(&answer_name(id));
        let nobody = |answer| (answer, None, None, None);
        let (answer, by, reason, signed) = match read {
            Ok(None) => return,
            Ok(Some((answer, uid))) if answer.is_to(&self.question) => {
                let who = own.who(&self.question, &answer, uid);
                match (answer.said, who) {
                    (Said::Over, _) => nobody(Answered::Expired),
                    (_, None) => nobody(Answered::Void),
                    (Said::Yes, Some((by, signed))) => {
                        (Answered::Approved, Some(by), answer.reason, signed)
                    }
                    (Said::No, Some((by, signed))) => {
                        (Answered::Denied, Some(by), answer.reason, signed)
                    }
                }
            }
            // Its place is taken, so that nobody else can answer.
            Ok(Some(_)) | Err(_) => nobody(Answered::Void),
        };
        own.place().remove(&question_name(id));
        self.answer = Some(Approval {
            question: self.question.asked.entry,
            answer,
            by,
            reason,
            signed,
        });
    }

    /// Takes no answer any more, unless there is one already: whoever makes the file first is right.
    fn close(&mut self, own: &Desk) {
        let over = Answer::new(&self.question, Said::Over, None);
        let _ = own
            .place()
            .write_once(&answer_name(&self.question.asked.id), &over);
        self.hear(own);
    }

    /// Settles what waits: by the answer, or because its time is over.
    fn settle(&mut self, settled: &mut Vec<Settled>, patience: Duration) {
        let now = SystemClock.now().boot_nanos;
        let Some(approval) = self.answer.clone() else {
            let seconds = patience.as_secs();
            let why = format!("nobody answered within {seconds} s");
            let late = self.waiting.extract_if(.., |waits| waits.until <= now);
            let late: Vec<_> = late.collect();
            let refuse = |waits| self.refuse(waits, Answered::Expired, &why);
            settled.extend(late.into_iter().map(refuse));
            return;
        };
        for waits in std::mem::take(&mut self.waiting) {
            settled.push(match approval.answer {
                Answered::Approved if self.is_too_late() => self.refuse(
                    waits,
                    Answered::Expired,
                    "a yes came when its time was over",
                ),
                Answered::Approved if self.until > OVER => {
                    // Used, and for nobody else.
                    self.until = OVER;
                    Settled {
                        ticket: waits.ticket,
                        ruling: Ruling::Allow {
                            rule: waits.action.rule().clone(),
                            approval: Some(Box::new(approval.clone())),
                        },
                        action: waits.action,
                        open: None,
                    }
                }
                Answered::Approved => self.refuse(
                    waits,
                    Answered::Withdrawn,
                    "the very same was approved once, and is done once",
                ),
                Answered::Denied => self.refuse(waits, Answered::Denied, "a human said no"),
                Answered::Void => {
                    // It can be asked anew; by a shell's next try not yet.
                    self.until = if self.is_looked_after {
                        self.until
                    } else {
                        OVER
                    };
                    self.refuse(
                        waits,
                        Answered::Void,
                        "its answer was to something else, or not signed as it has to be",
                    )
                }
                Answered::Expired | Answered::Withdrawn => {
                    self.refuse(waits, Answered::Expired, "nobody answered in time")
                }
            });
        }
    }

    fn refuse(&self, waits: Waits, answer: Answered, why: &str) -> Settled {
        let given = self.answer.as_ref().filter(|given| given.answer == answer);
        let approval = given.cloned().unwrap_or(Approval {
            question: self.question.asked.entry,
            answer,
            by: None,
            reason: None,
            signed: None,
        });
        let can_be_answered = self.answer.is_none() && self.same.is_some() && !self.is_over();
        let id = &self.question.asked.id;
        let mut rule = reasoned(waits.action.rule(), why);
        if can_be_answered {
            rule.remedy = Some(format!(
                "a human approves it with `agentguard approve {id}`; then send the very same again"
            ));
        }
        Settled {
            ticket: waits.ticket,
            ruling: Ruling::Deny {
                rule,
                asked: true,
                approval: Some(Box::new(approval)),
            },
            action: waits.action,
            open: can_be_answered.then(|| id.clone()),
        }
    }
}

/// A refusal of what no human was asked about.
fn refused(action: Waiting<Judged>, why: &str) -> Settled {
    let ruling = Ruling::Deny {
        rule: reasoned(action.rule(), why),
        asked: true,
        approval: None,
    };
    Settled {
        ticket: 0,
        action,
        ruling,
        open: None,
    }
}

fn reasoned(rule: &Rule, why: &str) -> Rule {
    Rule {
        reason: format!("{} (it needs approval, and {why})", rule.reason),
        ..rule.clone()
    }
}

/// Digests an action with all that is sent of it.
fn same(action: &Waiting<Judged>, whole: Digest) -> Digest {
    let input = action.action().own_input();
    let rule = &action.rule().id;
    Digest::of(format!("{whole}\n{rule}\n{input}").as_bytes())
}

/// Who made a file, as the kernel says. It says no more than under which account.
fn approver(uid: u32) -> Approver {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    Approver {
        id: format!("local:{uid}@{host}"),
        login: login_of(uid).unwrap_or_else(|| format!("uid-{uid}")),
        evidence: Evidence::Asserted,
    }
}

fn later(now: u64, by: Duration) -> u64 {
    now.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
