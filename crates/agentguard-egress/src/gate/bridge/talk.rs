//! One conversation with a server over SSH, as the guard began it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Ssh;
use crate::gate::push::pkt::{self, Line, NoLine};
use crate::ssh::{Errand, Service};

/// How much is read at once.
const PIECE: usize = 64 << 10;
/// The longest that a server says first: all its refs.
const LONGEST: usize = 64 << 20;
/// How much of what it says of errors is kept, and told.
const MOST_ERRORS: usize = 8 << 10;
const MOST_TOLD: usize = 400;
/// How long is waited for that once all else is over.
const ERRORS_FOR: Duration = Duration::from_secs(2);

/// A conversation. It ends with this.
pub(super) struct Talk {
    pub(super) input: Option<Sender>,
    output: Receiver,
    errors: JoinHandle<Vec<u8>>,
    service: Service,
    /// What came behind what the server says first.
    come: Vec<u8>,
    patience: Duration,
    _life: File,
    _place: OwnedSemaphorePermit,
}

/// What a server says first.
pub(super) struct Greeting {
    pub(super) bytes: Vec<u8>,
    /// Whether it speaks the second version of git's protocol.
    pub(super) is_second: bool,
}

impl Talk {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// Returns why there is none.
    pub(super) async fn begin(ssh: &Arc<Ssh>, errand: Errand) -> Result<Self, String> {
        let gone = || "the guard is gone".to_owned();
        let place = Arc::clone(&ssh.places).acquire_owned().await;
        let place = place.map_err(|_| gone())?;
        let (line, service) = (Arc::clone(ssh), errand.service);
        let begun = tokio::task::spawn_blocking(move || line.begin(&errand)).await;
        let ends = begun.map_err(|_| gone())?.map_err(|_| gone())??;
        let mut ends = ends.into_iter();
        let mut next = || ends.next().ok_or_else(gone);
        let (output, errors, life) = (next()?, next()?, next()?);
        let broken = |error: std::io::Error| error.to_string();
        let input = ends.next().map(Sender::from_owned_fd).transpose();
        let errors = Receiver::from_owned_fd(errors).map_err(broken)?;
        Ok(Self {
            input: input.map_err(broken)?,
            output: Receiver::from_owned_fd(output).map_err(broken)?,
            errors: tokio::spawn(kept(errors)),
            service,
            come: Vec::new(),
            patience: ssh.patience,
            _life: held(life),
            _place: place,
        })
    }

    /// Waits for what the server says first, up to its end.
    ///
    /// # Errors
    ///
    /// Returns why it is not what a server of git says.
    pub(super) async fn greeting(&mut self) -> Result<Greeting, String> {
        match timeout(2 * self.patience, self.greeted()).await {
            Ok(greeting) => greeting,
            Err(_) => Err("the server does not say anything".to_owned()),
        }
    }

    async fn greeted(&mut self) -> Result<Greeting, String> {
        let (mut bytes, mut read, mut is_second) = (Vec::new(), 0, None);
        loop {
            let mut rest = bytes.get(read..).unwrap_or_default();
            let line = pkt::take(&mut rest);
            let taken = bytes.len() - rest.len();
            match line {
                Ok(Line::Data(line)) => {
                    if let Some(why) = line.strip_prefix(b"ERR ") {
                        return Err(format!("the server says: {}", plain(why)));
                    }
                    is_second.get_or_insert(line.starts_with(b"version 2"));
                    read = taken;
                }
                Ok(Line::Delimiter | Line::End) => read = taken,
                Ok(Line::Flush) => {
                    self.come = bytes.split_off(taken);
                    let is_second = is_second.unwrap_or(false);
                    return Ok(Greeting { bytes, is_second });
                }
                Err(NoLine::Malformed) => {
                    let said = plain(bytes.get(read..).unwrap_or_default());
                    return Err(format!("what the server says is not git's: {said}"));
                }
                Err(NoLine::Unfinished) => match self.next().await {
                    Some(next) => bytes.extend_from_slice(&next),
                    None => return Err(self.why().await.unwrap_or_else(broken_off)),
                },
            }
            if bytes.len() > LONGEST {
                return Err("what the server says first does not end".to_owned());
            }
        }
    }

    /// What comes next of what the server says.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if !self.come.is_empty() {
            return Some(std::mem::take(&mut self.come).into());
        }
        let mut piece = Vec::with_capacity(PIECE);
        match self.output.read_buf(&mut piece).await {
            Ok(length) if length > 0 => Some(piece.into()),
            Ok(_) | Err(_) => None,
        }
    }

    /// Whether the server is to go on where nobody listens any more: it may be changing refs.
    pub(super) fn is_to_be_heard(&self) -> bool {
        self.service == Service::Receive
    }

    /// What the client of SSH says went wrong, or the server by it, once the conversation is over.
    pub(super) async fn why(&mut self) -> Option<String> {
        self.input = None;
        let errors = timeout(ERRORS_FOR, &mut self.errors).await;
        let errors = errors.ok()?.ok()?;
        Some(last(&errors)).filter(|errors| !errors.is_empty())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.errors.abort();
    }
}

/// Says all of it.
pub(super) async fn say(input: &mut Sender, bytes: &[u8]) -> std::io::Result<()> {
    input.write_all(bytes).await
}

fn held(life: OwnedFd) -> File {
    life.into()
}

fn broken_off() -> String {
    "the conversation breaks off".to_owned()
}

/// Reads errors to their end, so that nobody waits to say them, and keeps the last.
async fn kept(mut errors: Receiver) -> Vec<u8> {
    let mut kept = Vec::new();
    while let Ok(length) = errors.read_buf(&mut kept).await
        && length > 0
    {
        let over = kept.len().saturating_sub(MOST_ERRORS);
        kept.drain(..over);
    }
    kept
}

/// The end of what went wrong: what comes before are warnings in frames, and where our files lie.
fn last(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let is_told = |line: &&str| {
        !line.starts_with(['@', ' '])
            && !line.starts_with("Offending ")
            && !line.starts_with("Add correct host key")
    };
    let lines: Vec<_> = text.lines().filter(is_told).collect();
    let end = lines.len().saturating_sub(3);
    plain(lines.get(end..).unwrap_or_default().join("\n").as_bytes())
}

/// In one line, of what everybody can read.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.chars().any(char::is_alphanumeric))
        .collect();
    let whole = lines.join("; ");
    let plain = whole.chars().filter(|c| c.is_ascii() && !c.is_control());
    plain.take(MOST_TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_told_by_its_end() {
        let errors = b"@@@@@@\n@    WARNING: CHANGED!     @\n@@@@@@\nIT IS POSSIBLE\nPlease contact\n\
            Add correct host key in /state/keys/1\n  remove with:\nOffending key in /state/keys/1:1\n\
            Host key for git.test has changed and you have requested strict checking.\r\nHost key verification failed.\r\n";
        assert_eq!(
            last(errors),
            "Please contact; Host key for git.test has changed and you have requested strict checking.; Host key verification failed."
        );
        assert_eq!(last(b"\x1b[31mno\n\x07\n"), "[31mno");
        assert_eq!(last(b""), "");
    }
}
