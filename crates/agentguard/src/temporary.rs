//! Temporary directories of sessions, on a disk: gone when their session is.

use std::fs::File;
use std::path::{Path, PathBuf};

use agentguard_audit::{LogState, Places, find};
use agentguard_core::SessionId;

use crate::arrange::private_directory;
use crate::{Error, signing};

const KIND: &str = "temporary";

/// Makes the temporary directory of a session, and removes those of sessions whose guard died. Until what is
/// returned with it is dropped, nobody removes any: a session that has no log yet looks like one that is over.
pub(crate) fn make(places: &Places, session: &SessionId) -> Result<(PathBuf, File), Error> {
    let all = private_directory(places, KIND)?;
    let held = Error::doing(format!("hold `{}`", all.display()));
    let starting = File::open(&all).and_then(|all| {
        if all.try_lock().is_ok() {
            remove_what_is_over(places);
            all.unlock()?;
        }
        all.lock_shared().map(|()| all)
    });
    let starting = starting.map_err(held)?;
    let own = private_directory(places, Path::new(KIND).join(session.as_str()))?;
    Ok((own, starting))
}

fn remove_what_is_over(places: &Places) {
    for entry in std::fs::read_dir(places.state.join(KIND))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let Some(other) = name.to_str().and_then(|name| SessionId::parse(name).ok()) else {
            continue;
        };
        let is_over = find(places, other.as_str())
            .is_ok_and(|log| matches!(log.state, LogState::Ended | LogState::Lost));
        if is_over {
            remove(&entry.path());
            signing::remove_of(places, &other);
        }
    }
}

/// Removes a session's temporary directory. Everything in the session is dead, and every directory above
/// it is the guard's, so that nobody can put a link in the way.
pub(crate) fn remove(directory: &Path) {
    // What stays is removed by the next session.
    let _ = std::fs::remove_dir_all(directory);
}
