//! Which places come into being with a name: at the name itself, below what is moved there, and where a
//! directory becomes a repository by it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Mutex, PoisonError};

use agentguard_core::places::{Begins, Letters, Next, Pattern, Tail, is_named};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};

use super::fetched::{Brought, Fetched, Search};
use super::masks::UNSEEN;
use crate::mediator::caller::Processes;
use crate::mediator::resolve::{Place, device, kind, os};
use crate::plan::Plan;
use crate::root::Led;

/// So many places are asked about one by one; then the whole tree is.
const MOST_FOUND: usize = 64;
/// So many places are known at which links are that were moved; then such directories are not moved unjudged.
const MOST_LINKS: usize = 16384;
/// So much of a tree is looked at, and so deep.
const MOST_SEEN: usize = 4096;
/// So much of one is looked through for links.
const MOST_MOVED: usize = 1 << 20;
const DEEPEST: usize = 64;
/// What is said of a link at a place that is moved with the directory above it.
const LINK: &str = "link";
/// What is said of a directory that git takes for a repository.
const REPOSITORY: &str = "repository";

/// What a name is to stand for.
#[derive(Debug)]
pub(super) enum What {
    /// A file, or whatever else is neither of the following.
    File,
    /// A directory with nothing in it.
    Directory,
    /// A symbolic link, and where it points.
    Link(Vec<u8>),
    /// A directory that is moved, with all that is in it.
    Tree(OwnedFd),
}

/// A place that would come into being.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Coming {
    /// Where it is, relative to the workspace.
    pub(super) within: Vec<u8>,
    /// The pattern that it matches, or `repository`.
    pub(super) place: String,
}

/// The places of a session.
#[derive(Debug)]
pub(super) struct Places {
    workspace: Vec<u8>,
    /// Where the agent's home lies outside.
    home: Vec<u8>,
    patterns: Vec<Pattern>,
    /// Those of each pattern.
    letters: Vec<Letters>,
    fetched: Fetched,
    led: Led,
    /// Links at pins, where they were and where directories that were moved may have taken them.
    links: Mutex<BTreeSet<Vec<u8>>>,
}

impl Places {
    /// The places that policy named, and those where links at pins lead. What is no pattern was refused when policy
    /// was read.
    pub(super) fn of(plan: &Plan, led: Led) -> Self {
        let confinement = &plan.confinement;
        let patterns = confinement.places.iter();
        let patterns = patterns.filter_map(|text| Pattern::parse(text));
        let patterns: Vec<_> = patterns.chain(led.patterns()).collect();
        Self {
            workspace: confinement.workspace.as_os_str().as_bytes().to_vec(),
            home: plan.private_home.as_os_str().as_bytes().to_vec(),
            letters: patterns.iter().map(Pattern::letters).collect(),
            patterns,
            fetched: Fetched::of(&confinement.fetched),
            links: Mutex::new(led.links().clone()),
            led,
        }
    }

    /// The places that come into being when `place` gets to be `what`.
    pub(super) fn coming(
        &self,
        processes: &Processes,
        place: &Place,
        what: &What,
    ) -> Result<Vec<Coming>> {
        let name = place.plain_name();
        // The kernel makes nothing of these names.
        if matches!(name, b"." | b"..") {
            return Ok(Vec::new());
        }
        let parent = processes.path_of_bytes(place.parent.as_fd())?;
        let Some(above) = self.within(&parent) else {
            return Ok(Vec::new());
        };
        let mut path = names(above);
        let is_git = path.last().is_some_and(|last| is_named(last, b".git"));
        path.push(name);
        let mut found = Found::new(path.join(&b'/'), what);
        self.find_places(&mut found, &path, place.parent.as_fd(), what);
        if let What::Tree(tree) = what {
            self.add_moved(&mut found, processes, tree.as_fd(), &path)?;
        }
        if let What::Link(target) = what
            && self.lets_out(processes, (place.parent.as_fd(), above), (&path, target))
        {
            found.add(LINK, &[]);
        }
        if !is_git {
            found.add_repository(place.parent.as_fd(), name, what);
        }
        let is_hooks = path
            .iter()
            .rev()
            .nth(1)
            .is_some_and(|above| is_hooks(above));
        if is_hooks && !matches!(what, What::Directory) {
            found.add_hook(place.parent.as_fd());
        }
        Ok(found.all)
    }

    /// Notes what a directory brings along that counts by where it is moved to.
    fn add_moved(
        &self,
        found: &mut Found,
        processes: &Processes,
        tree: BorrowedFd<'_>,
        to: &[&[u8]],
    ) -> Result<()> {
        let from = processes.path_of_bytes(tree)?;
        let from = self.within(&from).unwrap_or_default();
        for link in self.turned(from.strip_prefix(b"/").unwrap_or(from), to) {
            // It may be gone by now, and something else have the directory's name.
            if is_there(tree, OsStr::from_bytes(&link)) {
                found.add(LINK, &[&link]);
            }
        }
        if !from.is_empty() && self.fetched.is_left(&names(from), to) {
            let (patterns, fetched) = (&self.patterns, &self.fetched);
            found.add_brought(Search::through(tree, to, patterns, fetched));
        }
        // Less far down, a link goes further up.
        let mut at: Vec<Vec<u8>> = to.iter().map(|name| name.to_vec()).collect();
        let is_higher = to.len() < names(from).len();
        if is_higher && self.brings_home(tree, &mut at, &mut 0).unwrap_or(true) {
            found.add(LINK, &[]);
        }
        Ok(())
    }

    /// Whether a link in a directory that is to be `at` leads to the agent's home from there. What cannot be looked at does.
    fn brings_home(
        &self,
        directory: BorrowedFd<'_>,
        at: &mut Vec<Vec<u8>>,
        seen: &mut usize,
    ) -> Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = fs::openat(directory, ".", flags, Mode::empty())?;
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            *seen += 1;
            if matches!(name, b"." | b"..") {
                continue;
            }
            if *seen > MOST_MOVED || at.len() > DEEPEST {
                return Ok(true);
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let stat = fs::statat(&opened, os(name), AtFlags::SYMLINK_NOFOLLOW)?;
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            let is_home = match kind {
                FileType::Directory => {
                    let below = fs::openat(&opened, os(name), flags, Mode::empty())?;
                    at.push(name.to_vec());
                    let is_home = self.brings_home(below.as_fd(), at, seen)?;
                    at.pop();
                    is_home
                }
                FileType::Symlink => {
                    let target = fs::readlinkat(&opened, os(name), Vec::new())?;
                    let above = at.join(&b'/');
                    let led = [
                        &self.workspace,
                        b"/".as_slice(),
                        &above,
                        b"/",
                        target.to_bytes(),
                    ];
                    // One from the top on leads where it did.
                    let is_relative = !target.to_bytes().starts_with(b"/");
                    is_relative && self.leads_home(&plain(&led.concat()))
                }
                FileType::RegularFile
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => false,
            };
            if is_home {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes each pattern that `path` matches as what it is to be, or that something below it would.
    fn find_places(&self, found: &mut Found, path: &[&[u8]], parent: BorrowedFd<'_>, what: &What) {
        let letters = Letters::of(path);
        let patterns = self.patterns.iter().zip(&self.letters);
        for (pattern, _) in patterns.filter(|(_, wanted)| letters.meet(**wanted)) {
            for start in pattern.starts(path) {
                let (before, below) = path.split_at_checked(start).unwrap_or_default();
                let (is_held, tail) = (pattern.holds(below), pattern.tail(below));
                if !is_held && tail.is_none() || !self.counts(pattern, before, below, parent) {
                    continue;
                }
                match (what, tail) {
                    (What::File, _) if is_held => found.add(pattern.text(), &[]),
                    (What::Link(_), _) => found.add(pattern.text(), &[]),
                    (What::Tree(tree), Some(tail)) => {
                        found.search(tree.as_fd(), tail, pattern.text(), &mut Vec::new());
                    }
                    (What::File | What::Directory | What::Tree(_), _) => {}
                }
            }
        }
    }

    /// Whether a link at `path` makes a directory that is looked into by nobody one that is worked in: one that was fetched,
    /// or one of the agent's home, which lies elsewhere to everybody outside.
    fn lets_out(
        &self,
        processes: &Processes,
        (parent, above): (BorrowedFd<'_>, &[u8]),
        (path, target): (&[&[u8]], &[u8]),
    ) -> bool {
        // What is below it would be fetched.
        let is_fetched = |path: &[&[u8]]| self.fetched.holds(&[path, &[b"x"]].concat());
        let told: Vec<&[u8]> = names(target)
            .into_iter()
            .filter(|name| *name != b".")
            .collect();
        let is_elsewhere = target.starts_with(b"/")
            && !told.contains(&b"..".as_slice())
            && !told.starts_with(&names(&self.workspace));
        // What lies elsewhere is not asked: it may not answer.
        if is_elsewhere {
            return self.leads_home(&told);
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_MAGICLINKS;
        let found = fs::openat2(parent, os(target), flags, Mode::empty(), resolve);
        let led = match &found {
            Ok(found) => match processes.path_of_bytes(found.as_fd()) {
                Ok(led) => led,
                Err(_) => return true,
            },
            Err(error) if UNSEEN.contains(error) => return true,
            // It may come to be there.
            Err(_) if target.starts_with(b"/") => [b"/".as_slice(), &told.join(&b'/')].concat(),
            Err(_) => [self.workspace.as_slice(), above, b"/", target].concat(),
        };
        let at = plain(&led);
        if self.leads_home(&at) {
            return true;
        }
        let is_directory =
            found.map_or(true, |found| kind(found.as_fd()) == Ok(FileType::Directory));
        let within = at.strip_prefix(names(&self.workspace).as_slice());
        is_directory && !is_fetched(path) && is_fetched(within.unwrap_or_default())
    }

    /// Whether a path leads into the directory that is the agent's home, or to one above it, from where another link could.
    fn leads_home(&self, path: &[&[u8]]) -> bool {
        let home = names(&self.home);
        path.iter().zip(home).all(|(name, home)| *name == home)
    }

    /// The links at pins that lead elsewhere once a directory is moved, by their names from there. Within the directory
    /// above it they do not, unless what they lead to moves along.
    fn turned(&self, from: &[u8], to: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let below = |link: &Vec<u8>| Some(link.strip_prefix(from)?.strip_prefix(b"/")?.to_vec());
        let moved: Vec<Vec<u8>> = links.iter().filter_map(below).collect();
        let above = |path: &[&[u8]]| path.split_last().map(|(_, above)| above.join(&b'/'));
        let is_beside = above(&names(from)) == above(to);
        if is_beside && !self.led.is_below(from) && links.len() < MOST_LINKS {
            let to = to.join(&b'/');
            links.extend(
                moved
                    .iter()
                    .map(|link| [&to, b"/".as_slice(), link].concat()),
            );
            return Vec::new();
        }
        moved
    }

    /// Whether a place counts in the directory that it begins in: that is where so many names of `path` are left,
    /// the last of which is in `parent`.
    fn counts(
        &self,
        pattern: &Pattern,
        before: &[&[u8]],
        below: &[&[u8]],
        parent: BorrowedFd<'_>,
    ) -> bool {
        match pattern.begins() {
            Begins::AtTop => true,
            Begins::Anywhere => !self.fetched.excuses(pattern, before),
            Begins::BesideGit => {
                let up = "../".repeat(below.len().saturating_sub(1));
                is_there(parent, OsStr::new(&format!("{up}.git")))
            }
        }
    }

    /// Whether places are looked for there.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.within(path).is_some()
    }

    /// A path below the workspace, relative to it.
    fn within<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let rest = path.strip_prefix(self.workspace.as_slice())?;
        (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
    }
}

/// The names of a path.
pub(super) fn names(path: &[u8]) -> Vec<&[u8]> {
    let names = path.split(|byte| *byte == b'/');
    names.filter(|name| !name.is_empty()).collect()
}

/// The names of a path without dots, as where no link is on the way.
fn plain(path: &[u8]) -> Vec<&[u8]> {
    let mut at = Vec::new();
    for name in names(path) {
        match name {
            b"." => {}
            b".." => drop(at.pop()),
            name => at.push(name),
        }
    }
    at
}

/// Whether a directory of a repository is called so that holds what git runs, or where a push goes: to a repository on
/// this machine, whose hooks run then (git-fetch(1), "Named file in `$GIT_DIR/remotes`").
fn is_hooks(name: &[u8]) -> bool {
    let directories: [&[u8]; 3] = [b"hooks", b"remotes", b"branches"];
    directories.iter().any(|known| is_named(name, known))
}

/// What was found, and how much was looked at.
struct Found {
    path: Vec<u8>,
    /// Of the tree that is looked into.
    device: Option<u64>,
    all: Vec<Coming>,
    seen: usize,
}

impl Found {
    fn new(path: Vec<u8>, what: &What) -> Self {
        let device = match what {
            What::Tree(tree) => device(tree.as_fd()).ok(),
            What::File | What::Directory | What::Link(_) => None,
        };
        Self {
            path,
            device,
            all: Vec::new(),
            seen: 0,
        }
    }

    /// Notes a place, `below` being its names below the path itself.
    fn add(&mut self, place: &str, below: &[&[u8]]) {
        let names = if self.all.len() < MOST_FOUND {
            below
        } else {
            &[]
        };
        let parts = std::iter::once(self.path.as_slice()).chain(names.iter().copied());
        let coming = Coming {
            within: parts.collect::<Vec<_>>().join(&b'/'),
            place: place.to_owned(),
        };
        if !self.all.contains(&coming) {
            self.all.push(coming);
        }
    }

    fn add_brought(&mut self, brought: Vec<Brought>) {
        for (place, below) in brought {
            self.add_below(&place, &below);
        }
    }

    /// Looks below `tree` for what `tail` is about. What cannot be looked at is taken for it.
    fn search(
        &mut self,
        tree: BorrowedFd<'_>,
        tail: Tail<'_>,
        place: &str,
        below: &mut Vec<Vec<u8>>,
    ) {
        let everything = match tail.next() {
            Next::Named(name, rest) => {
                return self.child(tree, name, rest, place, below);
            }
            Next::Any(rest) => rest,
            Next::Everything => tail,
            Next::Here => return,
        };
        let Ok(names) = names_in(tree, MOST_SEEN) else {
            return self.add_below(place, below);
        };
        for name in names {
            self.child(tree, &name, everything, place, below);
        }
    }

    fn child(
        &mut self,
        tree: BorrowedFd<'_>,
        name: &[u8],
        tail: Tail<'_>,
        place: &str,
        below: &mut Vec<Vec<u8>>,
    ) {
        self.seen += 1;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match fs::openat(tree, os(name), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return,
            opened => opened,
        };
        below.push(name.to_vec());
        // What is mounted there is another file system's, which may not answer: it is not looked into.
        let is_here = |file: &OwnedFd| {
            let own = device(file.as_fd()).ok();
            own.is_some() && own == self.device
        };
        let opened = opened.ok().filter(is_here);
        let kind = opened.as_ref().map(|file| kind(file.as_fd()));
        match (&opened, kind) {
            (Some(child), Some(Ok(FileType::Directory)))
                if below.len() < DEEPEST && self.seen < MOST_SEEN =>
            {
                self.search(child.as_fd(), tail, place, below);
            }
            (Some(_), Some(Ok(FileType::RegularFile)))
                if !matches!(tail.next(), Next::Here | Next::Everything) => {}
            _ => self.add_below(place, below),
        }
        below.pop();
    }

    fn add_below(&mut self, place: &str, below: &[Vec<u8>]) {
        let below: Vec<&[u8]> = below.iter().map(Vec::as_slice).collect();
        self.add(place, &below);
    }

    /// Whether the directory becomes a repository by this name, or is one whose settings it would be.
    ///
    /// # References
    ///
    /// - `is_git_directory`, git's `setup.c`: `HEAD` with `objects` and `refs`, its own or another's
    fn add_repository(&mut self, parent: BorrowedFd<'_>, name: &[u8], what: &What) {
        let is = |known: &[u8]| is_named(name, known);
        let is_part = is_part(name);
        let is_lock = is(b"config.lock") || is(b"config.worktree.lock");
        let is_setting = is(b"config") || is(b"config.worktree") || is(b"commondir") || is_lock;
        let is_hooks = is_hooks(name) && matches!(what, What::Link(_) | What::Tree(_));
        if !is_part && !is_setting && !is_hooks {
            return;
        }
        let before = is_repository(parent, &|_| false);
        let after = is_repository(parent, &|part| is(part.to_ascii_lowercase().as_slice()));
        let is_setting = is_setting && !matches!(what, What::Directory);
        if (before && is_setting) || (!before && after && is_part) {
            self.add(REPOSITORY, &[]);
        }
        if before && is_hooks {
            match what {
                What::Tree(tree) => {
                    self.search(tree.as_fd(), Tail::ANY_NAME, REPOSITORY, &mut Vec::new());
                }
                What::File | What::Directory | What::Link(_) => self.add(REPOSITORY, &[]),
            }
        }
    }

    /// Whether `hooks` is such a directory of a repository, whatever that is called.
    fn add_hook(&mut self, hooks: BorrowedFd<'_>) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let above = fs::openat(hooks, "..", flags, Mode::empty());
        let is_hook = above.map_or(true, |above| is_repository(above.as_fd(), &|_| false));
        if is_hook && self.all.is_empty() {
            self.add(REPOSITORY, &[]);
        }
    }
}

/// Whether a name is one of those by which git takes a directory for a repository.
pub(super) fn is_part(name: &[u8]) -> bool {
    let parts: [&[u8]; 4] = [b"head", b"objects", b"refs", b"commondir"];
    parts.iter().any(|part| is_named(name, part))
}

/// Whether git would take a directory for a repository, where besides what is there `also` is.
fn is_repository(directory: BorrowedFd<'_>, also: &dyn Fn(&[u8]) -> bool) -> bool {
    let has = |name: &str| also(name.as_bytes()) || is_there(directory, OsStr::new(name));
    has("HEAD") && (has("commondir") || (has("objects") && has("refs")))
}

/// What cannot be looked at is taken to be there.
fn is_there(directory: BorrowedFd<'_>, name: &OsStr) -> bool {
    !matches!(
        fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW),
        Err(Errno::NOENT | Errno::NOTDIR)
    )
}

/// The names in a directory, where there are not more than `most`.
pub(super) fn names_in(directory: BorrowedFd<'_>, most: usize) -> Result<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = fs::openat(directory, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&opened)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
        if names.len() > most {
            return Err(Errno::OVERFLOW);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_a_workspace_is_not_in_it() {
        let places = Places {
            workspace: b"/w".to_vec(),
            home: b"/h/x".to_vec(),
            patterns: Vec::new(),
            letters: Vec::new(),
            fetched: Fetched::of(&[]),
            led: Led::default(),
            links: Mutex::default(),
        };
        for (path, is_within) in [("/w", true), ("/w/a", true), ("/w2/a", false), ("/", false)] {
            assert_eq!(places.has(path.as_bytes()), is_within, "{path}");
        }
    }
}
