//! Files of ours: private, whole or not at all, and durable in the order that matters.
//!
//! # References
//!
//! - `open(2)`, `fsync(2)`, `rename(2)`: a new name is durable once its directory is synced

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags, linkat, renameat_with};
use rustix::io::Errno;

use crate::Error;

/// Makes a directory, and what leads to it, for us alone. What is there must be ours alone.
pub(crate) fn private_directory(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| Error::io("make", path, source))?;
    let found = fs::symlink_metadata(path).map_err(|source| Error::io("look at", path, source))?;
    check(path, &found, found.is_dir(), "a directory", "700")
}

/// Opens a file of ours to read, or answers that it is not there. Links are not followed.
pub(crate) fn open(path: &Path) -> Result<Option<File>, Error> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY))
        .open(path);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", path, error)),
    }
}

/// Opens a file that we read and append to.
pub(crate) fn open_to_append(path: &Path) -> Result<Option<File>, Error> {
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .custom_flags(flags(OFlags::NOFOLLOW))
        .open(path);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", path, error)),
    }
}

/// Makes a file that was not there, to read and append to.
pub(crate) fn create_to_append(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags(OFlags::NOFOLLOW))
        .open(path)
        .map_err(|source| Error::io("make", path, source))
}

/// Reads a file of at most `limit` bytes, or answers that it is not there.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, Error> {
    let bytes = read_beginning(path, limit)?;
    if bytes.as_ref().is_some_and(|bytes| bytes.len() > limit) {
        return Err(Error::io("read", path, io::Error::from(Errno::FBIG)));
    }
    Ok(bytes)
}

/// Reads a file, of a longer one than `limit` one byte more than that.
pub(crate) fn read_beginning(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, Error> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = file.take(most).read_to_end(&mut bytes);
    read.map_err(|source| Error::io("read", path, source))?;
    Ok(Some(bytes))
}

/// Reads a private file, and refuses one that others could have read or written.
pub(crate) fn read_private(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) => check(path, &found, found.is_file(), "a file", "600")?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("look at", path, error)),
    }
    read(path, limit)
}

/// Puts a file in the place of what was there, whole or not at all, durably.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let (temporary, file) = write_temporary(path, |file| file.write_all(bytes))?;
    sync(&temporary, &file)?;
    rename(&temporary, path)?;
    sync_directory(parent(path))
}

/// Puts what is written by `write` in the place of a file, whole or not at all, durably.
pub(crate) fn rewrite(
    path: &Path,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), Error> {
    let (temporary, file) = write_temporary(path, |file| {
        let mut buffered = io::BufWriter::new(file);
        write(&mut buffered)?;
        buffered.flush()
    })?;
    sync(&temporary, &file)?;
    rename(&temporary, path)?;
    sync_directory(parent(path))
}

/// Writes a file that was not there, whole or not at all, durably. Answers whether it was not there.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<bool, Error> {
    let (temporary, file) = write_temporary(path, |file| file.write_all(bytes))?;
    sync(&temporary, &file)?;
    let moved = match renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE) {
        // Some file systems know no such rename. A link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS) => linkat(CWD, &temporary, CWD, path, AtFlags::empty()),
        moved => moved,
    };
    // Gone already where it was renamed.
    let _ = fs::remove_file(&temporary);
    match moved {
        Ok(()) => sync_directory(parent(path)).map(|()| true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(Error::io("write", path, errno)),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| Error::io("sync", path, source))
}

/// Makes the name of a directory durable, and those of the directories that lead to it, as far as they are
/// ours: whoever made them may not have come to it yet.
pub(crate) fn sync_upwards(path: &Path) -> Result<(), Error> {
    let us = rustix::process::geteuid().as_raw();
    for directory in path.ancestors() {
        let found = fs::metadata(directory).map_err(|e| Error::io("look at", directory, e))?;
        match sync_directory(directory) {
            Err(error) if found.uid() == us => return Err(error),
            // It may not be ours to open; then it was not made by us either.
            Err(_) | Ok(()) => {}
        }
        if found.uid() != us {
            break;
        }
    }
    Ok(())
}

/// More files than this are synced with their whole file system.
const MOST_FILES: usize = 64;

/// Files that are written one after the other and made durable together.
///
/// Each takes its place when all of them are on the disk: what lay there before is never replaced by
/// something that a loss of power could take away.
pub(crate) struct Batch {
    base: PathBuf,
    /// Opened before the first write, so that a sync by it tells of every failure since.
    opened: File,
    /// Where each lies until then, and its place.
    files: Vec<(PathBuf, PathBuf)>,
    /// The same files, opened, unless they are many.
    written: Vec<File>,
    directories: BTreeSet<PathBuf>,
}

impl Batch {
    /// Begins a batch of files below `base`.
    pub(crate) fn new(base: &Path) -> Result<Self, Error> {
        let opened = File::open(base).map_err(|e| Error::io("open", base, e))?;
        Ok(Self {
            base: base.to_owned(),
            opened,
            files: Vec::new(),
            written: Vec::new(),
            directories: BTreeSet::new(),
        })
    }

    /// Puts a file in the place of what was there, whole or not at all, with the directories it lies in.
    pub(crate) fn put(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.make_way(parent(path))?;
        let (temporary, file) = write_temporary(path, |file| file.write_all(bytes))?;
        self.files.push((temporary, path.to_owned()));
        match self.files.len() > MOST_FILES {
            true => self.written.clear(),
            false => self.written.push(file),
        }
        Ok(())
    }

    /// Makes everything that was put durable.
    pub(crate) fn sync(mut self) -> Result<(), Error> {
        if self.files.len() > MOST_FILES {
            let synced = rustix::fs::syncfs(&self.opened);
            synced.map_err(|errno| Error::io("sync", &self.base, errno))?;
        }
        for (file, (path, _)) in self.written.iter().zip(&self.files) {
            sync(path, file)?;
        }
        for (temporary, path) in std::mem::take(&mut self.files) {
            rename(&temporary, &path)?;
        }
        self.directories
            .iter()
            .try_for_each(|path| sync_directory(path))
    }

    fn make_way(&mut self, directory: &Path) -> Result<(), Error> {
        let mut above = directory;
        self.directories.insert(directory.to_owned());
        while above != self.base && !above.exists() {
            above = parent(above);
            self.directories.insert(above.to_owned());
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| Error::io("make", directory, source))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for (temporary, _) in &self.files {
            // Nothing speaks of what did not take its place.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Random bytes as hexadecimal digits.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random {
        source: error.into(),
    })?;
    Ok(bytes)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn write_temporary(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(PathBuf, File), Error> {
    let name = format!(".new-{:016x}", u64::from_ne_bytes(random()?));
    let temporary = parent(path).join(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| write(&mut file).map(|()| file));
    let file = written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        Error::io("write", path, source)
    })?;
    Ok((temporary, file))
}

fn rename(temporary: &Path, path: &Path) -> Result<(), Error> {
    fs::rename(temporary, path).map_err(|source| {
        let _ = fs::remove_file(temporary);
        Error::io("write", path, source)
    })
}

fn sync(path: &Path, file: &File) -> Result<(), Error> {
    file.sync_all()
        .map_err(|source| Error::io("sync", path, source))
}

fn check(
    path: &Path,
    found: &fs::Metadata,
    is_right: bool,
    word: &str,
    mode: &str,
) -> Result<(), Error> {
    let refuse = |problem, remedy| {
        Err(Error::Unsafe {
            path: path.to_owned(),
            problem,
            remedy,
        })
    };
    let us = rustix::process::geteuid().as_raw();
    if !is_right {
        refuse(format!("is not {word}"), "move it away".to_owned())
    } else if found.uid() != us {
        let owner = found.uid();
        let remedy = format!("run as uid {owner}, or give it to uid {us} if it is yours");
        refuse(
            format!("belongs to uid {owner}, and this is uid {us}"),
            remedy,
        )
    } else if found.mode() & 0o077 != 0 {
        let problem = format!("is open to others (mode {:04o})", found.mode() & 0o7777);
        refuse(
            problem,
            format!("`chmod {mode}` it, and look who could have read it"),
        )
    } else {
        Ok(())
    }
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}
