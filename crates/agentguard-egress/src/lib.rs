//! The gate to the network.
//!
//! A session that policy grants hosts has a network of its own, in which every connection and every lookup
//! ends at a listener of ours. Behind them stands the *gate*: this program again, outside the session, which
//! answers names, ends TLS under an authority that only this session trusts, and turns each request into an
//! [`Api`](agentguard_core::Api) action in one canonical form. It holds no policy, no log, no key but the
//! authority's, and the credentials that the session was lent: inside there are placeholders, which it exchanges
//! for secrets where they are bound, and back in what is answered. For each action it asks the guard, over lines that end with the guard, and only what the
//! guard permits is sent on, in the bytes that were judged.
//!
//! In the guard, [`Gate`] waits until a listener is first used, starts the process, and answers what it asks
//! through [`Govern`]. In the program's `main`, [`enter_if_asked`] becomes the gate.
//!
//! What it does not do: ask a human itself, or pass what is neither HTTP nor a lookup.
#![forbid(unsafe_code)]

mod authority;
mod error;
mod gate;
mod guard;
mod held;
mod java;
mod near;
mod process;
mod settings;
mod ssh;
mod wire;

#[cfg(test)]
#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;

pub use authority::Authority;
pub use error::Error;
pub use gate::{NAME, enter_if_asked};
pub use guard::{Gate, Govern, Listeners, Refused, Requested, Served, Ticket};
pub use settings::{Patience, Settings};
