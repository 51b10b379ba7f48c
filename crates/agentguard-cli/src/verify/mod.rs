//! `verify`: one log, one receipt, or everything of this user.

mod all;
mod answer;
mod one;

pub(crate) use answer::{first, verified};
pub(crate) use one::run;
