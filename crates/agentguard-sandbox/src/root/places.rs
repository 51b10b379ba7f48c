//! What is there at places of any depth when a session begins.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use agentguard_core::Confinement;
use agentguard_core::places::{Begins, Pattern};

use crate::difference::Snapshot;
use crate::mediator::Fetched;

/// Finds what pins of any depth are about.
pub(super) fn find(confinement: &Confinement, seen: &Snapshot) -> Vec<PathBuf> {
    let pins = confinement.pins.iter().filter_map(|pin| pin.to_str());
    let patterns: Vec<Pattern> = pins
        .filter_map(Pattern::parse)
        .filter(|pattern| pattern.begins() != Begins::AtTop)
        .collect();
    if patterns.is_empty() {
        return Vec::new();
    }
    let fetched = Fetched::of(&confinement.fetched);
    let tops: HashSet<&[u8]> = seen
        .paths()
        .filter_map(|(path, _)| path.strip_suffix(b"/.git"))
        .collect();
    let is_held = |path: &[u8]| {
        patterns.iter().any(|pattern| {
            let Some(before) = pattern.before(path) else {
                return false;
            };
            let names: Vec<&[u8]> = before.split(|byte| *byte == b'/').collect();
            match pattern.begins() {
                Begins::BesideGit => tops.contains(before),
                Begins::AtTop | Begins::Anywhere => !fetched.excuses(pattern, &names),
            }
        })
    };
    seen.paths()
        .filter(|(path, _)| is_held(path))
        .map(|(path, _)| PathBuf::from(OsStr::from_bytes(path)))
        .collect()
}
