//! Confines an agent with namespaces, Landlock, seccomp and a mediator.
#![deny(unsafe_code)]

mod again;
mod cgroup;
mod difference;
mod doctor;
mod error;
mod filter;
mod forcing;
mod granted;
mod guard;
mod job;
mod landlock;
mod mediator;
mod plan;
mod relay;
mod repository;
mod root;
mod streams;
mod sys;
mod wire;
mod workers;

pub use cgroup::{GroupEvents, SessionGroup};
pub use difference::{
    Debounce, Difference, Snapshot, WalkLimits, difference, escape_path, unescape_path,
};
pub use doctor::{Answer, Finding, Subject, What, examine};
pub use error::{Error, Failure};
pub use filter::table;
pub use forcing::{GateListeners, unheard};
pub use guard::{Building, Ended, HeldSignals, Launched, MayRun, Prepared, Refused, Supervise};
pub use mediator::{content_key, content_of, enter_if_asked};
pub use plan::{FileKey, HOOKS, Hooks, InsideFile, KnownIdentity, Layer, Plan, User};
pub use repository::{CommitFound, NewCommits, Refs, Repository, moved_refs};
pub use root::{Elsewhere, Named, named_outside, replaceable};
pub use streams::Unwritten;
pub use wire::Reached;

#[cfg(test)]
#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;
