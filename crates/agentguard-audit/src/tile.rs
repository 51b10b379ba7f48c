//! Where tiles lie, and what is in them.
//!
//! # References
//!
//! - <https://c2sp.org/tlog-tiles>

use agentguard_core::Digest;

/// What a tile holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Hashes of this level, 0 being leaves.
    Hashes(u8),
    /// Entries, each after its length in two bytes.
    Entries,
}

/// The path of a tile of `width` below the log's directory.
pub(crate) fn path(kind: Kind, at: u64, width: usize) -> String {
    let level = match kind {
        Kind::Hashes(level) => level.to_string(),
        Kind::Entries => "entries".to_owned(),
    };
    let mut place = format!("{:03}", at % 1000);
    let mut rest = at / 1000;
    while rest > 0 {
        place = format!("x{:03}/{place}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width < 256 {
        format!(".p/{width}")
    } else {
        String::new()
    };
    format!("tile/{level}/{place}{partial}")
}

/// Hashes as a tile holds them.
pub(crate) fn encode(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads the hashes of a tile, if there are exactly `width`.
pub(crate) fn decode(bytes: &[u8], width: usize) -> Option<Vec<Digest>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && hashes.len() == width)
        .then(|| hashes.iter().map(|hash| Digest(*hash)).collect())
}

/// The entries of a bundle; where it stops making sense, the rest is one `Err` and nothing after.
pub(crate) struct Bundle<'b>(pub(crate) &'b [u8]);

impl<'b> Iterator for Bundle<'b> {
    type Item = Result<&'b [u8], ()>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self.0.split_first_chunk::<2>();
        let entry = split.and_then(|(length, rest)| {
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        if let Some((entry, rest)) = entry {
            self.0 = rest;
            return Some(Ok(entry));
        }
        self.0 = &[];
        Some(Err(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_where_the_specification_says() {
        for (kind, at, width, expected) in [
            (Kind::Hashes(0), 0, 256, "tile/0/000"),
            (Kind::Hashes(3), 1_234_067, 256, "tile/3/x001/x234/067"),
            (Kind::Hashes(1), 5, 17, "tile/1/005.p/17"),
            (Kind::Entries, 1000, 1, "tile/entries/x001/000.p/1"),
        ] {
            assert_eq!(path(kind, at, width), expected);
        }
    }

    #[test]
    fn a_bundle_that_ends_early_says_so_once() {
        let good: Vec<_> = Bundle(b"\0\x01a\0\0\0\x02bc").collect();
        assert_eq!(good, [Ok(&b"a"[..]), Ok(b""), Ok(b"bc")]);
        for short in [&b"\0"[..], b"\0\x02a", b"\0\x01a\x01"] {
            let all: Vec<_> = Bundle(short).collect();
            assert_eq!(all.last(), Some(&Err(())), "{short:?}");
        }
    }
}
