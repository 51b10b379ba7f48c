//! Erasing what entries commit to, in the name of whoever asks for it.

use std::sync::Arc;

use agentguard_audit::{Erased, Places, Selection};
use agentguard_core::SessionId;

use crate::{Error, SystemClock, human};

/// Erases texts of a session that is over, and records who asked for it and why. Answers `None` where none
/// is selected. `by` says who asks; recorded as asserted.
///
/// # Errors
///
/// Returns what keeps them from being erased.
pub fn erase(
    places: &Places,
    session: &SessionId,
    selection: &Selection<'_>,
    reason: &str,
    by: Option<&str>,
) -> Result<Option<Erased>, Error> {
    let (human, _) = human::of_process(by)?;
    let who = (human.id.as_str(), human.evidence);
    let clock = Arc::new(SystemClock);
    let erased = agentguard_audit::erase(places, session, selection, who, reason, clock);
    erased.map_err(Error::Unerased)
}
