//! Where entries are read from: the write-ahead file, or the bundles of a published log.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::tile::{self, Kind};
use crate::wal::{Frames, Next};
use crate::{Checkpoint, Error, merkle, store};

pub(crate) const LARGEST_BUNDLE: usize = 256 * (2 + 65_535);
const LARGEST_NOTE: usize = 1 << 20;

/// The entries of a log, from the first on.
pub(crate) enum Source {
    /// The write-ahead file.
    Wal(Frames<File>),
    /// Bundles, as far as a checkpoint speaks of them.
    Bundles(Bundles),
}

impl Source {
    /// Opens the log in `directory`, and answers it with its origin.
    pub(crate) fn open(directory: &Path) -> Result<(Self, String), Error> {
        if let Some((frames, origin)) = Frames::open(&directory.join("wal"))? {
            return Ok((Self::Wal(frames), origin));
        }
        let note = read_checkpoint(directory)?.ok_or_else(|| Error::NotALog {
            path: directory.to_owned(),
        })?;
        let checkpoint = Checkpoint::danger_unverified(&note)?;
        let bundles = Bundles {
            directory: directory.to_owned(),
            size: checkpoint.size,
            index: 0,
            held: Vec::new(),
            at: 0,
        };
        Ok((Self::Bundles(bundles), checkpoint.origin))
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        match self {
            Self::Wal(frames) => frames.next(),
            Self::Bundles(bundles) => bundles.next(),
        }
    }

    /// Where the next entry begins in the write-ahead file, if that is what is read.
    pub(crate) fn offset(&self) -> Option<u64> {
        match self {
            Self::Wal(frames) => Some(frames.offset()),
            Self::Bundles(_) => None,
        }
    }
}

/// The note that lies as checkpoint in `directory`, unread.
pub(crate) fn read_checkpoint(directory: &Path) -> Result<Option<String>, Error> {
    let bytes = store::read_beginning(&directory.join("checkpoint"), LARGEST_NOTE)?;
    // What is no UTF-8 is no note, and will not verify as one.
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads the `at`-th tile of a kind, of this width, or answers that it is not there.
///
/// One that is too long is cut, but not to what would fit.
pub(crate) fn read_tile(
    directory: &Path,
    kind: Kind,
    at: u64,
    width: usize,
) -> Result<Option<Vec<u8>>, Error> {
    let limit = match kind {
        Kind::Entries => LARGEST_BUNDLE,
        Kind::Hashes(_) => 256 * 32,
    };
    store::read_beginning(&directory.join(tile::path(kind, at, width)), limit)
}

/// How many leaves the tile has that holds leaf `index` in a log of `size`.
pub(crate) fn width_at(index: u64, size: u64) -> usize {
    let first = index - index % 256;
    usize::try_from(size.saturating_sub(first).min(256)).unwrap_or(256)
}

/// Entries out of bundles.
pub(crate) struct Bundles {
    directory: PathBuf,
    size: u64,
    index: u64,
    held: Vec<u8>,
    at: usize,
}

impl Bundles {
    fn next(&mut self) -> io::Result<Next<'_>> {
        if self.index == self.size {
            return Ok(Next::End);
        }
        if self.index.is_multiple_of(256) {
            let width = width_at(self.index, self.size);
            let read = read_tile(&self.directory, Kind::Entries, self.index / 256, width);
            self.held = match read {
                Ok(bundle) => bundle.unwrap_or_default(),
                Err(Error::Io { source, .. }) => return Err(source),
                Err(_) => Vec::new(),
            };
            self.at = 0;
        }
        let mut rest = tile::Bundle(self.held.get(self.at..).unwrap_or_default());
        let Some(Ok(bytes)) = rest.next() else {
            return Ok(Next::Torn);
        };
        self.at += 2 + bytes.len();
        self.index += 1;
        Ok(Next::Entry {
            bytes,
            leaf: merkle::leaf_hash(bytes),
            sound: true,
        })
    }
}
