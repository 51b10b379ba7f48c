//! Whole policies on whole questions.

mod baseline;
mod bounds;
mod check;
mod fuzz;
mod laws;
mod opa;
mod packages;
mod page;
mod profile;
mod propose;
mod query;
mod sources;
mod suite;
mod tiers;

use std::collections::BTreeMap;

use crate::{Policies, SessionJudge, Sources};
use agentguard_core::{
    Action, Agent, AgentName, Digest, Evidence, Exec, Human, Judge as _, Program, ProgramClass,
    Session, SessionId, Trigger, TriggerKind, Undecided, Verdict,
};

/// Policies that are read are evaluated by this program, started again: see `apart`.
#[test]
fn agentguard_evaluator_entry() {
    let _ = crate::evaluate_if_asked();
}

pub(crate) const NOTHING: Sources = Sources {
    org: None,
    user: None,
    repository: None,
};

pub(crate) fn session() -> Session {
    Session {
        id: SessionId::from_random([7; 16]),
        human: Human {
            id: "local:1000@host".to_owned(),
            login: "ann".to_owned(),
            evidence: Evidence::Asserted,
            via: Vec::new(),
        },
        agent: Agent {
            name: AgentName::parse("ci-7").unwrap(),
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
    }
}

pub(crate) fn program(path: &str, class: ProgramClass) -> Program {
    Program {
        path: path.to_owned(),
        sha256: Digest::of(path.as_bytes()),
        class,
    }
}

/// An exec of a system program, by its words.
pub(crate) fn exec(words: &[&str]) -> Exec {
    let name = words[0].rsplit('/').next().unwrap();
    Exec {
        program: program(&format!("/usr/bin/{name}"), ProgramClass::System),
        script: None,
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        cwd: "/home/ann/work".to_owned(),
        environment: BTreeMap::new(),
        caller: "/usr/bin/bash".to_owned(),
    }
}

pub(crate) fn shipped() -> SessionJudge {
    Policies::load(&NOTHING).unwrap().judge(session())
}

pub(crate) fn judge(judge: &SessionJudge, exec: Exec) -> Result<Verdict, Undecided> {
    judge.judge(&judge.question(Action::Exec(exec)))
}

/// The verdict and its rule as a word: `deny git/rewrite`.
pub(crate) fn word(judge_with: &SessionJudge, exec: Exec) -> String {
    match judge(judge_with, exec) {
        Ok(verdict) => {
            let id = verdict.rule().id.clone();
            let word = match verdict {
                Verdict::Allow(_) => "allow",
                Verdict::Ask(_) => "ask",
                Verdict::Deny(_) => "deny",
            };
            format!("{word} {id}")
        }
        Err(undecided) => format!("undecided: {}", undecided.reason),
    }
}
