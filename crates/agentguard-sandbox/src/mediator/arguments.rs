//! Argument lists and environments, read from another process: before an exec from where its caller
//! points, after it from the new stack.

use std::collections::BTreeMap;
use std::io;

use rustix::process::Pid;

use super::environment::counts;
use crate::sys::{read_memory, read_pieces};

/// The kernel takes no longer string (`MAX_ARG_STRLEN`, execve(2)).
const LONGEST: usize = 128 * 1024;
/// The kernel takes no more for all of them (a quarter of the largest default stack, execve(2)).
const MOST: usize = 6 << 20;
/// As many pointers as could fill that.
const MOST_STRINGS: usize = MOST / 8;
const PAGE: u64 = 4096;
/// How much of each string is read at first: most are shorter.
const GUESS: usize = 256;
/// How much of the path and of each list.
const BEGINNING: usize = 1024;
/// The kernel takes no more pieces at once (`UIO_MAXIOV`).
const AT_ONCE: usize = 1024;

/// What a program is started with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Arguments {
    /// The argument list.
    pub(super) argv: Vec<Vec<u8>>,
    /// Those variables that policy sees.
    pub(super) environment: Environment,
}

/// What a caller of execve points to.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Pointed {
    /// The path.
    pub(super) path: Vec<u8>,
    argv: Vec<u64>,
    environment: Vec<u64>,
}

impl Pointed {
    /// Reads a path, and the addresses of arguments and variables.
    pub(super) fn read(caller: Pid, path: u64, argv: u64, environment: u64) -> io::Result<Self> {
        if let Some(found) = Self::read_at_once(caller, [path, argv, environment]) {
            return Ok(found);
        }
        Ok(Self {
            path: read_string(caller, path).map_err(of_path)?,
            argv: read_pointers(caller, argv)?,
            environment: read_pointers(caller, environment)?,
        })
    }

    /// Reads where most lie, which is enough for all but the longest.
    fn read_at_once(caller: Pid, addresses: [u64; 3]) -> Option<Self> {
        let pieces = addresses.map(|address| (address, up_to_page(address, BEGINNING)));
        if addresses.contains(&0) {
            return None;
        }
        let mut bytes = [0; 3 * BEGINNING];
        let total = pieces.iter().map(|(_, length)| length).sum();
        let bytes = bytes.get_mut(..total)?;
        if read_pieces(caller, &pieces, bytes).ok()? < total {
            return None;
        }
        let [(_, first), (_, second), _] = pieces;
        let (path, rest) = bytes.split_at_checked(first)?;
        let (argv, environment) = rest.split_at_checked(second)?;
        let end = path.iter().position(|byte| *byte == 0)?;
        Some(Self {
            path: path.get(..end)?.to_vec(),
            argv: pointers(argv)?,
            environment: pointers(environment)?,
        })
    }
}

impl Arguments {
    /// Reads the strings that a caller of execve points to.
    pub(super) fn of_call(caller: Pid, pointed: &Pointed) -> io::Result<Self> {
        let mut found = Self::default();
        let mut total = 0usize;
        let count = pointed.argv.len();
        let addresses: Vec<u64> = [pointed.argv.as_slice(), &pointed.environment].concat();
        for (batch, some) in addresses.chunks(AT_ONCE).enumerate() {
            let strings = Batch::read(caller, some)?;
            for (place, address) in some.iter().enumerate() {
                let long;
                let string = match strings.get(place) {
                    Some(string) => string,
                    None => {
                        long = read_string(caller, *address)?;
                        &long
                    }
                };
                total = total.saturating_add(string.len());
                match batch * AT_ONCE + place < count {
                    true => found.argv.push(string.to_vec()),
                    false => found.environment.add(string),
                }
            }
            // The kernel takes no more for both together, and the guard no longer question.
            if total > MOST {
                return Err(io::Error::from_raw_os_error(libc::E2BIG));
            }
        }
        Ok(found)
    }

    /// Reads what lies on the stack of a program that has not run yet: a count, the argument list,
    /// the environment, then their strings (the System V ABI, "Process Initialization").
    pub(super) fn of_stack(process: Pid, top: u64) -> io::Result<Self> {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = read_memory(process, top, &mut bytes)?;
            let is_all = read < bytes.len();
            if let Some(found) = parse_stack(bytes.get(..read).unwrap_or_default(), top) {
                return Ok(found);
            }
            if is_all || bytes.len() > MOST + LONGEST {
                return Err(io::Error::other("the new stack cannot be read"));
            }
            bytes.resize(bytes.len() * 4, 0);
        }
    }

    /// The argument list as text.
    pub(super) fn words(&self) -> Vec<String> {
        self.argv
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }
}

/// Variables that policy sees.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Environment(pub(super) BTreeMap<String, String>);

impl Environment {
    /// Of two variables of one name the last is kept by some programs and the first by others: both count.
    fn add(&mut self, variable: &[u8]) {
        let Some(end) = variable.iter().position(|byte| *byte == b'=') else {
            return;
        };
        let (name, value) = variable.split_at(end);
        if !counts(name) {
            return;
        }
        let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default());
        let place = self
            .0
            .entry(String::from_utf8_lossy(name).into_owned())
            .or_default();
        if place.is_empty() {
            *place = value.into_owned();
        } else {
            *place = format!("{place}\n{value}");
        }
    }
}

fn parse_stack(bytes: &[u8], top: u64) -> Option<Arguments> {
    let word = |index: usize| -> Option<u64> {
        let start = index.checked_mul(8)?;
        bytes
            .get(start..start.checked_add(8)?)?
            .first_chunk()
            .map(|raw| u64::from_ne_bytes(*raw))
    };
    let string = |address: u64| -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(top)?).ok()?;
        let rest = bytes.get(start..)?;
        rest.get(..rest.iter().position(|byte| *byte == 0)?)
    };
    let count = usize::try_from(word(0)?)
        .ok()
        .filter(|count| *count <= MOST_STRINGS)?;
    let mut found = Arguments {
        argv: Vec::with_capacity(count.min(1024)),
        ..Arguments::default()
    };
    for index in 1..=count {
        found.argv.push(string(word(index)?)?.to_vec());
    }
    let mut index = count.checked_add(2)?;
    loop {
        match word(index)? {
            0 => return Some(found),
            address => found.environment.add(string(address)?),
        }
        index += 1;
    }
}

/// What the kernel says of a path that is too long for any string.
fn of_path(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::E2BIG) => io::Error::from_raw_os_error(libc::ENAMETOOLONG),
        _ => error,
    }
}

/// Reads one string. What the kernel would not read is its error.
pub(super) fn read_string(process: Pid, address: u64) -> io::Result<Vec<u8>> {
    let mut found = Vec::new();
    let mut at = address;
    loop {
        let length = PAGE - at % PAGE;
        let start = found.len();
        found.resize(
            start + usize::try_from(length).map_err(io::Error::other)?,
            0,
        );
        let read = read_memory(process, at, found.get_mut(start..).unwrap_or_default())?;
        found.truncate(start + read);
        if let Some(end) = found.iter().skip(start).position(|byte| *byte == 0) {
            found.truncate(start + end);
            return Ok(found);
        }
        if found.len() > LONGEST {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        at = further(at, length, read)?;
    }
}

/// The beginnings of strings, read at once. Most lie one after the other, and share a piece.
struct Batch {
    bytes: Vec<u8>,
    /// Where each string begins, and where the piece ends that holds it.
    places: Vec<(usize, usize)>,
}

impl Batch {
    fn read(process: Pid, addresses: &[u64]) -> io::Result<Self> {
        let mut pieces: Vec<(u64, usize)> = Vec::new();
        let mut before = 0; // in all pieces but the last
        let mut starts = Vec::with_capacity(addresses.len());
        for address in addresses {
            let length = up_to_page(*address, GUESS);
            match pieces.last_mut() {
                Some((start, known)) if (*start..=end_of(*start, *known)).contains(address) => {
                    let offset = usize::try_from(address - *start).map_err(io::Error::other)?;
                    *known = (*known).max(offset + length);
                    starts.push((before + offset, pieces.len()));
                }
                last => {
                    before += last.map_or(0, |(_, length)| *length);
                    pieces.push((*address, length));
                    starts.push((before, pieces.len()));
                }
            }
        }
        let mut ends = Vec::with_capacity(pieces.len());
        let mut total = 0;
        for (_, length) in &pieces {
            total += length;
            ends.push(total);
        }
        let mut bytes = vec![0; total];
        if read_pieces(process, &pieces, &mut bytes)? < total {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        let end = |count: usize| ends.get(count - 1).copied().unwrap_or(0);
        let places = starts.into_iter().map(|(start, count)| (start, end(count)));
        Ok(Self {
            places: places.collect(),
            bytes,
        })
    }

    /// A string, if it ends within what was read.
    fn get(&self, place: usize) -> Option<&[u8]> {
        let (start, end) = self.places.get(place)?;
        let bytes = self.bytes.get(*start..*end)?;
        bytes.get(..bytes.iter().position(|byte| *byte == 0)?)
    }
}

fn end_of(start: u64, length: usize) -> u64 {
    start.saturating_add(u64::try_from(length).unwrap_or(u64::MAX))
}

/// How much may be read from `address` on without leaving its page, and `most` at most.
fn up_to_page(address: u64, most: usize) -> usize {
    usize::try_from(PAGE - address % PAGE).map_or(1, |rest| rest.min(most))
}

/// The addresses of a list, if it ends here.
fn pointers(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut found = Vec::new();
    for raw in bytes.chunks_exact(8) {
        match raw.first_chunk().map(|raw| u64::from_ne_bytes(*raw))? {
            0 => return Some(found),
            address => found.push(address),
        }
    }
    None
}

fn read_pointers(process: Pid, array: u64) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    if array == 0 {
        return Ok(found);
    }
    let mut at = array;
    let mut bytes = [0; 4096];
    loop {
        let length = usize::try_from(PAGE - at % PAGE).map_err(io::Error::other)?;
        let read = read_memory(process, at, bytes.get_mut(..length).unwrap_or_default())?;
        for raw in bytes.get(..read).unwrap_or_default().chunks_exact(8) {
            match raw.first_chunk().map(|raw| u64::from_ne_bytes(*raw)) {
                Some(0) | None => return Ok(found),
                Some(address) => found.push(address),
            }
        }
        let step = u64::try_from(read / 8 * 8).map_err(io::Error::other)?;
        if found.len() > MOST_STRINGS {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        at = further(at, step, read)?;
    }
}

/// Where to read on, for who could read.
fn further(at: u64, step: u64, read: usize) -> io::Result<u64> {
    let next = at.checked_add(step).filter(|_| step > 0 && read > 0);
    next.ok_or_else(|| io::Error::from_raw_os_error(libc::EFAULT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list that ends at once.
    static END: u64 = 0;

    fn myself() -> Pid {
        rustix::process::getpid()
    }

    fn address<T>(of: *const T) -> u64 {
        u64::try_from(of.addr()).unwrap()
    }

    #[test]
    fn strings_come_back_whatever_their_length_and_place() {
        let long = "x".repeat(100_000);
        let words = [
            c"a".to_owned(),
            std::ffi::CString::new(long.clone()).unwrap(),
            c"".to_owned(),
        ];
        let pointers: Vec<u64> = words
            .iter()
            .map(|w| address(w.as_ptr()))
            .chain([0])
            .collect();
        for path in [c"/bin/true".to_owned(), words[1].clone()] {
            let (array, nothing) = (address(pointers.as_ptr()), address(&raw const END));
            for environment in [nothing, 0] {
                let pointed =
                    Pointed::read(myself(), address(path.as_ptr()), array, environment).unwrap();
                assert_eq!(pointed.path, path.to_bytes());
                let found = Arguments::of_call(myself(), &pointed).unwrap();
                assert_eq!(found.argv, words.each_ref().map(|w| w.to_bytes()));
                assert_eq!(found.environment, Environment::default());
            }
        }
    }

    #[test]
    fn arguments_are_told_from_variables_also_past_a_batch() {
        let words: Vec<_> = (0..AT_ONCE + 10)
            .map(|number| std::ffi::CString::new(format!("PATH={number}")).unwrap())
            .collect();
        let addresses: Vec<u64> = words.iter().map(|word| address(word.as_ptr())).collect();
        for count in [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 9] {
            let pointed = Pointed {
                path: Vec::new(),
                argv: addresses[..count].to_vec(),
                environment: addresses[count..count + 1].to_vec(),
            };
            let found = Arguments::of_call(myself(), &pointed).unwrap();
            let argv: Vec<_> = words[..count].iter().map(|word| word.to_bytes()).collect();
            assert_eq!(found.argv, argv);
            assert_eq!(found.environment.0["PATH"], count.to_string());
        }
    }

    #[test]
    fn strings_are_found_in_whatever_order_they_lie() {
        let text = *b"one\0two\0three\0";
        let place = |offset: u64| address(text.as_ptr()) + offset;
        for order in [[0, 4, 8], [8, 4, 0], [4, 4, 0], [2, 0, 6]] {
            let batch = Batch::read(myself(), &order.map(place)).unwrap();
            for (number, offset) in order.into_iter().enumerate() {
                let rest = &text[usize::try_from(offset).unwrap()..];
                let expected = rest.split(|byte| *byte == 0).next();
                assert_eq!(batch.get(number), expected, "{order:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for bad in [8u64, 4095, u64::MAX, u64::MAX - 2] {
            let pointers = [bad, bad, 0];
            let array = address(pointers.as_ptr());
            let path = address(c"x".as_ptr());
            let pointed = Pointed::read(myself(), path, array, 0).unwrap();
            assert!(Arguments::of_call(myself(), &pointed).is_err(), "{bad}");
            assert!(Pointed::read(myself(), path, bad, 0).is_err(), "{bad}");
            assert!(Pointed::read(myself(), bad, array, array).is_err(), "{bad}");
            assert!(read_string(myself(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stack_is_parsed_and_a_cut_one_is_not() {
        let top = 0x1000u64;
        let mut bytes = Vec::new();
        let strings = top + 8 * 6;
        for word in [1, strings, 0, strings + 2, 0, 0] {
            bytes.extend_from_slice(&u64::to_ne_bytes(word));
        }
        bytes.extend_from_slice(b"a\0PATH=/bin\0");
        let found = parse_stack(&bytes, top).unwrap();
        assert_eq!(found.argv, [b"a".to_vec()]);
        assert_eq!(
            found.environment.0.get("PATH").map(String::as_str),
            Some("/bin")
        );
        for length in 0..bytes.len() {
            assert_eq!(parse_stack(&bytes[..length], top), None, "{length}");
        }
    }

    #[test]
    fn both_of_two_variables_of_one_name_are_seen() {
        let mut found = Environment::default();
        for variable in ["PATH=/bin", "PATH=/evil", "HOME=/", "junk"] {
            found.add(variable.as_bytes());
        }
        assert_eq!(found.0.get("PATH").map(String::as_str), Some("/bin\n/evil"));
        assert_eq!(found.0.len(), 1);
    }

    #[test]
    fn fuzz_a_new_stack_is_read_or_is_none() {
        crate::mutate::fuzz(
            "stack",
            &["PATH=", "LD_PRELOAD=", "="],
            |bytes| match parse_stack(bytes, 0x1000) {
                Some(found) => {
                    let length: usize = found.argv.iter().map(Vec::len).sum();
                    assert!(
                        found.argv.len() <= MOST_STRINGS
                            && length <= bytes.len() * found.argv.len()
                    );
                    let some = found.argv.len().min(3);
                    format!(
                        "{} {}",
                        "x".repeat(some),
                        "y".repeat(found.environment.0.len().min(3))
                    )
                }
                None => "none".to_owned(),
            },
        );
    }
}
