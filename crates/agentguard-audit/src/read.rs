//! Reading a log without verifying it.

use std::path::Path;

use agentguard_core::{Digest, Entry, Event, SessionStatus, Span};
use serde::{Serialize, Serializer};

use crate::source::{self, Source};
use crate::texts::{Found, Texts, commitment_of};
use crate::wal::{self, Frames, Next};
use crate::{Checkpoint, Error, store};

/// An entry as it stands in its log, with its place and the text it commits to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    /// Its place in its log.
    pub index: u64,
    /// What was recorded.
    pub entry: Entry,
    /// What it commits to, where it commits to something and that is there.
    #[serde(serialize_with = "as_value", skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where it was erased: the entry of the anchor log that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased: Option<u64>,
    /// Whether what is kept as its text is not what it commits to.
    #[serde(rename = "text_changed", skip_serializing_if = "std::ops::Not::not")]
    pub is_changed: bool,
}

impl Recorded {
    /// Whether nothing is kept of what it commits to: it was never on the disk, not exported, or taken away.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let is_kept = self.text.is_some() || self.erased.is_some() || self.is_changed;
        commitment_of(&self.entry.event).is_some() && !is_kept
    }
}

/// The entries of a log, from the first on.
///
/// At the end it answers `None`; asked again, it answers what was written meanwhile. So a log is followed
/// by asking now and then.
pub struct Entries {
    source: Source,
    origin: String,
    texts: Texts,
    path: std::path::PathBuf,
    index: u64,
    is_broken: bool,
}

impl Entries {
    /// Opens the log in `directory`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NotALog`] where there is none.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let (source, origin) = Source::open(directory)?;
        Ok(Self {
            source,
            origin,
            texts: Texts::open(directory, true)?,
            path: directory.to_owned(),
            index: 0,
            is_broken: false,
        })
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Reads the next entry; `lacking` is what says that there is one, where none could be read.
    fn read(&mut self, lacking: Option<String>) -> Result<Option<Recorded>, Error> {
        let (path, index) = (&self.path, self.index);
        let next = self.source.next().map_err(|e| Error::io("read", path, e))?;
        let entry: Entry = match next {
            Next::End | Next::Torn => {
                if let Some(lacking) = lacking {
                    return Err(Error::damaged(path, index, lacking));
                }
                // What is written just now looks torn, and is there when it is read again.
                return match self.lacking()? {
                    None => Ok(None),
                    lacking => self.read(lacking),
                };
            }
            Next::Entry { sound: false, .. } => {
                return Err(Error::damaged(path, index, "it is not what was written"));
            }
            Next::Entry { bytes, .. } => serde_json::from_slice(bytes)
                .map_err(|_| Error::damaged(path, index, "it is no entry"))?,
        };
        self.index += 1;
        let found = match commitment_of(&entry.event) {
            None => Found::Nothing,
            Some(commitment) => self
                .texts
                .find(index, commitment)
                .map_err(|e| Error::io("read", &path.join("texts"), e))?,
        };
        let is_changed = found == Found::Other;
        let (text, erased) = match found {
            Found::Text(text) => (Some(text), None),
            Found::Erased(by) => (None, Some(by)),
            Found::Other | Found::Nothing => (None, None),
        };
        Ok(Some(Recorded {
            index,
            entry,
            text,
            erased,
            is_changed,
        }))
    }

    /// What says that the log goes on, or went on, where it can be read no further.
    fn lacking(&self) -> Result<Option<String>, Error> {
        let path = self.path.join("wal");
        if let (Some(offset), Some(file)) = (self.source.offset(), store::open(&path)?)
            && wal::sound_beyond(&file, offset, &path)?.is_some()
        {
            return Ok(Some(wal::GOES_ON.to_owned()));
        }
        // One that cannot be read as such is for `verify` to tell.
        let checkpoint = source::read_checkpoint(&self.path)?
            .and_then(|note| Checkpoint::danger_unverified(&note).ok());
        let signed = checkpoint.map_or(0, |checkpoint| checkpoint.size);
        let index = self.index;
        Ok((index < signed)
            .then(|| format!("{signed} entries are signed, and {index} can be read")))
    }
}

impl Iterator for Entries {
    type Item = Result<Recorded, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_broken {
            return None;
        }
        let read = self.read(None);
        self.is_broken = read.is_err();
        read.transpose()
    }
}

/// What the anchor log says of a session's log.
pub(crate) struct Anchored {
    pub(crate) log: String,
    pub(crate) size: u64,
    pub(crate) root: Digest,
    pub(crate) state: SessionStatus,
    pub(crate) time: String,
}

/// What the anchor log in `directory` says of logs' states, as far as it can be read. Nothing where there is
/// none.
pub(crate) fn anchored(directory: &Path) -> Result<Vec<Anchored>, Error> {
    let mut all = Vec::new();
    each_entry(directory, |entry| {
        if let Event::Anchor {
            log,
            size,
            root,
            state,
        } = entry.event
        {
            all.push(Anchored {
                log,
                size,
                root,
                state,
                time: entry.time.0,
            });
        }
    })?;
    Ok(all)
}

/// What the anchor log in `directory` says of texts that were erased: of which log, and which.
pub(crate) fn erasures(directory: &Path) -> Result<Vec<(String, Vec<Span>)>, Error> {
    let mut all = Vec::new();
    each_entry(directory, |entry| {
        if let Event::Erasure { log, entries, .. } = entry.event {
            all.push((log, entries));
        }
    })?;
    Ok(all)
}

fn each_entry(directory: &Path, mut visit: impl FnMut(Entry)) -> Result<(), Error> {
    let path = directory.join("wal");
    let Some((mut frames, _)) = Frames::open(&path)? else {
        return Ok(());
    };
    while let Next::Entry {
        bytes, sound: true, ..
    } = frames.next().map_err(|e| Error::io("read", &path, e))?
    {
        // What is no entry is for `verify` to tell.
        if let Ok(entry) = serde_json::from_slice(bytes) {
            visit(entry);
        }
    }
    Ok(())
}

/// A text that is JSON stands as what it says, any other as a string.
fn as_value<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = text.as_deref().unwrap_or_default();
    let value: serde_json::Value =
        serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::from(text));
    value.serialize(serializer)
}
