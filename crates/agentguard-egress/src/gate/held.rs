//! Requests that wait for a human: the guard has said so, and says what came of it on a line of its own.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::ask::Gone;
use crate::wire::{Answer, LONGEST, Settled};

/// What is held, by the numbers that the guard gave.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<u64, Place>>);

enum Place {
    Waited(oneshot::Sender<Answer>),
    /// It was settled before anybody here knew that it waits: the lines do not wait for one another.
    Early(Answer),
}

impl Held {
    /// Waits for what comes of a request that is held. Each is settled once.
    pub(super) fn wait(&self, ticket: u64) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let mut places = self.places();
        match places.remove(&ticket) {
            Some(Place::Early(answer)) => {
                let _ = sender.send(answer);
            }
            Some(Place::Waited(_)) | None => {
                places.insert(ticket, Place::Waited(sender));
            }
        }
        receiver
    }

    /// Hears what was settled, until the line breaks.
    pub(super) async fn hear(&self, line: OwnedFd) -> Gone {
        let line = std::os::unix::net::UnixStream::from(line);
        let line = line.set_nonblocking(true).map(|()| line);
        let Ok(mut line) = line.and_then(UnixStream::from_std) else {
            return Gone;
        };
        while let Ok(Settled { ticket, answer }) = hear_one(&mut line).await {
            let mut places = self.places();
            match places.remove(&ticket) {
                Some(Place::Waited(waiting)) => {
                    let _ = waiting.send(answer);
                }
                Some(Place::Early(_)) | None => {
                    places.insert(ticket, Place::Early(answer));
                }
            }
        }
        Gone
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hear_one(line: &mut UnixStream) -> io::Result<Settled> {
    let length = usize::try_from(line.read_u32_le().await?).map_err(io::Error::other)?;
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut settled = vec![0; length];
    line.read_exact(&mut settled).await?;
    Ok(serde_json::from_slice(&settled)?)
}
