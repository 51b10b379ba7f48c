//! The hot path: appending to the write-ahead file, durable as soon as the entry's class demands.
//!
//! One lock orders the entries. A write is made under it; a sync is not: whoever needs one and finds none
//! going on makes it for all that is written by then, and the others wait for theirs. The first failure
//! of a write or a sync closes the log for good: after a failed sync the kernel may have dropped what it
//! could not write, and a second one would claim success.
//!
//! # References
//!
//! - `fsync(2)`, "NOTES", and <https://wiki.postgresql.org/wiki/Fsync_Errors>

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentguard_core::{Class, Digest};

use crate::scribe::Scribe;
use crate::texts::Kept;
use crate::{Error, wal};

/// How many covered entries may be gathered before they are written.
const MOST_GATHERED: usize = 256;
/// How long covered entries are gathered: with waking and writing it stays below 500 ms.
const GATHER_FOR: Duration = Duration::from_millis(400);
/// How long written entries wait for a sync: with waking and syncing it stays below 100 ms.
const SYNC_AFTER: Duration = Duration::from_millis(40);

/// Appends entries.
pub(crate) struct Writer {
    scribe: Scribe,
    state: Mutex<State>,
    synced: Condvar,
    work: Condvar,
    over: Condvar,
}

struct State {
    wal: Arc<File>,
    texts: Arc<File>,
    /// The number of the next entry.
    next: u64,
    /// How many are written, and how many of them are on the disk.
    written: u64,
    synced: u64,
    syncing: bool,
    gathered: Vec<u8>,
    gathered_texts: Vec<u8>,
    gathered_count: usize,
    gathered_since: Option<Instant>,
    unsynced_since: Option<Instant>,
    texts_since: Option<Instant>,
    failed: Option<String>,
    stopping: bool,
}

/// What somebody who waits beside the writer is woken for.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Woken {
    /// The time it asked for has come.
    Due,
    /// The writer stops.
    Stopping,
    /// The writer failed.
    Failed,
}

impl Writer {
    /// Writes to these files, which hold no entries yet.
    pub(crate) fn new(scribe: Scribe, wal: File, texts: File) -> Self {
        let state = State {
            wal: Arc::new(wal),
            texts: Arc::new(texts),
            next: 0,
            written: 0,
            synced: 0,
            syncing: false,
            gathered: Vec::new(),
            gathered_texts: Vec::new(),
            gathered_count: 0,
            gathered_since: None,
            unsynced_since: None,
            texts_since: None,
            failed: None,
            stopping: false,
        };
        Self {
            scribe,
            state: Mutex::new(state),
            synced: Condvar::new(),
            work: Condvar::new(),
            over: Condvar::new(),
        }
    }

    /// Appends an entry, and answers its number and leaf hash once it is as durable as `class` demands.
    pub(crate) fn append(
        &self,
        class: Class,
        event: &str,
        text: Option<&Kept>,
    ) -> Result<(u64, Digest), Error> {
        let mut state = self.lock();
        state.check()?;
        let seq = state.next;
        let entry = self.scribe.write(seq, event); // under the lock: time goes as numbers go
        let leaf = wal::frame(&entry, &mut state.gathered)?;
        if let Some(text) = text {
            text.write(seq, &mut state.gathered_texts);
        }
        state.next += 1;
        state.gathered_count += 1;
        match class {
            Class::Covered if state.gathered_count < MOST_GATHERED => {
                if state.gathered_since.is_none() {
                    state.gathered_since = Some(Instant::now());
                    // With something to sync it wakes before this is due.
                    if state.is_all_synced() {
                        self.work.notify_all();
                    }
                }
            }
            Class::Covered | Class::Normal => self.write(&mut state)?,
            Class::Critical => {
                self.write(&mut state)?;
                drop(self.sync(state, seq + 1)?);
            }
        }
        Ok((seq, leaf))
    }

    /// Has everything appended so far on the disk, and answers how many entries that are.
    pub(crate) fn flush(&self) -> Result<u64, Error> {
        let mut state = self.lock();
        state.check()?;
        state.write()?;
        let written = state.written;
        let mut state = self.sync(state, written)?;
        if state.texts_since.take().is_none() {
            return Ok(written);
        }
        let texts = Arc::clone(&state.texts);
        drop(state);
        if let Err(error) = texts.sync_data() {
            self.lock()
                .latch(format!("a sync of texts failed: {error}"));
        }
        self.lock().check().map(|()| written)
    }

    /// Closes the log for good, because of a failure behind it.
    pub(crate) fn latch(&self, reason: &Error) {
        let mut state = self.lock();
        state.latch(reason.to_string());
        self.synced.notify_all();
        self.work.notify_all();
        self.over.notify_all();
    }

    /// Tells the threads behind the writer to stop.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.work.notify_all();
        self.over.notify_all();
    }

    /// How many entries are on the disk.
    pub(crate) fn durable(&self) -> u64 {
        self.lock().synced
    }

    /// Writes and syncs behind the appenders, until the writer stops or fails. It does nothing else, so that
    /// nothing keeps it from being in time.
    pub(crate) fn work(&self) {
        let mut state = self.lock();
        while state.failed.is_none() {
            let now = Instant::now();
            let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let gather_at = state.gathered_since.map(|since| since + GATHER_FOR);
            let unsynced = [state.unsynced_since, state.texts_since];
            let sync_at = unsynced.into_iter().flatten().min();
            let sync_at = sync_at.map(|since| since + SYNC_AFTER);
            if state.stopping || is_over(gather_at) || is_over(sync_at) {
                let stopping = state.stopping;
                drop(state);
                // A failure latches, and is met at the next turn.
                if self.flush().is_ok() && stopping {
                    return;
                }
                state = self.lock();
                continue;
            }
            let next = [gather_at, sync_at].into_iter().flatten().min();
            state = wait(&self.work, state, next);
        }
    }

    /// Waits until `due`, or until the writer stops or fails.
    pub(crate) fn wait_until(&self, due: Instant) -> Woken {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return Woken::Failed;
            } else if state.stopping {
                return Woken::Stopping;
            } else if due <= Instant::now() {
                return Woken::Due;
            }
            state = wait(&self.over, state, Some(due));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            state.latch("a thread died while it wrote".to_owned());
            state
        })
    }

    /// Writes what is gathered, and wakes the thread behind where it has slept without a time to wake.
    fn write(&self, state: &mut State) -> Result<(), Error> {
        let was_idle = state.is_all_synced();
        state.write()?;
        if was_idle {
            self.work.notify_all();
        }
        Ok(())
    }

    /// Waits until the first `upto` entries are on the disk, syncing where nobody else does.
    fn sync<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        upto: u64,
    ) -> Result<MutexGuard<'s, State>, Error> {
        loop {
            if state.synced >= upto {
                return Ok(state);
            }
            state.check()?;
            if state.syncing {
                let waited = self.synced.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.syncing = true;
            let (target, file) = (state.written, Arc::clone(&state.wal));
            // What is written from here on is not reached by it, and waits from then on.
            state.unsynced_since = None;
            drop(state);
            let result = file.sync_data();
            state = self.lock();
            state.syncing = false;
            match result {
                Ok(()) => state.synced = state.synced.max(target),
                Err(error) => state.latch(format!("a sync failed: {error}")),
            }
            self.synced.notify_all();
        }
    }
}

/// Waits to be woken, or until a time.
fn wait<'s>(
    woken: &Condvar,
    state: MutexGuard<'s, State>,
    until: Option<Instant>,
) -> MutexGuard<'s, State> {
    let Some(until) = until else {
        return woken.wait(state).unwrap_or_else(PoisonError::into_inner);
    };
    let rest = until.saturating_duration_since(Instant::now());
    let waited = woken.wait_timeout(state, rest);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

impl State {
    /// Whether the thread behind has no time at which it wakes to sync.
    fn is_all_synced(&self) -> bool {
        self.unsynced_since.is_none() && self.texts_since.is_none()
    }

    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            Some(reason) => Err(Error::Latched {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    fn latch(&mut self, reason: String) {
        self.failed.get_or_insert(reason);
    }

    /// Writes what is gathered, texts before the entries that commit to them.
    fn write(&mut self) -> Result<(), Error> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.try_write() {
            self.latch(format!("a write failed: {error}"));
            return self.check();
        }
        self.written = self.next;
        self.gathered_count = 0;
        self.gathered_since = None;
        self.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn try_write(&mut self) -> io::Result<()> {
        if !self.gathered_texts.is_empty() {
            (&*self.texts).write_all(&self.gathered_texts)?;
            self.gathered_texts.clear();
            self.texts_since.get_or_insert_with(Instant::now);
        }
        (&*self.wal).write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }
}
