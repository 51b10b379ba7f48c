//! Follows a session's entries up to the one that is asked about.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use agentguard::audit::Recorded;
use agentguard::core::{Brought, Event, Origin, Push};

use crate::log::{Readable as _, changes, workspace};

/// How many actions before an effect are kept: the last ones.
pub(crate) const KEPT: usize = 32;

/// How many signatures are kept until their commits are seen: as many as the guard remembers.
const KEPT_SIGNATURES: usize = 10_000;

/// What is asked about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// A commit, by its id or the beginning of it.
    Commit(String),
    /// An entry of one session, by its place.
    Entry(u64),
    /// A file.
    Path {
        /// As it was typed: maybe relative to a workspace.
        typed: PathBuf,
        /// Where that lies, seen from here.
        absolute: PathBuf,
    },
}

/// What was found, and what led there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trace {
    /// The session's first entry.
    pub(crate) start: Option<Recorded>,
    /// The entry that was asked about, or that tells of what was.
    pub(crate) effect: Recorded,
    /// What it is about: the commit's whole id, the file's path.
    pub(crate) subject: String,
    /// For a commit, how it came.
    pub(crate) origin: Option<Origin>,
    /// The place of the first entry that may have led to it.
    pub(crate) since: u64,
    /// The actions among those entries: the last [`KEPT`].
    pub(crate) before: Vec<Recorded>,
    /// How many actions there were.
    pub(crate) actions: usize,
    /// What came of it, where it is a decision.
    pub(crate) outcome: Option<Recorded>,
    /// For a commit, the entry by which it was signed.
    pub(crate) signature: Option<Recorded>,
}

/// Sees a session's entries one after the other.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    wanted: &'a Wanted,
    start: Option<Recorded>,
    since: u64,
    before: VecDeque<Recorded>,
    actions: usize,
    found: Vec<Trace>,
    /// Signatures that no commit was seen of yet: the last ones.
    signatures: VecDeque<Recorded>,
    /// The ref that pointed at the wanted commit when the session began.
    present: Option<String>,
}

impl<'a> Follower<'a> {
    /// Looks for `wanted`.
    pub(crate) fn new(wanted: &'a Wanted) -> Self {
        Self {
            wanted,
            start: None,
            since: 0,
            before: VecDeque::new(),
            actions: 0,
            found: Vec::new(),
            signatures: VecDeque::new(),
            present: None,
        }
    }

    /// Sees the next entry.
    pub(crate) fn see(&mut self, recorded: Recorded) {
        if let Event::Outcome { of, .. } = recorded.entry.event {
            self.settle(of, &recorded);
        }
        for (subject, origin) in self.subjects(&recorded) {
            let signature = self.signature(&recorded, &subject);
            let mut trace = Trace {
                start: self.start.clone(),
                effect: recorded.clone(),
                subject,
                origin,
                since: self.since,
                before: Vec::new(),
                actions: 0,
                outcome: None,
                signature,
            };
            // A push is an action itself: what led to its commits is told where they came into being.
            if is_push(self.wanted, &recorded) {
                trace.since = recorded.index;
            } else {
                trace.before = self.before.iter().cloned().collect();
                trace.actions = self.actions;
            }
            self.found.push(trace);
        }
        self.remember(recorded);
    }

    /// What was found, and the ref that showed a wanted commit before anything was recorded.
    pub(crate) fn end(self) -> (Vec<Trace>, Option<String>) {
        (self.found, self.present)
    }

    fn settle(&mut self, of: u64, outcome: &Recorded) {
        let settled = self
            .found
            .iter_mut()
            .filter(|trace| trace.effect.index == of);
        for trace in settled {
            trace.outcome.get_or_insert_with(|| outcome.clone());
        }
    }

    /// What of the wanted an entry tells of.
    fn subjects(&self, recorded: &Recorded) -> Vec<(String, Option<Origin>)> {
        match (self.wanted, &recorded.entry.event) {
            (Wanted::Entry(index), _) if *index == recorded.index => {
                vec![(index.to_string(), None)]
            }
            (Wanted::Commit(prefix), Event::Refs { commits, .. }) => commits
                .iter()
                .filter(|commit| commit.id.starts_with(prefix))
                .map(|commit| (commit.id.clone(), Some(commit.origin)))
                .collect(),
            (Wanted::Commit(prefix), Event::Decision { brings, .. }) => {
                brought(recorded, brings.as_ref())
                    .into_iter()
                    .filter(|id| id.starts_with(prefix))
                    .map(|id| (id, None))
                    .collect()
            }
            (Wanted::Path { typed, absolute }, Event::Difference { .. }) => {
                changes(recorded.value().as_ref())
                    .into_iter()
                    .filter(|change| self.is_at(&change.path, typed, absolute))
                    .map(|change| (change.path, None))
                    .collect()
            }
            (Wanted::Entry(_) | Wanted::Commit(_) | Wanted::Path { .. }, _) => Vec::new(),
        }
    }

    /// The entry by which a commit that appears was signed.
    fn signature(&self, seen: &Recorded, commit: &str) -> Option<Recorded> {
        let Event::Refs { commits, .. } = &seen.entry.event else {
            return None;
        };
        let index = commits.iter().find(|one| one.id == commit)?.signature?;
        let mut signatures = self.signatures.iter();
        signatures.find(|one| one.index == index).cloned()
    }

    fn is_at(&self, changed: &str, typed: &Path, absolute: &Path) -> bool {
        let root = || workspace(self.start.as_ref()?);
        Path::new(changed) == typed || root().is_some_and(|root| root.join(changed) == absolute)
    }

    fn remember(&mut self, recorded: Recorded) {
        match (self.wanted, &recorded.entry.event) {
            (wanted, Event::Start { refs, .. }) => {
                if let Wanted::Commit(prefix) = wanted {
                    self.present = present(refs, prefix);
                }
                self.begin_after(recorded.index);
                self.start = Some(recorded);
            }
            (_, Event::Decision { .. }) => self.keep(recorded),
            (Wanted::Commit(_), Event::Signature { .. }) => {
                self.signatures.push_back(recorded);
                if self.signatures.len() > KEPT_SIGNATURES {
                    self.signatures.pop_front();
                }
            }
            // What came before the last look at refs, or at files, led to what that look saw.
            (Wanted::Commit(_), Event::Refs { .. })
            | (Wanted::Path { .. }, Event::Difference { .. }) => {
                self.begin_after(recorded.index);
            }
            _ => {}
        }
    }

    fn begin_after(&mut self, index: u64) {
        self.since = index.saturating_add(1);
        self.before.clear();
        self.actions = 0;
    }

    fn keep(&mut self, action: Recorded) {
        self.actions += 1;
        self.before.push_back(action);
        if self.before.len() > KEPT {
            self.before.pop_front();
        }
    }
}

/// Whether an entry tells of a wanted commit because it is a push that brings it.
pub(crate) fn is_push(wanted: &Wanted, effect: &Recorded) -> bool {
    matches!(wanted, Wanted::Commit(_)) && matches!(effect.entry.event, Event::Decision { .. })
}

/// The commits that an entry's action brings to a server: those that it names, or where it names only some, those of
/// its text.
fn brought(recorded: &Recorded, brings: Option<&Brought>) -> Vec<String> {
    let Some(brings) = brings else {
        return Vec::new();
    };
    let push = || -> Option<Push> {
        let text = recorded.value()?;
        serde_json::from_value(text.get("action")?.clone()).ok()
    };
    match Some(brings)
        .filter(|brings| brings.more > 0)
        .and_then(|_| push())
    {
        Some(push) => push.commits.into_iter().map(|commit| commit.id).collect(),
        None => brings.commits.clone(),
    }
}

fn present(refs: &[String], prefix: &str) -> Option<String> {
    refs.iter().find_map(|line| {
        let (name, id) = line.rsplit_once(' ')?;
        id.starts_with(prefix).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixtures::{
        changed, done, ended, exec, pushed, received, refused, seen, session, signed, started, then,
    };

    fn follow(wanted: &Wanted, events: Vec<Recorded>) -> (Vec<Trace>, Option<String>) {
        let mut follower = Follower::new(wanted);
        for event in events {
            follower.see(event);
        }
        follower.end()
    }

    fn commit(prefix: &str) -> Wanted {
        Wanted::Commit(prefix.to_owned())
    }

    fn indices(recorded: &[Recorded]) -> Vec<u64> {
        recorded.iter().map(|recorded| recorded.index).collect()
    }

    #[test]
    fn a_commit_that_never_came_is_not_found() {
        let session = then(vec![
            session("main 1111"),
            exec("make"),
            seen("aaaa1"),
            ended(),
        ]);
        let (found, present) = follow(&commit("bbbb"), session);
        assert!(found.is_empty() && present.is_none());
    }

    #[test]
    fn a_commit_that_was_there_before_is_told_from_one_that_came() {
        let session = then(vec![
            session("refs/heads/main bbbb1"),
            exec("make"),
            ended(),
        ]);
        let (found, present) = follow(&commit("bbbb"), session);
        assert!(found.is_empty());
        assert_eq!(present.as_deref(), Some("refs/heads/main"));
    }

    #[test]
    fn a_commit_comes_after_the_actions_since_refs_were_last_looked_at() {
        let session = then(vec![
            session(""),
            exec("git commit -m one"),
            started(1),
            seen("aaaa1"),
            exec("make"),
            refused("git push"),
            seen("bbbb1"),
            exec("true"),
        ]);
        let (found, _) = follow(&commit("bbbb"), session);
        let [trace] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (trace.subject.as_str(), trace.origin),
            ("bbbb1", Some(Origin::Made))
        );
        assert_eq!((trace.since, trace.effect.index), (4, 6));
        assert_eq!(indices(&trace.before), [4, 5]);
        assert_eq!(trace.start.as_ref().map(|start| start.index), Some(0));
    }

    #[test]
    fn a_commit_is_told_with_the_entry_by_which_it_was_signed() {
        let mut session = then(vec![
            session(""),
            signed(),
            exec("make"),
            signed(),
            seen("aaaa1"),
        ]);
        let Event::Refs { commits, .. } = &mut session[4].entry.event else {
            panic!("{session:?}");
        };
        commits[0].signature = Some(1);
        let (found, _) = follow(&commit("aaaa"), session);
        let signature = found[0].signature.as_ref();
        assert_eq!(signature.map(|signature| signature.index), Some(1));
        let (found, _) = follow(&commit("aaaa"), then(vec![signed(), seen("aaaa1")]));
        assert!(found[0].signature.is_none());
    }

    #[test]
    fn a_commit_that_was_received_is_not_told_as_made() {
        let (found, _) = follow(&commit("cccc1"), then(vec![session(""), received("cccc1")]));
        assert_eq!(found[0].origin, Some(Origin::Received));
    }

    #[test]
    fn a_commit_is_found_in_each_push_that_brings_it_with_what_came_of_it() {
        let session = then(vec![
            session(""),
            exec("git push"),
            pushed(&["aaaa1", "bbbb1"], false),
            pushed(&["bbbb1"], true),
            done(3),
        ]);
        let (found, _) = follow(&commit("aaaa"), session.clone());
        assert_eq!(indices(&[found[0].effect.clone()]), [2]);
        assert!(found.len() == 1 && found[0].before.is_empty() && found[0].outcome.is_none());
        let (found, _) = follow(&commit("bbbb1"), session);
        let effects: Vec<_> = found.iter().map(|trace| trace.effect.index).collect();
        assert_eq!(effects, [2, 3]);
        assert_eq!(
            found[1].outcome.as_ref().map(|outcome| outcome.index),
            Some(4)
        );
    }

    #[test]
    fn what_an_entry_does_not_name_any_more_is_found_in_its_text() {
        let (mut event, text) = pushed(&["aaaa1", "bbbb1"], true);
        if let Event::Decision {
            brings: Some(brings),
            ..
        } = &mut event
        {
            brings.commits.truncate(1);
            brings.more = 1;
        }
        let found = |text| {
            follow(
                &commit("bbbb"),
                then(vec![session(""), (event.clone(), text)]),
            )
            .0
            .len()
        };
        assert_eq!((found(text), found(None)), (1, 0));
    }

    #[test]
    fn an_entry_is_traced_with_what_came_of_it() {
        let session = then(vec![
            session(""),
            exec("make"),
            exec("true"),
            started(2),
            started(1),
        ]);
        let (found, _) = follow(&Wanted::Entry(2), session);
        assert_eq!(indices(&found[0].before), [1]);
        assert_eq!(
            found[0].outcome.as_ref().map(|outcome| outcome.index),
            Some(3)
        );
    }

    #[test]
    fn a_path_is_found_by_its_name_in_the_workspace_or_on_the_host() {
        let entries = || {
            then(vec![
                session(""),
                exec("make"),
                changed("src/a.rs"),
                changed("b"),
            ])
        };
        for (path, places) in [
            ("src/a.rs", vec![2]),
            ("/home/ada/work/src/a.rs", vec![2]),
            ("b", vec![3]),
            ("a.rs", vec![2]),
            ("c.rs", vec![]),
            ("/src/a.rs", vec![]),
        ] {
            let wanted = Wanted::Path {
                typed: path.into(),
                absolute: Path::new("/home/ada/work/src").join(path),
            };
            let (found, _) = follow(&wanted, entries());
            let effects: Vec<_> = found.iter().map(|trace| trace.effect.index).collect();
            assert_eq!(effects, places, "{path}");
        }
    }

    #[test]
    fn of_very_many_actions_the_last_are_kept_and_all_are_counted() {
        let mut events = vec![session("")];
        events.extend((0..KEPT + 5).map(|_| exec("true")));
        events.push(seen("aaaa1"));
        let (found, _) = follow(&commit("aaaa"), then(events));
        assert_eq!((found[0].before.len(), found[0].actions), (KEPT, KEPT + 5));
        assert_eq!(found[0].before[0].index, 6);
    }
}
