//! Verification: everything is hashed again, and what entries mean together is checked.

mod files;
pub(crate) mod lean;
mod meaning;
mod questions;
mod report;
mod signatures;

use std::path::Path;

use agentguard_core::{Entry, Span};

use crate::merkle::{self, Edge};
use crate::source::{Source, read_checkpoint};
use crate::texts::{Found, Texts};
use crate::wal::{self, Next};
use crate::{Checkpoint, Error, Keys, store};

use files::Files;
use meaning::Meaning;
pub use report::{Fault, Finding, Note, Remark, Report};

/// How often a log is read again that its guard changed meanwhile.
const ATTEMPTS: usize = 5;

/// Verifies the log in `directory`, but for the agent's signature over the session's start.
///
/// # Errors
///
/// As [`verify_with`].
pub fn verify(directory: &Path, keys: &Keys) -> Result<Report, Error> {
    verify_with(directory, keys, &|_| true)
}

/// Verifies the log in `directory`. `check` says whether the agent's signature in a `session.start` is
/// right.
///
/// A log is verified when the report has no findings: then every entry that the checkpoint covers is what
/// was signed, the log contains every state that it is known to have had, and its entries make sense.
///
/// # Errors
///
/// Returns [`Error::NotALog`] and [`Error::NoKey`] where nothing can be checked, and [`Error::Io`] where a
/// file cannot be read.
pub fn verify_with(
    directory: &Path,
    keys: &Keys,
    check: &dyn Fn(&Entry) -> bool,
) -> Result<Report, Error> {
    let mut before = read_checkpoint(directory)?;
    let mut report = verify_once(directory, keys, check)?;
    for _ in 1..ATTEMPTS {
        let now = read_checkpoint(directory)?;
        // Its guard is at it: tiles may have been replaced while we read.
        if report.is_verified() || now == before {
            break;
        }
        before = now;
        report = verify_once(directory, keys, check)?;
    }
    Ok(report)
}

fn verify_once(
    directory: &Path,
    keys: &Keys,
    check: &dyn Fn(&Entry) -> bool,
) -> Result<Report, Error> {
    let note = read_checkpoint(directory)?;
    let (source, origin) = match Source::open(directory) {
        Err(Error::Damaged { problem, .. }) => return damaged(note.as_deref(), keys, &problem),
        opened => opened?,
    };
    let mut report = Report::new(&origin);
    if let Some(checkpoint) = open_checkpoint(note.as_deref(), &origin, keys, &mut report)? {
        report.signed = checkpoint.size;
        report.root = checkpoint.root;
    }
    let mut pass = Pass {
        files: Files::new(directory, report.signed),
        meaning: Meaning::new(check),
        texts: Texts::open(directory, false)?,
        erased: keys.erased_of(&origin),
        edge: Edge::default(),
        directory,
        keys,
    };
    pass.read(source, &mut report)?;
    pass.finish(&mut report)?;
    Ok(report)
}

/// What is known of a log whose write-ahead file cannot even be begun to read.
fn damaged(note: Option<&str>, keys: &Keys, problem: &str) -> Result<Report, Error> {
    let origin = note.and_then(|note| Checkpoint::danger_unverified(note).ok());
    let mut report = Report::new(&origin.map(|named| named.origin).unwrap_or_default());
    if !report.origin.is_empty() {
        keys.for_log(&report.origin)?;
    }
    report.find(
        Fault::Changed,
        0,
        format!("the write-ahead file: {problem}"),
    );
    Ok(report)
}

fn open_checkpoint(
    note: Option<&str>,
    origin: &str,
    keys: &Keys,
    report: &mut Report,
) -> Result<Option<Checkpoint>, Error> {
    let own = keys.for_log(origin)?;
    let Some(note) = note else {
        report.find(
            Fault::Checkpoint,
            None,
            "there is no checkpoint: nothing is signed",
        );
        return Ok(None);
    };
    match Checkpoint::open(note, &own) {
        Ok(checkpoint) if checkpoint.origin == origin => Ok(Some(checkpoint)),
        Ok(checkpoint) => {
            let of = checkpoint.origin.escape_debug().to_string();
            let detail = format!("the checkpoint is of another log, `{of}`");
            report.find(Fault::Checkpoint, None, detail);
            Ok(None)
        }
        Err(error) => {
            report.find(Fault::Checkpoint, None, format!("the checkpoint: {error}"));
            Ok(None)
        }
    }
}

/// One pass over a log.
struct Pass<'p> {
    files: Files<'p>,
    meaning: Meaning<'p>,
    texts: Texts,
    /// What the anchor log says was erased, where it is known.
    erased: Option<&'p [Span]>,
    edge: Edge,
    directory: &'p Path,
    keys: &'p Keys,
}

impl Pass<'_> {
    fn read(&mut self, mut source: Source, report: &mut Report) -> Result<(), Error> {
        let path = self.directory;
        if matches!(source, Source::Bundles(_)) {
            report.remark_many(Remark::Published, 0, 0);
        }
        let mut full = Vec::new();
        self.compare_root(report);
        loop {
            let (index, offset) = (self.edge.size(), source.offset());
            let next = source.next().map_err(|e| Error::io("read", path, e))?;
            let (bytes, leaf, sound) = match next {
                Next::End => break,
                Next::Entry { bytes, leaf, sound } => (bytes, leaf, sound),
                Next::Torn => (&[][..], merkle::empty_root(), false),
            };
            if !sound {
                let is_torn = bytes.is_empty() || index >= report.signed;
                if is_torn {
                    self.see_torn(index, offset, report)?;
                    break;
                }
                report.find(
                    Fault::Changed,
                    index,
                    "the write-ahead file was changed there",
                );
            }
            if index < report.signed {
                self.files.compare_entry(index, bytes, &leaf, report)?;
            }
            self.see_meaning(index, bytes, report)?;
            self.edge.push(leaf, &mut full);
            for (level, at, hashes) in full.drain(..) {
                self.files.compare_full(level, at, &hashes, report)?;
            }
            self.compare_root(report);
            if self.edge.size() == report.signed {
                self.files.compare_partial(&self.edge, report)?;
            }
        }
        Ok(())
    }

    fn see_meaning(&mut self, index: u64, bytes: &[u8], report: &mut Report) -> Result<(), Error> {
        let Some(commitment) = self.meaning.see(index, bytes, report) else {
            return Ok(());
        };
        let path = self.directory.join("texts");
        let found = self.texts.find(index, &commitment);
        let is_recorded = || {
            self.erased
                .map(|all| all.iter().any(|span| span.contains(index)))
        };
        match found.map_err(|e| Error::io("read", &path, e))? {
            Found::Text(_) => {
                if is_recorded() == Some(true) {
                    report.remark(Remark::Unerased, index);
                }
            }
            Found::Erased(_) => match is_recorded() {
                Some(true) | None => report.remark(Remark::Erased, index),
                Some(false) => {
                    let detail = "its text is said to be erased, which nothing records";
                    report.find(Fault::Text, index, detail);
                }
            },
            Found::Nothing => report.remark(Remark::NoText, index),
            Found::Other => {
                let detail = "its text is not what it commits to";
                report.find(Fault::Text, index, detail);
            }
        }
        Ok(())
    }

    /// Compares the tree so far with the states of this size that are signed or known.
    fn compare_root(&self, report: &mut Report) {
        let size = self.edge.size();
        let is_signed = size == report.signed && !has(report, Fault::Checkpoint);
        let known = self.keys.known_of(&report.origin).iter();
        let mut known = known.filter(|known| known.size == size).peekable();
        if !is_signed && known.peek().is_none() {
            return;
        }
        let root = self.edge.root();
        // Where one of several entries is another, none can be named but the only one.
        let index = (size == 1).then_some(0);
        if is_signed && root != report.root {
            let detail = format!("the root over {size} entries is not the one that was signed");
            report.find(Fault::Root, index, detail);
        }
        if known.any(|known| known.root != root) {
            let detail = format!("the root over {size} entries is not the one that is known");
            report.find(Fault::RolledBack, index, detail);
        }
    }

    /// Tells a torn tail, which nobody relied on, from damage.
    fn see_torn(&self, index: u64, offset: Option<u64>, report: &mut Report) -> Result<(), Error> {
        let path = self.directory.join("wal");
        // A bundle that ends early lacks entries that are signed: that is found at the end.
        let (Some(offset), Some(file)) = (offset, store::open(&path)?) else {
            return Ok(());
        };
        if wal::sound_beyond(&file, offset, &path)?.is_some() {
            report.find(Fault::Changed, index, wal::GOES_ON);
        } else if index >= report.signed {
            report.remark(Remark::Torn, index);
        }
        Ok(())
    }

    fn finish(mut self, report: &mut Report) -> Result<(), Error> {
        let size = self.edge.size();
        report.entries = size;
        if size < report.signed {
            let detail = format!(
                "{} entries are signed, and {size} can be read",
                report.signed
            );
            report.find(Fault::Changed, size, detail);
        } else if size > report.signed && !has(report, Fault::Checkpoint) {
            report.remark_many(Remark::Unsigned, size - report.signed, report.signed);
        }
        for known in self.keys.known_of(&report.origin) {
            if known.size > size || (known.is_final && known.size > report.signed) {
                let least = size.min(report.signed);
                let detail = format!("it had {} entries, and has {least}", known.size);
                report.find(Fault::RolledBack, least, detail);
            } else if known.is_final && known.size < size {
                let detail = "it follows after the end that the anchor log knows";
                report.find(Fault::AfterEnd, known.size, detail);
            }
        }
        let path = self.directory.join("texts");
        let is_unreadable = self.texts.is_unreadable();
        if is_unreadable.map_err(|e| Error::io("read", &path, e))? {
            report.find(
                Fault::Text,
                None,
                "a line of the texts cannot be read, or is not in its place",
            );
        }
        self.meaning.end(report);
        Ok(())
    }
}

fn has(report: &Report, fault: Fault) -> bool {
    report.findings.iter().any(|finding| finding.fault == fault)
}
