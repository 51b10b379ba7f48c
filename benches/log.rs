//! What the log costs: durable records a second with many callers, and entries verified a second.
#![expect(clippy::unwrap_used, reason = "a bench may stop")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agentguard::audit::{Author, Keys, Places, SessionLog, verify};
use agentguard::core::{
    Agent, AgentName, Class, Clock, Commitment, Digest, Enforcement, Event, Evidence, Human, Level,
    Moment, Network, OutcomeOf, ProgramClass, Rule, Ruling, SessionId, Trigger, TriggerKind,
};

/// Callers that each wait for their record.
const CALLERS: usize = 256;
/// How long they append.
const APPEND_FOR: Duration = Duration::from_secs(2);
/// How many entries are verified.
const VERIFIED: usize = 400_000;

struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Moment {
        let tick = self.0.fetch_add(1, Ordering::Relaxed);
        Moment {
            unix_micros: 1_795_510_519_000_000 + tick,
            boot_nanos: tick * 1000,
        }
    }
}

fn main() {
    let home =
        std::env::var_os("AGENTGUARD_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = home.join(format!("agentguard-bench-{}", std::process::id()));
    let places = Places {
        state: path.join("state"),
        config: path.join("config"),
    };
    short_session(&places);
    for (class, name) in [(Class::Critical, "durable"), (Class::Normal, "written")] {
        appends(&places, class, name);
    }
    verifies(&places);
    std::fs::remove_dir_all(&path).unwrap();
}

/// What a session of one action waits for.
fn short_session(places: &Places) {
    for _ in 0..3 {
        let started = Instant::now();
        let log = begin(places);
        let begun = started.elapsed();
        let text = Some("{}");
        log.append(Class::Normal, text, |text| decision(text.unwrap()))
            .unwrap();
        let before_end = Instant::now();
        log.end().unwrap();
        println!(
            "short session: begins in {} us, ends in {} us",
            begun.as_micros(),
            before_end.elapsed().as_micros()
        );
    }
}

fn appends(places: &Places, class: Class, name: &str) {
    let log = begin(places);
    let started = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while started.elapsed() < APPEND_FOR {
                        let text = Some(r#"{"argv":["git","status"]}"#);
                        log.append(class, text, |text| decision(text.unwrap()))
                            .unwrap();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .sum()
    });
    let rate = per_second(count, started.elapsed());
    println!("{name} records, {CALLERS} callers: {rate} a second");
}

fn verifies(places: &Places) {
    let log = begin(places);
    for _ in 0..VERIFIED / 2 {
        let text = Commitment(Digest::of(b"text"));
        let of = log
            .append(Class::Covered, None, |_| decision(text))
            .unwrap()
            .0;
        let outcome = OutcomeOf::Started {
            program: Digest::of(b"program"),
        };
        log.append(Class::Covered, None, |_| Event::Outcome {
            of,
            outcome,
            text: None,
        })
        .unwrap();
    }
    let directory = log.directory().to_owned();
    let started = Instant::now();
    log.end().unwrap();
    println!(
        "ending a log of {VERIFIED} entries: {} ms",
        started.elapsed().as_millis()
    );
    let keys = Keys::pinned(places).unwrap();
    let bytes = std::fs::metadata(directory.join("wal")).unwrap().len();
    for _ in 0..3 {
        let started = Instant::now();
        let report = verify(&directory, &keys).unwrap();
        let elapsed = started.elapsed();
        assert!(report.is_verified());
        let rate = per_second(report.entries, elapsed);
        println!(
            "verify: {rate} entries a second of {} bytes each",
            bytes / report.entries
        );
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap();
    count * 1000 / millis.max(1)
}

fn begin(places: &Places) -> SessionLog {
    static SESSIONS: AtomicU64 = AtomicU64::new(0);
    let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
    let random = (u128::from(std::process::id()) << 64) | u128::from(number);
    let author = Author {
        session: SessionId::from_random(random.to_be_bytes()),
        agent: AgentName::parse("bench").unwrap(),
        human: "local:1000@desk".to_owned(),
        evidence: Evidence::Asserted,
    };
    let log = SessionLog::create(places, author, Arc::new(Ticking(AtomicU64::new(0)))).unwrap();
    log.append(Class::Critical, Some("{}"), |text| start(text.unwrap()))
        .unwrap();
    log
}

fn start(text: Commitment) -> Event {
    Event::Start {
        agent: Agent {
            name: AgentName::parse("bench").unwrap(),
            key: String::new(),
        },
        human: Human {
            id: "local:1000@desk".to_owned(),
            login: "ada".to_owned(),
            evidence: Evidence::Asserted,
            via: Vec::new(),
        },
        trigger: Trigger {
            kind: TriggerKind::Terminal,
            event: "terminal".to_owned(),
            reference: "/dev/pts/3".to_owned(),
            requested: true,
            facts: Vec::new(),
        },
        policy: Vec::new(),
        level: Level::Full,
        network: Network::Isolated,
        forcing: None,
        missing: Vec::new(),
        held: None,
        enforcement: Enforcement::Policy,
        require_evidence: Evidence::None,
        require_approval: Evidence::None,
        covered: Vec::new(),
        profile: None,
        switched_off: Vec::new(),
        credentials: Vec::new(),
        ruling: allowed(),
        refs: Vec::new(),
        text,
        signature: String::new(),
    }
}

fn decision(text: Commitment) -> Event {
    Event::Decision {
        action: "exec".to_owned(),
        text,
        program: Some(Digest::of(b"program")),
        class: Some(ProgramClass::System),
        brings: None,
        ruling: allowed(),
    }
}

fn allowed() -> Ruling {
    Ruling::Allow {
        rule: Rule::new("exec/system", "programs of the system may run"),
        approval: None,
    }
}
