//! The side of the human: what waits, and the answer.

use std::io;
use std::path::Path;

use agentguard_audit::Places;
use agentguard_core::{Clock as _, Statement};

use super::place::{self, Place, answer_name, question_name};
use super::question::{Answer, Question, Said, is_id};
use super::sign::sign;
use super::signers::Signers;
use crate::SystemClock;

/// The longest reason, in bytes: it stands in an entry.
const LONGEST_REASON: usize = 1024;

/// What a human says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Given {
    /// Yes, and why.
    Yes(Option<String>),
    /// No, and why.
    No(Option<String>),
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nothing of this id waits: it was answered, its time is over, or its session is.
    #[error("no question `{id}` waits")]
    Unknown {
        /// The id.
        id: String,
    },
    /// Somebody else was first, or it was withdrawn.
    #[error("question `{id}` was answered already, or its time was over")]
    Late {
        /// The id.
        id: String,
    },
    /// What lies there is not what was asked.
    #[error("question `{id}` is not what its guard wrote, and is not answered")]
    Changed {
        /// The id.
        id: String,
    },
    /// A reason that does not fit into an entry.
    #[error("a reason has at most {LONGEST_REASON} bytes")]
    Reason,
    /// Policy counts a yes only where it is signed.
    #[error("question `{id}` is answered with yes by a signature only")]
    Unsigned {
        /// The id.
        id: String,
    },
    /// The signature does not count.
    #[error("the signature does not count: {why}")]
    Signature {
        /// Why.
        why: String,
    },
    /// It could not be signed.
    #[error("cannot sign the answer")]
    Sign {
        /// What the system said, or `ssh-keygen`.
        #[source]
        source: io::Error,
    },
    /// The files cannot be read or written.
    #[error("cannot answer question `{id}`")]
    Io {
        /// The id.
        id: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What waits in all sessions of this user, oldest first. What cannot be read is not shown, and not answered.
#[must_use]
pub fn waiting(places: &Places) -> Vec<Question> {
    let mut questions: Vec<_> = place::living(places)
        .iter()
        .flat_map(|place| {
            let ids = place.questions().unwrap_or_default();
            ids.into_iter().filter_map(|id| find(place, &id).ok())
        })
        .collect();
    questions.sort_by_key(|question| (question.asked.waits_until, question.asked.entry));
    questions
}

/// Answers a question, signed where a key is given, and returns what was answered.
///
/// # Errors
///
/// Returns why it was not answered.
pub fn answer(
    places: &Places,
    id: &str,
    given: Given,
    key: Option<&Path>,
) -> Result<Question, Unanswered> {
    let unknown = || Unanswered::Unknown { id: id.to_owned() };
    if !is_id(id) {
        return Err(unknown());
    }
    let (said, reason) = match given {
        Given::Yes(reason) => (Said::Yes, reason),
        Given::No(reason) => (Said::No, reason),
    };
    if reason
        .as_ref()
        .is_some_and(|text| text.len() > LONGEST_REASON)
    {
        return Err(Unanswered::Reason);
    }
    let io = |source| Unanswered::Io {
        id: id.to_owned(),
        source,
    };
    for place in place::living(places) {
        let question = match find(&place, id) {
            Ok(question) => question,
            Err(Unanswered::Unknown { .. }) => continue,
            Err(error) => return Err(error),
        };
        if key.is_none() && said == Said::Yes && question.asked.must_be_signed {
            return Err(Unanswered::Unsigned { id: id.to_owned() });
        }
        let mut answer = Answer::new(&question, said, reason);
        answer.sshsig = key
            .map(|key| signed(places, &question, &answer, key))
            .transpose()?;
        return match place.write_once(&answer_name(id), &answer) {
            Ok(()) => Ok(question),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Unanswered::Late { id: id.to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown()),
            Err(error) => Err(io(error)),
        };
    }
    Err(unknown())
}

/// Signs an answer, and makes sure that it counts before it takes its place.
fn signed(
    places: &Places,
    question: &Question,
    answer: &Answer,
    key: &Path,
) -> Result<String, Unanswered> {
    let failed = |source| Unanswered::Sign { source };
    let statement = question.statement(answer.said, answer.reason.as_deref());
    let sshsig = sign(&statement.bytes(), Statement::NAMESPACE, key).map_err(failed)?;
    let signers = Signers::read(places).map_err(failed)?;
    let who = signers.who_signed(&sshsig, &statement);
    who.map_err(|why| Unanswered::Signature { why })?;
    Ok(sshsig)
}

fn find(place: &Place, id: &str) -> Result<Question, Unanswered> {
    let id = || id.to_owned();
    let read = place.read::<Question>(&question_name(&id()));
    let read = read.map_err(|_| Unanswered::Changed { id: id() })?;
    let (question, _) = read.ok_or_else(|| Unanswered::Unknown { id: id() })?;
    if !question.is_whole() || question.asked.id != id() {
        return Err(Unanswered::Changed { id: id() });
    }
    let is_over = question.asked.until <= SystemClock.now().unix_micros;
    match is_over || place.has(&answer_name(&id())) {
        false => Ok(question),
        true => Err(Unanswered::Late { id: id() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::tests::{Desk, question};

    const ID: &str = "0123456789abc";

    #[test]
    fn a_question_is_answered_once_in_time_and_as_its_guard_wrote_it() {
        let desk = Desk::new("answered");
        let place = desk.place();
        let found = |id: &str| find(place, id);
        let write = |id: &str, question: &Question| {
            place.remove(&question_name(id));
            place.write_once(&question_name(id), question).unwrap();
        };
        assert!(matches!(found(ID), Err(Unanswered::Unknown { .. })));
        let whole = question(ID, u64::MAX);
        write(ID, &whole);
        assert_eq!(found(ID).unwrap(), whole);
        // By the name of another that was asked.
        write("0123456789abd", &whole);
        let other = found("0123456789abd");
        assert!(
            matches!(other, Err(Unanswered::Changed { .. })),
            "{other:?}"
        );
        let mut changed = whole.clone();
        changed.asked.action = "something else".to_owned();
        write(ID, &changed);
        let other = found(ID);
        assert!(
            matches!(other, Err(Unanswered::Changed { .. })),
            "{other:?}"
        );
        write(ID, &question(ID, 1));
        assert!(matches!(found(ID), Err(Unanswered::Late { .. })));
        write(ID, &whole);
        let answer = Answer::new(&whole, Said::No, None);
        place.write_once(&answer_name(ID), &answer).unwrap();
        assert!(matches!(found(ID), Err(Unanswered::Late { .. })));
    }

    #[test]
    fn what_is_no_id_names_no_question() {
        let desk = Desk::new("ids");
        for (id, is_one) in [(ID, true), ("0123456789ab!", false), ("x", false)] {
            let one = question(id, u64::MAX);
            desk.place().write_once(&question_name(id), &one).unwrap();
            let answered = answer(desk.places(), id, Given::No(None), None);
            assert_eq!(answered.is_ok(), is_one, "{id} {answered:?}");
        }
    }

    #[test]
    fn a_reason_that_fits_into_no_entry_is_none() {
        let desk = Desk::new("reasons");
        let said = |length: usize| {
            let reason = Some("a".repeat(length));
            answer(desk.places(), ID, Given::No(reason), None)
        };
        assert!(matches!(
            said(LONGEST_REASON),
            Err(Unanswered::Unknown { .. })
        ));
        assert!(matches!(said(LONGEST_REASON + 1), Err(Unanswered::Reason)));
        let over = answer(desk.places(), "../../../etc/x", Given::No(None), None);
        assert!(matches!(over, Err(Unanswered::Unknown { .. })));
    }
}
