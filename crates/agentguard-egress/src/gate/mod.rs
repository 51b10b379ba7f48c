//! The gate's own side: a process that has no policy, and asks about everything.

mod accept;
mod ask;
mod body;
mod callers;
mod confine;
mod connection;
mod dns;
mod forward;
mod json;
mod leaf;
mod names;
mod path;
mod process;
mod refusal;
mod request;
mod resolve;
mod serve;
mod strict;

pub use process::{NAME, enter_if_asked};
