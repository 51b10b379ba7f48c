//! The installation: one key and one name for all logs of a user on a host.
//!
//! Below the state, `log/key` holds the key (as Go's `note` writes one), `log/anchor` the log of the
//! sessions' states, `log/sessions/<id>` a log for each session, `log/open/<id>` a mark for each session
//! that has not ended. Below the configuration, `known/<id>` pins the key, names the state directory it
//! belongs to, and holds the last checkpoint of the anchor log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::derive::Derived;
use crate::{Checkpoint, Error, VerifierKey, store};

const FAMILY: &str = "agentguard/";
const SMALL: usize = 4096;

/// The directories of a user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Places {
    /// Keys and logs: `$XDG_STATE_HOME/agentguard`.
    pub state: PathBuf,
    /// What is known of logs: `$XDG_CONFIG_HOME/agentguard`.
    pub config: PathBuf,
}

impl Places {
    /// Where the logs lie.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state.join("log")
    }

    /// Where the log lies that anchors the sessions' logs.
    #[must_use]
    pub fn anchor(&self) -> PathBuf {
        self.logs().join("anchor")
    }

    pub(crate) fn sessions(&self) -> PathBuf {
        self.logs().join("sessions")
    }

    pub(crate) fn open_marks(&self) -> PathBuf {
        self.logs().join("open")
    }

    pub(crate) fn known(&self) -> PathBuf {
        self.config.join("known")
    }
}

/// The key of all logs of one user, and its name.
pub(crate) struct Installation {
    pub(crate) places: Places,
    /// The name of the key, which is the origin of the anchor log: `agentguard/<id>`.
    pub(crate) origin: String,
    pub(crate) key: SigningKey,
    /// The checkpoint of the anchor log that was verified last.
    verified: Mutex<Option<Checkpoint>>,
    /// What was read of the anchor log's tiles, as of its last checkpoint that was met.
    derived: Mutex<Option<Derived>>,
}

/// The name of the logs of these places, which are given one on first use.
///
/// # Errors
///
/// Returns what keeps their key from being read, or made.
pub fn name_of_logs(places: &Places) -> Result<String, Error> {
    Ok(Installation::load_or_create(places)?.origin)
}

impl Installation {
    /// Reads the key, and makes one on first use. Two that make it at once end up with the same one.
    pub(crate) fn load_or_create(places: &Places) -> Result<Self, Error> {
        store::private_directory(&places.state)?;
        store::private_directory(&places.logs())?;
        let path = places.logs().join("key");
        if store::read_private(&path, SMALL)?.is_none() {
            refuse_a_second_beginning(places, &path)?;
            for directory in [places.anchor(), places.sessions(), places.open_marks()] {
                store::private_directory(&directory)?;
            }
            store::create(&path, new_key()?.as_bytes())?;
        }
        let written = store::read_private(&path, SMALL)?.map(Zeroizing::new);
        let written = written.ok_or_else(|| missing_key(&path))?;
        let (origin, key) = parse(&written).ok_or_else(|| Error::Unsafe {
            path,
            problem: "is not a log's key".to_owned(),
            remedy: "restore it from a backup".to_owned(),
        })?;
        let installation = Self {
            places: places.clone(),
            origin,
            key,
            verified: Mutex::default(),
            derived: Mutex::default(),
        };
        installation.pin()?;
        Ok(installation)
    }

    /// The name of a session's log.
    pub(crate) fn session_origin(&self, session: &str) -> String {
        format!("{}/{session}", self.origin)
    }

    /// The public half, in the name of `origin`.
    pub(crate) fn verifier(&self, origin: &str) -> Result<VerifierKey, Error> {
        VerifierKey::of_log(origin, self.key.verifying_key())
    }

    /// The last checkpoint of the anchor log that was noted down in the configuration.
    pub(crate) fn known_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        let path = self.known().join("checkpoint");
        let Some(bytes) = store::read(&path, SMALL)? else {
            return Ok(None);
        };
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |last: &&Checkpoint| last.note.as_bytes() == bytes;
        if let Some(last) = verified.as_ref().filter(is_same) {
            return Ok(Some(last.clone()));
        }
        let text = String::from_utf8_lossy(&bytes);
        let checkpoint = Checkpoint::open(&text, &[self.verifier(&self.origin)?])?;
        Ok(Some(verified.insert(checkpoint).clone()))
    }

    /// Notes down the last checkpoint of the anchor log.
    pub(crate) fn note_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        store::replace(&self.known().join("checkpoint"), checkpoint.note.as_bytes())
    }

    /// What was read of the anchor log's tiles before, if it was as of this checkpoint.
    pub(crate) fn take_derived(&self, last: &Checkpoint) -> Option<Derived> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        derived.take().filter(|derived| derived.is_of(last))
    }

    /// Keeps it for the next time.
    pub(crate) fn keep_derived(&self, read: Option<Derived>) {
        *self.derived.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }

    fn known(&self) -> PathBuf {
        let id = self.origin.strip_prefix(FAMILY).unwrap_or(&self.origin);
        self.places.known().join(id)
    }

    /// Pins the key where it is not pinned, and refuses where another one is.
    fn pin(&self) -> Result<(), Error> {
        let directory = self.known();
        let ours = format!("{}\n", self.verifier(&self.origin)?);
        let path = directory.join("key");
        match store::read(&path, SMALL)? {
            Some(pinned) if pinned == ours.as_bytes() => return Ok(()),
            Some(_) => {
                return Err(Error::Unsafe {
                    path,
                    problem: "pins another key than the one this log is signed with".to_owned(),
                    remedy: "restore the key from a backup, and find out who changed it".to_owned(),
                });
            }
            None => {}
        }
        for private in [&self.places.config, &self.places.known(), &directory] {
            store::private_directory(private)?;
        }
        // Once it is pinned, every name on the way to the logs is durable, whoever made it.
        store::sync_upwards(&self.places.logs())?;
        store::sync_upwards(&self.places.known())?;
        store::replace(&directory.join("place"), place(&self.places).as_bytes())?;
        store::replace(&path, ours.as_bytes())
    }
}

/// The keys that are pinned in the configuration, each with the last known checkpoint of its log.
pub(crate) fn pinned(places: &Places) -> Result<Vec<(VerifierKey, Option<Checkpoint>)>, Error> {
    let mut pinned = Vec::new();
    for directory in known_directories(places)? {
        let path = directory.join("key");
        let Some(bytes) = store::read(&path, SMALL)? else {
            continue;
        };
        let key = VerifierKey::parse(String::from_utf8_lossy(&bytes).trim_end())?;
        let noted = store::read(&directory.join("checkpoint"), SMALL)?;
        let noted = noted.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let checkpoint = noted
            .map(|note| Checkpoint::open(&note, std::slice::from_ref(&key)))
            .transpose()?;
        pinned.push((key, checkpoint));
    }
    Ok(pinned)
}

/// Whether a session was ever anchored here: there is an anchor log, or a checkpoint of one is pinned.
///
/// # Errors
///
/// Returns an error where what is pinned cannot be read.
pub fn is_begun(places: &Places) -> Result<bool, Error> {
    let mut is_begun = places.anchor().join("wal").exists();
    for directory in pinned_here(places)? {
        is_begun |= directory.join("checkpoint").exists();
    }
    Ok(is_begun)
}

/// A log is begun once. Where its key is gone, someone removed it.
fn refuse_a_second_beginning(places: &Places, key: &Path) -> Result<(), Error> {
    if places.anchor().join("wal").exists() || !pinned_here(places)?.is_empty() {
        return Err(missing_key(key));
    }
    Ok(())
}

/// The directories that pin a key for the logs of this state directory.
fn pinned_here(places: &Places) -> Result<Vec<PathBuf>, Error> {
    let ours = place(places);
    let mut here = known_directories(places)?;
    let mut failed = None;
    here.retain(
        |directory| match store::read(&directory.join("place"), SMALL) {
            Ok(named) => named.is_some_and(|named| named == ours.as_bytes()),
            Err(error) => {
                failed = Some(error);
                false
            }
        },
    );
    match failed {
        Some(error) => Err(error),
        None => Ok(here),
    }
}

fn missing_key(key: &Path) -> Error {
    Error::Missing {
        path: key.to_owned(),
        remedy: "restore the log's directory from a backup; to give it up on purpose, also remove \
                 what names it below `known` in the configuration"
            .to_owned(),
    }
}

fn known_directories(places: &Places) -> Result<Vec<PathBuf>, Error> {
    let path = places.known();
    let listed = match fs::read_dir(&path) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", &path, error)),
    };
    let mut directories = Vec::new();
    for entry in listed {
        let entry = entry.map_err(|source| Error::io("list", &path, source))?;
        directories.push(entry.path());
    }
    directories.sort();
    Ok(directories)
}

fn place(places: &Places) -> String {
    format!("{}\n", places.state.display())
}

fn new_key() -> Result<Zeroizing<String>, Error> {
    let id = agentguard_core::Salt(store::random()?).to_hex();
    let seed = Zeroizing::new(store::random::<32>()?);
    let name = format!("{FAMILY}{id}");
    let verifier = VerifierKey::of_log(&name, SigningKey::from_bytes(&seed).verifying_key())?;
    let public = verifier.to_string();
    let hash = public.split('+').nth(1).unwrap_or_default();
    let mut typed = Zeroizing::new(vec![1]);
    typed.extend_from_slice(seed.as_slice());
    let encoded = Zeroizing::new(Base64::encode_string(&typed));
    Ok(Zeroizing::new(format!(
        "PRIVATE+KEY+{name}+{hash}+{}\n",
        encoded.as_str()
    )))
}

fn parse(written: &[u8]) -> Option<(String, SigningKey)> {
    let text = std::str::from_utf8(written).ok()?.strip_suffix('\n')?;
    let mut parts = text.strip_prefix("PRIVATE+KEY+")?.splitn(3, '+');
    let (name, hash, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let mut buffer = Zeroizing::new([0; 64]);
    let typed = Base64::decode(encoded, buffer.as_mut_slice()).ok()?;
    let (kind, seed) = typed.split_first()?;
    let key = SigningKey::from_bytes(seed.try_into().ok()?);
    let public = VerifierKey::of_log(name, key.verifying_key()).ok()?;
    let fits = public.to_string().split('+').nth(1) == Some(hash);
    (*kind == 1 && fits && name.starts_with(FAMILY)).then(|| (name.to_owned(), key))
}
