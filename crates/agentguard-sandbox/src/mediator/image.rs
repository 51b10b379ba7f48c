//! Programs: which file, what it holds, and what kind of place it lies in.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use agentguard_core::{Digest, Program, ProgramClass};
use rustix::fs::{self, FileType, OFlags, StatVfsMountFlags};
use rustix::io::{Errno, Result};
use sha2::{Digest as _, Sha256};

use super::caller::Processes;
use super::places::Places;
use crate::plan::{FileKey, KnownIdentity};

const CHUNK: usize = 256 * 1024;
/// No program is larger. Reading on would hold everybody else who wants to start one.
const LARGEST: u64 = 1 << 30;
/// Dynamic loaders by the names that programs give them (the System V ABI's `PT_INTERP`, musl's).
const LOADERS: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// A file that runs, or that is about to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Image {
    /// What policy sees of it.
    pub(super) program: Program,
    /// Which file, in which state.
    pub(super) key: FileKey,
    /// Whether nobody inside can change it.
    pub(super) is_fixed: bool,
}

/// Tells what files hold, and remembers it of those that nobody inside can change.
#[derive(Debug)]
pub(super) struct Images {
    places: Places,
    known: Mutex<HashMap<FileKey, Digest>>,
    learnt: Mutex<Vec<KnownIdentity>>,
    loaders: HashSet<Digest>,
}

impl Images {
    /// Starts from what earlier sessions learnt.
    pub(super) fn new(places: Places, known: &[KnownIdentity]) -> Self {
        let known = known
            .iter()
            .map(|identity| (identity.key, identity.sha256))
            .collect();
        let mut images = Self {
            places,
            known: Mutex::new(known),
            learnt: Mutex::default(),
            loaders: HashSet::new(),
        };
        let digest = |file: OwnedFd| {
            let key = key_of(file.as_fd()).ok()?;
            images
                .identify(file.as_fd(), key, true)
                .ok()
                .map(|(digest, _)| digest)
        };
        images.loaders = loaders().filter_map(digest).collect();
        images
    }

    /// Looks at an open file. Where it cannot be read, what is known is only where it lies.
    pub(super) fn look(&self, processes: &Processes, file: BorrowedFd<'_>) -> Result<Image> {
        let path = processes.path_of(file)?;
        self.image(path, file)
    }

    /// What a process runs. The file cannot be written while it runs (execve(2), ETXTBSY), so that what
    /// is read of it is what runs.
    pub(super) fn running(
        &self,
        processes: &Processes,
        process: rustix::process::Pid,
    ) -> Result<Image> {
        let file = processes.follow(process, "exe", OFlags::RDONLY)?;
        let path = processes.link(process, "exe").ok_or(Errno::NOENT)?;
        self.image(path, file.as_fd())
    }

    /// What was learnt in this session about files that stay as they are.
    pub(super) fn learnt(&self) -> Vec<KnownIdentity> {
        std::mem::take(&mut *self.learnt.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn image(&self, path: String, file: BorrowedFd<'_>) -> Result<Image> {
        let stat = fs::fstat(file)?;
        let key = key_from(&stat)?;
        let mut class = self.places.class(&path, stat.st_nlink);
        let (sha256, is_fixed) = self.identify(file, key, is_of_others(class))?;
        let has_name = !matches!(class, ProgramClass::Memfd | ProgramClass::Deleted);
        if has_name && self.loaders.contains(&sha256) {
            class = ProgramClass::Loader;
        }
        let program = Program {
            path,
            sha256,
            class,
        };
        Ok(Image {
            program,
            key,
            is_fixed,
        })
    }

    /// What a file holds, and whether nobody inside can change it.
    ///
    /// A file that `may_be_fixed` is so on a read-only mount, or where Landlock holds it alone. What lies where an agent can write is not, not
    /// even where it is pinned: another name of it may lead past the pin.
    fn identify(
        &self,
        file: BorrowedFd<'_>,
        key: FileKey,
        may_be_fixed: bool,
    ) -> Result<(Digest, bool)> {
        let is_read_only = fs::fstatvfs(file)?
            .f_flag
            .contains(StatVfsMountFlags::RDONLY);
        let is_fixed = may_be_fixed && (is_read_only || self.places.held_without_mounts);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known().get(&key).filter(|_| is_fixed) {
            return Ok((*digest, true));
        }
        let digest = digest_of(file)?;
        if is_fixed && is_settled(&key) {
            known().insert(key, digest);
            let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
            learnt.push(KnownIdentity {
                key,
                sha256: digest,
            });
        }
        Ok((digest, is_fixed))
    }
}

/// Whether files of this class lie where no agent writes.
fn is_of_others(class: ProgramClass) -> bool {
    match class {
        ProgramClass::System | ProgramClass::Toolchain | ProgramClass::Loader => true,
        ProgramClass::Workspace
        | ProgramClass::Temporary
        | ProgramClass::Memfd
        | ProgramClass::Deleted
        | ProgramClass::Unknown => false,
    }
}

/// Whether a file has been as it is for longer than a time stamp is coarse: somebody outside could change
/// it again under the same one before that.
fn is_settled(key: &FileKey) -> bool {
    const LONG_ENOUGH: i64 = 2_000_000_000;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let now = now
        .tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec);
    key.changed.saturating_add(LONG_ENOUGH) < now
}

/// Which file this is, and in which state. Only regular files are programs.
fn key_of(file: BorrowedFd<'_>) -> Result<FileKey> {
    key_from(&fs::fstat(file)?)
}

fn key_from(stat: &fs::Stat) -> Result<FileKey> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    let nanos = |seconds: i64, nanos: u64| {
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::try_from(nanos).unwrap_or(i64::MAX))
    };
    Ok(FileKey {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).map_err(|_| Errno::INVAL)?,
        modified: nanos(stat.st_mtime, stat.st_mtime_nsec),
        changed: nanos(stat.st_ctime, stat.st_ctime_nsec),
    })
}

/// What a file holds.
///
/// # Errors
///
/// Returns what the system said.
pub fn content_of(file: BorrowedFd<'_>) -> std::io::Result<Digest> {
    Ok(digest_of(file)?)
}

/// Which file this is, in which state.
///
/// # Errors
///
/// Returns what the system said, and `EACCES` for what is no regular file.
pub fn content_key(file: BorrowedFd<'_>) -> std::io::Result<FileKey> {
    Ok(key_of(file)?)
}

fn digest_of(file: BorrowedFd<'_>) -> Result<Digest> {
    if fs::fstat(file)?.st_size.unsigned_abs() > LARGEST {
        return Err(Errno::FBIG);
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0u64;
    loop {
        if at > LARGEST {
            return Err(Errno::FBIG);
        }
        match rustix::io::pread(file, buffer.as_mut_slice(), at) {
            Ok(0) => return Ok(Digest(hasher.finalize().into())),
            Ok(length) => {
                hasher.update(buffer.get(..length).unwrap_or_default());
                at = at.saturating_add(u64::try_from(length).map_err(|_| Errno::INVAL)?);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn loaders() -> impl Iterator<Item = OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    LOADERS
        .iter()
        .filter_map(move |path| fs::open(*path, flags, fs::Mode::empty()).ok())
}
