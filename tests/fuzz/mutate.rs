//! Feeds a parser what nobody would write.
//!
//! A target is a function of bytes that says what it made of them, in a few words: that is what guides
//! the search. An input that brings up new words is kept, and changed further. Each target is first given
//! its corpus, `tests/fuzz/corpus/TARGET`, then a few changes of it, which are the same each time.
//! `tests/fuzz/run SECONDS` goes on for longer, and keeps what it found, the shortest for each of the
//! words. `tests/fuzz/guided/run SECONDS` gives the same targets to libFuzzer.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Changes that every run of the tests makes.
const FEW: u64 = 500;
/// No input grows larger.
const LARGEST: usize = 1 << 16;
/// What is kept in the corpus is small.
const LARGEST_KEPT: usize = 2048;
const MOST_KEPT: usize = 40;
/// Longer than any input may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `target` on its corpus and on changes of it. `words` are what its language is made of.
pub(crate) fn fuzz(name: &str, words: &[&str], target: impl Fn(&[u8]) -> String) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    let directory = directory.join(name);
    #[cfg(fuzzing)]
    return guided::fuzz(name, words, &directory, hash, &target);
    let corpus = read(&directory);
    assert!(!corpus.is_empty(), "`{name}` has no corpus");
    let watched = Watched::begin(&directory);
    let mut found = Found::default();
    let mut random = Random(number("AGENTGUARD_FUZZ_SEED").unwrap_or(1));
    let seconds = number("AGENTGUARD_FUZZ_SECONDS");
    for input in corpus {
        found.note(watched.run(&input, &target), input);
    }
    let (begun, mut executions) = (Instant::now(), 0u64);
    let is_over = |executions| match seconds {
        Some(seconds) => begun.elapsed() >= Duration::from_secs(seconds),
        None => executions >= FEW,
    };
    while !is_over(executions) {
        let input = random.change(&found, words);
        found.note(watched.run(&input, &target), input);
        executions += 1;
    }
    println!("{name}: {executions} executions, {} words", found.0.len());
    if seconds.is_some() {
        found.keep(&directory);
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

fn read(directory: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What is being tried, and since when.
type Current = Mutex<Option<(Instant, Vec<u8>)>>;

/// Whoever panics or does not come back leaves its input behind.
struct Watched {
    directory: PathBuf,
    current: Arc<Current>,
}

impl Watched {
    fn begin(directory: &Path) -> Self {
        let current: Arc<Current> = Arc::default();
        let (watched, directory) = (Arc::downgrade(&current), directory.to_owned());
        let left = directory.clone();
        thread::spawn(move || {
            while let Some(current) = watched.upgrade() {
                if let Some((since, input)) =
                    &*current.lock().unwrap_or_else(PoisonError::into_inner)
                    && since.elapsed() > PATIENCE
                {
                    leave(&left, "endless", input);
                    std::process::abort();
                }
                drop(current);
                thread::sleep(Duration::from_millis(200));
            }
        });
        Self { directory, current }
    }

    fn run(&self, input: &[u8], target: impl Fn(&[u8]) -> String) -> String {
        let set = |to| *self.current.lock().unwrap_or_else(PoisonError::into_inner) = to;
        set(Some((Instant::now(), input.to_vec())));
        let said = catch_unwind(AssertUnwindSafe(|| target(input)));
        set(None);
        said.unwrap_or_else(|panic| {
            leave(&self.directory, "panic", input);
            resume_unwind(panic)
        })
    }
}

fn leave(directory: &Path, what: &str, input: &[u8]) {
    let path = directory.join(format!("{what}-{:016x}", hash(input)));
    let _ = fs::write(&path, input);
    println!("left {}", path.display());
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// What was said, without places, lengths and what was quoted of the input.
fn gist(said: &str) -> String {
    let mut is_quoted = false;
    let plain = said.chars().filter(|character| {
        is_quoted ^= matches!(character, '`' | '"');
        !is_quoted && !character.is_ascii_digit()
    });
    plain.take(120).collect()
}

/// The shortest input for each thing that was said.
#[derive(Default)]
struct Found(BTreeMap<String, Vec<u8>>);

impl Found {
    fn note(&mut self, said: String, input: Vec<u8>) {
        let said = gist(&said);
        let known = self.0.entry(said).or_insert_with(|| input.clone());
        if input.len() < known.len() {
            *known = input;
        }
    }

    fn nth(&self, number: u64) -> &[u8] {
        let at = usize::try_from(number).unwrap_or(0) % self.0.len();
        self.0.values().nth(at).map_or(&[], Vec::as_slice)
    }

    fn keep(&self, directory: &Path) {
        let fits = |input: &&Vec<u8>| input.len() <= LARGEST_KEPT;
        for input in self.0.values().filter(fits).take(MOST_KEPT) {
            fs::write(directory.join(format!("{:016x}", hash(input))), input).unwrap();
        }
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One of what was found, changed in one to eight ways.
    fn change(&mut self, found: &Found, words: &[&str]) -> Vec<u8> {
        let mut input = found.nth(self.next()).to_vec();
        for _ in 0..=self.below(8) {
            self.change_once(&mut input, found, words);
        }
        input.truncate(LARGEST);
        input
    }

    fn change_once(&mut self, input: &mut Vec<u8>, found: &Found, words: &[&str]) {
        const NUMBERS: [u64; 8] = [
            0,
            1,
            0x7f,
            0xff,
            0x7fff_ffff,
            0xffff_ffff,
            1 << 63,
            u64::MAX,
        ];
        let at = self.below(input.len() + 1);
        let rest = input.len() - at;
        match self.below(9) {
            0 if rest > 0 => input[at] ^= 1 << self.below(8),
            1 if rest > 0 => input[at] = self.byte(),
            2 => {
                input.insert(at, self.byte());
            }
            3 if !words.is_empty() => {
                let word = words[self.below(words.len())].bytes();
                input.splice(at..at, word);
            }
            4 => {
                let end = at + self.below(rest.min(64) + 1);
                input.drain(at..end);
            }
            5 => {
                let piece = input[at..at + self.below(rest.min(64) + 1)].to_vec();
                let most = [4, 4, 4, 1000][self.below(4)];
                let many = 1 + self.below(most);
                let room = LARGEST.saturating_sub(input.len()) / piece.len().max(1);
                input.splice(at..at, piece.repeat(many.min(room)));
            }
            6 => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][self.below(4)].min(rest);
                let mut number = number[..width].to_vec();
                if self.below(2) == 0 {
                    number.reverse();
                }
                input.splice(at..at + width, number);
            }
            7 => {
                let other = found.nth(self.next());
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.truncate(at),
        }
    }
}
