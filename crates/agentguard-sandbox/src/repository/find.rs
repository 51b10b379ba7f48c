//! Finds the repository that a workspace belongs to.
//!
//! # References
//!
//! - gitrepository-layout(5): `.git` files, `commondir`, `gitdir`

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;

use super::Repository;
use super::inventory::Inventory;
use crate::difference::beneath::{open_directory, open_file, read_file};

/// A path, and a word before it.
const POINTER_LIMIT: usize = 4096 + 64;

impl Repository {
    /// Finds the repository of the workspace that is open as `workspace` and lies at `place` below
    /// `root`, and takes stock of the objects in it. The answer is none where there is no `.git`.
    ///
    /// A `.git` file leads to a linked work tree, and only where that one's `gitdir` leads back.
    /// What lies there is opened beneath `root`, without following a link.
    ///
    /// # Errors
    ///
    /// Returns an error where there is a `.git` that is not read: a link, a submodule's or another
    /// repository's that lies elsewhere, a repository whose refs are in the reftable format.
    pub fn find(
        workspace: BorrowedFd<'_>,
        place: &Path,
        root: BorrowedFd<'_>,
    ) -> io::Result<Option<Self>> {
        let stat = match statat(workspace, ".git", AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let (own, common, is_linked) = if file_type == FileType::Directory {
            (
                open_directory(workspace, b".git")?,
                open_directory(workspace, b".git")?,
                false,
            )
        } else if file_type == FileType::RegularFile {
            let (own, common) = linked(workspace, place, root, &stat)?;
            (own, common, true)
        } else {
            return Err(unsupported("`.git` is neither a directory nor a file"));
        };
        if !is_linked && exists(&own, "commondir")? {
            return Err(unsupported("the repository keeps its objects elsewhere"));
        }
        if exists(&common, "reftable")? {
            return Err(unsupported(
                "the repository keeps its refs in the reftable format",
            ));
        }
        if !exists(&own, "HEAD")? || !exists(&common, "objects")? {
            // To git this is no repository either.
            return Ok(None);
        }
        let inventory = Inventory::take(&common);
        Ok(Some(Self {
            own,
            common,
            is_linked,
            inventory,
        }))
    }
}

/// Opens the directories of a linked work tree.
fn linked(
    workspace: BorrowedFd<'_>,
    place: &Path,
    root: BorrowedFd<'_>,
    pointer: &Stat,
) -> io::Result<(OwnedFd, OwnedFd)> {
    let text = read_file(workspace, b".git", POINTER_LIMIT)?;
    let text = text
        .strip_prefix(b"gitdir: ")
        .ok_or_else(|| unsupported("`.git` names nothing"))?;
    let own_path = resolve(place.as_os_str().as_bytes(), text);
    let own = open_directory(root, &own_path)?;
    if !exists(&own, "commondir")? {
        return Err(unsupported(
            "`.git` leads to a submodule's or separate repository",
        ));
    }
    // Anyone can write a `.git` file. Only git's own record of the work tree tells that it is one.
    let back = resolve(&own_path, &read_file(&own, b"gitdir", POINTER_LIMIT)?);
    let (_, back) = open_file(root, &back)?;
    if (back.st_dev, back.st_ino) != (pointer.st_dev, pointer.st_ino) {
        return Err(unsupported(
            "`.git` leads to another work tree's repository",
        ));
    }
    let common_path = resolve(&own_path, &read_file(&own, b"commondir", POINTER_LIMIT)?);
    Ok((own, open_directory(root, &common_path)?))
}

/// Resolves a path by its text, as one that follows no links may be: relative to the root.
fn resolve(base: &[u8], path: &[u8]) -> Vec<u8> {
    let path = path.trim_ascii_end();
    let base = if path.starts_with(b"/") { b"" } else { base };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in base.split(|b| *b == b'/').chain(path.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

fn exists(at: &OwnedFd, name: &str) -> io::Result<bool> {
    match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn unsupported(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_resolve_by_their_text_and_never_above_the_root() {
        for (base, path, expected) in [
            ("/a/b", "../c\n", "a/c"),
            ("/a/b", "/x//y/./z", "x/y/z"),
            ("a/b/worktrees/w", "../..", "a/b"),
            ("/a", "../../../../etc", "etc"),
            ("/a", "", "a"),
        ] {
            let resolved = resolve(base.as_bytes(), path.as_bytes());
            assert_eq!(resolved, expected.as_bytes(), "{base} {path}");
        }
    }
}
