//! What `ssh-keygen` asks of an agent of SSH's, as far as it is answered: which keys there are, and to sign.
//!
//! # References
//!
//! - draft-ietf-sshm-ssh-agent, sections 3, 4.4 and 4.5; its numbers are those of OpenSSH's `authfd.h`

use agentguard_core::ssh::{put_string, string};

/// The longest message that is read. What git has signed takes some 200 bytes.
pub(super) const LONGEST: usize = 16 << 10;
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Request<'m> {
    /// Which keys there are.
    Keys,
    /// A signature by this key of this.
    Sign { key: &'m [u8], data: &'m [u8] },
    /// To add or remove keys, to lock them, or anything else that is not done here.
    Other,
}

/// What the bytes that came begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Frame<'m> {
    /// A message, and how many bytes it takes.
    Whole(&'m [u8], usize),
    /// The beginning of one.
    More,
    /// What cannot become one: whoever sent it is not listened to any more.
    Wrong,
}

impl<'m> Frame<'m> {
    pub(super) fn read(bytes: &'m [u8]) -> Self {
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return Self::More;
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 || length > LONGEST {
            return Self::Wrong;
        }
        rest.get(..length)
            .map_or(Self::More, |message| Self::Whole(message, 4 + length))
    }
}

impl<'m> Request<'m> {
    pub(super) fn read(message: &'m [u8]) -> Self {
        match message.split_first() {
            Some((&REQUEST_IDENTITIES, [])) => Self::Keys,
            Some((&SIGN_REQUEST, rest)) => Self::sign(rest).unwrap_or(Self::Other),
            Some(_) | None => Self::Other,
        }
    }

    fn sign(mut rest: &'m [u8]) -> Option<Self> {
        let (key, data) = (string(&mut rest)?, string(&mut rest)?);
        // Flags, which are about keys of other kinds.
        (rest.len() == 4).then_some(Self::Sign { key, data })
    }
}

pub(super) fn failure() -> Vec<u8> {
    message(&[FAILURE])
}

/// The one key that there is.
pub(super) fn keys(key: &[u8], name: &str) -> Vec<u8> {
    let mut body = vec![IDENTITIES_ANSWER, 0, 0, 0, 1];
    put_string(&mut body, key);
    put_string(&mut body, name.as_bytes());
    message(&body)
}

pub(super) fn signed(signature: &[u8]) -> Vec<u8> {
    let mut body = vec![SIGN_RESPONSE];
    put_string(&mut body, signature);
    message(&body)
}

fn message(body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    put_string(&mut message, body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: &[u8], data: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut body = vec![SIGN_REQUEST];
        put_string(&mut body, key);
        put_string(&mut body, data);
        [&body, rest].concat()
    }

    #[test]
    fn only_two_requests_are_known() {
        assert_eq!(Request::read(&[REQUEST_IDENTITIES]), Request::Keys);
        let whole = asked(b"key", b"data", &[0; 4]);
        let (key, data) = (b"key".as_slice(), b"data".as_slice());
        assert_eq!(Request::read(&whole), Request::Sign { key, data });
        for length in 0..whole.len() {
            assert_eq!(Request::read(&whole[..length]), Request::Other, "{length}");
        }
        assert_eq!(Request::read(&asked(b"k", b"d", &[0; 5])), Request::Other);
        assert_eq!(Request::read(&[REQUEST_IDENTITIES, 0]), Request::Other);
        for kind in (0..=u8::MAX).filter(|kind| ![11, 13].contains(kind)) {
            assert_eq!(Request::read(&[kind]), Request::Other);
            assert_eq!(
                Request::read(&[&[kind], &whole[1..]].concat()),
                Request::Other
            );
        }
    }

    #[test]
    fn a_message_is_taken_once_it_is_whole_and_none_that_is_too_long() {
        let bytes = [&failure()[..], b"rest"].concat();
        assert_eq!(Frame::read(&bytes), Frame::Whole(&[FAILURE], 5));
        for length in 0..5 {
            assert_eq!(Frame::read(&bytes[..length]), Frame::More);
        }
        for length in [0, LONGEST + 1, u32::MAX as usize] {
            let length = u32::try_from(length).unwrap().to_be_bytes();
            assert_eq!(Frame::read(&length), Frame::Wrong);
        }
    }
}
