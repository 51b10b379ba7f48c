//! The log of one session.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agentguard_core::{Class, Clock, Commitment, Digest, Event, Index, Salt, SessionStatus};

use crate::anchor::Anchor;
use crate::derive::Derived;
use crate::installation::{Installation, Places};
use crate::scribe::{Author, Scribe, event_json};
use crate::texts::Kept;
use crate::writer::{Woken, Writer};
use crate::{Checkpoint, Error, recover, store, wal};

/// When the first checkpoint is signed: short sessions sign at their end only.
const FIRST_CHECKPOINT: Duration = Duration::from_secs(1);
/// How often a checkpoint is signed from then on, while entries come.
const NEXT_CHECKPOINT: Duration = Duration::from_secs(10);
/// How soon the anchor log is tried again that another guard holds.
const SOON: Duration = Duration::from_millis(50);

/// The log of one session: many threads append to it, one process writes it.
///
/// It is held by a lock as long as this value lives. Dropped without [`SessionLog::end`], what was
/// appended is made durable, and the session will be recorded as lost.
pub struct SessionLog {
    origin: String,
    directory: PathBuf,
    installation: Arc<Installation>,
    scribe: Scribe,
    writer: Arc<Writer>,
    syncs: Option<JoinHandle<()>>,
    signs: Option<JoinHandle<Result<Derived, Error>>>,
    begun: AtomicBool,
    beginning: Mutex<()>,
    /// Held while the session runs and its guard holds what others wait for.
    holding: Arc<Mutex<()>>,
}

impl SessionLog {
    /// Makes the log of `author`'s session. Sessions whose guard has died are recorded as lost first.
    ///
    /// # Errors
    ///
    /// Returns an error where the log's key, the anchor log or the new log's directory is not as it must
    /// be or cannot be written; the session must not start then.
    pub fn create(places: &Places, author: Author, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let installation = Arc::new(Installation::load_or_create(places)?);
        let scribe = Scribe::new(author, clock)?;
        recover::record_lost(&installation, &scribe)?;
        let session = scribe.author.session.as_str();
        let origin = installation.session_origin(session);
        let directory = places.sessions().join(session);
        let (mut wal, texts) = make_files(&directory)?;
        let mark = places.open_marks().join(session);
        drop(store::create_to_append(&mark)?);
        // Where a log has anything in it, the next guard finds it by its mark.
        store::sync_directory(&places.open_marks())?;
        store::sync_directory(&places.sessions())?;
        wal.write_all(wal::first_line(&origin).as_bytes())
            .map_err(|e| Error::io("write", &directory.join("wal"), e))?;
        let offset = u64::try_from(wal::first_line(&origin).len()).unwrap_or(u64::MAX);
        let derived = Derived::new(&directory, &origin, installation.key.clone(), offset);
        let writer = Arc::new(Writer::new(scribe.clone(), wal, texts));
        let syncs = {
            let writer = Arc::clone(&writer);
            spawn("agentguard-sync", &directory, move || writer.work())?
        };
        let holding = Arc::new(Mutex::new(()));
        let signs = {
            let (writer, installation) = (Arc::clone(&writer), Arc::clone(&installation));
            let (boot, holding) = (scribe.boot.clone(), Arc::clone(&holding));
            let sign_anchor = move || sign_anchor(&installation, &boot, &holding);
            let sign = move || sign_now_and_then(&writer, derived, sign_anchor);
            spawn("agentguard-sign", &directory, sign)?
        };
        if places.anchor().join("wal").exists() {
            // While there is time: what it reads is not read again when the session begins. What is wrong is met then.
            let _ = Anchor::lock(&installation, &scribe.boot);
        }
        Ok(Self {
            origin,
            directory,
            installation,
            scribe,
            writer,
            syncs: Some(syncs),
            signs: Some(signs),
            begun: AtomicBool::new(false),
            beginning: Mutex::new(()),
            holding,
        })
    }

    /// Appends an event, and answers its index once it is as durable as `class` demands.
    ///
    /// `text` is kept beside the log, with secrets of known shape taken out; `event` is given the
    /// commitment to it. The first entry is critical whatever `class` says, and is anchored before this
    /// returns; no other entry is appended before.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TooLong`] where the entry does not fit, and nothing is appended then. After any
    /// failure to write or to sync, this and every later call returns [`Error::Latched`].
    pub fn append(
        &self,
        class: Class,
        text: Option<&str>,
        event: impl FnOnce(Option<Commitment>) -> Event,
    ) -> Result<Index, Error> {
        let kept = text.map(Kept::new).transpose()?;
        let event = event(kept.as_ref().map(|kept| kept.commitment));
        self.append_kept(class, kept, &event)
    }

    /// As [`SessionLog::append`], of an event that commits to a text.
    ///
    /// # Errors
    ///
    /// As [`SessionLog::append`].
    pub fn append_with_text(
        &self,
        class: Class,
        text: &str,
        event: impl FnOnce(Commitment) -> Event,
    ) -> Result<Index, Error> {
        let kept = Kept::new(text)?;
        let event = event(kept.commitment);
        self.append_kept(class, Some(kept), &event)
    }

    /// As [`SessionLog::append_with_text`], with a text that several entries commit to under one salt: who reads them sees that
    /// it is the same text, also where it was erased. Returns what they commit to as well.
    ///
    /// # Errors
    ///
    /// As [`SessionLog::append`].
    pub fn append_shared(
        &self,
        class: Class,
        (text, salt): (&str, Salt),
        event: impl FnOnce(Commitment) -> Event,
    ) -> Result<(Index, Commitment), Error> {
        let kept = Kept::salted(text, salt)?;
        let commitment = kept.commitment;
        let index = self.append_kept(class, Some(kept), &event(commitment))?;
        Ok((index, commitment))
    }

    fn append_kept(&self, class: Class, kept: Option<Kept>, event: &Event) -> Result<Index, Error> {
        let event = event_json(event)?;
        if self.begun.load(Ordering::Acquire) {
            let (seq, _) = self.writer.append(class, &event, kept.as_ref())?;
            return Ok(Index(seq));
        }
        let _one_at_a_time = self
            .beginning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.begun.load(Ordering::Acquire) {
            let (seq, _) = self.writer.append(class, &event, kept.as_ref())?;
            return Ok(Index(seq));
        }
        let (seq, leaf) = self.writer.append(Class::Critical, &event, kept.as_ref())?;
        if let Err(error) = self.begin(leaf) {
            self.writer.latch(&error);
            return Err(error);
        }
        self.begun.store(true, Ordering::Release);
        Ok(Index(seq))
    }

    /// Does `stop`, by which this process is stopped, while it holds nothing that other guards wait for: it may be stopped
    /// for as long as its agent likes. Once the first entry was appended, and before [`SessionLog::end`].
    pub fn holding_nothing<T>(&self, stop: impl FnOnce() -> T) -> T {
        let _nothing = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        stop()
    }

    /// The log's name: `agentguard/<installation>/<session>`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where the log lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends the log: everything is synced, derived, signed and anchored. `session.end` must be in it.
    ///
    /// # Errors
    ///
    /// Returns an error where something could not be written; the session is recorded as lost then.
    pub fn end(mut self) -> Result<Checkpoint, Error> {
        let mut derived = self.stop()?;
        let size = self.writer.flush()?;
        let checkpoint = derived.integrate(size)?;
        if *self.begun.get_mut() {
            // Only now: an end that is anchored and not signed would look like a log that was rolled back.
            let mut anchor = Anchor::lock(&self.installation, &self.scribe.boot)?;
            let (size, root) = (checkpoint.size, checkpoint.root);
            anchor.append(&self.scribe, &self.origin, size, root, SessionStatus::Ended)?;
            anchor.integrate()?;
        }
        let session = self.scribe.author.session.as_str();
        // Where it stays, the next guard finds that the session has ended.
        let _ = fs::remove_file(self.installation.places.open_marks().join(session));
        Ok(checkpoint)
    }

    /// Gives up a log in which nothing was written: no session has begun, and nothing of it stays.
    pub fn abandon(mut self) {
        let _ = self.stop();
        if *self.begun.get_mut() {
            return;
        }
        let session = self.scribe.author.session.as_str();
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_file(self.installation.places.open_marks().join(session));
    }

    /// Makes the log's names durable and anchors it, once its first entry is on the disk.
    fn begin(&self, root: Digest) -> Result<(), Error> {
        store::sync_directory(&self.directory)?;
        let mut anchor = Anchor::lock(&self.installation, &self.scribe.boot)?;
        anchor.append(&self.scribe, &self.origin, 1, root, SessionStatus::Begun)
    }

    fn stop(&mut self) -> Result<Derived, Error> {
        let died = || Error::Latched {
            reason: "a thread behind the log died".to_owned(),
        };
        self.writer.stop();
        let syncs = self.syncs.take().ok_or_else(died)?;
        let signs = self.signs.take().ok_or_else(died)?;
        let (synced, signed) = (syncs.join(), signs.join());
        synced.map_err(|_| died())?;
        signed.map_err(|_| died())?
    }
}

impl Drop for SessionLog {
    fn drop(&mut self) {
        if self.signs.is_some() {
            // There is nobody to tell.
            let _ = self.stop();
        }
    }
}

fn make_files(directory: &Path) -> Result<(File, File), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .map_err(|e| Error::io("make", directory, e))?;
    let path = directory.join("wal");
    let wal = store::create_to_append(&path)?;
    // Held as long as the guard lives: who finds it free knows that the guard is dead.
    wal.lock().map_err(|e| Error::io("lock", &path, e))?;
    let texts = store::create_to_append(&directory.join("texts"))?;
    Ok((wal, texts))
}

fn spawn<T: Send + 'static>(
    name: &str,
    directory: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    let named = thread::Builder::new().name(name.to_owned());
    let spawned = named.spawn(work);
    spawned.map_err(|e| Error::io("start a thread behind", directory, e))
}

/// Signs a checkpoint now and then, and the anchor log once: `sign_anchor` says whether it could.
fn sign_now_and_then(
    writer: &Writer,
    mut derived: Derived,
    sign_anchor: impl Fn() -> Result<bool, Error>,
) -> Result<Derived, Error> {
    let mut next = Instant::now() + FIRST_CHECKPOINT;
    let (mut due, mut is_anchored) = (next, false);
    loop {
        match writer.wait_until(due) {
            Woken::Stopping => return Ok(derived),
            Woken::Failed => return writer.flush().map(|_| derived),
            Woken::Due => {}
        }
        let (size, mut signed) = (writer.durable(), Ok(()));
        if next <= Instant::now() {
            next = Instant::now() + NEXT_CHECKPOINT;
            if size != derived.size() {
                signed = derived.integrate(size).map(|_| ());
            }
        }
        if signed.is_ok() && !is_anchored && derived.size() > 0 {
            signed = sign_anchor().map(|could| is_anchored = could);
        }
        if let Err(error) = signed {
            writer.latch(&error);
            return Err(error);
        }
        due = match is_anchored || derived.size() == 0 {
            true => next,
            false => next.min(Instant::now() + SOON),
        };
    }
}

/// Signs the anchor log, unless another guard holds it.
fn sign_anchor(
    installation: &Installation,
    boot: &str,
    holding: &Mutex<()>,
) -> Result<bool, Error> {
    let _holding = holding.lock().unwrap_or_else(PoisonError::into_inner);
    match Anchor::try_lock(installation, boot)? {
        Some(mut anchor) => anchor.integrate().map(|_| true),
        None => Ok(false),
    }
}
