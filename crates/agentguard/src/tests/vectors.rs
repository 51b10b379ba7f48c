//! Approvals that are none, as logs that everything else is right in: `tests/vectors/approval`, for every verifier.
//! `UPDATE=1` writes them anew, with a key and signatures of `ssh-keygen`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicU64;

use agentguard_audit::{Fault, export};
use agentguard_core::{
    Answered, Approval, Approver, Class, Clock, Commitment, Moment, Network, Rule, RuleId, Ruling,
    Salt, Signed, Statement, Tally, Tier, TierDigest, Timestamp, ssh,
};
use agentguard_credentials::session_statement;
use base64ct::{Base64, Encoding as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::*;
use crate::approvals::sign;

const BEGAN: u64 = 1_795_510_519_000_000;
const SECOND: u64 = 1_000_000;
const ACTION: &str = r#"{"schema":1,"action":{"kind":"exec","argv":["make","install"]}}"#;

/// The vectors, and what each is refused for. The first three are accepted.
const VECTORS: [(&str, Option<&str>); 18] = [
    ("accepted", None),
    ("accepted-security-key", None),
    ("accepted-unsigned", None),
    (
        "security-key-untouched",
        Some("no human signed this answer to this question"),
    ),
    (
        "security-key-another-application",
        Some("no human signed this answer to this question"),
    ),
    (
        "security-key-another-counter",
        Some("no human signed this answer to this question"),
    ),
    (
        "another-actor",
        Some("no human signed this answer to this question"),
    ),
    (
        "another-session",
        Some("no human signed this answer to this question"),
    ),
    (
        "another-policy",
        Some("no human signed this answer to this question"),
    ),
    (
        "another-answer",
        Some("no human signed this answer to this question"),
    ),
    (
        "another-use",
        Some("no human signed this answer to this question"),
    ),
    (
        "bad-signature",
        Some("no human signed this answer to this question"),
    ),
    (
        "another-action",
        Some("the question that it names was about something else"),
    ),
    (
        "expired",
        Some("it was allowed after the time for an answer was over"),
    ),
    ("twice", Some("one approval allowed it twice")),
    (
        "unasked",
        Some("it names a question that was not asked before it"),
    ),
    (
        "unsigned",
        Some("it was allowed, and the yes was not signed as policy requires"),
    ),
    (
        "signature-missing",
        Some("it says that a human signed, and there is no signature"),
    ),
];

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/approval")
}

/// A clock that goes on by a microsecond whenever it is asked.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Moment {
        let tick = self.0.fetch_add(1, Ordering::Relaxed);
        Moment {
            unix_micros: BEGAN + tick,
            boot_nanos: tick * 1000,
        }
    }
}

/// Where vectors are made: with an agent's key, and a human's.
struct Maker {
    scratch: Scratch,
    agent: AgentKey,
    human: PathBuf,
    /// What is in a human's security key, which is asked as one is.
    security_key: AgentKey,
}

impl Maker {
    #[expect(clippy::disallowed_methods, reason = "it makes a key for vectors")]
    fn new() -> Self {
        let scratch = Scratch::new();
        let state = scratch.places().state;
        let made = |name| AgentKey::load_or_create(&state, &AgentName::parse(name).unwrap());
        let (agent, security_key) = (made("ci-7").unwrap(), made("security-key").unwrap());
        let human = scratch.0.join("human");
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&human);
        assert!(command.status().unwrap().success());
        Self {
            scratch,
            agent,
            human,
            security_key,
        }
    }

    /// Signs an answer to the question at entry 1, of which something is another in some vectors.
    fn signed(&self, name: &str, session: &SessionId, text: &Commitment) -> Signed {
        let (other_session, other_agent) = (
            SessionId::from_random([9; 16]),
            AgentName::parse("ci-8").unwrap(),
        );
        let other_policy = policy(b"another");
        let is = |what: &str| name == what;
        let statement = Statement {
            id: "7k2m9q4xw8c3t",
            session: if is("another-session") {
                &other_session
            } else {
                session
            },
            agent: if is("another-actor") {
                &other_agent
            } else {
                &self.agent.agent().name
            },
            human: "local:1000@desk",
            policy: if is("another-policy") {
                &other_policy
            } else {
                &policy(b"policy")
            },
            action: "exec",
            text,
            rule: &RuleId::parse("own/ask").unwrap(),
            entry: 1,
            until: &until(),
            question: Digest::of(b"all that was asked"),
            is_yes: !is("another-answer"),
            reason: Some("as agreed"),
        };
        let namespace = if is("another-use") {
            "git"
        } else {
            Statement::NAMESPACE
        };
        let mut sshsig = match name.contains("security-key") {
            true => self.by_security_key(name, &statement.bytes()),
            false => sign(&statement.bytes(), namespace, &self.human).unwrap(),
        };
        if is("bad-signature") {
            // Within the signature, which stands at the end.
            let at = sshsig.trim_end_matches('=').len() - 8;
            let other = if sshsig.as_bytes()[at] == b'A' {
                "B"
            } else {
                "A"
            };
            sshsig.replace_range(at..=at, other);
        }
        Signed {
            question: Digest::of(b"all that was asked"),
            sshsig,
        }
    }

    /// Signs as a security key does (PROTOCOL.u2f), of which something is another in some vectors.
    fn by_security_key(&self, name: &str, statement: &[u8]) -> String {
        let is = |what: &str| name == format!("security-key-{what}");
        let field = |bytes: &[u8]| {
            let mut field = Vec::new();
            ssh::put_string(&mut field, bytes);
            field
        };
        let kind = field(b"sk-ssh-ed25519@openssh.com");
        let namespace = Statement::NAMESPACE.as_bytes();
        let message = ssh::blob(namespace, b"", b"sha512", &Sha512::digest(statement));
        let application: &[u8] = match is("another-application") {
            true => b"https://example.org",
            false => b"ssh:",
        };
        let flags = u8::from(!is("untouched"));
        let signed = [
            &Sha256::digest(application)[..],
            &[flags, 0, 0, 0, 7],
            &Sha256::digest(&message),
        ];
        let signature = self.security_key.sign(&signed.concat());
        let signature = Base64::decode_vec(&signature).unwrap();
        let counter = if is("another-counter") { 8 } else { 7 };
        let signature = [&kind[..], &field(&signature), &[flags, 0, 0, 0, counter]];
        let public = self.security_key.ssh_key();
        let public = [
            &kind[..],
            &field(&public[public.len() - 32..]),
            &field(b"ssh:"),
        ];
        let blob = [
            &b"SSHSIG\0\0\0\x01"[..],
            &field(&public.concat()),
            &field(namespace),
            &field(b""),
            &field(b"sha512"),
            &field(&signature.concat()),
        ];
        Base64::encode_string(&blob.concat())
    }

    fn make(&self, name: &str) {
        let places = self.scratch.places();
        let who = human();
        let session = SessionId::from_random(crate::arrange::random().unwrap());
        let author = Author {
            session: session.clone(),
            agent: self.agent.agent().name,
            human: who.id.clone(),
            evidence: who.evidence,
        };
        let clock = Arc::new(Ticking(AtomicU64::new(0)));
        let log = SessionLog::create(&places, author, clock.clone()).unwrap();
        let begin = |text: Option<Commitment>| {
            let text = text.unwrap();
            let statement = session_statement(&session, &who.id, &text);
            start(
                &who,
                (&self.agent.agent(), self.agent.sign(&statement)),
                text,
            )
        };
        log.append(Class::Critical, Some(r#"{"command":["make"]}"#), begin)
            .unwrap();
        let salt = Salt([7; 16]);
        let asked = log.append_shared(Class::Critical, (ACTION, salt), question);
        let (_, asked) = asked.unwrap();
        let approval = self.approval(name, &session, &asked);
        let of = match name {
            "another-action" => ACTION.replace("make", "rm"),
            _ => ACTION.to_owned(),
        };
        if name == "expired" {
            clock.0.fetch_add(600 * SECOND, Ordering::Relaxed);
        }
        for _ in 0..if name == "twice" { 2 } else { 1 } {
            let event = |text| decision(text, &approval);
            log.append_shared(Class::Critical, (&of, salt), event)
                .unwrap();
        }
        log.append(Class::Critical, None, |_| Event::End {
            status: OutcomeOf::Exited { code: 0 },
            tally: Tally::default(),
        })
        .unwrap();
        let directory = log.directory().to_owned();
        log.end().unwrap();
        export(&directory, &vectors().join(name), false).unwrap();
    }

    fn approval(&self, name: &str, session: &SessionId, text: &Commitment) -> Approval {
        let is_signed = !matches!(name, "unsigned" | "accepted-unsigned");
        let is_there = is_signed && name != "signature-missing";
        let answer = match name {
            "accepted-unsigned" => Answered::Denied,
            _ => Answered::Approved,
        };
        Approval {
            question: if name == "unasked" { 0 } else { 1 },
            answer,
            by: Some(Approver {
                id: if is_signed {
                    "ssh:ada"
                } else {
                    "local:1000@desk"
                }
                .to_owned(),
                login: "ada".to_owned(),
                evidence: if is_signed {
                    Evidence::Signed
                } else {
                    Evidence::Asserted
                },
            }),
            reason: Some("as agreed".to_owned()),
            signed: is_there.then(|| self.signed(name, session, text)),
        }
    }
}

fn human() -> Human {
    Human {
        id: "local:1000@desk".to_owned(),
        login: "ada".to_owned(),
        evidence: Evidence::Asserted,
        via: Vec::new(),
    }
}

fn policy(content: &[u8]) -> Vec<TierDigest> {
    vec![TierDigest {
        tier: Tier::User,
        digest: Digest::of(content),
    }]
}

fn until() -> Timestamp {
    Timestamp::from_unix_micros(BEGAN + 600 * SECOND)
}

fn asks() -> Rule {
    Rule::new("own/ask", "a human looks at it")
}

fn start(human: &Human, (agent, signature): (&Agent, String), text: Commitment) -> Event {
    Event::Start {
        agent: agent.clone(),
        human: human.clone(),
        trigger: Trigger {
            kind: TriggerKind::Terminal,
            event: "terminal".to_owned(),
            reference: "/dev/pts/3".to_owned(),
            requested: true,
            facts: Vec::new(),
        },
        policy: policy(b"policy"),
        level: Level::Full,
        network: Network::Isolated,
        forcing: None,
        missing: Vec::new(),
        held: None,
        enforcement: Enforcement::Policy,
        require_evidence: Evidence::None,
        require_approval: Evidence::Signed,
        covered: Vec::new(),
        profile: None,
        switched_off: Vec::new(),
        credentials: Vec::new(),
        ruling: Ruling::Allow {
            rule: Rule::new("session/start", "a session may start"),
            approval: None,
        },
        refs: Vec::new(),
        text,
        signature,
    }
}

fn question(text: Commitment) -> Event {
    Event::Question {
        id: "7k2m9q4xw8c3t".to_owned(),
        action: "exec".to_owned(),
        rule: asks(),
        until: until(),
        text,
    }
}

fn decision(text: Commitment, approval: &Approval) -> Event {
    let (rule, given) = (asks(), Some(Box::new(approval.clone())));
    let ruling = if approval.answer == Answered::Approved {
        Ruling::Allow {
            rule,
            approval: given,
        }
    } else {
        Ruling::Deny {
            rule,
            asked: true,
            approval: given,
        }
    };
    Event::Decision {
        action: "exec".to_owned(),
        text,
        program: Some(Digest::of(b"program")),
        class: Some(ProgramClass::System),
        brings: None,
        ruling,
    }
}

fn make_all() {
    let _ = fs::remove_dir_all(vectors());
    fs::create_dir_all(vectors()).unwrap();
    let maker = Maker::new();
    for (name, _) in VECTORS {
        maker.make(name);
    }
    let keys = Keys::pinned(&maker.scratch.places()).unwrap();
    let key = keys.all().first().unwrap().to_string();
    fs::write(vectors().join("key"), format!("{key}\n")).unwrap();
}

#[test]
fn an_approval_counts_for_what_was_asked_in_time_once_and_by_whom_it_has_to_be() {
    if std::env::var_os("UPDATE").is_some() {
        make_all();
    }
    let key = fs::read_to_string(vectors().join("key")).unwrap();
    let keys = Keys::given([key.trim()]).unwrap();
    for (name, expected) in VECTORS {
        let report = crate::verify_session(&vectors().join(name), &keys).unwrap();
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|finding| (finding.fault, finding.detail.as_str()))
            .collect();
        let expected: Vec<_> = expected
            .map(|why| (Fault::Approval, why))
            .into_iter()
            .collect();
        assert_eq!(found, expected, "{name}");
    }
    let there = fs::read_dir(vectors()).unwrap().count();
    assert_eq!(there, VECTORS.len() + 1, "a vector that nobody names");
}
