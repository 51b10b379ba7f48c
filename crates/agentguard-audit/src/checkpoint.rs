//! Checkpoints: how large a log is and what its root is, signed.
//!
//! # References
//!
//! - <https://c2sp.org/tlog-checkpoint>

use agentguard_core::Digest;
use base64ct::{Base64, Encoding as _};
use ed25519_dalek::SigningKey;
use serde::Serialize;

use crate::{Error, VerifierKey, note};

/// The state of a log that its key signed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The signed note itself.
    pub note: String,
}

impl Checkpoint {
    /// Signs a log's state.
    pub(crate) fn sign(
        origin: &str,
        size: u64,
        root: Digest,
        key: &SigningKey,
    ) -> Result<Self, Error> {
        let text = format!("{origin}\n{size}\n{}\n", Base64::encode_string(&root.0));
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            note: note::sign(&text, origin, key)?,
        })
    }

    /// Reads a checkpoint that the log's key signed, be it among others.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] where it is none, [`Error::NotProven`] where none of `keys` is the
    /// log's own, or its signature is wrong.
    pub fn open(signed: &str, keys: &[VerifierKey]) -> Result<Self, Error> {
        let (text, signers) = note::open(signed, keys)?;
        let checkpoint = Self::parse(text, signed)?;
        // A witness says that it saw the log, not that the log said this.
        let own = |key: &VerifierKey| key.name() == checkpoint.origin && key.is_log();
        if !signers.iter().any(own) {
            let problem = "the log's own key did not sign it";
            return Err(Error::NotProven { problem });
        }
        Ok(checkpoint)
    }

    /// Reads a checkpoint without asking who signed it.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] where it is none.
    pub fn danger_unverified(signed: &str) -> Result<Self, Error> {
        let (text, _) = note::split(signed)?;
        Self::parse(text, signed)
    }

    fn parse(text: &str, signed: &str) -> Result<Self, Error> {
        let bad = |problem| Error::malformed("checkpoint", problem);
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(_)) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(bad("it has less than three lines"));
        };
        if origin.is_empty() {
            return Err(bad("its origin is empty"));
        }
        let number: u64 = size.parse().map_err(|_| bad("its size is no number"))?;
        if number.to_string() != size {
            return Err(bad("its size is written in a second way"));
        }
        let mut buffer = [0; 32];
        let hash = Base64::decode(root, &mut buffer).map_err(|_| bad("its root is no base64"))?;
        let hash = hash.try_into().map_err(|_| bad("its root is no SHA-256"))?;
        Ok(Self {
            origin: origin.to_owned(),
            size: number,
            root: Digest(hash),
            note: signed.to_owned(),
        })
    }
}
