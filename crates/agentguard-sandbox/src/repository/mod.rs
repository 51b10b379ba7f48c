//! Reads the refs and commits of a workspace's repository, without running git.
//!
//! The repository belongs to the agent: any file in it may be a link, a FIFO, cut short, huge or a lie.
//! So every file is opened beneath a descriptor by the rules of the workspace's difference, every size,
//! count and depth is bounded, and what could not be read is counted, not skipped. Alternates are not
//! followed, nor are submodules entered.
//!
//! An id is what a file's name or an index says; content is not hashed again to see whether it fits. An
//! agent can thereby hide a commit or invent one in the record of what it made, as it can by committing
//! in a directory elsewhere; what leaves through a push is read from the wire.

mod find;
mod id;
mod inventory;
mod object;
mod pack;
mod refs;
#[cfg(test)]
mod tests;
mod walk;

use std::os::fd::{AsFd as _, OwnedFd};

pub use refs::{Refs, moved_refs};
pub use walk::{CommitFound, NewCommits};

use id::Id;
use inventory::Inventory;

/// The repository of a workspace, with what it held when it was found.
pub struct Repository {
    /// The directory of this work tree: `HEAD`, `FETCH_HEAD`, refs of its own.
    own: OwnedFd,
    /// The directory all work trees share: objects, refs. The same one, but for a linked work tree.
    common: OwnedFd,
    is_linked: bool,
    inventory: Inventory,
}

impl Repository {
    /// The message of a commit, at least its first 60 kB, where it was not packed yet. Its id is what a file is called.
    #[must_use]
    pub fn message(&self, id: &str) -> Option<Vec<u8>> {
        object::message(self.common.as_fd(), &Id::parse(id.as_bytes())?)
    }
}
