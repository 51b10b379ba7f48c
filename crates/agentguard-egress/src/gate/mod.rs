//! The gate's own side: a process that has no policy, and asks about everything.

mod accept;
mod ask;
mod aws;
mod body;
mod confine;
mod connection;
mod dns;
mod forward;
mod json;
mod leaf;
mod lent;
mod misplaced;
mod names;
mod needles;
mod path;
mod process;
mod push;
mod redact;
mod refusal;
mod request;
mod resolve;
mod scan;
mod serve;
mod strict;
mod through;

pub use process::{NAME, enter_if_asked};
