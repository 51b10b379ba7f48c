//! What npm and its like run for whoever only installs what a workspace needs.
//!
//! A manifest is the work itself: it is there to be changed. But some of its scripts run without having been
//! asked for, outside, as soon as somebody installs; so it is told when these are others at the end of a session than
//! they were when it began. Below `node_modules` nobody is told: all that lies there is code that runs as soon as
//! it is used, and an install puts it there anew.
//!
//! # References
//!
//! - <https://docs.npmjs.com/cli/v11/using-npm/scripts>: life cycle scripts, and `node-gyp rebuild` where
//!   there is a `binding.gyp`
//! - <https://pnpm.io/scripts>: `pnpm:devPreinstall`

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;

use agentguard_core::{Change, Digest};
use rustix::io::Errno;
use serde_json::{Map, Value};

use super::beneath;
use super::escaped::unescape_path;
use super::snapshot::Snapshot;

/// Scripts that nobody asks for by name.
const UNASKED: [&str; 9] = [
    "dependencies",
    "install",
    "pnpm:devPreinstall",
    "postinstall",
    "postprepare",
    "preinstall",
    "prepare",
    "prepublish",
    "preprepare",
];
/// A larger manifest is not parsed.
const MOST_BYTES: usize = 1 << 20;
/// So many are read when a session begins. What was not read counts as having had no scripts.
const MOST_MANIFESTS: usize = 1000;

/// What runs unasked, by the manifest that says so, as a session found it.
#[derive(Debug)]
pub(crate) struct Scripts {
    before: BTreeMap<Vec<u8>, Runs>,
    /// Manifests of which others run now, as the record writes paths.
    differ: BTreeSet<String>,
}

/// What runs unasked, so that two can be compared.
#[derive(Debug, Eq, PartialEq)]
enum Runs {
    Nothing,
    Scripts(Map<String, Value>),
    /// It cannot be told: of what this is the digest, or of what cannot be read at all.
    Untold(Option<Digest>),
}

impl Scripts {
    /// Looks at the manifests of a tree.
    pub(crate) fn take(snapshot: &Snapshot, root: BorrowedFd<'_>) -> Self {
        let paths = snapshot.items.iter().map(|item| item.path.0.as_ref());
        let manifests = paths.filter(|path| is_manifest(path)).take(MOST_MANIFESTS);
        let read = manifests.map(|path| (path.to_owned(), Runs::of(root, path)));
        Self {
            before: read.collect(),
            differ: BTreeSet::new(),
        }
    }

    /// Looks at those that changed once more. Answers all of which others run now than at the beginning.
    pub(crate) fn differ(&mut self, changes: &[Change], root: BorrowedFd<'_>) -> Vec<String> {
        for change in changes {
            let path = unescape_path(&change.path);
            if !is_manifest(&path) {
                continue;
            }
            let now = Runs::of(root, &path);
            // What runs no more makes nobody run anything.
            if now == Runs::Nothing || self.before.get(&path) == Some(&now) {
                self.differ.remove(&change.path);
            } else {
                self.differ.insert(change.path.clone());
            }
        }
        self.differ.iter().cloned().collect()
    }
}

impl Runs {
    fn of(root: BorrowedFd<'_>, path: &[u8]) -> Self {
        match beneath::read_file(root, path, MOST_BYTES) {
            Ok(bytes) if path.ends_with(b".gyp") => Self::Untold(Some(Digest::of(&bytes))),
            Ok(bytes) => Self::of_manifest(&bytes),
            Err(Errno::NOENT) => Self::Nothing,
            Err(_) => Self::Untold(None),
        }
    }

    fn of_manifest(bytes: &[u8]) -> Self {
        // npm takes a byte order mark for nothing.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        // What JavaScript takes for JSON is a little more than what we do.
        let Ok(mut manifest) = serde_json::from_slice::<Value>(text) else {
            return Self::Untold(Some(Digest::of(bytes)));
        };
        let scripts = manifest.get_mut("scripts").and_then(Value::as_object_mut);
        let mut scripts = scripts.map(std::mem::take).unwrap_or_default();
        scripts.retain(|name, _| UNASKED.contains(&name.as_str()));
        match scripts.is_empty() {
            true => Self::Nothing,
            false => Self::Scripts(scripts),
        }
    }
}

fn is_manifest(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|byte| *byte == b'/');
    let is_named = parts
        .next()
        .is_some_and(|name| name == b"package.json" || name == b"binding.gyp");
    is_named && parts.all(|part| part != b"node_modules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_a_manifest_says_what_runs_or_is_untold() {
        let words = [
            "\"scripts\"",
            "\"prepare\"",
            "\"postinstall\"",
            "\"test\"",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "null",
            "1e999",
            "\\ud800",
        ];
        crate::mutate::fuzz("manifest", &words, |bytes| {
            let runs = Runs::of_manifest(bytes);
            let spaced = Runs::of_manifest(&[bytes, b" \n"].concat());
            match runs {
                Runs::Nothing => {
                    assert_eq!(spaced, Runs::Nothing);
                    "nothing".to_owned()
                }
                Runs::Scripts(scripts) => {
                    assert!(scripts.keys().all(|name| UNASKED.contains(&name.as_str())));
                    let count = "x".repeat(scripts.len().min(3));
                    assert_eq!(spaced, Runs::Scripts(scripts));
                    count
                }
                Runs::Untold(_) => "untold".to_owned(),
            }
        });
    }
}
