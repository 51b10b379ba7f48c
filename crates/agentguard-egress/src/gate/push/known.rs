//! What commits and directories hold that were read of pushes before. By its name a thing is the same wherever it
//! stands and whoever told it, so that the server is not asked for it again.
//!
//! Whether the server has it, and in a branch, is not known by this.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gix_hash::Kind as Hash;

use super::pack::Objects;

/// How many names in all directories are kept.
const MOST_ENTRIES: usize = 100_000;
const MOST_COMMITS: usize = 10_000;

/// What was read.
#[derive(Default)]
pub(in crate::gate) struct Known(Mutex<Read>);

/// Commits and directories, and nothing else.
pub(super) struct Read {
    pub(super) objects: Objects,
    entries: usize,
}

impl Known {
    pub(super) fn lock(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Read {
    fn default() -> Self {
        Self {
            // They are found by their names, of whatever kind these are.
            objects: Objects::new(Hash::Sha1),
            entries: 0,
        }
    }
}

impl Read {
    /// Keeps what `read` holds. Where there is too much, what was kept before is forgotten.
    pub(super) fn learn(&mut self, read: Objects) {
        let entries = read.trees.values().map(Vec::len).sum::<usize>();
        let is_large = |held: &Self| {
            held.entries + entries > MOST_ENTRIES
                || held.objects.commits.len() + read.commits.len() > MOST_COMMITS
        };
        if is_large(self) {
            *self = Self::default();
        }
        if is_large(self) {
            return;
        }
        self.objects.commits.extend(read.commits);
        for (id, tree) in read.trees {
            let length = tree.len();
            if self.objects.trees.insert(id, tree).is_none() {
                self.entries += length;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gix_hash::ObjectId;

    use super::*;
    use crate::gate::push::pack::{Commit, Entry};
    use crate::gate::push::signer::Signature;

    /// Directories of so many names each, called by their numbers.
    fn directories(numbers: std::ops::Range<u8>, names: usize) -> Objects {
        let mut objects = Objects::new(Hash::Sha1);
        for number in numbers {
            let id = ObjectId::from_hex(format!("{number:040x}").as_bytes()).unwrap();
            let entry = Entry {
                name: b"a".to_vec(),
                mode: 0o100_644,
                id,
            };
            objects.trees.insert(id, vec![entry; names]);
        }
        objects
    }

    #[test]
    fn what_is_kept_does_not_grow_past_its_bound() {
        let mut read = Read::default();
        for _ in 0..3 {
            read.learn(directories(0..10, MOST_ENTRIES / 20));
            assert_eq!(
                (read.objects.trees.len(), read.entries),
                (10, MOST_ENTRIES / 2)
            );
        }
        read.learn(directories(10..20, MOST_ENTRIES / 20));
        assert_eq!(read.objects.trees.len(), 20);
        read.learn(directories(20..21, 1));
        assert_eq!((read.objects.trees.len(), read.entries), (1, 1));
        read.learn(directories(0..1, MOST_ENTRIES + 1));
        assert_eq!(read.objects.trees.len(), 0);
    }

    #[test]
    fn commits_are_kept_up_to_their_bound() {
        let commits = |numbers: std::ops::Range<usize>| {
            let mut objects = Objects::new(Hash::Sha1);
            for number in numbers {
                let id = ObjectId::from_hex(format!("{number:040x}").as_bytes()).unwrap();
                let commit = Commit {
                    tree: id,
                    parents: Vec::new(),
                    author: String::new(),
                    committer: String::new(),
                    signature: Signature {
                        is_there: false,
                        signer: None,
                    },
                    sessions: Vec::new(),
                };
                objects.commits.insert(id, commit);
            }
            objects
        };
        let mut read = Read::default();
        read.learn(commits(0..MOST_COMMITS));
        assert_eq!(read.objects.commits.len(), MOST_COMMITS);
        read.learn(commits(MOST_COMMITS..MOST_COMMITS + 1));
        assert_eq!(read.objects.commits.len(), 1);
        read.learn(commits(0..MOST_COMMITS + 1));
        assert_eq!(read.objects.commits.len(), 0);
    }
}
