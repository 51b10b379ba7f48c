//! What a repository held when it was found, so that what came later can be told from it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;

use super::id::Id;
use super::pack::Index;
use super::refs::list;

/// git packs by itself from 6,700 loose objects on.
const MAX_LOOSE: usize = 200_000;
/// git packs packs together from 50 on. Each takes a descriptor for the length of the session.
const MAX_PACKS: usize = 128;

/// The objects that were there, or came since and were reported.
pub(super) struct Inventory {
    loose: BTreeSet<Id>,
    packs: Vec<Index>,
    reported: BTreeSet<Id>,
    /// Whether there was more than could be taken stock of.
    pub(super) is_cut: bool,
}

impl Inventory {
    /// Takes stock. What cannot be read is as if it were not there: it is reported once too often then.
    pub(super) fn take(common: &OwnedFd) -> Self {
        let mut inventory = Self {
            loose: BTreeSet::new(),
            packs: Vec::new(),
            reported: BTreeSet::new(),
            is_cut: false,
        };
        let (mut packs, is_whole) = Index::all(common.as_fd());
        inventory.is_cut = !is_whole || packs.len() > MAX_PACKS;
        packs.truncate(MAX_PACKS);
        inventory.packs = packs;
        for fan in 0..=255_u8 {
            inventory.take_loose(common, &format!("{fan:02x}"));
        }
        inventory
    }

    /// Of a repository that was empty.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            loose: BTreeSet::new(),
            packs: Vec::new(),
            reported: BTreeSet::new(),
            is_cut: false,
        }
    }

    fn take_loose(&mut self, common: &OwnedFd, fan: &str) {
        match list(common.as_fd(), format!("objects/{fan}").as_bytes()) {
            Ok(entries) if self.loose.len() + entries.len() <= MAX_LOOSE => {
                let id = |name: &[u8]| Id::parse(&[fan.as_bytes(), name].concat());
                self.loose
                    .extend(entries.iter().filter_map(|(name, _)| id(name)));
            }
            Err(Errno::NOENT) => {}
            Ok(_) | Err(_) => self.is_cut = true,
        }
    }

    /// Remembers that a commit was reported.
    pub(super) fn report(&mut self, id: Id) {
        self.reported.insert(id);
    }

    /// Whether the object was there, or was reported.
    pub(super) fn holds(&self, id: &Id) -> bool {
        self.loose.contains(id)
            || self.reported.contains(id)
            // An index that was touched since proves nothing: it could list what is new.
            || self.packs.iter().any(|pack| pack.is_untouched() && matches!(pack.find(id), Ok(Some(_))))
    }

    /// Whether a pack of this name was there.
    pub(super) fn has_pack(&self, name: &[u8]) -> bool {
        self.packs.iter().any(|pack| pack.name() == name)
    }
}
