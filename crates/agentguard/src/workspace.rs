//! The workspace: which directory it is, and where git keeps things in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use agentguard_audit::Places;
use agentguard_core::Rule;
use rustix::fs::{self, Dir, FileType, Mode, OFlags, ResolveFlags};

use crate::Error;

/// Submodules within submodules are looked for this deep.
const MOST_DEEP: usize = 8;
/// More are not pinned one by one; the set-up refuses then.
const MOST_DIRECTORIES: usize = 512;

/// A directory that may be worked in, by its path with every link followed.
pub(crate) fn resolve(asked: &Path, human_home: &Path, places: &Places) -> Result<PathBuf, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let shown = || format!("open the workspace `{}`", asked.display());
    let opened = fs::open(asked, flags, Mode::empty())
        .map_err(|error| Error::doing(shown())(error.into()))?;
    let path = path_of(opened.as_fd()).map_err(Error::doing(shown()))?;
    let refused = |reason| {
        Err(Error::Workspace {
            path: path.clone(),
            reason,
        })
    };
    if path.parent().is_none() {
        return refused("it is the root of everything");
    }
    if real(human_home).starts_with(&path) {
        return refused("it holds your home directory, and everything in it could be changed");
    }
    for private in [&places.state, &places.config] {
        let private = real(private);
        if private.starts_with(&path) || path.starts_with(&private) {
            return refused("it holds agentguard's own keys, logs or policies");
        }
    }
    for system in [
        "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys", "/dev", "/run", "/boot",
    ] {
        if path.starts_with(system) {
            return refused("it belongs to the system");
        }
    }
    if path.to_str().is_none() {
        return refused("its path is no text");
    }
    Ok(path)
}

/// Git's directories below the workspace, relative to it.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct GitDirectories {
    /// `.git`, those of its submodules, and those of linked work trees that lie in the workspace as well.
    pub(crate) own: Vec<PathBuf>,
    /// Those of work trees that lie elsewhere, or of which that is not certain.
    pub(crate) others: Vec<PathBuf>,
}

/// Finds them. None of them is reached through a link, and no git is run.
pub(crate) fn git_directories(workspace: &Path) -> Result<GitDirectories, Error> {
    let mut found = Vec::new();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::open(workspace, flags, Mode::empty())
        .map_err(|error| Error::doing(format!("open `{}`", workspace.display()))(error.into()))?;
    if is_directory(root.as_fd(), Path::new(".git")) {
        found.push(PathBuf::from(".git"));
        add_modules(root.as_fd(), Path::new(".git/modules"), 0, &mut found);
    }
    let mut all = GitDirectories::default();
    for directory in &found {
        for linked in directories_in(root.as_fd(), &directory.join("worktrees")) {
            match leads_here((root.as_fd(), workspace), &linked) {
                // Its submodules are kept with it.
                true => {
                    add_modules(root.as_fd(), &linked.join("modules"), 0, &mut all.own);
                    all.own.push(linked);
                }
                false => all.others.push(linked),
            }
        }
    }
    all.own.splice(..0, found);
    if all.own.len() + all.others.len() > MOST_DIRECTORIES {
        let too_many = std::io::Error::other("more submodules and work trees than can be pinned");
        return Err(Error::doing("look at the workspace's repository")(too_many));
    }
    Ok(all)
}

/// Whether git's directory of a linked work tree and the work tree, which lies in the workspace, name each other.
///
/// # References
///
/// - gitrepository-layout(5), `worktrees/<id>/gitdir`
fn leads_here((root, workspace): (BorrowedFd<'_>, &Path), directory: &Path) -> bool {
    let named = |file: &Path, above: &Path, before: &[u8]| {
        let text = pointer(root, file)?;
        let path = text.trim_ascii_end().strip_prefix(before)?;
        let path = workspace.join(above).join(OsStr::from_bytes(path));
        by_its_text(&path)?
            .strip_prefix(workspace)
            .ok()
            .map(Path::to_owned)
    };
    let tree = named(&directory.join("gitdir"), directory, b"");
    let Some(tree) = tree.filter(|tree| tree.file_name() == Some(OsStr::new(".git"))) else {
        return false;
    };
    let above = tree.parent().unwrap_or(Path::new(""));
    named(&tree, above, b"gitdir: ").as_deref() == Some(directory)
}

/// Why git finds no repository inside, where it does outside.
pub(crate) fn without_git(workspace: &Path, human_home: &Path) -> Option<Rule> {
    let shown = |path: &Path| path.display().to_string();
    let why = match std::fs::symlink_metadata(workspace.join(".git")) {
        Ok(found) if found.is_file() => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = fs::open(workspace, flags, Mode::empty()).ok()?;
            let text = pointer(root.as_fd(), Path::new(".git"))?;
            let named = text.trim_ascii_end().strip_prefix(b"gitdir: ")?;
            let named = by_its_text(&workspace.join(OsStr::from_bytes(named)))?;
            let is_outside = !named.starts_with(workspace);
            is_outside.then(|| {
                let named = shown(&named);
                format!("`.git` names `{named}`, outside of the workspace; a clone has its own")
            })?
        }
        Ok(_) => return None,
        Err(_) => {
            let is_of_project = |above: &&Path| !human_home.starts_with(above);
            let mut above = workspace.ancestors().skip(1).take_while(is_of_project);
            let top = shown(above.find(|above| above.join(".git").symlink_metadata().is_ok())?);
            format!(
                "the workspace is a directory of the one at `{top}`: `--workspace {top}` has it"
            )
        }
    };
    let reason = format!("git finds no repository in the session: {why}");
    Some(Rule::new("workspace/git", reason))
}

/// What a short file says that is reached through no link.
fn pointer(root: BorrowedFd<'_>, path: &Path) -> Option<Vec<u8>> {
    const LONGEST: u64 = 4096;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(root, path, flags).ok()?;
    let kind = FileType::from_raw_mode(fs::fstat(&file).ok()?.st_mode);
    let mut text = Vec::new();
    let is_file = kind == FileType::RegularFile;
    let read = is_file.then(|| File::from(file).take(LONGEST).read_to_end(&mut text));
    read?.ok().map(|_| text)
}

/// A path without `.` and `..`, of which the latter take away what stands before them; none where nothing does.
fn by_its_text(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop().then_some(())?;
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    Some(plain)
}

/// Whether `.git` is a file, as in a linked work tree or a submodule: it names the repository, and whoever
/// changes it chooses whose configuration git follows there.
pub(crate) fn names_its_repository(workspace: &Path) -> bool {
    std::fs::symlink_metadata(workspace.join(".git")).is_ok_and(|stat| stat.is_file())
}

fn add_modules(root: BorrowedFd<'_>, below: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if depth >= MOST_DEEP || found.len() > MOST_DIRECTORIES {
        return;
    }
    for path in directories_in(root, below) {
        if fs::statat(root, path.join("HEAD"), fs::AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            found.push(path.clone());
            add_modules(root, &path.join("modules"), depth + 1, found);
        } else {
            add_modules(root, &path, depth + 1, found);
        }
    }
}

/// The directories in one; none where it is not there.
fn directories_in(root: BorrowedFd<'_>, below: &Path) -> Vec<PathBuf> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(entries) = open(root, below, flags).and_then(Dir::new) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
    names
        .filter(|name| name != "." && name != "..")
        .map(|name| below.join(name))
        .filter(|path| is_directory(root, path))
        .collect()
}

fn is_directory(root: BorrowedFd<'_>, path: &Path) -> bool {
    open(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
    )
    .and_then(fs::fstat)
    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn open(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<std::os::fd::OwnedFd> {
    fs::openat2(
        root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )
}

/// The path of an open file, as the kernel knows it.
pub(crate) fn path_of(file: BorrowedFd<'_>) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A path with every link followed, as far as it exists.
pub(crate) fn real(path: &Path) -> PathBuf {
    let opened = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let found = opened.ok().and_then(|file| path_of(file.as_fd()).ok());
    match (found, path.parent(), path.file_name()) {
        (Some(found), _, _) => found,
        (None, Some(parent), Some(name)) => real(parent).join(name),
        (None, _, _) => path.to_owned(),
    }
}
