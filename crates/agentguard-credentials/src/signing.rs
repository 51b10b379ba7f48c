//! What an agent's key signs besides its sessions: what git makes.

use agentguard_core::ssh::{public_key, typed};
use agentguard_core::{MessageDigest, Permit};
use base64ct::{Base64, Encoding as _};
use ed25519_dalek::Signer as _;

use crate::agent::{AgentKey, Identity};
use crate::vkey;

/// Something that SSH asks an agent's key to sign.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signing {
    message: Result<MessageDigest, &'static str>,
}

impl Signing {
    /// Reads what is asked for, whatever it is.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        Self {
            message: MessageDigest::for_git(data),
        }
    }

    /// What git is to have signed, or what it is instead.
    ///
    /// # Errors
    ///
    /// Returns what it is instead.
    pub fn message(&self) -> Result<MessageDigest, &'static str> {
        self.message
    }
}

impl AgentKey {
    /// Its public key, as SSH writes it.
    #[must_use]
    pub fn ssh_key(&self) -> Vec<u8> {
        public_key(self.verifying_key().as_bytes())
    }

    /// The same as a word of SSH's files and git's settings.
    #[must_use]
    pub fn ssh_word(&self) -> String {
        format!("ssh-ed25519 {}", Base64::encode_string(&self.ssh_key()))
    }

    /// Signs what was permitted, as SSH writes signatures. What is signed is made anew of the digest that was judged
    /// and recorded, so that nothing else of what was sent is signed with it. `None` where it is nothing of git's.
    #[must_use]
    pub fn sign_for_git(&self, permit: Permit<Signing>) -> Option<Vec<u8>> {
        let (signing, _) = permit.spend();
        let blob = signing.message.ok()?.blob_for_git();
        Some(typed(&self.signing_key().sign(&blob).to_bytes()))
    }
}

impl Identity {
    /// Its keys as lines of a file of signers that `ssh-keygen -Y verify` and git's `gpg.ssh.allowedSignersFile` take
    /// (ssh-keygen(1), "ALLOWED SIGNERS"): what they signed for git is the agent's.
    #[must_use]
    pub fn allowed_signers(&self) -> Vec<String> {
        let now = self.agent.iter().map(|agent| &agent.key);
        let keys = self.retired.iter().chain(now);
        let line = |key: &String| {
            let (_, public) = vkey::decode(key)?;
            let encoded = Base64::encode_string(&public_key(public.as_bytes()));
            let name = &self.name;
            Some(format!("{name} namespaces=\"git\" ssh-ed25519 {encoded}"))
        };
        keys.filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use agentguard_core::ssh::{GitSignature, signed_part};

    use super::*;
    use crate::mutate::fuzz;

    #[test]
    fn fuzz_nothing_is_signed_but_what_git_asks_for() {
        let words = [
            "SSHSIG",
            "git",
            "sha512",
            "\0\0\0\u{3}",
            "\0\0\0\u{6}",
            "\0\0\0@",
            "\0\0\0\0",
            "gpgsig ",
            "gpgsig-sha256 ",
            "\n ",
            "\n\n",
            "-----BEGIN SSH SIGNATURE-----",
            "-----END SSH SIGNATURE-----",
            "ssh-ed25519",
            "AAAAC3NzaC1lZDI1NTE5AAAAI",
        ];
        fuzz("signature", &words, |bytes| {
            let asked = match Signing::of(bytes).message() {
                // There is one way to ask for it.
                Ok(message) => {
                    assert_eq!(message.blob_for_git(), bytes);
                    "git"
                }
                Err(why) => why,
            };
            let read = GitSignature::parse(bytes).is_some();
            let part = signed_part(bytes, "gpgsig");
            if let Some((signed, signature)) = &part {
                assert!(signed.len() + signature.len() < bytes.len());
                assert_eq!(signed_part(signed, "gpgsig"), None);
            }
            format!("{asked} {read} {}", part.is_some())
        });
    }
}
