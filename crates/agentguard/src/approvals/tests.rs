//! What the tests of questions and answers stand on.

use std::path::PathBuf;

use agentguard_audit::Places;
use agentguard_core::{AgentName, Commitment, Digest, Rule, SessionId, Timestamp};

use super::place::{Own, Place};
use super::question::{Asked, Question};

/// A session's directory of questions, removed with this.
pub(super) struct Desk {
    own: Option<Own>,
    places: Places,
    root: PathBuf,
}

impl Desk {
    pub(super) fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("agentguard-{name}-{}", std::process::id()));
        std::fs::create_dir(&root).unwrap();
        let places = Places {
            state: root.join("state"),
            config: root.join("config"),
        };
        let own = Own::make(&places, &SessionId::from_random([1; 16])).unwrap();
        Self {
            own: Some(own),
            places,
            root,
        }
    }

    pub(super) fn place(&self) -> &Place {
        self.own.as_ref().unwrap().place()
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.own = None;
        std::fs::remove_dir_all(&self.root).unwrap();
    }
}

/// A question that can be answered until then.
pub(super) fn question(id: &str, until: u64) -> Question {
    Question::new(Asked {
        id: id.to_owned(),
        session: SessionId::from_random([1; 16]),
        agent: AgentName::parse("ci-7").unwrap(),
        human: "local:1000@desk".to_owned(),
        kind: "exec".to_owned(),
        action: "`make`".to_owned(),
        rule: Rule::new("own/ask", "a human looks at it"),
        policy: Vec::new(),
        input: "{}".to_owned(),
        whole: None,
        entry: 1,
        text: Commitment(Digest::of(b"text")),
        over: Timestamp::from_unix_micros(until.min(1 << 50)),
        must_be_signed: false,
        salt: "salt".to_owned(),
        waits_until: until,
        until,
    })
}
