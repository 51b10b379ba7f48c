//! What a token may be.

use agentguard_core::{Digest, Secret, Slot};
use zeroize::Zeroizing;

use super::ssh;
use crate::Error;

/// The longest token. Servers take headers of this length at most.
pub(crate) const LONGEST: usize = 16 * 1024;

/// Takes one newline off the end, as `echo` and editors leave it there.
#[must_use]
pub fn trimmed(bytes: &[u8]) -> Secret {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Secret::new(line.to_vec())
}

/// Refuses what cannot stand in a request: nothing, more than a line, or what is not printable.
///
/// # Errors
///
/// Returns [`Error::Token`] with what is wrong with it, and nothing of what it is.
pub fn check(token: &Secret, slots: &[&Slot]) -> Result<(), Error> {
    let refused = |problem| Err(Error::Token { problem });
    let bytes = token.danger_reveal();
    if bytes.is_empty() {
        return refused("is empty");
    }
    if bytes.len() > LONGEST {
        return refused("is longer than 16384 bytes");
    }
    if slots.iter().any(|slot| slot.is_ssh()) {
        return ssh::check_key(bytes).map_or(Ok(()), refused);
    }
    if bytes.contains(&b'\n') || bytes.contains(&b'\r') {
        return refused("has more than one line, and stands in one line of a request");
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return refused("holds control characters");
    }
    if !bytes.is_ascii() {
        return refused("holds what is not ASCII");
    }
    if bytes.starts_with(b" ") || bytes.ends_with(b" ") {
        return refused("begins or ends with a blank");
    }
    let is_aws = slots.iter().any(|slot| matches!(slot, Slot::Aws));
    let parts: Vec<_> = bytes.split(|byte| *byte == b':').collect();
    if is_aws && (!matches!(parts.len(), 2 | 3) || parts.iter().any(|part| part.is_empty())) {
        return refused("is not `id:key` or `id:key:session-token`, as AWS's are");
    }
    Ok(())
}

/// What entries know a token by.
#[must_use]
pub fn digest(token: &Secret) -> Digest {
    let copy = Zeroizing::new(token.danger_reveal().to_vec());
    Digest::of(&copy)
}
