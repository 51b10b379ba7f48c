//! Tokens in the kernel's keyrings: in its memory, in no file, until the machine is started anew.

use std::io;

use agentguard_core::Secret;
use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};

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
    let failed = |error| failed("read from the kernel's keyring", description, error);
    let mut missing = KeyError::KeyDoesNotExist;
    for ring in RINGS {
        match find(ring, description) {
            Ok(key) => return token(key).map_err(failed),
            Err(error) => missing = error,
        }
    }
    Err(failed(missing))
}

/// Keeps a token in the user's keyring, for so many seconds or until the machine is started anew.
///
/// It is the user's and not a session's or a process's: those end with whoever logged in. Nor is it the persistent one,
/// which forgets all after three days in which nobody asked for it.
///
/// # References
///
/// - user-keyring(7), persistent-keyring(7)
pub(crate) fn keep(description: &str, token: &[u8], seconds: Option<u64>) -> Result<(), Error> {
    let failed = |error| failed("keep in the kernel's keyring", description, error);
    let ring = users().map_err(failed)?;
    let key = ring.add_key(description, token).map_err(failed)?;
    let Some(seconds) = seconds else {
        return Ok(());
    };
    let seconds = usize::try_from(seconds).unwrap_or(usize::MAX);
    key.set_timeout(seconds).map_err(|error| {
        // One that would stay is not what was asked for.
        let _ = ring.unlink_key(key);
        failed(error)
    })
}

/// Reads what was kept. `None` where it is gone.
pub(crate) fn kept(description: &str) -> Result<Option<Secret>, Error> {
    let failed = |error| failed("read from the kernel's keyring", description, error);
    match found(description).map_err(failed)? {
        Some(key) => token(key).map(Some).map_err(failed),
        None => Ok(None),
    }
}

/// Whether it is there still.
pub(crate) fn is_kept(description: &str) -> Result<bool, Error> {
    let failed = |error| failed("look for in the kernel's keyring", description, error);
    Ok(found(description).map_err(failed)?.is_some())
}

/// Removes what was kept, if it is there.
pub(crate) fn forget(description: &str) -> Result<(), Error> {
    let failed = |error| failed("remove from the kernel's keyring", description, error);
    match found(description).map_err(failed)? {
        // Whoever else has linked it has it no more either.
        Some(key) => key.invalidate().map_err(failed),
        None => Ok(()),
    }
}

fn found(description: &str) -> Result<Option<Key>, KeyError> {
    match find(KeyRingIdentifier::User, description) {
        Ok(key) => Ok(Some(key)),
        Err(
            KeyError::KeyDoesNotExist
            | KeyError::MissingFileOrDirectory
            | KeyError::KeyExpired
            | KeyError::KeyRevoked,
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

fn find(ring: KeyRingIdentifier, description: &str) -> Result<Key, KeyError> {
    let ring = match ring == KeyRingIdentifier::User {
        true => users()?,
        false => KeyRing::from_special_id(ring, false)?,
    };
    ring.search(description)
}

/// The user's keyring, whose keys are ours to read: a service that was given an empty keyring for its session has it
/// otherwise by name alone. The link is this process's, and goes with it.
fn users() -> Result<KeyRing, KeyError> {
    let ring = KeyRing::from_special_id(KeyRingIdentifier::User, false)?;
    KeyRing::from_special_id(KeyRingIdentifier::Process, true)?.link_keyring(ring)?;
    Ok(ring)
}

fn token(key: Key) -> Result<Secret, KeyError> {
    let mut bytes = room();
    bytes.resize(MOST, 0);
    let length = key.read(&mut *bytes)?;
    // The kernel says how long it is, whatever there was room for.
    bytes.truncate(length);
    Ok(trimmed(&bytes))
}

fn failed(doing: &'static str, description: &str, error: KeyError) -> Error {
    Error::Io {
        doing,
        path: description.into(),
        source: cause(error),
    }
}

fn cause(error: KeyError) -> io::Error {
    let is_one_of = |errors: &[KeyError]| errors.contains(&error);
    let text = if is_one_of(&[KeyError::KeyDoesNotExist, KeyError::MissingFileOrDirectory]) {
        "there is no key of this description in the session's keyring or the user's"
    } else if is_one_of(&[KeyError::AccessDenied, KeyError::PermissionDenied]) {
        "the kernel refuses it"
    } else if is_one_of(&[KeyError::KeyExpired, KeyError::KeyRevoked]) {
        "the key has expired, or was revoked"
    } else if is_one_of(&[KeyError::QuotaExceeded]) {
        "the kernel keeps no more for this user (`/proc/sys/kernel/keys`)"
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
    fn a_token_is_kept_in_the_keyring_until_it_is_forgotten() {
        let name = format!("agentguard-test-kept-{}", std::process::id());
        assert!(!is_kept(&name).unwrap());
        keep(&name, b"ghp_kept", Some(3600)).unwrap();
        assert!(kept(&name).unwrap().unwrap().is(b"ghp_kept"));
        assert!(is_kept(&name).unwrap());
        forget(&name).unwrap();
        assert!(kept(&name).unwrap().is_none());
        forget(&name).unwrap();
    }

    #[test]
    fn what_is_longer_than_a_token_is_none() {
        let name = format!("agentguard-test-long-{}", std::process::id());
        let _added = Added::new(&name, &[b'a'; MOST + 100]);
        assert!(check(&read(&name).unwrap(), &[]).is_err());
    }
}
