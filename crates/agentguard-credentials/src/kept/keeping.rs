//! Where a token is kept that was handed over.

use std::path::PathBuf;

use agentguard_core::Secret;
use serde::{Deserialize, Serialize};

use super::terms::Kept;
use super::token::{LONGEST, trimmed};
use super::{keyring, sealed};
use crate::Error;
use crate::store::Folder;

/// What a sealed token takes beside the token: some lines, a nonce and a tag.
const AROUND: usize = 1024;

/// Where a token is kept that was handed over.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum Keeping {
    /// In a file of the guard's own, as it is. It outlives everything, and whoever reads the file has it.
    File,
    /// In the user's keyring of the kernel: in no file, for no other user, until the machine is started anew.
    Keyring,
    /// In a file of the guard's own, encrypted to an identity of age's that lies elsewhere. Either alone opens nothing.
    Age {
        /// The absolute path of the identity.
        identity: PathBuf,
    },
}

impl Keeping {
    /// What descriptions said before there was more than one.
    pub(crate) fn file() -> Self {
        Self::File
    }

    pub(crate) fn is_file(&self) -> bool {
        *self == Self::File
    }

    /// Keeps a token, in the place of what was kept there.
    pub(crate) fn keep(&self, folder: &Folder, kept: &Kept, token: &Secret) -> Result<(), Error> {
        let bytes = token.danger_reveal();
        match self {
            Self::File => folder.replace(&plain(kept), bytes),
            Self::Keyring => {
                let expires = kept.terms.expires;
                let seconds = expires.map(|expires| expires.saturating_sub(kept.added));
                keyring::keep(&description(kept), bytes, seconds)
            }
            Self::Age { identity } => {
                let sealed = sealed::seal(&sealed::identities(identity)?, bytes)?;
                folder.replace(&encrypted(kept), &sealed)
            }
        }
    }

    /// Reads it. `None` where it is gone.
    pub(crate) fn token(&self, folder: &Folder, kept: &Kept) -> Result<Option<Secret>, Error> {
        let read = |file: &str, limit: usize| {
            let limit = u16::try_from(limit).unwrap_or(u16::MAX);
            folder.read(file, limit)
        };
        match self {
            Self::File => Ok(read(&plain(kept), LONGEST)?.map(|bytes| trimmed(&bytes))),
            Self::Keyring => keyring::kept(&description(kept)),
            Self::Age { identity } => {
                let file = encrypted(kept);
                let Some(bytes) = read(&file, LONGEST + AROUND)? else {
                    return Ok(None);
                };
                let opened = sealed::open(&sealed::identities(identity)?, &bytes);
                let opened = opened.map_err(|problem| Error::Unsafe {
                    path: folder.path_of(&file),
                    problem: problem.to_owned(),
                    remedy: "add the credential again, or name the identity that it was kept for"
                        .to_owned(),
                })?;
                Ok(Some(trimmed(&opened)))
            }
        }
    }

    /// Whether it is there still.
    pub(crate) fn is_there(&self, folder: &Folder, kept: &Kept) -> Result<bool, Error> {
        let is_file = |file: &str| Ok(folder.names()?.iter().any(|name| name == file));
        match self {
            Self::File => is_file(&plain(kept)),
            Self::Keyring => keyring::is_kept(&description(kept)),
            Self::Age { .. } => is_file(&encrypted(kept)),
        }
    }

    /// Removes it, if it is there.
    pub(crate) fn forget(&self, folder: &Folder, kept: &Kept) -> Result<(), Error> {
        match self {
            Self::File => folder.remove(&plain(kept)),
            Self::Keyring => keyring::forget(&description(kept)),
            Self::Age { .. } => folder.remove(&encrypted(kept)),
        }
    }

    /// In words, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File => "kept in a file of the guard's, mode 0600, not encrypted".to_owned(),
            Self::Keyring => {
                "kept in the kernel's keyring, until the machine is started anew".to_owned()
            }
            Self::Age { identity } => format!(
                "kept in a file of the guard's, encrypted; `{}` opens it",
                identity.display()
            ),
        }
    }
}

fn plain(kept: &Kept) -> String {
    format!("{}.token", kept.terms.name)
}

fn encrypted(kept: &Kept) -> String {
    format!("{}.age", kept.terms.name)
}

/// The id is random: no two guards of one user have a key of one description.
fn description(kept: &Kept) -> String {
    format!("agentguard:{}:{}", kept.terms.name, kept.id)
}
