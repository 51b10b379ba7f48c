//! In a GitHub Actions job every line of output may be a command to the runner: what the agent writes is
//! fenced off.
//!
//! # References
//!
//! - <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>, "Stopping and
//!   starting workflow commands"

use std::io::Write as _;

use crate::failure::Failure;

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
        Ok(Self(Some(word)))
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
