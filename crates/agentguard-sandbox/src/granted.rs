//! What a session without mounts may open, as Landlock takes it: files and directories, each with all
//! below it.
//!
//! Landlock only ever grants. What is masked within a granted directory is left out by granting what lies
//! beside it, one by one, as deep as that needs. What appears beside it later is then not granted either,
//! so that this cannot be done where an agent is to write.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use agentguard_core::Access;
use rustix::fs::{self, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Failure, Step};
use crate::plan::Plan;

/// Directories of the system that lie at its top, where they are no links.
const SYSTEM: [&str; 8] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/lib32",
    "/libx32",
    "/proc",
    "/etc/resolv.conf",
];
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];
/// The caller's terminal.
const TERMINAL: &str = "/dev/tty";
/// More would take longer than anybody waits for a session.
const MOST: usize = 50_000;

/// What may be done with a file, or below a directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum May {
    /// Read, list and execute.
    Read,
    /// List.
    List,
    /// Read and write a device.
    Use,
    /// Everything.
    Change,
}

/// Grants what an open file is, and all below it.
type Grant<'a> = dyn FnMut(BorrowedFd<'_>, May) -> Result<(), Failure> + 'a;

/// Grants one after the other: what has been granted is not held any longer, however much there is.
struct Granting<'a> {
    grant: &'a mut Grant<'a>,
    granted: usize,
    masks: Vec<Mask>,
}

#[derive(Debug)]
struct Mask {
    path: PathBuf,
    inode: (u64, u64),
    is_directory: bool,
}

/// Grants each that `plan` grants.
pub(crate) fn each<'a>(plan: &Plan, grant: &'a mut Grant<'a>) -> Result<(), Failure> {
    let confinement = &plan.confinement;
    let mut granting = Granting {
        grant,
        granted: 0,
        masks: masks(&confinement.masks)?,
    };
    for path in SYSTEM {
        granting.add(Path::new(path), May::Read)?;
    }
    for grant in &confinement.grants {
        refuse_homes(plan, &grant.path)?;
        let may = match grant.access {
            Access::Read => May::Read,
            Access::Write => May::Change,
        };
        granting.add(&grant.path, may)?;
    }
    for path in [&confinement.home, &plan.temporary] {
        granting.add(path, May::Change)?;
    }
    granting.add_workspace(&confinement.workspace)?;
    for path in DEVICES {
        granting.add(Path::new(path), May::Use)?;
    }
    granting.add(Path::new(TERMINAL), May::Change)
}

impl Granting<'_> {
    fn add(&mut self, path: &Path, may: May) -> Result<(), Failure> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match fs::open(path, flags, Mode::empty()) {
            Ok(file) => self.add_open(file, may),
            Err(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) if may != May::Change => Ok(()),
            Err(Errno::NXIO | Errno::NOENT) if path == Path::new(TERMINAL) => Ok(()),
            Err(error) => Err(error).step(format!("open `{}`", path.display())),
        }
    }

    /// Its path had no link in it when it was judged.
    fn add_workspace(&mut self, path: &Path) -> Result<(), Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        self.add_open(
            opened.step(format!("open `{}`", path.display()))?,
            May::Change,
        )
    }

    fn add_open(&mut self, file: OwnedFd, may: May) -> Result<(), Failure> {
        let path = path_of(file.as_fd())?;
        if self.masks.iter().any(|mask| path.starts_with(&mask.path)) {
            return Ok(());
        }
        if !self.holds_mask(&path) {
            return self.push(&file, may);
        }
        if may == May::Change {
            let step = format!("leave out what is masked within `{}`", path.display());
            let reason = "what may be written there cannot be granted one by one";
            return Err(Failure::new(step, reason));
        }
        self.add_beside(file, &path)
    }

    /// Grants everything in a directory but what is masked.
    fn add_beside(&mut self, directory: OwnedFd, path: &Path) -> Result<(), Failure> {
        let step = || format!("list `{}`", path.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = match fs::openat(&directory, ".", flags, Mode::empty()) {
            Ok(listed) => listed,
            // Whoever may not list it has no right there that could be granted.
            Err(Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(error).step(step()),
        };
        for entry in Dir::read_from(&listed).step(step())? {
            let entry = entry.step(step())?;
            let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            self.add_child(directory.as_fd(), &path.join(name), name)?;
        }
        // Names of files may be listed; what lies in a masked directory may not.
        let mut masks = self.masks.iter();
        if masks.any(|mask| mask.is_directory && mask.path.starts_with(path)) {
            return Ok(());
        }
        self.push(&directory, May::List)
    }

    fn add_child(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &Path,
        name: &std::ffi::OsStr,
    ) -> Result<(), Failure> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(child) = fs::openat(directory, name, flags, Mode::empty()) else {
            return Ok(()); // gone meanwhile, or closed to this user
        };
        let stat = fs::fstat(&child).step(format!("look at `{}`", path.display()))?;
        let inode = (stat.st_dev, stat.st_ino);
        // A link grants nothing: what it leads to is granted where that lies, or not.
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if is_link || self.masks.iter().any(|mask| mask.inode == inode) {
            return Ok(());
        }
        match self.holds_mask(path) {
            true => self.add_beside(child, path),
            false => self.push(&child, May::Read),
        }
    }

    fn holds_mask(&self, path: &Path) -> bool {
        let mut masks = self.masks.iter();
        masks.any(|mask| mask.path != path && mask.path.starts_with(path))
    }

    fn push(&mut self, file: &OwnedFd, may: May) -> Result<(), Failure> {
        if self.granted >= MOST {
            let reason = format!("more than {MOST} files lie beside what is masked");
            return Err(Failure::new(
                "grant what lies beside what is masked",
                reason,
            ));
        }
        self.granted += 1;
        (self.grant)(file.as_fd(), may)
    }
}

/// What is masked and exists, with every link followed.
fn masks(paths: &[PathBuf]) -> Result<Vec<Mask>, Failure> {
    let mut masks = Vec::new();
    for path in paths {
        let step = || format!("mask `{}`", path.display());
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = match fs::open(path, flags, Mode::empty()) {
            Ok(file) => file,
            // Where it cannot be reached there is nothing to leave out.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => continue,
            Err(error) => return Err(error).step(step()),
        };
        let stat = fs::fstat(&file).step(step())?;
        masks.push(Mask {
            path: path_of(file.as_fd())?,
            inode: (stat.st_dev, stat.st_ino),
            is_directory: FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        });
    }
    Ok(masks)
}

/// With mounts the agent's home covers the human's. Without them a grant of what holds that would grant it.
fn refuse_homes(plan: &Plan, path: &Path) -> Result<(), Failure> {
    if plan.human_home.starts_with(path) || plan.confinement.home.starts_with(path) {
        let reason = "it holds home directories, which without mounts cannot be covered";
        return Err(Failure::new(format!("grant `{}`", path.display()), reason));
    }
    Ok(())
}

pub(crate) fn path_of(file: BorrowedFd<'_>) -> Result<PathBuf, Failure> {
    use std::os::fd::AsRawFd as _;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let target = fs::readlinkat(CWD, link, Vec::new()).step("name an open file")?;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(
        target.as_bytes(),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, gone when dropped.
    struct Place(PathBuf);

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn place(name: &str) -> Place {
        let root = std::env::temp_dir().join(format!("agentguard-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        for file in [
            "a/plain",
            "a/b/secret",
            "a/b/open",
            "a/c/keys/one",
            "a/c/other",
        ] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::os::unix::fs::symlink("b/secret", root.join("a/link")).unwrap();
        std::fs::hard_link(root.join("a/b/secret"), root.join("a/again")).unwrap();
        Place(
            path_of(
                fs::open(&root, OFlags::PATH, Mode::empty())
                    .unwrap()
                    .as_fd(),
            )
            .unwrap(),
        )
    }

    fn granted(place: &Place, may: May, masked: &[&str]) -> Result<Vec<(String, May)>, Failure> {
        let paths: Vec<_> = masked.iter().map(|path| place.0.join(path)).collect();
        let mut shown = Vec::new();
        let mut granting = Granting {
            grant: &mut |file, may| {
                let path = path_of(file).unwrap();
                let path = path.strip_prefix(&place.0).unwrap();
                shown.push((path.display().to_string(), may));
                Ok(())
            },
            granted: 0,
            masks: masks(&paths)?,
        };
        granting.add(&place.0.join("a"), may)?;
        shown.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(shown)
    }

    #[test]
    fn what_lies_beside_a_mask_is_granted_and_nothing_else() {
        let place = place("beside");
        let read = |path: &str| (path.to_owned(), May::Read);
        let list = |path: &str| (path.to_owned(), May::List);
        assert_eq!(granted(&place, May::Read, &[]).unwrap(), [read("a")]);
        // The other name of the same file, and the link to it, are left out too.
        assert_eq!(
            granted(&place, May::Read, &["a/b/secret"]).unwrap(),
            [
                list("a"),
                list("a/b"),
                read("a/b/open"),
                read("a/c"),
                read("a/plain")
            ]
        );
        // What holds a masked directory cannot be listed: the right would go all the way down.
        assert_eq!(
            granted(&place, May::Read, &["a/c/keys"]).unwrap(),
            [
                read("a/again"),
                read("a/b"),
                read("a/c/other"),
                read("a/plain")
            ]
        );
        assert_eq!(granted(&place, May::Read, &["a"]).unwrap(), []);
    }

    #[test]
    fn a_mask_where_an_agent_is_to_write_is_refused() {
        let place = place("written");
        assert_eq!(
            granted(&place, May::Change, &["a/absent"]).unwrap(),
            [("a".to_owned(), May::Change)]
        );
        let failure = granted(&place, May::Change, &["a/b/secret"]).unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("leave out what is masked within")
        );
    }
}
