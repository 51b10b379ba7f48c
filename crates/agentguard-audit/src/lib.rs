//! A signed append-only log that strangers can verify.
#![forbid(unsafe_code)]
