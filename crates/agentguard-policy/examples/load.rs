//! How long the shipped policies take in a process of their own: to load, to confine a session, and to
//! decide for the first time. `for i in $(seq 20); do target/release/examples/load; done`
#![expect(clippy::print_stdout, reason = "an example shows what it measured")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use agentguard_core::{
    Action, Agent, AgentName, Digest, Evidence, Exec, Human, Judge as _, Level, Network, Program,
    ProgramClass, Session, SessionId, Trigger, TriggerKind,
};
use agentguard_policy::{Policies, Request, Sources};

fn main() -> Result<(), Box<dyn Error>> {
    let nothing = Sources {
        org: None,
        user: std::env::args_os().nth(1).map(Into::into),
        repository: None,
    };
    let session = session()?;
    let request = Request {
        session: session.clone(),
        human_home: "/home/ann".into(),
        home: "/home/ann".into(),
        profile: None,
        level: Level::Full,
        network: Network::Isolated,
        ports: Vec::new(),
        environment: Vec::new(),
        git_directories: vec![".git".into()],
    };
    let begin = Instant::now();
    let policies = Policies::load(&nothing)?;
    let loaded = begin.elapsed();
    let confined = policies.confine(&request)?;
    let confining = begin.elapsed() - loaded;
    let begun = Instant::now();
    policies.prepare(); // a guard has this done while its mediator builds the session
    let preparing = begun.elapsed();
    let waited = Instant::now();
    let judge = policies.judge(session);
    let verdict = judge.judge(&judge.question(Action::Exec(exec())))?;
    let deciding = waited.elapsed();
    println!(
        "load {loaded:?}  confine {confining:?}  prepare {preparing:?}  first decision {deciding:?}  ({} pins, {})",
        confined.confinement.pins.len(),
        verdict.rule().id
    );
    Ok(())
}

fn exec() -> Exec {
    Exec {
        program: Program {
            path: "/usr/bin/make".to_owned(),
            sha256: Digest::of(b"make"),
            class: ProgramClass::System,
        },
        script: None,
        argv: vec!["make".to_owned(), "test".to_owned()],
        cwd: "/home/ann/work".to_owned(),
        environment: BTreeMap::new(),
        caller: "/usr/bin/bash".to_owned(),
    }
}

fn session() -> Result<Session, Box<dyn Error>> {
    Ok(Session {
        id: SessionId::from_random([7; 16]),
        human: Human {
            id: "local:1000@host".to_owned(),
            login: "ann".to_owned(),
            evidence: Evidence::Asserted,
            via: Vec::new(),
        },
        agent: Agent {
            name: AgentName::parse("ci-7")?,
            key: "ci-7+00000000+AAAA".to_owned(),
        },
        trigger: Trigger {
            kind: TriggerKind::Terminal,
            event: "terminal".to_owned(),
            reference: "/dev/pts/1".to_owned(),
            requested: true,
            facts: Vec::new(),
        },
        workspace: "/home/ann/work".to_owned(),
        branch: Some("topic".to_owned()),
    })
}
