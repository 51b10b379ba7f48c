//! What one decision of the shipped policies costs: of an exec never seen, and of one seen before.
#![expect(clippy::unwrap_used, reason = "a bench may stop")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use agentguard::core::{
    Action, Agent, AgentName, Digest, Evidence, Exec, Human, Judge as _, Program, ProgramClass,
    Session, SessionId, Trigger, TriggerKind, Verdict,
};
use agentguard::policy::{Policies, SessionJudge, Sources};

/// How many decisions are taken of each kind.
const COUNT: usize = 4000;

fn main() {
    let started = Instant::now();
    let policies = Policies::load(&Sources {
        org: None,
        user: None,
        repository: None,
    })
    .unwrap();
    println!(
        "loading the shipped policies: {} us",
        started.elapsed().as_micros()
    );
    let judge = policies.judge(session());
    // The first decision also prepares what all others use.
    decide(&judge, exec("/usr/bin/true", &["true"]));
    let commands: [(&str, &str, &[&str]); 3] = [
        ("true NUMBER", "/usr/bin/true", &["true"]),
        (
            "git commit",
            "/usr/bin/git",
            &["git", "commit", "-m", "a message"],
        ),
        (
            "a compiler",
            "/usr/bin/cc",
            &["cc", "-O2", "-Wall", "-I.", "-c", "part.c", "-o", "part.o"],
        ),
    ];
    for (name, path, argv) in commands {
        let cold = (0..COUNT).map(|number| {
            let number = format!("{name} {number}");
            let argv: Vec<_> = argv.iter().copied().chain([number.as_str()]).collect();
            decide(&judge, exec(path, &argv))
        });
        report(&format!("{name}, never seen"), cold.collect());
        let memo = (0..COUNT).map(|_| decide(&judge, exec(path, argv)));
        report(&format!("{name}, seen before"), memo.collect());
    }
}

/// How long preparing and judging take; making the action is the mediator's.
fn decide(judge: &SessionJudge, exec: Exec) -> (Duration, Duration) {
    let started = Instant::now();
    let question = judge.question(Action::Exec(exec));
    let prepared = started.elapsed();
    let verdict = judge.judge(&question).unwrap();
    let total = started.elapsed();
    assert!(matches!(black_box(verdict), Verdict::Allow(_)));
    (prepared, total - prepared)
}

fn report(name: &str, times: Vec<(Duration, Duration)>) {
    let of = |part: fn(&(Duration, Duration)) -> Duration| {
        let mut times: Vec<_> = times.iter().map(part).collect();
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).unwrap().as_nanos();
        (at(50), at(99))
    };
    let (prepared, _) = of(|time| time.0);
    let (judged, rare) = of(|time| time.1);
    println!("{name}: {judged} ns p50, {rare} ns p99; preparing the question {prepared} ns p50");
}

fn exec(path: &str, argv: &[&str]) -> Exec {
    Exec {
        program: Program {
            path: path.to_owned(),
            sha256: Digest::of(path.as_bytes()),
            class: ProgramClass::System,
        },
        script: None,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: "/home/ada/project".to_owned(),
        environment: BTreeMap::new(),
        caller: "/usr/bin/dash".to_owned(),
    }
}

fn session() -> Session {
    Session {
        id: SessionId::from_random([7; 16]),
        human: Human {
            id: "local:1000@desk".to_owned(),
            login: "ada".to_owned(),
            evidence: Evidence::Asserted,
            via: Vec::new(),
        },
        agent: Agent {
            name: AgentName::parse("bench").unwrap(),
            key: String::new(),
        },
        trigger: Trigger {
            kind: TriggerKind::Terminal,
            event: "terminal".to_owned(),
            reference: "/dev/pts/3".to_owned(),
            requested: true,
            facts: Vec::new(),
        },
        workspace: "/home/ada/project".to_owned(),
        branch: Some("agent/fix".to_owned()),
    }
}
