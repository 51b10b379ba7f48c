//! What is derived from the write-ahead file: tiles, bundles of entries, and the signed checkpoint.
//!
//! Everything is a function of the entries alone, so that it can be made again after a crash. Tiles are on
//! the disk before the checkpoint that speaks of them takes its place. A tree is only signed if it
//! contains the one that was signed last, so no size ever has two roots.

use std::fs;
use std::path::{Path, PathBuf};

use agentguard_core::Digest;
use ed25519_dalek::SigningKey;

use crate::merkle::{self, Edge, Full};
use crate::store::Batch;
use crate::tile::{self, Kind};
use crate::wal::{Frames, Next};
use crate::{Checkpoint, Error, VerifierKey, store};

const SMALL: usize = 1 << 16;
const LARGEST_BUNDLE: usize = 256 * (2 + 65_535);

/// Derives the files of one log.
pub(crate) struct Derived {
    directory: PathBuf,
    origin: String,
    key: SigningKey,
    edge: Edge,
    bundle: Vec<u8>,
    /// Where the first entry that is not derived begins in the write-ahead file.
    offset: u64,
    last: Option<Checkpoint>,
}

impl Derived {
    /// Begins with a log of which nothing is derived.
    pub(crate) fn new(directory: &Path, origin: &str, key: SigningKey, offset: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            origin: origin.to_owned(),
            key,
            edge: Edge::default(),
            bundle: Vec::new(),
            offset,
            last: None,
        }
    }

    /// Goes on where the checkpoint of the log in `directory` stands.
    ///
    /// `Ok(None)` says that where the write-ahead file goes on is not known: begin anew.
    pub(crate) fn resume(
        directory: &Path,
        last: Checkpoint,
        key: &SigningKey,
    ) -> Result<Option<Self>, Error> {
        let Some(offset) = hint(directory, last.size)? else {
            return Ok(None);
        };
        let Some((edge, bundle)) = load_edge(directory, last.size)? else {
            return Ok(None);
        };
        if edge.root() != last.root {
            return Ok(None);
        }
        Ok(Some(Self {
            directory: directory.to_owned(),
            origin: last.origin.clone(),
            key: key.clone(),
            edge,
            bundle,
            offset,
            last: Some(last),
        }))
    }

    /// Whether this is the checkpoint that it stands at.
    pub(crate) fn is_of(&self, checkpoint: &Checkpoint) -> bool {
        self.last
            .as_ref()
            .is_some_and(|last| last.note == checkpoint.note)
    }

    /// How many entries are derived.
    pub(crate) fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Where the first entry that is not derived begins in the write-ahead file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Derives everything for the first `upto` entries, and signs.
    pub(crate) fn integrate(&mut self, upto: u64) -> Result<Checkpoint, Error> {
        if let Some(last) = self.last.as_ref().filter(|last| last.size == upto) {
            return Ok(last.clone());
        }
        let before = self.edge.size();
        let mut batch = Batch::new(&self.directory)?;
        self.read_on(upto, &mut batch)?;
        self.put_partial(&mut batch)?;
        batch.sync()?;
        let root = self.edge.root();
        let checkpoint = Checkpoint::sign(&self.origin, upto, root, &self.key)?;
        let note = checkpoint.note.as_bytes();
        store::replace(&self.directory.join("checkpoint"), note)?;
        // Only a hint: it is checked where it is used, and not synced.
        let hint = format!("{upto} {}\n", self.offset);
        let _ = fs::write(self.directory.join("derived"), hint);
        remove_outgrown(&self.directory, before, upto);
        self.last = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Derives the first `upto` entries anew, and signs if they contain what was signed before.
    pub(crate) fn rebuild(&mut self, upto: u64) -> Result<Checkpoint, Error> {
        let signed = signed_checkpoint(&self.directory, &self.origin, &self.key, None)?;
        if let Some(signed) = signed {
            if signed.size > upto {
                let problem = format!("{} entries were signed, {upto} are there", signed.size);
                return Err(Error::damaged(&self.directory, upto, problem));
            }
            let mut batch = Batch::new(&self.directory)?;
            self.read_on(signed.size, &mut batch)?;
            if self.edge.root() != signed.root {
                let problem = "the entries are not the ones that were signed";
                return Err(Error::damaged(&self.directory, 0, problem));
            }
            // The tiles are made anew too: they may not have been on the disk.
            self.put_partial(&mut batch)?;
            batch.sync()?;
            self.last = Some(signed);
        }
        self.integrate(upto)
    }

    /// Takes in entries from the write-ahead file; tiles and bundles that become full are written.
    fn read_on(&mut self, upto: u64, batch: &mut Batch) -> Result<(), Error> {
        let path = self.directory.join("wal");
        let file = store::open(&path)?.ok_or_else(|| Error::Missing {
            path: path.clone(),
            remedy: "restore it from a backup".to_owned(),
        })?;
        let mut frames = Frames::at(file, self.offset, &path)?;
        let mut full: Vec<Full> = Vec::new();
        while self.edge.size() < upto {
            let index = self.edge.size();
            let next = frames.next().map_err(|e| Error::io("read", &path, e))?;
            let Next::Entry {
                bytes,
                leaf,
                sound: true,
            } = next
            else {
                return Err(Error::damaged(
                    &path,
                    index,
                    "what was written is not there",
                ));
            };
            let length =
                u16::try_from(bytes.len()).map_err(|_| Error::TooLong { bytes: bytes.len() })?;
            self.bundle.extend_from_slice(&length.to_be_bytes());
            self.bundle.extend_from_slice(bytes);
            self.edge.push(leaf, &mut full);
            if !full.is_empty() {
                let bundle = std::mem::take(&mut self.bundle);
                self.put_tile(Kind::Entries, index / 256, 256, &bundle, batch)?;
            }
            for (level, at, hashes) in full.drain(..) {
                let bytes = tile::encode(&hashes);
                self.put_tile(Kind::Hashes(level), at, 256, &bytes, batch)?;
            }
        }
        self.offset = frames.offset();
        Ok(())
    }

    fn put_partial(&self, batch: &mut Batch) -> Result<(), Error> {
        for (level, at, hashes) in self.edge.partial() {
            let width = hashes.len();
            self.put_tile(Kind::Hashes(level), at, width, &tile::encode(hashes), batch)?;
            if level == 0 {
                self.put_tile(Kind::Entries, at, width, &self.bundle, batch)?;
            }
        }
        Ok(())
    }

    fn put_tile(
        &self,
        kind: Kind,
        at: u64,
        width: usize,
        bytes: &[u8],
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let path = self.directory.join(tile::path(kind, at, width));
        batch.put(&path, bytes)
    }
}

/// The checkpoint of the log in `directory`, which this key must have signed. `known` was verified before, and
/// is not verified again where it is that one.
pub(crate) fn signed_checkpoint(
    directory: &Path,
    origin: &str,
    key: &SigningKey,
    known: Option<&Checkpoint>,
) -> Result<Option<Checkpoint>, Error> {
    let path = directory.join("checkpoint");
    let Some(bytes) = store::read(&path, SMALL)? else {
        return Ok(None);
    };
    let is_known = |known: &&Checkpoint| known.origin == origin && known.note.as_bytes() == bytes;
    if let Some(known) = known.filter(is_known) {
        return Ok(Some(known.clone()));
    }
    let verifier = VerifierKey::of_log(origin, key.verifying_key())?;
    let checkpoint = Checkpoint::open(&String::from_utf8_lossy(&bytes), &[verifier])?;
    if checkpoint.origin != origin {
        return Err(Error::damaged(&path, 0, "it speaks of another log"));
    }
    Ok(Some(checkpoint))
}

/// Where the entry numbered `size` begins in the write-ahead file, if that is noted.
fn hint(directory: &Path, size: u64) -> Result<Option<u64>, Error> {
    let bytes = store::read(&directory.join("derived"), 128)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let noted = text.trim_end().split_once(' ').and_then(|(at, offset)| {
        let at: u64 = at.parse().ok()?;
        let offset: u64 = offset.parse().ok()?;
        (at == size).then_some(offset)
    });
    Ok(noted)
}

fn load_edge(directory: &Path, size: u64) -> Result<Option<(Edge, Vec<u8>)>, Error> {
    let mut levels: Vec<Vec<Digest>> = Vec::new();
    let mut bundle = Vec::new();
    for (level, at, width) in merkle::partial_widths(size) {
        if width == 0 {
            levels.push(Vec::new());
            continue;
        }
        let path = directory.join(tile::path(Kind::Hashes(level), at, width));
        let hashes = store::read(&path, 256 * 32)?.and_then(|bytes| tile::decode(&bytes, width));
        let Some(hashes) = hashes else {
            return Ok(None);
        };
        if level == 0 {
            let path = directory.join(tile::path(Kind::Entries, at, width));
            let Some(bytes) = store::read(&path, LARGEST_BUNDLE)? else {
                return Ok(None);
            };
            let leaves = tile::Bundle(&bytes).map(|entry| entry.map(merkle::leaf_hash));
            if !leaves.eq(hashes.iter().map(|hash| Ok(*hash))) {
                return Ok(None);
            }
            bundle = bytes;
        }
        levels.push(hashes);
    }
    Ok(Some((Edge::from_tiles(size, levels), bundle)))
}

/// Removes the partial tiles of the checkpoint before, which larger ones have taken the place of.
fn remove_outgrown(directory: &Path, before: u64, now: u64) {
    let current = merkle::partial_widths(now);
    for outgrown in merkle::partial_widths(before) {
        let (level, at, width) = outgrown;
        if width == 0 || current.contains(&outgrown) {
            continue;
        }
        let entries = (level == 0).then_some(Kind::Entries);
        for kind in [Some(Kind::Hashes(level)), entries].into_iter().flatten() {
            let path = directory.join(tile::path(kind, at, width));
            // What stays is only no longer needed.
            let _ = fs::remove_file(&path);
            let _ = path.parent().map(fs::remove_dir);
        }
    }
}
