//! The anchor log: the states of all sessions' logs of a user, in a log of its own.
//!
//! Several guards write to it, one at a time under a lock on its write-ahead file. It remembers a session
//! whose log is gone, and says how large an ended log is.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::PathBuf;

use agentguard_core::{Digest, Event, SessionStatus};

use crate::derive::{self, Derived};
use crate::installation::Installation;
use crate::scribe::{Scribe, event_json};
use crate::wal::{self, Frames, Tail};
use crate::{Checkpoint, Error, recover, store};

/// The anchor log, held against all other guards.
pub(crate) struct Anchor<'i> {
    installation: &'i Installation,
    directory: PathBuf,
    wal: File,
    derived: Option<Derived>,
    tail: Tail,
}

impl<'i> Anchor<'i> {
    /// Opens the anchor log, once nobody else holds it.
    pub(crate) fn lock(installation: &'i Installation, boot: &str) -> Result<Self, Error> {
        let (path, wal) = open(installation)?;
        wal.lock().map_err(|e| Error::io("lock", &path, e))?;
        Self::held(installation, wal, boot)
    }

    /// Opens the anchor log, where nobody else holds it.
    pub(crate) fn try_lock(
        installation: &'i Installation,
        boot: &str,
    ) -> Result<Option<Self>, Error> {
        let (path, wal) = open(installation)?;
        match wal.try_lock() {
            Ok(()) => Self::held(installation, wal, boot).map(Some),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
        }
    }

    fn held(installation: &'i Installation, wal: File, boot: &str) -> Result<Self, Error> {
        let directory = installation.places.anchor();
        let path = directory.join("wal");
        let known = installation.known_checkpoint()?;
        let (origin, key) = (&installation.origin, &installation.key);
        let signed = derive::signed_checkpoint(&directory, origin, key, known.as_ref())?;
        refuse_what_was_rolled_back(&directory, known.as_ref(), signed.as_ref())?;
        if signed.is_none() {
            // Whoever made it may not have come to this.
            store::sync_directory(&directory)?;
        }
        let size = signed.as_ref().map_or(0, |signed| signed.size);
        let resumed = signed.map(|last| match installation.take_derived(&last) {
            Some(derived) => Ok(Some(derived)),
            None => Derived::resume(&directory, last, key),
        });
        let mut anchor = Self {
            derived: resumed.transpose()?.flatten(),
            installation,
            directory,
            wal,
            tail: Tail::default(),
        };
        anchor.tail = anchor.find_tail(size, boot)?;
        if anchor.tail.entries < size {
            let problem = format!(
                "{size} entries were signed, {} are there",
                anchor.tail.entries
            );
            return Err(Error::damaged(&path, anchor.tail.entries, problem));
        }
        Ok(anchor)
    }

    /// Appends the state of a session's log, durably.
    pub(crate) fn append(
        &mut self,
        scribe: &Scribe,
        log: &str,
        size: u64,
        root: Digest,
        state: SessionStatus,
    ) -> Result<(), Error> {
        let log = log.to_owned();
        let event = Event::Anchor {
            log,
            size,
            root,
            state,
        };
        self.append_event(scribe, &event).map(|_| ())
    }

    /// Appends an event durably, and answers its place.
    pub(crate) fn append_event(&mut self, scribe: &Scribe, event: &Event) -> Result<u64, Error> {
        let (index, event) = (self.tail.entries, event_json(event)?);
        let mut frame = Vec::new();
        wal::frame(&scribe.write(index, &event), &mut frame)?;
        let path = self.directory.join("wal");
        let written = (&self.wal).write_all(&frame);
        written.map_err(|e| Error::io("write", &path, e))?;
        let synced = self.wal.sync_data();
        synced.map_err(|e| Error::io("sync", &path, e))?;
        self.tail.entries += 1;
        Ok(index)
    }

    /// Derives tiles and the signed checkpoint, and notes it down in the configuration.
    pub(crate) fn integrate(&mut self) -> Result<Checkpoint, Error> {
        let size = self.tail.entries;
        // What fails half way is not gone on with.
        let (derived, checkpoint) = match self.derived.take() {
            Some(mut derived) => {
                let checkpoint = derived.integrate(size)?;
                (derived, checkpoint)
            }
            None => {
                let (origin, key) = (&self.installation.origin, self.installation.key.clone());
                let offset = wal::first_line(origin).len();
                let offset = u64::try_from(offset).unwrap_or(u64::MAX);
                let mut derived = Derived::new(&self.directory, origin, key, offset);
                let checkpoint = derived.rebuild(size)?;
                (derived, checkpoint)
            }
        };
        self.derived = Some(derived);
        self.installation.note_checkpoint(&checkpoint)?;
        Ok(checkpoint)
    }

    /// Whether the log of a session has ended or was lost already.
    pub(crate) fn is_over(&self, log: &str) -> Result<bool, Error> {
        let states = crate::read::anchored(&self.directory)?;
        Ok(states
            .iter()
            .any(|anchored| anchored.log == log && anchored.state != SessionStatus::Begun))
    }

    fn find_tail(&mut self, signed: u64, boot: &str) -> Result<Tail, Error> {
        let path = self.directory.join("wal");
        if let Some(derived) = &self.derived {
            if let Some(tail) = self.tail_after(derived, signed, boot)? {
                return Ok(tail);
            }
            self.derived = None;
        }
        let (mut frames, origin) = Frames::of(clone(&self.wal, &path)?, &path)?;
        if origin != self.installation.origin {
            return Err(Error::damaged(&path, 0, "it is another log"));
        }
        recover::tail(&self.wal, &path, &mut frames, (0, signed), boot)
    }

    /// Looks for the tail behind what is derived, if the file goes on there as it must.
    fn tail_after(
        &self,
        derived: &Derived,
        signed: u64,
        boot: &str,
    ) -> Result<Option<Tail>, Error> {
        let path = self.directory.join("wal");
        let length = self
            .wal
            .metadata()
            .map_err(|e| Error::io("look at", &path, e))?;
        if length.len() < derived.offset() {
            return Ok(None);
        }
        let begins = format!("{{\"v\":1,\"seq\":{},", derived.size());
        let mut frames = Frames::at(clone(&self.wal, &path)?, derived.offset(), &path)?;
        let first = frames.next().map_err(|e| Error::io("read", &path, e))?;
        match first {
            wal::Next::Entry {
                bytes, sound: true, ..
            } if bytes.starts_with(begins.as_bytes()) => {}
            wal::Next::End => {}
            wal::Next::Entry { .. } | wal::Next::Torn => return Ok(None),
        }
        let mut frames = Frames::at(clone(&self.wal, &path)?, derived.offset(), &path)?;
        let (size, wal) = (derived.size(), &self.wal);
        recover::tail(wal, &path, &mut frames, (size, signed), boot).map(Some)
    }
}

impl Drop for Anchor<'_> {
    /// What was read is kept for the next time: whoever else writes to the log leaves another checkpoint.
    fn drop(&mut self) {
        self.installation.keep_derived(self.derived.take());
    }
}

/// The anchor log's write-ahead file, which is made where there was none.
fn open(installation: &Installation) -> Result<(PathBuf, File), Error> {
    let directory = installation.places.anchor();
    let path = directory.join("wal");
    if !path.exists() {
        refuse_a_second_beginning(&directory, installation.known_checkpoint()?.as_ref())?;
        store::create(&path, wal::first_line(&installation.origin).as_bytes())?;
    }
    let wal = store::open_to_append(&path)?.ok_or_else(|| missing(path.clone()))?;
    Ok((path, wal))
}

fn clone(file: &File, path: &std::path::Path) -> Result<File, Error> {
    file.try_clone().map_err(|e| Error::io("read", path, e))
}

fn missing(path: PathBuf) -> Error {
    Error::Missing {
        path,
        remedy: "restore the log's directory from a backup".to_owned(),
    }
}

fn refuse_a_second_beginning(
    directory: &std::path::Path,
    known: Option<&Checkpoint>,
) -> Result<(), Error> {
    if known.is_some() || directory.join("checkpoint").exists() {
        return Err(missing(directory.join("wal")));
    }
    Ok(())
}

/// A log whose checkpoint lies before the one that is known was put back to an older state.
fn refuse_what_was_rolled_back(
    directory: &std::path::Path,
    known: Option<&Checkpoint>,
    signed: Option<&Checkpoint>,
) -> Result<(), Error> {
    let Some(known) = known else { return Ok(()) };
    let path = directory.join("checkpoint");
    let Some(signed) = signed else {
        return Err(missing(path));
    };
    if signed.size < known.size {
        let problem = format!("it was rolled back: {} entries are known", known.size);
        return Err(Error::damaged(&path, signed.size, problem));
    }
    if signed.size == known.size && signed.root != known.root {
        return Err(Error::damaged(
            &path,
            0,
            "another root is known for its size",
        ));
    }
    Ok(())
}
