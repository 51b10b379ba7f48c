//! Which commits appeared when refs moved.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use agentguard_core::{MessageDigest, Origin};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Repository;
use super::id::Id;
use super::object::{Object, Unread, find};
use super::pack::Index;
use super::refs::Refs;
use crate::difference::beneath::{open_file, read_file, read_up_to};

/// `FETCH_HEAD` has a line for each ref that was fetched.
const FETCH_LIMIT: usize = 4 << 20;
/// Objects that are looked at beside the commits reported: tags, and what cannot be read.
const MAX_OTHERS: usize = 10_000;

/// Commits that first appeared in a workspace.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct NewCommits {
    /// Which, and how they came.
    pub commits: Vec<CommitFound>,
    /// Objects that could not be read, so that what they lead to is not known: damaged, or beyond the
    /// edge of a shallow clone, or in an alternate.
    pub unreadable: u64,
    /// Whether these are all there are, as far as they could be read.
    pub complete: bool,
}

/// A commit that appeared.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CommitFound {
    /// Its id.
    pub id: String,
    /// How it came.
    pub origin: Origin,
    /// What is signed of it, where it bears a signature and lies by itself, not in a pack.
    pub signed: Option<MessageDigest>,
}

impl Repository {
    /// Finds the commits that the refs lead to now, which were not in the repository when it was found
    /// and were not answered before. At most `limit`.
    ///
    /// A commit counts as received where a remote's ref or `FETCH_HEAD` leads to it, or where it lies
    /// in a pack that appeared, and as made otherwise. A remote's ref that moved by a push says nothing
    /// of that kind. All of this is the repository's own word, which the agent could have changed.
    #[must_use]
    pub fn new_commits(&mut self, old: &Refs, new: &Refs, limit: usize) -> NewCommits {
        let common = self.common.as_fd();
        let (packs, is_whole) = Index::all(common);
        let mut complete = is_whole && old.complete && new.complete && !self.inventory.is_cut;
        let known: BTreeSet<Id> = old.tips().map(|(_, id)| id).collect();
        let (mut received, mut other) = (Vec::new(), Vec::new());
        for (name, id) in new.tips().filter(|(_, id)| !known.contains(id)) {
            let is_received = name.starts_with("refs/remotes/") && !self.was_pushed(name, &id);
            if is_received {
                received.push(id)
            } else {
                other.push(id)
            }
        }
        match self.fetched() {
            Ok(fetched) => received.extend(fetched),
            Err(_) => complete = false,
        }
        let mut walk = Walk {
            repository: self,
            packs: &packs,
            known,
            limit,
            others: 0,
            found: Vec::new(),
            unreadable: 0,
            complete,
        };
        walk.from(received, Origin::Received);
        walk.from(other, Origin::Made);
        let Walk {
            found,
            unreadable,
            complete,
            ..
        } = walk;
        found.iter().for_each(|(id, _)| self.inventory.report(*id));
        NewCommits {
            commits: found.into_iter().map(|(_, commit)| commit).collect(),
            unreadable,
            complete,
        }
    }

    /// What the last fetch brought.
    fn fetched(&self) -> Result<Vec<Id>, Errno> {
        let bytes = match read_file(&self.own, b"FETCH_HEAD", FETCH_LIMIT) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            bytes => bytes?,
        };
        let lines = bytes.split(|byte| *byte == b'\n');
        let ids = lines.filter_map(|line| line.split(u8::is_ascii_whitespace).next());
        Ok(ids.filter_map(Id::parse).collect())
    }

    /// Whether the last line of a ref's log says that it moved to `id` by a push.
    fn was_pushed(&self, name: &str, id: &Id) -> bool {
        const TAIL: u64 = 4096;
        let path = format!("logs/{name}");
        let Ok((fd, stat)) = open_file(&self.common, path.as_bytes()) else {
            return false;
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let start = rustix::fs::SeekFrom::Start(size.saturating_sub(TAIL));
        let Ok(bytes) = rustix::fs::seek(&fd, start).and_then(|_| read_up_to(&fd, 2 << 12)) else {
            return false;
        };
        let last = bytes
            .trim_ascii_end()
            .rsplit(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let new = last.split(|byte| *byte == b' ').nth(1).and_then(Id::parse);
        new.as_ref() == Some(id) && last.ends_with(b"\tupdate by push")
    }
}

struct Walk<'r> {
    repository: &'r Repository,
    packs: &'r [Index],
    /// What is not to be walked again: tips from before, and all that was visited.
    known: BTreeSet<Id>,
    limit: usize,
    others: usize,
    found: Vec<(Id, CommitFound)>,
    unreadable: u64,
    complete: bool,
}

impl Walk<'_> {
    /// Follows parents until what is known.
    fn from(&mut self, tips: Vec<Id>, origin: Origin) {
        let mut waiting = tips;
        waiting.reverse();
        while let Some(id) = waiting.pop() {
            if self.known.contains(&id) || self.repository.inventory.holds(&id) {
                continue;
            }
            if self.found.len() >= self.limit || self.others >= MAX_OTHERS {
                self.complete = false;
                return;
            }
            self.known.insert(id);
            let found = find(self.repository.common.as_fd(), self.packs, &id);
            let came_packed = found
                .pack
                .is_some_and(|pack| !self.repository.inventory.has_pack(pack.name()));
            match found.object {
                Ok(Object::Commit(parents)) => {
                    let origin = if came_packed {
                        Origin::Received
                    } else {
                        origin
                    };
                    let commit = CommitFound {
                        id: id.to_string(),
                        origin,
                        signed: found.signed,
                    };
                    self.found.push((id, commit));
                    waiting.extend(parents.into_iter().rev());
                }
                Ok(Object::Tag(target)) => {
                    self.others += 1;
                    waiting.push(target);
                }
                Ok(Object::Other) => self.others += 1,
                Err(Unread::Absent | Unread::Broken) => {
                    self.others += 1;
                    self.unreadable += 1;
                }
            }
        }
    }
}
