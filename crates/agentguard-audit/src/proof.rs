//! Receipts: an entry, its place in the tree, and a signed checkpoint, in one text.
//!
//! # References
//!
//! - <https://c2sp.org/tlog-proof>; the `extra` line holds the entry's bytes

use std::fmt::Write as _;
use std::path::Path;

use agentguard_core::{Digest, Entry, Index};
use base64ct::{Base64, Encoding as _};
use serde::Serialize;

use crate::merkle;
use crate::source::{self, read_checkpoint};
use crate::tile::{self, Kind};
use crate::{Checkpoint, Error, Keys};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1\n";
/// An entry, 63 hashes, and a note with a hundred signatures take less.
const LONGEST: usize = 1 << 20;
/// Of one behind the other.
const MOST: usize = 16;

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Receipt {
    /// The entry's place in its log.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// The state of the log that contains it.
    pub checkpoint: Checkpoint,
}

/// Makes the receipt of an entry, from the tiles of the log in `directory`.
///
/// # Errors
///
/// Returns [`Error::NotSigned`] where no checkpoint covers the entry yet, and [`Error::NotProven`] where
/// the tiles do not lead to the checkpoint.
pub fn prove(directory: &Path, index: Index) -> Result<String, Error> {
    prove_all(directory, &[index])
}

/// Makes the receipts of several entries, one behind the other, by one checkpoint.
///
/// # Errors
///
/// The same as of [`prove`].
pub fn prove_all(directory: &Path, indices: &[Index]) -> Result<String, Error> {
    let mut text = String::new();
    let note = read_checkpoint(directory)?;
    for &Index(index) in indices {
        let note = note.as_ref().ok_or(Error::NotSigned { index, size: 0 })?;
        text.push_str(&proof(directory, note, index)?);
    }
    Ok(text)
}

fn proof(directory: &Path, note: &str, index: u64) -> Result<String, Error> {
    let checkpoint = Checkpoint::danger_unverified(note)?;
    let size = checkpoint.size;
    if index >= size {
        return Err(Error::NotSigned { index, size });
    }
    let entry = entry_at(directory, index, size)?;
    let mut full = |height, at| subtree(directory, size, height, at);
    let proof = merkle::inclusion_proof(index, size, &mut full)?;
    let leaf = merkle::leaf_hash(&entry);
    if !merkle::verify_inclusion(index, size, &leaf, &proof, &checkpoint.root) {
        let problem = "the tiles do not lead to the checkpoint";
        return Err(Error::NotProven { problem });
    }
    let mut text = String::from(FIRST_LINE);
    // Writing to a `String` cannot fail.
    let _ = write!(
        text,
        "extra {}\nindex {index}\n",
        Base64::encode_string(&entry)
    );
    for hash in proof {
        let _ = writeln!(text, "{}", Base64::encode_string(&hash.0));
    }
    let _ = write!(text, "\n{note}");
    Ok(text)
}

/// Verifies receipts that stand one behind the other, each as [`verify_receipt`] does.
///
/// # Errors
///
/// The same as of [`verify_receipt`].
pub fn verify_receipts(receipts: &[u8], keys: &Keys) -> Result<Vec<Receipt>, Error> {
    let bad = |problem| Error::malformed("receipt", problem);
    if receipts.len() > LONGEST {
        return Err(bad("it is too long"));
    }
    let text = std::str::from_utf8(receipts).map_err(|_| bad("it is no UTF-8"))?;
    let mut rest = text;
    let mut all = Vec::new();
    loop {
        // The line is no part of a checkpoint of ours, and one in whose text it stood would not be found whole.
        let next = rest.match_indices(FIRST_LINE).map(|(at, _)| at);
        let next = next.filter(|at| rest.get(..*at).is_some_and(|before| before.ends_with('\n')));
        let (one, others) = match next.min().and_then(|at| rest.split_at_checked(at)) {
            Some((one, others)) => (one, Some(others)),
            None => (rest, None),
        };
        all.push(verify_receipt(one.as_bytes(), keys)?);
        match others {
            Some(_) if all.len() == MOST => return Err(bad("it holds too many proofs")),
            Some(others) => rest = others,
            None => return Ok(all),
        }
    }
}

/// Verifies a receipt by the keys alone.
///
/// # Errors
///
/// Returns [`Error::Malformed`] where it is none, [`Error::NotProven`] where it proves nothing, and
/// [`Error::NoKey`] where the log's key is not known.
pub fn verify_receipt(receipt: &[u8], keys: &Keys) -> Result<Receipt, Error> {
    let bad = |problem| Error::malformed("receipt", problem);
    let not = |problem| Error::NotProven { problem };
    if receipt.len() > LONGEST {
        return Err(bad("it is too long"));
    }
    let text = std::str::from_utf8(receipt).map_err(|_| bad("it is no UTF-8"))?;
    let body = text.strip_prefix(FIRST_LINE);
    let body = body.ok_or_else(|| bad("its first line is not `c2sp.org/tlog-proof@v1`"))?;
    let (lines, note) = body
        .split_once("\n\n")
        .ok_or_else(|| bad("it has no checkpoint"))?;
    let mut lines = lines.split('\n');
    let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
    let extra = extra.ok_or_else(|| bad("it has no `extra` line with the entry"))?;
    let bytes = Base64::decode_vec(extra).map_err(|_| bad("its entry is no base64"))?;
    let place = lines.next().and_then(|line| line.strip_prefix("index "));
    let place = place.ok_or_else(|| bad("it has no `index` line"))?;
    let index: u64 = place.parse().map_err(|_| bad("its index is no number"))?;
    if index.to_string() != place {
        return Err(bad("its index is written in a second way"));
    }
    let proof: Option<Vec<Digest>> = lines.map(hash).collect();
    let proof = proof.ok_or_else(|| bad("a hash of it is wrong"))?;
    let origin = Checkpoint::danger_unverified(note)?.origin;
    let checkpoint = Checkpoint::open(note, &keys.for_log(&origin)?)?;
    let leaf = merkle::leaf_hash(&bytes);
    let (size, root) = (checkpoint.size, checkpoint.root);
    if !merkle::verify_inclusion(index, size, &leaf, &proof, &root) {
        return Err(not("the entry does not lead to the checkpoint"));
    }
    let entry: Entry =
        serde_json::from_slice(&bytes).map_err(|_| not("what it proves is no entry"))?;
    if entry.seq != index {
        return Err(not("the entry names another place than the one it has"));
    }
    Ok(Receipt {
        index,
        entry,
        checkpoint,
    })
}

fn hash(line: &str) -> Option<Digest> {
    let mut buffer = [0; 32];
    let bytes = Base64::decode(line, &mut buffer).ok()?;
    bytes.try_into().ok().map(Digest)
}

fn entry_at(directory: &Path, index: u64, size: u64) -> Result<Vec<u8>, Error> {
    let width = source::width_at(index, size);
    let bundle = source::read_tile(directory, Kind::Entries, index / 256, width)?;
    let at = usize::try_from(index % 256).unwrap_or(0);
    let entry = bundle
        .as_deref()
        .and_then(|bundle| tile::Bundle(bundle).nth(at)?.ok().map(<[u8]>::to_vec));
    entry.ok_or_else(|| Error::damaged(directory, index, "its bundle does not hold it"))
}

/// The root of the full tree of `2^height` leaves that is the `at`-th, in a log of `size`.
fn subtree(directory: &Path, size: u64, height: u32, at: u64) -> Result<Digest, Error> {
    let level = height / 8;
    let count = 1u64 << (height % 8);
    let first = at * count;
    let tiles = size >> (8 * level);
    let width = source::width_at(first, tiles);
    let wrong = || Error::damaged(directory, first << (8 * level), "a tile of it is wrong");
    let kind = Kind::Hashes(u8::try_from(level).map_err(|_| wrong())?);
    let bytes = source::read_tile(directory, kind, first / 256, width)?;
    let hashes = bytes.and_then(|bytes| tile::decode(&bytes, width));
    let hashes = hashes.ok_or_else(wrong)?;
    let from = usize::try_from(first % 256).map_err(|_| wrong())?;
    let upto = from + usize::try_from(count).map_err(|_| wrong())?;
    hashes
        .get(from..upto)
        .map(merkle::root_of)
        .ok_or_else(wrong)
}
