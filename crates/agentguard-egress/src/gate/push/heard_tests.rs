//! Reports of servers, whole and in pieces.

use agentguard_core::RefUpdate;

use super::*;

fn commands(names: &[&str], side_band: bool) -> Commands {
    let update = |name: &&str| RefUpdate::new(None, Some("1".repeat(40)), name).unwrap();
    Commands {
        refs: names.iter().map(update).collect(),
        options: Vec::new(),
        atomic: false,
        signed: false,
        side_band,
        report: true,
        format: gix_hash::Kind::Sha1,
        length: 0,
    }
}

fn report(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        pkt::put(&mut bytes, format!("{line}\n").as_bytes());
    }
    pkt::flush(&mut bytes);
    bytes
}

/// As a server puts it into the side band: what it shows beside it, and the report cut anywhere.
fn in_band(report: &[u8], cut: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (one, two) = report.split_at(cut.min(report.len()));
    pkt::put_in_band(&mut bytes, 2, b"hint: looked at\n");
    pkt::put_in_band(&mut bytes, REPORT, one);
    pkt::put_in_band(&mut bytes, 2, b"done\n");
    pkt::put_in_band(&mut bytes, REPORT, two);
    pkt::flush(&mut bytes);
    bytes
}

fn heard(commands: Commands, bytes: &[u8], piece: usize) -> OutcomeOf {
    let mut said = Said::new(commands);
    for piece in bytes.chunks(piece) {
        said.take(piece);
    }
    said.outcome()
}

fn one(name: &str, refused: Option<&str>, instead: Option<&str>) -> RefOutcome {
    RefOutcome {
        name: name.to_owned(),
        refused: refused.map(str::to_owned),
        instead: instead.map(str::to_owned),
    }
}

const NAMES: [&str; 3] = ["refs/heads/a", "refs/heads/b", "refs/for/main"];

#[test]
fn what_a_server_says_of_each_ref_is_heard_however_it_comes() {
    let report = report(&[
        "unpack ok",
        "ok refs/heads/a",
        "ng refs/heads/b hook declined\u{7}",
        "ok refs/for/main",
        "option refname refs/pull/1/head",
        "option old-oid 0000000000000000000000000000000000000000",
        "option forced-update",
    ]);
    let said = OutcomeOf::Pushed {
        refs: vec![
            one(NAMES[0], None, None),
            one(NAMES[1], Some("hook declined "), None),
            one(NAMES[2], None, Some("refs/pull/1/head")),
        ],
        more: 0,
        unpack: None,
    };
    for piece in [1, 3, 7, 4096] {
        assert_eq!(heard(commands(&NAMES, false), &report, piece), said);
        for cut in 0..report.len() {
            let bytes = in_band(&report, cut);
            assert_eq!(heard(commands(&NAMES, true), &bytes, piece), said, "{cut}");
        }
    }
}

#[test]
fn what_a_server_does_not_say_is_not_taken_for_said() {
    let is_unanswered = |bytes: &[u8]| {
        let outcome = heard(commands(&NAMES, false), bytes, 4096);
        matches!(outcome, OutcomeOf::Unanswered { .. })
    };
    let whole = report(&["unpack ok", "ok refs/heads/a"]);
    for length in 0..whole.len() {
        assert!(is_unanswered(&whole[..length]), "{length}");
    }
    assert!(!is_unanswered(&whole));
    for bytes in [
        report(&["ok refs/heads/a"]),
        report(&["unpack ok", "unpack ok"]),
        report(&["unpack ok", "fine"]),
        b"<html>".to_vec(),
        b"0000".to_vec(),
    ] {
        assert!(is_unanswered(&bytes));
    }
    let failed = report(&[
        "unpack index-pack abnormal exit",
        "ng refs/heads/a unpacker error",
    ]);
    assert_eq!(
        heard(commands(&NAMES, false), &failed, 4096),
        OutcomeOf::Pushed {
            refs: vec![one(NAMES[0], Some("unpacker error"), None)],
            more: 0,
            unpack: Some("index-pack abnormal exit".to_owned()),
        }
    );
    let mut unasked = commands(&NAMES, false);
    unasked.report = false;
    assert!(matches!(
        heard(unasked, b"", 1),
        OutcomeOf::Unanswered { .. }
    ));
}

#[test]
fn what_a_server_says_is_kept_as_far_as_an_entry_has_room() {
    let names: Vec<_> = (0..1000)
        .map(|number| format!("refs/heads/{number}-{}", "x".repeat(900)))
        .collect();
    let asked: Vec<_> = names.iter().map(String::as_str).collect();
    let mut lines = vec!["unpack ok".to_owned(), "ok refs/heads/of-others".to_owned()];
    lines.extend(
        names
            .iter()
            .map(|name| format!("ng {name} {}", "\\\"".repeat(5000))),
    );
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let outcome = heard(commands(&asked, false), &report(&lines), 4096);
    let text = serde_json::to_string(&outcome).unwrap();
    assert!(text.len() < 60_000, "{}", text.len());
    let OutcomeOf::Pushed { refs, more, .. } = outcome else {
        panic!("{text}");
    };
    assert!(refs.len() > 10);
    assert_eq!(u64::try_from(refs.len()).unwrap() + more, 1001);
    assert!(refs.iter().all(|one| one.name != "refs/heads/of-others"));
}
