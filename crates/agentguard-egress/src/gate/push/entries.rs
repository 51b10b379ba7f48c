//! The entries of a pack, one after the other. Of none is more held than a piece, however long it is.
//!
//! # References
//!
//! - gitformat-pack(5): an entry is its kind and length, for a difference to what it is one, and a stream of zlib;
//!   a digest of everything stands at the end

use std::sync::atomic::AtomicBool;

use gix_hash::{Kind as Hash, ObjectId};
use gix_pack::data;
use gix_pack::data::input;
use gix_zlib::{Decompress, FlushDecompress, Status};

use super::pack::{HEADER, in_time, said};

/// How much of one is held at once.
const PIECE: usize = 64 << 10;

/// The entries of a pack that lies in one piece.
pub(super) struct Entries<'p> {
    pack: &'p [u8],
    format: Hash,
    late: &'p AtomicBool,
    inflate: Inflate,
    /// Where the next one begins.
    at: usize,
    left: u32,
}

/// What inflates one entry after the other.
pub(super) struct Inflate {
    stream: Decompress,
    piece: Vec<u8>,
}

impl<'p> Entries<'p> {
    /// Of a pack that says how many it holds.
    pub(super) fn new(pack: &'p [u8], format: Hash, count: u32, late: &'p AtomicBool) -> Self {
        Self {
            pack,
            format,
            late,
            inflate: Inflate::new(),
            at: HEADER,
            left: count,
        }
    }

    /// Whether the pack ends behind what was read of it.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.pack.len()
    }

    fn read(&mut self) -> Result<input::Entry, String> {
        let breaks_off = "its pack breaks off";
        let rest = self.pack.get(self.at..).ok_or(breaks_off)?;
        let pack_offset = u64::try_from(self.at).map_err(said)?;
        let mut behind = rest;
        let entry = data::Entry::from_read(&mut behind, pack_offset, self.format.len_in_bytes())
            .map_err(said)?;
        let header = rest.len().saturating_sub(behind.len());
        let size = entry.decompressed_size;
        let packed = self.inflate.pass(behind, size, self.late, |_| ())?;
        self.at += header + packed;
        self.left -= 1;
        let trailer = (self.left == 0).then(|| self.trailer()).transpose()?;
        Ok(input::Entry {
            header: entry.header,
            header_size: u16::try_from(header).map_err(said)?,
            pack_offset,
            compressed: None,
            compressed_size: u64::try_from(packed).map_err(said)?,
            // It stands in an index that is only looked up in.
            crc32: Some(0),
            decompressed_size: size,
            trailer,
        })
    }

    /// What stands at the end, which is computed.
    fn trailer(&mut self) -> Result<ObjectId, String> {
        let (read, rest) = self.pack.split_at_checked(self.at).unwrap_or_default();
        let said_to_be = rest.get(..self.format.len_in_bytes());
        let said_to_be = said_to_be.ok_or("its pack breaks off")?;
        let mut hasher = gix_hash::hasher(self.format);
        hasher.update(read);
        let digest = hasher.try_finalize().map_err(said)?;
        if digest.as_bytes() != said_to_be {
            return Err("its pack is not what it was when it was made".to_owned());
        }
        self.at += said_to_be.len();
        Ok(digest)
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<input::Entry, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self {
            stream: Decompress::new(),
            piece: vec![0; PIECE],
        }
    }

    /// Passes on what stands packed at the beginning of `packed`, piece by piece: so many bytes, no more and no fewer.
    /// Answers how many it took.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be read, or not in time.
    pub(super) fn pass(
        &mut self,
        packed: &[u8],
        size: u64,
        late: &AtomicBool,
        mut to: impl FnMut(&[u8]),
    ) -> Result<usize, String> {
        let broken = || "one of its objects cannot be read".to_owned();
        self.stream.reset();
        let mut rest = packed;
        loop {
            in_time(late)?;
            let (taken, made) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(rest, &mut self.piece, FlushDecompress::None);
            let status = status.map_err(|_| broken())?;
            let taken = usize::try_from(self.stream.total_in() - taken).map_err(said)?;
            let made = usize::try_from(self.stream.total_out() - made).map_err(said)?;
            rest = rest.get(taken..).ok_or_else(broken)?;
            to(self.piece.get(..made).ok_or_else(broken)?);
            if status == Status::StreamEnd {
                break;
            }
            // Nothing more comes of it and it is not over, or it is longer than it says.
            if (taken == 0 && made == 0) || self.stream.total_out() > size {
                return Err(broken());
            }
        }
        match self.stream.total_out() == size {
            true => Ok(packed.len() - rest.len()),
            false => Err(broken()),
        }
    }
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    const BLOB: u8 = 3 << 4;

    /// A pack of blobs, each of what its length is written as, and what it holds.
    fn pack(blobs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02\0\0\0".to_vec();
        pack.push(u8::try_from(blobs.len()).unwrap());
        for (head, content) in blobs {
            pack.extend(*head);
            pack.extend(compress_to_vec_zlib(content, 6));
        }
        let mut hasher = gix_hash::hasher(Hash::Sha1);
        hasher.update(&pack);
        pack.extend(hasher.try_finalize().unwrap().as_bytes());
        pack
    }

    fn read(pack: &[u8]) -> Result<Vec<u64>, String> {
        let late = AtomicBool::new(false);
        let mut entries = Entries::new(pack, Hash::Sha1, u32::from(pack[HEADER - 1]), &late);
        let read = entries.by_ref().collect::<Result<Vec<_>, _>>()?;
        assert!(entries.is_at_end());
        let end = |entry: &input::Entry| {
            entry.pack_offset + u64::from(entry.header_size) + entry.compressed_size
        };
        let places = read.iter().map(end).collect::<Vec<_>>();
        assert!(
            read.iter()
                .skip(1)
                .map(|entry| entry.pack_offset)
                .eq(places.iter().copied().take(read.len() - 1))
        );
        Ok(read.iter().map(|entry| entry.decompressed_size).collect())
    }

    #[test]
    fn entries_follow_one_another_as_long_as_they_say() {
        let long = vec![b'x'; 1 << 20];
        // 1 MiB, four bits first and then seven at a time; a length may also be written with more digits.
        let head: &[u8] = &[0x80 | BLOB, 0x80, 0x80, 0x04];
        let good = pack(&[
            (&[BLOB | 2], b"ab"),
            (head, &long),
            (&[0x80 | BLOB | 1, 0], b"c"),
        ]);
        assert_eq!(read(&good), Ok(vec![2, 1 << 20, 1]));
        for (head, content) in [
            (&[BLOB | 1][..], &b"ab"[..]),
            (&[BLOB | 3], b"ab"),
            (&[BLOB], &long),
        ] {
            let bad = pack(&[(head, content)]);
            assert_eq!(
                read(&bad),
                Err("one of its objects cannot be read".to_owned())
            );
        }
        for end in HEADER + 1..good.len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn of_what_is_longer_than_it_says_no_more_is_made_than_a_piece() {
        let bomb = compress_to_vec_zlib(&vec![0; 64 << 20], 6);
        let (late, mut made) = (AtomicBool::new(false), 0);
        let passed = Inflate::new().pass(&bomb, 1, &late, |piece| made += piece.len());
        assert!(passed.is_err() && made <= PIECE, "{made}");
    }
}
