//! Private files: below a directory that is ours alone, opened once, everything else relative to it.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::{fs::File, io};

use rustix::fs::{
    self, AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use crate::Error;

/// A directory that belongs to us and opens to nobody else.
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens `path`, making it and what leads to it where they are missing.
    pub(crate) fn make(path: &Path) -> Result<Self, Error> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| Error::Io {
                doing: "make",
                path: path.to_owned(),
                source,
            })?;
        Self::open(path)?.ok_or_else(|| io_error("open", path, Errno::NOENT))
    }

    /// Opens `path`, or answers that it is not there.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Error> {
        Self::open_at(CWD, path.as_os_str(), path.to_owned())
    }

    /// Opens the directory `name` in this one, making it where it is missing.
    pub(crate) fn make_below(&self, name: &str) -> Result<Self, Error> {
        let path = self.path.join(name);
        match fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => fs::fsync(&self.fd).map_err(|errno| io_error("sync", &self.path, errno))?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(io_error("make", &path, errno)),
        }
        self.open_below(name)?
            .ok_or_else(|| io_error("open", &path, Errno::NOENT))
    }

    /// Opens the directory `name` in this one, or answers that it is not there.
    pub(crate) fn open_below(&self, name: &str) -> Result<Option<Self>, Error> {
        Self::open_at(&self.fd, OsStr::new(name), self.path.join(name))
    }

    /// Keeps everyone else who locks out, until the answer is dropped.
    pub(crate) fn lock(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = fs::openat(&self.fd, ".", flags, Mode::empty())
            .map_err(|errno| io_error("open", &self.path, errno))?;
        fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|errno| io_error("lock", &self.path, errno))?;
        Ok(lock)
    }

    /// Writes a file that was not there, whole or not at all. Answers whether it was not there.
    pub(crate) fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, Error> {
        let temporary = self.write_temporary(bytes)?;
        let moved =
            match fs::renameat_with(&self.fd, &temporary, &self.fd, name, RenameFlags::NOREPLACE) {
                // Some file systems know no such rename. A link does not replace either.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    fs::linkat(&self.fd, &temporary, &self.fd, name, AtFlags::empty())
                }
                moved => moved,
            };
        // Gone already where it was renamed.
        let _ = fs::unlinkat(&self.fd, &temporary, AtFlags::empty());
        match moved {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(io_error("write", &self.path.join(name), errno)),
        }
    }

    /// Puts a file in the place of what was there, whole or not at all.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let temporary = self.write_temporary(bytes)?;
        fs::renameat(&self.fd, &temporary, &self.fd, name).map_err(|errno| {
            let _ = fs::unlinkat(&self.fd, &temporary, AtFlags::empty());
            io_error("write", &self.path.join(name), errno)
        })?;
        self.sync()
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => self.sync(),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(io_error("remove", &self.path.join(name), errno)),
        }
    }

    /// Reads a file of at most `limit` bytes, or answers that it is not there.
    pub(crate) fn read(&self, name: &str, limit: u16) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let path = self.path.join(name);
        // Without blocking: what lies there could be a FIFO.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(refused_or(errno, "read", &path, "a file")),
        };
        let stat = fs::fstat(&fd).map_err(|errno| io_error("read", &path, errno))?;
        check(&stat, FileType::RegularFile, &path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::from(limit) + 1));
        File::from(fd)
            .take(u64::from(limit) + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Io {
                doing: "read",
                path: path.clone(),
                source,
            })?;
        if bytes.len() > usize::from(limit) {
            return Err(Error::Unsafe {
                path,
                problem: format!("is larger than {limit} bytes"),
                remedy: "restore it from a backup, or move it away".to_owned(),
            });
        }
        Ok(Some(bytes))
    }

    /// The names in this directory, sorted, as far as they are UTF-8.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |errno| io_error("list", &self.path, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Where a file of this directory lies, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn open_at(
        at: impl std::os::fd::AsFd,
        name: &OsStr,
        path: PathBuf,
    ) -> Result<Option<Self>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match fs::openat(at, name.as_bytes(), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(refused_or(errno, "open", &path, "a directory")),
        };
        let stat = fs::fstat(&fd).map_err(|errno| io_error("open", &path, errno))?;
        check(&stat, FileType::Directory, &path)?;
        Ok(Some(Self { fd, path }))
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<String, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(random_error)?;
        let name = format!(".new-{:016x}", u64::from_ne_bytes(random));
        let path = self.path.join(&name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = fs::openat(&self.fd, &name, flags, mode)
            .map_err(|errno| io_error("write", &path, errno))?;
        let mut file = File::from(fd);
        let written = file.write_all(bytes).and_then(|()| {
            // The caller's umask may have taken our own bits away.
            fs::fchmod(&file, mode)?;
            file.sync_all()
        });
        written.map_err(|source| {
            let _ = fs::unlinkat(&self.fd, &name, AtFlags::empty());
            Error::Io {
                doing: "write",
                path,
                source,
            }
        })?;
        Ok(name)
    }

    fn sync(&self) -> Result<(), Error> {
        fs::fsync(&self.fd).map_err(|errno| io_error("sync", &self.path, errno))
    }
}

pub(crate) fn random_error(source: getrandom::Error) -> Error {
    Error::Random {
        source: io::Error::other(source),
    }
}

/// Refuses what is not of this type, not ours, or open to others.
fn check(stat: &Stat, expected: FileType, path: &Path) -> Result<(), Error> {
    let refuse = |problem: String, remedy: String| {
        Err(Error::Unsafe {
            path: path.to_owned(),
            problem,
            remedy,
        })
    };
    let shown = path.to_string_lossy().escape_debug().to_string();
    let (word, right) = match expected == FileType::Directory {
        true => ("a directory", "700"),
        false => ("a file", "600"),
    };
    let us = geteuid().as_raw();
    let mode = stat.st_mode & 0o7777;
    if FileType::from_raw_mode(stat.st_mode) != expected {
        refuse(format!("is not {word}"), "move it away".to_owned())
    } else if stat.st_uid != us {
        let owner = stat.st_uid;
        refuse(
            format!("belongs to uid {owner}, and this is uid {us}"),
            format!("run as uid {owner}, or `chown {us} '{shown}'` if it is yours"),
        )
    } else if mode & 0o077 != 0 {
        refuse(
            format!("is open to others (mode {mode:04o})"),
            format!("`chmod {right} '{shown}'`, and rotate the key if others could have read it"),
        )
    } else {
        Ok(())
    }
}

fn refused_or(errno: Errno, doing: &'static str, path: &Path, word: &str) -> Error {
    match errno {
        // `O_NOFOLLOW` says ELOOP, with `O_DIRECTORY` ENOTDIR; a socket says ENXIO.
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO => Error::Unsafe {
            path: path.to_owned(),
            problem: format!("is not {word} but a link or something else"),
            remedy: "move it away".to_owned(),
        },
        errno => io_error(doing, path, errno),
    }
}

fn io_error(doing: &'static str, path: &Path, errno: Errno) -> Error {
    Error::Io {
        doing,
        path: path.to_owned(),
        source: errno.into(),
    }
}
