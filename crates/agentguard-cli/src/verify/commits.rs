//! `verify --commit`: whether commits came by pushes that were allowed, as receipts prove.

use std::path::Path;

use agentguard::Provenance;
use agentguard::audit::Keys;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, COMMIT, JSON, RECEIPT};
use crate::log::{Readable as _, authority};
use crate::trace;
use crate::voice::Voice;

use super::one::{failed, read, recorded};

/// The length of an id, by SHA-1 and by SHA-256.
const WHOLE: [usize; 2] = [40, 64];

/// Verifies each commit by some receipt. A receipt that does not verify is an answer of its own, whatever others say.
pub(super) fn run(arguments: &Arguments, keys: &Keys, voice: &mut Voice) -> Result<Exit, Failure> {
    if !(arguments.has(&COMMIT) && arguments.has(&RECEIPT) && arguments.operands().is_empty()) {
        let failure = Failure::new("commits are verified by receipts, and by nothing else");
        return Err(failure.with_hint("give both `--commit COMMIT` and `--receipt FILE`"));
    }
    let commits = arguments.texts(&COMMIT).map(whole);
    let commits: Vec<String> = commits.collect::<Result<_, _>>()?;
    let mut receipts = Vec::new();
    for file in arguments.texts(&RECEIPT) {
        match Provenance::verify(&read(Path::new(file))?, keys) {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => {
                return failed(error).map_err(|mut failure: Failure| {
                    failure.message = format!("receipt `{file}`: {}", failure.message);
                    failure
                });
            }
        }
    }
    let is_json = arguments.has(&JSON);
    let mut exit = Exit::Done;
    let mut told: Option<&Provenance> = None;
    for commit in &commits {
        let by = receipts.iter().find(|receipt| receipt.covers(commit));
        if by.is_none() {
            exit = Exit::No;
        }
        if is_json {
            let (push, start) = by.map(|by| (&by.push, &by.start)).unzip();
            voice.json(&json!({
                "commit": commit, "verified": by.is_some(), "push": push, "start": start,
            }))?;
            continue;
        }
        match by {
            None => voice.line(&format!(
                "not verified: commit {commit}: no receipt names it"
            ))?,
            Some(by) => {
                let (index, origin) = (by.push.index, &by.push.checkpoint.origin);
                voice.line(&format!(
                    "verified: commit {commit}: entry {index} of `{origin}`"
                ))?;
                if told != Some(by) {
                    tell(by, voice)?;
                }
                told = Some(by);
            }
        }
    }
    Ok(exit)
}

/// Who asked for the session, under which rules, and by which the push was allowed.
fn tell(provenance: &Provenance, voice: &mut Voice) -> Result<(), Failure> {
    voice.line(&format!("  {}", recorded(provenance.push.clone()).line()))?;
    for line in authority(&recorded(provenance.start.clone())) {
        voice.line(&format!("  {line}"))?;
    }
    Ok(())
}

/// The whole id that a word means: what is accepted is this commit and no other.
fn whole(word: &str) -> Result<String, Failure> {
    let id = trace::commit(word)?;
    match WHOLE.contains(&id.len()) {
        true => Ok(id),
        false => {
            let failure = Failure::new(format!("`{word}` is not the whole id of a commit"));
            Err(failure.with_hint("`git rev-parse` writes it"))
        }
    }
}
