//! Signatures as SSH makes them, and what of a commit is signed.
//!
//! What is signed is never the text itself: its digest stands in a blob of its own kind together with what the
//! signature is for, its *namespace*. So a signature made for git is one for nothing else, and no challenge by which
//! somebody would log in.
//!
//! # References
//!
//! - OpenSSH's `PROTOCOL.sshsig`; RFC 4251 section 5 for strings, RFC 8709 for keys and signatures of Ed25519
//! - git's `gpg-interface.c` for the namespace, `commit.c`, `parse_buffer_signed_by_header`, for what is signed

use std::fmt;

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::digest::{hex, unhex};

/// What every blob and every signature begins with.
const MAGIC: &[u8; 6] = b"SSHSIG";
/// What git's signatures are for.
const GIT: &[u8] = b"git";
/// What `ssh-keygen -Y sign` digests by, unless it is told otherwise, and git does not tell it.
const HASH: &[u8] = b"sha512";
/// The name of keys and signatures of Ed25519.
pub const ED25519: &[u8] = b"ssh-ed25519";
const VERSION: u32 = 1;
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// One of Ed25519 takes some 300 bytes; a security key's names its application.
pub const LONGEST: usize = 4096;

/// The SHA-512 digest of what is signed, written as `sha512:` and 128 hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageDigest([u8; 64]);

impl MessageDigest {
    /// Digests `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha512::digest(bytes).into())
    }

    /// Reads what SSH asks to be signed: a digest, for git, and nothing else.
    ///
    /// # Errors
    ///
    /// Returns what it is instead, in words that hold none of its own.
    pub fn for_git(blob: &[u8]) -> Result<Self, &'static str> {
        let mut rest = blob
            .strip_prefix(MAGIC)
            .ok_or("it is no signature's blob, as a challenge to log in is none")?;
        let mut next = || string(&mut rest).ok_or("it is not whole");
        let (namespace, reserved, hash, digest) = (next()?, next()?, next()?, next()?);
        if namespace != GIT {
            return Err("its namespace is not `git`");
        }
        if !reserved.is_empty() || !rest.is_empty() {
            return Err("it holds more than is known");
        }
        let digest = digest.try_into().ok().filter(|_| hash == HASH);
        digest.map(Self).ok_or("it is no SHA-512 digest")
    }

    /// What is signed of it: `for_git(blob_for_git(d)) == d`.
    #[must_use]
    pub fn blob_for_git(&self) -> Vec<u8> {
        blob(GIT, b"", HASH, &self.0)
    }
}

impl fmt::Debug for MessageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MessageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha512:{}", hex(&self.0))
    }
}

impl TryFrom<String> for MessageDigest {
    type Error = InvalidMessageDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix("sha512:").and_then(unhex);
        digits.map(Self).ok_or(InvalidMessageDigest)
    }
}

impl From<MessageDigest> for String {
    fn from(digest: MessageDigest) -> Self {
        digest.to_string()
    }
}

/// A text that is not a digest of what is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a digest: expected `sha512:` and 128 lower-case hexadecimal digits")]
pub struct InvalidMessageDigest;

/// A signature for git by a key of Ed25519. Whether it fits is for the reader to find out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GitSignature {
    /// The public key.
    pub key: [u8; 32],
    /// The signature, over [`MessageDigest::blob_for_git`].
    pub signature: [u8; 64],
}

impl GitSignature {
    /// Reads one as it stands in a commit. `None` for every other kind.
    #[must_use]
    pub fn parse(armored: &[u8]) -> Option<Self> {
        let body = unframed(std::str::from_utf8(armored).ok()?)?;
        let bytes = Base64::decode_vec(&body).ok()?;
        let parts = Parts::read(&bytes)?;
        let is_gits = (parts.namespace, parts.reserved, parts.hash) == (GIT, b"".as_slice(), HASH);
        is_gits.then_some(())?;
        Some(Self {
            key: untyped(parts.key)?,
            signature: untyped(parts.signature)?,
        })
    }
}

/// What stands in a signature, of whatever kind and for whatever use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parts<'b> {
    /// The public key, with its kind before it.
    pub key: &'b [u8],
    /// What it is for.
    pub namespace: &'b [u8],
    /// Nothing, so far.
    pub reserved: &'b [u8],
    /// By what the message is digested.
    pub hash: &'b [u8],
    /// The signature, with its kind before it.
    pub signature: &'b [u8],
}

impl<'b> Parts<'b> {
    /// Takes one apart. `None` where it is not whole, of another version, or more than that.
    #[must_use]
    pub fn read(signature: &'b [u8]) -> Option<Self> {
        let (version, mut rest) = signature.strip_prefix(MAGIC)?.split_first_chunk()?;
        let mut next = || string(&mut rest);
        let parts = Self {
            key: next()?,
            namespace: next()?,
            reserved: next()?,
            hash: next()?,
            signature: next()?,
        };
        (u32::from_be_bytes(*version) == VERSION && rest.is_empty()).then_some(parts)
    }
}

/// What is signed of a message: its digest, with what the signature is for and by what it was digested.
#[must_use]
pub fn blob(namespace: &[u8], reserved: &[u8], hash: &[u8], digest: &[u8]) -> Vec<u8> {
    let mut blob = MAGIC.to_vec();
    for part in [namespace, reserved, hash, digest] {
        put_string(&mut blob, part);
    }
    blob
}

/// Takes the frame off that `ssh-keygen` writes around a signature: what is left is base64. `None` where there is none,
/// or where it is longer than any.
#[must_use]
pub fn unframed(framed: &str) -> Option<String> {
    let body = framed.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let body: String = body.split_ascii_whitespace().collect();
    (body.len() <= LONGEST).then_some(body)
}

/// A public key of Ed25519 as SSH writes it.
#[must_use]
pub fn public_key(public: &[u8; 32]) -> Vec<u8> {
    typed(public)
}

/// A signature or a key with its kind before it.
#[must_use]
pub fn typed(bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    put_string(&mut whole, ED25519);
    put_string(&mut whole, bytes);
    whole
}

/// The name of a public key of Ed25519, as `ssh-keygen -l` shows it.
#[must_use]
pub fn fingerprint(public: &[u8; 32]) -> String {
    let digest: [u8; 32] = Sha256::digest(public_key(public)).into();
    format!("SHA256:{}", Base64Unpadded::encode_string(&digest))
}

/// The same of an agent's verifier key. `None` where it is none of Ed25519.
#[must_use]
pub fn fingerprint_of(verifier_key: &str) -> Option<String> {
    let (_, encoded) = verifier_key.split_once('+')?.1.split_once('+')?;
    let noted = Base64::decode_vec(encoded).ok()?;
    // The type of Ed25519 in a note's key (c2sp.org/signed-note).
    let public: &[u8; 32] = noted.strip_prefix(&[1])?.try_into().ok()?;
    Some(fingerprint(public))
}

/// Takes a commit apart into what is signed of it and the signature that stands in it under `header`: `gpgsig`, or
/// `gpgsig-sha256` where objects are named by SHA-256. `None` where it bears none.
#[must_use]
pub fn signed_part(commit: &[u8], header: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut signed, mut signature) = (Vec::new(), Vec::new());
    let (mut in_this, mut in_any, mut in_text) = (false, false, false);
    for line in commit.split_inclusive(|byte| *byte == b'\n') {
        let continued = line.strip_prefix(b" ").filter(|_| in_any);
        if let Some(rest) = continued {
            if in_this {
                signature.extend_from_slice(rest);
            }
            continue;
        }
        in_text |= line == b"\n";
        in_any = !in_text && line.starts_with(b"gpgsig");
        let own = line.strip_prefix(header.as_bytes());
        let own = own.and_then(|rest| rest.strip_prefix(b" "));
        in_this = in_any && own.is_some();
        match own.filter(|_| in_this) {
            Some(first) => signature.extend_from_slice(first),
            None if in_any => {}
            None => signed.extend_from_slice(line),
        }
    }
    (!signature.is_empty()).then_some((signed, signature))
}

/// Takes a string off the beginning: its length in four bytes, and as many more.
pub fn string<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (taken, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Puts a string to the end. What is longer than a length can say is cut there.
pub fn put_string(bytes: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    bytes.extend_from_slice(text.get(..length).unwrap_or_default());
}

/// What stands behind the name of Ed25519, and nothing after it.
fn untyped<const LENGTH: usize>(mut bytes: &[u8]) -> Option<[u8; LENGTH]> {
    let (kind, value) = (string(&mut bytes)?, string(&mut bytes)?);
    let value = value.try_into().ok()?;
    (kind == ED25519 && bytes.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_git_is_read_and_nothing_else_is() {
        let digest = MessageDigest::of(b"tree x\n");
        let whole = digest.blob_for_git();
        assert_eq!(MessageDigest::for_git(&whole), Ok(digest));
        for length in 0..whole.len() {
            assert!(
                MessageDigest::for_git(&whole[..length]).is_err(),
                "{length}"
            );
        }
        let (short, long) = ([7; 63], [7; 64]);
        for parts in [
            [b"file".as_slice(), b"", b"sha512", &long],
            [b"", b"", b"sha512", &long],
            [b"git", b"x", b"sha512", &long],
            [b"git", b"", b"sha256", &long[..32]],
            [b"git", b"", b"sha256", &long],
            [b"git", b"", b"sha512", &short],
        ] {
            assert!(
                MessageDigest::for_git(&blob(parts[0], parts[1], parts[2], parts[3])).is_err(),
                "{parts:?}"
            );
        }
        assert!(MessageDigest::for_git(&[&whole[..], b"x"].concat()).is_err());
        // RFC 4252 section 7: what is signed to log in begins with the session's identifier.
        let mut challenge = Vec::new();
        put_string(&mut challenge, &[7; 32]);
        challenge.extend_from_slice(b"\x32\0\0\0\x04root");
        assert!(MessageDigest::for_git(&challenge).is_err());
    }

    #[test]
    fn a_signature_of_another_shape_is_none() {
        let of = |version: u32, kinds: [&[u8]; 2], rest: &[u8], behind: &[u8]| {
            let typed = |kind: &[u8], length: usize| {
                let mut whole = Vec::new();
                put_string(&mut whole, kind);
                put_string(&mut whole, &vec![7; length]);
                [&whole, rest].concat()
            };
            let mut whole = [&MAGIC[..], &version.to_be_bytes()].concat();
            let (key, signature) = (typed(kinds[0], 32), typed(kinds[1], 64));
            for part in [&key[..], GIT, b"", HASH, &signature] {
                put_string(&mut whole, part);
            }
            whole.extend_from_slice(behind);
            let encoded = Base64::encode_string(&whole);
            GitSignature::parse(format!("{BEGIN}\n{encoded}\n{END}\n").as_bytes()).is_some()
        };
        let own = [ED25519, ED25519];
        assert!(of(VERSION, own, b"", b""));
        assert!(!of(2, own, b"", b""));
        assert!(!of(VERSION, own, b"", b"x"));
        assert!(!of(VERSION, own, b"x", b""));
        assert!(!of(VERSION, [b"ssh-rsa", ED25519], b"", b""));
        assert!(!of(VERSION, [ED25519, b"ssh-rsa"], b"", b""));
        let framed = |length| format!("{BEGIN}{}{END}", "a".repeat(length));
        assert!(unframed(&framed(LONGEST)).is_some());
        assert!(unframed(&framed(LONGEST + 1)).is_none());
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = MessageDigest::of(b"a");
        assert_eq!(MessageDigest::try_from(digest.to_string()), Ok(digest));
        for text in ["sha512:", "sha512:00", "sha256:00"] {
            assert!(MessageDigest::try_from(text.to_owned()).is_err());
        }
    }

    #[test]
    fn a_commit_is_taken_apart_as_git_does() {
        let commit = b"tree 1\nparent 2\nauthor a\ncommitter a\ngpgsig -----BEGIN\n one\n \n two\n\
            gpgsig-sha256 other\n more\nmergetag object 3\n tag v1\n\ngpgsig in the text\n also\n";
        let rest = b"tree 1\nparent 2\nauthor a\ncommitter a\nmergetag object 3\n tag v1\n\n\
            gpgsig in the text\n also\n";
        let (signed, signature) = signed_part(commit, "gpgsig").unwrap();
        assert_eq!(
            (signed.as_slice(), signature.as_slice()),
            (rest.as_slice(), b"-----BEGIN\none\n\ntwo\n".as_slice())
        );
        let (signed, signature) = signed_part(commit, "gpgsig-sha256").unwrap();
        assert_eq!(
            (signed.as_slice(), signature.as_slice()),
            (rest.as_slice(), b"other\nmore\n".as_slice())
        );
        assert_eq!(signed_part(rest, "gpgsig"), None);
    }

    #[test]
    fn a_signature_that_ssh_keygen_made_is_read() {
        // By `ssh-keygen -Y sign -n git`.
        let armored = include_bytes!("../../../tests/vectors/signature/git.sig");
        let message = include_bytes!("../../../tests/vectors/signature/git.txt");
        let public = include_str!("../../../tests/vectors/signature/key.pub");
        let read = GitSignature::parse(armored).unwrap();
        let encoded = public.split(' ').nth(1).unwrap();
        assert_eq!(Base64::encode_string(&public_key(&read.key)), encoded);
        let verified = MessageDigest::of(message).blob_for_git();
        assert_eq!(
            MessageDigest::for_git(&verified),
            Ok(MessageDigest::of(message))
        );
        for other in ["file.sig", "rsa.sig"] {
            let armored = std::fs::read(format!("../../tests/vectors/signature/{other}")).unwrap();
            assert_eq!(GitSignature::parse(&armored), None, "{other}");
        }
    }
}
