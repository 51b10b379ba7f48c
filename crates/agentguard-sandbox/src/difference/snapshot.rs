//! One walk over a tree, by `stat` alone.

use std::collections::{BTreeSet, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, RawDir, Stat, fstat, statat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::beneath;
use super::escaped::serde_path;

/// Left out: objects are named by their content, and known by the refs that lead to them.
/// What of a repository makes git run code, relative to its directory.
const SETTINGS: [&str; 7] = [
    "branches",
    "commondir",
    "config",
    "config.worktree",
    "hooks",
    "info/attributes",
    "remotes",
];
const OBJECTS: &[u8] = b".git/objects";
/// A name takes 255 bytes; this holds a few hundred entries.
const BUFFER: usize = 32 * 1024;
/// How far a file's time stamp may lie behind the change it stands for: a tick of the slowest
/// configured kernel (HZ=100).
const TICK_NANOS: i64 = 10_000_000;

/// How much a walk may take. Past any of these it stops, and says so.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Files and directories.
    pub files: usize,
    /// Directories within one another.
    pub depth: usize,
    /// Bytes of all paths together.
    pub path_bytes: usize,
    /// Time.
    pub time: Duration,
    /// Paths that are masked for the session, relative: not entered, and not missed.
    pub masks: Vec<PathBuf>,
}

impl Limits {
    /// A million files, 256 directories deep, 256 MiB of paths, 10 seconds, no masks.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            files: 1_000_000,
            depth: 256,
            path_bytes: 256 << 20,
            time: Duration::from_secs(10),
            masks: Vec::new(),
        }
    }
}

/// Every path of a tree with what `stat` said of it, at one time.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Sorted by path.
    pub(super) items: Vec<Item>,
    /// Directories whose content was not seen, or not wholly.
    pub(super) unseen: BTreeSet<Path>,
    /// The clock of time stamps when the walk began.
    pub(super) began: (i64, i64),
}

/// A path, relative to the root of the walk.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub(super) struct Path(#[serde(with = "serde_path")] pub(super) Box<[u8]>);

#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) path: Path,
    pub(super) key: Key,
}

/// What tells one state of a file from another. A write moves ctime, and nobody can set it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) ino: u64,
    pub(super) size: i64,
    pub(super) mtime: (i64, u64),
    pub(super) ctime: (i64, u64),
}

impl Snapshot {
    /// Walks the tree below `root`. What cannot be read makes it incomplete, and nothing else does.
    #[must_use]
    pub fn take(root: BorrowedFd<'_>, limits: &Limits) -> Self {
        Self::take_on(fstat(root).map(|stat| stat.st_dev).ok(), root, limits)
    }

    /// Walks what lies on `device`.
    pub(super) fn take_on(device: Option<u64>, root: BorrowedFd<'_>, limits: &Limits) -> Self {
        let mut walk = Walk::new(limits);
        match (device, beneath::open_directory(root, b"")) {
            (Some(device), Ok(fd)) => {
                walk.device = device;
                walk.enter(&fd, 0);
            }
            (_, Err(_)) | (None, Ok(_)) => walk.miss(),
        }
        let Walk {
            mut items,
            unseen,
            began,
            ..
        } = walk;
        items.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self {
            items,
            unseen,
            began,
        }
    }

    /// Whether the walk saw everything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unseen.is_empty()
    }

    /// Takes out the sockets of the tree, by their paths: they are covered for the session, since whoever
    /// made one may be listening outside.
    pub(crate) fn take_sockets(&mut self) -> Vec<PathBuf> {
        let is_socket = |item: &Item| FileType::from_raw_mode(item.key.mode) == FileType::Socket;
        let (sockets, others) = std::mem::take(&mut self.items)
            .into_iter()
            .partition(is_socket);
        self.items = others;
        let sockets: Vec<Item> = sockets;
        sockets
            .iter()
            .map(|item| PathBuf::from(std::ffi::OsStr::from_bytes(&item.path.0)))
            .collect()
    }

    /// Every path, and what lies there.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (&[u8], FileType)> {
        let items = self.items.iter();
        items.map(|item| (item.path.0.as_ref(), item.key.file_type()))
    }

    /// What lies at a path and below it, each with its inode; everything, for the empty path.
    pub(crate) fn beneath(
        &self,
        root: &[u8],
    ) -> impl Iterator<Item = (&[u8], FileType, u64)> + use<'_> {
        let below = match root {
            b"" => Vec::new(),
            root => [root, b"/"].concat(),
        };
        let first = self
            .items
            .partition_point(|item| *item.path.0 < *below.as_slice());
        let items = self.items.get(first..).unwrap_or_default().iter();
        let below = items.take_while(move |item| item.path.0.starts_with(&below));
        let all = self.item(root).into_iter().chain(below);
        all.map(|item| (item.path.0.as_ref(), item.key.file_type(), item.key.ino))
    }

    /// What lies at a path.
    pub(crate) fn kind_of(&self, path: &[u8]) -> Option<FileType> {
        self.item(path).map(|item| item.key.file_type())
    }

    fn item(&self, path: &[u8]) -> Option<&Item> {
        let found = self.items.binary_search_by(|item| (*item.path.0).cmp(path));
        found.ok().and_then(|index| self.items.get(index))
    }

    /// What makes git run code in the repositories of the tree, but for the one at its top: their settings and
    /// hooks, and files `.git` that name a repository elsewhere.
    pub(crate) fn settings_of_repositories(&self) -> Vec<PathBuf> {
        let paths = || self.items.iter().map(|item| item.path.0.as_ref());
        let heads: Vec<&[u8]> = paths()
            .filter_map(|path| path.strip_suffix(b"HEAD"))
            .filter(|above| above.is_empty() || above.ends_with(b"/"))
            .filter(|above| !above.starts_with(b".git/"))
            .collect();
        let mut found: Vec<&[u8]> = self
            .items
            .iter()
            .filter(|item| item.key.file_type() != FileType::Directory)
            .map(|item| item.path.0.as_ref())
            .filter(|path| path.ends_with(b"/.git"))
            .collect();
        let all: HashSet<&[u8]> = match heads.is_empty() {
            true => HashSet::new(),
            false => paths().collect(),
        };
        for above in heads {
            let below = |name: &str| {
                all.get([above, name.as_bytes()].concat().as_slice())
                    .copied()
            };
            let has_own = below("objects").is_some() && below("refs").is_some();
            if has_own || below("commondir").is_some() {
                found.extend(SETTINGS.iter().filter_map(|name| below(name)));
            }
        }
        let path = |path: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(path));
        found.into_iter().map(path).collect()
    }

    /// How many files and directories it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the content of the directory that holds `path` was not seen here.
    pub(super) fn has_not_seen(&self, path: &Path) -> bool {
        if self.unseen.is_empty() {
            return false;
        }
        let path = &path.0;
        let ends = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(end, _)| end);
        std::iter::once(0).chain(ends).any(|end| {
            let above = path.get(..end).unwrap_or_default();
            self.unseen.contains(&Path(above.into()))
        })
    }

    /// Whether the file could have been changed after it was looked at without its key changing: its
    /// time stamp is so young that the next change may have got the same.
    pub(super) fn is_racy(&self, key: &Key) -> bool {
        let (seconds, nanos) = match self.began {
            (seconds, nanos) if nanos >= TICK_NANOS => (seconds, nanos - TICK_NANOS),
            (seconds, nanos) => (
                seconds.saturating_sub(1),
                nanos + 1_000_000_000 - TICK_NANOS,
            ),
        };
        let stamp = (key.ctime.0, i64::try_from(key.ctime.1).unwrap_or(i64::MAX));
        stamp >= (seconds, nanos)
    }
}

impl Key {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            ino: stat.st_ino,
            size: stat.st_size,
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            ctime: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

struct Walk<'a> {
    limits: &'a Limits,
    masks: BTreeSet<&'a [u8]>,
    deadline: Instant,
    device: u64,
    began: (i64, i64),
    /// Where the walk is.
    path: Vec<u8>,
    path_bytes: usize,
    items: Vec<Item>,
    unseen: BTreeSet<Path>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl<'a> Walk<'a> {
    fn new(limits: &'a Limits) -> Self {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        Self {
            limits,
            masks: limits
                .masks
                .iter()
                .map(|mask| mask.as_os_str().as_bytes())
                .collect(),
            deadline: Instant::now() + limits.time,
            device: 0,
            began: (now.tv_sec, now.tv_nsec),
            path: Vec::new(),
            path_bytes: 0,
            items: Vec::new(),
            unseen: BTreeSet::new(),
            buffer: vec![MaybeUninit::uninit(); BUFFER],
        }
    }

    /// Takes in a directory: first what is in it, then what is below.
    fn enter(&mut self, fd: &OwnedFd, depth: usize) {
        if depth > self.limits.depth || Instant::now() >= self.deadline {
            return self.miss();
        }
        let (below, is_whole) = self.list(fd);
        if !is_whole {
            self.miss();
        }
        for name in below {
            let length = self.path.len();
            self.descend_name(&name);
            if !self.is_spent() {
                match beneath::open_directory(fd, &name) {
                    Ok(fd) => self.enter(&fd, depth + 1),
                    // It is gone since it was listed, with all that was in it.
                    Err(Errno::NOENT) => {}
                    Err(_) => self.miss(),
                }
            } else {
                self.miss();
            }
            self.path.truncate(length);
        }
    }

    /// Takes in the entries of a directory. Answers those to enter, and whether it saw all entries.
    fn list(&mut self, fd: &OwnedFd) -> (Vec<Vec<u8>>, bool) {
        let (mut below, mut is_whole) = (Vec::new(), true);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut entries = RawDir::new(fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else {
                is_whole = false;
                break;
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if self.is_spent() {
                is_whole = false;
                break;
            }
            match statat(fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => below.extend(self.take_in(name, &stat).then(|| name.to_vec())),
                Err(Errno::NOENT) => {}
                Err(_) => is_whole = false,
            }
        }
        self.buffer = buffer;
        (below, is_whole)
    }

    /// Takes in one entry. Answers whether it is a directory to enter.
    fn take_in(&mut self, name: &[u8], stat: &Stat) -> bool {
        let length = self.path.len();
        self.descend_name(name);
        let key = Key::of(stat);
        self.path_bytes += self.path.len();
        self.items.push(Item {
            path: self.here(),
            key,
        });
        let is_skipped = self.path == OBJECTS || self.masks.contains(&*self.path);
        let is_ours = stat.st_dev == self.device;
        let is_directory = key.file_type() == FileType::Directory && !is_skipped;
        if is_directory && !is_ours {
            self.miss();
        }
        self.path.truncate(length);
        is_directory && is_ours
    }

    fn descend_name(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    /// Whether a limit is reached. The clock is read now and then only.
    fn is_spent(&self) -> bool {
        self.items.len() >= self.limits.files
            || self.path_bytes >= self.limits.path_bytes
            || (self.items.len() % 256 == 255 && Instant::now() >= self.deadline)
    }

    fn miss(&mut self) {
        let here = self.here();
        self.unseen.insert(here);
    }

    fn here(&self) -> Path {
        Path(self.path.as_slice().into())
    }
}
