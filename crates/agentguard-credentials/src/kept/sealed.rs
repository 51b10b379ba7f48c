//! Tokens in files of age's format, encrypted to an X25519 identity. The tool `age` opens them, and writes ones that are
//! opened here: `age -d -i IDENTITY FILE`.
//!
//! A random key encrypts the token. It stands in the file once for each recipient, encrypted to that, below a check over
//! all of it.
//!
//! # References
//!
//! - C2SP, `age.md`; RFC 7748 (X25519), RFC 5869 (HKDF), RFC 8439 (ChaCha20-Poly1305)

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64ct::{Base64Unpadded, Encoding as _};
use curve25519_dalek::MontgomeryPoint;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::bech32;
use crate::Error;
use crate::store::random_error;

const VERSION: &str = "age-encryption.org/v1\n";
/// The first line of a file in letters (RFC 7468).
const ARMOUR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const X25519: &str = "-> X25519 ";
const MAC: &str = "---";
/// A body is in lines of this length, of which the last is shorter.
const FULL_LINE: usize = 64;
const FILE_KEY: usize = 16;
const NONCE: usize = 16;
/// A token is one piece, the last: its number is 0, and behind that stands that nothing follows.
const ONLY: [u8; NONCE_LEN] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// A key is used once, so its nonce is always the same.
const ONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];
/// More than a file of keys has.
const LONGEST_IDENTITY: u64 = 64 * 1024;
/// Stanzas, of which each costs a multiplication.
const MOST_STANZAS: usize = 20;

type Key = Zeroizing<[u8; 32]>;

/// The X25519 identities of a file, as `age-keygen` writes them: lines, some of which begin with `#`.
///
/// # Errors
///
/// Returns [`Error::Unsafe`] where others can read it, or there is none in it.
pub(super) fn identities(path: &Path) -> Result<Vec<Key>, Error> {
    let text = private(path)?;
    // `age -p` makes one, as it is or in letters.
    if text.starts_with(VERSION.as_bytes()) || text.starts_with(ARMOUR.as_bytes()) {
        return Err(unsafe_file(
            path,
            "is encrypted itself, and nobody is there to type its password when a session begins",
            "decrypt it with `age -d` to a file that is yours alone, in memory if it is not to last, or use `--keep keyring`",
        ));
    }
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let lines = text.lines().map(str::trim);
    let keys = lines.filter_map(|line| bech32::decode("AGE-SECRET-KEY-", line));
    let keys: Vec<Key> = keys
        .filter_map(|bytes| Some(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
        .collect();
    if keys.is_empty() {
        return Err(unsafe_file(
            path,
            "holds no identity of age's that could be used here",
            "name a file that `age-keygen` wrote, without a password",
        ));
    }
    Ok(keys)
}

/// Encrypts a token to the first of these.
pub(super) fn seal(identities: &[Key], token: &[u8]) -> Result<Vec<u8>, Error> {
    let broken = || Error::Token {
        problem: "could not be encrypted",
    };
    let mut file_key = Zeroizing::new([0; FILE_KEY]);
    let mut ephemeral: Key = Zeroizing::new([0; 32]);
    let mut nonce = [0; NONCE];
    for random in [&mut file_key[..], &mut ephemeral[..], &mut nonce[..]] {
        getrandom::fill(random).map_err(random_error)?;
    }
    let to = public(identities.first().ok_or_else(broken)?);
    let share = public(&ephemeral);
    let wrapping = wrapping(&ephemeral, &to, &share, &to).ok_or_else(broken)?;
    let wrapped = encrypt(&wrapping, ONCE, &*file_key).ok_or_else(broken)?;
    let mut header = format!(
        "{VERSION}{X25519}{}\n{}\n{MAC}",
        Base64Unpadded::encode_string(&share),
        Base64Unpadded::encode_string(&wrapped),
    );
    let mac = hmac::sign(
        &header_key(&file_key).ok_or_else(broken)?,
        header.as_bytes(),
    );
    header.push_str(&format!(
        " {}\n",
        Base64Unpadded::encode_string(mac.as_ref())
    ));
    let payload_key = derive(&nonce, &*file_key, b"payload").ok_or_else(broken)?;
    let payload = encrypt(&payload_key, ONLY, token).ok_or_else(broken)?;
    Ok([header.as_bytes(), &nonce, &payload].concat())
}

/// Decrypts what was encrypted to one of these.
///
/// # Errors
///
/// Returns what is wrong with it, and nothing of what it is.
pub(super) fn open(identities: &[Key], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    const BROKEN: &str = "is no file of age's, or was changed";
    let header = Header::of(bytes).ok_or(BROKEN)?;
    let keys = identities.iter().flat_map(|identity| {
        let opened = move |stanza| unwrap(identity, stanza);
        header.stanzas.iter().filter_map(opened)
    });
    let file_key = keys.take(1).next();
    let file_key = file_key.ok_or("is encrypted to another identity")?;
    let key = header_key(&file_key).ok_or(BROKEN)?;
    hmac::verify(&key, header.covered, &header.mac).map_err(|_| BROKEN)?;
    let (nonce, payload) = header.rest.split_at_checked(NONCE).ok_or(BROKEN)?;
    let key = derive(nonce, &*file_key, b"payload").ok_or(BROKEN)?;
    decrypt(&key, ONLY, payload).ok_or(BROKEN)
}

/// What stands before the payload.
struct Header<'a> {
    /// Those for X25519.
    stanzas: Vec<Stanza>,
    /// What the check is over.
    covered: &'a [u8],
    mac: [u8; 32],
    rest: &'a [u8],
}

/// The file's key, encrypted to one recipient.
struct Stanza {
    share: [u8; 32],
    wrapped: [u8; 32],
}

impl<'a> Header<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(VERSION.as_bytes())?;
        let mut stanzas = Vec::new();
        for _ in 0..=MOST_STANZAS {
            let (line, after) = line(rest)?;
            if let Some(mac) = line.strip_prefix(MAC) {
                let covered = bytes.len() - rest.len() + MAC.len();
                return Some(Self {
                    stanzas,
                    covered: bytes.get(..covered)?,
                    mac: decoded(mac.strip_prefix(' ')?)?,
                    rest: after,
                });
            }
            let (body, after) = body(after)?;
            rest = after;
            if let Some(share) = line.strip_prefix(X25519) {
                let [wrapped] = body[..] else {
                    return None;
                };
                stanzas.push(Stanza {
                    share: decoded(share)?,
                    wrapped: decoded(wrapped)?,
                });
            } else if !line.starts_with("-> ") {
                return None;
            }
        }
        None
    }
}

/// The first line, and what is behind it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
    Some((line, bytes.get(end + 1..)?))
}

/// The lines of a stanza's body, of which the last is the first that is not full, and what is behind it.
fn body(bytes: &[u8]) -> Option<(Vec<&str>, &[u8])> {
    let (mut lines, mut rest) = (Vec::new(), bytes);
    loop {
        let (one, after) = line(rest)?;
        lines.push(one);
        rest = after;
        if one.len() < FULL_LINE {
            return Some((lines, rest));
        }
    }
}

fn decoded(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let length = Base64Unpadded::decode(text, &mut bytes).ok()?.len();
    (length == bytes.len()).then_some(bytes)
}

fn unwrap(identity: &Key, stanza: &Stanza) -> Option<Zeroizing<[u8; FILE_KEY]>> {
    let own = public(identity);
    let key = wrapping(identity, &stanza.share, &stanza.share, &own)?;
    let opened = decrypt(&key, ONCE, &stanza.wrapped)?;
    Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
}

fn public(secret: &Key) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(**secret).to_bytes()
}

/// The key that encrypts a file's. `None` where the other's point is one that makes every secret the same.
fn wrapping(secret: &Key, other: &[u8; 32], share: &[u8; 32], to: &[u8; 32]) -> Option<Key> {
    let shared = MontgomeryPoint(*other).mul_clamped(**secret);
    let shared = Zeroizing::new(shared.to_bytes());
    if *shared == [0; 32] {
        return None;
    }
    let salt = [&share[..], &to[..]].concat();
    derive(&salt, &*shared, b"age-encryption.org/v1/X25519")
}

fn header_key(file_key: &[u8; FILE_KEY]) -> Option<hmac::Key> {
    let key = derive(&[], file_key, b"header")?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, &*key))
}

fn derive(salt: &[u8], from: &[u8], what: &[u8]) -> Option<Key> {
    let mut key = Zeroizing::new([0; 32]);
    let extracted = Salt::new(HKDF_SHA256, salt).extract(from);
    let expanded = extracted.expand(&[what], HKDF_SHA256).ok()?.fill(&mut *key);
    expanded.ok().map(|()| key)
}

fn cipher(key: &Key) -> Option<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &**key).ok()?;
    Some(LessSafeKey::new(key))
}

fn encrypt(key: &Key, nonce: [u8; NONCE_LEN], plain: &[u8]) -> Option<Vec<u8>> {
    // Room for all of it: a vector that grows leaves what it held behind.
    let mut bytes = Vec::with_capacity(plain.len() + CHACHA20_POLY1305.tag_len());
    bytes.extend_from_slice(plain);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let sealed = cipher(key)?.seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes);
    sealed.ok().map(|()| bytes)
}

fn decrypt(key: &Key, nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = cipher(key)?.open_in_place(nonce, Aad::empty(), bytes.as_mut_slice());
    let length = opened.ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

/// What a file holds that others cannot read or write.
fn private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source| Error::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    };
    // Without blocking: what lies there could be a FIFO.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let stat = fs::fstat(&file).map_err(|errno| failed(errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(unsafe_file(path, "is not a file", "name a file of keys"));
    }
    let owner = stat.st_uid;
    if owner != geteuid().as_raw() && owner != 0 {
        let remedy = "name one of your own: whoever has it opens what is kept for it";
        return Err(unsafe_file(path, "belongs to somebody else", remedy));
    }
    // A group may read it: that is how service managers hand one over.
    if stat.st_mode & 0o027 != 0 {
        let remedy = "`chmod 600` it, and make another if others could have read it";
        return Err(unsafe_file(path, "is open to others", remedy));
    }
    let most = usize::try_from(LONGEST_IDENTITY).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 32));
    let mut file = File::from(file).take(LONGEST_IDENTITY);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn unsafe_file(path: &Path, problem: &str, remedy: &str) -> Error {
    Error::Unsafe {
        path: path.to_owned(),
        problem: problem.to_owned(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
