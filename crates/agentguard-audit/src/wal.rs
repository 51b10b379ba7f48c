//! The write-ahead file: what an append writes, and what everything else is derived from.
//!
//! It begins with the line `agentguard wal v1 <origin>`. Then each entry follows as a frame: its length
//! in four bytes, the first eight bytes of its leaf hash, its bytes. Numbers are big-endian.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;

use agentguard_core::Digest;

use crate::{Error, merkle};

/// The longest an entry may be, as a bundle of C2SP's tlog-tiles can hold it.
pub(crate) const LONGEST_ENTRY: usize = 65_535;
const HEAD: usize = 12;
const MAGIC: &str = "agentguard wal v1 ";
const LONGEST_LINE: usize = 512;
/// What is read at once: little first, since most look for what follows the end, and then more.
const FIRST_READ: usize = 1 << 12;
const LARGEST_READ: usize = 1 << 17;

/// What is wrong where no entry can be read, and a sound one follows.
pub(crate) const GOES_ON: &str = "the write-ahead file is broken there, and goes on";

/// The first line of the write-ahead file of `origin`.
pub(crate) fn first_line(origin: &str) -> String {
    format!("{MAGIC}{origin}\n")
}

/// Adds the frame of `entry` to `out`, and answers its leaf hash.
pub(crate) fn frame(entry: &[u8], out: &mut Vec<u8>) -> Result<Digest, Error> {
    if entry.is_empty() || entry.len() > LONGEST_ENTRY {
        return Err(Error::TooLong { bytes: entry.len() });
    }
    let length = u32::try_from(entry.len()).map_err(|_| Error::TooLong { bytes: entry.len() })?;
    let leaf = merkle::leaf_hash(entry);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&check(&leaf));
    out.extend_from_slice(entry);
    Ok(leaf)
}

/// What comes next in a write-ahead file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'f> {
    /// A whole frame.
    Entry {
        /// The entry.
        bytes: &'f [u8],
        /// Its leaf hash.
        leaf: Digest,
        /// Whether it is what was written, by the frame's check.
        sound: bool,
    },
    /// The file ends here.
    End,
    /// What follows is no whole frame.
    Torn,
}

/// Reads frames one after the other.
pub(crate) struct Frames<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    step: usize,
}

impl Frames<File> {
    /// Opens the write-ahead file at `path`, and answers it with its origin. `None` where there is none.
    pub(crate) fn open(path: &Path) -> Result<Option<(Self, String)>, Error> {
        let Some(file) = crate::store::open(path)? else {
            return Ok(None);
        };
        Self::of(file, path).map(Some)
    }

    /// Reads an open write-ahead file from its beginning.
    pub(crate) fn of(mut file: File, path: &Path) -> Result<(Self, String), Error> {
        let failed = |source| Error::io("read", path, source);
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut frames = Self::from(file, 0);
        let origin = frames.origin().map_err(failed)?;
        let origin = origin.ok_or_else(|| Error::damaged(path, 0, "its first line is not ours"))?;
        Ok((frames, origin))
    }

    /// Reads frames from `offset` on.
    pub(crate) fn at(mut file: File, offset: u64, path: &Path) -> Result<Self, Error> {
        file.seek(SeekFrom::Start(offset))
            .map_err(|source| Error::io("read", path, source))?;
        Ok(Self::from(file, offset))
    }
}

#[cfg(test)]
impl<'b> Frames<&'b [u8]> {
    /// Reads frames from memory.
    pub(crate) fn of_bytes(bytes: &'b [u8]) -> Self {
        Self::from(bytes, 0)
    }
}

impl<R: Read> Frames<R> {
    fn from(source: R, offset: u64) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            offset,
            step: FIRST_READ,
        }
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next frame.
    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        let available = self.fill(HEAD)?;
        if available == 0 {
            return Ok(Next::End);
        }
        let Some((length, wanted)) = self.head() else {
            return Ok(Next::Torn);
        };
        let whole = HEAD + length;
        if self.fill(whole)? < whole {
            return Ok(Next::Torn);
        }
        let from = self.start + HEAD;
        self.start += whole;
        self.offset += u64::try_from(whole).unwrap_or(u64::MAX);
        let bytes = self.buffer.get(from..from + length).unwrap_or_default();
        let leaf = merkle::leaf_hash(bytes);
        let sound = check(&leaf) == wanted;
        Ok(Next::Entry { bytes, leaf, sound })
    }

    fn head(&self) -> Option<(usize, [u8; 8])> {
        let (length, rest) = self.buffer.get(self.start..)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let wanted = rest.first_chunk::<8>()?;
        (1..=LONGEST_ENTRY)
            .contains(&length)
            .then_some((length, *wanted))
    }

    fn origin(&mut self) -> io::Result<Option<String>> {
        self.fill(LONGEST_LINE)?;
        let line = self.buffer.get(self.start..).unwrap_or_default();
        let line = line.get(..LONGEST_LINE.min(line.len())).unwrap_or_default();
        let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let text = line.get(..end).and_then(|l| std::str::from_utf8(l).ok());
        let origin = text
            .and_then(|text| text.strip_prefix(MAGIC))
            .filter(|origin| !origin.is_empty())
            .map(str::to_owned);
        self.start += end + 1;
        self.offset += u64::try_from(end + 1).unwrap_or(u64::MAX);
        Ok(origin)
    }

    /// Has at least `wanted` bytes ready, unless the file ends before; answers how many are.
    fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        while self.buffer.len() - self.start < wanted {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            let held = self.buffer.len();
            self.buffer.resize(held + self.step, 0);
            self.step = LARGEST_READ.min(self.step.saturating_mul(2));
            let space = self.buffer.get_mut(held..).unwrap_or_default();
            let read = self.source.read(space);
            self.buffer
                .truncate(held + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.len() - self.start)
    }
}

/// Where the sound beginning of a write-ahead file ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tail {
    /// How many entries are sound.
    pub(crate) entries: u64,
    /// Where they end.
    pub(crate) end: u64,
    /// Whether something follows that is not.
    pub(crate) torn: bool,
}

/// Visits the sound entries that `frames` still holds, the first being the `from`-th.
pub(crate) fn scan<R: Read>(
    frames: &mut Frames<R>,
    from: u64,
    mut visit: impl FnMut(u64, &[u8], Digest),
) -> io::Result<Tail> {
    let mut entries = from;
    loop {
        let end = frames.offset();
        let torn = match frames.next()? {
            Next::Entry {
                bytes,
                leaf,
                sound: true,
            } => {
                visit(entries, bytes, leaf);
                entries += 1;
                continue;
            }
            Next::Entry { sound: false, .. } | Next::Torn => true,
            Next::End => false,
        };
        return Ok(Tail { entries, end, torn });
    }
}

/// The first entry whose sound frame begins anywhere after `offset`: with one, what is broken there is no
/// torn tail.
pub(crate) fn sound_beyond(
    file: &File,
    offset: u64,
    path: &Path,
) -> Result<Option<Vec<u8>>, Error> {
    let failed = |source| Error::io("read", path, source);
    let mut rest = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    file.read_to_end(&mut rest).map_err(failed)?;
    let mut entries = (1..rest.len()).filter_map(|at| sound(rest.get(at..)?));
    Ok(entries.next().map(<[u8]>::to_vec))
}

fn sound(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let [a, b, c, d, wanted @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let begins = rest.first() == Some(&b'{') && length <= LONGEST_ENTRY;
    let entry = rest.get(..length).filter(|_| begins)?;
    (check(&merkle::leaf_hash(entry)) == wanted).then_some(entry)
}

fn check(leaf: &Digest) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = leaf.0;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(entries: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            frame(entry, &mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn a_tail_that_is_cut_anywhere_loses_only_itself() {
        let bytes = file_of(&[b"{\"a\":1}", b"{\"b\":2}"]);
        let second = HEAD + 7;
        for cut in 0..bytes.len() {
            let mut frames = Frames::from(&bytes[..cut], 0);
            let tail = scan(&mut frames, 0, |_, _, _| {}).unwrap();
            let (entries, end) = if cut < second { (0, 0) } else { (1, 19) };
            assert_eq!((tail.entries, tail.end), (entries, end), "{cut}");
            assert_eq!(tail.torn, cut != 0 && cut != second, "{cut}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_frame_is_seen() {
        let bytes = file_of(&[b"{\"a\":1}"]);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let tail = scan(&mut Frames::from(&bad[..], 0), 0, |_, _, _| {}).unwrap();
            assert!(tail.entries == 0 && tail.torn, "{bit}");
        }
    }

    #[test]
    fn an_entry_that_no_bundle_could_hold_is_refused() {
        let mut out = Vec::new();
        assert!(frame(&vec![b'x'; LONGEST_ENTRY + 1], &mut out).is_err());
        assert!(frame(b"", &mut out).is_err() && out.is_empty());
        frame(&vec![b'x'; LONGEST_ENTRY], &mut out).unwrap();
    }
}
