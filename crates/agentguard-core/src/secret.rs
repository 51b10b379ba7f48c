//! Secrets: held, compared, used, never shown.

use zeroize::Zeroizing;

/// Bytes that nobody may see: without `Debug`, `Display` and `Serialize`, wiped when dropped.
///
/// ```compile_fail
/// println!("{:?}", agentguard_core::Secret::new(vec![1]));
/// ```
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Hands out the bytes to whoever puts them to their one use.
    #[must_use]
    pub fn danger_reveal(&self) -> &[u8] {
        &self.0
    }

    /// Compares without telling by its duration where two secrets differ.
    #[must_use]
    pub fn is(&self, other: &[u8]) -> bool {
        let difference = self
            .0
            .iter()
            .zip(other)
            .fold(0u8, |all, (a, b)| all | (a ^ b));
        self.0.len() == other.len() && difference == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_only_itself() {
        let secret = Secret::new(b"token".to_vec());
        assert!(secret.is(b"token"));
        assert!(!secret.is(b"tokem") && !secret.is(b"toke") && !secret.is(b"tokens"));
    }
}
