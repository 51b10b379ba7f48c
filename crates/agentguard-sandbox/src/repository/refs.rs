//! Refs: loose, packed, of this work tree and of others.
//!
//! # References
//!
//! - gitrepository-layout(5), git-pack-refs(1), git-check-ref-format(1)
//! - refs/files-backend.c and refs/packed-backend.c of git

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};

use agentguard_core::RefMove;
use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Repository;
use super::id::Id;
use crate::difference::beneath::{open_directory, read_file};
use crate::difference::escape_path;

/// All refs together.
const MAX_REFS: usize = 100_000;
/// Files and directories below `refs`, also where they are no refs.
const MAX_ENTRIES: usize = 2 * MAX_REFS;
/// Directories within `refs`.
const MAX_DEPTH: usize = 32;
/// A loose ref is an id or a name.
const LOOSE_LIMIT: usize = 4096;
/// Some 200,000 refs.
const PACKED_LIMIT: usize = 16 << 20;
/// Refs that each work tree has for itself (git-worktree(1), "REFS").
const PER_WORKTREE: [&str; 3] = ["refs/bisect", "refs/rewritten", "refs/worktree"];

/// Where every ref pointed at one time.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Refs {
    /// By full name: an id in lower-case digits, or `ref: NAME` for one that stands for another.
    /// Bytes of a name that are no text are escaped as in the workspace's difference.
    pub refs: BTreeMap<String, String>,
    /// Whether all could be read, and none was broken.
    pub complete: bool,
}

impl Refs {
    /// The branch that is checked out, without `refs/heads/`.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.refs.get("HEAD")?.strip_prefix("ref: refs/heads/")
    }

    /// The ids that refs point to, with the refs' names.
    pub(super) fn tips(&self) -> impl Iterator<Item = (&str, Id)> {
        self.refs
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), Id::parse(value.as_bytes())?)))
    }
}

/// Which refs moved, sorted by name.
#[must_use]
pub fn moved_refs(old: &Refs, new: &Refs) -> Vec<RefMove> {
    let mut names: Vec<&String> = old.refs.keys().chain(new.refs.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| RefMove {
            name: name.clone(),
            old: old.refs.get(name).cloned(),
            new: new.refs.get(name).cloned(),
        })
        // Where one reading was cut short, a missing ref says nothing.
        .filter(|moved| match (&moved.old, &moved.new) {
            (Some(old), Some(new)) => old != new,
            (Some(_), None) => new.complete,
            (None, _) => old.complete,
        })
        .collect()
}

impl Repository {
    /// Reads where every ref points: `HEAD`, the shared refs, this work tree's own, and those of other
    /// work trees under `worktrees/NAME/` and `main-worktree/`.
    ///
    /// What git would not take for a ref's name is left out; a ref that is a link, a FIFO, too long or
    /// holds no id is left out too and makes the answer incomplete.
    #[must_use]
    pub fn refs(&self) -> Refs {
        let mut reader = Reader {
            refs: BTreeMap::new(),
            left: MAX_ENTRIES,
            complete: true,
        };
        let (own, common) = (self.own.as_fd(), self.common.as_fd());
        reader.packed(common);
        reader.below(common, b"refs", "", 0);
        reader.loose(own, b"HEAD", "");
        if self.is_linked {
            // A linked work tree does not see the main one's refs of this kind.
            reader.refs.retain(|name, _| !is_per_worktree(name));
            for path in PER_WORKTREE {
                reader.below(own, path.as_bytes(), "", 0);
            }
            reader.loose(common, b"HEAD", "main-worktree/");
        }
        reader.worktrees(common);
        Refs {
            refs: reader.refs,
            complete: reader.complete,
        }
    }
}

struct Reader {
    refs: BTreeMap<String, String>,
    /// Files and directories that may still be looked at.
    left: usize,
    complete: bool,
}

impl Reader {
    fn packed(&mut self, common: BorrowedFd<'_>) {
        let bytes = match read_file(common, b"packed-refs", PACKED_LIMIT) {
            Ok(bytes) => bytes,
            Err(Errno::NOENT) => return,
            Err(_) => return self.miss(),
        };
        for line in bytes.split(|byte| *byte == b'\n') {
            // The header, and what the tag above points to.
            if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"^") {
                continue;
            }
            let mut parts = line.splitn(2, |byte| *byte == b' ');
            let id = parts.next().and_then(Id::parse);
            let name = parts
                .next()
                .filter(|name| name.starts_with(b"refs/") && is_ref_name(name));
            match (id, name) {
                (Some(id), Some(name)) => self.add(escape_path(name), id.to_string()),
                (None, _) | (_, None) => self.miss(),
            }
        }
    }

    /// Reads the loose refs below `path`. Their names begin with `prefix`.
    fn below(&mut self, at: BorrowedFd<'_>, path: &[u8], prefix: &str, depth: usize) {
        let entries = match list(at, path) {
            Ok(entries) => entries,
            Err(Errno::NOENT) => return,
            Err(_) => return self.miss(),
        };
        for (name, file_type) in entries {
            let path = [path, b"/", &*name].concat();
            let Some(left) = self.left.checked_sub(1) else {
                return self.miss();
            };
            self.left = left;
            match file_type {
                FileType::Directory if depth < MAX_DEPTH => {
                    self.below(at, &path, prefix, depth + 1);
                }
                // Written, and renamed when it is whole.
                FileType::RegularFile if name.ends_with(b".lock") => {}
                FileType::RegularFile if is_ref_name(&path) => self.loose(at, &path, prefix),
                // Git does not take this for a ref either, and says so.
                FileType::RegularFile => {}
                FileType::Directory
                | FileType::Symlink
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => self.miss(),
            }
        }
    }

    fn loose(&mut self, at: BorrowedFd<'_>, path: &[u8], prefix: &str) {
        match read_file(at, path, LOOSE_LIMIT) {
            Ok(bytes) => match value(&bytes) {
                Some(value) => self.add(format!("{prefix}{}", escape_path(path)), value),
                None => self.miss(),
            },
            // Deleted since it was listed.
            Err(Errno::NOENT) => {}
            Err(_) => self.miss(),
        }
    }

    fn worktrees(&mut self, common: BorrowedFd<'_>) {
        let entries = match list(common, b"worktrees") {
            Ok(entries) => entries,
            Err(Errno::NOENT) => return,
            Err(_) => return self.miss(),
        };
        for (name, _) in entries {
            let path = [b"worktrees/", &*name].concat();
            match open_directory(common, &path) {
                Ok(fd) if is_ref_name(&path) => {
                    let prefix = format!("{}/", escape_path(&path));
                    self.loose(fd.as_fd(), b"HEAD", &prefix);
                    self.below(fd.as_fd(), b"refs", &prefix, 0);
                }
                Err(Errno::NOENT) => {}
                Ok(_) | Err(_) => self.miss(),
            }
        }
    }

    fn add(&mut self, name: String, value: String) {
        if self.refs.len() < MAX_REFS || self.refs.contains_key(&name) {
            self.refs.insert(name, value);
        } else {
            self.miss();
        }
    }

    fn miss(&mut self) {
        self.complete = false;
    }
}

/// The entries of a directory with their types, sorted; at most as many as there may be refs.
pub(super) fn list(at: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let fd = open_directory(at, path)?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut directory = RawDir::new(&fd, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = directory.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push((name.to_vec(), entry.file_type()));
        }
        if entries.len() > MAX_REFS {
            return Err(Errno::FBIG);
        }
    }
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

/// What a loose ref holds: an id, or the name of another ref.
fn value(bytes: &[u8]) -> Option<String> {
    let text = bytes.trim_ascii_end();
    if let Some(name) = text.strip_prefix(b"ref:") {
        let name = name.trim_ascii_start();
        return is_ref_name(name).then(|| format!("ref: {}", escape_path(name)));
    }
    let first = text.split(u8::is_ascii_whitespace).next()?;
    Id::parse(first).map(|id| id.to_string())
}

/// Whether git takes these bytes for a ref's name (git-check-ref-format(1)).
fn is_ref_name(name: &[u8]) -> bool {
    let is_part =
        |part: &[u8]| !part.is_empty() && !part.starts_with(b".") && !part.ends_with(b".lock");
    let is_plain = |byte: &u8| !byte.is_ascii_control() && !b" ~^:?*[\\".contains(byte);
    let holds = |pair: &[u8]| name.windows(2).any(|window| window == pair);
    name.iter().all(is_plain)
        && name.split(|byte| *byte == b'/').all(is_part)
        && !holds(b"..")
        && !holds(b"@{")
        && !name.ends_with(b".")
        && name != b"@"
}

fn is_per_worktree(name: &str) -> bool {
    PER_WORKTREE.iter().any(|path| {
        name.strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
    })
}
