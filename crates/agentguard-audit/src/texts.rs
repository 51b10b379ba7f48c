//! Texts beside the log: what entries commit to, and what can be erased without breaking the log.
//!
//! The file `texts` holds one JSON object a line, in the order of entries:
//! `{"seq":7,"salt":"<32 hexadecimal digits>","text":"…"}`. Where a text was erased stands instead
//! `{"seq":7,"erased":12}`, which names the entry of the anchor log that records it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use agentguard_core::{Commitment, Digest, Event, Salt};
use serde::Deserialize;

use crate::{Error, redact, store};

/// A longer text is kept by its beginning and its digest.
const LONGEST: usize = 1 << 20;
const BEGINNING: usize = 1 << 16;
/// A character takes six bytes at most in JSON.
const LONGEST_LINE: u64 = 6 * (1 << 20) + 256;

/// A text that is ready to be kept: redacted, bounded, salted.
pub(crate) struct Kept {
    /// What stands for it in the entry.
    pub(crate) commitment: Commitment,
    rest: String,
}

impl Kept {
    /// Makes `text` ready.
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        Self::salted(text, Salt(store::random()?))
    }

    /// Makes `text` ready, under a salt that nobody knows yet, or that was used for the very same text.
    pub(crate) fn salted(text: &str, salt: Salt) -> Result<Self, Error> {
        let text = bounded(redact::redact(text).into_owned())?;
        let quoted = quoted(&text)?;
        Ok(Self {
            commitment: Commitment::to(&salt, text.as_bytes()),
            rest: format!(",\"salt\":\"{}\",\"text\":{quoted}}}\n", salt.to_hex()),
        })
    }

    /// Adds its line to `out`, as the text of entry `seq`.
    pub(crate) fn write(&self, seq: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{{\"seq\":{seq}").as_bytes());
        out.extend_from_slice(self.rest.as_bytes());
    }
}

/// What an event commits to.
pub(crate) fn commitment_of(event: &Event) -> Option<&Commitment> {
    match event {
        Event::Start { text, .. }
        | Event::Decision { text, .. }
        | Event::Question { text, .. }
        | Event::Difference { text, .. } => Some(text),
        Event::Outcome { text, .. } => text.as_ref(),
        Event::Repeat { .. }
        | Event::Refs { .. }
        | Event::Credential { .. }
        | Event::Signature { .. }
        | Event::Finding { .. }
        | Event::Anchor { .. }
        | Event::Erasure { .. }
        | Event::End { .. } => None,
    }
}

/// A line of the file, read.
#[derive(Debug, Deserialize)]
struct Line {
    seq: u64,
    salt: Option<String>,
    text: Option<String>,
    erased: Option<u64>,
}

impl Line {
    /// Reads a line, without its end. `None` where it is none of ours.
    fn read(bytes: &[u8]) -> Option<Self> {
        let line: Self = serde_json::from_slice(bytes).ok()?;
        let is_kept = line.salt.is_some() && line.text.is_some();
        let is_empty = line.salt.is_none() && line.text.is_none();
        let is_ours = is_kept && line.erased.is_none() || is_empty && line.erased.is_some();
        is_ours.then_some(line)
    }

    fn found(self, commitment: &Commitment) -> Found {
        if let Some(by) = self.erased {
            return Found::Erased(by);
        }
        let salt = self.salt.and_then(|salt| Salt::parse(&salt).ok());
        match (salt, self.text) {
            (Some(salt), Some(text)) if commitment.opens_to(&salt, text.as_bytes()) => {
                Found::Text(text)
            }
            (Some(_) | None, Some(_) | None) => Found::Other,
        }
    }
}

/// The texts of a log, read forwards.
pub(crate) struct Texts {
    source: Option<BufReader<File>>,
    ahead: Option<Line>,
    position: u64,
    /// The entry of the last line: lines stand in the order of entries, one for each.
    last: Option<u64>,
    unreadable: bool,
    is_followed: bool,
}

/// What is kept for an entry.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// The text, which is what the entry commits to.
    Text(String),
    /// A text that the entry does not commit to.
    Other,
    /// It was erased, which this entry of the anchor log records.
    Erased(u64),
    /// Nothing: it was never on the disk, or somebody took it away.
    Nothing,
}

impl Texts {
    /// Opens the texts beside the log in `directory`, where there are any. Where they are followed, what
    /// is written after the end was met is read too.
    pub(crate) fn open(directory: &Path, is_followed: bool) -> Result<Self, Error> {
        Ok(Self {
            source: store::open(&directory.join("texts"))?.map(BufReader::new),
            ahead: None,
            position: 0,
            last: None,
            unreadable: false,
            is_followed,
        })
    }

    /// Reads what follows the last entry asked for, and answers whether a line was met that is none of ours, or not in its
    /// place.
    pub(crate) fn is_unreadable(&mut self) -> io::Result<bool> {
        while self.read_line()?.is_some() {}
        Ok(self.unreadable)
    }

    /// Finds the text of entry `seq`. Entries must be asked for in order.
    pub(crate) fn find(&mut self, seq: u64, commitment: &Commitment) -> io::Result<Found> {
        loop {
            let ahead = match self.ahead.take() {
                Some(line) => Some(line),
                None => self.read_line()?,
            };
            match ahead {
                Some(line) if line.seq < seq => {}
                Some(line) if line.seq == seq => return Ok(line.found(commitment)),
                later => {
                    self.ahead = later;
                    return Ok(Found::Nothing);
                }
            }
        }
    }

    fn read_line(&mut self) -> io::Result<Option<Line>> {
        let Some(source) = &mut self.source else {
            return Ok(None);
        };
        loop {
            let mut bytes = Vec::new();
            let read = source
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut bytes)?;
            if bytes.last() != Some(&b'\n') {
                // Not written to its end yet, or torn: it is read again from its beginning.
                source.seek(SeekFrom::Start(self.position))?;
                self.unreadable |= u64::try_from(read).unwrap_or(u64::MAX) >= LONGEST_LINE;
                if !self.is_followed {
                    self.source = None;
                }
                return Ok(None);
            }
            self.position += u64::try_from(read).unwrap_or(u64::MAX);
            match bytes.strip_suffix(b"\n").and_then(Line::read) {
                Some(line) if self.last.is_none_or(|last| last < line.seq) => {
                    self.last = Some(line.seq);
                    return Ok(Some(line));
                }
                Some(_) | None => self.unreadable = true,
            }
        }
    }
}

/// Takes out of the texts beside the log in `directory` what is no line of ours: what a loss of power or
/// the end of a guard left half written.
pub(crate) fn mend(directory: &Path) -> Result<(), Error> {
    let path = directory.join("texts");
    let mut is_broken = false;
    each_line(&path, |line, _| {
        is_broken |= line.is_none();
        Ok(())
    })?;
    if !is_broken {
        return Ok(());
    }
    store::rewrite(&path, |out| {
        each_line(&path, |line, bytes| match line {
            Some(_) => out.write_all(bytes),
            None => Ok(()),
        })
        .map_err(io::Error::other)
    })
}

/// Puts in the place of the texts of these entries that they were erased, and by which entry of the anchor
/// log. Lines of the same entry that follow are left out.
pub(crate) fn erase(directory: &Path, erased: &BTreeMap<u64, u64>) -> Result<(), Error> {
    let path = directory.join("texts");
    store::rewrite(&path, |out| {
        let mut last = None;
        each_line(&path, |line, bytes| {
            let seq = line.map(|line| line.seq);
            match seq.and_then(|seq| erased.get(&seq)) {
                None => out.write_all(bytes),
                Some(_) if seq == last => Ok(()),
                Some(by) => {
                    last = seq;
                    let seq = seq.unwrap_or_default();
                    writeln!(out, "{{\"seq\":{seq},\"erased\":{by}}}")
                }
            }
        })
        .map_err(io::Error::other)
    })
}

/// Visits the lines of a file of texts: each read, where it is one of ours, and its bytes.
fn each_line(
    path: &Path,
    mut visit: impl FnMut(Option<Line>, &[u8]) -> io::Result<()>,
) -> Result<(), Error> {
    let Some(file) = store::open(path)? else {
        return Ok(());
    };
    let mut source = BufReader::new(file);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = source
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| Error::io("read", path, error))?;
        if read == 0 {
            return Ok(());
        }
        let line = bytes.strip_suffix(b"\n").and_then(Line::read);
        visit(line, &bytes).map_err(|error| Error::io("write", path, error))?;
    }
}

fn quoted(text: &str) -> Result<String, Error> {
    serde_json::to_string(text).map_err(|source| Error::Unwritable { source })
}

fn bounded(text: String) -> Result<String, Error> {
    if text.len() <= LONGEST {
        return Ok(text);
    }
    let mut end = BEGINNING;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let beginning = quoted(text.get(..end).unwrap_or_default())?;
    Ok(format!(
        "{{\"truncated\":true,\"bytes\":{},\"sha256\":\"{}\",\"beginning\":{beginning}}}",
        text.len(),
        Digest::of(text.as_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_again_and_another_is_not_taken_for_it() {
        let directory = crate::tests::directory();
        let (one, two) = (Kept::new("one \"x\"").unwrap(), Kept::new("two").unwrap());
        let mut lines = Vec::new();
        one.write(3, &mut lines);
        two.write(9, &mut lines);
        std::fs::write(directory.join("texts"), &lines).unwrap();
        let mut texts = Texts::open(&directory, true).unwrap();
        assert_eq!(texts.find(1, &one.commitment).unwrap(), Found::Nothing);
        let found = texts.find(3, &one.commitment).unwrap();
        assert_eq!(found, Found::Text("one \"x\"".to_owned()));
        assert_eq!(texts.find(9, &one.commitment).unwrap(), Found::Other);
        assert!(!texts.is_unreadable().unwrap());
    }

    #[test]
    fn a_very_long_text_is_kept_by_its_beginning_and_its_digest() {
        let long = "ä".repeat(LONGEST);
        let kept = bounded(long.clone()).unwrap();
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["sha256"], Digest::of(long.as_bytes()).to_string());
        assert_eq!(kept["beginning"].as_str().unwrap().len(), BEGINNING);
    }
}
