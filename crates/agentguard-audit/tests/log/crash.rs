//! A guard that is killed at any time loses nothing that it acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentguard_audit::{Author, Entries, LogState, Places, Remark, SessionLog, logs};
use agentguard_core::{AgentName, Class, Evidence, SessionId};

use crate::home::*;

const PLACE: &str = "AGENTGUARD_AUDIT_CRASH_PLACE";
const SESSION: &str = "AGENTGUARD_AUDIT_CRASH_SESSION";
const ROUNDS: usize = 16;
const WRITERS: u64 = 32;

/// What the killed process does: many threads append, and each tells what was acknowledged.
#[test]
#[ignore = "`a_guard_that_is_killed_at_any_time_loses_nothing_it_acknowledged` runs it and kills it"]
fn the_guard_that_is_killed() {
    let path = std::path::PathBuf::from(std::env::var_os(PLACE).unwrap());
    let places = Places {
        state: path.join("state"),
        config: path.join("config"),
    };
    let author = Author {
        session: SessionId::parse(&std::env::var(SESSION).unwrap()).unwrap(),
        agent: AgentName::parse("ci-7").unwrap(),
        human: "local:1000@desk".to_owned(),
        evidence: Evidence::Asserted,
    };
    let log = SessionLog::create(&places, author, Arc::new(Ticking::default())).unwrap();
    begin(&log);
    let counter = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    let class = match number % 4 {
                        0 => Class::Critical,
                        1 => Class::Covered,
                        _ => Class::Normal,
                    };
                    let text = format!("text {number}");
                    let appended = log.append(class, Some(&text), |t| decision(t, refused()));
                    let index = appended.unwrap().0;
                    if class != Class::Covered {
                        // One write: lines of several threads do not mix.
                        let line = format!("acknowledged {index} {text}\n");
                        std::io::stderr().write_all(line.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "a test runs itself")]
fn spawn(home: &Home, session: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::the_guard_that_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(PLACE, &home.path)
        .env(SESSION, session)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn random_below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_ne_bytes(bytes) % limit
}

/// Runs a guard, kills it after so many acknowledgements, and answers all that came.
fn kill_after(home: &Home, session: &str, count: u64) -> BTreeMap<u64, String> {
    let mut child = spawn(home, session);
    let mut acknowledged = BTreeMap::new();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut other = String::new();
    for line in stderr.lines() {
        let line = line.unwrap();
        let told = line.strip_prefix("acknowledged ");
        if let Some((index, text)) = told.and_then(|told| told.split_once(' ')) {
            acknowledged.insert(index.parse().unwrap(), text.to_owned());
        } else {
            other.push_str(&line);
        }
        if u64::try_from(acknowledged.len()).unwrap() == count {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(9), "it ended by itself: {other}");
    acknowledged
}

#[test]
fn a_guard_that_is_killed_at_any_time_loses_nothing_it_acknowledged() {
    let home = Home::new();
    for round in 0..ROUNDS {
        let session = random_hex();
        let acknowledged = kill_after(&home, &session, 1 + random_below(1500));
        drop(home.log()); // the next guard records what was lost
        let log = logs(&home.places).unwrap().remove(round);
        assert_eq!(
            (log.session.as_str(), log.state),
            (session.as_str(), LogState::Lost)
        );
        let report = home.verify(&log.directory);
        assert!(report.is_verified(), "{report:#?}");
        assert_eq!(report.entries, report.signed);
        assert!(
            report
                .notes
                .iter()
                .all(|note| note.remark == Remark::Unended),
            "{report:#?}"
        );
        let entries = Entries::open(&log.directory).unwrap();
        let entries: Vec<_> = entries.map(Result::unwrap).collect();
        for (index, text) in &acknowledged {
            let entry = &entries[usize::try_from(*index).unwrap()];
            assert_eq!((entry.index, entry.text.as_ref()), (*index, Some(text)));
        }
    }
    let anchor = home.verify(&home.places.anchor());
    assert!(anchor.is_verified(), "{anchor:#?}");
    assert_eq!(anchor.entries, 2 * u64::try_from(ROUNDS).unwrap());
}
