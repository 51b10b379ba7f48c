//! A line to the guard. A request waits for what is said on it, so that each word is one system call, and wakes the
//! other side once.

use std::io::{self, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::wire::{Answer, Asked, LONGEST};

/// More than most answers take.
const AT_ONCE: usize = 4 << 10;
/// How many bytes a frame's length takes.
const HEAD: usize = 4;

/// One that is asked on, one question after the other.
pub(super) struct Line {
    written: UnixStream,
    /// The same, registered as what is only read: room to write comes with each question as soon as that is read, and nobody
    /// is to be woken for it.
    read: pipe::Receiver,
    /// To which processor whoever answers was told to keep.
    near: Option<u16>,
    /// What has come and was not read.
    come: Vec<u8>,
}

impl Line {
    pub(super) fn new(line: OwnedFd) -> io::Result<Self> {
        let stream = UnixStream::from(line);
        stream.set_nonblocking(true)?;
        Ok(Self {
            read: pipe::Receiver::from_owned_fd_unchecked(stream.try_clone()?.into())?,
            written: stream,
            near: None,
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
        self.write_all(&frames).await
    }

    /// Asks the guard something. What goes along stands behind it: nobody waits for that. Whoever answers it is to keep to
    /// the processor `near`.
    pub(super) async fn ask(
        &mut self,
        asked: &Asked,
        mut along: Vec<Asked>,
        near: Option<u16>,
    ) -> io::Result<Answer> {
        if self.near != near {
            along.push(Asked::Near(near));
            self.near = near;
        }
        self.tell(asked, &along).await?;
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
            if self.read.read_buf(&mut self.come).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.come.split_off(length);
        Ok(std::mem::replace(&mut self.come, rest))
    }

    async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match (&self.written).write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.room().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for room, of which most questions need less than there is.
    async fn room(&self) -> io::Result<()> {
        let again = pipe::Sender::from_owned_fd_unchecked(self.written.try_clone()?.into())?;
        again.writable().await
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

#[cfg(test)]
mod tests {
    use agentguard_core::Rule;

    use super::*;
    use crate::wire;

    #[tokio::test]
    async fn what_is_longer_than_there_is_room_for_is_told_whole() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut line = Line::new(ours.into()).unwrap();
        let reason = "x".repeat(LONGEST / 2);
        let told = Asked::Found(Rule::new("a/b", reason.clone()));
        let heard = std::thread::spawn(move || wire::receive(&mut theirs, LONGEST).unwrap());
        line.tell(&told, &[]).await.unwrap();
        let Some(Asked::Found(rule)) = heard.join().unwrap() else {
            panic!("something else was heard");
        };
        assert_eq!(rule.reason, reason);
    }
}
