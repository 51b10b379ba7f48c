//! Sessions' logs as a guard uses them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use agentguard_audit::{
    Entries, Error, Fault, Keys, LogState, Remark, SessionLog, find, logs, prove, verify,
    verify_receipt, verify_with,
};
use agentguard_core::ssh::{fingerprint, fingerprint_of};
use agentguard_core::{
    Class, CommitSeen, CredentialAct, Digest, Enforcement, Event, Evidence, Index, MessageDigest,
    Origin, OutcomeOf, Rule, Ruling,
};

use crate::home::*;

#[test]
fn a_session_that_ended_verifies_and_is_anchored() {
    let home = Home::new();
    let directory = session_of(&home, 300);
    let report = home.verify(&directory);
    assert!(report.is_verified(), "{report:#?}");
    assert_eq!((report.entries, report.signed), (602, 602));
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    let anchor = home.verify(&home.places.anchor());
    assert!(anchor.is_verified(), "{anchor:#?}");
    assert_eq!((anchor.entries, anchor.signed), (2, 2));
    let all = logs(&home.places).unwrap();
    assert_eq!((all[0].state, all[0].size), (LogState::Ended, 602));
}

#[test]
fn without_a_known_key_nothing_is_checked() {
    let home = Home::new();
    let directory = session_of(&home, 1);
    let none = verify(&directory, &Keys::default());
    assert!(matches!(none, Err(Error::NoKey { .. })), "{none:?}");
    let nothing = verify(&home.path.join("nothing"), &home.keys());
    assert!(matches!(nothing, Err(Error::NotALog { .. })), "{nothing:?}");
}

#[test]
fn the_checkpoint_of_another_installation_is_not_believed() {
    let (home, other) = (Home::new(), Home::new());
    let directory = session_of(&home, 1);
    let theirs = session_of(&other, 1);
    fs::copy(theirs.join("checkpoint"), directory.join("checkpoint")).unwrap();
    let report = home.verify(&directory);
    assert_eq!(report.findings[0].fault, Fault::Checkpoint, "{report:#?}");
}

#[test]
fn many_threads_append_densely_and_in_order() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    std::thread::scope(|scope| {
        for thread in 0..32 {
            let log = &log;
            scope.spawn(move || {
                for turn in 0..20 {
                    let class = [Class::Covered, Class::Normal, Class::Critical][turn % 3];
                    act(log, class, &format!("{thread} {turn}"));
                }
            });
        }
    });
    log.append(Class::Critical, None, |_| session_end())
        .unwrap();
    let directory = log.directory().to_owned();
    assert_eq!(log.end().unwrap().size, 2 + 32 * 20 * 2);
    let report = home.verify(&directory);
    assert!(
        report.is_verified() && report.notes.is_empty(),
        "{report:#?}"
    );
    let entries: Vec<_> = Entries::open(&directory)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(entries.len(), 1282);
    assert!(
        entries
            .iter()
            .zip(0..)
            .all(|(entry, index)| entry.index == index)
    );
}

#[test]
fn a_text_is_kept_beside_the_log_without_its_secrets_and_can_be_missing() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    let token = format!("ghp_{}", "a".repeat(36));
    let text = format!(r#"{{"argv":["git","push","{token}"]}}"#);
    log.append(Class::Normal, Some(&text), |text| decision(text, refused()))
        .unwrap();
    log.append(Class::Critical, None, |_| session_end())
        .unwrap();
    let directory = log.directory().to_owned();
    log.end().unwrap();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let has = bytes.windows(token.len()).any(|w| w == token.as_bytes());
            assert!(!has, "{}", path.display());
        }
    }
    let read = |at: usize| {
        Entries::open(&directory)
            .unwrap()
            .nth(at)
            .unwrap()
            .unwrap()
            .text
    };
    assert_eq!(
        read(1).unwrap(),
        r#"{"argv":["git","push","[redacted:github-token]"]}"#
    );
    let texts = fs::read_to_string(directory.join("texts")).unwrap();
    let first = texts.lines().next().unwrap();
    fs::write(directory.join("texts"), format!("{first}\n")).unwrap();
    assert_eq!(read(1), None);
    let report = home.verify(&directory);
    assert!(report.is_verified());
    assert_eq!(report.notes[0].remark, Remark::NoText);
    let other = texts.replace("git", "gut");
    fs::write(directory.join("texts"), other).unwrap();
    let report = home.verify(&directory);
    assert_eq!(
        (report.findings[0].fault, report.first_bad()),
        (Fault::Text, Some(1))
    );
    assert_eq!(read(1), None);
}

#[test]
fn an_entry_that_is_too_long_is_refused_and_nothing_else() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    let long = log.append(Class::Normal, None, |_| Event::Credential {
        act: CredentialAct::Mint,
        handle: "h".repeat(70_000),
        token_sha256: Digest::of(b"t"),
    });
    assert!(matches!(long, Err(Error::TooLong { .. })), "{long:?}");
    assert_eq!(act(&log, Class::Critical, "make"), 1);
}

#[test]
fn a_session_whose_guard_died_is_recorded_as_lost_by_the_next() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    act(&log, Class::Normal, "make");
    let directory = log.directory().to_owned();
    assert_eq!(logs(&home.places).unwrap()[0].state, LogState::Running);
    drop(log);
    assert_eq!(logs(&home.places).unwrap()[0].state, LogState::Lost);
    drop(home.log());
    let report = home.verify(&directory);
    assert!(report.is_verified(), "{report:#?}");
    assert_eq!((report.entries, report.signed), (3, 3));
    let remarks: Vec<_> = report.notes.iter().map(|note| note.remark).collect();
    assert_eq!(remarks, [Remark::Unended]);
    let anchor = home.verify(&home.places.anchor());
    assert!(anchor.is_verified() && anchor.entries == 2, "{anchor:#?}");
    // And only once.
    drop(home.log());
    assert_eq!(home.verify(&home.places.anchor()).entries, 2);
}

#[test]
fn a_lost_log_that_is_damaged_keeps_no_other_session_from_starting() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    for turn in 0..3 {
        act(&log, Class::Normal, &format!("make {turn}"));
    }
    let directory = log.directory().to_owned();
    drop(log);
    let mut bytes = fs::read(directory.join("wal")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(directory.join("wal"), &bytes).unwrap();
    session_of(&home, 1);
    // Nothing was cut, signed or anchored as if it were whole.
    assert_eq!(fs::read(directory.join("wal")).unwrap(), bytes);
    assert!(!home.verify(&directory).is_verified());
    assert_eq!(home.verify(&home.places.anchor()).entries, 3);
}

#[test]
fn a_running_session_is_not_recorded_as_lost() {
    let home = Home::new();
    let running = home.log();
    begin(&running);
    session_of(&home, 1);
    assert_eq!(home.verify(&home.places.anchor()).entries, 3);
    assert_eq!(act(&running, Class::Critical, "make"), 1);
    running
        .append(Class::Critical, None, |_| session_end())
        .unwrap();
    running.end().unwrap();
    assert_eq!(home.verify(&home.places.anchor()).entries, 4);
}

/// Its agent stops a guard for as long as it likes, and when it likes.
#[test]
fn a_guard_holds_nothing_that_others_wait_for_while_it_is_stopped() {
    let home = Home::new();
    let running = home.log();
    begin(&running);
    let anchor = fs::File::open(home.places.anchor().join("wal")).unwrap();
    let checkpoint = running.directory().join("checkpoint");
    let anchored = home.places.anchor().join("checkpoint");
    let began = fs::read(&anchored).ok();
    // As long as it may be before its own log is signed, and the anchor log's turn comes.
    running.holding_nothing(|| {
        let mut since = None;
        while since.is_none_or(|since: Instant| since.elapsed() < Duration::from_millis(300)) {
            anchor.try_lock().expect("the anchor log is held");
            anchor.unlock().unwrap();
            std::thread::yield_now();
            if since.is_none() && checkpoint.exists() {
                since = Some(Instant::now());
            }
        }
    });
    let given_up = Instant::now() + Duration::from_secs(30);
    while fs::read(&anchored).ok() == began {
        assert!(Instant::now() < given_up, "the anchor log is not signed");
        std::thread::yield_now();
    }
    running
        .append(Class::Critical, None, |_| session_end())
        .unwrap();
    running.end().unwrap();
    assert!(home.verify(&home.places.anchor()).is_verified());
}

#[test]
fn a_log_is_not_begun_anew_where_its_key_or_its_anchor_is_gone() {
    let home = Home::new();
    session_of(&home, 1);
    let create = || SessionLog::create(&home.places, author(), Arc::new(Ticking::default()));
    let anchor = home.places.anchor().join("wal");
    fs::rename(&anchor, home.path.join("wal")).unwrap();
    let log = create().unwrap();
    let begun = log.append(Class::Critical, Some("{}"), start);
    assert!(matches!(begun, Err(Error::Missing { .. })), "{begun:?}");
    let next = log.append(Class::Normal, Some("{}"), start);
    assert!(matches!(next, Err(Error::Latched { .. })), "{next:?}");
    drop(log);
    fs::rename(home.path.join("wal"), &anchor).unwrap();
    fs::remove_dir_all(&home.places.state).unwrap();
    assert!(matches!(create(), Err(Error::Missing { .. })));
}

#[test]
fn an_anchor_log_that_was_rolled_back_takes_no_session() {
    let home = Home::new();
    session_of(&home, 1);
    let before = home.path.join("before");
    copy_tree(&home.places.anchor(), &before);
    session_of(&home, 1);
    fs::remove_dir_all(home.places.anchor()).unwrap();
    copy_tree(&before, &home.places.anchor());
    let log = home.log();
    let begun = log.append(Class::Critical, Some("{}"), start);
    assert!(matches!(begun, Err(Error::Damaged { .. })), "{begun:?}");
    let report = home.verify(&home.places.anchor());
    let finding = &report.findings[0];
    assert_eq!((finding.fault, finding.index), (Fault::RolledBack, Some(2)));
}

#[test]
fn a_key_that_others_could_read_or_that_is_another_is_refused() {
    let home = Home::new();
    session_of(&home, 1);
    let create = || SessionLog::create(&home.places, author(), Arc::new(Ticking::default()));
    let key = home.places.logs().join("key");
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(create(), Err(Error::Unsafe { .. })));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    // The same name with another seed: the pin says no.
    let text = fs::read_to_string(&key).unwrap();
    let name = text.split('+').nth(2).unwrap();
    let pinned = home
        .places
        .config
        .join("known")
        .join(name.rsplit('/').next().unwrap());
    let other = Home::new();
    session_of(&other, 1);
    let theirs = fs::read_dir(other.places.config.join("known"))
        .unwrap()
        .next();
    fs::copy(
        theirs.unwrap().unwrap().path().join("key"),
        pinned.join("key"),
    )
    .unwrap();
    assert!(matches!(create(), Err(Error::Unsafe { .. })));
}

#[test]
fn many_guards_at_once_share_one_anchor_log() {
    let home = Home::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| session_of(&home, 3));
        }
    });
    let anchor = home.verify(&home.places.anchor());
    assert!(anchor.is_verified(), "{anchor:#?}");
    assert_eq!(anchor.entries, 16);
    for log in logs(&home.places).unwrap() {
        assert_eq!(log.state, LogState::Ended);
        assert!(home.verify(&log.directory).is_verified());
    }
}

#[test]
fn a_decision_without_outcome_is_interrupted_and_no_fault() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    log.append(Class::Normal, Some("{}"), |text| decision(text, allowed()))
        .unwrap();
    log.append(Class::Critical, None, |_| session_end())
        .unwrap();
    let directory = log.directory().to_owned();
    log.end().unwrap();
    let report = home.verify(&directory);
    assert!(report.is_verified());
    assert_eq!(
        (report.notes[0].remark, &report.notes[0].entries),
        (Remark::Interrupted, &vec![1])
    );
}

/// Writes a session of these events, and answers the first fault with its index.
fn fault_of(events: Vec<Event>) -> Option<(Fault, Option<u64>)> {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    for event in events {
        log.append(Class::Normal, None, |_| event).unwrap();
    }
    let directory = log.directory().to_owned();
    log.end().unwrap();
    let report = home.verify(&directory);
    report
        .findings
        .first()
        .map(|finding| (finding.fault, finding.index))
}

#[test]
fn entries_that_make_no_sense_together_are_found() {
    let credential = |act| Event::Credential {
        act,
        handle: "gh".to_owned(),
        token_sha256: Digest::of(b"t"),
    };
    let refusal = || {
        decision(
            Some(agentguard_core::Commitment(Digest::of(b""))),
            refused(),
        )
    };
    let mint = || credential(CredentialAct::Mint);
    let used = || credential(CredentialAct::Use);
    let revoked = || credential(CredentialAct::Revoke);
    for (events, expected) in [
        (vec![used()], Some((Fault::Credential, Some(1)))),
        (
            vec![mint(), revoked(), used()],
            Some((Fault::Credential, Some(3))),
        ),
        (vec![mint(), used(), revoked()], None),
        (vec![outcome(0)], Some((Fault::Outcome, Some(1)))),
        (vec![outcome(7)], Some((Fault::Outcome, Some(1)))),
        (vec![refusal(), outcome(1)], Some((Fault::Outcome, Some(2)))),
        (vec![refusal(), Event::Repeat { of: 1, count: 3 }], None),
        (
            vec![
                refusal(),
                Event::Outcome {
                    of: 1,
                    outcome: OutcomeOf::Untold,
                    text: None,
                },
            ],
            None,
        ),
        (
            vec![session_end(), mint()],
            Some((Fault::AfterEnd, Some(2))),
        ),
    ] {
        let shown = format!("{events:?}");
        assert_eq!(fault_of(events), expected, "{shown}");
    }
}

/// Whether it can be what came of something that was allowed. A new one has to say so.
fn is_of_what_was_allowed(outcome: &OutcomeOf) -> bool {
    match outcome {
        OutcomeOf::Started { .. }
        | OutcomeOf::Failed { .. }
        | OutcomeOf::Killed { .. }
        | OutcomeOf::Done
        | OutcomeOf::Answered { .. }
        | OutcomeOf::Passed { .. }
        | OutcomeOf::Unanswered { .. }
        | OutcomeOf::Pushed { .. }
        | OutcomeOf::Exited { .. }
        | OutcomeOf::Signaled { .. } => true,
        OutcomeOf::Untold => false,
    }
}

#[test]
fn whatever_comes_of_what_was_allowed_fits_it() {
    let (sent, received, milliseconds) = (1, 2, 3);
    for outcome in [
        OutcomeOf::Started {
            program: Digest::of(b""),
        },
        OutcomeOf::Failed { errno: 2 },
        OutcomeOf::Killed {
            rule: Rule::new("a/b", "it is this test's"),
        },
        OutcomeOf::Done,
        OutcomeOf::Answered {
            status: 200,
            sent,
            received,
            milliseconds,
        },
        OutcomeOf::Passed {
            sent,
            received,
            milliseconds,
        },
        OutcomeOf::Unanswered { why: String::new() },
        OutcomeOf::Pushed {
            refs: Vec::new(),
            more: 0,
            unpack: None,
        },
        OutcomeOf::Untold,
        OutcomeOf::Exited { code: 0 },
        OutcomeOf::Signaled { signal: 9 },
    ] {
        let expected = match is_of_what_was_allowed(&outcome) {
            true => None,
            false => Some((Fault::Outcome, Some(2))),
        };
        let text = Some(agentguard_core::Commitment(Digest::of(b"")));
        let shown = format!("{outcome:?}");
        let came = Event::Outcome {
            of: 1,
            outcome,
            text: None,
        };
        let events = vec![decision(text, allowed()), came];
        assert_eq!(fault_of(events), expected, "{shown}");
    }
}

#[test]
fn signatures_are_by_the_agents_key_and_before_the_commits_that_name_them() {
    let signature = |key: Option<String>, message: Option<&[u8]>, ruling| Event::Signature {
        key: key.unwrap_or_default(),
        message: message.map(MessageDigest::of),
        ruling,
    };
    let own = || fingerprint_of(KEY);
    let other = || Some(fingerprint(&[7; 32]));
    let made = || signature(own(), Some(b"tree"), allowed());
    let denied = || signature(own(), None, refused());
    let seen = |signature| Event::Refs {
        moved: Vec::new(),
        commits: vec![CommitSeen {
            id: "aaaa".to_owned(),
            origin: Origin::Made,
            signature,
        }],
    };
    let at = |index| Some((Fault::Entry, Some(index)));
    for (events, expected) in [
        (vec![made(), seen(Some(1)), seen(None)], None),
        (vec![seen(Some(2)), made()], at(1)),
        (vec![seen(Some(0))], at(1)),
        (vec![denied(), seen(Some(1))], at(2)),
        (vec![signature(other(), Some(b"tree"), allowed())], at(1)),
        (vec![signature(other(), None, refused())], at(1)),
        (vec![signature(own(), None, allowed())], at(1)),
        (vec![signature(own(), Some(b"tree"), unenforced())], at(1)),
        (vec![denied(), Event::Repeat { of: 1, count: 3 }], None),
        (
            vec![made(), Event::Repeat { of: 1, count: 3 }],
            Some((Fault::Outcome, Some(2))),
        ),
        (vec![made(), outcome(1)], Some((Fault::Outcome, Some(2)))),
    ] {
        let shown = format!("{events:?}");
        assert_eq!(fault_of(events), expected, "{shown}");
    }
}

#[test]
fn what_was_allowed_without_the_evidence_required_is_found() {
    let home = Home::new();
    let log = home.log();
    log.append(Class::Critical, Some("{}"), |text| {
        start_requiring(text, Evidence::Oidc)
    })
    .unwrap();
    act(&log, Class::Normal, "make");
    let directory = log.directory().to_owned();
    log.end().unwrap();
    let report = home.verify(&directory);
    let found: Vec<_> = report.findings.iter().map(|f| (f.fault, f.index)).collect();
    assert_eq!(
        found,
        [(Fault::Evidence, Some(0)), (Fault::Evidence, Some(1))]
    );
}

/// Writes a session that says so and then has these events, and answers its faults.
fn faults_in(enforcement: Enforcement, ruling: Ruling, events: Vec<Event>) -> Vec<(Fault, u64)> {
    let home = Home::new();
    let log = home.log();
    log.append(Class::Critical, Some("{}"), |text| {
        let mut event = start(text);
        if let Event::Start {
            enforcement: said,
            ruling: began,
            ..
        } = &mut event
        {
            (*said, *began) = (enforcement, ruling);
        }
        event
    })
    .unwrap();
    for event in events {
        log.append(Class::Normal, None, |_| event).unwrap();
    }
    let directory = log.directory().to_owned();
    log.end().unwrap();
    let report = home.verify(&directory);
    let findings = report.findings.iter();
    findings
        .map(|finding| (finding.fault, finding.index.unwrap()))
        .collect()
}

#[test]
fn what_is_let_be_against_a_rule_stands_in_a_shadow_only_and_a_refusal_stays_one() {
    let judged = |ruling| decision(Some(agentguard_core::Commitment(Digest::of(b""))), ruling);
    let let_be = || vec![judged(unenforced()), outcome(1)];
    let held = || vec![judged(refused()), outcome(1)];
    let repeated = || vec![judged(unenforced()), Event::Repeat { of: 1, count: 1 }];
    for (enforcement, began, events, expected) in [
        (Enforcement::Shadow, allowed(), let_be(), vec![]),
        (
            Enforcement::Policy,
            allowed(),
            let_be(),
            vec![(Fault::Entry, 1)],
        ),
        (
            Enforcement::Shadow,
            allowed(),
            held(),
            vec![(Fault::Outcome, 2)],
        ),
        (
            Enforcement::Shadow,
            allowed(),
            repeated(),
            vec![(Fault::Outcome, 2)],
        ),
        (
            Enforcement::Shadow,
            unenforced(),
            vec![],
            vec![(Fault::Entry, 0)],
        ),
    ] {
        let shown = format!("{enforcement:?} {events:?}");
        assert_eq!(faults_in(enforcement, began, events), expected, "{shown}");
    }
}

#[test]
fn a_start_that_the_agent_did_not_sign_is_found() {
    let home = Home::new();
    let directory = session_of(&home, 1);
    let report = verify_with(&directory, &home.keys(), &|entry| {
        assert!(matches!(entry.event, Event::Start { .. }));
        false
    });
    let report = report.unwrap();
    assert_eq!(
        (report.findings[0].fault, report.first_bad()),
        (Fault::Signature, Some(0))
    );
}

#[test]
fn a_clock_that_goes_back_alone_is_found_and_with_the_boots_clock_noted() {
    for (mono, fault) in [(10, true), (5, false)] {
        let home = Home::new();
        let clock = Arc::new(Settable::default());
        clock.0.store(2_000_000, Ordering::Relaxed);
        clock.1.store(10, Ordering::Relaxed);
        let log = SessionLog::create(&home.places, author(), clock.clone()).unwrap();
        begin(&log);
        clock.0.store(1_999_999, Ordering::Relaxed);
        clock.1.store(mono, Ordering::Relaxed);
        act(&log, Class::Normal, "make");
        let directory = log.directory().to_owned();
        log.end().unwrap();
        let report = home.verify(&directory);
        assert_eq!(!report.is_verified(), fault, "{report:#?}");
        if fault {
            assert_eq!(
                (report.findings[0].fault, report.first_bad()),
                (Fault::Clock, Some(1))
            );
        } else {
            assert!(report.notes.iter().any(|note| note.remark == Remark::Clock));
        }
    }
}

#[test]
fn a_receipt_proves_its_entry_by_the_key_alone() {
    let home = Home::new();
    let directory = session_of(&home, 400);
    let vkey = fs::read_dir(home.places.config.join("known"))
        .unwrap()
        .next();
    let vkey = fs::read_to_string(vkey.unwrap().unwrap().path().join("key")).unwrap();
    let keys = Keys::given([vkey.trim_end()]).unwrap();
    for index in [0, 1, 255, 256, 511, 700, 801] {
        let receipt = prove(&directory, Index(index)).unwrap();
        let proven = verify_receipt(receipt.as_bytes(), &keys).unwrap();
        assert_eq!((proven.index, proven.entry.seq), (index, index));
        for (from, to) in [
            (format!("index {index}\n"), format!("index {}\n", index ^ 1)),
            (
                "extra eyJ2IjoxLCJz".to_owned(),
                "extra eyJ2IjoyLCJz".to_owned(),
            ),
            ("\n802\n".to_owned(), "\n803\n".to_owned()),
        ] {
            let forged = receipt.replacen(&from, &to, 1);
            assert_ne!(forged, receipt, "{from}");
            let refuted = verify_receipt(forged.as_bytes(), &keys).unwrap_err();
            assert!(refuted.is_refutation(), "{refuted}");
        }
        let none = verify_receipt(receipt.as_bytes(), &Keys::default());
        assert!(matches!(none, Err(Error::NoKey { .. })));
    }
    let late = prove(&directory, Index(802));
    assert!(matches!(
        late,
        Err(Error::NotSigned {
            index: 802,
            size: 802
        })
    ));
}

#[test]
fn a_published_log_verifies_without_its_write_ahead_file() {
    let home = Home::new();
    let directory = session_of(&home, 200);
    fs::remove_file(directory.join("wal")).unwrap();
    let report = home.verify(&directory);
    assert!(report.is_verified(), "{report:#?}");
    assert_eq!(report.entries, 402);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.remark == Remark::Published)
    );
    assert_eq!(Entries::open(&directory).unwrap().count(), 402);
}

#[test]
fn an_export_verifies_by_the_key_alone_and_holds_texts_only_where_asked_for() {
    let home = Home::new();
    let directory = session_of(&home, 300);
    let keys = home.keys().all()[0].to_string();
    let keys = Keys::given([keys.as_str()]).unwrap();
    for (name, with_texts) in [("bare", false), ("texts", true)] {
        let to = home.path.join(name);
        let checkpoint = agentguard_audit::export(&directory, &to, with_texts).unwrap();
        assert_eq!(checkpoint.size, 602);
        assert_eq!(to.join("texts").exists(), with_texts);
        assert!(!to.join("wal").exists());
        let report = verify(&to, &keys).unwrap();
        assert!(report.is_verified(), "{report:?}");
        assert_eq!((report.entries, report.signed), (602, 602));
        let again = agentguard_audit::export(&directory, &to, with_texts);
        assert!(again.is_err(), "it was written over");
    }
    std::fs::remove_file(home.path.join("bare/tile/0/001")).unwrap();
    let report = verify(&home.path.join("bare"), &keys).unwrap();
    assert_eq!(report.first_bad(), Some(256));
}

#[test]
fn a_session_is_found_by_its_beginning_and_the_latest_by_none() {
    let home = Home::new();
    session_of(&home, 1);
    let last = session_of(&home, 2);
    assert_eq!(find(&home.places, "").unwrap().directory, last);
    let id = last.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        find(&home.places, id.get(..20).unwrap()).unwrap().directory,
        last
    );
    assert!(matches!(
        find(&home.places, "zz"),
        Err(Error::UnknownSession { .. })
    ));
    fs::remove_dir_all(&last).unwrap();
    assert_eq!(find(&home.places, id).unwrap().state, LogState::Missing);
    assert_ne!(find(&home.places, "").unwrap().directory, last);
}

#[test]
fn a_log_is_followed_by_asking_again() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    let mut entries = Entries::open(log.directory()).unwrap();
    assert_eq!(entries.next().unwrap().unwrap().index, 0);
    assert!(entries.next().is_none());
    act(&log, Class::Normal, "make");
    let next = entries.next().unwrap().unwrap();
    assert_eq!(
        (next.index, next.text.as_deref()),
        (1, Some(r#"{"argv":["make"]}"#))
    );
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
