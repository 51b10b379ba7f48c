//! `log`: reading what was recorded.

mod filter;
#[cfg(test)]
pub(crate) mod fixtures;
mod line;
mod recorded;

pub(crate) use line::{changes, person};
pub(crate) use recorded::Recorded;
