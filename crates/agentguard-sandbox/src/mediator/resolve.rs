//! Where a path of a caller's leads: resolved as the kernel would for the caller, and pinned.
//!
//! What is found is a descriptor, so that what was judged is what is acted upon. The caller's root is the
//! session's, and this process's own: no call inside changes it. So the kernel resolves nearly every path
//! here in one call. Only `/proc/self`, and links that lead to what a process holds, mean something else
//! to this process: such paths are walked part by part, and of those links only the caller's own are
//! followed, since this process could follow more of them than the caller.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    self, AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, StatxFlags,
};
use rustix::io::{Errno, Result};
use rustix::process::Pid;

use super::caller::{Named, Processes};

/// The kernel follows no more links in one path (`MAXSYMLINKS`, path_resolution(7)).
const MOST_LINKS: u32 = 40;
/// The kernel takes no longer path, its end included (`PATH_MAX`).
const LONGEST: usize = 4096;
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const ITSELF: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A name in a directory, whether or not something has that name yet.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory, held.
    pub(super) parent: OwnedFd,
    /// The last part of the path, with the slashes after it: the kernel knows what they mean.
    pub(super) name: Vec<u8>,
}

impl Place {
    /// The name without the slashes after it.
    pub(super) fn plain_name(&self) -> &[u8] {
        trim_slashes(&self.name)
    }
}

/// Resolves paths as one caller would. Links are counted over all that it resolves.
#[derive(Debug)]
pub(super) struct Resolver<'p> {
    processes: &'p Processes,
    caller: Pid,
    links: u32,
}

impl<'p> Resolver<'p> {
    /// A resolver for a path of `caller`, which is stopped in its call.
    pub(super) fn new(processes: &'p Processes, caller: Pid) -> Self {
        Self {
            processes,
            caller,
            links: 0,
        }
    }

    /// Finds the directory of the last part of a path, and does not look at that part.
    pub(super) fn place(&mut self, named: &Named) -> Result<Place> {
        let base = self.base(named)?;
        self.place_below(base, &named.path)
    }

    /// Finds where the symbolic link at `place` leads to, which may be a name that is not there.
    pub(super) fn place_of_link(&mut self, place: Place) -> Result<Place> {
        self.count_link()?;
        let target = fs::readlinkat(&place.parent, os(&place.name), Vec::new())?;
        self.place_below(Some(place.parent), target.as_bytes())
    }

    /// Finds the directory that a file with this path is in, and its name there.
    pub(super) fn place_of(path: &[u8]) -> Result<Place> {
        let (directory, name) = split(path);
        let parent = quickly(None, directory, DIRECTORY)?;
        let name = name.to_vec();
        Ok(Place { parent, name })
    }

    /// The directories that a path goes through to its last part, first the one that it begins in; nothing where a link
    /// is among them.
    pub(super) fn way(&self, named: &Named) -> Result<Option<Vec<OwnedFd>>> {
        let (directory, _) = split(&named.path);
        let mut at = match self.base(named)? {
            Some(base) => base,
            None => root()?,
        };
        let mut way = Vec::new();
        for part in parts(directory) {
            let flags = DIRECTORY | OFlags::NOFOLLOW;
            let next = match fs::openat(&at, os(&part), flags, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(errno) => return Err(errno),
            };
            way.push(std::mem::replace(&mut at, next));
        }
        way.push(at);
        Ok(Some(way))
    }

    /// Opens what a path leads to (`O_PATH`): the file itself, whatever kind it is. The last part is
    /// followed where it is a link and `follow` says so.
    pub(super) fn file(&mut self, named: &Named, follow: bool) -> Result<OwnedFd> {
        let base = self.base(named)?;
        check(&named.path)?;
        let flags = if follow {
            OFlags::PATH | OFlags::CLOEXEC
        } else {
            ITSELF
        };
        match quickly(base.as_ref(), &named.path, flags) {
            Err(Errno::LOOP | Errno::NOENT) => self.walk(base, &named.path, follow),
            found => found,
        }
    }

    /// Opens what a link below `/proc` leads to, the last part of a path. Only the caller's own are followed.
    pub(super) fn held(&mut self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
        self.count_link()?;
        let own = format!("/proc/{}", self.inside("NStgid:")?);
        let place = self.processes.path_of_bytes(parent)?;
        let is_own = place
            .strip_prefix(own.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
        if !is_own {
            return Err(Errno::ACCESS);
        }
        fs::openat(
            parent,
            os(name),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }

    /// Where a relative path begins; nothing where the path is absolute.
    fn base(&self, named: &Named) -> Result<Option<OwnedFd>> {
        if named.path.is_empty() {
            return Err(Errno::NOENT);
        }
        if named.path.first() == Some(&b'/') {
            return Ok(None);
        }
        let base = match named.at {
            None => self.processes.follow(self.caller, "cwd", OFlags::PATH),
            Some(number) => {
                let processes = self.processes;
                processes.follow_descriptor(self.caller, number, OFlags::PATH)
            }
        };
        base.map(Some)
    }

    fn place_below(&mut self, base: Option<OwnedFd>, path: &[u8]) -> Result<Place> {
        check(path)?;
        let (directory, name) = split(path);
        let name = name.to_vec();
        let parent = match (base, directory) {
            (Some(base), b"") => base,
            (base, directory) => self.directory(base, directory)?,
        };
        Ok(Place { parent, name })
    }

    fn directory(&mut self, base: Option<OwnedFd>, path: &[u8]) -> Result<OwnedFd> {
        match quickly(base.as_ref(), path, DIRECTORY) {
            Err(Errno::LOOP | Errno::NOENT) => {
                let found = self.walk(base, path, true)?;
                if kind(found.as_fd())? != FileType::Directory {
                    return Err(Errno::NOTDIR);
                }
                Ok(found)
            }
            found => found,
        }
    }

    /// Walks a path part by part.
    fn walk(&mut self, base: Option<OwnedFd>, path: &[u8], follow_last: bool) -> Result<OwnedFd> {
        let mut at = match base {
            Some(base) if path.first() != Some(&b'/') => base,
            Some(_) | None => root()?,
        };
        let mut rest = parts(path);
        let mut must_be_directory = path.last() == Some(&b'/');
        while let Some(part) = rest.pop_front() {
            let is_last = rest.is_empty();
            let next = fs::openat(&at, os(&part), ITSELF, Mode::empty())?;
            if kind(next.as_fd())? != FileType::Symlink
                || (is_last && !follow_last && !must_be_directory)
            {
                at = next;
                continue;
            }
            if !is_proc(next.as_fd())? {
                self.count_link()?;
                let target = fs::readlinkat(&next, "", Vec::new())?;
                let target = target.as_bytes();
                must_be_directory |= is_last && target.last() == Some(&b'/');
                if target.first() == Some(&b'/') {
                    at = root()?;
                }
                prepend(&mut rest, target)?;
                continue;
            }
            match self.own_number(at.as_fd(), &part)? {
                Some(number) => prepend(&mut rest, number.as_bytes())?,
                None => match plain_link(next.as_fd(), &part)? {
                    Some(target) => {
                        self.count_link()?;
                        prepend(&mut rest, &target)?;
                    }
                    None => at = self.held(at.as_fd(), &part)?,
                },
            }
        }
        if must_be_directory && kind(at.as_fd())? != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        Ok(at)
    }

    /// What `self` and `thread-self` at the top of `/proc` are for the caller.
    fn own_number(&mut self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<String>> {
        let is_thread = match name {
            b"self" => false,
            b"thread-self" => true,
            _ => return Ok(None),
        };
        if self.processes.path_of_bytes(parent)? != b"/proc" {
            return Ok(None);
        }
        self.count_link()?;
        let process = self.inside("NStgid:")?;
        Ok(Some(match is_thread {
            false => process,
            true => format!("{process}/task/{}", self.inside("NSpid:")?),
        }))
    }

    /// A number of the caller's as its own namespace has it.
    fn inside(&self, name: &str) -> Result<String> {
        let number = self.processes.inside(self.caller, name);
        number.ok_or(Errno::SRCH)
    }

    fn count_link(&mut self) -> Result<()> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        Ok(())
    }
}

/// Lets the kernel resolve a path in which no link leads to what a process holds.
fn quickly(base: Option<&OwnedFd>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let base = base.map_or(CWD, AsFd::as_fd);
    fs::openat2(
        base,
        os(path),
        flags,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    )
}

fn root() -> Result<OwnedFd> {
    fs::open("/", DIRECTORY, Mode::empty())
}

/// The kind of an open file.
pub(super) fn kind(file: BorrowedFd<'_>) -> Result<FileType> {
    Ok(FileType::from_raw_mode(fs::fstat(file)?.st_mode))
}

/// The device of an open file, from what is known of it: its file system is not asked.
pub(super) fn device(file: BorrowedFd<'_>) -> Result<u64> {
    let known = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = fs::statx(file, "", known, StatxFlags::TYPE)?;
    Ok(fs::makedev(stat.stx_dev_major, stat.stx_dev_minor))
}

/// Whether an open file is one of `/proc`: what it gives depends on who opened it.
pub(super) fn is_proc(file: BorrowedFd<'_>) -> Result<bool> {
    Ok(fs::fstatfs(file)?.f_type == PROC_SUPER_MAGIC)
}

/// The target of a link at the top of `/proc` that is a path like any other (`mounts`, `net`).
fn plain_link(link: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Vec<u8>>> {
    if !matches!(name, b"mounts" | b"net") {
        return Ok(None);
    }
    let target = fs::readlinkat(link, "", Vec::new())?;
    Ok(Some(target.into_bytes()))
}

fn check(path: &[u8]) -> Result<()> {
    match path.len() {
        0 => Err(Errno::NOENT),
        length if length >= LONGEST => Err(Errno::NAMETOOLONG),
        _ => Ok(()),
    }
}

/// Splits off the last part with the slashes after it. The root itself has no name: `.` in it stands for it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let plain = trim_slashes(path);
    if plain.is_empty() {
        return (b"/", b".");
    }
    let start = plain
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    path.split_at_checked(start).unwrap_or((b"", path))
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |last| last + 1);
    path.get(..end).unwrap_or_default()
}

fn parts(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts
        .filter(|part| !part.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

fn prepend(rest: &mut VecDeque<Vec<u8>>, path: &[u8]) -> Result<()> {
    check(path)?;
    for part in parts(path).into_iter().rev() {
        rest.push_front(part);
    }
    Ok(())
}

/// A name as the file system's calls take it.
pub(super) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

#[cfg(test)]
mod tests;
