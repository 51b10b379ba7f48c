//! Logs as guards write them and as verifiers read them.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

mod crash;
mod damage;
mod home;
mod session;
