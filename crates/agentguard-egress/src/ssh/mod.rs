//! SSH, on the guard's side: the gate starts no program and has no key, so that it says what is to be asked of a server,
//! and the guard has OpenSSH's client ask it, where that is what a verdict allowed.
//!
//! OpenSSH's own client is what the field trusts with this protocol; a library of it would bring some sixty crates.

mod client;
mod errand;
mod running;

pub(crate) use client::quotable;
pub(crate) use errand::{Allowed, Begun, Errand, Service};
pub(crate) use running::Runner;
