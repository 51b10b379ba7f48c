//! What is looked for in bytes that pass: texts, as they are and in base64, each by one automaton.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};
use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};
use zeroize::Zeroizing;

/// Shorter texts in base64 would be found where they are not.
const SHORTEST_IN_BASE64: usize = 6;

/// By such steps it is told how long the longest text may be.
const STEP: usize = 1 << 10;

/// In which form a text stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// In base64, so many bytes after the beginning of a group of three. Of the letters that hold some of the
    /// text and some of its neighbours nothing is known, and they are no part of it.
    Base64 { after: usize, is_for_urls: bool },
}

/// The forms in which each text is looked for.
const FORMS: [Form; 7] = [
    Form::Plain,
    in_base64(0, false),
    in_base64(1, false),
    in_base64(2, false),
    in_base64(0, true),
    in_base64(1, true),
    in_base64(2, true),
];

const fn in_base64(after: usize, is_for_urls: bool) -> Form {
    Form::Base64 { after, is_for_urls }
}

impl Form {
    /// The letters of `text` in this form.
    pub(super) fn of(self, text: &[u8]) -> Zeroizing<Vec<u8>> {
        let Self::Base64 { after, is_for_urls } = self else {
            return Zeroizing::new(text.to_vec());
        };
        let mut padded = Zeroizing::new(vec![0; after]);
        padded.reserve_exact(text.len());
        padded.extend_from_slice(text);
        let letters = Zeroizing::new(if is_for_urls {
            Base64UrlUnpadded::encode_string(&padded)
        } else {
            Base64Unpadded::encode_string(&padded)
        });
        // A letter is six bits: those that begin before the text, or end after it, are not of it alone.
        let first = (8 * after).div_ceil(6);
        let end = 8 * padded.len() / 6;
        let own = letters.as_bytes().get(first..end);
        Zeroizing::new(own.unwrap_or_default().to_vec())
    }
}

/// One text in one form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Needle {
    /// Which of the texts.
    pub(super) text: usize,
    pub(super) form: Form,
}

/// All that is looked for.
pub(super) struct Needles {
    automaton: DFA,
    begin: StateID,
    needles: Vec<Needle>,
    /// How many of the last bytes may be the beginning of a needle, by state.
    depths: Vec<u32>,
    /// How many letters the longest has.
    longest: usize,
    /// The bytes that a needle may have.
    may_have: [bool; 256],
}

impl Needles {
    /// Looks for `texts`.
    pub(super) fn new(texts: &[&[u8]]) -> Result<Self, String> {
        let (mut needles, mut letters) = (Vec::new(), Vec::<Zeroizing<Vec<u8>>>::new());
        for (text, bytes) in texts.iter().enumerate() {
            for form in FORMS {
                let is_used = match form {
                    Form::Plain => !bytes.is_empty(),
                    Form::Base64 { .. } => bytes.len() >= SHORTEST_IN_BASE64,
                };
                let own = form.of(bytes);
                if is_used && !letters.contains(&own) {
                    needles.push(Needle { text, form });
                    letters.push(own);
                }
            }
        }
        let automaton = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .prefilter(false)
            .build(letters.iter().map(|letters| letters.as_slice()))
            .map_err(|error| error.to_string())?;
        let begin = automaton
            .start_state(Anchored::No)
            .map_err(|error| error.to_string())?;
        let mut all = Self {
            automaton,
            begin,
            needles,
            depths: Vec::new(),
            longest: letters
                .iter()
                .map(|letters| letters.len())
                .max()
                .unwrap_or(0),
            may_have: std::array::from_fn(|byte| {
                let byte = u8::try_from(byte).unwrap_or_default();
                byte.is_ascii_graphic() || letters.iter().any(|letters| letters.contains(&byte))
            }),
        };
        for letters in &letters {
            all.measure(letters);
        }
        Ok(all)
    }

    fn measure(&mut self, letters: &[u8]) {
        let mut state = self.begin;
        for (depth, byte) in (1..).zip(letters) {
            state = self.next(state, *byte);
            if self.depths.len() <= state.as_usize() {
                self.depths.resize(state.as_usize() + 1, 0);
            }
            if let Some(known) = self.depths.get_mut(state.as_usize()) {
                *known = depth;
            }
        }
    }

    pub(super) fn begin(&self) -> StateID {
        self.begin
    }

    pub(super) fn next(&self, state: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, state, byte)
    }

    /// How many of the last bytes may be the beginning of a needle.
    pub(super) fn depth(&self, state: StateID) -> usize {
        let depth = self.depths.get(state.as_usize()).copied();
        depth.map_or(0, |depth| usize::try_from(depth).unwrap_or(usize::MAX))
    }

    /// How many of the last of these bytes could be the beginning of something that is looked for, as far as can be told
    /// without knowing for what.
    pub(super) fn unclear(&self, bytes: &[u8]) -> usize {
        // Each letter may be written as `\\u0041`, and the last escape may be half of a pair.
        let most = (6 * self.longest + 12).next_multiple_of(STEP);
        let may_have = |byte: &&u8| self.may_have.get(usize::from(**byte)) == Some(&true);
        let last = bytes.iter().rev().take(most);
        last.take_while(may_have).count()
    }

    /// Whether a needle ends here.
    pub(super) fn is_end(&self, state: StateID) -> bool {
        self.automaton.is_match(state)
    }

    /// The longest needle that ends here, and its length.
    pub(super) fn found(&self, state: StateID) -> Option<(Needle, usize)> {
        if !self.is_end(state) {
            return None;
        }
        let ending = (0..self.automaton.match_len(state)).filter_map(|index| {
            let pattern = self.automaton.match_pattern(state, index);
            let needle = self.needles.get(pattern.as_usize()).copied()?;
            Some((needle, self.automaton.pattern_len(pattern)))
        });
        ending.max_by_key(|(_, length)| *length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_base64_is_what_its_neighbours_do_not_touch() {
        let text = b"ghp_0123456789";
        for before in 0..7 {
            for behind in 0..4 {
                let whole = [&b"user:xx"[..before], text, &b"\xffyyy"[..behind]].concat();
                let written = Base64Unpadded::encode_string(&whole);
                let own = in_base64(before % 3, false).of(text);
                let own = std::str::from_utf8(&own).unwrap();
                assert!(written.contains(own), "{before} {behind}: {written} {own}");
                assert!(own.len() >= 8 * text.len() / 6 - 1);
            }
        }
    }

    #[test]
    fn a_state_knows_how_much_of_a_needle_it_is() {
        let needles = Needles::new(&[b"abcabd"]).unwrap();
        let mut state = needles.begin();
        for (byte, depth) in b"xabcabcabd".iter().zip([0, 1, 2, 3, 4, 5, 3, 4, 5, 6]) {
            state = needles.next(state, *byte);
            assert_eq!(needles.depth(state), depth, "{}", char::from(*byte));
        }
        assert!(needles.found(state).is_some());
    }

    #[test]
    fn what_is_short_is_looked_for_as_it_is_and_nothing_for_nothing() {
        let found = |text: &[u8], within: &[u8]| {
            let needles = Needles::new(&[text]).unwrap();
            let step = |state, byte: &u8| needles.next(state, *byte);
            needles
                .found(within.iter().fold(needles.begin(), step))
                .map(|(needle, length)| (needle.form, length))
        };
        assert_eq!(
            found(b"abcdef", b"YWJjZGVm"),
            Some((in_base64(0, false), 8))
        );
        assert_eq!(found(b"abcde", b"YWJjZGU"), None);
        assert_eq!(found(b"abcde", b"abcde"), Some((Form::Plain, 5)));
        assert_eq!(found(b"", b"x"), None);
        // In either alphabet.
        for (written, is_for_urls) in [(b"fn5+fn5+", false), (b"fn5-fn5-", true)] {
            let form = in_base64(0, is_for_urls);
            assert_eq!(found(b"~~~~~~", written), Some((form, 8)), "{is_for_urls}");
        }
    }
}
