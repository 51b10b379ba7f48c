//! Who acts, and on whose authority: agents' keys, their credentials, and the human who triggered a session.
//!
//! An *agent* is a name with an Ed25519 key of its own, kept below the guard's state directory where no
//! agent can reach it. [`AgentKey`] makes it on first use and signs with it; [`verify`] checks with the
//! public half alone. The *human* is read from what the platform says, by [`detect`], together with how
//! well that is known and what started the session.
//!
//! ```
//! use agentguard_core::Evidence;
//! use agentguard_credentials::{Terminal, detect};
//!
//! let environment = |_: &str| None;
//! let terminal = Terminal {
//!     tty: Some("/dev/pts/3".to_owned()),
//!     uid: 1000,
//!     login: Some("ada".to_owned()),
//!     host: "desk".to_owned(),
//! };
//! let (human, trigger) = detect(&environment, &terminal, None)?;
//! assert_eq!(human.id, "local:1000@desk");
//! assert_eq!(human.evidence, Evidence::Asserted);
//! assert!(trigger.requested);
//! # Ok::<(), agentguard_credentials::Error>(())
//! ```
//!
//! *Credentials* are what agents put to use and never read. A [`Shelf`] keeps them, or keeps
//! where they are read from; a [`placeholder`] stands for one inside.
//!
//! It puts no token into a request, and it verifies none of a platform: what it learns from the environment is
//! `asserted` and nothing more.
#![forbid(unsafe_code)]

mod agent;
mod error;
mod kept;
mod signing;
mod store;
mod trigger;
mod vkey;

pub use agent::{AgentKey, Identity, list, revoke, rotate, session_statement, show};
pub use error::Error;
pub use kept::{
    Ended, Keeping, Kept, Known, Shelf, Source, Terms, check, check_variable, digest, git_settings,
    host_keys, placeholder, ssh_settings, trimmed,
};
pub use signing::Signing;
pub use trigger::{Terminal, detect};
pub use vkey::verify;

#[cfg(test)]
#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;
