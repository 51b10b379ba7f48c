//! What is asked for, and who is told what came of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use agentguard_core::{AgentName, Enforcement, Index, Level, Network, Rule};
use serde::Serialize;

use crate::approvals::Question;

/// A command to be run as a session.
#[derive(Clone, Debug)]
pub struct Run {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Who acts.
    pub agent: Option<AgentName>,
    /// Who asked, where a flag says so.
    pub by: Option<String>,
    /// The directory to work in.
    pub workspace: PathBuf,
    /// The profile of a known agent.
    pub profile: Option<String>,
    /// How much is to be enforced.
    pub level: Level,
    /// The network to be seen. Without a word it is the session's own, with a gate where policy grants hosts.
    pub network: Option<Network>,
    /// Loopback ports of the host to be reached.
    pub ports: Vec<u16>,
    /// Seconds until the session is ended, where policy does not end it earlier.
    pub seconds: Option<u64>,
    /// How long an action waits for a human where a rule asks; none, and nobody is asked.
    pub approval: Duration,
    /// Variables to pass besides those that policy lets through.
    pub environment: Vec<String>,
    /// The user's policy, in place of the one in the configuration.
    pub policy: Option<PathBuf>,
    /// Whose refusals are to hold.
    pub enforcement: Enforcement,
}

impl Run {
    /// How long an action waits for a human, where nothing else is asked for.
    pub const APPROVAL: Duration = Duration::from_secs(120);

    /// A run of `command` in `workspace` with everything enforced and nothing added.
    #[must_use]
    pub fn new(workspace: PathBuf, command: Vec<OsString>) -> Self {
        Self {
            command,
            agent: None,
            by: None,
            workspace,
            profile: None,
            level: Level::Full,
            network: None,
            ports: Vec::new(),
            seconds: None,
            approval: Self::APPROVAL,
            environment: Vec::new(),
            policy: None,
            enforcement: Enforcement::Policy,
        }
    }
}

/// Something that was refused, or would have been, for whoever watches the session from outside.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Told {
    /// What was refused, as a command line or in words.
    pub action: String,
    /// Which rule, why, and what instead.
    pub rule: Rule,
    /// The entry that says so, unless the log could not be written.
    pub entry: Option<u64>,
    /// Whether it was the session's own command.
    pub is_command: bool,
    /// Whether it does not happen; a shadow lets it be.
    pub is_enforced: bool,
}

impl Told {
    /// Makes it of a refusal.
    #[must_use]
    pub fn new(action: String, rule: Rule, entry: Option<Index>, is_command: bool) -> Self {
        Self {
            action,
            rule,
            entry: entry.map(|index| index.0),
            is_command,
            is_enforced: true,
        }
    }

    /// Says that it happens all the same.
    #[must_use]
    pub fn not_enforced(mut self) -> Self {
        self.is_enforced = false;
        self
    }

    /// The lines that say it, each under our name. Nothing in them moves a cursor or hides.
    #[must_use]
    pub fn lines(&self) -> String {
        use crate::text::visible;
        let rule = &self.rule;
        let mut lines = format!(
            "agentguard: {}: {}: {} (rule `{}`)\n",
            match self.is_enforced {
                true => "refused",
                false => "would be refused",
            },
            visible(&self.action),
            visible(&rule.reason),
            rule.id
        );
        if let Some(remedy) = &rule.remedy {
            lines.push_str(&format!("agentguard: hint: {}\n", visible(remedy)));
        }
        match self.entry {
            Some(entry) => lines.push_str(&format!("agentguard: note: entry {entry}\n")),
            None => lines.push_str("agentguard: note: no entry, since the log cannot be written\n"),
        }
        lines
    }
}

/// Waits until whoever reads the pipe `out` has read all of it: what still lies in a pipe can be taken out
/// by anyone of the same user who holds its other end. What is no pipe is not waited for.
#[must_use]
pub fn is_read_within(patience: std::time::Duration, out: impl std::os::fd::AsFd) -> bool {
    const TURN: std::time::Duration = std::time::Duration::from_millis(1);
    let is_pipe = rustix::fs::fstat(&out).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo
    });
    let begun = std::time::Instant::now();
    while is_pipe && rustix::io::ioctl_fionread(&out) != Ok(0) {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(TURN);
    }
    true
}

/// Is told what happens in a session. The agent is told by other means.
pub trait Tell: Sync {
    /// Something was refused, or would have been.
    fn refused(&self, told: &Told);
    /// Something about the session is good to know before it begins.
    fn note(&self, text: &str);

    /// No rule refused the session: it begins.
    fn begins(&self);

    /// Something waits for a human.
    fn asked(&self, question: &Question);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Tell for Silent {
    fn refused(&self, _: &Told) {}
    fn note(&self, _: &str) {}

    fn begins(&self) {}

    fn asked(&self, _: &Question) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_cannot_forge_lines_of_ours() {
        let rule = Rule::new("a/b", "because").with_remedy("do\u{1b}[2Jthis");
        let told = Told::new(
            "x\nagentguard: note: all is well".to_owned(),
            rule,
            None,
            false,
        );
        assert_eq!(
            told.lines(),
            "agentguard: refused: x\\nagentguard: note: all is well: because (rule `a/b`)\n\
             agentguard: hint: do\\u{1b}[2Jthis\n\
             agentguard: note: no entry, since the log cannot be written\n"
        );
    }

    #[test]
    fn a_pipe_is_waited_for_until_it_is_read() {
        use std::io::{Read as _, Write as _};
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let soon = std::time::Duration::from_millis(20);
        assert!(is_read_within(soon, &writer));
        writer.write_all(b"word").unwrap();
        assert!(!is_read_within(soon, &writer));
        reader.read_exact(&mut [0; 4]).unwrap();
        assert!(is_read_within(soon, &writer));
    }
}
