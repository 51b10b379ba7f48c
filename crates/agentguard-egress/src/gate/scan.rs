//! Looks for needles in bytes as they come, whatever the pieces: as they are, and as they are once the escapes
//! of URLs or of JSON are undone.

use std::collections::VecDeque;
use std::sync::Arc;

use aho_corasick::automaton::StateID;

use super::needles::{Needle, Needles};

/// A needle that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Hit {
    pub(super) needle: Needle,
    /// Where it begins and ends, in bytes since the scan began.
    pub(super) start: usize,
    pub(super) end: usize,
    /// How many bytes each of its letters took.
    pub(super) widths: Vec<u8>,
    pub(super) escapes: Escapes,
}

/// What undoes what stands for a letter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Escapes {
    /// Nothing: letters stand for themselves.
    None,
    /// `%41` (RFC 3986, section 2.1).
    Percent,
    /// `\u0041` and `\/` (RFC 8259, section 7).
    Json,
}

/// A scan of one stream.
pub(super) struct Scanner {
    needles: Arc<Needles>,
    state: StateID,
    at: usize,
    percent: View,
    json: View,
}

impl Scanner {
    pub(super) fn new(needles: &Arc<Needles>) -> Self {
        Self {
            needles: Arc::clone(needles),
            state: needles.begin(),
            at: 0,
            percent: View::new(Escapes::Percent, b'%'),
            json: View::new(Escapes::Json, b'\\'),
        }
    }

    /// Begins anew.
    pub(super) fn restart(&mut self) {
        *self = Self::new(&self.needles);
    }

    /// Goes on by one byte. Where two needles end, the one that begins first is told of.
    pub(super) fn step(&mut self, byte: u8) -> Option<Hit> {
        let before = self.state;
        self.state = self.needles.next(before, byte);
        self.at += 1;
        let is_escaped = self.percent.is_needed(byte) || self.json.is_needed(byte);
        // So it is with nearly all bytes, which is what a large body takes its time for.
        if !is_escaped && !self.needles.is_end(self.state) {
            return None;
        }
        self.look(before, byte)
    }

    /// What ends with this byte, by which the stream went on from `before`.
    fn look(&mut self, before: StateID, byte: u8) -> Option<Hit> {
        let at = self.at.saturating_sub(1);
        let plain = self.needles.found(self.state).map(|(needle, length)| Hit {
            needle,
            start: self.at.saturating_sub(length),
            end: self.at,
            widths: vec![1; length],
            escapes: Escapes::None,
        });
        let mut hits = [plain, None, None];
        for (view, hit) in [&mut self.percent, &mut self.json]
            .into_iter()
            .zip(hits.iter_mut().skip(1))
        {
            if view.is_needed(byte) {
                *hit = view.step(&self.needles, before, self.state, at, byte);
            }
        }
        hits.into_iter().flatten().min_by_key(|hit| hit.start)
    }

    /// How many of the last bytes may be the beginning of a needle.
    pub(super) fn open(&self) -> usize {
        let plain = self.needles.depth(self.state);
        let percent = self.percent.open(&self.needles);
        plain.max(percent).max(self.json.open(&self.needles))
    }

    /// What is found in a piece of the stream, if anything.
    pub(super) fn first_in(&mut self, piece: &[u8]) -> Option<Hit> {
        piece.iter().find_map(|byte| self.step(*byte))
    }
}

/// The stream with its escapes undone. Where there were none lately, it is the stream itself, and costs
/// nothing.
struct View {
    escapes: Escapes,
    begins: u8,
    /// `None` where it is as the stream itself.
    state: Option<StateID>,
    /// An escape that has not ended.
    pending: Vec<u8>,
    /// How many bytes each of the last letters took. Those before took one.
    widths: VecDeque<u8>,
}

impl View {
    fn new(escapes: Escapes, begins: u8) -> Self {
        Self {
            escapes,
            begins,
            state: None,
            pending: Vec::new(),
            widths: VecDeque::new(),
        }
    }

    fn is_needed(&self, byte: u8) -> bool {
        self.state.is_some() || byte == self.begins
    }

    /// Goes on by the byte at `at`, by which the stream itself goes from `before` to `after`.
    fn step(
        &mut self,
        needles: &Needles,
        before: StateID,
        after: StateID,
        at: usize,
        byte: u8,
    ) -> Option<Hit> {
        let mut state = self.state.unwrap_or(before);
        let mut hit = None;
        // Where each letter ends: what is no escape after all is many letters, some of them further back.
        let mut letter = |view: &mut Self, letter: u8, width: u8, end: usize| {
            state = needles.next(state, letter);
            view.widths.push_back(width);
            if let Some((needle, length)) = needles.found(state) {
                let found = view.hit(needle, length, end);
                hit.get_or_insert(found);
            }
        };
        if self.pending.is_empty() && byte != self.begins {
            letter(self, byte, 1, at + 1);
            self.settle(needles, state, after);
            return hit;
        }
        self.pending.push(byte);
        match self.escaped() {
            Escape::Open => {}
            Escape::Letters(letters) => {
                let mut width = u8::try_from(self.pending.len()).unwrap_or(u8::MAX);
                self.pending.clear();
                for one in letters {
                    letter(self, one, width, at + 1);
                    width = 0;
                }
            }
            Escape::No => {
                let raw = std::mem::take(&mut self.pending);
                let first = (at + 1).saturating_sub(raw.len());
                for (end, one) in (first + 1..).zip(raw) {
                    // The last may begin an escape of its own.
                    if end == at + 1 && one == self.begins {
                        self.pending.push(one);
                    } else {
                        letter(self, one, 1, end);
                    }
                }
            }
        }
        self.settle(needles, state, after);
        hit
    }

    /// Keeps what is needed of a state, which is nothing where it is that of the stream itself.
    fn settle(&mut self, needles: &Needles, state: StateID, after: StateID) {
        let depth = needles.depth(state);
        let surplus = self.widths.len().saturating_sub(depth);
        self.widths.drain(..surplus);
        let is_plain = self.pending.is_empty() && self.widths.iter().all(|width| *width == 1);
        self.state = Some(state).filter(|state| *state != after || !is_plain);
    }

    fn hit(&self, needle: Needle, length: usize, end: usize) -> Hit {
        let known = self.widths.len().min(length);
        let mut widths = vec![1; length - known];
        widths.extend(self.widths.iter().skip(self.widths.len() - known));
        let width: usize = widths.iter().map(|width| usize::from(*width)).sum();
        Hit {
            needle,
            start: end.saturating_sub(width),
            end,
            widths,
            escapes: self.escapes,
        }
    }

    fn open(&self, needles: &Needles) -> usize {
        let Some(state) = self.state else {
            return 0;
        };
        let depth = needles.depth(state);
        let known = self.widths.len().min(depth);
        let widths = self.widths.iter().skip(self.widths.len() - known);
        let widths: usize = widths.map(|width| usize::from(*width)).sum();
        depth - known + widths + self.pending.len()
    }

    /// What is pending, if it is an escape.
    fn escaped(&self) -> Escape {
        match (self.escapes, self.pending.as_slice()) {
            (Escapes::Percent, [b'%'] | [b'%', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F']) => {
                Escape::Open
            }
            (Escapes::Percent, [b'%', high, low]) => match number(&[*high, *low]) {
                Some(byte) => Escape::of_byte(byte),
                None => Escape::No,
            },
            (Escapes::Json, [b'\\']) => Escape::Open,
            (Escapes::Json, [b'\\', b'u', digits @ ..]) => match (number(digits), digits.len()) {
                (_, 0) | (Some(_), 1..4) => Escape::Open,
                (Some(code), _) => Escape::of_code(code),
                (None, _) => Escape::No,
            },
            (Escapes::Json, [b'\\', letter]) => match letter {
                b'"' | b'\\' | b'/' => Escape::Letters(vec![*letter]),
                b'b' => Escape::Letters(vec![8]),
                b't' => Escape::Letters(vec![b'\t']),
                b'n' => Escape::Letters(vec![b'\n']),
                b'f' => Escape::Letters(vec![12]),
                b'r' => Escape::Letters(vec![b'\r']),
                _ => Escape::No,
            },
            _ => Escape::No,
        }
    }
}

enum Escape {
    /// It may become one.
    Open,
    /// It stands for these.
    Letters(Vec<u8>),
    /// It is none: each byte stands for itself.
    No,
}

impl Escape {
    fn of_byte(byte: u32) -> Self {
        u8::try_from(byte).map_or(Self::No, |byte| Self::Letters(vec![byte]))
    }

    /// Half of a pair stands for nothing alone, and no secret has letters that take two.
    fn of_code(code: u32) -> Self {
        char::from_u32(code).map_or(Self::No, |letter| {
            Self::Letters(letter.to_string().into_bytes())
        })
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    let mut digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    digits.try_fold(0, |all, digit| Some(all << 4 | digit?))
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
