//! Which log is meant, and which entry.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use agentguard::Places;
use agentguard::audit::{self, Entries, LogInfo, LogState};

use crate::failure::Failure;
use crate::voice::Voice;

/// What the log is called that anchors the sessions'.
pub(crate) const ANCHOR: &str = "anchor";

/// A log that is meant.
pub(crate) struct Log {
    /// Where it lies.
    pub(crate) directory: PathBuf,
    /// What is known of it, where it is a session's of this user.
    pub(crate) info: Option<LogInfo>,
}

impl Log {
    /// Whether its guard writes to it still.
    pub(crate) fn is_running(&self) -> Result<bool, Failure> {
        Ok(audit::is_running(&self.directory)?)
    }
}

/// Finds the log that a word means: a directory, `anchor`, or the beginning of a session's id; without a
/// word the latest session's.
pub(crate) fn find(places: &Places, word: Option<&OsStr>) -> Result<Log, Failure> {
    let Some(word) = word else {
        return find_session(places, "");
    };
    if word == ANCHOR {
        return Ok(Log {
            directory: places.anchor(),
            info: None,
        });
    }
    if Path::new(word).is_dir() {
        return Ok(Log {
            directory: PathBuf::from(word),
            info: None,
        });
    }
    find_session(places, &word.to_string_lossy())
}

/// Finds a session's log by the beginning of its id; of none, the latest.
pub(crate) fn find_session(places: &Places, prefix: &str) -> Result<Log, Failure> {
    let found = match audit::find(places, prefix) {
        Err(audit::Error::UnknownSession { .. }) if prefix.is_empty() => {
            return Err(Failure::new("no session was recorded yet")
                .with_hint("`agentguard exec -- COMMAND` records one"));
        }
        found => found?,
    };
    if found.state == LogState::Missing {
        return Err(Failure::new(format!(
            "the log of session {} is not there, though the anchor log names it",
            found.session
        ))
        .with_hint(format!("it lay in `{}`", found.directory.display())));
    }
    Ok(Log {
        directory: found.directory.clone(),
        info: Some(found),
    })
}

/// Opens one log of several. One that cannot be read is named, and hides no other.
pub(crate) fn open_one(directory: &Path, voice: &mut Voice) -> Option<Entries> {
    let opened = Entries::open(directory);
    if opened.is_err() {
        // What was found so far stands before what went wrong.
        let _ = voice.flush();
    }
    opened
        .map_err(|error| voice.fail(&Failure::from(error)))
        .ok()
}

/// Names the logs that cannot be read, where the latest of the others is meant.
pub(super) fn say_unreadable(places: &Places, voice: &mut Voice) -> Result<(), Failure> {
    for log in audit::logs(places)? {
        if log.state == LogState::Unreadable {
            open_one(&log.directory, voice);
        }
    }
    Ok(())
}

/// An entry, as it is typed: `SESSION:N`; without a session the latest is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// The beginning of the session's id.
    pub(crate) session: String,
    /// The entry's place in that session's log.
    pub(crate) index: u64,
}

impl Place {
    /// Reads `SESSION:N`, `:N` or `N`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let (session, index) = word.rsplit_once(':').unwrap_or(("", word));
        let is_session = session.len() <= 32 && session.bytes().all(is_digit);
        let is_number = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        (is_session && is_number)
            .then(|| index.parse().ok())
            .flatten()
            .map(|index| Self {
                session: session.to_owned(),
                index,
            })
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_by_its_session_and_its_place() {
        let place = |session: &str, index| {
            Some(Place {
                session: session.to_owned(),
                index,
            })
        };
        for (word, expected) in [
            ("36d3a998:12", place("36d3a998", 12)),
            (":0", place("", 0)),
            ("7", place("", 7)),
            ("", None),
            (":", None),
            ("36d3:", None),
            ("36d3:+1", None),
            ("src:12", None),
            ("main", None),
            (":99999999999999999999", None),
        ] {
            assert_eq!(Place::parse(word), expected, "{word}");
        }
    }
}
