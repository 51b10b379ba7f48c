//! The command `agentguard`.
#![forbid(unsafe_code)]
fn main() {}
