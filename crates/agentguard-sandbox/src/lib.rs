//! Confines an agent with namespaces, Landlock, seccomp and a mediator.
#![deny(unsafe_code)]

mod difference;
mod repository;

pub use difference::{
    Debounce, Difference, Snapshot, WalkLimits, difference, escape_path, unescape_path,
};
pub use repository::{NewCommits, Refs, Repository, moved_refs};
