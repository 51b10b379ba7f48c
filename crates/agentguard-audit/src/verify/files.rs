//! The published files of a log, compared with its entries.

use std::path::Path;

use agentguard_core::Digest;

use crate::Error;
use crate::merkle::Edge;
use crate::source::{read_tile, width_at};
use crate::tile::{self, Kind};

use super::report::{Fault, Report};

/// The tiles and bundles of a log of `size` entries, read along with its entries.
pub(crate) struct Files<'f> {
    directory: &'f Path,
    size: u64,
    leaves: Vec<u8>,
    bundle: Vec<u8>,
    at: usize,
}

impl<'f> Files<'f> {
    pub(crate) fn new(directory: &'f Path, size: u64) -> Self {
        Self {
            directory,
            size,
            leaves: Vec::new(),
            bundle: Vec::new(),
            at: 0,
        }
    }

    /// Compares an entry with its bundle, and its hash with its tile. Entries must come in order.
    pub(crate) fn compare_entry(
        &mut self,
        index: u64,
        bytes: &[u8],
        leaf: &Digest,
        report: &mut Report,
    ) -> Result<(), Error> {
        if index.is_multiple_of(256) {
            self.load(index, report)?;
        }
        let place = usize::try_from(index % 256).unwrap_or(0) * 32;
        if self.leaves.get(place..place + 32) != Some(&leaf.0) {
            report.find(
                Fault::Changed,
                index,
                "it is not the one whose hash its tile holds",
            );
        }
        let mut rest = tile::Bundle(self.bundle.get(self.at..).unwrap_or_default());
        match rest.next() {
            Some(Ok(bundled)) => {
                self.at += 2 + bundled.len();
                if bundled != bytes {
                    report.find(
                        Fault::Changed,
                        index,
                        "it is not the one that its bundle holds",
                    );
                }
            }
            Some(Err(())) | None => {
                report.find(Fault::Changed, index, "its bundle ends before it");
            }
        }
        let is_last = index % 256 == 255 || index + 1 == self.size;
        if is_last && self.at < self.bundle.len() {
            report.find(Fault::Changed, index, "its bundle goes on behind it");
        }
        Ok(())
    }

    /// Compares a tile that is full. Leaves were compared one by one.
    pub(crate) fn compare_full(
        &self,
        level: u8,
        at: u64,
        hashes: &[Digest],
        report: &mut Report,
    ) -> Result<(), Error> {
        let leaves = 1u64
            .checked_shl(8 * (u32::from(level) + 1))
            .unwrap_or(u64::MAX);
        let is_published = (at + 1)
            .checked_mul(leaves)
            .is_some_and(|end| end <= self.size);
        if level == 0 || !is_published {
            return Ok(());
        }
        self.compare_hashes(level, at, hashes, report)
    }

    /// Compares the tiles that are not full in the tree that is signed.
    pub(crate) fn compare_partial(&self, edge: &Edge, report: &mut Report) -> Result<(), Error> {
        for (level, at, hashes) in edge.partial().filter(|(level, ..)| *level > 0) {
            self.compare_hashes(level, at, hashes, report)?;
        }
        Ok(())
    }

    fn compare_hashes(
        &self,
        level: u8,
        at: u64,
        hashes: &[Digest],
        report: &mut Report,
    ) -> Result<(), Error> {
        let width = hashes.len();
        let bytes = read_tile(self.directory, Kind::Hashes(level), at, width)?;
        let found = bytes.unwrap_or_default();
        if found == tile::encode(hashes) {
            return Ok(());
        }
        let path = tile::path(Kind::Hashes(level), at, width);
        let below = 1u64.checked_shl(8 * u32::from(level)).unwrap_or(0);
        let mut is_explained = false;
        for (place, hash) in (0u64..).zip(hashes) {
            let from = usize::try_from(place * 32).unwrap_or(usize::MAX);
            if found.get(from..from.saturating_add(32)) == Some(&hash.0) {
                continue;
            }
            // Where an entry below is another, so is every hash over it.
            let first = (at * 256 + place) * below;
            is_explained = report.has_changed(&(first..first + below));
            if !is_explained {
                report.find(
                    Fault::Changed,
                    first,
                    format!("`{path}` does not hold its hash"),
                );
                return Ok(());
            }
        }
        if !is_explained {
            let end = (at * 256 + u64::try_from(width).unwrap_or(256)) * below;
            report.find(
                Fault::Changed,
                end.saturating_sub(1),
                format!("`{path}` goes on"),
            );
        }
        Ok(())
    }

    fn load(&mut self, index: u64, report: &mut Report) -> Result<(), Error> {
        let (at, width) = (index / 256, width_at(index, self.size));
        let leaves = read_tile(self.directory, Kind::Hashes(0), at, width)?;
        self.leaves = leaves.unwrap_or_default();
        if self.leaves.len() != width * 32 {
            report.find(
                Fault::Changed,
                index,
                "the tile with its hash has not its length",
            );
        }
        let bundle = read_tile(self.directory, Kind::Entries, at, width)?;
        self.bundle = bundle.unwrap_or_default();
        self.at = 0;
        Ok(())
    }
}
