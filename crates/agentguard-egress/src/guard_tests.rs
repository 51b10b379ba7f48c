use super::*;

/// Refuses whatever is asked, and knows nothing that could come of it.
#[derive(Default)]
struct Refuses {
    found: Mutex<Vec<Rule>>,
}

fn refused() -> Refused {
    Refused {
        rule: Rule::new("own/no", "no"),
        entry: Some(Index(7)),
        approval: None,
    }
}

impl Govern for Refuses {
    type Action = Action;

    fn reach(&self, _: Reach) -> Result<Permit<Action>, Refused> {
        Err(refused())
    }

    fn refuse(&self, _: Reach, rule: Rule) -> Refused {
        Refused { rule, ..refused() }
    }

    fn misused(&self, _: &CredentialName, reach: Reach, rule: Rule) -> Refused {
        self.refuse(reach, rule)
    }

    fn found(&self, rule: Rule) -> Result<(), Unrecorded> {
        self.found.lock().unwrap().push(rule);
        Ok(())
    }

    fn request(&self, _: Api) -> Result<Permit<Action>, Refused> {
        Err(refused())
    }

    fn push(&self, _: Push) -> Result<Permit<Action>, Refused> {
        Err(refused())
    }

    fn refuses(&self, push: Push) -> Option<Rule> {
        (push.refs[0].short == "main").then(|| refused().rule)
    }

    fn outcome(&self, _: Index, _: OutcomeOf, _: &Bodies) -> Result<(), Unrecorded> {
        panic!("nothing was permitted")
    }
}

fn reach(by: ReachedBy) -> Reach {
    Reach {
        by,
        host: "host.test".to_owned(),
        port: Some(443),
        class: None,
        granted: false,
        caller: "unknown".to_owned(),
        caller_sha256: None,
    }
}

/// What is answered to a gate that says all this and is gone then, and what is made of it.
fn answered(govern: &Refuses, said: &[Asked]) -> (Vec<Answer>, Result<(), Error>) {
    let (mut gate, line) = UnixStream::pair().unwrap();
    for asked in said {
        wire::send(&mut gate, asked).unwrap();
    }
    gate.shutdown(std::net::Shutdown::Write).unwrap();
    let (wake, _woken) = mpsc::channel();
    let (open, held) = (Open::default(), Held::new(UnixStream::pair().unwrap().0));
    let answering = Answering {
        open: &open,
        held: &held,
        wake,
    };
    let ended = answer_all(govern, &answering, line);
    let answers = std::iter::from_fn(|| wire::receive(&mut gate, LONGEST).unwrap());
    (answers.collect(), ended)
}

#[test]
fn what_is_told_has_no_answer_and_what_is_asked_has_one() {
    let govern = Refuses::default();
    let said = [
        Asked::Found(Rule::new("gate/seen", "it was seen")),
        Asked::Near(None),
        Asked::Refuse(reach(ReachedBy::Connect), Rule::new("gate/odd", "odd")),
        Asked::Withdraw { ticket: 1 },
        Asked::Tunnel(reach(ReachedBy::Tunnel)),
        Asked::Reach(reach(ReachedBy::Lookup)),
    ];
    let told: Vec<_> = said.iter().map(Asked::is_told).collect();
    assert_eq!(told, [true, true, false, true, false, false]);
    let (answers, ended) = answered(&govern, &said);
    assert!(ended.is_ok(), "{ended:?}");
    let rules = answers.iter().map(|answer| match answer {
        Answer::Refused { rule, entry, .. } => (rule.id.as_str(), *entry),
        Answer::Permitted { .. } | Answer::Held { .. } => panic!("{answer:?}"),
    });
    let expected = [
        ("gate/odd", Some(7)),
        ("own/no", Some(7)),
        ("own/no", Some(7)),
    ];
    assert_eq!(rules.collect::<Vec<_>>(), expected);
    assert_eq!(govern.found.lock().unwrap().len(), 1);
}

/// A gate that was taken over may say anything: what it cannot know ends it.
#[test]
fn a_gate_that_says_what_cannot_be_is_heard_no_longer() {
    let outcome = Asked::Outcome {
        of: 7,
        outcome: OutcomeOf::Unanswered {
            why: "x".to_owned(),
        },
        bodies: Bodies::UNKNOWN,
    };
    for odd in [
        Asked::Tunnel(reach(ReachedBy::Lookup)),
        Asked::Tunnel(reach(ReachedBy::Connect)),
        outcome,
    ] {
        let shown = format!("{odd:?}");
        let (answers, ended) = answered(&Refuses::default(), &[odd]);
        assert!(matches!(ended, Err(Error::Garbled)), "{shown}: {ended:?}");
        assert!(answers.is_empty(), "{shown}");
    }
    let too_long = Asked::Refuse(
        reach(ReachedBy::Connect),
        Rule::new("gate/odd", "x".repeat(LONGEST)),
    );
    let (mut gate, line) = UnixStream::pair().unwrap();
    let sending = thread::spawn(move || wire::send(&mut gate, &too_long));
    let (wake, _woken) = mpsc::channel();
    let (open, held) = (Open::default(), Held::new(UnixStream::pair().unwrap().0));
    let answering = Answering {
        open: &open,
        held: &held,
        wake,
    };
    let ended = answer_all(&Refuses::default(), &answering, line);
    assert!(matches!(ended, Err(Error::Garbled)), "{ended:?}");
    let _ = sending.join().unwrap();
}

#[test]
fn of_several_refs_each_is_said_why_and_of_one_the_answer_says_it() {
    let push = |names: &[&str]| {
        let refs = names.iter().map(|name| {
            serde_json::json!({
                "name": format!("refs/heads/{name}"), "kind": "branch", "short": name, "change": "update",
                "forward": true,
            })
        });
        let push = serde_json::json!({
            "host": "git.test", "port": 443, "repository": ["o", "r"], "refs": refs.collect::<Vec<_>>(),
            "atomic": false, "signed": false, "caller": "unknown",
        });
        Asked::Push(
            Box::new(serde_json::from_value(push).unwrap()),
            Digest::of(b""),
        )
    };
    let each = |names: &[&str]| {
        let (answers, ended) = answered(&Refuses::default(), &[push(names)]);
        assert!(ended.is_ok(), "{ended:?}");
        match &answers[..] {
            [Answer::Refused { each, .. }] => each.iter().map(Option::is_some).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert!(each(&["main"]).is_empty());
    assert_eq!(each(&["topic", "main"]), [false, true]);
    let many = vec!["main"; MOST_EXPLAINED + 1];
    assert_eq!(each(&many).len(), MOST_EXPLAINED);
}
