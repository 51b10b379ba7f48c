//! What git's settings name that do not lie in the workspace themselves: the human's, the system's, and those of the
//! repository that the workspace is a linked work tree, a submodule or a directory of. And what those in the workspace name
//! by a way outside.
//!
//! The guard reads them, before there is a session.
//!
//! # References
//!
//! - git-config(1), "Files" and "Includes"; gitrepository-layout(5), `gitfile` and `commondir`

use std::ffi::{OsStr, OsString};
use std::fs::{File, read_dir, read_link};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags};

use super::git_settings::{Named, named, named_by};

/// So many files of settings are read, and so many hooks looked at.
const MOST_FILES: usize = 64;
const MOST_HOOKS: usize = 256;
/// So many links the kernel follows, one after the other.
const MOST_FOLLOWED: usize = 40;
/// Longer ones are not read.
const MOST_BYTES: u64 = 1 << 20;

/// Where the human's settings are.
#[derive(Debug)]
pub struct Elsewhere<'a> {
    /// Where `~` is.
    pub home: &'a Path,
    /// Files of settings, besides the system's.
    pub files: Vec<PathBuf>,
    /// Settings by themselves, by their whole names (`GIT_CONFIG_KEY_0` of git-config(1)).
    pub alone: Vec<(OsString, OsString)>,
}

/// Reads what settings outside of a workspace name, as far as they could name something in it. Hooks by a relative path
/// are those of each work tree.
#[must_use]
pub fn named_outside(workspace: &Path, elsewhere: &Elsewhere<'_>) -> Vec<Named> {
    let mut reading = Reading {
        home: elsewhere.home,
        found: Vec::new(),
        files: 0,
    };
    let system = ["/etc/gitconfig", "/usr/local/etc/gitconfig"].map(PathBuf::from);
    let everywhere = system.iter().chain(&elsewhere.files);
    let repository = Repository::around(workspace);
    let top = repository
        .as_ref()
        .map(|repository| repository.top.as_path());
    let above = top.filter(|top| *top != workspace);
    everywhere.for_each(|settings| reading.read(settings, above));
    for (name, value) in &elsewhere.alone {
        reading.read_one(name.as_bytes(), value.as_bytes(), above);
    }
    if let Some(repository) = &repository {
        reading.read(&repository.common.join("config"), above);
        reading.read(&repository.directory.join("config.worktree"), above);
        reading.hooks_that_are_links(&repository.common.join("hooks"));
    }
    let own = workspace.join(".git/config");
    if repository.is_none() && own.is_file() {
        // What is named from the root on may come back by links that lie outside. The rest is found with the workspace.
        let before = reading.found.len();
        reading.read(&own, None);
        let own = reading.found.split_off(before);
        reading.found.extend(own.into_iter().filter(is_absolute));
    }
    // What lies elsewhere is out of reach.
    let is_within = |path: &[u8]| {
        let path = Path::new(OsStr::from_bytes(path));
        path.is_relative() || path.starts_with(workspace)
    };
    reading.found.retain(|named| match named {
        Named::Hooks(path) | Named::Settings(path) => is_within(path),
    });
    reading.found
}

fn is_absolute(named: &Named) -> bool {
    match named {
        Named::Hooks(path) | Named::Settings(path) => path.starts_with(b"/"),
    }
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
        // It may be a link into the workspace itself.
        self.add(settings, Named::Settings);
        for named in read(settings).as_deref().map(named).unwrap_or_default() {
            self.take(named, settings, above);
        }
    }

    /// Takes one setting by its whole name. A relative path of an include is none there.
    fn read_one(&mut self, name: &[u8], value: &[u8], above: Option<&Path>) {
        let mut parts = name.split(|byte| *byte == b'.');
        let (section, key) = (parts.next(), parts.next_back());
        let (section, key) = (section.unwrap_or_default(), key.unwrap_or_default());
        for named in named_by(section, key, value.to_vec()) {
            self.take(named, Path::new("/"), above);
        }
    }

    fn take(&mut self, named: Named, settings: &Path, above: Option<&Path>) {
        match named {
            Named::Hooks(path) => match (self.absolute(&path), above) {
                (Some(path), _) => {
                    self.add(&path, Named::Hooks);
                    self.hooks_that_are_links(&path);
                }
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
                self.read(&further, above);
            }
        }
    }

    fn absolute(&self, path: &[u8]) -> Option<PathBuf> {
        let Some(rest) = path.strip_prefix(b"~") else {
            return path
                .starts_with(b"/")
                .then(|| PathBuf::from(OsStr::from_bytes(path)));
        };
        let end = rest.iter().position(|byte| *byte == b'/');
        let (name, inside) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let home = match name {
            b"" => self.home.to_owned(),
            name => home_of(name)?,
        };
        Some(home.join(OsStr::from_bytes(
            inside.strip_prefix(b"/").unwrap_or(inside),
        )))
    }

    /// Notes a path, each that a link there leads to, and where the last of them is once links on the way are followed.
    fn add(&mut self, path: &Path, kind: fn(Vec<u8>) -> Named) {
        let mut note = |path: &Path| {
            let named = kind(path.as_os_str().as_bytes().to_vec());
            if !self.found.contains(&named) {
                self.found.push(named);
            }
        };
        note(path);
        let mut path = path.to_owned();
        for _ in 0..MOST_FOLLOWED {
            if let (Some(above), Some(name)) = (path.parent(), path.file_name()) {
                path = real(above).join(name);
            }
            note(&path);
            let Ok(target) = read_link(&path) else {
                break;
            };
            path = path.parent().unwrap_or(&path).join(target);
        }
        note(&real(&path));
    }

    fn hooks_that_are_links(&mut self, hooks: &Path) {
        let entries = read_dir(hooks).into_iter().flatten().flatten();
        for entry in entries.take(MOST_HOOKS) {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                self.add(&entry.path(), Named::Hooks);
            }
        }
    }
}

/// The home of a user, as the system's own list has it.
fn home_of(name: &[u8]) -> Option<PathBuf> {
    let list = read(Path::new("/etc/passwd"))?;
    list.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let is_one = fields.next() == Some(name);
        let home = fields.nth(4).filter(|_| is_one)?;
        Some(PathBuf::from(OsStr::from_bytes(home)))
    })
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
    use std::os::unix::ffi::OsStringExt as _;
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

    fn found(workspace: &Path, home: &Path) -> Vec<Named> {
        let alone = [("core.hooksPath", "alone"), ("filter.x.y.clean", "./clean")];
        let elsewhere = Elsewhere {
            home,
            files: vec![home.join(".gitconfig")],
            alone: alone
                .map(|(name, value)| (name.into(), value.into()))
                .to_vec(),
        };
        named_outside(workspace, &elsewhere)
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
        let named = found(&top.join("pkg"), &home);
        for path in ["pkg/hooks", "pkg/hook"] {
            assert!(named.contains(&hooks(top.join(path))), "{named:?}");
        }
        // What lies in the workspace itself is read with it.
        assert!(!found(&top, &home).contains(&hooks("pkg/hooks")));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_links_lead_to_and_what_is_set_without_a_file_is_named_and_nothing_elsewhere() {
        let root = directory("links");
        let (home, top) = (root.join("home"), root.join("top"));
        create_dir_all(home.join("hooks")).unwrap();
        create_dir_all(&top).unwrap();
        symlink("../top/first", home.join(".gitconfig")).unwrap();
        symlink("second", top.join("first")).unwrap();
        symlink("../../top/hook", home.join("hooks/pre-push")).unwrap();
        write(
            top.join("second"),
            "[core] hooksPath = ~/hooks\n[include] path = ~root/x\n",
        )
        .unwrap();
        let named = found(&top, &home);
        let settings = |name: &str| Named::Settings(top.join(name).into_os_string().into_vec());
        assert_eq!(
            named,
            [
                settings("first"),
                settings("second"),
                hooks(top.join("hook")),
                hooks("alone"),
                hooks("./clean"),
            ]
        );
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_is_not_there_yet_is_named_by_where_it_would_be_and_nothing_is_read_but_files() {
        let root = directory("later");
        let (home, top) = (root.join("home"), root.join("top"));
        create_dir_all(top.join(".git")).unwrap();
        create_dir_all(top.join("pkg")).unwrap();
        symlink("../top/pkg", home.join("way")).unwrap();
        let settings = "[include] path = fifo\n[core] hooksPath = ~/way/absent/hooks\n";
        write(home.join(".gitconfig"), settings).unwrap();
        let (fifo, mode) = (home.join("fifo"), Mode::RUSR | Mode::WUSR);
        fs::mknodat(fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
        let of_work_tree = top.join(".git/config.worktree");
        write(of_work_tree, "[core] hooksPath = pkg/more\n").unwrap();
        let named = found(&top.join("pkg"), &home);
        for path in ["pkg/absent/hooks", "pkg/more"] {
            assert!(named.contains(&hooks(top.join(path))), "{named:?}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_path_begins_at_the_top_or_in_the_home_of_somebody() {
        let reading = Reading {
            home: Path::new("/h"),
            found: Vec::new(),
            files: 0,
        };
        for (path, absolute) in [
            ("/a", Some("/a")),
            ("~", Some("/h")),
            ("~/a/b", Some("/h/a/b")),
            ("~root/a", Some("/root/a")),
            ("~root:x/a", None),
            ("a/~", None),
        ] {
            let found = reading.absolute(path.as_bytes());
            assert_eq!(found, absolute.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn settings_that_include_themselves_or_are_none_come_to_an_end() {
        let root = directory("loop");
        let home = root.join("home");
        let settings = "[include]\npath = .gitconfig\npath = ~/.gitconfig\npath = /dev/zero\n[core] hooksPath = ~/h\n";
        write(home.join(".gitconfig"), settings).unwrap();
        write(root.join(".git"), "gitdir: /dev/zero\n").unwrap();
        let named = found(&root, &home);
        assert!(named.contains(&hooks(home.join("h"))), "{named:?}");
        assert!(named.len() < 16, "{named:?}");
        std::fs::remove_dir_all(&root).unwrap();
    }
}
