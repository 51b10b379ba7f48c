//! Where packs lie while they are judged and sent on: in files without a name, which nobody but the gate has. What is
//! sent is read from the same file as what was judged.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gix_hash::Kind as Hash;
use gix_pack::{MMap, data};
use hyper::body::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gate::accept::{MOST_HELD, MOST_PUSHES};

/// The longest pack.
pub(super) const LONGEST: u64 = 512 << 20;
/// How many there are: of pushes that are read, and of those that wait for a human.
const MOST: usize = MOST_PUSHES + MOST_HELD;
/// How much is written at once.
const PIECE: usize = 1 << 20;
/// No pack is shorter: a header and a digest.
const SHORTEST: u64 = 32;

/// The files of a gate.
pub(in crate::gate) struct Spools {
    free: Mutex<Vec<File>>,
    places: Arc<Semaphore>,
}

/// A file for one pack. It is emptied and given back with this.
pub(in crate::gate) struct Spool {
    spools: Arc<Spools>,
    _place: OwnedSemaphorePermit,
    file: Option<File>,
    length: u64,
    waiting: Vec<u8>,
}

/// A pack that was written whole.
pub(super) struct Spooled {
    // Before what empties the file.
    mapped: Option<data::File<MMap>>,
    spool: Spool,
}

impl Spools {
    /// Makes files in a directory, and returns it: what is below it is to be readable.
    pub(in crate::gate) fn open(directory: &Path) -> io::Result<(Self, OwnedFd)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let mut free = Vec::new();
        for number in 0..MOST {
            let name = format!("{}-{number}", std::process::id());
            // One that was killed between the two leaves its name.
            let _ = rustix::fs::unlinkat(&directory, &name, AtFlags::empty());
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mode = Mode::RUSR | Mode::WUSR;
            let file = rustix::fs::openat(&directory, &name, flags | OFlags::NOFOLLOW, mode)?;
            rustix::fs::unlinkat(&directory, &name, AtFlags::empty())?;
            free.push(File::from(file));
        }
        let spools = Self {
            free: Mutex::new(free),
            places: Arc::new(Semaphore::new(MOST)),
        };
        Ok((spools, directory))
    }

    /// Waits until there is one.
    pub(in crate::gate) async fn take(self: &Arc<Self>) -> io::Result<Spool> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let free = self.free().pop();
        Ok(Spool {
            spools: Arc::clone(self),
            _place: place,
            file: Some(free.ok_or(io::ErrorKind::NotFound)?),
            length: 0,
            waiting: Vec::new(),
        })
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<File>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// How much was written.
    pub(super) fn length(&self) -> u64 {
        self.length + u64::try_from(self.waiting.len()).unwrap_or(u64::MAX)
    }

    /// Appends. Whoever does not wait for it leaves nothing behind that still writes: the file goes along.
    pub(super) async fn write(mut self, bytes: &[u8]) -> io::Result<Self> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < PIECE {
            return Ok(self);
        }
        self.flush().await
    }

    async fn flush(mut self) -> io::Result<Self> {
        // A disk may be slow, and others are waiting.
        let written = tokio::task::spawn_blocking(move || {
            let piece = std::mem::take(&mut self.waiting);
            let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
            file.write_all_at(&piece, self.length)?;
            self.length += u64::try_from(piece.len()).map_err(io::Error::other)?;
            Ok(self)
        });
        written.await.map_err(io::Error::other)?
    }

    /// Ends it: what was written can be read.
    pub(super) async fn end(self) -> io::Result<Spooled> {
        let spool = self.flush().await?;
        let mapped = match (&spool.file, spool.length) {
            (_, 0) => None,
            (Some(file), SHORTEST..) => Some(map(file)?),
            (Some(_) | None, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        Ok(Spooled { mapped, spool })
    }
}

/// Maps it by its descriptor: nobody else has the file, so that nothing changes below.
fn map(file: &File) -> io::Result<data::File<MMap>> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    data::File::at(path, Hash::Sha1).map_err(|error| io::Error::other(error.to_string()))
}

impl Drop for Spool {
    fn drop(&mut self) {
        // One that cannot be emptied is not used again.
        if let Some(file) = self.file.take()
            && file.set_len(0).is_ok()
        {
            self.spools.free().push(file);
        }
    }
}

impl Spooled {
    /// How long it is.
    pub(super) fn length(&self) -> u64 {
        self.spool.length
    }

    /// It as bytes, which are read from the file as they are needed.
    pub(super) fn bytes(self) -> Bytes {
        match &self.mapped {
            Some(_) => Bytes::from_owner(self),
            None => Bytes::new(),
        }
    }
}

impl AsRef<[u8]> for Spooled {
    fn as_ref(&self) -> &[u8] {
        let slice = self
            .mapped
            .as_ref()
            .and_then(|mapped| mapped.entry_slice(0..self.spool.length));
        slice.unwrap_or_default()
    }
}
