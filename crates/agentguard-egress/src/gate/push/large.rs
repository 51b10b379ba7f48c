//! Files that are too large to be held: of them nothing is read but how they are called, piece by piece.

use gix_hash::{Kind as Hash, ObjectId};
use gix_pack::data;
use gix_pack::data::entry::Header;
use gix_pack::data::input;

use std::sync::atomic::AtomicBool;

use super::entries::Inflate;
use super::pack::{LARGEST_OBJECT, said};

/// Where one stands.
pub(super) struct Large {
    offset: u64,
    pub(super) size: u64,
}

/// Entries of a pack without those that are too large.
pub(super) struct SetAside<I> {
    entries: I,
    /// The last that is none of them: it says how the pack ends, whichever is the last.
    last: Option<input::Entry>,
    pub(super) large: Vec<Large>,
}

/// Whether an entry is a file that is too large to be held.
pub(super) fn is(entry: &input::Entry) -> bool {
    let largest = u64::try_from(LARGEST_OBJECT).unwrap_or(u64::MAX);
    entry.header == Header::Blob && entry.decompressed_size > largest
}

impl<I> SetAside<I> {
    pub(super) fn new(entries: I) -> Self {
        Self {
            entries,
            last: None,
            large: Vec::new(),
        }
    }
}

impl<I, E> Iterator for SetAside<I>
where
    I: Iterator<Item = Result<input::Entry, E>>,
{
    type Item = Result<input::Entry, E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next() {
                Some(Ok(entry)) if is(&entry) => {
                    self.large.push(Large {
                        offset: entry.pack_offset,
                        size: entry.decompressed_size,
                    });
                    if let Some(last) = &mut self.last {
                        last.trailer = entry.trailer;
                    }
                }
                Some(Ok(entry)) => {
                    if let Some(before) = self.last.replace(entry) {
                        return Some(Ok(before));
                    }
                }
                Some(Err(why)) => return Some(Err(why)),
                None => return self.last.take().map(Ok),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl Large {
    /// How it is called, which is computed.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be read, or not in time.
    pub(super) fn id(
        &self,
        pack: &[u8],
        format: Hash,
        late: &AtomicBool,
    ) -> Result<ObjectId, String> {
        let broken = || "one of its files cannot be read".to_owned();
        let file = data::File::from_data(pack, std::path::PathBuf::new(), format).map_err(said)?;
        let begin = file.entry(self.offset).map_err(said)?.data_offset;
        let begin = usize::try_from(begin).map_err(said)?;
        let packed = pack.get(begin..).ok_or_else(broken)?;
        let mut hasher = gix_hash::hasher(format);
        hasher.update(format!("blob {}\0", self.size).as_bytes());
        Inflate::new().pass(packed, self.size, late, |piece| hasher.update(piece))?;
        hasher.try_finalize().map_err(said)
    }
}
