//! What programs contain, remembered from one session to the next.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use agentguard_core::Digest;
use agentguard_sandbox::{FileKey, KnownIdentity, content_key, content_of};
use rustix::fs::{self, Mode, OFlags};

use crate::Error;

/// More are forgotten, all of them: they are learnt again in a session.
const MOST: usize = 20_000;
const LARGEST: u64 = 16 << 20;

/// The digests of files that no session can change.
#[derive(Debug)]
pub(crate) struct Programs {
    path: PathBuf,
    known: HashMap<FileKey, Digest>,
    learnt: usize,
}

impl Programs {
    /// Reads what earlier sessions learnt. A file that cannot be read as that is as none.
    pub(crate) fn load(state: &Path) -> Self {
        let path = state.join("programs.json");
        let known = read(&path).unwrap_or_default();
        let known = known
            .into_iter()
            .map(|identity| (identity.key, identity.sha256))
            .collect();
        Self {
            path,
            known,
            learnt: 0,
        }
    }

    /// What the file at `path` contains; `None` where it cannot be read.
    pub(crate) fn digest(&mut self, path: &Path) -> Option<Digest> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = fs::open(path, flags, Mode::empty()).ok()?;
        let key = content_key(file.as_fd()).ok()?;
        if let Some(digest) = self.known.get(&key) {
            return Some(*digest);
        }
        let digest = content_of(file.as_fd()).ok()?;
        self.known.insert(key, digest);
        self.learnt += 1;
        Some(digest)
    }

    /// Everything known, for the mediator.
    pub(crate) fn list(&self) -> Vec<KnownIdentity> {
        self.known
            .iter()
            .map(|(key, sha256)| KnownIdentity {
                key: *key,
                sha256: *sha256,
            })
            .collect()
    }

    /// Takes in what a session learnt, and keeps it for the next.
    pub(crate) fn keep(mut self, learnt: &[KnownIdentity]) -> Result<(), Error> {
        if learnt.is_empty() && self.learnt == 0 {
            return Ok(());
        }
        self.known.extend(
            learnt
                .iter()
                .map(|identity| (identity.key, identity.sha256)),
        );
        if self.known.len() > MOST {
            self.known.clear();
        }
        let shown = || Error::doing(format!("write `{}`", self.path.display()));
        let text = serde_json::to_vec(&self.list())
            .map_err(std::io::Error::other)
            .map_err(shown())?;
        let beside = self
            .path
            .with_extension(format!("json.{}", std::process::id()));
        write_private(&beside, &text).map_err(shown())?;
        std::fs::rename(&beside, &self.path).map_err(shown())
    }
}

fn read(path: &Path) -> Option<Vec<KnownIdentity>> {
    let file = std::fs::File::open(path).ok()?;
    if file.metadata().ok()?.len() > LARGEST {
        return None;
    }
    serde_json::from_reader(std::io::BufReader::new(file)).ok()
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}
