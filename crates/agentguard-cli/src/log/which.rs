//! Which log is meant, and which entry.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use agentguard::Places;
use agentguard::audit::{self, Entries, LogInfo, LogState, Recorded};
use agentguard::core::{Entry, Event};

use crate::failure::Failure;
use crate::voice::{Voice, Word};

/// What the log is called that anchors the sessions'.
pub(crate) const ANCHOR: &str = "anchor";

/// A log that is meant.
pub(crate) struct Log {
    /// Where it lies.
    pub(crate) directory: PathBuf,
    /// What is known of it, where it is a session's of this user.
    pub(crate) info: Option<LogInfo>,
    /// Whether it was named by its directory, and may be anybody's.
    is_anywhere: bool,
}

impl Log {
    /// Whether its guard writes to it still.
    pub(crate) fn is_running(&self) -> Result<bool, Failure> {
        Ok(audit::is_running(&self.directory)?)
    }

    /// Says of a log that may be anybody's that it was shown as it stands.
    pub(crate) fn say_unverified(&self, voice: &mut Voice) -> Result<(), Failure> {
        if self.is_anywhere {
            voice.flush()?;
            let text = format!(
                "nothing of it was verified; `agentguard verify {}` does that",
                self.directory.display()
            );
            voice.say(Word::Note, &text);
        }
        Ok(())
    }
}

/// Finds the log that a word means: a directory, `anchor`, or the beginning of a session's id; without a
/// word the latest session's.
pub(crate) fn find(places: &Places, word: Option<&OsStr>) -> Result<Log, Failure> {
    let Some(word) = word else {
        return find_session(places, "");
    };
    if word == ANCHOR {
        return Ok(anchor(places));
    }
    if Path::new(word).is_dir() {
        return Ok(Log {
            directory: PathBuf::from(word),
            info: None,
            is_anywhere: true,
        });
    }
    find_session(places, &word.to_string_lossy())
}

fn anchor(places: &Places) -> Log {
    Log {
        directory: places.anchor(),
        info: None,
        is_anywhere: false,
    }
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
        is_anywhere: false,
    })
}

/// Visits the entries of one log of several, as long as the answer is to go on. One that cannot be read, or not to its
/// end, is named and hides no other. Answers whether it could be read.
pub(crate) fn read_one(
    directory: &Path,
    voice: &mut Voice,
    mut visit: impl FnMut(Recorded, &mut Voice) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let Some(entries) = readable(Entries::open(directory), voice) else {
        return Ok(false);
    };
    for recorded in entries {
        let Some(recorded) = readable(recorded, voice) else {
            return Ok(false);
        };
        if !visit(recorded, voice)? {
            break;
        }
    }
    Ok(true)
}

/// What was read, or nothing where it is said why it could not be.
fn readable<T>(read: Result<T, audit::Error>, voice: &mut Voice) -> Option<T> {
    if read.is_err() {
        // What was found so far stands before what went wrong.
        let _ = voice.flush();
    }
    read.map_err(|error| voice.fail(&Failure::from(error))).ok()
}

/// Names the logs that cannot be read, where the latest of the others is meant.
pub(super) fn say_unreadable(places: &Places, voice: &mut Voice) -> Result<(), Failure> {
    for log in audit::logs(places)? {
        if log.state == LogState::Unreadable {
            readable(Entries::open(&log.directory), voice);
        }
    }
    Ok(())
}

/// How the log of an entry is named: by the beginning of its session's id, or as the anchor log.
pub(super) fn log_of(entry: &Entry) -> &str {
    // They stand in the anchor log only.
    if matches!(entry.event, Event::Anchor { .. } | Event::Erasure { .. }) {
        return ANCHOR;
    }
    let session = entry.session.as_str();
    session.get(..8).unwrap_or(session)
}

/// An entry, as it is typed: `SESSION:N`, `anchor:N`; without a session the latest is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// The beginning of the session's id, or the anchor log's name.
    pub(crate) session: String,
    /// The entry's place in that log.
    pub(crate) index: u64,
}

impl Place {
    /// Finds its log.
    pub(crate) fn log(&self, places: &Places) -> Result<Log, Failure> {
        match self.session == ANCHOR {
            true => Ok(anchor(places)),
            false => find_session(places, &self.session),
        }
    }

    /// Reads `SESSION:N`, `anchor:N`, `:N` or `N`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let (session, index) = word.rsplit_once(':').unwrap_or(("", word));
        let is_log = session == ANCHOR || (session.len() <= 32 && session.bytes().all(is_digit));
        let is_number = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        (is_log && is_number)
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
            ("anchor:3", place("anchor", 3)),
            ("", None),
            ("anchor", None),
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
