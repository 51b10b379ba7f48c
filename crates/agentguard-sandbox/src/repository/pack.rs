//! Packs: their indexes, and the commits in them.
//!
//! # References
//!
//! - gitformat-pack(5): "pack-*.idx files", "version 2 pack-*.idx files", "pack-*.pack files",
//!   "Deltified representation"

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::fstat;
use rustix::io::{Errno, Result, pread};

use super::id::Id;
use super::object::{HEADS, Kind, Object, Unread, inflate, parse};
use super::refs::list;
use crate::difference::beneath::open_file;

/// More packs than this are not opened at once.
const MAX_PACKS: usize = 512;
const MAGIC: [u8; 8] = *b"\xfftOc\0\0\0\x02";
const FANOUT: u64 = 8;
const NAMES: u64 = FANOUT + 256 * 4;
/// A range this small is read in one piece.
const BLOCK: u64 = 128;
/// What is made by deltas is made whole, and takes no more than this.
const WHOLE: usize = 1 << 20;
/// git makes chains of 50 at most unless told otherwise.
const MAX_CHAIN: usize = 64;

/// The index of a pack, open.
pub(super) struct Index {
    name: Vec<u8>,
    fd: OwnedFd,
    stamp: Stamp,
    /// How many objects it lists.
    count: u64,
}

/// What tells whether an index is still the one that was opened. Nobody can set ctime.
type Stamp = (u64, i64, i64, u64);

impl Index {
    /// Opens the indexes of all packs. Also says whether there were none that could not be read.
    pub(super) fn all(common: BorrowedFd<'_>) -> (Vec<Self>, bool) {
        let entries = match list(common, b"objects/pack") {
            Ok(entries) => entries,
            Err(errno) => return (Vec::new(), errno == Errno::NOENT),
        };
        let (mut indexes, mut is_whole) = (Vec::new(), true);
        for (name, _) in entries
            .into_iter()
            .filter(|(name, _)| name.ends_with(b".idx"))
        {
            if indexes.len() == MAX_PACKS {
                return (indexes, false);
            }
            match Self::open(common, name) {
                Ok(index) => indexes.push(index),
                Err(Errno::NOENT) => {}
                Err(_) => is_whole = false,
            }
        }
        (indexes, is_whole)
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether nothing was done to the file since it was opened, its removal included.
    pub(super) fn is_untouched(&self) -> bool {
        stamp(&self.fd).is_ok_and(|stamp| stamp == self.stamp)
    }

    /// Finds where in the pack an object lies.
    pub(super) fn find(&self, id: &Id) -> Result<Option<u64>> {
        let width = u64::try_from(id.bytes().len()).map_err(|_| Errno::INVAL)?;
        let first = id.bytes().first().copied().ok_or(Errno::INVAL)?;
        let mut low = match first.checked_sub(1) {
            Some(before) => u64::from(self.u32_at(FANOUT + 4 * u64::from(before))?),
            None => 0,
        };
        let mut high = u64::from(self.u32_at(FANOUT + 4 * u64::from(first))?).min(self.count);
        while high.saturating_sub(low) > BLOCK {
            let middle = low.midpoint(high);
            if self.bytes_at(NAMES + middle * width, width)?.as_slice() <= id.bytes() {
                low = middle;
            } else {
                high = middle;
            }
        }
        let block = self.bytes_at(NAMES + low * width, high.saturating_sub(low) * width)?;
        let names = block.chunks_exact(id.bytes().len());
        match names.zip(low..).find(|(name, _)| *name == id.bytes()) {
            Some((_, place)) => self.offset(place, width).map(Some),
            None => Ok(None),
        }
    }

    /// Reads what the object at `offset` leads to.
    pub(super) fn read(
        &self,
        common: BorrowedFd<'_>,
        id: &Id,
        offset: u64,
    ) -> std::result::Result<Object, Unread> {
        let name = self.name.strip_suffix(b".idx").ok_or(Unread::Broken)?;
        let path = [b"objects/pack/", name, b".pack"].concat();
        let (pack, _) = open_file(common, &path).map_err(|_| Unread::Broken)?;
        for limit in HEADS {
            let (kind, bytes) = self
                .object(&pack, id, offset, limit)
                .ok_or(Unread::Broken)?;
            if let Some(object) = parse(kind, &bytes, id) {
                return Ok(object);
            }
        }
        Err(Unread::Broken)
    }

    /// Reads an object's kind and its first `limit` bytes, or all of it where it is made by deltas.
    fn object(
        &self,
        pack: &OwnedFd,
        id: &Id,
        offset: u64,
        limit: usize,
    ) -> Option<(Kind, Vec<u8>)> {
        let (mut offset, mut deltas) = (offset, Vec::new());
        while deltas.len() <= MAX_CHAIN {
            let entry = Entry::read(pack, offset, id)?;
            offset = match &entry.base {
                Base::None(Kind::Other) => return Some((Kind::Other, Vec::new())),
                Base::None(kind) if deltas.is_empty() => {
                    return Some((*kind, entry.head(pack, limit)?));
                }
                Base::None(kind) => {
                    let make = |base: Vec<u8>, delta: &Entry| apply(&base, &delta.whole(pack)?);
                    let made = deltas.iter().rev().try_fold(entry.whole(pack)?, make)?;
                    return Some((*kind, made));
                }
                Base::Before(distance) => offset.checked_sub(*distance)?,
                Base::Named(base) => self.find(base).ok()??,
            };
            deltas.push(entry);
        }
        None
    }

    fn open(common: BorrowedFd<'_>, name: Vec<u8>) -> Result<Self> {
        let (fd, stat) = open_file(common, &[b"objects/pack/", &*name].concat())?;
        let mut index = Self {
            name,
            stamp: stamp(&fd)?,
            fd,
            count: 0,
        };
        if index.bytes_at(0, 8)? != MAGIC {
            return Err(Errno::INVAL);
        }
        index.count = u64::from(index.u32_at(NAMES - 4)?);
        // Each object takes its name, a checksum and an offset.
        let least = NAMES.saturating_add(index.count.saturating_mul(20 + 4 + 4));
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size < least {
            Err(Errno::INVAL)
        } else {
            Ok(index)
        }
    }

    fn offset(&self, place: u64, width: u64) -> Result<u64> {
        let offsets = NAMES + self.count * (width + 4);
        let offset = self.u32_at(offsets + place * 4)?;
        // The highest bit leads to a table of longer ones.
        match offset.checked_sub(1 << 31) {
            None => Ok(u64::from(offset)),
            Some(long) => {
                let at = offsets + self.count * 4 + u64::from(long) * 8;
                let bytes = self.bytes_at(at, 8)?.try_into().map_err(|_| Errno::IO)?;
                Ok(u64::from_be_bytes(bytes))
            }
        }
    }

    fn u32_at(&self, at: u64) -> Result<u32> {
        let bytes = self.bytes_at(at, 4)?.try_into().map_err(|_| Errno::IO)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn bytes_at(&self, at: u64, count: u64) -> Result<Vec<u8>> {
        let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        let bytes = read_at(&self.fd, at, count)?;
        if bytes.len() == count {
            Ok(bytes)
        } else {
            Err(Errno::IO)
        }
    }
}

/// What an object in a pack is made from.
enum Base {
    None(Kind),
    /// The object so many bytes before.
    Before(u64),
    /// The object of this name.
    Named(Id),
}

struct Entry {
    base: Base,
    /// Where its compressed bytes begin.
    at: u64,
    /// How many bytes they inflate to.
    size: u64,
}

impl Entry {
    fn read(pack: &OwnedFd, offset: u64, like: &Id) -> Option<Self> {
        let header = read_at(pack, offset, 64).ok()?;
        let mut bytes = header.iter().copied();
        let first = bytes.next()?;
        let mut size = u64::from(first & 15);
        let (mut shift, mut byte, mut taken) = (4, first, 1);
        while byte & 0x80 != 0 {
            byte = bytes.next()?;
            size |= u64::from(byte & 0x7f)
                .checked_shl(shift)
                .filter(|_| shift < 57)?;
            (shift, taken) = (shift + 7, taken + 1);
        }
        let base = match first >> 4 & 7 {
            1 => Base::None(Kind::Commit),
            4 => Base::None(Kind::Tag),
            2 | 3 => Base::None(Kind::Other),
            6 => {
                let mut byte = bytes.next()?;
                let mut distance = u64::from(byte & 0x7f);
                taken += 1;
                while byte & 0x80 != 0 {
                    byte = bytes.next()?;
                    distance = distance.checked_add(1)?.checked_mul(128)?;
                    distance |= u64::from(byte & 0x7f);
                    taken += 1;
                }
                Base::Before(distance)
            }
            7 => {
                let width = like.bytes().len();
                let name: Vec<u8> = bytes.take(width).collect();
                taken += u64::try_from(width).ok()?;
                Base::Named(like.same_kind(&name)?)
            }
            _ => return None,
        };
        Some(Self {
            base,
            at: offset.checked_add(taken)?,
            size,
        })
    }

    /// The first bytes of it.
    fn head(&self, pack: &OwnedFd, limit: usize) -> Option<Vec<u8>> {
        Some(inflate(&read_at(pack, self.at, limit).ok()?, limit).0)
    }

    /// All of it, if it is as long as it says.
    fn whole(&self, pack: &OwnedFd) -> Option<Vec<u8>> {
        let size = usize::try_from(self.size)
            .ok()
            .filter(|size| *size <= WHOLE)?;
        // What does not shrink takes five bytes more for every 16 kB, and the ends.
        let compressed = read_at(pack, self.at, size + size / 1024 + 64).ok()?;
        let (bytes, is_whole) = inflate(&compressed, size);
        (is_whole && bytes.len() == size).then_some(bytes)
    }
}

/// Makes an object from its base.
pub(super) fn apply(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut delta = delta.iter().copied();
    let is_base = size(&mut delta)? == base.len();
    let length = size(&mut delta).filter(|length| is_base && *length <= WHOLE)?;
    let mut made = Vec::new();
    while let Some(op) = delta.next() {
        if op & 0x80 != 0 {
            let mut number = |bits: u8, first: u8| -> Option<usize> {
                let mut value = 0;
                for bit in 0..bits {
                    if op & (first << bit) != 0 {
                        value |= usize::from(delta.next()?) << (8 * bit);
                    }
                }
                Some(value)
            };
            let start = number(4, 1)?;
            let count = match number(3, 0x10)? {
                0 => 0x10000,
                count => count,
            };
            made.extend_from_slice(base.get(start..start.checked_add(count)?)?);
        } else {
            // 0 is reserved.
            let count = usize::from(op);
            let before = made.len();
            made.extend(delta.by_ref().take(count));
            (count > 0 && made.len() - before == count).then_some(())?;
        }
        (made.len() <= length).then_some(())?;
    }
    (made.len() == length).then_some(made)
}

fn size(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let (mut value, mut shift) = (0_usize, 0_u32);
    loop {
        let byte = bytes.next()?;
        (shift < 42).then_some(())?;
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
}

/// Reads `count` bytes at `at`, or as many as there are.
fn read_at(fd: &OwnedFd, at: u64, count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let from = at
            .checked_add(u64::try_from(filled).map_err(|_| Errno::INVAL)?)
            .filter(|from| i64::try_from(*from).is_ok())
            .ok_or(Errno::INVAL)?;
        match pread(fd, rest, from) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn stamp(fd: &OwnedFd) -> Result<Stamp> {
    let stat = fstat(fd)?;
    Ok((stat.st_ino, stat.st_size, stat.st_ctime, stat.st_ctime_nsec))
}
