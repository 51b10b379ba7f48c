//! Directories that hold what was fetched, and what is moved out of them.
//!
//! What package managers fetch brings settings of editors, agents and shells along, and nobody opens one of these
//! there. So what policy names as places of any depth are none in such a directory; but they come into being where
//! something is moved out, or the directory gets another name.

use std::os::fd::{AsFd, BorrowedFd};

use agentguard_core::places::{Begins, Pattern, Reached};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Result;

use super::look::names_in;
use crate::mediator::resolve::{device, os};

/// So much of a tree is looked at, and so deep: then all of it counts as one place.
const MOST_SEEN: usize = 1 << 17;
const DEEPEST: usize = 64;

/// The directories of a session that hold what was fetched.
#[derive(Debug)]
pub(crate) struct Fetched(Vec<Pattern>);

impl Fetched {
    /// What is no pattern was refused when policy was read.
    pub(crate) fn of(patterns: &[String]) -> Self {
        Self(
            patterns
                .iter()
                .filter_map(|text| Pattern::parse(text))
                .collect(),
        )
    }

    /// Whether a directory is one of these, or lies in one.
    pub(crate) fn holds(&self, directory: &[&[u8]]) -> bool {
        let mut reached = self.0.iter().flat_map(|pattern| pattern.reached(directory));
        reached.any(|reached| reached == Reached::Whole)
    }

    /// Whether a place of any depth is none, where these names stand before it.
    pub(crate) fn excuses(&self, pattern: &Pattern, before: &[&[u8]]) -> bool {
        pattern.begins() == Begins::Anywhere && !pattern.is_of_git() && self.holds(before)
    }

    /// Whether something that was in one of these directories would be in none, if a directory were moved.
    pub(super) fn is_left(&self, from: &[&[u8]], to: &[&[u8]]) -> bool {
        let is_less = |pattern: &Pattern| {
            let after: Vec<Reached> = pattern.reached(to).collect();
            pattern
                .reached(from)
                .any(|reached| !after.contains(&reached))
        };
        !self.holds(to) && self.0.iter().any(is_less)
    }
}

/// A place of any depth in what is moved: its pattern, and its names below that.
pub(super) type Brought = (String, Vec<Vec<u8>>);

/// What a tree that is moved out brings to places of any depth.
pub(super) struct Search<'a> {
    patterns: &'a [Pattern],
    fetched: &'a Fetched,
    /// What it will be called, and on the way down what is looked at.
    path: Vec<Vec<u8>>,
    above: usize,
    device: Option<u64>,
    seen: usize,
    found: Vec<Brought>,
}

impl<'a> Search<'a> {
    /// Looks at all of `tree`, which is to be at `path`. What cannot be looked at is taken for a place.
    pub(super) fn through(
        tree: BorrowedFd<'_>,
        path: &[&[u8]],
        patterns: &'a [Pattern],
        fetched: &'a Fetched,
    ) -> Vec<Brought> {
        let mut search = Self {
            patterns,
            fetched,
            path: path.iter().map(|name| name.to_vec()).collect(),
            above: path.len(),
            device: device(tree).ok(),
            seen: 0,
            found: Vec::new(),
        };
        search.directory(tree);
        search.found
    }

    fn directory(&mut self, directory: BorrowedFd<'_>) {
        let is_too_deep = self.path.len().saturating_sub(self.above) >= DEEPEST;
        let names = names_in(directory, MOST_SEEN.saturating_sub(self.seen));
        let (false, Ok(names)) = (is_too_deep, names) else {
            return self.add_unseen();
        };
        for name in names {
            self.seen += 1;
            self.path.push(name);
            if self.entry(directory).is_err() {
                self.add_unseen();
            }
            self.path.pop();
        }
    }

    fn entry(&mut self, directory: BorrowedFd<'_>) -> Result<()> {
        let name = self.path.last().map(Vec::as_slice).unwrap_or_default();
        let stat = fs::statat(directory, os(name), AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            // What is mounted there is another file system's, which may not answer: it is not looked into.
            FileType::Directory if Some(stat.st_dev) != self.device => self.add_unseen(),
            FileType::Directory if self.fetched.holds(&self.names()) => {}
            FileType::Directory => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let below = fs::openat(directory, os(name), flags, Mode::empty())?;
                self.directory(below.as_fd());
            }
            FileType::Symlink => self.add_place(true),
            FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => self.add_place(false),
        }
        Ok(())
    }

    fn names(&self) -> Vec<&[u8]> {
        self.path.iter().map(Vec::as_slice).collect()
    }

    fn of_any_depth(&self) -> impl Iterator<Item = &'a Pattern> + use<'a> {
        let is_meant =
            |pattern: &&Pattern| pattern.begins() == Begins::Anywhere && !pattern.is_of_git();
        self.patterns.iter().filter(is_meant)
    }

    fn add_place(&mut self, is_link: bool) {
        let names = self.names();
        let is_place = |pattern: &&Pattern| {
            pattern.starts(&names).any(|start| {
                // Nothing before it was fetched: that is not looked into.
                let below = names.get(start..).unwrap_or_default();
                pattern.holds(below) || (is_link && pattern.tail(below).is_some())
            })
        };
        let found = self.of_any_depth().find(is_place).map(Pattern::text);
        self.add(found);
    }

    fn add_unseen(&mut self) {
        let any = self.of_any_depth().next().map(Pattern::text);
        self.add(any);
    }

    fn add(&mut self, place: Option<&str>) {
        let below = self.path.get(self.above..).unwrap_or_default();
        self.found
            .extend(place.map(|place| (place.to_owned(), below.to_vec())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<&[u8]> {
        path.split('/').map(str::as_bytes).collect()
    }

    #[test]
    fn what_leaves_such_a_directory_is_told_from_what_moves_within() {
        let fetched = Fetched::of(&["**/node_modules/*", "**/target/package/*"].map(str::to_owned));
        for (from, to, is_left) in [
            ("node_modules/a", "node_modules/.a-x", false),
            ("node_modules/a", "b/node_modules/a", false),
            ("node_modules/@s/a", "node_modules/a", false),
            ("node_modules/a", "a", true),
            ("node_modules/a", "node_modules", true),
            ("node_modules", "old", true),
            ("node_modules", "a/node_modules", false),
            ("a", "b", false),
            ("a", "node_modules", false),
            ("target/package", "target/other", true),
            ("target", "out", true),
            ("target/debug", "target/release", false),
            ("node_modules/a", "target/package/a", false),
        ] {
            let is = fetched.is_left(&names(from), &names(to));
            assert_eq!(is, is_left, "{from} {to}");
        }
    }

    #[test]
    fn only_places_of_any_depth_are_excused_and_never_gits() {
        let fetched = Fetched::of(&["**/vendor/*".to_owned()]);
        for (place, before, is_excused) in [
            ("**/.envrc", "vendor/a", true),
            ("**/.envrc", "vendor/a/b", true),
            ("**/.envrc", "vendor", false),
            ("**/.envrc", "a", false),
            ("**/.git/config", "vendor/a", false),
            ("**/.git/../.travis.yml", "vendor/a", false),
        ] {
            let pattern = Pattern::parse(place).unwrap();
            let is = fetched.excuses(&pattern, &names(before));
            assert_eq!(is, is_excused, "{place} {before}");
        }
    }
}
