//! What a verifier knows beforehand: keys, and states that logs had.

use std::collections::BTreeMap;

use agentguard_core::{Digest, SessionStatus, Span};

use crate::installation::{self, Places};
use crate::{Checkpoint, Error, VerifierKey, read};

/// A state a log is known to have had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Known {
    pub(crate) size: u64,
    pub(crate) root: Digest,
    /// Whether nothing may follow.
    pub(crate) is_final: bool,
}

/// The keys that a verifier believes, and what it knows of logs beforehand.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    keys: Vec<VerifierKey>,
    known: BTreeMap<String, Vec<Known>>,
    /// What the anchor log says of texts that were erased, where there is one.
    erased: Option<BTreeMap<String, Vec<Span>>>,
}

impl Keys {
    /// The pinned keys, with the last known checkpoints and the states that the anchor log names.
    ///
    /// # Errors
    ///
    /// Returns an error where what is pinned cannot be read, or is no key.
    pub fn pinned(places: &Places) -> Result<Self, Error> {
        let mut keys = Self::default();
        for (key, checkpoint) in installation::pinned(places)? {
            keys.keys.push(key);
            if let Some(checkpoint) = checkpoint {
                keys.know(&checkpoint);
            }
        }
        for anchored in read::anchored(&places.anchor())? {
            let known = Known {
                size: anchored.size,
                root: anchored.root,
                is_final: anchored.state != SessionStatus::Begun,
            };
            keys.known.entry(anchored.log).or_default().push(known);
        }
        if places.anchor().join("wal").exists() {
            let erased = keys.erased.insert(BTreeMap::new());
            for (log, entries) in read::erasures(&places.anchor())? {
                erased.entry(log).or_default().extend(entries);
            }
        }
        Ok(keys)
    }

    /// These keys and no others, and nothing known beforehand.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] where one is no verifier key.
    pub fn given<'k>(vkeys: impl IntoIterator<Item = &'k str>) -> Result<Self, Error> {
        let keys: Result<_, _> = vkeys.into_iter().map(VerifierKey::parse).collect();
        Ok(Self {
            keys: keys?,
            known: BTreeMap::new(),
            erased: None,
        })
    }

    /// The keys that are believed.
    #[must_use]
    pub fn all(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Adds a state that a log is known to have had: it must contain it.
    pub fn know(&mut self, checkpoint: &Checkpoint) {
        let known = Known {
            size: checkpoint.size,
            root: checkpoint.root,
            is_final: false,
        };
        let of_log = self.known.entry(checkpoint.origin.clone()).or_default();
        of_log.push(known);
    }

    /// Keeps only what was known beforehand, and believes these keys instead.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] where one is no verifier key.
    pub fn with_keys<'k>(
        mut self,
        vkeys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Self, Error> {
        self.keys = Self::given(vkeys)?.keys;
        Ok(self)
    }

    /// The keys for the log `origin`: the one of this name, and witnesses'.
    pub(crate) fn for_log(&self, origin: &str) -> Result<Vec<VerifierKey>, Error> {
        let own: Vec<_> = self
            .keys
            .iter()
            .filter_map(|key| key.for_log(origin))
            .collect();
        if !own.iter().any(VerifierKey::is_log) {
            return Err(Error::NoKey {
                origin: origin.to_owned(),
            });
        }
        let witnesses = self.keys.iter().filter(|key| !key.is_log()).cloned();
        Ok(own.into_iter().chain(witnesses).collect())
    }

    /// The entries of the log `origin` whose texts the anchor log says were erased. `None` where that log is
    /// not known, or not this one.
    pub(crate) fn erased_of(&self, origin: &str) -> Option<&[Span]> {
        let erased = self.erased.as_ref()?;
        self.known.get(origin)?;
        Some(erased.get(origin).map_or(&[], Vec::as_slice))
    }

    /// The states that the log `origin` is known to have had.
    pub(crate) fn known_of(&self, origin: &str) -> &[Known] {
        self.known.get(origin).map_or(&[], Vec::as_slice)
    }
}
