//! Where a token is read from.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use agentguard_core::Secret;
use rustix::fs::{self, Mode, OFlags};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keeping::Keeping;
use super::token::{LONGEST, trimmed};
use super::{command, keyring};
use crate::Error;

/// Where a token is read from. All but what is kept is read anew when a session starts, and lies in no file of ours.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// It was handed over, and is kept.
    Kept {
        /// Where.
        #[serde(default = "Keeping::file", skip_serializing_if = "Keeping::is_file")]
        keeping: Keeping,
    },
    /// A file.
    File {
        /// Its absolute path.
        path: PathBuf,
    },
    /// A variable of the guard's own environment.
    Variable {
        /// Its name.
        name: String,
    },
    /// A key of type `user` in the kernel's keyrings.
    Keyring {
        /// Its description.
        description: String,
    },
    /// What a command writes. It is run without a shell, and outside every session.
    Command {
        /// Its program, by an absolute path, and its arguments.
        words: Vec<String>,
    },
}

impl Source {
    /// Reads the token. `kept` reads what is kept.
    pub(crate) fn read(
        &self,
        kept: impl FnOnce(&Keeping) -> Result<Secret, Error>,
    ) -> Result<Secret, Error> {
        match self {
            Self::Kept { keeping } => kept(keeping),
            Self::File { path } => {
                let failed = |source| Error::Io {
                    doing: "read",
                    path: path.clone(),
                    source,
                };
                // Without blocking: what lies there could be a FIFO.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let file =
                    fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
                bounded(File::from(file)).map_err(failed)
            }
            Self::Variable { name } => {
                let value = std::env::var_os(name).ok_or_else(|| Error::Absent {
                    variable: name.clone(),
                })?;
                let bytes = Zeroizing::new(value.into_encoded_bytes());
                Ok(trimmed(&bytes))
            }
            Self::Keyring { description } => keyring::read(description),
            Self::Command { words } => command::output(words),
        }
    }

    /// A command by its words, whose program is looked for in the directories of `search` now and never again.
    ///
    /// # Errors
    ///
    /// Returns an error where there is no such program.
    pub fn command(words: &[String], search: &[PathBuf]) -> Result<Self, Error> {
        let words = command::resolved(words, search)?;
        Ok(Self::Command { words })
    }

    /// In words, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Kept { keeping } => keeping.describe(),
            Self::File { path } => {
                format!("read from `{}` when a session starts", path.display())
            }
            Self::Variable { name } => format!("read from `${name}` when a session starts"),
            Self::Keyring { description } => {
                format!(
                    "read from the kernel's keyring, key `{description}`, when a session starts"
                )
            }
            Self::Command { words } => {
                format!("written by `{}` when a session starts", words.join(" "))
            }
        }
    }
}

/// What a token may have, and one byte by which it is seen that there is more.
pub(crate) const MOST: usize = LONGEST + 3;

/// Room for all of it: a vector that grows leaves what it held behind.
pub(crate) fn room() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(MOST + 32))
}

fn bounded(from: impl std::io::Read) -> std::io::Result<Secret> {
    let mut bytes = room();
    from.take(u64::try_from(MOST).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)?;
    Ok(trimmed(&bytes))
}
