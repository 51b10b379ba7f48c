//! Digests, and commitments that can be kept while the text is erased.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digests `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 hexadecimal digits alone.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Parses `sha256:` and 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidDigest`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidDigest> {
        let digits = text.strip_prefix("sha256:").ok_or(InvalidDigest)?;
        unhex(digits).map(Self).ok_or(InvalidDigest)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        f.write_str(&self.to_hex())
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A text that is not a digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a digest: expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct InvalidDigest;

/// What keeps a short text from being guessed from its commitment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Salt(pub [u8; 16]);

impl Salt {
    /// The salt as hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Parses 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidDigest`] for anything else.
    pub fn parse(digits: &str) -> Result<Self, InvalidDigest> {
        unhex(digits).map(Self).ok_or(InvalidDigest)
    }
}

/// Stands in an entry for a text that is kept beside the log and can be erased there:
/// `SHA-256(salt || text)`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commitment(pub Digest);

impl Commitment {
    /// Commits to `text` under `salt`.
    #[must_use]
    pub fn to(salt: &Salt, text: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(salt.0);
        hasher.update(text);
        Self(Digest(hasher.finalize().into()))
    }

    /// Whether this commits to `text` under `salt`.
    #[must_use]
    pub fn opens_to(&self, salt: &Salt, text: &[u8]) -> bool {
        Self::to(salt, text) == *self
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| match nibble {
        0..10 => char::from(b'0' + nibble),
        _ => char::from(b'a' + nibble - 10),
    };
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}

pub(crate) fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_comes_back_from_its_text() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        for bad in ["", "sha256:", "sha256:BA", "md5:00", &"0".repeat(64)] {
            assert_eq!(Digest::parse(bad), Err(InvalidDigest));
        }
    }

    #[test]
    fn a_commitment_opens_only_with_its_salt_and_text() {
        let (salt, other) = (Salt([1; 16]), Salt([2; 16]));
        let commitment = Commitment::to(&salt, b"git push");
        assert!(commitment.opens_to(&salt, b"git push"));
        assert!(!commitment.opens_to(&other, b"git push"));
        assert!(!commitment.opens_to(&salt, b"git pull"));
        assert_eq!(Salt::parse(&salt.to_hex()), Ok(salt));
    }
}
