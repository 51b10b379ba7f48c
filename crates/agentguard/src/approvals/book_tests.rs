use std::collections::BTreeMap;

use agentguard_core::{
    Admitted, Approve, Exec, Gate, Judge, Program, ProgramClass, Record, Undecided, Verdict,
};
use agentguard_policy::{Policies, Sources};

use super::super::tests::Desk as Directory;
use super::*;

/// Has a human asked about everything, and keeps nothing.
struct Asks;

impl Judge<Judged> for Asks {
    fn judge(&self, _: &Judged) -> Result<Verdict, Undecided> {
        Ok(Verdict::Ask(Rule::new("own/ask", "a human looks at it")))
    }
}

impl Approve<Judged> for Asks {
    fn settle(&self, _: &Judged, verdict: Verdict) -> Ruling {
        panic!("{verdict:?} is settled by nobody")
    }

    fn can_ask(&self, _: &Judged) -> bool {
        true
    }
}

impl Record<Judged> for Asks {
    fn record(&self, _: &Judged, _: &Ruling) -> Result<Index, Unrecorded> {
        Ok(Index(1))
    }
}

fn session() -> Session {
    serde_json::from_value(serde_json::json!({
        "id": "07070707070707070707070707070707",
        "agent": {
            "name": "ci-7",
            "key": "ci-7+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        },
        "human": {"id": "local:1000@desk", "login": "ann", "evidence": "asserted", "via": []},
        "trigger": {"kind": "terminal", "event": "", "reference": "", "requested": true, "facts": []},
        "workspace": "/home/ann/work",
    }))
    .unwrap()
}

/// A command that waits for a human.
fn waiting() -> Waiting<Judged> {
    let policies = Policies::load(&Sources {
        org: None,
        user: None,
        repository: None,
    });
    let exec = Exec {
        program: Program {
            path: "/usr/bin/make".to_owned(),
            sha256: Digest::of(b"make"),
            class: ProgramClass::System,
        },
        script: None,
        argv: vec!["make".to_owned()],
        cwd: "/".to_owned(),
        environment: BTreeMap::new(),
        caller: "/bin/sh".to_owned(),
    };
    let asked = policies
        .unwrap()
        .judge(session())
        .question(Action::Exec(exec));
    match Gate::new(Asks, Asks, Asks).admit_or_wait(asked).unwrap() {
        Admitted::Waiting(waiting) => waiting,
        Admitted::Permit(_) => panic!("nobody was asked"),
    }
}

/// What becomes of a yes that is heard so long before its entry says that nothing comes of it any more.
fn approved(directory: &Directory, before: Duration) -> Settled {
    let signing = (Signers::read(directory.places()).unwrap(), Evidence::None);
    let patience = Duration::from_secs(60);
    let book = Book::new(
        directory.places().clone(),
        session(),
        Vec::new(),
        patience,
        signing,
    );
    let record = |_: &str, _: &Rule, _: Timestamp| Ok((Index(1), Commitment(Digest::of(b"text"))));
    let Asking::Held { ticket, new, .. } = book.ask(waiting(), "`make`", None, record) else {
        panic!("it does not wait");
    };
    assert!(book.look_at(ticket).is_none());
    let before = u64::try_from(before.as_micros()).unwrap();
    let mut pages = book.pages();
    pages.open[0].question.asked.over =
        Timestamp::from_unix_micros(SystemClock.now().unix_micros + before);
    let answer = Answer::new(&new.unwrap(), Said::Yes, None);
    let name = answer_name(&answer.id);
    let own = pages.own.as_ref().unwrap();
    own.place().write_once(&name, &answer).unwrap();
    drop(pages);
    book.look_at(ticket).unwrap()
}

/// A guard that was stopped for a while hears of an answer late.
#[test]
fn a_yes_that_would_be_written_down_when_its_time_is_over_allows_nothing() {
    let directory = Directory::new("late");
    let settled = approved(&directory, Duration::from_secs(30));
    assert!(settled.ruling.is_allow());
    for late in [Duration::ZERO, TO_WRITE / 2] {
        let settled = approved(&directory, late);
        let Ruling::Deny { rule, approval, .. } = settled.ruling else {
            panic!("{:?}", settled.ruling);
        };
        assert!(rule.reason.contains("when its time was over"), "{rule:?}");
        assert_eq!(approval.unwrap().answer, Answered::Expired);
    }
}
