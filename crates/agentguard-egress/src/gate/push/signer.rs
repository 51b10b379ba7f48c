//! Whose signature a commit bears.

use agentguard_core::MessageDigest;
use agentguard_core::ssh::{GitSignature, fingerprint, signed_part};
use gix_hash::Kind as Hash;
use ring::signature::{ED25519, UnparsedPublicKey};

/// What is known of a commit's signature.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Signature {
    /// Whether there is one, of whatever kind.
    pub(super) is_there: bool,
    /// Whose, where it is one of SSH's by a key of Ed25519 and fits: a name that anybody could write there says
    /// nothing.
    pub(super) signer: Option<String>,
}

impl Signature {
    /// Reads it from the commit, which is named in this way.
    pub(super) fn of(commit: &[u8], format: Hash) -> Self {
        let header = if format == Hash::Sha1 {
            "gpgsig"
        } else {
            "gpgsig-sha256"
        };
        let Some((signed, armored)) = signed_part(commit, header) else {
            return Self::default();
        };
        let signer = GitSignature::parse(&armored).filter(|found| {
            let blob = MessageDigest::of(&signed).blob_for_git();
            UnparsedPublicKey::new(&ED25519, found.key)
                .verify(&blob, &found.signature)
                .is_ok()
        });
        Self {
            is_there: true,
            signer: signer.map(|found| fingerprint(&found.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(name: &str) -> String {
        std::fs::read_to_string(format!("../../tests/vectors/signature/{name}")).unwrap()
    }

    /// A commit that bears a signature, as git writes it.
    fn commit(text: &str, signature: &str) -> String {
        let (head, message) = text.split_once("\n\n").unwrap();
        let signature = signature.trim_end().replace('\n', "\n ");
        format!("{head}\ngpgsig {signature}\n\n{message}")
    }

    fn read(commit: &str) -> Signature {
        Signature::of(commit.as_bytes(), Hash::Sha1)
    }

    #[test]
    fn only_a_signature_that_fits_says_whose_it_is() {
        let (text, signature) = (vector("git.txt"), vector("git.sig"));
        let key = vector("key.pub");
        let known = read(&commit(&text, &signature));
        let signer = known.signer.expect("it fits");
        assert!(signer.starts_with("SHA256:") && key.starts_with("ssh-ed25519 "));
        assert!(!read(&text).is_there);
        for (text, signature) in [
            (text.replace("x\n", "y\n"), signature.clone()),
            (text.clone(), vector("file.sig")),
            (text.clone(), vector("rsa.sig")),
            (
                text.clone(),
                "-----BEGIN PGP SIGNATURE-----\nx\n".to_owned(),
            ),
        ] {
            let found = read(&commit(&text, &signature));
            assert_eq!((found.is_there, found.signer), (true, None), "{signature}");
        }
        // It stands where git looks for one in repositories of the other kind only.
        let other = Signature::of(commit(&text, &signature).as_bytes(), Hash::Sha256);
        assert_eq!(other, Signature::default());
    }
}
