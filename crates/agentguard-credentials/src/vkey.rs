//! Verifier keys, as C2SP's signed-note writes them: `name+hash+base64`.
//!
//! # References
//!
//! - <https://c2sp.org/signed-note>, "Verifier keys" and "Signatures"

use agentguard_core::Agent;
use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// The signature type of Ed25519 in a note's key.
const ED25519: u8 = 0x01;

/// Writes the verifier key of `name` with this public key.
pub(crate) fn encode(name: &str, public: &VerifyingKey) -> String {
    let mut typed = vec![ED25519];
    typed.extend_from_slice(public.as_bytes());
    format!(
        "{name}+{:08x}+{}",
        key_hash(name, &typed),
        Base64::encode_string(&typed)
    )
}

/// Reads a verifier key: its name and its public key. `decode(encode(k)) == k`, and nothing else reads.
pub(crate) fn decode(vkey: &str) -> Option<(&str, VerifyingKey)> {
    // The name holds no `+`; the base64 may.
    let (name, rest) = vkey.split_once('+')?;
    let (hash, encoded) = rest.split_once('+')?;
    let mut buffer = [0; 64];
    let typed = Base64::decode(encoded, &mut buffer).ok()?;
    let (kind, public) = typed.split_first()?;
    if *kind != ED25519 || hash != format!("{:08x}", key_hash(name, typed)) {
        return None;
    }
    let public = VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
    Some((name, public))
}

/// Whether `signature`, in base64, is `agent`'s over `bytes`.
///
/// Everything that cannot be read is no signature. Keys of small order and signatures in a second
/// encoding are refused, so that a signature belongs to one key and one text.
#[must_use]
pub fn verify(agent: &Agent, bytes: &[u8], signature: &str) -> bool {
    let Some((name, public)) = decode(&agent.key) else {
        return false;
    };
    let mut buffer = [0; 64];
    let Ok(raw) = Base64::decode(signature, &mut buffer) else {
        return false;
    };
    let Ok(signature) = Signature::from_slice(raw) else {
        return false;
    };
    name == agent.name.as_str() && public.verify_strict(bytes, &signature).is_ok()
}

fn key_hash(name: &str, typed: &[u8]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update(b"\n");
    hasher.update(typed);
    let digest: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use agentguard_core::AgentName;
    use ed25519_dalek::{Signer as _, SigningKey, Verifier as _};

    use super::*;

    /// The key pair that the documentation of Go's `golang.org/x/mod/sumdb/note` shows.
    const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn agent(name: &str, key: &SigningKey) -> Agent {
        Agent {
            name: AgentName::parse(name).unwrap(),
            key: encode(name, &key.verifying_key()),
        }
    }

    #[test]
    fn a_known_verifier_key_reads_and_comes_back() {
        let (name, public) = decode(NEUMANN).unwrap();
        assert_eq!(name, "PeterNeumann");
        assert_eq!(encode(name, &public), NEUMANN);
    }

    #[test]
    fn a_verifier_key_with_any_part_changed_does_not_read() {
        for bad in [
            "",
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "peterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
        ] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_signature_of_another_key_text_or_name_is_refused() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let other = SigningKey::from_bytes(&[8; 32]);
        let signature = Base64::encode_string(&key.sign(b"text").to_bytes());
        assert!(!verify(&agent("ci", &other), b"text", &signature));
        assert!(!verify(&agent("ci", &key), b"Text", &signature));
        let mut renamed = agent("ci", &key);
        renamed.name = AgentName::parse("cj").unwrap();
        assert!(!verify(&renamed, b"text", &signature));
        for bad in ["", "AAAA", "not base64", signature.trim_end_matches('=')] {
            assert!(!verify(&agent("ci", &key), b"text", bad), "{bad}");
        }
        assert!(verify(&agent("ci", &key), b"text", &signature));
    }

    #[test]
    fn a_key_of_small_order_verifies_nothing() {
        // The identity as public key, and R = identity, s = 0: the plain equation holds for every text.
        let mut identity = [0; 32];
        identity[0] = 1;
        let public = VerifyingKey::from_bytes(&identity).unwrap();
        let mut raw = [0; 64];
        raw[0] = 1;
        assert!(
            public
                .verify(b"any text", &Signature::from_bytes(&raw))
                .is_ok()
        );
        let weak = Agent {
            name: AgentName::parse("ci").unwrap(),
            key: encode("ci", &public),
        };
        assert!(!verify(&weak, b"any text", &Base64::encode_string(&raw)));
    }
}
