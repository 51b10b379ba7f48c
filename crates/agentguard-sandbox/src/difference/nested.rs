//! Changes at pins that a path alone does not show to be such: beside a repository further down, and where links lead.

use agentguard_core::places::{Begins, Pattern};
use agentguard_core::{Change, Confinement};

use super::escaped::unescape_path;
use super::snapshot::Snapshot;
use crate::root::Led;

/// What of a session's pins only a look at the tree can tell.
pub(crate) struct Nested {
    /// Pins beside any `.git` below the top.
    beside_git: Vec<Pattern>,
    led: Led,
}

impl Nested {
    pub(crate) fn new(confinement: &Confinement, led: Led) -> Self {
        let pins = confinement.pins.iter().filter_map(|pin| pin.to_str());
        let patterns = pins.filter_map(Pattern::parse).chain(led.beside_git());
        Self {
            beside_git: patterns
                .filter(|pattern| pattern.begins() == Begins::BesideGit)
                .collect(),
            led,
        }
    }

    pub(crate) fn led(&self) -> &Led {
        &self.led
    }

    /// Which of these changes are at such pins, where a `.git` lies beside it in any of the looks.
    pub(crate) fn among(&self, changes: &[Change], looks: [&Snapshot; 2]) -> Vec<String> {
        let is_top = |directory: &[u8]| {
            let git = [directory, b"/.git"].concat();
            looks.iter().any(|look| look.kind_of(&git).is_some())
        };
        let is_pinned = |change: &&Change| {
            let path = unescape_path(&change.path);
            self.led.holds(&path) || self.is_beside(&path, &is_top)
        };
        let pinned = changes.iter().filter(is_pinned);
        pinned.map(|change| change.path.clone()).collect()
    }

    /// Whether a path, or a directory above it, is at such a pin beside a `.git`.
    fn is_beside(&self, path: &[u8], is_top: &dyn Fn(&[u8]) -> bool) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = ends.map(|(end, _)| end).chain([path.len()]);
        let mut above = ends.filter_map(|end| path.get(..end));
        above.any(|path| {
            let mut before = self.beside_git.iter().filter_map(|pin| pin.before(path));
            before.any(is_top)
        })
    }
}
