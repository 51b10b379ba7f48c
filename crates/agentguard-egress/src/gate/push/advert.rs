//! What a server says that it can, before a push: the gate has clients send packs that can be read by themselves.

use std::collections::VecDeque;

use hyper::body::{Bytes, Incoming};

use super::pkt::{self, Line, NoLine};
use crate::gate::body;

/// The longest beginning of such an answer: the service, and the first ref with all that the server can.
const LONGEST: usize = 128 << 10;
/// What makes a client send what it changes whole, and not as differences to what only the server has
/// (gitprotocol-capabilities(5)).
const WHOLE: &[u8] = b" no-thin";

/// Reads the beginning of an answer, and returns it as the client gets to read it.
///
/// # Errors
///
/// Returns why it is no answer that a push could follow.
pub(in crate::gate) async fn edit(body: &mut Incoming) -> Result<VecDeque<Bytes>, String> {
    let mut read = Vec::new();
    loop {
        match edited(&read) {
            Ok(Some(edited)) => return Ok(VecDeque::from([Bytes::from(edited)])),
            Ok(None) if read.len() > LONGEST => {
                return Err("what the server can does not end".to_owned());
            }
            Ok(None) => {}
            Err(why) => return Err(why.to_owned()),
        }
        match body::next(body).await {
            Some(Ok(bytes)) => read.extend_from_slice(&bytes),
            Some(Err(error)) => return Err(error.to_string()),
            // An error of the server's, or one that speaks no protocol that this is about.
            None => return Ok(VecDeque::from([Bytes::from(read)])),
        }
    }
}

/// The bytes with one more capability in the first ref's line. `None` where that line has not all come.
fn edited(bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut rest = bytes;
    loop {
        let before = bytes.len() - rest.len();
        let line = match pkt::take(&mut rest) {
            Ok(Line::Data(line)) => line,
            Ok(Line::Flush | Line::Delimiter | Line::End) => continue,
            Err(NoLine::Unfinished) => return Ok(None),
            Err(NoLine::Malformed) => return Err("what the server can is not readable"),
        };
        // A server that refuses says so here, and is passed on.
        if line.starts_with(b"ERR ") {
            return Ok(Some(bytes.to_vec()));
        }
        if !line.contains(&0) {
            continue;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut edited = bytes.get(..before).unwrap_or_default().to_vec();
        pkt::put(&mut edited, &[line, WHOLE, b"\n"].concat());
        edited.extend_from_slice(rest);
        return Ok(Some(edited));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_capability_is_said() {
        let mut bytes = Vec::new();
        pkt::put(&mut bytes, b"# service=git-receive-pack\n");
        pkt::flush(&mut bytes);
        let begun = bytes.len();
        pkt::put(
            &mut bytes,
            b"1111 refs/heads/main\0report-status delete-refs\n",
        );
        for length in 0..bytes.len() {
            assert_eq!(edited(&bytes[..length]), Ok(None), "{length}");
        }
        bytes.extend_from_slice(b"rest");
        let edited = edited(&bytes).unwrap().unwrap();
        let mut rest = &edited[begun..];
        let line = pkt::take(&mut rest).unwrap();
        assert_eq!(
            line,
            Line::Data(b"1111 refs/heads/main\0report-status delete-refs no-thin\n")
        );
        assert_eq!(rest, b"rest");
    }

    #[test]
    fn what_is_none_is_not_passed_on() {
        assert!(edited(b"<html>").is_err());
        let mut bytes = Vec::new();
        pkt::put(&mut bytes, b"ERR no");
        assert_eq!(edited(&bytes), Ok(Some(bytes.clone())));
    }
}
