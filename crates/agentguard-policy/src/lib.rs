//! Judges actions by a deny-list and by Rego.
//!
//! [`Policies`] are loaded once from the tiers that are there: the organisation's, the user's, the
//! repository's, and those that ship with agentguard. They make the static [`Confinement`] of a
//! session ([`Policies::confine`]) and judge its actions ([`Policies::judge`]).
//!
//! An action is first held against the deny-list, plain data that no Rego overrides, on the *parsed*
//! command: one spelling for what can be spelt in many ways. Then every tier's Rego is asked, each in
//! an engine of its own, about `input` and nothing else. The strictest verdict stands, and what cannot
//! be decided is an error, which the gate denies.
//!
//! It reads policy files and does nothing else to the world; it does not enforce, and it does not know
//! what a script will do before the kernel says what it does.
//!
//! [`Confinement`]: agentguard_core::Confinement
#![forbid(unsafe_code)]

mod apart;
mod ast;
mod bounds;
mod check;
mod command;
mod confine;
mod deny;
mod engine;
mod entry;
mod error;
mod example;
mod grants;
mod hosts;
mod input;
mod join;
mod judge;
mod memo;
mod module;
mod policies;
mod profile;
mod propose;
mod query;
mod recursion;
mod rules;
mod shipped;
mod sources;
mod suite;
#[cfg(test)]
mod tests;
mod tier;
mod unconfined;
mod whole;

pub use apart::evaluate_if_asked;
pub use check::{Checked, check};
pub use confine::{Confined, DeniedProgram, Request};
pub use error::{Error, Mistake};
pub use input::SCHEMA;
pub use judge::{Question, SessionJudge};
pub use policies::Policies;
pub use profile::Profile;
pub use propose::{Observed, Proposed};
pub use query::{Answer, Asked};
pub use sources::Sources;
pub use suite::{Outcome, Ran, Suite, Test};

#[cfg(test)]
#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;
