//! Agents' keys: made on first use, kept private, rotated and revoked.
//!
//! An agent's directory `agents/<name>` below the state holds `key`, the 32 bytes of an Ed25519 seed;
//! `retired`, a line for each earlier key; and, at the end, `revoked` in place of `key`.

use std::path::Path;

use agentguard_core::{Agent, AgentName, Commitment, SessionId};
use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{SECRET_KEY_LENGTH, Signer as _, SigningKey, VerifyingKey};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::Error;
use crate::store::{Folder, random_error};
use crate::vkey;

const AGENTS: &str = "agents";
const KEY: &str = "key";
const RETIRED: &str = "retired";
const REVOKED: &str = "revoked";
/// A name takes 64 bytes at most, so a line takes 128: room for some 500 rotations.
const RETIRED_LIMIT: u16 = u16::MAX;

/// An agent's key, able to sign. It cannot be shown, copied or written out.
pub struct AgentKey {
    name: AgentName,
    key: SigningKey,
}

impl AgentKey {
    /// Reads the key of `name` below `state`, and makes one on first use.
    ///
    /// Two that make it at the same time end up with the same key.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Unsafe`] where the key or a directory above it is a link, belongs to someone
    /// else, or is open to others; [`Error::Revoked`] where the agent was revoked.
    pub fn load_or_create(state: &Path, name: &AgentName) -> Result<Self, Error> {
        let folder = Folder::make(state)?
            .make_below(AGENTS)?
            .make_below(name.as_str())?;
        if let Some(key) = load(&folder, name)? {
            return Ok(key);
        }
        // Whoever rotates or revokes holds the lock; a revoked agent must not be made anew.
        let _lock = folder.lock()?;
        if let Some(key) = load(&folder, name)? {
            return Ok(key);
        }
        let seed = new_seed()?;
        if !folder.create(KEY, seed.as_slice())? {
            return load(&folder, name)?.ok_or_else(|| Error::Unknown { name: name.clone() });
        }
        Ok(Self::from_seed(name, &seed))
    }

    /// Signs `bytes`: Ed25519, in base64.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> String {
        Base64::encode_string(&self.key.sign(bytes).to_bytes())
    }

    /// The identity that others see.
    #[must_use]
    pub fn agent(&self) -> Agent {
        Agent {
            name: self.name.clone(),
            key: vkey::encode(self.name.as_str(), &self.key.verifying_key()),
        }
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    fn from_seed(name: &AgentName, seed: &[u8; SECRET_KEY_LENGTH]) -> Self {
        Self {
            name: name.clone(),
            key: SigningKey::from_bytes(seed),
        }
    }
}

/// What is known of an agent, without its secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Identity {
    /// Its name.
    pub name: AgentName,
    /// Its key, unless it was revoked.
    pub agent: Option<Agent>,
    /// The verifier keys it had before, oldest first: what they signed still verifies.
    pub retired: Vec<String>,
}

/// Lists the agents below `state`, sorted by name. What has no agent's name, or no key yet, is not
/// listed.
///
/// # Errors
///
/// Returns [`Error::Unsafe`] where an agent's directory or key is not ours alone.
pub fn list(state: &Path) -> Result<Vec<Identity>, Error> {
    let Some(agents) = open_agents(state)? else {
        return Ok(Vec::new());
    };
    let mut identities = Vec::new();
    for name in agents
        .names()?
        .iter()
        .filter_map(|name| AgentName::parse(name).ok())
    {
        if let Some(folder) = agents.open_below(name.as_str())? {
            identities.extend(identity(&folder, &name)?);
        }
    }
    Ok(identities)
}

/// Shows one agent.
///
/// # Errors
///
/// Returns [`Error::Unknown`] where there is none of this name, and otherwise as [`list`] does.
pub fn show(state: &Path, name: &AgentName) -> Result<Identity, Error> {
    let unknown = || Error::Unknown { name: name.clone() };
    identity(&existing(state, name)?, name)?.ok_or_else(unknown)
}

/// Gives an agent a new key. The old one's public half is kept, and its secret is gone.
///
/// # Errors
///
/// Returns [`Error::Unknown`] or [`Error::Revoked`] where there is no key to replace.
pub fn rotate(state: &Path, name: &AgentName) -> Result<AgentKey, Error> {
    let folder = existing(state, name)?;
    let _lock = folder.lock()?;
    let old = load(&folder, name)?.ok_or_else(|| Error::Unknown { name: name.clone() })?;
    let seed = new_seed()?;
    // In this order a crash between leaves a key that is listed as retired too, never an unlisted one.
    retire(&folder, &old)?;
    folder.replace(KEY, seed.as_slice())?;
    Ok(AgentKey::from_seed(name, &seed))
}

/// Ends an agent: its secret is removed, its public key kept, its name not given out again.
///
/// # Errors
///
/// Returns [`Error::Unknown`] or [`Error::Revoked`] where there is no key to remove.
pub fn revoke(state: &Path, name: &AgentName) -> Result<Identity, Error> {
    let folder = existing(state, name)?;
    let _lock = folder.lock()?;
    let old = load(&folder, name)?.ok_or_else(|| Error::Unknown { name: name.clone() })?;
    retire(&folder, &old)?;
    // The mark comes first: without a key and without a mark, first use would make a new agent.
    folder.create(REVOKED, b"revoked\n")?;
    folder.remove(KEY)?;
    identity(&folder, name)?.ok_or_else(|| Error::Unknown { name: name.clone() })
}

/// What an agent signs when its session starts.
///
/// The id and the commitment have one length each, so the human's id between them is read in one way
/// only, whatever it holds.
#[must_use]
pub fn session_statement(session: &SessionId, human: &str, text: &Commitment) -> Vec<u8> {
    format!("agentguard session v1\n{session}\n{human}\n{}\n", text.0).into_bytes()
}

fn open_agents(state: &Path) -> Result<Option<Folder>, Error> {
    Folder::open(state)?.map_or(Ok(None), |state| state.open_below(AGENTS))
}

fn existing(state: &Path, name: &AgentName) -> Result<Folder, Error> {
    open_agents(state)?
        .map_or(Ok(None), |agents| agents.open_below(name.as_str()))?
        .ok_or_else(|| Error::Unknown { name: name.clone() })
}

fn load(folder: &Folder, name: &AgentName) -> Result<Option<AgentKey>, Error> {
    if is_revoked(folder)? {
        return Err(Error::Revoked { name: name.clone() });
    }
    let Some(bytes) = folder.read(KEY, 1024)? else {
        return Ok(None);
    };
    let seed: Zeroizing<[u8; SECRET_KEY_LENGTH]> =
        Zeroizing::new(bytes.as_slice().try_into().map_err(|_| Error::Unsafe {
            path: folder.path_of(KEY),
            problem: format!("is not a key: it has {} bytes, not 32", bytes.len()),
            remedy: format!("restore it from a backup, or remove it to give `{name}` a new one"),
        })?);
    Ok(Some(AgentKey::from_seed(name, &seed)))
}

fn is_revoked(folder: &Folder) -> Result<bool, Error> {
    Ok(folder.read(REVOKED, 1024)?.is_some())
}

fn identity(folder: &Folder, name: &AgentName) -> Result<Option<Identity>, Error> {
    let retired = retired(folder)?;
    let agent = if is_revoked(folder)? {
        None
    } else {
        match load(folder, name)? {
            Some(key) => Some(key.agent()),
            None => return Ok(None),
        }
    };
    Ok(Some(Identity {
        name: name.clone(),
        agent,
        retired,
    }))
}

fn retired(folder: &Folder) -> Result<Vec<String>, Error> {
    let bytes = folder.read(RETIRED, RETIRED_LIMIT)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let keys: Vec<String> = text.lines().map(str::to_owned).collect();
    // A line that is no key is not ours, and must not be shown as one.
    if keys.iter().all(|key| vkey::decode(key).is_some()) {
        return Ok(keys);
    }
    Err(Error::Unsafe {
        path: folder.path_of(RETIRED),
        problem: "holds a line that is no verifier key".to_owned(),
        remedy: "restore it from a backup".to_owned(),
    })
}

fn retire(folder: &Folder, key: &AgentKey) -> Result<(), Error> {
    let mut keys = retired(folder)?;
    let public = key.agent().key;
    if keys.contains(&public) {
        return Ok(());
    }
    keys.push(public);
    folder.replace(RETIRED, (keys.join("\n") + "\n").as_bytes())
}

fn new_seed() -> Result<Zeroizing<[u8; SECRET_KEY_LENGTH]>, Error> {
    let mut seed = Zeroizing::new([0; SECRET_KEY_LENGTH]);
    getrandom::fill(seed.as_mut_slice()).map_err(random_error)?;
    Ok(seed)
}

#[cfg(test)]
mod tests;
