//! Gives a fuzz target to libFuzzer, which is guided by what code an input reaches.
//!
//! The targets stay where they are, as tests of their crates: `tests/fuzz/guided/run` builds these with coverage
//! counters and with this crate in their reach, and `tests/fuzz/mutate.rs` then hands each target over.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int};
use std::path::Path;
use std::{env, fs, ptr};

// The library itself is linked by this crate.
extern crate libfuzzer_sys;

unsafe extern "C" {
    /// `FuzzerInterface.h` of libFuzzer.
    fn LLVMFuzzerRunDriver(
        count: *mut c_int,
        arguments: *mut *mut *mut c_char,
        run: extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

/// What a target is: it says in a few words what it made of its input, which nobody needs here.
type Target<'a> = &'a dyn Fn(&[u8]) -> String;

thread_local! {
    /// libFuzzer calls back on the thread that it was called on, and gives the callback nothing to know it by.
    static TARGET: Cell<Option<*const Target<'static>>> = const { Cell::new(None) };
}

/// Runs `target` under libFuzzer if it is the one that was asked for, and ends the process.
///
/// With `AGENTGUARD_FUZZ_KEEP` it copies a directory's inputs into the corpus instead, under the names of
/// the corpus.
pub fn fuzz(name: &str, words: &[&str], corpus: &Path, hash: fn(&[u8]) -> u64, target: Target<'_>) {
    if variable("AGENTGUARD_FUZZ_TARGET") != name {
        return;
    }
    if let Ok(from) = env::var("AGENTGUARD_FUZZ_KEEP") {
        return keep(Path::new(&from), corpus, hash);
    }
    let dictionary = variable("AGENTGUARD_FUZZ_DICTIONARY");
    // An empty one would be an error.
    let lines = words.iter().map(|word| escaped(word));
    let lines: String = ["# words\n".to_owned()].into_iter().chain(lines).collect();
    fs::write(dictionary, lines).unwrap();
    let arguments = variable("AGENTGUARD_FUZZ_ARGUMENTS");
    std::process::exit(drive(arguments.split(' '), target));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("`{name}` is set by tests/fuzz/guided/run"))
}

fn keep(from: &Path, corpus: &Path, hash: fn(&[u8]) -> u64) {
    for entry in fs::read_dir(from).unwrap() {
        let input = fs::read(entry.unwrap().path()).unwrap();
        fs::write(corpus.join(format!("{:016x}", hash(&input))), input).unwrap();
    }
}

/// A line of a dictionary.
fn escaped(word: &str) -> String {
    let bytes = word.bytes().map(|byte| format!("\\x{byte:02x}"));
    format!("\"{}\"\n", bytes.collect::<String>())
}

fn drive<'a>(arguments: impl Iterator<Item = &'a str>, target: Target<'_>) -> c_int {
    let arguments = arguments.map(|argument| CString::new(argument).unwrap().into_raw());
    let mut arguments: Vec<*mut c_char> = arguments.collect();
    let mut count = c_int::try_from(arguments.len()).unwrap();
    arguments.push(ptr::null_mut());
    let mut arguments = arguments.as_mut_ptr();
    TARGET.set(Some(ptr::from_ref(&target).cast()));
    // SAFETY: `arguments` points to `count` strings and a null pointer, which nobody frees: the process ends with
    // this call's caller. `target` outlives the call, and `run` is only called within it.
    unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut arguments, run) }
}

/// A panic here aborts the process, which libFuzzer takes for the crash that it is.
extern "C" fn run(data: *const u8, size: usize) -> c_int {
    let input = match size {
        0 => &[],
        // SAFETY: libFuzzer gives `size` bytes at `data`, and leaves them alone during the call.
        _ => unsafe { std::slice::from_raw_parts(data, size) },
    };
    let target = TARGET.get().expect("`drive` has set it on this thread");
    // SAFETY: `drive` has set it to a target that lives until it returns, and it has not returned.
    let target = unsafe { *target };
    drop(target(input));
    0
}
