//! Tokens in the kernel's keyrings: in its memory, in no file, until the machine is started anew.

use std::io;

use agentguard_core::Secret;
use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};

use super::source::{MOST, room};
use super::token::trimmed;
use crate::Error;

/// Where a key is looked for: what the session of the human's has, which on most systems leads to the user's, and the
/// user's own.
const RINGS: [KeyRingIdentifier; 2] = [KeyRingIdentifier::Session, KeyRingIdentifier::User];

/// Reads the key of type `user` that has this description.
///
/// # References
///
/// - keyrings(7), user-keyring(7)
pub(crate) fn read(description: &str) -> Result<Secret, Error> {
    let failed = |source| Error::Io {
        doing: "read from the kernel's keyring",
        path: description.into(),
        source,
    };
    let mut missing = KeyError::KeyDoesNotExist;
    for ring in RINGS {
        let key = KeyRing::from_special_id(ring, false).and_then(|ring| ring.search(description));
        match key {
            Ok(key) => {
                let mut bytes = room();
                bytes.resize(MOST, 0);
                let length = key
                    .read(&mut *bytes)
                    .map_err(|error| failed(cause(error)))?;
                // The kernel says how long it is, whatever there was room for.
                bytes.truncate(length);
                return Ok(trimmed(&bytes));
            }
            Err(error) => missing = error,
        }
    }
    Err(failed(cause(missing)))
}

fn cause(error: KeyError) -> io::Error {
    let is_one_of = |errors: &[KeyError]| errors.contains(&error);
    let text = if is_one_of(&[KeyError::KeyDoesNotExist, KeyError::MissingFileOrDirectory]) {
        "there is no key of this description in the session's keyring or the user's"
    } else if is_one_of(&[KeyError::AccessDenied, KeyError::PermissionDenied]) {
        "the kernel refuses it"
    } else if is_one_of(&[KeyError::KeyExpired, KeyError::KeyRevoked]) {
        "the key has expired, or was revoked"
    } else {
        "it cannot be read"
    };
    io::Error::other(text)
}

#[cfg(test)]
mod tests {
    use super::super::token::check;
    use super::*;

    /// A key of the user's that goes when this does.
    struct Added(linux_keyutils::Key);

    impl Added {
        fn new(description: &str, token: &[u8]) -> Self {
            let ring = KeyRing::from_special_id(KeyRingIdentifier::User, false).unwrap();
            Self(ring.add_key(description, token).unwrap())
        }
    }

    impl Drop for Added {
        fn drop(&mut self) {
            let ring = KeyRing::from_special_id(KeyRingIdentifier::User, false).unwrap();
            let _ = ring.unlink_key(self.0);
        }
    }

    #[test]
    fn a_token_is_read_from_the_keyring_as_it_is_there_now() {
        let name = format!("agentguard-test-{}", std::process::id());
        let added = Added::new(&name, b"ghp_first\n");
        assert!(read(&name).unwrap().is(b"ghp_first"));
        let again = Added::new(&name, b"ghp_second");
        assert!(read(&name).unwrap().is(b"ghp_second"));
        drop((added, again));
        let Err(Error::Io { source, .. }) = read(&name) else {
            panic!("it is still there");
        };
        assert!(source.to_string().contains("there is no key"), "{source}");
    }

    #[test]
    fn what_is_longer_than_a_token_is_none() {
        let name = format!("agentguard-test-long-{}", std::process::id());
        let _added = Added::new(&name, &[b'a'; MOST + 100]);
        assert!(check(&read(&name).unwrap(), &[]).is_err());
    }
}
