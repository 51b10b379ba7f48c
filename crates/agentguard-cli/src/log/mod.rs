//! `log`: reading what was recorded.

mod cut;
mod erase;
mod filter;
#[cfg(test)]
pub(crate) mod fixtures;
mod give;
mod line;
mod query;
mod recorded;
mod show;
mod story;
mod which;

pub(crate) use cut::Cut;
pub(crate) use erase::erase;
pub(crate) use give::{export, key, prove};
pub(crate) use line::{changes, ruled};
pub(crate) use query::query;
pub(crate) use recorded::Readable;
pub(crate) use show::{show, tail};
pub(crate) use story::{authority, workspace};
use which::log_of;
pub(crate) use which::{ANCHOR, Log, Place, find, find_session, read_one};
