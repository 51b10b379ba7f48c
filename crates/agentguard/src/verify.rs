//! Verification of a session's log with the agent's own signature, which only the facade can check.

use std::path::Path;

use agentguard_audit::{Keys, Report, verify_with};
use agentguard_core::{Entry, Event};
use agentguard_credentials::session_statement;

/// Verifies the log in `directory`, the agent's signature over the session's start included.
///
/// # Errors
///
/// Returns why nothing could be checked.
pub fn verify_session(directory: &Path, keys: &Keys) -> Result<Report, agentguard_audit::Error> {
    verify_with(directory, keys, &is_signed)
}

/// Whether a session's start is signed by the agent that it names. Other entries are not.
pub(crate) fn is_signed(entry: &Entry) -> bool {
    let Event::Start {
        agent,
        human,
        text,
        signature,
        ..
    } = &entry.event
    else {
        return true;
    };
    let statement = session_statement(&entry.session, &human.id, text);
    agentguard_credentials::verify(agent, &statement, signature)
}
