//! A signed append-only log that strangers can verify.
//!
//! What an agent did is kept as *entries*, JSON objects whose exact bytes are the leaves of a Merkle tree
//! (RFC 6962). Each session has a log of its own, [`SessionLog`], written by one process: an append goes
//! to a write-ahead file, as durably as the entry's class demands. Derived from it are C2SP *tiles*,
//! *bundles* of entries, and a *checkpoint*, signed by the installation's key. An *anchor log* remembers
//! the sessions' logs of a user. [`verify()`] reads everything again; a *receipt*, made by [`prove`],
//! proves one entry to whoever has the key, without the log.
//!
//! Texts that could be personal are not in entries but beside them, behind salted commitments, and can be
//! erased without breaking the log ([`erase()`]).
//!
//! ```no_run
//! use agentguard_audit::{Keys, Places, verify};
//!
//! # fn main() -> Result<(), agentguard_audit::Error> {
//! let places = Places { state: "/var/lib/ag".into(), config: "/etc/ag".into() };
//! let log = agentguard_audit::find(&places, "")?;
//! let report = verify(&log.directory, &Keys::pinned(&places)?)?;
//! assert!(report.is_verified());
//! # Ok(())
//! # }
//! ```
//!
//! It does not hold against whoever has the key and can write the files, until somebody else knows a
//! checkpoint: what is known beforehand ([`Keys::pinned`], [`Keys::know`]) must be contained in the log.
#![forbid(unsafe_code)]

mod anchor;
mod checkpoint;
mod derive;
mod erase;
mod error;
mod export;
mod installation;
mod keys;
mod logs;
pub mod merkle;
mod note;
mod proof;
mod read;
mod recover;
mod redact;
mod scribe;
mod session;
mod source;
mod sshsig;
mod store;
mod texts;
mod tile;
mod verify;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoint;
pub use erase::{Erased, Selection, erase};
pub use error::Error;
pub use export::export;
pub use installation::{Places, is_begun, name_of_logs};
pub use keys::Keys;
pub use logs::{LogInfo, LogState, find, is_running, logs};
pub use note::{VerifierKey, open as open_note};
pub use proof::{Receipt, prove, prove_all, verify_receipt, verify_receipts};
pub use read::{Entries, Recorded};
pub use scribe::Author;
pub use session::SessionLog;
pub use sshsig::{Unsigned, is_signing_key, verify_sshsig};
pub use verify::{Fault, Finding, Note, Remark, Report, verify, verify_with};

#[cfg(test)]
#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;

#[cfg(test)]
mod fuzz;
