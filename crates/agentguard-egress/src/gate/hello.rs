//! The beginning of a handshake, as far as `rustls` does not tell of it: whether it hides another one.

/// Encrypted Client Hello (RFC 9849): the name that is seen is then not whom it is for.
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// RFC 8446, section 5.1.
const HANDSHAKE: u8 = 22;
/// RFC 8446, section 4.
const CLIENT_HELLO: u8 = 1;

/// Whether a handshake hides whom it is for. `None` where `bytes` do not begin with a whole one.
pub(super) fn hides(bytes: &[u8]) -> Option<bool> {
    let message = message(bytes)?;
    let mut hello = Rest(&message);
    // Its version and its random bytes.
    hello.take(2 + 32)?;
    let _session = hello.short()?;
    let _suites = hello.long()?;
    let _compression = hello.short()?;
    if hello.0.is_empty() {
        return Some(false);
    }
    let mut extensions = Rest(hello.long()?);
    let mut hides = false;
    while !extensions.0.is_empty() {
        hides |= extensions.number()? == ENCRYPTED_CLIENT_HELLO;
        extensions.long()?;
    }
    Some(hides)
}

/// The first message, put together from its records.
fn message(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut records, mut message) = (Rest(bytes), Vec::new());
    loop {
        if let &[kind, a, b, c, ..] = &message[..] {
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
            if kind != CLIENT_HELLO {
                return None;
            }
            if let Some(whole) = message.get(4..4 + length) {
                return Some(whole.to_vec());
            }
        }
        if records.take(1)? != [HANDSHAKE] {
            return None;
        }
        let _version = records.take(2)?;
        message.extend_from_slice(records.long()?);
    }
}

/// What is left to be read.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// What has a length of one byte before it.
    fn short(&mut self) -> Option<&'b [u8]> {
        let length = self.take(1)?.first().copied()?;
        self.take(usize::from(length))
    }

    /// What has a length of two bytes before it.
    fn long(&mut self) -> Option<&'b [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::server::Acceptor;

    use super::*;

    /// A hello with these extensions, in records of `size` bytes.
    fn hello(extensions: &[(u16, &[u8])], size: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for (kind, data) in extensions {
            all.extend(kind.to_be_bytes());
            all.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            all.extend(*data);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(u16::try_from(all.len()).unwrap().to_be_bytes());
        body.extend(all);
        let mut message = vec![CLIENT_HELLO];
        message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        message.extend(body);
        let mut bytes = Vec::new();
        for piece in message.chunks(size) {
            bytes.extend([HANDSHAKE, 3, 1]);
            bytes.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
            bytes.extend(piece);
        }
        bytes
    }

    #[test]
    fn a_handshake_that_hides_another_is_seen_however_it_is_cut() {
        for size in [1, 2, 7, 1000] {
            assert_eq!(hides(&hello(&[(0, b"name"), (16, b"")], size)), Some(false));
            let hidden = hello(&[(0, b"name"), (0xfe0d, b"inner"), (16, b"")], size);
            assert_eq!(hides(&hidden), Some(true));
            for end in 0..hidden.len() {
                assert_eq!(hides(&hidden[..end]), None, "{size} {end}");
            }
        }
        assert_eq!(hides(b"GET / HTTP/1.1\r\n\r\n"), None);
        // Another kind of record, and another kind of message.
        let other = hello(&[(0, b"name")], 1000);
        for at in [0, 5] {
            let mut other = other.clone();
            other[at] += 1;
            assert_eq!(hides(&other), None, "{at}");
        }
    }

    #[test]
    fn fuzz_what_rustls_takes_for_a_handshake_is_one_here() {
        const WORDS: &[&str] = &["\u{16}\u{3}\u{1}", "\u{1}", "\u{0}", "\u{3}\u{3}"];
        crate::mutate::fuzz("hello", WORDS, |bytes| {
            let (mut acceptor, mut unread) = (Acceptor::default(), bytes);
            let accepted = loop {
                if unread.is_empty() || acceptor.read_tls(&mut unread).is_err() {
                    break false;
                }
                match acceptor.accept() {
                    Ok(None) => {}
                    Ok(Some(_)) => break true,
                    Err(_) => break false,
                }
            };
            let hides = hides(bytes);
            assert!(hides.is_some() || !accepted, "rustls takes it");
            format!("{accepted} {hides:?}")
        });
    }
}
