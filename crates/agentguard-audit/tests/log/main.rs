//! Logs as guards write them and as verifiers read them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop"
)]

mod crash;
mod damage;
mod erase;
mod home;
mod session;
