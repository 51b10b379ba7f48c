//! What a session did, as a policy for the next: written where its agent could not have written.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use agentguard_audit::{Entries, Places, find};
use agentguard_core::{Event, SessionId};
use agentguard_policy::Observed;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::Error;

/// A directory that is to be made, for a proposed policy.
///
/// The directory above is held from before the session on: whatever the agent moves or links meanwhile, nothing is
/// written elsewhere.
#[derive(Debug)]
pub struct Learning {
    above: OwnedFd,
    name: OsString,
    path: PathBuf,
}

/// A proposal that was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Learned {
    /// How many ways to start programs it allows.
    pub uses: usize,
    /// How many things were refused that it does not allow.
    pub refused: usize,
}

impl Learning {
    /// Holds the place of `directory`, which must not exist yet.
    ///
    /// # Errors
    ///
    /// Returns an error where it exists, or the directory above does not.
    pub fn at(directory: &Path) -> Result<Self, Error> {
        let doing = || Error::doing(format!("make `{}`", directory.display()));
        let is_no_name = || std::io::Error::other("its last part is no name");
        let name = directory.file_name().ok_or_else(is_no_name);
        let name = name.map_err(doing())?.to_owned();
        let parent = directory.parent().filter(|path| *path != Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let above = fs::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty());
        let above = above.map_err(|errno| doing()(errno.into()))?;
        match fs::statat(&above, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(doing()(Errno::EXIST.into())),
            Err(errno) => return Err(doing()(errno.into())),
        }
        let path = directory.to_owned();
        Ok(Self { above, name, path })
    }

    /// Writes what the log of `session`, which is over, proposes. It is applied by nobody.
    ///
    /// # Errors
    ///
    /// Returns what keeps the log from being read or the files from being written.
    pub fn write(self, places: &Places, session: &SessionId) -> Result<Learned, Error> {
        let observed = observed(places, session)?;
        self.files(&observed)
            .map_err(Error::doing(format!("write `{}`", self.path.display())))?;
        Ok(Learned {
            uses: observed.uses(),
            refused: observed.refused(),
        })
    }

    fn files(&self, observed: &Observed) -> std::io::Result<()> {
        fs::mkdirat(&self.above, &self.name, Mode::from_raw_mode(0o700))?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(&self.above, &self.name, flags, Mode::empty())?;
        // Where the agent may write it could have put another directory there, for us to be asked about.
        let (here, there) = (fs::fstat(&made)?, fs::stat(&self.path)?);
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino) {
            return Err(std::io::Error::other("the directory above it was moved"));
        }
        for file in observed.propose() {
            write(&made, OsStr::new(file.name), &file.text)?;
        }
        Ok(())
    }
}

fn write(directory: &OwnedFd, name: &OsStr, text: &str) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
    File::from(file).write_all(text.as_bytes())
}

/// What was seen, by the log alone.
fn observed(places: &Places, session: &SessionId) -> Result<Observed, Error> {
    let log = find(places, session.as_str()).map_err(Error::Unread)?;
    let mut seen: Option<Observed> = None;
    for recorded in Entries::open(&log.directory).map_err(Error::Unread)? {
        let recorded = recorded.map_err(Error::Unread)?;
        let text = recorded.text.as_deref();
        if let Event::Start { .. } = &recorded.entry.event {
            seen = Some(Observed::new(session.clone(), workspace(text)));
        }
        if let (Event::Decision { ruling, .. }, Some(seen)) = (&recorded.entry.event, &mut seen) {
            seen.see(recorded.index, ruling, text);
        }
    }
    let nothing = || std::io::Error::other("its log does not say how it began");
    seen.ok_or_else(nothing)
        .map_err(Error::doing(format!("read session `{session}`")))
}

/// Where the session worked, by the text of its start.
fn workspace(text: Option<&str>) -> String {
    let text: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(text).ok());
    let workspace = text
        .as_ref()
        .and_then(|text| text.get("workspace")?.as_str());
    workspace.unwrap_or_default().to_owned()
}
