//! Trust your coding agents.
#![forbid(unsafe_code)]
