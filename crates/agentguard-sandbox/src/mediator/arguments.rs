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
const GUESS: u64 = 256;
/// The kernel takes no more pieces at once (`UIO_MAXIOV`).
const AT_ONCE: usize = 1024;

/// What a program is started with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Arguments {
    /// The argument list.
    pub(super) argv: Vec<Vec<u8>>,
    /// Those variables that policy sees.
    pub(super) environment: BTreeMap<String, String>,
}

impl Arguments {
    /// Reads what a caller of execve points to.
    pub(super) fn of_call(caller: Pid, argv: u64, environment: u64) -> io::Result<Self> {
        let argv = read_strings(caller, argv)?;
        let environment = read_strings(caller, environment)?;
        // The kernel takes no more for both together, and the guard no longer question.
        let total: usize = argv.iter().chain(&environment).map(Vec::len).sum();
        if total > MOST {
            return Err(io::Error::other("more arguments than the kernel takes"));
        }
        Ok(Self {
            argv,
            environment: chosen(&environment),
        })
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
    let mut argv = Vec::with_capacity(count.min(1024));
    for index in 1..=count {
        argv.push(string(word(index)?)?.to_vec());
    }
    let mut environment = Vec::new();
    let mut index = count.checked_add(2)?;
    loop {
        match word(index)? {
            0 => break,
            address => environment.push(string(address)?.to_vec()),
        }
        index += 1;
    }
    Some(Arguments {
        argv,
        environment: chosen(&environment),
    })
}

/// Of two variables of one name the last is kept by some programs and the first by others: both count.
fn chosen(environment: &[Vec<u8>]) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for variable in environment {
        let Some(end) = variable.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = variable.split_at(end);
        if !counts(name) {
            continue;
        }
        let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default());
        let place = found
            .entry(String::from_utf8_lossy(name).into_owned())
            .or_default();
        if place.is_empty() {
            *place = value.into_owned();
        } else {
            *place = format!("{place}\n{value}");
        }
    }
    found
}

/// Reads one string.
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
        if read == 0 || found.len() > LONGEST {
            return Err(io::Error::other("a string without an end"));
        }
        at = at
            .checked_add(length)
            .ok_or_else(|| io::Error::other("a string past the end of memory"))?;
    }
}

fn read_strings(process: Pid, array: u64) -> io::Result<Vec<Vec<u8>>> {
    if array == 0 {
        return Ok(Vec::new());
    }
    let addresses = read_pointers(process, array)?;
    let mut found = Vec::with_capacity(addresses.len());
    let mut total = 0usize;
    for some in addresses.chunks(AT_ONCE) {
        read_batch(process, some, &mut found)?;
        total = found.iter().map(Vec::len).sum();
        if total > MOST {
            break;
        }
    }
    if total > MOST {
        return Err(io::Error::other("more arguments than the kernel takes"));
    }
    Ok(found)
}

fn read_batch(process: Pid, addresses: &[u64], found: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let piece = |address: &u64| {
        (
            *address,
            usize::try_from(GUESS.min(PAGE - address % PAGE)).unwrap_or(1),
        )
    };
    let pieces: Vec<(u64, usize)> = addresses.iter().map(piece).collect();
    let mut bytes = vec![0; pieces.iter().map(|(_, length)| length).sum()];
    let read = read_pieces(process, &pieces, &mut bytes)?;
    if read < bytes.len() {
        return Err(io::Error::other("an argument cannot be read"));
    }
    let mut rest = bytes.as_slice();
    for (address, length) in pieces {
        let (this, further) = rest
            .split_at_checked(length)
            .ok_or_else(|| io::Error::other("an argument is cut short"))?;
        rest = further;
        match this.iter().position(|byte| *byte == 0) {
            Some(end) => found.push(this.get(..end).unwrap_or_default().to_vec()),
            None => found.push(read_string(process, address)?),
        }
    }
    Ok(())
}

fn read_pointers(process: Pid, array: u64) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
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
        if step == 0 || found.len() > MOST_STRINGS {
            return Err(io::Error::other("an argument list without an end"));
        }
        at = at
            .checked_add(step)
            .ok_or_else(|| io::Error::other("an argument list past the end of memory"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let found = read_strings(myself(), address(pointers.as_ptr())).unwrap();
        assert_eq!(found, [b"a".to_vec(), long.into_bytes(), b"".to_vec()]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let pointers = [8u64, 0];
        assert!(read_strings(myself(), address(pointers.as_ptr())).is_err());
        assert!(read_strings(myself(), 16).is_err());
        assert!(read_string(myself(), u64::MAX - 2).is_err());
        assert_eq!(read_strings(myself(), 0).unwrap(), Vec::<Vec<u8>>::new());
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
            found.environment.get("PATH").map(String::as_str),
            Some("/bin")
        );
        for length in 0..bytes.len() {
            assert_eq!(parse_stack(&bytes[..length], top), None, "{length}");
        }
    }

    #[test]
    fn both_of_two_variables_of_one_name_are_seen() {
        let found = chosen(&[
            b"PATH=/bin".to_vec(),
            b"PATH=/evil".to_vec(),
            b"HOME=/".to_vec(),
            b"junk".to_vec(),
        ]);
        assert_eq!(found.get("PATH").map(String::as_str), Some("/bin\n/evil"));
        assert_eq!(found.len(), 1);
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
                        "y".repeat(found.environment.len().min(3))
                    )
                }
                None => "none".to_owned(),
            },
        );
    }
}
