//! Signed notes and verifier keys.
//!
//! # References
//!
//! - <https://c2sp.org/signed-note>: keys, signatures, and what a reader must refuse
//! - <https://c2sp.org/tlog-cosignature>: what a witness signs

use std::fmt;

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::Error;

const ED25519: u8 = 0x01;
const COSIGNATURE_V1: u8 = 0x04;
/// More signatures than any log has witnesses.
const MOST_SIGNATURES: usize = 100;
/// A longer note is none of ours, and none that a log would publish.
const LONGEST_NOTE: usize = 1 << 20;

/// The public half of a log's or a witness' key, `name+hash+base64`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    name: String,
    kind: u8,
    public: VerifyingKey,
}

impl VerifierKey {
    /// Reads a verifier key.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] unless it is an Ed25519 key of a log (type 1) or of a witness
    /// (type 4), whose hash fits.
    pub fn parse(vkey: &str) -> Result<Self, Error> {
        let bad = |problem| Error::malformed("verifier key", problem);
        let mut parts = vkey.splitn(3, '+'); // the base64 may hold a `+`
        let (Some(name), Some(hash), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(bad("expected `name+hash+base64`"));
        };
        let mut buffer = [0; 64];
        let typed = Base64::decode(encoded, &mut buffer).map_err(|_| bad("the base64 is wrong"))?;
        let (kind, public) = typed.split_first().ok_or_else(|| bad("it is empty"))?;
        if ![ED25519, COSIGNATURE_V1].contains(kind) {
            return Err(bad("its type is neither 1 nor 4"));
        }
        let public = public.try_into().map_err(|_| bad("its length is wrong"))?;
        let public = VerifyingKey::from_bytes(public).map_err(|_| bad("it is no point"))?;
        let key = Self::new(name, *kind, public)?;
        if hash != format!("{:08x}", u32::from_be_bytes(key.id())) {
            return Err(bad("its hash does not fit"));
        }
        Ok(key)
    }

    /// Whose key it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same key for the log `origin`, where this one speaks for it: under its own name, and for
    /// the logs named below it.
    #[must_use]
    pub fn for_log(&self, origin: &str) -> Option<Self> {
        let below = origin.strip_prefix(&self.name)?;
        let speaks = below.is_empty() || (below.starts_with('/') && self.kind == ED25519);
        speaks
            .then(|| Self::new(origin, self.kind, self.public).ok())
            .flatten()
    }

    /// Whether it is a log's key, rather than a witness'.
    pub(crate) fn is_log(&self) -> bool {
        self.kind == ED25519
    }

    pub(crate) fn of_log(name: &str, public: VerifyingKey) -> Result<Self, Error> {
        Self::new(name, ED25519, public)
    }

    fn new(name: &str, kind: u8, public: VerifyingKey) -> Result<Self, Error> {
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.contains(is_bad) {
            return Err(Error::malformed("verifier key", "its name is not allowed"));
        }
        Ok(Self {
            name: name.to_owned(),
            kind,
            public,
        })
    }

    fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new();
        hasher.update(&self.name);
        hasher.update([b'\n', self.kind]);
        hasher.update(self.public.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    }

    /// Whether `blob`, what follows the key's id, is this key's signature under `text`.
    fn verifies(&self, text: &str, blob: &[u8]) -> bool {
        let (message, raw) = if self.kind == COSIGNATURE_V1 {
            let Some((time, raw)) = blob.split_first_chunk::<8>() else {
                return false;
            };
            let time = u64::from_be_bytes(*time);
            (format!("cosignature/v1\ntime {time}\n{text}"), raw)
        } else {
            (text.to_owned(), blob)
        };
        // Strictly: keys of small order and second encodings prove nothing.
        Signature::from_slice(raw).is_ok_and(|signature| {
            self.public
                .verify_strict(message.as_bytes(), &signature)
                .is_ok()
        })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![self.kind];
        typed.extend_from_slice(self.public.as_bytes());
        let hash = u32::from_be_bytes(self.id());
        write!(
            f,
            "{}+{hash:08x}+{}",
            self.name,
            Base64::encode_string(&typed)
        )
    }
}

/// Signs `text`, which ends with a line break, in the name `name`.
pub(crate) fn sign(text: &str, name: &str, key: &SigningKey) -> Result<String, Error> {
    let verifier = VerifierKey::of_log(name, key.verifying_key())?;
    let mut blob = verifier.id().to_vec();
    blob.extend_from_slice(&key.sign(text.as_bytes()).to_bytes());
    Ok(format!(
        "{text}\n\u{2014} {name} {}\n",
        Base64::encode_string(&blob)
    ))
}

/// Splits a note into its text and its signature lines, without believing either.
pub(crate) fn split(note: &str) -> Result<(&str, &str), Error> {
    let bad = |problem| Error::malformed("signed note", problem);
    let is_bad = |c: char| c.is_control() && c != '\n';
    if note.len() > LONGEST_NOTE || note.contains(is_bad) {
        return Err(bad("it is too long, or holds control characters"));
    }
    let at = note
        .rfind("\n\n")
        .ok_or_else(|| bad("there is no empty line before the signatures"))?;
    let (text, rest) = note.split_at_checked(at + 1).unwrap_or((note, ""));
    let signatures = rest.strip_prefix('\n').unwrap_or_default();
    if !signatures.ends_with('\n') {
        return Err(bad("its last line does not end"));
    }
    Ok((text, signatures))
}

/// Reads a note that at least one of `keys` has signed, and answers its text and who signed it.
///
/// Signatures of unknown keys are passed over; a wrong one of a known key spoils the note.
///
/// # Errors
///
/// Returns [`Error::Malformed`] where it is no note, and [`Error::NotProven`] where no known key signed
/// it, or one did so wrongly or twice.
pub fn open<'n>(note: &'n str, keys: &[VerifierKey]) -> Result<(&'n str, Vec<VerifierKey>), Error> {
    let bad = |problem| Error::malformed("signed note", problem);
    let not = |problem| Error::NotProven { problem };
    let (text, signatures) = split(note)?;
    let mut signers: Vec<VerifierKey> = Vec::new();
    for (count, line) in signatures.lines().enumerate() {
        if count >= MOST_SIGNATURES {
            return Err(bad("it has too many signatures"));
        }
        let parts = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '));
        let (name, encoded) = parts.ok_or_else(|| bad("a signature line is wrong"))?;
        let blob = Base64::decode_vec(encoded).map_err(|_| bad("a signature is no base64"))?;
        let (id, blob) = blob
            .split_first_chunk::<4>()
            .ok_or_else(|| bad("a signature is too short"))?;
        let Some(key) = keys.iter().find(|key| key.name == name && key.id() == *id) else {
            continue;
        };
        if signers.contains(key) {
            return Err(not("a known key signed twice"));
        }
        if !key.verifies(text, blob) {
            return Err(not("the signature of a known key is wrong"));
        }
        signers.push(key.clone());
    }
    if signers.is_empty() {
        return Err(not("no known key signed it"));
    }
    Ok((text, signers))
}

#[cfg(test)]
mod tests;
