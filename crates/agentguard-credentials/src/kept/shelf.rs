//! The credentials of one guard: files of its own, below its state.
//!
//! `credentials/<name>.json` says what is known of one; a token that was handed to us lies beside it, as it is or
//! encrypted, or in the kernel's keyring. Every change is made by whoever holds the directory's lock.

use std::path::Path;

use agentguard_core::{CredentialName, Secret};

use super::source::Source;
use super::terms::{Kept, Terms};
use super::token;
use crate::Error;
use crate::store::{Folder, random_error};

const CREDENTIALS: &str = "credentials";
/// A description of some hundred bindings.
const LIMIT: u16 = u16::MAX;

/// The credentials of one guard.
pub struct Shelf {
    folder: Folder,
}

/// Why a credential that was lent may be used no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// Its human took it back, or put another in its place.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Shelf {
    /// Opens it below `state`, making it where it is missing.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Unsafe`] where a directory is a link, belongs to someone else, or is open to others.
    pub fn make(state: &Path) -> Result<Self, Error> {
        let folder = Folder::make(state)?.make_below(CREDENTIALS)?;
        Ok(Self { folder })
    }

    /// Opens it below `state`, or answers that there is none.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Unsafe`] as [`Shelf::make`] does.
    pub fn open(state: &Path) -> Result<Option<Self>, Error> {
        let folder = Folder::open(state)?.map_or(Ok(None), |state| state.open_below(CREDENTIALS));
        Ok(folder?.map(|folder| Self { folder }))
    }

    /// Adds a credential. `handed` is its token, where it is to be kept; else its source is read once, so that it is
    /// known to give one.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Taken`] where one of this name can still be lent, [`Error::Token`] where the token cannot
    /// stand in a request, and what keeps it from being kept.
    pub fn add(&self, terms: Terms, handed: Option<&Secret>, now: u64) -> Result<Kept, Error> {
        terms.check()?;
        let (name, source) = (&terms.name, &terms.source);
        let nothing = || Error::Token {
            problem: "was not handed over",
        };
        let read = match handed {
            Some(_) => None,
            None => Some(source.read(|_| Err(nothing()))?),
        };
        let token = handed.or(read.as_ref()).ok_or_else(nothing)?;
        token::check(token, &terms.slots())?;
        let _lock = self.folder.lock()?;
        if let Some(before) = self.find(name)? {
            if !before.is_over(now) && !matches!(self.is_gone(&before), Ok(true)) {
                return Err(Error::Taken { name: name.clone() });
            }
            self.forget(&before)?;
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(random_error)?;
        let kept = Kept {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            token_sha256: token::digest(token),
            added: now,
            revoked: None,
            uses: 0,
            used: None,
            terms,
        };
        // The token first: what is described can be lent.
        if let Source::Kept { keeping } = &kept.terms.source {
            keeping.keep(&self.folder, &kept, token)?;
        }
        self.write(&kept)?;
        Ok(kept)
    }

    /// Lists what was added, sorted by name.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Unsafe`] where a file is not ours alone, or not what it should be.
    pub fn list(&self) -> Result<Vec<Kept>, Error> {
        let names = self.folder.names()?;
        let names = names.iter().filter_map(|file| file.strip_suffix(".json"));
        let names = names.filter_map(|name| CredentialName::parse(name).ok());
        let kept = names.map(|name| self.find(&name));
        kept.filter_map(Result::transpose).collect()
    }

    /// Looks one up.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Unsafe`] as [`Shelf::list`] does.
    pub fn find(&self, name: &CredentialName) -> Result<Option<Kept>, Error> {
        let file = file(name);
        let Some(bytes) = self.folder.read(&file, LIMIT)? else {
            return Ok(None);
        };
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| Error::Unsafe {
            path: self.folder.path_of(&file),
            problem: format!("describes no credential: {error}"),
            remedy: "move it away, and add the credential again".to_owned(),
        })?;
        match kept.terms.name == *name {
            true => Ok(Some(kept)),
            false => Err(Error::Unsafe {
                path: self.folder.path_of(&file),
                problem: format!("describes `{}`", kept.terms.name),
                remedy: "move it away, and add the credential again".to_owned(),
            }),
        }
    }

    /// Reads a credential's token from its source.
    ///
    /// # Errors
    ///
    /// Returns what keeps it from being read, or [`Error::Token`] where what was read cannot stand in a request.
    pub fn token(&self, kept: &Kept) -> Result<Secret, Error> {
        let token = kept.terms.source.read(|keeping| {
            let missing = || Error::Token {
                problem: "is gone from where it was kept: add the credential again",
            };
            keeping.token(&self.folder, kept)?.ok_or_else(missing)
        })?;
        token::check(&token, &kept.terms.slots())?;
        Ok(token)
    }

    /// Takes a credential back: its token is removed where it was kept, and no request is let through with it any more.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoCredential`] where there is none of this name, and [`Error::TakenBack`] where it was revoked before.
    pub fn revoke(&self, name: &CredentialName, now: u64) -> Result<Kept, Error> {
        let _lock = self.folder.lock()?;
        let kept = self.find(name)?;
        let mut kept = kept.ok_or_else(|| Error::NoCredential { name: name.clone() })?;
        if kept.revoked.is_some() {
            return Err(Error::TakenBack { name: name.clone() });
        }
        kept.revoked = Some(now);
        // The mark first: a session that reads it lends no more.
        self.write(&kept)?;
        self.forget(&kept)?;
        Ok(kept)
    }

    /// Whether its token was kept, and is there no more though nobody revoked it: the kernel's keyring was emptied.
    ///
    /// # Errors
    ///
    /// Returns what keeps that from being found out.
    pub fn is_gone(&self, kept: &Kept) -> Result<bool, Error> {
        match &kept.terms.source {
            Source::Kept { keeping } => {
                Ok(kept.revoked.is_none() && !keeping.is_there(&self.folder, kept)?)
            }
            Source::File { .. }
            | Source::Variable { .. }
            | Source::Keyring { .. }
            | Source::Command { .. } => Ok(false),
        }
    }

    /// Whether one that was lent may be used no more.
    ///
    /// # Errors
    ///
    /// Returns what keeps that from being found out. It must not be used then.
    pub fn ended(&self, lent: &Kept, now: u64) -> Result<Option<Ended>, Error> {
        let here = self.find(&lent.terms.name)?;
        let Some(kept) = here.filter(|kept| kept.id == lent.id && kept.revoked.is_none()) else {
            return Ok(Some(Ended::Revoked));
        };
        Ok(kept.is_over(now).then_some(Ended::Expired))
    }

    /// Counts requests that one was put into.
    ///
    /// # Errors
    ///
    /// Returns what keeps the count from being written.
    pub fn count(&self, lent: &Kept, uses: u64, now: u64) -> Result<(), Error> {
        let _lock = self.folder.lock()?;
        let here = self.find(&lent.terms.name)?;
        let Some(mut kept) = here.filter(|kept| kept.id == lent.id) else {
            return Ok(());
        };
        kept.uses = kept.uses.saturating_add(uses);
        kept.used = Some(now);
        self.write(&kept)
    }

    /// Removes its token, where it was kept.
    fn forget(&self, kept: &Kept) -> Result<(), Error> {
        match &kept.terms.source {
            Source::Kept { keeping } => keeping.forget(&self.folder, kept),
            Source::File { .. }
            | Source::Variable { .. }
            | Source::Keyring { .. }
            | Source::Command { .. } => Ok(()),
        }
    }

    fn write(&self, kept: &Kept) -> Result<(), Error> {
        let file = file(&kept.terms.name);
        let text = serde_json::to_string(kept).map_err(|error| Error::Io {
            doing: "write",
            path: self.folder.path_of(&file),
            source: error.into(),
        })?;
        if text.len() > usize::from(LIMIT) {
            return Err(Error::invalid("credential", "is bound to too much"));
        }
        self.folder.replace(&file, text.as_bytes())
    }
}

fn file(name: &CredentialName) -> String {
    format!("{name}.json")
}
