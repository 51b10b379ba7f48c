//! What git's settings name that do not lie in the workspace themselves: the human's, the system's, and those of the
//! repository that the workspace is a linked work tree, a submodule or a directory of.
//!
//! The guard reads them, before there is a session.
//!
//! # References
//!
//! - git-config(1), "Files" and "Includes"; gitrepository-layout(5), `gitfile` and `commondir`

use std::ffi::OsStr;
use std::fs::{File, read_dir, read_link};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags};

use super::git_settings::{Named, named};

/// So many files of settings are read, and so many hooks looked at.
const MOST_FILES: usize = 64;
const MOST_HOOKS: usize = 256;
/// Longer ones are not read.
const MOST_BYTES: u64 = 1 << 20;

/// Reads what settings outside of a workspace name, as far as they could name something in it. Hooks by a relative path
/// are those of each work tree.
#[must_use]
pub fn named_outside(workspace: &Path, home: &Path, settings_home: &Path) -> Vec<Named> {
    let mut reading = Reading {
        home,
        found: Vec::new(),
        files: 0,
    };
    let system = ["/etc/gitconfig", "/usr/local/etc/gitconfig"].map(PathBuf::from);
    let own = [settings_home.join("git/config"), home.join(".gitconfig")];
    let everywhere = system.into_iter().chain(own);
    let Some(repository) = Repository::around(workspace) else {
        everywhere.for_each(|settings| reading.read(&settings, None));
        return reading.found;
    };
    let above = (repository.top != workspace).then_some(repository.top.as_path());
    everywhere.for_each(|settings| reading.read(&settings, above));
    reading.read(&repository.common.join("config"), above);
    reading.read(&repository.directory.join("config.worktree"), above);
    if above.is_some() {
        reading.hooks_that_are_links(&repository.common.join("hooks"));
    }
    reading.found
}

/// A repository whose settings lie outside, and of whose work tree something lies in the workspace.
struct Repository {
    top: PathBuf,
    directory: PathBuf,
    /// What it has in common with other work trees.
    common: PathBuf,
}

impl Repository {
    fn around(workspace: &Path) -> Option<Self> {
        let is_one = |top: &&Path| top.join(".git").symlink_metadata().is_ok();
        let top = workspace.ancestors().find(is_one)?;
        let git = top.join(".git");
        let is_inside = top == workspace && git.symlink_metadata().is_ok_and(|git| git.is_dir());
        if is_inside {
            return None;
        }
        let named_in = |file: &Path, word: &[u8]| {
            let text = read(file)?;
            let path = text.strip_prefix(word)?.trim_ascii();
            Some(file.parent()?.join(OsStr::from_bytes(path)))
        };
        let directory = match git.is_dir() {
            true => git,
            false => named_in(&git, b"gitdir:")?,
        };
        let common = named_in(&directory.join("commondir"), b"");
        Some(Self {
            top: top.to_owned(),
            common: common.unwrap_or_else(|| directory.clone()),
            directory,
        })
    }
}

struct Reading<'a> {
    home: &'a Path,
    found: Vec<Named>,
    files: usize,
}

impl Reading<'_> {
    /// Reads a file of settings, and those that it includes. `above` is the top of the work tree that the workspace is a
    /// directory of.
    fn read(&mut self, settings: &Path, above: Option<&Path>) {
        self.files += 1;
        if self.files > MOST_FILES {
            return;
        }
        for named in read(settings).as_deref().map(named).unwrap_or_default() {
            match named {
                Named::Hooks(path) => match (self.absolute(&path), above) {
                    (Some(path), _) => self.add(&path, Named::Hooks),
                    (None, above) => {
                        if let Some(top) = above {
                            self.add(&top.join(OsStr::from_bytes(&path)), Named::Hooks);
                        }
                        self.found.push(Named::Hooks(path));
                    }
                },
                Named::Settings(path) => {
                    let beside = settings.with_file_name(OsStr::from_bytes(&path));
                    let further = self.absolute(&path).unwrap_or(beside);
                    self.add(&further, Named::Settings);
                    self.read(&further, above);
                }
            }
        }
    }

    fn absolute(&self, path: &[u8]) -> Option<PathBuf> {
        let path = Path::new(OsStr::from_bytes(path));
        match path.strip_prefix("~") {
            Ok(inside) => Some(self.home.join(inside)),
            Err(_) => path.is_absolute().then(|| path.to_owned()),
        }
    }

    /// Notes a path, and where it is once links on the way are followed.
    fn add(&mut self, path: &Path, kind: fn(Vec<u8>) -> Named) {
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        for named in [kind(bytes(path)), kind(bytes(&real(path)))] {
            if !self.found.contains(&named) {
                self.found.push(named);
            }
        }
    }

    fn hooks_that_are_links(&mut self, hooks: &Path) {
        let entries = read_dir(hooks).into_iter().flatten().flatten();
        for entry in entries.take(MOST_HOOKS) {
            let target = read_link(entry.path());
            if let Ok(target) = target {
                self.add(&hooks.join(target), Named::Hooks);
            }
        }
    }
}

/// Reads a regular file. Nothing else is opened: what is named here may be anything.
fn read(path: &Path) -> Option<Vec<u8>> {
    let place = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = fs::fstat(&place).ok()?;
    let is_read = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && u64::try_from(stat.st_size).is_ok_and(|size| size <= MOST_BYTES);
    let own = format!("/proc/self/fd/{}", place.as_raw_fd());
    let file = is_read.then(|| File::open(own))?.ok()?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A path with every link followed, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let place = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let found = place
        .ok()
        .and_then(|place| read_link(format!("/proc/self/fd/{}", place.as_raw_fd())).ok());
    match (found, path.parent(), path.file_name()) {
        (Some(found), _, _) => found,
        (None, Some(parent), Some(name)) => real(parent).join(name),
        (None, _, _) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let name = format!("agentguard-outside-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&root);
        create_dir_all(root.join("home")).unwrap();
        root
    }

    fn hooks(path: impl AsRef<Path>) -> Named {
        Named::Hooks(path.as_ref().as_os_str().as_bytes().to_vec())
    }

    #[test]
    fn hooks_of_the_repository_in_whose_directory_one_works_are_named() {
        let root = directory("above");
        let top = root.join("top");
        create_dir_all(top.join(".git/hooks")).unwrap();
        create_dir_all(top.join("pkg")).unwrap();
        write(top.join(".git/config"), "[core] hooksPath = pkg/hooks\n").unwrap();
        symlink("../../pkg/hook", top.join(".git/hooks/pre-commit")).unwrap();
        let home = root.join("home");
        let found = named_outside(&top.join("pkg"), &home, &home);
        assert!(found.contains(&hooks(top.join("pkg/hooks"))), "{found:?}");
        assert!(found.contains(&hooks(top.join("pkg/hook"))), "{found:?}");
        // What lies in the workspace itself is read with it.
        assert!(!named_outside(&top, &home, &home).contains(&hooks("pkg/hooks")));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn settings_that_include_themselves_or_are_none_come_to_an_end() {
        let root = directory("loop");
        let home = root.join("home");
        let settings = "[include]\npath = .gitconfig\npath = ~/.gitconfig\npath = /dev/zero\n[core] hooksPath = ~/h\n";
        write(home.join(".gitconfig"), settings).unwrap();
        write(root.join(".git"), "gitdir: /dev/zero\n").unwrap();
        let found = named_outside(&root, &home, &home);
        assert!(found.contains(&hooks(home.join("h"))), "{found:?}");
        assert!(found.len() < 16, "{found:?}");
        std::fs::remove_dir_all(&root).unwrap();
    }
}
