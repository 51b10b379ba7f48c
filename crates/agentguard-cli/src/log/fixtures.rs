//! Entries for tests: a small session of `ada`'s.

use agentguard::core::{
    Agent, AgentName, Brought, Change, ChangeKind, CommitSeen, Commitment, Digest, Enforcement,
    Entry, Event, Evidence, Held, Human, Level, MessageDigest, Network, Origin, OutcomeOf, RefMove,
    Rule, RuleId, Ruling, SessionId, Tally, Tier, TierDigest, Timestamp, Trigger, TriggerKind,
};
use serde_json::json;

use agentguard::audit::Recorded;

/// An event with its text.
pub(crate) type Told = (Event, Option<String>);

/// Numbers events from 0, one a second from 09:12:00 on.
pub(crate) fn then(events: Vec<Told>) -> Vec<Recorded> {
    let numbered = (0u64..).zip(events);
    numbered
        .map(|(index, (event, text))| recorded(index, event, text))
        .collect()
}

/// An event at its place.
pub(crate) fn recorded(index: u64, event: Event, text: Option<String>) -> Recorded {
    let entry = Entry {
        v: 1,
        seq: index,
        time: Timestamp::from_unix_micros(1_795_511_520_000_000 + index * 1_000_000),
        mono: index,
        boot: "boot".to_owned(),
        session: SessionId::from_random([1; 16]),
        agent: AgentName::parse("ci-7").unwrap(),
        human: "local:1000@desk".to_owned(),
        evidence: Evidence::Asserted,
        event,
    };
    Recorded {
        index,
        entry,
        text,
        erased: None,
        is_changed: false,
    }
}

/// A session that begins with this ref, `name id`, or none.
pub(crate) fn session(reference: &str) -> Told {
    let text = json!({"command": ["make", "all"], "workspace": "/home/ada/work"});
    let event = Event::Start {
        agent: Agent {
            name: AgentName::parse("ci-7").unwrap(),
            key: "ci-7+00000000+AA==".to_owned(),
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
        policy: vec![TierDigest {
            tier: Tier::Shipped,
            digest: Digest::of(b"policy"),
        }],
        level: Level::Full,
        network: Network::Isolated,
        forcing: None,
        missing: Vec::new(),
        held: Some(Held::Process),
        enforcement: Enforcement::Policy,
        require_evidence: Evidence::None,
        require_approval: Evidence::None,
        covered: Vec::new(),
        profile: None,
        switched_off: Vec::new(),
        credentials: Vec::new(),
        ruling: allowed("session/start"),
        refs: Some(reference)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .into_iter()
            .collect(),
        text: commitment(),
        signature: String::new(),
    };
    (event, Some(text.to_string()))
}

/// An exec that was allowed.
pub(crate) fn exec(line: &str) -> Told {
    decision(line, allowed("exec/system"))
}

/// An exec that was refused.
pub(crate) fn refused(line: &str) -> Told {
    let rule = Rule::new("git/protected-branch", "nobody pushes to `main`");
    let ruling = Ruling::Deny {
        rule,
        asked: false,
        approval: None,
    };
    decision(line, ruling)
}

/// What came of a decision.
pub(crate) fn started(of: u64) -> Told {
    let outcome = OutcomeOf::Started {
        program: Digest::of(b"program"),
    };
    (
        Event::Outcome {
            of,
            outcome,
            text: None,
        },
        None,
    )
}

/// A push of these commits.
pub(crate) fn pushed(commits: &[&str], is_allowed: bool) -> Told {
    let commit = |id: &&str| json!({"id": id, "author": "a@b", "committer": "a@b", "parents": 1, "signed": false});
    let commits: Vec<_> = commits.iter().map(commit).collect();
    let push = json!({
        "kind": "push", "host": "git.test", "port": 443, "repository": ["o", "r"], "atomic": false, "signed": false,
        "caller": "/usr/bin/git", "commits": commits, "refs": [
            {"name": "refs/heads/agent/x", "kind": "branch", "short": "agent/x", "change": "create", "forward": true}
        ],
    });
    let brings = serde_json::from_value(push.clone())
        .map(|push| Brought::by(&push))
        .ok();
    let rule = Rule::new("push/protected", "nobody pushes to `main`");
    let ruling = match is_allowed {
        true => allowed("push/own-branch"),
        false => Ruling::Deny {
            rule,
            asked: false,
            approval: None,
        },
    };
    let event = Event::Decision {
        action: "push".to_owned(),
        text: commitment(),
        program: None,
        class: None,
        brings,
        ruling,
    };
    (event, Some(json!({"action": push}).to_string()))
}

/// It was done.
pub(crate) fn done(of: u64) -> Told {
    let outcome = OutcomeOf::Done;
    (
        Event::Outcome {
            of,
            outcome,
            text: None,
        },
        None,
    )
}

/// A commit that was made.
pub(crate) fn seen(id: &str) -> Told {
    refs(id, Origin::Made)
}

/// A commit that was received.
pub(crate) fn received(id: &str) -> Told {
    refs(id, Origin::Received)
}

/// A file that changed.
pub(crate) fn changed(path: &str) -> Told {
    let change = Change {
        path: path.to_owned(),
        change: ChangeKind::Changed,
        sha256: None,
        mode: None,
    };
    let event = Event::Difference {
        covered_by: RuleId::parse("sandbox/workspace").unwrap(),
        files: 1,
        complete: true,
        text: commitment(),
    };
    (event, Some(json!([change]).to_string()))
}

/// The end.
pub(crate) fn ended() -> Told {
    let event = Event::End {
        status: OutcomeOf::Exited { code: 0 },
        tally: Tally::default(),
    };
    (event, None)
}

fn decision(line: &str, ruling: Ruling) -> Told {
    let argv: Vec<_> = line.split(' ').collect();
    let event = Event::Decision {
        action: "exec".to_owned(),
        text: commitment(),
        program: Some(Digest::of(b"program")),
        class: None,
        brings: None,
        ruling,
    };
    (event, Some(json!({"argv": argv}).to_string()))
}

/// Something of git's was signed.
pub(crate) fn signed() -> Told {
    let event = Event::Signature {
        key: "SHA256:x".to_owned(),
        message: Some(MessageDigest::of(b"tree")),
        ruling: allowed("signing/git"),
    };
    (event, None)
}

/// The repository's `HEAD` led from one branch to another.
pub(crate) fn turned(from: &str, to: &str) -> Told {
    let moved = RefMove {
        name: "HEAD".to_owned(),
        old: Some(format!("ref: {from}")),
        new: Some(format!("ref: {to}")),
    };
    let event = Event::Refs {
        moved: vec![moved],
        commits: Vec::new(),
    };
    (event, None)
}

fn refs(id: &str, origin: Origin) -> Told {
    let moved = RefMove {
        name: "refs/heads/main".to_owned(),
        old: None,
        new: Some(id.to_owned()),
    };
    let commit = CommitSeen {
        id: id.to_owned(),
        origin,
        signature: None,
    };
    let event = Event::Refs {
        moved: vec![moved],
        commits: vec![commit],
    };
    (event, None)
}

fn allowed(id: &'static str) -> Ruling {
    Ruling::Allow {
        rule: Rule::new(id, "it is"),
        approval: None,
    }
}

fn commitment() -> Commitment {
    Commitment(Digest::of(b"text"))
}
