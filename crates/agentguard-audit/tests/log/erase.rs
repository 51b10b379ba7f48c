//! Texts that are erased, and what must not be erased or be taken for it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use agentguard_audit::{Entries, Erased, Error, Fault, Remark, Report, Selection, erase, export};
use agentguard_core::{Class, Event, Evidence, SessionId, Span};

use crate::home::*;

const WHOLE: Span = Span {
    first: 0,
    last: u64::MAX,
};

fn session_at(directory: &Path) -> SessionId {
    SessionId::parse(directory.file_name().unwrap().to_str().unwrap()).unwrap()
}

fn erase_matching(
    home: &Home,
    directory: &Path,
    entries: Span,
    wanted: &str,
) -> Result<Option<Erased>, Error> {
    let matches = |text: &str| text.contains(wanted);
    let selection = Selection {
        entries,
        matches: &matches,
    };
    let who = ("local:1001@desk", Evidence::Asserted);
    let clock = Arc::new(Ticking::default());
    let session = session_at(directory);
    erase(&home.places, &session, &selection, who, "a secret", clock)
}

fn notes(report: &Report) -> Vec<(Remark, u64)> {
    let notes = report.notes.iter();
    notes.map(|note| (note.remark, note.count)).collect()
}

fn texts(directory: &Path) -> String {
    fs::read_to_string(directory.join("texts")).unwrap()
}

#[test]
fn a_session_that_runs_keeps_its_texts() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    act(&log, Class::Critical, "hunter2");
    let directory = log.directory().to_owned();
    let before = texts(&directory);
    let refused = erase_matching(&home, &directory, WHOLE, "hunter2");
    assert!(matches!(refused, Err(Error::Running { .. })), "{refused:?}");
    assert_eq!(texts(&directory), before);
    log.append(Class::Critical, None, |_| session_end())
        .unwrap();
    log.end().unwrap();
    assert_eq!(
        home.verify(&home.places.anchor()).entries,
        2,
        "nothing is recorded"
    );
    let erased = erase_matching(&home, &directory, WHOLE, "hunter2")
        .unwrap()
        .unwrap();
    assert_eq!(
        (erased.count, erased.entries),
        (1, vec![Span { first: 1, last: 1 }])
    );
}

#[test]
fn what_came_of_an_action_is_erased_with_it() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    for text in ["hunter2", "make"] {
        let of = act(&log, Class::Critical, text);
        let digests = format!("{{\"sent\":\"of {text}\"}}").replace("hunter2", "it");
        log.append(Class::Critical, Some(&digests), |text| came(of, text))
            .unwrap();
    }
    log.append(Class::Critical, None, |_| session_end())
        .unwrap();
    let directory = log.directory().to_owned();
    log.end().unwrap();
    assert!(home.verify(&directory).is_verified());
    let erased = erase_matching(&home, &directory, WHOLE, "hunter2").unwrap();
    assert_eq!(
        erased.unwrap().entries,
        [1, 3].map(|index| Span {
            first: index,
            last: index
        }),
        "the decision, and what came of it"
    );
    let texts = texts(&directory);
    assert!(
        !texts.contains("of it") && texts.contains("of make"),
        "{texts}"
    );
    let report = home.verify(&directory);
    assert!(report.is_verified(), "{report:#?}");
}

#[test]
fn what_is_erased_is_gone_and_recorded_and_everything_verifies() {
    let home = Home::new();
    let (directory, other) = (session_of(&home, 300), session_of(&home, 2));
    let erased = erase_matching(&home, &directory, WHOLE, "make 7")
        .unwrap()
        .unwrap();
    assert_eq!(erased.count, 11, "7 and 70 to 79");
    assert!(!texts(&directory).contains("make 7"));
    assert!(texts(&directory).contains("make 80") && texts(&other).contains("make 0"));
    let report = home.verify(&directory);
    assert!(report.is_verified(), "{report:#?}");
    assert_eq!(notes(&report), [(Remark::Erased, 11)]);
    let anchor = home.verify(&home.places.anchor());
    assert!(anchor.is_verified(), "{anchor:#?}");
    let recorded = Entries::open(&home.places.anchor())
        .unwrap()
        .last()
        .unwrap()
        .unwrap();
    assert_eq!(recorded.index, erased.recorded.first);
    assert_eq!(recorded.entry.human, "local:1001@desk");
    let Event::Erasure {
        log,
        entries,
        reason,
    } = recorded.entry.event
    else {
        panic!("{:?}", recorded.entry);
    };
    assert_eq!((log, reason.as_str()), (report.origin, "a secret"));
    assert_eq!(entries, erased.entries);
    let shown = Entries::open(&directory).unwrap().nth(15).unwrap().unwrap();
    assert_eq!(
        (shown.text, shown.erased),
        (None, Some(erased.recorded.first))
    );
    let again = erase_matching(&home, &directory, WHOLE, "make 7").unwrap();
    assert_eq!(again, None, "there is nothing left to erase");
}

#[test]
fn only_the_entries_that_are_named_lose_their_texts() {
    let home = Home::new();
    let directory = session_of(&home, 9);
    let erased = erase_matching(&home, &directory, Span { first: 3, last: 5 }, "make");
    let expected = vec![Span { first: 3, last: 3 }, Span { first: 5, last: 5 }];
    assert_eq!(erased.unwrap().unwrap().entries, expected);
    assert_eq!(notes(&home.verify(&directory)), [(Remark::Erased, 2)]);
}

#[test]
fn a_text_that_is_another_is_not_erased_and_stays_damage() {
    let home = Home::new();
    let directory = session_of(&home, 3);
    fs::write(
        directory.join("texts"),
        texts(&directory).replace("make 1", "make 8"),
    )
    .unwrap();
    let before = texts(&directory);
    let refused = erase_matching(&home, &directory, WHOLE, "make 8");
    assert!(
        matches!(refused, Err(Error::Damaged { index: 3, .. })),
        "{refused:?}"
    );
    assert_eq!(texts(&directory), before);
    let report = home.verify(&directory);
    assert_eq!(
        (report.findings[0].fault, report.first_bad()),
        (Fault::Text, Some(3))
    );
}

/// What lies behind a broken entry is not looked at: that nothing of it was meant, nobody knows.
#[test]
fn a_log_with_a_broken_entry_loses_no_text_and_is_said_to_be_damaged() {
    let home = Home::new();
    let directory = session_of(&home, 3);
    let (before, path) = (texts(&directory), directory.join("wal"));
    let whole = fs::read(&path).unwrap();
    let seq = b"\"seq\":3,";
    let at = whole.windows(seq.len()).position(|w| w == seq).unwrap();
    // Of the frame before `{"v":1,`: twelve bytes, of which the first is the length's.
    for broken in [at + 20, at - 7 - 12] {
        let mut bytes = whole.clone();
        bytes[broken] ^= 0x80;
        fs::write(&path, bytes).unwrap();
        let refused = erase_matching(&home, &directory, WHOLE, "make");
        assert!(
            matches!(refused, Err(Error::Damaged { index: 3, .. })),
            "{refused:?}"
        );
        assert_eq!(texts(&directory), before);
    }
    assert_eq!(
        home.verify(&home.places.anchor()).entries,
        2,
        "nothing is recorded"
    );
}

#[test]
fn a_text_that_is_only_said_to_be_erased_is_damage() {
    let home = Home::new();
    let directory = session_of(&home, 3);
    erase_matching(&home, &directory, WHOLE, "make 0")
        .unwrap()
        .unwrap();
    let forged: String = texts(&directory)
        .lines()
        .map(|line| match line.starts_with("{\"seq\":3,") {
            true => "{\"seq\":3,\"erased\":2}\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    fs::write(directory.join("texts"), forged).unwrap();
    let report = home.verify(&directory);
    assert_eq!(
        (report.findings[0].fault, report.first_bad()),
        (Fault::Text, Some(3))
    );
}

/// A guard that dies between the record and the erasure leaves the text where it was.
#[test]
fn an_erasure_that_was_recorded_and_not_made_is_told_and_can_be_made() {
    let home = Home::new();
    let directory = session_of(&home, 3);
    let before = texts(&directory);
    erase_matching(&home, &directory, WHOLE, "make 0")
        .unwrap()
        .unwrap();
    fs::write(directory.join("texts"), before).unwrap();
    let report = home.verify(&directory);
    assert!(report.is_verified(), "{report:#?}");
    assert_eq!(notes(&report), [(Remark::Unerased, 1)]);
    erase_matching(&home, &directory, WHOLE, "make 0")
        .unwrap()
        .unwrap();
    assert_eq!(notes(&home.verify(&directory)), [(Remark::Erased, 1)]);
    assert!(home.verify(&home.places.anchor()).is_verified());
}

#[test]
fn who_gets_a_log_with_its_texts_sees_what_was_erased() {
    let home = Home::new();
    let directory = session_of(&home, 3);
    erase_matching(&home, &directory, WHOLE, "make 0")
        .unwrap()
        .unwrap();
    let to = home.path.join("export");
    export(&directory, &to, true).unwrap();
    let keys = home.keys();
    let vkeys: Vec<_> = keys.all().iter().map(ToString::to_string).collect();
    let given = agentguard_audit::Keys::given(vkeys.iter().map(String::as_str)).unwrap();
    let report = agentguard_audit::verify(&to, &given).unwrap();
    assert!(report.is_verified(), "{report:#?}");
    assert!(notes(&report).contains(&(Remark::Erased, 1)), "{report:#?}");
}

#[test]
fn a_dead_guards_texts_are_erased_once_its_log_is_closed() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    act(&log, Class::Critical, "hunter2");
    let directory = log.directory().to_owned();
    drop(log); // its guard dies
    erase_matching(&home, &directory, WHOLE, "hunter2")
        .unwrap()
        .unwrap();
    let report = home.verify(&directory);
    assert!(report.is_verified(), "{report:#?}");
    assert!(!texts(&directory).contains("hunter2"));
    assert!(home.verify(&home.places.anchor()).is_verified());
}

#[test]
fn what_a_loss_of_power_left_half_written_is_no_damage_once_the_next_guard_was_there() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    act(&log, Class::Critical, "one");
    act(&log, Class::Critical, "two");
    let directory = log.directory().to_owned();
    drop(log);
    let mut bytes = fs::read(directory.join("texts")).unwrap();
    let lines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let ends: Vec<_> = lines.map(|(at, _)| at).collect();
    bytes[ends[0] + 20..ends[1]].fill(0);
    bytes.truncate(bytes.len() - 5);
    fs::write(directory.join("texts"), bytes).unwrap();
    drop(home.log());
    let report = home.verify(&directory);
    assert!(report.is_verified(), "{report:#?}");
    assert!(notes(&report).contains(&(Remark::NoText, 2)), "{report:#?}");
}
