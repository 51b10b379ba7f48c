//! The gate's own side: a process that has no policy, and asks about everything.

mod accept;
mod ask;
mod body;
mod confine;
mod connection;
mod dns;
mod forward;
mod held;
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
mod whole;

pub use process::{NAME, enter_if_asked};
