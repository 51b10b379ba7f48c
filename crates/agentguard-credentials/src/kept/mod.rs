//! Credentials that agents put to use and never read: kept, read from where they are, and stood for.

mod bech32;
mod command;
mod git;
mod keeping;
mod keyring;
mod known;
mod placeholder;
mod sealed;
mod shelf;
mod source;
mod ssh;
mod terms;
#[cfg(test)]
mod tests;
mod token;

pub use git::git_settings;
pub use keeping::Keeping;
pub use known::Known;
pub use placeholder::placeholder;
pub use shelf::{Ended, Shelf};
pub use source::Source;
pub use ssh::{host_keys, ssh_settings};
pub use terms::{Kept, Terms, check_variable};
pub use token::{check, digest, trimmed};
