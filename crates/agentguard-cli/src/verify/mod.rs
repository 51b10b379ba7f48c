//! `verify`: one log, one receipt, commits by receipts, or everything of this user.

mod all;
mod answer;
mod commits;
mod one;

pub(crate) use answer::{first, verified};
pub(crate) use one::run;
