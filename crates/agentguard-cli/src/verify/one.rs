//! What is asked to be verified.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use agentguard::audit::{self, Keys, Receipt};
use agentguard::verify_session;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, COMMIT, JSON, KEY, RECEIPT};
use crate::log::{Readable as _, find};
use crate::places::Places;
use crate::voice::Voice;

use super::{all, answer, commits};

/// More than any receipt holds.
const LARGEST: u64 = 2 << 20;

/// Verifies what is named; without a name everything.
pub(crate) fn run(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let keys = keys(arguments)?;
    let json = arguments.has(&JSON);
    if arguments.has(&COMMIT) || arguments.has(&RECEIPT) {
        return commits::run(arguments, &keys, voice);
    }
    let Some(word) = arguments.operands().first() else {
        return all::run(&Places::of_process()?.into(), &keys, json, voice);
    };
    let path = Path::new(word);
    if path.is_file() {
        return receipt(path, &keys, json, voice);
    }
    let directory = match path.is_dir() {
        true => path.to_owned(),
        false => named(word)?,
    };
    match verify_session(&directory, &keys) {
        Ok(report) => answer::tell(&directory, &report, json, voice),
        Err(error) => failed(error),
    }
}

/// The keys that are believed: those given, else those pinned. What is known of logs holds for both.
fn keys(arguments: &Arguments) -> Result<Keys, Failure> {
    let given: Vec<_> = arguments.texts(&KEY).collect();
    let places = match Places::of_process() {
        Ok(places) => places.into(),
        // Whoever brings the keys needs no home.
        Err(_) if !given.is_empty() => return Ok(Keys::given(given)?),
        Err(failure) => return Err(failure),
    };
    let pinned = Keys::pinned(&places)?;
    match given.is_empty() {
        true => Ok(pinned),
        false => Ok(pinned.with_keys(given)?),
    }
}

fn named(word: &OsStr) -> Result<std::path::PathBuf, Failure> {
    Ok(find(&Places::of_process()?.into(), Some(word))?.directory)
}

/// Verifies what a receipt proves, by the keys alone.
fn receipt(path: &Path, keys: &Keys, json: bool, voice: &mut Voice) -> Result<Exit, Failure> {
    let receipts = match audit::verify_receipts(&read(path)?, keys) {
        Ok(receipts) => receipts,
        Err(error) => return failed(error),
    };
    for receipt in receipts {
        proven(path, receipt, json, voice)?;
    }
    Ok(Exit::Done)
}

/// A receipt's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map_err(|error| Failure::new(format!("cannot read `{}`: {error}", path.display())))?;
    Ok(bytes)
}

fn proven(path: &Path, receipt: Receipt, json: bool, voice: &mut Voice) -> Result<(), Failure> {
    if json {
        voice.json(&json!({"receipt": path, "verified": true, "proven": receipt}))?;
        return Ok(());
    }
    let checkpoint = &receipt.checkpoint;
    voice.line(&format!(
        "verified: entry {} of `{}`, among {} entries with root {}",
        receipt.index, checkpoint.origin, checkpoint.size, checkpoint.root
    ))?;
    voice.line(&format!("  {}", recorded(receipt).line()))
}

/// An entry as it was recorded, without what it commits to.
pub(super) fn recorded(receipt: Receipt) -> audit::Recorded {
    audit::Recorded {
        index: receipt.index,
        entry: receipt.entry,
        text: None,
        erased: None,
        is_changed: false,
    }
}

/// A check that failed is an answer; one that could not be made is none.
pub(super) fn failed<T>(error: audit::Error) -> Result<T, Failure> {
    let exit = match error.is_refutation() {
        true => Exit::No,
        false => Exit::Failed,
    };
    Err(Failure::from(error).with_exit(exit))
}
