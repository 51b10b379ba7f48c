//! A push as it comes in: its beginning is kept in memory, and its pack written to a file.

use std::collections::VecDeque;
use std::io;

use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use tokio::time::timeout;

use super::commands::{self, Commands};
use super::spool::{self, Spool, Spooled};
use super::{PATIENCE, PROBE, Unread};
use crate::gate::body;
use crate::gate::encoded::Unzip;

/// What came.
pub(super) enum Came {
    /// It asks for nothing.
    Probe,
    /// It is a push: its beginning, as it was read and as it came, and its pack.
    Push(Box<(Commands, Bytes, Spooled)>),
}

/// What there is so far.
struct Coming {
    /// Its beginning, and what came behind before that was known.
    head: Vec<u8>,
    commands: Option<Commands>,
    /// How much there was of it when it was last read.
    tried: usize,
    spool: Spool,
}

/// Waits for all of it.
///
/// # Errors
///
/// Returns why it is none that could be judged.
pub(super) async fn all(
    first: VecDeque<Bytes>,
    mut rest: Incoming,
    headers: &HeaderMap,
    spool: Spool,
) -> Result<Came, Box<Unread>> {
    let came = gather(first, &mut rest, headers, spool).await;
    if came.is_err() {
        // git reads no answer before it has sent all, and would say only that the connection broke.
        let over = async { while let Some(Ok(_)) = body::next(&mut rest).await {} };
        // Whoever does not end is not waited for, and hears nothing.
        let _ = timeout(PATIENCE, over).await;
    }
    came
}

async fn gather(
    first: VecDeque<Bytes>,
    rest: &mut Incoming,
    headers: &HeaderMap,
    spool: Spool,
) -> Result<Came, Box<Unread>> {
    let mut unzip = unzip(headers)?;
    let mut coming = Coming {
        head: Vec::new(),
        commands: None,
        tried: 0,
        spool,
    };
    for bytes in first {
        coming = coming.pass(bytes, &mut unzip).await?;
    }
    while let Some(next) = body::next(rest).await {
        let next = next.map_err(|_| Unread::new("its body breaks off"))?;
        coming = coming.pass(next, &mut unzip).await?;
    }
    if unzip.is_some_and(|unzip| !unzip.is_over()) {
        return Err(Unread::new("its body breaks off"));
    }
    coming.end().await
}

fn unzip(headers: &HeaderMap) -> Result<Option<Unzip>, Box<Unread>> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Ok(None),
        // What git's own server undoes.
        Some(coding) if coding == "gzip" || coding == "x-gzip" => Ok(Some(Unzip::default())),
        Some(_) => {
            let why = "it is compressed as a whole, and not by gzip";
            Err(Unread::new(why).with_remedy("send it as git does"))
        }
    }
}

impl Coming {
    /// Takes what came, and undoes how it is encoded.
    async fn pass(mut self, bytes: Bytes, unzip: &mut Option<Unzip>) -> Result<Self, Box<Unread>> {
        let Some(unzip) = unzip else {
            return self.take(&bytes).await;
        };
        unzip.take(&bytes);
        let broken = |()| Unread::new("it is not compressed as it says");
        while let Some(piece) = unzip.next().map_err(broken)? {
            self = self.take(&piece).await?;
        }
        Ok(self)
    }

    async fn take(mut self, bytes: &[u8]) -> Result<Self, Box<Unread>> {
        if self.commands.is_some() {
            return self.write(bytes).await;
        }
        self.head.extend_from_slice(bytes);
        // It is not read anew with each byte.
        if self.head.len() < 2 * self.tried && self.head.len() <= commands::LONGEST {
            return Ok(self);
        }
        self.tried = self.head.len();
        let Some(behind) = self.read()? else {
            return Ok(self);
        };
        self.write(&behind).await
    }

    /// Reads its beginning, and returns what is behind. `None` where it has not all come.
    fn read(&mut self) -> Result<Option<Vec<u8>>, Box<Unread>> {
        match commands::read(&self.head).map_err(Unread::new)? {
            commands::Read::Unfinished | commands::Read::Probe => Ok(None),
            commands::Read::Push(commands) => {
                let behind = self.head.split_off(commands.length);
                self.commands = Some(commands);
                Ok(Some(behind))
            }
        }
    }

    async fn write(mut self, bytes: &[u8]) -> Result<Self, Box<Unread>> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.spool.length().saturating_add(length) > spool::LONGEST {
            let most = spool::LONGEST >> 20;
            let why = format!("it is larger than {most} MiB, and none of it can be judged");
            let unread = Unread::new(&why).with_remedy("push in smaller steps");
            return Err(match self.commands {
                Some(commands) => unread.of(commands),
                None => unread,
            });
        }
        self.spool = self.spool.write(bytes).await.map_err(unwritten)?;
        Ok(self)
    }

    async fn end(mut self) -> Result<Came, Box<Unread>> {
        if self.head == PROBE {
            return Ok(Came::Probe);
        }
        if self.commands.is_none()
            && let Some(behind) = self.read()?
        {
            self = self.write(&behind).await?;
        }
        let Some(commands) = self.commands else {
            return Err(Unread::new("it breaks off"));
        };
        match self.spool.end().await {
            Ok(spooled) => Ok(Came::Push(Box::new((commands, self.head.into(), spooled)))),
            Err(error) => Err(unread(&error).of(commands)),
        }
    }
}

fn unwritten(error: io::Error) -> Box<Unread> {
    unread(&error)
}

fn unread(error: &io::Error) -> Box<Unread> {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Unread::new("its pack breaks off")
    } else {
        Unread::new(&format!("its pack cannot be kept to be judged: {error}"))
    }
}
