//! What is asked is what the guard hears, and what it says is what a worker hears.

use std::borrow::Cow;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use agentguard_core::{
    Connect, Digest, Exec, Making, OutcomeOf, Program, ProgramClass, Reach, RefMove, RuleId,
    Unrecorded,
};

use super::*;
use crate::difference::Difference;
use crate::repository::CommitFound;

/// What is not said by then is not said.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// Notes what it hears, and refuses or holds.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn note(&self, heard: String) {
        self.0.lock().unwrap().push(heard);
    }
}

fn refused() -> Refused {
    Refused {
        entry: Some(Index(7)),
        rule: RuleId::parse("test/no").unwrap(),
        text: "no".to_owned(),
    }
}

impl Supervise for Notes {
    type Action = ();

    fn exec(&self, _: Exec, is_first: bool) -> Result<Permit<()>, Refused> {
        self.note(format!("exec {is_first}"));
        Err(refused())
    }

    fn exec_or_wait(&self, _: Exec, is_first: bool) -> Result<MayRun<()>, Refused> {
        self.note(format!("exec or wait {is_first}"));
        Ok(MayRun::Held(5))
    }

    fn answered(&self, ticket: u64, is_first: bool) -> Option<Result<Permit<()>, Refused>> {
        self.note(format!("answered {ticket} {is_first}"));
        (ticket == 9).then(|| Err(refused()))
    }

    fn no_longer_waits(&self, ticket: u64) {
        self.note(format!("no longer {ticket}"));
    }

    fn name(&self, making: Making) -> Result<Permit<()>, Refused> {
        self.note(format!("name {}", making.path));
        Err(refused())
    }

    fn connect(&self, connect: Connect) -> Result<Permit<()>, Refused> {
        self.note(format!("connect {}", connect.path));
        Err(refused())
    }

    fn outcome(&self, Index(of): Index, _: OutcomeOf) -> Result<(), Unrecorded> {
        self.note(format!("outcome {of}"));
        match of {
            0 => Err(Unrecorded::new("full")),
            _ => Ok(()),
        }
    }

    fn nowhere(&self, _: Reach) -> Result<(), Unrecorded> {
        panic!("no worker tells of it")
    }

    fn changed(&self, _: Difference) -> Result<(), Unrecorded> {
        panic!("no worker tells of it")
    }

    fn moved(&self, _: Vec<RefMove>, _: Vec<CommitFound>, _: bool) -> Result<(), Unrecorded> {
        panic!("no worker tells of it")
    }
}

fn judge(is_first: bool, can_wait: bool) -> FromWorker<'static> {
    let program = Program {
        path: "/bin/a".to_owned(),
        sha256: Digest::of(b""),
        class: ProgramClass::System,
    };
    FromWorker::Judge {
        exec: Cow::Owned(Exec {
            program,
            script: None,
            argv: Vec::new(),
            cwd: "/".to_owned(),
            environment: [].into(),
            caller: "/bin/a".to_owned(),
        }),
        is_first,
        can_wait,
    }
}

fn outcome(of: u64) -> FromWorker<'static> {
    let outcome = OutcomeOf::Untold;
    FromWorker::Outcome(Outcome { of, outcome })
}

fn making() -> Making {
    let making =
        serde_json::json!({"by": "open", "path": "/w/a", "place": "a", "caller": "/bin/a"});
    serde_json::from_value(making).unwrap()
}

/// All that a worker says.
fn everything() -> [FromWorker<'static>; 12] {
    let connect = Connect {
        path: "/w/s".to_owned(),
        granted: false,
        caller: "/bin/a".to_owned(),
    };
    [
        judge(true, false),
        judge(false, false),
        judge(true, true),
        judge(false, true),
        FromWorker::Waits {
            ticket: 8,
            is_first: true,
        },
        FromWorker::Waits {
            ticket: 9,
            is_first: false,
        },
        FromWorker::Withdrawn { ticket: 8 },
        FromWorker::Name { making: making() },
        FromWorker::Connect { connect },
        outcome(1),
        outcome(0),
        outcome(2),
    ]
}

#[test]
fn what_a_worker_says_is_heard_and_answered_word_by_word() {
    let notes = Notes::default();
    let (near, far) = UnixStream::pair().unwrap();
    let said = everything();
    for message in &said {
        crate::wire::send(&far, message).unwrap();
    }
    far.shutdown(std::net::Shutdown::Write).unwrap();
    far.set_read_timeout(Some(SOON)).unwrap();
    let ended = answer(near.as_fd(), &notes);
    assert!(matches!(ended, Err(Error::Unrecorded { .. })), "{ended:?}");
    let expected = [
        "exec true",
        "exec false",
        "exec or wait true",
        "exec or wait false",
        "answered 8 true",
        "answered 9 false",
        "no longer 8",
        "name /w/a",
        "connect /w/s",
        "outcome 1",
        "outcome 0",
    ];
    assert_eq!(*notes.0.lock().unwrap(), expected);
    // Its end is shut, though we hold it still: whoever waits learns that nobody answers.
    let mut answers = Vec::new();
    while let Some(Answer {
        allow,
        entry,
        rule,
        text,
        held,
    }) = crate::wire::receive(&far).unwrap()
    {
        assert!(!allow);
        answers.push((entry, rule, text, held));
    }
    let no = || (Some(7), "test/no".to_owned(), "no".to_owned(), None);
    let held = |ticket| (None, String::new(), String::new(), Some(ticket));
    assert_eq!(
        answers,
        [no(), no(), held(5), held(5), held(8), no(), no(), no()]
    );
}

#[test]
fn whoever_is_gone_is_answered_no_longer() {
    for message in [judge(true, true), judge(true, false)] {
        let notes = Notes::default();
        let (near, far) = UnixStream::pair().unwrap();
        for _ in 0..2 {
            crate::wire::send(&far, &message).unwrap();
        }
        // Whoever is being started beside us may hold a copy of it for a moment.
        far.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(answer(near.as_fd(), &notes).is_ok());
        assert_eq!(notes.0.lock().unwrap().len(), 1);
    }
}
