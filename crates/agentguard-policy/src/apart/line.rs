//! Messages between the guard and an evaluator: a length of four bytes, and as much JSON.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// An answer that is longer is none.
const MOST_ANSWER: usize = 16 << 20;

/// Asks, and waits for the answer until `longest` is over.
pub(super) fn exchange(
    line: &mut UnixStream,
    asked: &[u8],
    longest: Duration,
) -> Result<Vec<u8>, Error> {
    let end = Instant::now() + longest;
    line.set_write_timeout(Some(longest))?;
    send(line, asked)?;
    let mut length = [0; 4];
    read_until(line, &mut length, end)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MOST_ANSWER {
        return Err(Error::new(ErrorKind::InvalidData, "the answer is too long"));
    }
    let mut answer = vec![0; length];
    read_until(line, &mut answer, end)?;
    Ok(answer)
}

/// Sends one message.
pub(super) fn send(line: &mut UnixStream, message: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(message.len())
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "the message is too long"))?;
    line.write_all(&length.to_le_bytes())?;
    line.write_all(message)
}

/// Receives one message from whoever started this program.
pub(super) fn receive(line: &mut UnixStream) -> Result<Vec<u8>, Error> {
    let mut length = [0; 4];
    line.read_exact(&mut length)?;
    let mut message = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)];
    line.read_exact(&mut message)?;
    Ok(message)
}

pub(super) fn is_late(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

pub(super) fn is_end(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

fn read_until(line: &mut UnixStream, mut into: &mut [u8], end: Instant) -> Result<(), Error> {
    while !into.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        line.set_read_timeout(Some(left))?;
        match line.read(into) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => into = into.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
