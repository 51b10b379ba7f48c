//! Bodies that are sent compressed: undone for policy to see, and sent as they came.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use miniz_oxide::inflate::stream::{self, InflateState};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

/// A digest and a length stand behind a stream of gzip.
const BEHIND: usize = 8;
/// No head is longer that has a reason.
const LONGEST_HEAD: usize = 128 << 10;
/// How much is undone at once.
const PIECE: usize = 64 << 10;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Coding {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Deflate,
    /// In a way that is not undone here, or in several.
    Other,
}

/// What a body is without its encoding.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Decoded {
    /// All of it.
    All(Vec<u8>),
    /// More than policy sees.
    TooLong,
    /// Something else than it is said to be.
    Broken,
}

impl Coding {
    /// By the header `content-encoding`.
    pub(super) fn of(header: Option<&str>) -> Self {
        let Some(name) = header else {
            return Self::Plain;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "identity" | "" => Self::Plain,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            _ => Self::Other,
        }
    }

    /// Undoes it. What is behind the end of the one stream that there is to be makes it none: some would
    /// read on.
    pub(super) fn decode(self, bytes: Vec<u8>, longest: usize) -> Decoded {
        match self {
            _ if bytes.is_empty() => Decoded::All(bytes),
            Self::Plain if bytes.len() > longest => Decoded::TooLong,
            Self::Plain => Decoded::All(bytes),
            Self::Gzip => match gzip(&bytes) {
                Some(stream) => inflate(stream, 0, longest),
                None => Decoded::Broken,
            },
            Self::Deflate => inflate(&bytes, TINFL_FLAG_PARSE_ZLIB_HEADER, longest),
            Self::Other => Decoded::TooLong,
        }
    }
}

/// Undoes gzip piece by piece.
#[derive(Default)]
pub(super) struct Unzip {
    /// What came and was not taken.
    waiting: Vec<u8>,
    state: Option<Box<InflateState>>,
    /// How much is to come behind the stream, once that has ended.
    behind: Option<usize>,
}

impl Unzip {
    /// Takes what came.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next piece of what it is without its encoding, or `None` until more comes.
    ///
    /// # Errors
    ///
    /// It is not what it is said to be, or something is behind it.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, ()> {
        if let Some(behind) = &mut self.behind {
            *behind = behind.checked_sub(self.waiting.len()).ok_or(())?;
            self.waiting.clear();
            return Ok(None);
        }
        let Some(state) = &mut self.state else {
            let Some(stream) = after_head(&self.waiting) else {
                return if self.waiting.len() > LONGEST_HEAD {
                    Err(())
                } else {
                    Ok(None)
                };
            };
            self.waiting = stream.to_vec();
            self.state = Some(InflateState::new_boxed(DataFormat::Raw));
            return self.next();
        };
        let mut piece = vec![0; PIECE];
        let done = stream::inflate(state, &self.waiting, &mut piece, MZFlush::None);
        self.waiting.drain(..done.bytes_consumed);
        piece.truncate(done.bytes_written);
        match done.status {
            Ok(MZStatus::StreamEnd) => self.behind = Some(BEHIND),
            // It wants more than there is.
            Ok(MZStatus::Ok) | Err(MZError::Buf) => {}
            Ok(MZStatus::NeedDict) | Err(_) => return Err(()),
        }
        match (piece.is_empty(), self.behind) {
            (false, _) => Ok(Some(piece)),
            (true, Some(_)) => self.next(),
            (true, None) => Ok(None),
        }
    }

    /// Whether all of it came.
    pub(super) fn is_over(&self) -> bool {
        self.behind == Some(0)
    }
}

/// The stream between the head and what is behind it.
fn gzip(bytes: &[u8]) -> Option<&[u8]> {
    let rest = after_head(bytes)?;
    rest.get(..rest.len().checked_sub(BEHIND)?)
}

/// What comes after the head (RFC 1952, section 2.3).
fn after_head(bytes: &[u8]) -> Option<&[u8]> {
    let &[0x1f, 0x8b, 8, flags, _, _, _, _, _, _, ..] = bytes else {
        return None;
    };
    let (checked, extra, name, comment) = (2, 4, 8, 16);
    // The first says that it is text; three have no meaning.
    if flags & !(1 | checked | extra | name | comment) != 0 {
        return None;
    }
    let mut rest = bytes.get(10..)?;
    if flags & extra != 0 {
        let (length, after) = rest.split_at_checked(2)?;
        let length = u16::from_le_bytes(length.try_into().ok()?);
        rest = after.get(usize::from(length)..)?;
    }
    for text in [name, comment] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & checked != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

fn inflate(stream: &[u8], flags: u32, longest: usize) -> Decoded {
    let mut decoded = vec![0; longest + 1];
    let mut state = Box::<DecompressorOxide>::default();
    let flags = flags | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut state, stream, &mut decoded, 0, flags);
    match status {
        TINFLStatus::Done if written > longest => Decoded::TooLong,
        TINFLStatus::Done if read == stream.len() => {
            decoded.truncate(written);
            Decoded::All(decoded)
        }
        TINFLStatus::HasMoreOutput => Decoded::TooLong,
        TINFLStatus::Done
        | TINFLStatus::FailedCannotMakeProgress
        | TINFLStatus::BadParam
        | TINFLStatus::Adler32Mismatch
        | TINFLStatus::Failed
        | TINFLStatus::NeedsMoreInput => Decoded::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a":1}`, as `gzip -9n` and zlib write it.
    const GZIP: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xab, 0x56, 0x4a, 0x54, 0xb2, 0x32, 0xac, 5, 0, 0xaf,
        0xac, 0x1b, 0x56, 7, 0, 0, 0,
    ];
    const ZLIB: &[u8] = &[
        0x78, 0xda, 0xab, 0x56, 0x4a, 0x54, 0xb2, 0x32, 0xac, 5, 0, 8, 0x2a, 2, 9,
    ];

    #[test]
    fn a_body_is_decoded_as_it_is_said_to_be_encoded() {
        let all = Decoded::All(b"{\"a\":1}".to_vec());
        let named = [&GZIP[..3], &[8], &GZIP[4..10], b"name\0", &GZIP[10..]].concat();
        for (header, bytes) in [
            (None, &b"{\"a\":1}"[..]),
            (Some("identity"), b"{\"a\":1}"),
            (Some("gzip"), GZIP),
            (Some("X-GZip"), &named),
            (Some("deflate"), ZLIB),
        ] {
            assert_eq!(
                Coding::of(header).decode(bytes.to_vec(), 64),
                all,
                "{header:?}"
            );
        }
        assert_eq!(Coding::of(Some("gzip, gzip")), Coding::Other);
        assert_eq!(Coding::of(Some("br")), Coding::Other);
    }

    /// All that comes of it, piece by piece. `None` where it is broken or not all there.
    fn unzipped(bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
        let (mut unzip, mut all) = (Unzip::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            unzip.take(piece);
            while let Some(piece) = unzip.next().ok()? {
                assert!(piece.len() <= PIECE);
                all.extend(piece);
            }
        }
        unzip.is_over().then_some(all)
    }

    #[test]
    fn a_stream_is_undone_however_it_comes_and_only_whole() {
        let named = [&GZIP[..3], &[8], &GZIP[4..10], b"name\0", &GZIP[10..]].concat();
        let long: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let stream = miniz_oxide::deflate::compress_to_vec(&long, 6);
        let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
        let long_zipped = [&head[..], &stream, &[0; BEHIND]].concat();
        for piece in [1, 2, 7, 4096, 1 << 20] {
            for (bytes, is) in [
                (GZIP, &b"{\"a\":1}"[..]),
                (&named, b"{\"a\":1}"),
                (&long_zipped, &long),
            ] {
                assert_eq!(unzipped(bytes, piece).as_deref(), Some(is), "{piece}");
            }
            for length in 0..GZIP.len() {
                assert_eq!(unzipped(&GZIP[..length], piece), None, "{length}");
            }
            for bytes in [
                [GZIP, GZIP].concat(),
                [GZIP, b"x"].concat(),
                ZLIB.to_vec(),
                vec![b'a'; 200_000],
            ] {
                assert_eq!(unzipped(&bytes, piece), None);
            }
        }
    }

    #[test]
    fn what_is_decoded_is_one_stream_and_all_of_it() {
        let twice = [GZIP, GZIP].concat();
        let behind = [GZIP, b"x"].concat();
        let mut flagged = GZIP.to_vec();
        flagged[3] = 0x20;
        for (coding, bytes) in [
            (Coding::Gzip, &twice[..]),
            (Coding::Gzip, &behind),
            (Coding::Gzip, &flagged),
            (Coding::Gzip, &GZIP[..20]),
            (Coding::Gzip, ZLIB),
            (Coding::Gzip, b"{\"a\":1}"),
            (Coding::Deflate, GZIP),
            (Coding::Deflate, &[ZLIB, b"x"].concat()),
            (Coding::Deflate, &ZLIB[..10]),
        ] {
            assert_eq!(
                coding.decode(bytes.to_vec(), 64),
                Decoded::Broken,
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn what_grows_without_end_is_not_decoded_to_its_end() {
        let zeros = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; 1 << 20], 9);
        assert!(zeros.len() < 4096);
        assert_eq!(Coding::Deflate.decode(zeros, 64 << 10), Decoded::TooLong);
        assert_eq!(Coding::Deflate.decode(ZLIB.to_vec(), 6), Decoded::TooLong);
        assert_eq!(
            Coding::Deflate.decode(ZLIB.to_vec(), 7),
            Decoded::All(b"{\"a\":1}".to_vec())
        );
    }
}
