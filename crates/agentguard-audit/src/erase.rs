//! Erasing texts beside a log that is over, which the anchor log records.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use agentguard_core::{Clock, Entry, Event, Evidence, SessionId, SessionStatus, Span};

use crate::anchor::Anchor;
use crate::installation::{Installation, Places};
use crate::scribe::{Author, Scribe};
use crate::source::Source;
use crate::texts::{self, Found, Texts, commitment_of};
use crate::wal::Next;
use crate::{Error, read, recover, redact, store};

/// Spans named in one entry, which is at most 65,535 bytes long.
const MOST_SPANS: usize = 1000;

/// Which texts of a session's log are meant.
#[derive(Clone, Copy)]
pub struct Selection<'s> {
    /// Of these entries.
    pub entries: Span,
    /// Those of which this is true.
    pub matches: &'s dyn Fn(&str) -> bool,
}

/// What was erased.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Erased {
    /// The entries whose texts are gone.
    pub entries: Vec<Span>,
    /// How many they are.
    pub count: u64,
    /// The entries of the anchor log that record it.
    pub recorded: Span,
}

/// Erases texts of a session that is over, in the name of a human. Answers `None` where there are none that
/// are selected.
///
/// What is erased is recorded before it is: a crash between leaves texts that [`verify`](crate::verify())
/// says should be gone, and erasing them again goes on. A text is gone from the log's directory then. Of
/// copies, backups and what the file system keeps it says nothing.
///
/// # Errors
///
/// Returns [`Error::Running`] where the session is not over, and [`Error::Damaged`] where an entry cannot be read, or a
/// text that is selected is not the one that was recorded: all stays, for `verify` to tell.
pub fn erase(
    places: &Places,
    session: &SessionId,
    selection: &Selection<'_>,
    (human, evidence): (&str, Evidence),
    reason: &str,
    clock: Arc<dyn Clock>,
) -> Result<Option<Erased>, Error> {
    let installation = Installation::load_or_create(places)?;
    let directory = places.sessions().join(session.as_str());
    let author = Author {
        session: session.clone(),
        agent: first_entry(&directory)?.agent,
        human: human.to_owned(),
        evidence,
    };
    let scribe = Scribe::new(author, clock)?;
    recover::record_lost(&installation, &scribe)?;
    let log = installation.session_origin(session.as_str());
    let _held = hold(&directory, session)?;
    if !is_over(places, &log)? {
        return Err(Error::Running {
            session: session.to_string(),
        });
    }
    let selected = select(&directory, selection)?;
    if selected.is_empty() {
        return Ok(None);
    }
    let entries = spans(&selected);
    let mut anchor = Anchor::lock(&installation, &scribe.boot)?;
    let mut by = Vec::new();
    for entries in entries.chunks(MOST_SPANS) {
        let event = Event::Erasure {
            log: log.clone(),
            entries: entries.to_vec(),
            reason: redact::redact(reason).into_owned(),
        };
        by.push((anchor.append_event(&scribe, &event)?, entries));
    }
    anchor.integrate()?;
    drop(anchor);
    let recorder = |seq: u64| {
        let found = by
            .iter()
            .find(|(_, spans)| spans.iter().any(|span| span.contains(seq)));
        found.map(|(index, _)| (seq, *index))
    };
    let erased: BTreeMap<u64, u64> = selected.iter().copied().filter_map(recorder).collect();
    texts::erase(&directory, &erased)?;
    let indexes = by.iter().map(|(index, _)| *index);
    let recorded = Span {
        first: indexes.clone().min().unwrap_or_default(),
        last: indexes.max().unwrap_or_default(),
    };
    Ok(Some(Erased {
        count: u64::try_from(selected.len()).unwrap_or(u64::MAX),
        entries,
        recorded,
    }))
}

/// Holds a session's log against its guard and against others who erase.
fn hold(directory: &Path, session: &SessionId) -> Result<File, Error> {
    let path = directory.join("wal");
    let wal = store::open_to_append(&path)?.ok_or_else(|| Error::NotALog {
        path: directory.to_owned(),
    })?;
    match wal.try_lock() {
        Ok(()) => Ok(wal),
        Err(TryLockError::WouldBlock) => Err(Error::Running {
            session: session.to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
    }
}

fn is_over(places: &Places, log: &str) -> Result<bool, Error> {
    let states = read::anchored(&places.anchor())?;
    let mut of_log = states.iter().filter(|anchored| anchored.log == log);
    Ok(of_log.any(|anchored| anchored.state != SessionStatus::Begun))
}

fn first_entry(directory: &Path) -> Result<Entry, Error> {
    let mut found = None;
    each_entry(directory, |index, entry| {
        found = Some(entry);
        Ok(index > 0)
    })?;
    found.ok_or_else(|| Error::damaged(directory, 0, "it has no entry"))
}

/// The entries that commit to a text that is there and selected.
fn select(directory: &Path, selection: &Selection<'_>) -> Result<Vec<u64>, Error> {
    let path = directory.join("texts");
    let mut texts = Texts::open(directory, false)?;
    let mut selected = Vec::new();
    each_entry(directory, |index, entry| {
        let Some(commitment) = commitment_of(&entry.event) else {
            return Ok(true);
        };
        let is_meant = selection.entries.contains(index);
        // What came of a request says by digests what it said.
        let comes_along = matches!(
            &entry.event,
            Event::Outcome { of, .. } if selected.binary_search(of).is_ok()
        );
        if !is_meant && !comes_along {
            return Ok(true);
        }
        let found = texts.find(index, commitment);
        match found.map_err(|e| Error::io("read", &path, e))? {
            Found::Text(text) if comes_along || (selection.matches)(&text) => selected.push(index),
            Found::Text(_) | Found::Erased(_) | Found::Nothing => {}
            Found::Other => {
                let problem = "its text is not what it commits to, and is not erased";
                return Err(Error::damaged(&path, index, problem));
            }
        }
        Ok(true)
    })?;
    Ok(selected)
}

/// Visits a log's entries, as long as the answer is to go on.
fn each_entry(
    directory: &Path,
    mut visit: impl FnMut(u64, Entry) -> Result<bool, Error>,
) -> Result<(), Error> {
    let (mut source, _) = Source::open(directory)?;
    let mut index = 0;
    loop {
        let damaged = |problem| Error::damaged(directory, index, problem);
        let bytes = match source.next().map_err(|e| Error::io("read", directory, e))? {
            Next::End => return Ok(()),
            Next::Entry {
                bytes, sound: true, ..
            } => bytes,
            // Nobody writes to it any more, so that what looks torn is.
            Next::Entry { sound: false, .. } | Next::Torn => {
                return Err(damaged("it is not what was written"));
            }
        };
        let entry = serde_json::from_slice(bytes).map_err(|_| damaged("it is no entry"))?;
        if !visit(index, entry)? {
            return Ok(());
        }
        index += 1;
    }
}

/// Numbers in order, as spans of those that follow one another.
fn spans(numbers: &[u64]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some(span) if span.last + 1 == *number => span.last = *number,
            Some(_) | None => spans.push(Span {
                first: *number,
                last: *number,
            }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_one_another_are_one_span() {
        let as_pairs = |numbers: &[u64]| -> Vec<(u64, u64)> {
            spans(numbers).into_iter().map(Into::into).collect()
        };
        assert_eq!(as_pairs(&[]), []);
        assert_eq!(as_pairs(&[0, 1, 2, 4, 7, 8]), [(0, 2), (4, 4), (7, 8)]);
    }
}
