//! Two snapshots make a difference; only what changed is read.

use std::cmp::Ordering;
use std::os::fd::BorrowedFd;

use agentguard_core::{Change, ChangeKind, Digest};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, read};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::beneath;
use super::escaped::escape_path;
use super::snapshot::{Item, Key, Snapshot};

/// A larger file is recorded without a digest.
const MAX_FILE: u64 = 64 << 20;
/// What is read for one difference; past it files are recorded without digests.
const MAX_TOTAL: u64 = 1 << 30;
const CHUNK: usize = 128 * 1024;

/// What changed between two snapshots.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The changes, sorted by path. A path is written as [`escape_path`](crate::escape_path) does, a mode with its file type.
    pub changes: Vec<Change>,
    /// Whether both walks saw everything, and every digest that should stand here could be made.
    pub complete: bool,
    /// Manifests of npm that by now have others run for whoever installs than when the session began.
    pub scripts: Vec<String>,
    /// Paths of the changes that are at a pin because of what else there is: beside a `.git` further down, or where a
    /// link at a pin leads.
    pub pinned: Vec<String>,
}

/// Compares two snapshots of the tree below `root`, and reads what changed from there.
///
/// What is claimed is what was seen: where the later walk did not look, nothing is `removed`; where
/// the earlier one did not, what is there now is `changed`, never `added`. A file that was written
/// within a clock tick before the earlier walk is `changed` even if nothing tells so, since the next
/// write could have left the same time stamp: rather twice in the record than not at all. Directories
/// are compared by type, mode and owner; links, FIFOs, sockets and devices are never opened.
#[must_use]
pub fn difference(old: &Snapshot, new: &Snapshot, root: BorrowedFd<'_>) -> Difference {
    let mut reader = Reader {
        root,
        left: MAX_TOTAL,
        is_short: false,
    };
    let mut changes = Vec::new();
    let (mut olds, mut news) = (old.items.iter().peekable(), new.items.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (Some(before), Some(after)) => before.path.cmp(&after.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let before = order.is_le().then(|| olds.next()).flatten();
        let after = order.is_ge().then(|| news.next()).flatten();
        changes.extend(match (before, after) {
            (Some(before), Some(after)) => has_changed(old, &before.key, &after.key)
                .then(|| reader.present(after, ChangeKind::Changed)),
            (Some(before), None) => (!new.has_not_seen(&before.path)).then(|| removed(before)),
            (None, Some(after)) => {
                let is_new = !old.has_not_seen(&after.path);
                let change = if is_new {
                    ChangeKind::Added
                } else {
                    ChangeKind::Changed
                };
                Some(reader.present(after, change))
            }
            (None, None) => None,
        });
    }
    let complete = old.is_complete() && new.is_complete() && !reader.is_short;
    Difference {
        changes,
        complete,
        scripts: Vec::new(),
        pinned: Vec::new(),
    }
}

fn has_changed(old: &Snapshot, before: &Key, after: &Key) -> bool {
    let both = |kind| before.file_type() == kind && after.file_type() == kind;
    if both(FileType::Directory) {
        // Its other stamps move with what is in it, which has changes of its own.
        return (before.mode, before.uid, before.gid) != (after.mode, after.uid, after.gid);
    }
    before != after || (both(FileType::RegularFile) && old.is_racy(before))
}

fn removed(item: &Item) -> Change {
    Change {
        path: escape_path(&item.path.0),
        change: ChangeKind::Removed,
        sha256: None,
        mode: None,
    }
}

struct Reader<'fd> {
    root: BorrowedFd<'fd>,
    /// Bytes that may still be read.
    left: u64,
    /// Whether a digest is missing that should be there.
    is_short: bool,
}

impl Reader<'_> {
    fn present(&mut self, item: &Item, change: ChangeKind) -> Change {
        Change {
            path: escape_path(&item.path.0),
            change,
            sha256: self.digest(item),
            mode: Some(item.key.mode),
        }
    }

    /// Digests the content of a regular file of bounded size.
    fn digest(&mut self, item: &Item) -> Option<Digest> {
        let size = u64::try_from(item.key.size).ok()?;
        if item.key.file_type() != FileType::RegularFile || size > MAX_FILE {
            return None;
        }
        let digest = if size > self.left {
            Err(Errno::FBIG)
        } else {
            self.read(&item.path.0)
        };
        match digest {
            Ok(digest) => digest,
            // Gone since the walk. The next one says so.
            Err(Errno::NOENT) => None,
            Err(_) => {
                self.is_short = true;
                None
            }
        }
    }

    /// Reads a file whole. None where it changed meanwhile: the next walk sees that too.
    fn read(&mut self, path: &[u8]) -> Result<Option<Digest>, Errno> {
        let (fd, before) = beneath::open_file(self.root, path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        let mut total: u64 = 0;
        loop {
            let count = match read(&fd, &mut buffer) {
                Err(Errno::INTR) => continue,
                count => count?,
            };
            let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
                break;
            };
            hasher.update(part);
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            total = total.saturating_add(count);
            self.left = self.left.saturating_sub(count);
            // It grows as it is read: not past what a file may take.
            if total > MAX_FILE {
                return Ok(None);
            }
        }
        let is_same = Key::of(&before) == Key::of(&fstat(&fd)?);
        Ok(is_same.then(|| Digest(hasher.finalize().into())))
    }
}
