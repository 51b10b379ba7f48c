//! Signatures that `ssh-keygen -Y sign` makes, with Ed25519 keys: of files, of agents, and of security keys.
//!
//! # References
//!
//! - <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>
//! - <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.u2f>, "Signature format"

use agentguard_core::ssh::{self, LONGEST, Parts};
use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256, Sha512};

const PLAIN: &[u8] = b"ssh-ed25519";
const SECURITY_KEY: &[u8] = b"sk-ssh-ed25519@openssh.com";
/// What a security key signs when it was touched (PROTOCOL.u2f: `SSH_SK_USER_PRESENCE_REQD`).
const TOUCHED: u8 = 1;

/// Why something is no signature of this message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unsigned {
    /// It is no such signature, or of a kind that is not understood.
    #[error("it is no SSH signature that is understood: {0}")]
    Malformed(&'static str),
    /// It was made for something else.
    #[error("it was made for something else: its namespace is another")]
    Namespace,
    /// The key did not sign this.
    #[error("its key did not sign this")]
    Wrong,
}

/// Verifies a signature over `message`, in base64 without its frame, and answers the key that made it, in base64 as
/// `allowed_signers` has it. Whose key that is, is left to whoever asks.
///
/// # Errors
///
/// Returns why it is none.
pub fn verify_sshsig(sshsig: &str, namespace: &str, message: &[u8]) -> Result<String, Unsigned> {
    let blob = decode(sshsig)?;
    let read = Parts::read(&blob).ok_or(Unsigned::Malformed("it is not whole, or another"))?;
    if read.namespace != namespace.as_bytes() {
        return Err(Unsigned::Namespace);
    }
    verify(&read, message)?;
    Ok(Base64::encode_string(read.key))
}

/// Whether this is a key, in base64, of a kind that is understood.
#[must_use]
pub fn is_signing_key(kind: &str, key: &str) -> bool {
    let Ok(blob) = decode(key) else { return false };
    let is_named = Fields(&blob)
        .take()
        .is_ok_and(|name| name == kind.as_bytes());
    is_named && public_key(&blob).is_ok()
}

fn decode(base64: &str) -> Result<Vec<u8>, Unsigned> {
    if base64.len() > LONGEST {
        return Err(Unsigned::Malformed("it is too long"));
    }
    Base64::decode_vec(base64).map_err(|_| Unsigned::Malformed("the base64 is wrong"))
}

/// What was signed in place of the message.
fn signed(parts: &Parts<'_>, message: &[u8]) -> Result<Vec<u8>, Unsigned> {
    let digest = match parts.hash {
        b"sha256" => Sha256::digest(message).to_vec(),
        b"sha512" => Sha512::digest(message).to_vec(),
        _ => return Err(Unsigned::Malformed("its hash is neither sha256 nor sha512")),
    };
    Ok(ssh::blob(
        parts.namespace,
        parts.reserved,
        parts.hash,
        &digest,
    ))
}

fn verify(parts: &Parts<'_>, message: &[u8]) -> Result<(), Unsigned> {
    let mut signed = signed(parts, message)?;
    let (kind, public, application) = public_key(parts.key)?;
    let mut fields = Fields(parts.signature);
    if fields.take()? != kind {
        return Err(Unsigned::Malformed("it is not of its key's kind"));
    }
    let bad = Unsigned::Malformed("its length is wrong");
    let signature = Signature::from_slice(fields.take()?).map_err(|_| bad)?;
    if let Some(application) = application {
        let (flags, counter) = (fields.byte()?, fields.number()?);
        if flags & TOUCHED == 0 {
            return Err(Unsigned::Malformed("nobody touched the security key"));
        }
        let mut outer = Sha256::digest(application).to_vec();
        outer.push(flags);
        outer.extend_from_slice(&counter.to_be_bytes());
        outer.extend_from_slice(&Sha256::digest(&signed));
        signed = outer;
    }
    fields.end()?;
    let verified = public.verify_strict(&signed, &signature);
    verified.map_err(|_| Unsigned::Wrong)
}

/// A key's kind, its point, and the application that it is for where it is a security key's.
type Public<'k> = (&'k [u8], VerifyingKey, Option<&'k [u8]>);

fn public_key(blob: &[u8]) -> Result<Public<'_>, Unsigned> {
    let bad = |problem| Unsigned::Malformed(problem);
    let mut fields = Fields(blob);
    let kind = fields.take()?;
    if ![PLAIN, SECURITY_KEY].contains(&kind) {
        return Err(bad("its key is not an Ed25519 one"));
    }
    let point = fields.take()?.try_into();
    let point = point.map_err(|_| bad("its key's length is wrong"))?;
    let public = VerifyingKey::from_bytes(point).map_err(|_| bad("its key is no point"))?;
    let application = (kind == SECURITY_KEY).then(|| fields.take()).transpose()?;
    fields.end()?;
    Ok((kind, public, application))
}

/// Fields one behind the other, as SSH writes them (RFC 4251, section 5).
struct Fields<'f>(&'f [u8]);

impl<'f> Fields<'f> {
    const SHORT: Unsigned = Unsigned::Malformed("it ends early");

    fn byte(&mut self) -> Result<u8, Unsigned> {
        let (byte, rest) = self.0.split_first().ok_or(Self::SHORT)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u32, Unsigned> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Self::SHORT)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn take(&mut self) -> Result<&'f [u8], Unsigned> {
        ssh::string(&mut self.0).ok_or(Self::SHORT)
    }

    fn end(self) -> Result<(), Unsigned> {
        let is_over = self.0.is_empty();
        is_over
            .then_some(())
            .ok_or(Unsigned::Malformed("something follows it"))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn field(bytes: &[u8]) -> Vec<u8> {
        let mut field = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        field.extend_from_slice(bytes);
        field
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    /// A signature as it is to be, over `message`, by a security key whose flags are these, or by a plain one.
    fn sign(message: &[u8], flags: Option<u8>) -> Vec<u8> {
        let kind = if flags.is_some() { SECURITY_KEY } else { PLAIN };
        let digest = Sha512::digest(message);
        let fields = [field(b"ns"), field(b""), field(b"sha512"), field(&digest)];
        let mut signed = [&b"SSHSIG"[..], &fields.concat()].concat();
        let mut public = [field(kind), field(key().verifying_key().as_bytes())].concat();
        let mut tail = Vec::new();
        if let Some(flags) = flags {
            public.extend(field(b"ssh:"));
            tail = [&[flags][..], &9_u32.to_be_bytes()].concat();
            let digests = [Sha256::digest(b"ssh:"), Sha256::digest(&signed)];
            signed = [&digests[0][..], &tail, &digests[1]].concat();
        }
        let signature = key().sign(&signed).to_bytes();
        let signature = [field(kind), field(&signature), tail].concat();
        let head = [&b"SSHSIG\0\0\0\x01"[..], &field(&public)].concat();
        [
            head,
            field(b"ns"),
            field(b""),
            field(b"sha512"),
            field(&signature),
        ]
        .concat()
    }

    fn verified(blob: &[u8], namespace: &str, message: &[u8]) -> Result<String, Unsigned> {
        verify_sshsig(&Base64::encode_string(blob), namespace, message)
    }

    #[test]
    fn a_signature_is_of_one_message_one_key_and_one_use() {
        for flags in [None, Some(TOUCHED)] {
            let blob = sign(b"yes", flags);
            verified(&blob, "ns", b"yes").unwrap();
            assert_eq!(verified(&blob, "ns", b"no"), Err(Unsigned::Wrong));
            assert_eq!(verified(&blob, "git", b"yes"), Err(Unsigned::Namespace));
            for at in 0..blob.len() {
                let mut changed = blob.clone();
                changed[at] ^= 1;
                assert!(verified(&changed, "ns", b"yes").is_err(), "{at}");
                assert!(verified(&blob[..at], "ns", b"yes").is_err(), "{at}");
            }
            assert!(verified(&[blob, vec![0]].concat(), "ns", b"yes").is_err());
        }
        // Whoever has the machine has the key in its port as well; not the finger.
        assert!(verified(&sign(b"yes", Some(0)), "ns", b"yes").is_err());
    }
}
