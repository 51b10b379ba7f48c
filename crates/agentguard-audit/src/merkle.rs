//! The Merkle tree of RFC 6962: hashes, the growing edge, and both proofs.
//!
//! # References
//!
//! - RFC 6962, section 2.1: hashes, audit paths, consistency proofs
//! - RFC 9162, sections 2.1.3.2 and 2.1.4.2: how proofs are verified

use agentguard_core::Digest;
use sha2::{Digest as _, Sha256};

/// Hashes in a full tile.
pub(crate) const TILE_WIDTH: usize = 256;

/// The hash of a leaf: `SHA-256(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(entry);
    Digest(hasher.finalize().into())
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut preimage = [1; 65];
    let (_, hashes) = preimage.split_at_mut(1);
    let (first, second) = hashes.split_at_mut(32);
    first.copy_from_slice(&left.0);
    second.copy_from_slice(&right.0);
    Digest(Sha256::digest(preimage).into())
}

/// The root of the tree without leaves: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// The root over `nodes`, all of which but the last are roots of equally large, full trees.
pub(crate) fn root_of(nodes: &[Digest]) -> Digest {
    match nodes {
        [] => empty_root(),
        [node] => *node,
        nodes => {
            let (left, right) = nodes.split_at(largest_power_below(nodes.len()));
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The largest power of two smaller than `n`, for `n` of 2 and more.
fn largest_power_below(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// The right edge of a tree: for each level of tiles, the hashes of the tile that is not full yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edge {
    size: u64,
    levels: Vec<Vec<Digest>>,
}

/// A tile that just became full: its level, its place, its 256 hashes.
pub(crate) type Full = (u8, u64, Vec<Digest>);

impl Edge {
    /// How many leaves the tree has.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf. Tiles that become full by it are added to `full`, lowest first.
    pub(crate) fn push(&mut self, leaf: Digest, full: &mut Vec<Full>) {
        let mut carried = leaf;
        let mut shift = 8;
        self.size += 1;
        for level in 0u8.. {
            let at = usize::from(level);
            if self.levels.len() == at {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let Some(tile) = self.levels.get_mut(at) else {
                return;
            };
            tile.push(carried);
            if tile.len() < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::replace(tile, Vec::with_capacity(TILE_WIDTH));
            carried = root_of(&hashes);
            full.push((level, (self.size >> shift) - 1, hashes));
            shift += 8;
        }
    }

    /// The root of the tree as it is.
    pub(crate) fn root(&self) -> Digest {
        let mut rest: Option<Digest> = None;
        for tile in &self.levels {
            let mut nodes = tile.clone();
            nodes.extend(rest);
            if !nodes.is_empty() {
                rest = Some(root_of(&nodes));
            }
        }
        rest.unwrap_or_else(empty_root)
    }

    /// The tiles that are neither empty nor full: level, place, hashes.
    pub(crate) fn partial(&self) -> impl Iterator<Item = (u8, u64, &[Digest])> {
        let levels = (0u8..).zip(&self.levels);
        levels
            .filter(|(_, tile)| !tile.is_empty())
            .map(|(level, tile)| (level, place(self.size, level), tile.as_slice()))
    }

    /// Puts an edge back together from its tiles, as [`Edge::partial`] gave them.
    pub(crate) fn from_tiles(size: u64, levels: Vec<Vec<Digest>>) -> Self {
        Self { size, levels }
    }
}

/// Where the tile of `level` lies that a tree of `size` leaves grows in.
fn place(size: u64, level: u8) -> u64 {
    size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0)
}

/// For each level, the place and width of the tile that is not full in a tree of `size` leaves.
pub(crate) fn partial_widths(size: u64) -> Vec<(u8, u64, usize)> {
    let mut widths = Vec::new();
    for level in 0u8..8 {
        let at_level = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        if at_level == 0 {
            break;
        }
        let width = usize::try_from(at_level % 256).unwrap_or(0);
        widths.push((level, place(size, level), width));
    }
    widths
}

/// The hashes that prove that leaf `index` is in the tree of `size` leaves.
///
/// `full` gives the root of the full tree of `2^height` leaves that is the `at`-th of its height.
pub(crate) fn inclusion_proof<E>(
    index: u64,
    size: u64,
    full: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + (end - start).next_power_of_two() / 2;
        if index < middle {
            proof.push(range_root(middle, end, full)?);
            end = middle;
        } else {
            proof.push(range_root(start, middle, full)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The root over the leaves from `start` to before `end`, where `start` is as aligned as a tree makes it.
fn range_root<E>(
    start: u64,
    end: u64,
    full: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
) -> Result<Digest, E> {
    let count = end - start;
    if count.is_power_of_two() {
        let height = count.trailing_zeros();
        return full(height, start >> height);
    }
    let middle = start + count.next_power_of_two() / 2;
    let left = range_root(start, middle, full)?;
    let right = range_root(middle, end, full)?;
    Ok(node_hash(&left, &right))
}

/// Whether `proof` shows that `leaf` stands at `index` in the tree of `size` leaves with this `root`.
///
/// # References
///
/// - RFC 9162, section 2.1.3.2
#[must_use]
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Digest,
    proof: &[Digest],
    root: &Digest,
) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new_size` leaves begins with the tree of `old_size` leaves.
///
/// # References
///
/// - RFC 9162, section 2.1.4.2
#[must_use]
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Digest],
    old_root: &Digest,
    new_root: &Digest,
) -> bool {
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return false; // every tree begins with the empty one: there is nothing to prove
    }
    let mut proof = proof.iter();
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    // A tree whose size is a power of two is a node of the larger one: its root is not repeated.
    let first = if old_size.is_power_of_two() {
        Some(old_root)
    } else {
        proof.next()
    };
    let Some(first) = first else { return false };
    let (mut old, mut new) = (*first, *first);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old == *old_root && new == *new_root
}

#[cfg(test)]
mod tests;
