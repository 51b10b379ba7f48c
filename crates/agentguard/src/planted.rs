//! What a session leaves that makes others run code: outside, later, with nobody's rules.
//!
//! What lies at a pinned path is held by the kernel, and what comes into being at a place that policy names is
//! judged. Here is told what a rule let be, and what somebody outside made meanwhile: at pinned paths, and in
//! any repository further down, which runs programs of its own as soon as somebody asks for the status of
//! the one above it.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use agentguard_core::places::{Begins, Pattern, Reached};
use agentguard_core::{ChangeKind, Rule};
use agentguard_sandbox::{Difference, escape_path};

/// So many paths are named; the rest is counted.
const NAMED: usize = 5;

/// Paths that appeared during a session and make others run code.
#[derive(Debug)]
pub(crate) struct Planted {
    pins: Vec<String>,
    /// Pins of any depth.
    patterns: Vec<Pattern>,
    /// Directories in which these are none.
    fetched: Vec<Pattern>,
    /// Whether what was at a pin when the session began cannot have changed.
    pins_are_held: bool,
    found: BTreeSet<String>,
    /// Manifests that have others run for whoever installs than before.
    scripts: Vec<String>,
}

impl Planted {
    /// Looks out for what appears at `pins`, and for repositories within the workspace.
    /// Where pins are not held, what is changed or gone there counts too.
    pub(crate) fn new(pins: &[PathBuf], fetched: &[String], pins_are_held: bool) -> Self {
        let pins = pins
            .iter()
            .map(|pin| escape_path(pin.as_os_str().as_bytes()));
        let parse = |text: &String| Pattern::parse(text);
        let pins: Vec<String> = pins.collect();
        let patterns = pins.iter().filter_map(parse);
        Self {
            patterns: patterns
                .filter(|pattern| pattern.begins() == Begins::Anywhere)
                .collect(),
            fetched: fetched.iter().filter_map(parse).collect(),
            pins,
            pins_are_held,
            found: BTreeSet::new(),
            scripts: Vec::new(),
        }
    }

    /// Takes note of what changed, and of all manifests whose `scripts` did.
    pub(crate) fn note(&mut self, difference: &Difference) {
        self.scripts.clone_from(&difference.scripts);
        let nested: BTreeSet<&str> = difference.pinned.iter().map(String::as_str).collect();
        for change in &difference.changes {
            let path = change.path.as_str();
            let is_pinned = || nested.contains(path) || self.is_pinned(path);
            let found = match change.change {
                ChangeKind::Added | ChangeKind::Changed if is_closed(change.mode) => Some(path),
                // By itself it makes nobody run anything; what lies in it is told by itself.
                ChangeKind::Added if is_directory(change.mode) => None,
                ChangeKind::Added if is_pinned() => Some(path),
                ChangeKind::Changed | ChangeKind::Removed if !self.pins_are_held && is_pinned() => {
                    Some(path)
                }
                // It was there before, and was held. It counts as changed where it was written so shortly before
                // the session that no time stamp could tell.
                ChangeKind::Changed if is_pinned() => None,
                ChangeKind::Added | ChangeKind::Changed => repository_within(path),
                ChangeKind::Removed => {
                    self.found.remove(path);
                    None
                }
            };
            self.found.extend(found.map(str::to_owned));
        }
    }

    /// Tells of it as a finding, unless there is nothing.
    pub(crate) fn finding(&self) -> Option<Rule> {
        let found = self.found.iter().map(|path| format!("`{path}`"));
        let scripts = self.scripts.iter();
        let scripts = scripts.map(|path| format!("what `{path}` has run by itself"));
        let mut named: Vec<_> = found.chain(scripts).collect();
        let more = match named.len().saturating_sub(NAMED) {
            _ if named.is_empty() => return None,
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        named.truncate(NAMED);
        let happened = match self.pins_are_held && self.scripts.is_empty() {
            true => "appeared",
            false => "appeared or changed",
        };
        let reason = format!(
            "{}{more} {happened} in the workspace, and can make others run code outside",
            named.join(", ")
        );
        let remedy = "look at them before you use git, npm, an editor or another agent there";
        Some(Rule::new("persistence/planted", reason).with_remedy(remedy))
    }

    fn is_pinned(&self, path: &str) -> bool {
        self.pins.iter().any(|pin| {
            path.strip_prefix(pin.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }) || self.is_at_any_depth(path)
    }

    /// Whether a path is at a pin of any depth, or below one.
    fn is_at_any_depth(&self, path: &str) -> bool {
        let names: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        let is_fetched = |before: &[&[u8]]| {
            let mut reached = self
                .fetched
                .iter()
                .flat_map(|fetched| fetched.reached(before));
            reached.any(|reached| reached == Reached::Whole)
        };
        self.patterns.iter().any(|pattern| {
            let is_at = |start: &usize| {
                let below = names.get(*start..).unwrap_or_default();
                (1..=below.len())
                    .any(|end| below.get(..end).is_some_and(|some| pattern.holds(some)))
            };
            let mut starts = pattern.starts(&names).filter(is_at);
            starts.any(|start| !is_fetched(names.get(..start).unwrap_or_default()))
        })
    }
}

/// Whether this is the mode of a directory that its own owner cannot list or enter: what lies in it was not
/// looked at, and yet can be reached by whoever knows its name.
fn is_closed(mode: Option<u32>) -> bool {
    const LOOK: u32 = 0o500;
    is_directory(mode) && mode.is_some_and(|mode| mode & LOOK != LOOK)
}

fn is_directory(mode: Option<u32>) -> bool {
    const KIND: u32 = 0o170_000;
    const DIRECTORY: u32 = 0o040_000;
    mode.is_some_and(|mode| mode & KIND == DIRECTORY)
}

/// The repository whose settings or hooks a path is, where that is not the workspace's own.
fn repository_within(path: &str) -> Option<&str> {
    let end = match path.strip_prefix(".git/modules/") {
        Some(module) => path.len() - module.len() + module.find('/')?,
        None if path == ".git" || path.ends_with("/.git") => path.len(),
        None => path.find("/.git/")? + "/.git".len(),
    };
    let (repository, rest) = path.split_at_checked(end)?;
    let is_hook = rest.contains("/hooks/") && !rest.ends_with(".sample");
    let name = rest.rsplit('/').next().unwrap_or(rest);
    let is_setting = ["commondir", "config", "config.worktree"].contains(&name);
    // A file `.git` names a repository that lies elsewhere.
    (rest.is_empty() || is_hook || is_setting).then_some(repository)
}

#[cfg(test)]
mod tests {
    use agentguard_core::Change;

    use super::*;

    fn difference(changes: Vec<Change>) -> Difference {
        Difference {
            changes,
            complete: true,
            scripts: Vec::new(),
            pinned: Vec::new(),
        }
    }

    fn planted(changes: &[(&str, ChangeKind)]) -> Planted {
        let pins = [
            ".git/hooks",
            ".git/commondir",
            ".claude",
            "Jenkinsfile",
            "**/.envrc",
            "**/.vscode",
        ]
        .map(PathBuf::from);
        let mut planted = Planted::new(&pins, &["**/node_modules/*".to_owned()], true);
        let changes: Vec<_> = changes
            .iter()
            .map(|(path, change)| Change {
                path: (*path).to_owned(),
                change: *change,
                sha256: None,
                mode: None,
            })
            .collect();
        planted.note(&difference(changes));
        planted
    }

    #[test]
    fn what_makes_others_run_code_is_found() {
        for path in [
            ".git/commondir",
            ".git/hooks/pre-commit",
            ".claude",
            ".claude/settings.json",
            "Jenkinsfile",
            ".envrc",
            "a/b/.envrc",
            "a/.vscode/b/tasks.json",
            "sub/.git",
            "sub/.git/config",
            "a/b/.git/hooks/post-checkout",
            "sub/.git/commondir",
            ".git/modules/sub/config",
            ".git/modules/sub/hooks/post-merge",
        ] {
            let found = planted(&[(path, ChangeKind::Added)]).finding();
            assert!(found.is_some(), "{path}");
        }
        let repository = ["sub/.git", "sub/.git/config", "sub/.git/hooks/pre-push"];
        let found = planted(&repository.map(|path| (path, ChangeKind::Added))).finding();
        assert!(found.is_some_and(|rule| rule.reason.starts_with("`sub/.git` appeared")));
        assert!(
            planted(&[("sub/.git/config", ChangeKind::Changed)])
                .finding()
                .is_some()
        );
    }

    #[test]
    fn what_is_pinned_and_held_has_not_changed_whatever_its_time_stamp_says() {
        let told = |pins: &[&str], are_held| {
            let pins: Vec<PathBuf> = pins.iter().map(PathBuf::from).collect();
            let mut planted = Planted::new(&pins, &[], are_held);
            planted.note(&difference(vec![Change {
                path: ".git".to_owned(),
                change: ChangeKind::Changed,
                sha256: None,
                mode: Some(0o100_644),
            }]));
            planted.finding().is_some()
        };
        assert!(!told(&[".git"], true));
        assert!(told(&[".git"], false));
        assert!(told(&[], true));
    }

    #[test]
    fn a_directory_closed_to_its_owner_is_told_of() {
        let of_mode = |mode| {
            let mut planted = Planted::new(&[], &[], true);
            planted.note(&difference(vec![Change {
                path: "sub".to_owned(),
                change: ChangeKind::Added,
                sha256: None,
                mode: Some(mode),
            }]));
            planted.finding().is_some()
        };
        for (mode, is_told) in [
            (0o040_311, true),
            (0o040_000, true),
            (0o040_600, true),
            (0o040_700, false),
            (0o100_000, false),
        ] {
            assert_eq!(of_mode(mode), is_told, "{mode:o}");
        }
    }

    #[test]
    fn ordinary_work_is_not() {
        for path in [
            "src/main.rs",
            ".git/index",
            ".git/refs/heads/x",
            ".git/COMMIT_EDITMSG",
            ".gitignore",
            "sub/.gitignore",
            "sub/.github/config",
            "sub/.git/index",
            "sub/.git/hooks/pre-commit.sample",
            "app/config",
            ".claude.md",
            "a/node_modules/b/.vscode/tasks.json",
            "a/.envrc.example",
            "ci/Jenkinsfile",
        ] {
            assert_eq!(
                planted(&[(path, ChangeKind::Added)]).finding(),
                None,
                "{path}"
            );
        }
        // A pinned file that was there is held; that its time stamp is young proves nothing.
        assert_eq!(
            planted(&[("Jenkinsfile", ChangeKind::Changed)]).finding(),
            None
        );
    }

    #[test]
    fn scripts_that_run_unasked_are_told_until_they_are_as_they_were() {
        let mut planted = Planted::new(&[], &[], true);
        planted.note(&Difference {
            scripts: vec!["package.json".to_owned()],
            ..difference(Vec::new())
        });
        let reason = planted.finding().map(|rule| rule.reason);
        let expected = "what `package.json` has run by itself appeared or changed";
        assert!(reason.is_some_and(|reason| reason.starts_with(expected)));
        planted.note(&difference(Vec::new()));
        assert_eq!(planted.finding(), None);
    }

    #[test]
    fn what_is_gone_again_is_forgotten_and_long_lists_are_counted() {
        let gone = planted(&[
            (".claude", ChangeKind::Added),
            (".claude", ChangeKind::Removed),
        ]);
        assert_eq!(gone.finding(), None);
        let names: Vec<_> = (0..8).map(|n| format!(".claude/{n}")).collect();
        let many: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), ChangeKind::Added))
            .collect();
        let reason = planted(&many).finding().map(|rule| rule.reason);
        assert!(reason.is_some_and(|reason| reason.contains("`.claude/4` and 3 more appeared")));
    }
}
