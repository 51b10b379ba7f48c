//! What this machine can enforce, and why a session could not be confined.

use std::path::Path;

use agentguard_audit::Places;
use agentguard_sandbox::{Answer, Finding, Subject};

use crate::{Error, Run, arrange};

/// Finds out what this machine can enforce for sessions in `workspace`, by trying. Nothing is left.
///
/// # Errors
///
/// Returns why nothing could be tried.
pub fn examine(places: &Places, workspace: &Path) -> Result<Vec<Finding>, Error> {
    let is_root = rustix::process::getuid().is_root();
    let become_user = is_root.then(arrange::user_for_agents).transpose()?;
    let shown = vec![workspace.to_owned(), places.state.clone()];
    Ok(agentguard_sandbox::examine(&Subject {
        become_user,
        shown,
    })?)
}

/// Why a session of `run` ended in `error`, where this machine is the reason: the first thing missing that its
/// level needs, with its cause and its remedy in words.
#[must_use]
pub fn cause(error: &Error, places: &Places, run: &Run) -> Option<(String, String)> {
    if !may_be_the_machine(error) {
        return None;
    }
    let findings = examine(places, &run.workspace).ok()?;
    let first = findings
        .into_iter()
        .find(|finding| finding.forbids(run.level))?;
    match first.answer {
        Answer::Missing { cause, remedy } => Some((cause, remedy)),
        Answer::Holds | Answer::Unknown { .. } => None,
    }
}

fn may_be_the_machine(error: &Error) -> bool {
    use agentguard_sandbox::Error as Sandbox;
    matches!(
        error,
        Error::Sandbox(Sandbox::Setup { .. } | Sandbox::Io { .. } | Sandbox::MediatorLost)
    )
}
