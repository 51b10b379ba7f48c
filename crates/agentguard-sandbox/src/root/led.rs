//! Where links, and settings of git, lead that lie at pins: what is written there is written at the pin, by another name.
//!
//! A link cannot be held by a mount. So what it leads to is held like the pin itself, as far as it lies in the workspace,
//! and so are the other names of a file at a pin; and each path on the way is a place, at which names are judged. Links
//! are followed by what the first look saw, before anything in the session runs. So is what git's settings name.
//!
//! A directory that has the link in it is not held, since it would be all that one works in; nor is what was fetched.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use agentguard_core::places::Pattern;
use rustix::fs::{self, FileType};

use super::git_settings::{self, Named};
use crate::difference::{Snapshot, beneath};
use crate::error::{Failure, Step};
use crate::mediator::Fetched;
use crate::plan::Plan;

/// So many links the kernel follows, one after the other.
const MOST_FOLLOWED: usize = 40;
/// So many links at pins, and so many paths that they lead to: each of these is asked about with each name.
const MOST_LED: usize = 1024;
/// Longer settings are not read.
const MOST_BYTES: usize = 1 << 20;

/// What lies elsewhere in the workspace, and at a pin by a link. Paths are relative to the workspace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Led {
    /// What links at pins lead to, the links on the way, and other names of files at pins.
    targets: BTreeSet<Vec<u8>>,
    /// Directories that a link at a pin goes through and leaves again: they may become no links.
    passed: BTreeSet<Vec<u8>>,
    /// The links that lead elsewhere when a directory above them is moved.
    links: BTreeSet<Vec<u8>>,
    /// Where work trees have their hooks, from the top of each on.
    hooks: BTreeSet<Vec<u8>>,
}

impl Led {
    /// Follows what links there are at pins: policy's, and what was found at those of any depth.
    pub(super) fn find(
        plan: &Plan,
        seen: &Snapshot,
        pinned: &[PathBuf],
        workspace: BorrowedFd<'_>,
    ) -> Result<Self, Failure> {
        let confinement = &plan.confinement;
        let pins = confinement.pins.iter().chain(pinned);
        let mut roots: BTreeSet<Vec<u8>> = pins
            .map(|pin| pin.as_os_str().as_bytes().to_vec())
            .collect();
        let mut search = Search {
            workspace,
            above: confinement.workspace.as_os_str().as_bytes(),
            home: plan.human_home.as_os_str().as_bytes(),
            seen,
            fetched: Fetched::of(&confinement.fetched),
            further: BTreeSet::new(),
            led: Self::default(),
        };
        let mut outside = search.outside(&plan.named)?;
        outside.retain(|path| !is_at_or_below(&roots, path));
        search.led.targets.extend(outside.iter().cloned());
        roots.extend(outside);
        let mut files = HashSet::new();
        let mut todo: Vec<Vec<u8>> = roots.iter().cloned().collect();
        while let Some(root) = todo.pop() {
            for (path, kind, inode) in seen.beneath(&root) {
                let targets = if kind == FileType::RegularFile {
                    files.insert(inode);
                    search.settings(path)?
                } else if kind == FileType::Symlink && !path.ends_with(b"/.git") {
                    search.follow(path, &root)?
                } else {
                    // The repository that a link `.git` leads to is one of its own.
                    continue;
                };
                for target in targets {
                    if !is_at_or_below(&roots, &target) {
                        search.led.targets.insert(target.clone());
                        roots.insert(target.clone());
                        todo.push(target);
                    }
                }
            }
        }
        search.add_other_names(&files, &roots);
        search.led.bounded()
    }

    fn bounded(self) -> Result<Self, Failure> {
        let longest = self.targets.len().max(self.passed.len());
        let longest = longest.max(self.hooks.len());
        if longest.max(self.links.len()) > MOST_LED {
            let reason = "more links lie at what policy pins in the workspace than can be held";
            return Err(Failure::new("hold what links lead to", reason));
        }
        Ok(self)
    }

    /// What is to be made read-only, as far as it is there and no link.
    pub(super) fn targets(&self) -> impl Iterator<Item = PathBuf> {
        let path = |path: &Vec<u8>| PathBuf::from(OsStr::from_bytes(path));
        self.targets.iter().map(path)
    }

    /// The places that there are for this reason.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = Pattern> {
        let targets = self.targets.iter();
        let targets = targets.flat_map(|path| [Pattern::exact(path), Pattern::below(path)]);
        let passed = self.passed.iter().map(|path| Pattern::exact(path));
        targets.chain(passed).chain(self.beside_git())
    }

    /// Of these the places beside any `.git` below the top.
    pub(crate) fn beside_git(&self) -> impl Iterator<Item = Pattern> {
        let paths = self.hooks.iter();
        let paths = paths.filter_map(|path| str::from_utf8(path).ok());
        let texts = paths.flat_map(|path| [path.to_owned(), format!("{path}/**")]);
        texts.filter_map(|text| Pattern::parse(&format!("**/.git/../{text}")))
    }

    /// Whether a path is one of those, or below one.
    pub(crate) fn holds(&self, path: &[u8]) -> bool {
        is_at_or_below(&self.targets, path)
    }

    /// The links that would lead elsewhere from another directory.
    pub(crate) fn links(&self) -> &BTreeSet<Vec<u8>> {
        &self.links
    }

    /// Whether something that a link leads to lies below a directory.
    pub(crate) fn is_below(&self, directory: &[u8]) -> bool {
        let mut targets = self.targets.iter();
        targets.any(|target| target != directory && holds(directory, target))
    }
}

struct Search<'a> {
    workspace: BorrowedFd<'a>,
    above: &'a [u8],
    /// What `~` stands for where the human runs git.
    home: &'a [u8],
    seen: &'a Snapshot,
    fetched: Fetched,
    /// Files with settings of git, which others name.
    further: BTreeSet<Vec<u8>>,
    led: Led,
}

impl Search<'_> {
    /// What a link leads to that lies at `root` or below.
    fn follow(&mut self, link: &[u8], root: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let (above, last) = split_last(link);
        let found = self.go(above, last, link)?;
        let moves_along = found.iter().all(|path| holds(root, path));
        if found.is_empty() || !moves_along {
            self.led.links.insert(link.to_vec());
        }
        Ok(found)
    }

    /// What settings of git name, where a file is such.
    fn settings(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let (above, name) = split_last(path);
        if !matches!(name, b"config" | b"config.worktree") && !self.further.contains(path) {
            return Ok(Vec::new());
        }
        // What cannot be read, git cannot read either, or it is very long for settings.
        let Ok(settings) = beneath::read_file(self.workspace, path, MOST_BYTES) else {
            return Ok(Vec::new());
        };
        let top = above.strip_suffix(b".git").unwrap_or(above);
        // Those of every work tree whose settings include it.
        let is_included = self.further.contains(path);
        let mut found = Vec::new();
        for named in git_settings::named(&settings) {
            found.extend(match named {
                Named::Hooks(hooks) => {
                    let hooks = self.at_home(hooks);
                    let linked = self.hooks(&hooks, path, |git| {
                        is_included || git == FileType::RegularFile
                    })?;
                    let at_top = match is_included {
                        true => self.go(b"", &hooks, path)?,
                        false => Vec::new(),
                    };
                    [self.go(top, &hooks, path)?, at_top, linked].concat()
                }
                Named::Settings(further) => {
                    let further = self.go(above, &self.at_home(further), path)?;
                    self.further.extend(further.iter().cloned());
                    further
                }
            });
        }
        Ok(found)
    }

    fn at_home(&self, path: Vec<u8>) -> Vec<u8> {
        match path.strip_prefix(b"~/") {
            Some(rest) => [self.home, b"/", rest].concat(),
            None => path,
        }
    }

    /// What settings name that lie outside of the workspace.
    fn outside(&mut self, named: &[Named]) -> Result<Vec<Vec<u8>>, Failure> {
        let mut found = Vec::new();
        for named in named {
            match named {
                Named::Hooks(hooks) => {
                    found.extend(self.go(b"", hooks, b"")?);
                    found.extend(self.hooks(hooks, b"", |_| true)?);
                }
                Named::Settings(further) => {
                    let further = self.go(b"", further, b"")?;
                    self.further.extend(further.iter().cloned());
                    found.extend(further);
                }
            }
        }
        Ok(found)
    }

    /// The hooks that there are below the tops of work trees whose `.git` is such a one, where each has its own. What is
    /// not there yet is a place.
    fn hooks(
        &mut self,
        hooks: &[u8],
        origin: &[u8],
        is_one: impl Fn(FileType) -> bool,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        if hooks.starts_with(b"/") {
            return Ok(Vec::new());
        }
        self.led.hooks.insert(names(hooks).join(&b'/'));
        let seen = self.seen;
        let tops = seen.paths().filter(|(_, git)| is_one(*git));
        let tops = tops.filter_map(|(path, _)| path.strip_suffix(b"/.git"));
        let mut found = Vec::new();
        for top in tops {
            found.extend(self.go(top, hooks, origin)?);
        }
        found.retain(|path| seen.kind_of(path).is_some());
        Ok(found)
    }

    /// Goes from a directory of the workspace along a path, as the kernel would, for what lies at `origin`. Answers
    /// what there is now to be held.
    fn go(&mut self, from: &[u8], path: &[u8], origin: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let mut at: Vec<Vec<u8>> = match path.starts_with(b"/") {
            true => Vec::new(),
            false => [self.above, from]
                .iter()
                .flat_map(|path| names(path))
                .collect(),
        };
        let (mut rest, mut found) = (VecDeque::from(names(path)), Vec::new());
        let (mut unnamed, mut followed) = (at.len(), 0);
        while let Some(name) = rest.pop_front() {
            if name == b".." {
                // By its name it was come through, and by another directory of that name it would lead elsewhere.
                if at.len() > unnamed {
                    self.led.passed.extend(self.within(&at));
                }
                at.pop();
                unnamed = unnamed.min(at.len());
                continue;
            }
            at.push(name);
            let Some(here) = self.within(&at).filter(|here| self.is_link(here)) else {
                continue;
            };
            found.push(here.clone());
            followed += 1;
            if followed > MOST_FOLLOWED {
                return Ok(Vec::new());
            }
            let shown = || format!("follow `{}`", String::from_utf8_lossy(&here));
            let target = fs::readlinkat(self.workspace, OsStr::from_bytes(&here), Vec::new())
                .step(shown())?
                .into_bytes();
            match target.starts_with(b"/") {
                true => (at, unnamed) = (Vec::new(), 0),
                false => drop(at.pop()),
            }
            for name in names(&target).into_iter().rev() {
                rest.push_front(name);
            }
        }
        found.extend(self.within(&at));
        found.retain(|path| !holds(path, origin) && !self.is_fetched(path));
        Ok(found)
    }

    /// Whether a path lies where nobody works, and an install makes everything anew.
    fn is_fetched(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        self.fetched.holds(&names)
    }

    /// A path relative to the workspace, where it lies below it.
    fn within(&self, at: &[Vec<u8>]) -> Option<Vec<u8>> {
        let path = at.join(&b'/');
        let above = names(self.above).join(&b'/');
        let below = path.strip_prefix(above.as_slice())?.strip_prefix(b"/")?;
        Some(below.to_vec())
    }

    fn is_link(&self, path: &[u8]) -> bool {
        self.seen.kind_of(path) == Some(FileType::Symlink)
    }

    /// Notes each path of these files that is not below one of `roots`.
    fn add_other_names(&mut self, files: &HashSet<u64>, roots: &BTreeSet<Vec<u8>>) {
        if files.is_empty() {
            return;
        }
        for (path, kind, inode) in self.seen.beneath(b"") {
            let is_one = kind == FileType::RegularFile && files.contains(&inode);
            if is_one && !is_at_or_below(roots, path) && !self.is_fetched(path) {
                self.led.targets.insert(path.to_vec());
            }
        }
    }
}

/// The directory of a path, and its last name.
fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|byte| *byte == b'/');
    let name = path.get(end.map_or(0, |end| end + 1)..);
    let above = path.get(..end.unwrap_or(0));
    (above.unwrap_or_default(), name.unwrap_or_default())
}

/// The names of a path, without those that stand for nothing.
fn names(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect()
}

/// Whether a path, or a directory above it, is one of `paths`.
fn is_at_or_below(paths: &BTreeSet<Vec<u8>>, path: &[u8]) -> bool {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let mut ends = ends.map(|(end, _)| end).chain([path.len()]);
    ends.any(|end| path.get(..end).is_some_and(|above| paths.contains(above)))
}

/// Whether `path` is `directory`, or lies below it.
fn holds(directory: &[u8], path: &[u8]) -> bool {
    let rest = path.strip_prefix(directory);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    use rustix::fs::{Mode, OFlags};

    use super::*;
    use crate::difference::WalkLimits;

    fn paths(paths: &[&str]) -> BTreeSet<Vec<u8>> {
        paths.iter().map(|path| path.as_bytes().to_vec()).collect()
    }

    /// Looks at a workspace with these links and files.
    fn searched(
        name: &str,
        links: &[(&str, &str)],
        files: &[(&str, &str)],
        test: impl FnOnce(&mut Search<'_>),
    ) {
        let name = format!("agentguard-led-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&root);
        create_dir_all(&root).unwrap();
        let root = root.canonicalize().unwrap();
        let made = |path: &str| {
            let path = root.join(path);
            create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for (path, text) in files {
            write(made(path), text).unwrap();
        }
        for (path, target) in links {
            let target = target.replace("WORK", root.to_str().unwrap());
            symlink(target, made(path)).unwrap();
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let workspace = fs::open(&root, flags, Mode::empty()).unwrap();
        let seen = Snapshot::take(workspace.as_fd(), &WalkLimits::standard());
        test(&mut Search {
            workspace: workspace.as_fd(),
            above: root.as_os_str().as_bytes(),
            home: b"/home/ada",
            seen: &seen,
            fetched: Fetched::of(&["**/node_modules/*".to_owned()]),
            further: BTreeSet::new(),
            led: Led::default(),
        });
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_link_is_followed_as_the_kernel_does_and_what_it_goes_through_is_noted() {
        let links = [
            ("a/.x/link", "../../file"),
            ("a/absolute", "WORK/a/file"),
            ("a/outside", "/outside"),
            ("a/named", "WORK/d/../file"),
            ("a/loop", "loop"),
            ("a/fetched", "../node_modules/p/file"),
            ("a/twice", "up/../file"),
            ("a/up", "../b/c"),
            ("a/.x/above", "../../d/../file"),
            ("a/here", ".."),
            ("pin/link", "file"),
        ];
        searched("followed", &links, &[], |search| {
            for (link, root, found) in [
                ("a/.x/link", "a/.x/link", &["file"][..]),
                ("a/absolute", "a/absolute", &["a/file"]),
                ("a/outside", "a/outside", &[]),
                ("a/loop", "a/loop", &[]),
                ("a/fetched", "a/fetched", &[]),
                ("a/here", "a/here", &[]),
                ("pin/link", "pin", &["pin/file"]),
            ] {
                let all = search.follow(link.as_bytes(), root.as_bytes()).unwrap();
                assert_eq!(BTreeSet::from_iter(all), paths(found), "{link}");
                let moves_along = root == "pin";
                let is_noted = search.led.links.contains(link.as_bytes());
                assert_eq!(is_noted, !moves_along, "{link}");
                assert_eq!(search.led.passed, paths(&[]), "{link}");
            }
            for (link, found, passed) in [
                ("a/twice", &["a/up", "b/file"][..], "b/c"),
                ("a/.x/above", &["file"], "d"),
                ("a/named", &["file"], "d"),
            ] {
                let all = search.follow(link.as_bytes(), link.as_bytes()).unwrap();
                assert_eq!(BTreeSet::from_iter(all), paths(found), "{link}");
                assert_eq!(search.led.passed, paths(&[passed]), "{link}");
                search.led.passed.clear();
            }
        });
    }

    #[test]
    fn settings_are_read_where_git_reads_them_and_hooks_are_those_of_each_work_tree() {
        let settings = "[core] hooksPath = hooks\n[include] path = more\n";
        let files = [
            ("r/.git/config", settings),
            ("r/.git/config.worktree", "[core] hooksPath = other\n"),
            (
                "r/.git/more",
                "[core] hooksPath = /outside\n[core] hooksPath = further\n",
            ),
            ("r/.git/packed-refs", settings),
            ("linked/.git", "gitdir: elsewhere\n"),
            ("linked/hooks/pre-push", ""),
            ("bare/.git", "gitdir: elsewhere\n"),
            ("own/.git/HEAD", ""),
            ("own/hooks/pre-push", ""),
        ];
        searched("settings", &[], &files, |search| {
            for (file, found) in [
                ("r/.git/packed-refs", &[][..]),
                ("r/.git/more", &[]),
                ("r/.git/config", &["r/hooks", "linked/hooks", "r/.git/more"]),
                ("r/.git/config.worktree", &["r/other"]),
                // Included by now, and so of every work tree.
                ("r/.git/more", &["r/further", "further"]),
            ] {
                let all = search.settings(file.as_bytes()).unwrap();
                assert_eq!(BTreeSet::from_iter(all), paths(found), "{file}");
            }
            let relative = paths(&["further", "hooks", "other"]);
            assert_eq!(search.led.hooks, relative);
        });
    }

    #[test]
    fn a_directory_is_held_for_what_is_led_to_below_it() {
        let led = Led {
            targets: paths(&["a/b"]),
            ..Led::default()
        };
        for (directory, is_below) in [("a", true), ("a/b", false), ("a/bc", false), ("b", false)] {
            assert_eq!(led.is_below(directory.as_bytes()), is_below, "{directory}");
        }
    }
}
