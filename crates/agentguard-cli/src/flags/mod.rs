//! Commands and flags: each defined once. Parser, help, manual and completions are read from there.

mod commands;
mod completions;
mod definition;
mod help;
mod list;
mod man;
mod parse;
#[cfg(test)]
mod tests;

pub(crate) use commands::{COMMANDS, GROUPS};
pub(crate) use completions::completions;
pub(crate) use definition::{Command, Flag, Group, Operands, Value};
pub(crate) use help::{command_help, group_help, overview};
pub(crate) use list::*;
pub(crate) use man::man;
pub(crate) use parse::{Arguments, Asked, parse};
