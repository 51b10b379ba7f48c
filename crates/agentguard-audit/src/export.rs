//! A copy of a log for others: what is signed, and nothing else.

use std::fs;
use std::io;
use std::path::Path;

use crate::source::{read_checkpoint, read_tile, width_at};
use crate::tile::{self, Kind};
use crate::{Checkpoint, Error, store};

/// How often a tile is looked for anew that the guard has replaced meanwhile.
const ATTEMPTS: usize = 5;

/// Paths below the log, with what is there.
type Files = Vec<(String, Vec<u8>)>;

/// Copies the published files of the log in `directory` into the new directory `to`: checkpoint, tiles and
/// bundles, of the size that is signed. With `with_texts` the texts that entries commit to come along.
///
/// # Errors
///
/// Returns [`Error::NotSigned`] where there is no checkpoint yet, and [`Error::Io`] where `to` is there
/// already or cannot be written.
pub fn export(directory: &Path, to: &Path, with_texts: bool) -> Result<Checkpoint, Error> {
    let mut copied = published(directory)?;
    for _ in 1..ATTEMPTS {
        if copied.is_some() {
            break;
        }
        copied = published(directory)?;
    }
    let Some((checkpoint, files)) = copied else {
        return Err(Error::damaged(
            directory,
            0,
            "a tile that is signed is not there",
        ));
    };
    fs::create_dir(to).map_err(|error| Error::io("make", to, error))?;
    let mut batch = store::Batch::new(to)?;
    for (path, bytes) in files {
        batch.put(&to.join(path), &bytes)?;
    }
    batch.sync()?;
    if with_texts {
        let path = directory.join("texts");
        match fs::copy(&path, to.join("texts")) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("copy", &path, error)),
        }
    }
    store::replace(&to.join("checkpoint"), checkpoint.note.as_bytes())?;
    Ok(checkpoint)
}

/// The files of the signed size, or nothing where one is not there.
fn published(directory: &Path) -> Result<Option<(Checkpoint, Files)>, Error> {
    let unsigned = Error::NotSigned { index: 0, size: 0 };
    let note = read_checkpoint(directory)?.ok_or(unsigned)?;
    let checkpoint = Checkpoint::danger_unverified(&note)?;
    let mut files = Vec::new();
    for (kind, count) in kinds(checkpoint.size) {
        for at in 0..count.div_ceil(256) {
            let width = width_at(at * 256, count);
            let Some(bytes) = read_tile(directory, kind, at, width)? else {
                return Ok(None);
            };
            files.push((tile::path(kind, at, width), bytes));
        }
    }
    Ok(Some((checkpoint, files)))
}

/// Each kind of file of a log of `size` entries, with how many entries or hashes there are of it.
fn kinds(size: u64) -> Vec<(Kind, u64)> {
    let mut kinds = vec![(Kind::Entries, size)];
    let mut count = size;
    let mut level = 0;
    while count > 0 {
        kinds.push((Kind::Hashes(level), count));
        count >>= 8;
        level += 1;
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_a_hash_for_each_full_tile_below() {
        for (size, expected) in [
            (0, vec![(Kind::Entries, 0)]),
            (255, vec![(Kind::Entries, 255), (Kind::Hashes(0), 255)]),
            (
                65_537,
                vec![
                    (Kind::Entries, 65_537),
                    (Kind::Hashes(0), 65_537),
                    (Kind::Hashes(1), 256),
                    (Kind::Hashes(2), 1),
                ],
            ),
        ] {
            assert_eq!(kinds(size), expected);
        }
    }
}
