//! A line to the guard. A request waits for what is said on it, so that each word is one system call, and wakes the
//! other side once.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::wire::{Answer, Asked, LONGEST};

/// More than most answers take.
const AT_ONCE: usize = 4 << 10;
/// How many bytes a frame's length takes.
const HEAD: usize = 4;

/// One that is asked on, one question after the other.
pub(super) struct Line {
    stream: UnixStream,
    /// What has come and was not read.
    come: Vec<u8>,
}

impl Line {
    pub(super) fn new(line: OwnedFd) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::from(line);
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
            come: Vec::with_capacity(AT_ONCE),
        })
    }

    /// Tells the guard something that it does not answer, and the same of what goes along.
    pub(super) async fn tell(&mut self, asked: &Asked, along: &[Asked]) -> io::Result<()> {
        let mut frames = Vec::new();
        add(&mut frames, asked)?;
        for told in along {
            add(&mut frames, told)?;
        }
        self.stream.write_all(&frames).await
    }

    /// Asks the guard something. What goes along stands behind it: nobody waits for that.
    pub(super) async fn ask(&mut self, asked: &Asked, along: &[Asked]) -> io::Result<Answer> {
        self.tell(asked, along).await?;
        let head = self.take(HEAD).await?;
        let length = head.first_chunk().copied().map(u32::from_le_bytes);
        let length = usize::try_from(length.unwrap_or(0)).map_err(io::Error::other)?;
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(serde_json::from_slice(&self.take(length).await?)?)
    }

    /// The next `length` bytes.
    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.come.len() < length {
            if self.stream.read_buf(&mut self.come).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.come.split_off(length);
        Ok(std::mem::replace(&mut self.come, rest))
    }
}

/// Adds a frame to others.
fn add(frames: &mut Vec<u8>, asked: &Asked) -> io::Result<()> {
    let start = frames.len();
    frames.extend_from_slice(&[0; HEAD]);
    serde_json::to_writer(&mut *frames, asked)?;
    let length = frames.len().saturating_sub(start + HEAD);
    let length = u32::try_from(length).map_err(io::Error::other)?;
    if let Some(head) = frames.get_mut(start..start + HEAD) {
        head.copy_from_slice(&length.to_le_bytes());
    }
    Ok(())
}
