//! The gate's own side: a process that has no policy, and asks about everything.

mod accept;
mod ask;
mod aws;
mod body;
mod callers;
mod confine;
mod connection;
mod dns;
mod encoded;
mod forward;
mod graphql;
mod held;
mod hello;
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
mod shown;
mod ssh;
mod strict;
mod through;
mod uninspected;
mod upgrade;
mod whole;

pub use process::{NAME, enter_if_asked};
