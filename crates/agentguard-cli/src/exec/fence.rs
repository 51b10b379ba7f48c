//! In a GitHub Actions job every line of output may be a command to the runner: what the agent writes is
//! fenced off.
//!
//! # References
//!
//! - <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>, "Stopping and
//!   starting workflow commands"

use std::io::Write as _;
use std::time::Duration;

use crate::failure::Failure;

/// How long a runner may take to read a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps the runner from listening, as long as it lives.
pub(crate) struct Fence(Option<String>);

impl Fence {
    /// Puts up a fence where a runner listens. The word that takes it down is known to nobody inside.
    pub(crate) fn of_process() -> Result<Self, Failure> {
        if std::env::var_os("GITHUB_ACTIONS").is_none_or(|value| value != "true") {
            return Ok(Self(None));
        }
        let word = agentguard::random_word()?;
        say(&format!("::stop-commands::{word}"))?;
        // The agent holds the same pipe: what still lies in it when it starts, it could take out.
        match agentguard::is_read_within(PATIENCE, std::io::stdout()) {
            true => Ok(Self(Some(word))),
            false => Err(
                Failure::new("nobody reads stdout, so that it cannot be fenced off")
                    .with_hint("in a GitHub Actions job stdout has to lead to the runner"),
            ),
        }
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        if let Some(word) = &self.0 {
            // A line that the agent left open must not swallow it.
            let _ = say(&format!("\n::{word}::"));
        }
    }
}

/// Writes past the voice: the runner reads these lines as they are, before and after the child's own.
fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
