//! A user's home with logs in it, for tests.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentguard_audit::{Author, Keys, Places, Report, SessionLog, verify};
use agentguard_core::{
    Agent, AgentName, Class, Clock, Commitment, Digest, Enforcement, Event, Evidence, Human, Level,
    Moment, Network, OutcomeOf, Rule, Ruling, SessionId, Tally, Trigger, TriggerKind,
};

/// A directory that goes away with its value.
pub(crate) struct Home {
    pub(crate) path: PathBuf,
    pub(crate) places: Places,
}

impl Home {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("agentguard-audit-{}", random_hex()));
        let places = Places {
            state: path.join("state"),
            config: path.join("config"),
        };
        Self { path, places }
    }

    pub(crate) fn log(&self) -> SessionLog {
        self.log_of(author())
    }

    pub(crate) fn log_of(&self, author: Author) -> SessionLog {
        SessionLog::create(&self.places, author, Arc::new(Ticking::default())).unwrap()
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::pinned(&self.places).unwrap()
    }

    pub(crate) fn verify(&self, directory: &Path) -> Report {
        verify(directory, &self.keys()).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A clock that goes on by a millisecond whenever it is asked.
#[derive(Default)]
pub(crate) struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Moment {
        let tick = self.0.fetch_add(1, Ordering::Relaxed);
        Moment {
            unix_micros: 1_795_510_519_000_000 + tick * 1000,
            boot_nanos: tick * 1_000_000,
        }
    }
}

/// A clock that says what it was set to.
#[derive(Default)]
pub(crate) struct Settable(pub(crate) AtomicU64, pub(crate) AtomicU64);

impl Clock for Settable {
    fn now(&self) -> Moment {
        Moment {
            unix_micros: self.0.load(Ordering::Relaxed),
            boot_nanos: self.1.load(Ordering::Relaxed),
        }
    }
}

pub(crate) fn random_hex() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    agentguard_core::Salt(bytes).to_hex()
}

pub(crate) fn author() -> Author {
    Author {
        session: SessionId::parse(&random_hex()).unwrap(),
        agent: AgentName::parse("ci-7").unwrap(),
        human: "local:1000@desk".to_owned(),
        evidence: Evidence::Asserted,
    }
}

/// The agent's verifier key.
pub(crate) const KEY: &str = "ci-7+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

pub(crate) fn start(text: Option<Commitment>) -> Event {
    start_requiring(text, Evidence::None)
}

pub(crate) fn start_requiring(text: Option<Commitment>, require_evidence: Evidence) -> Event {
    Event::Start {
        agent: Agent {
            name: AgentName::parse("ci-7").unwrap(),
            key: KEY.to_owned(),
        },
        human: Human {
            id: "local:1000@desk".to_owned(),
            login: "ada".to_owned(),
            evidence: Evidence::Asserted,
            via: vec!["local:uid".to_owned()],
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
        require_evidence,
        require_approval: Evidence::None,
        covered: Vec::new(),
        profile: None,
        switched_off: Vec::new(),
        credentials: Vec::new(),
        ruling: allowed(),
        refs: Vec::new(),
        text: text.unwrap(),
        signature: String::new(),
    }
}

pub(crate) fn allowed() -> Ruling {
    Ruling::Allow {
        rule: Rule::new("exec/system", "programs of the system may run"),
        approval: None,
    }
}

pub(crate) fn refused() -> Ruling {
    Ruling::Deny {
        rule: Rule::new("git/protected-branch", "nobody pushes to `main`"),
        asked: false,
        approval: None,
    }
}

/// What a shadow lets be.
pub(crate) fn unenforced() -> Ruling {
    Ruling::Unenforced {
        rule: refused().rule().clone(),
        asked: false,
    }
}

pub(crate) fn decision(text: Option<Commitment>, ruling: Ruling) -> Event {
    Event::Decision {
        action: "exec".to_owned(),
        text: text.unwrap(),
        program: Some(Digest::of(b"program")),
        class: None,
        brings: None,
        ruling,
    }
}

pub(crate) fn outcome(of: u64) -> Event {
    let outcome = OutcomeOf::Started {
        program: Digest::of(b"program"),
    };
    Event::Outcome {
        of,
        outcome,
        text: None,
    }
}

/// What came of a request, with a text.
pub(crate) fn came(of: u64, text: Option<Commitment>) -> Event {
    let outcome = OutcomeOf::Done;
    Event::Outcome { of, outcome, text }
}

pub(crate) fn session_end() -> Event {
    Event::End {
        status: OutcomeOf::Exited { code: 0 },
        tally: Tally::default(),
    }
}

/// Begins a log.
pub(crate) fn begin(log: &SessionLog) {
    log.append(Class::Critical, Some(r#"{"command":["make"]}"#), start)
        .unwrap();
}

/// Appends a decision and its outcome.
pub(crate) fn act(log: &SessionLog, class: Class, words: &str) -> u64 {
    let text = format!(r#"{{"argv":["{words}"]}}"#);
    let of = log
        .append(class, Some(&text), |text| decision(text, allowed()))
        .unwrap();
    log.append(Class::Normal, None, |_| outcome(of.0)).unwrap();
    of.0
}

/// A whole session of this many actions; answers the directory of its log.
pub(crate) fn session_of(home: &Home, actions: usize) -> PathBuf {
    let log = home.log();
    begin(&log);
    for action in 0..actions {
        act(&log, Class::Normal, &format!("make {action}"));
    }
    log.append(Class::Critical, None, |_| session_end())
        .unwrap();
    let directory = log.directory().to_owned();
    log.end().unwrap();
    directory
}
