//! `log prove`, `log export`, `log key`: what is handed to others.

use std::path::Path;

use agentguard::Places as Roots;
use agentguard::audit::{self, Entries, Keys};
use agentguard::core::Index;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON, TEXTS};
use crate::places::Places;
use crate::voice::{Voice, Word};

use super::{Log, Place, find};

/// Writes an entry's receipt.
pub(crate) fn prove(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places = Places::of_process()?.into();
    let word = arguments.operand()?.unwrap_or_default();
    let place = Place::parse(word).ok_or_else(|| {
        Failure::new(format!("`{word}` names no entry"))
            .with_hint("write `SESSION:N`, or `N` for an entry of the latest session")
    })?;
    let log = place.log(&places)?;
    match audit::prove(&log.directory, Index(place.index)) {
        Ok(receipt) => voice.raw(receipt.as_bytes())?,
        Err(audit::Error::NotSigned { .. }) if !is_there(&log, place.index)? => {
            return Err(Failure::new(format!("there is no entry {}", place.index)));
        }
        Err(error @ audit::Error::NotSigned { .. }) => {
            let hint = "a session is signed every ten seconds, and at its end";
            return Err(Failure::from(error).with_hint(hint));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

/// Whether a log holds this entry, signed or not.
fn is_there(log: &Log, index: u64) -> Result<bool, Failure> {
    for recorded in Entries::open(&log.directory)? {
        if recorded?.index == index {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies what others need to verify a log.
pub(crate) fn export(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places = Places::of_process()?.into();
    let mut operands = arguments.operands().iter();
    let to = operands.next().map(Path::new).unwrap_or(Path::new(""));
    let log = find(&places, operands.next().map(AsRef::as_ref))?;
    let checkpoint = audit::export(&log.directory, to, arguments.has(&TEXTS))?;
    voice.say(
        Word::Note,
        &format!(
            "{} entries of `{}`; `agentguard verify {} --key KEY` checks them anywhere, with what \
             `agentguard log key` prints",
            checkpoint.size,
            checkpoint.origin,
            to.display()
        ),
    );
    Ok(Exit::Done)
}

/// Prints the keys to verify by: of all logs, or in the name of one.
pub(crate) fn key(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places: Roots = Places::of_process()?.into();
    let keys = Keys::pinned(&places)?;
    let origin = match arguments.operands().first() {
        None => None,
        Some(word) => {
            let log = find(&places, Some(word))?;
            Some(Entries::open(&log.directory)?.origin().to_owned())
        }
    };
    let mut is_found = false;
    for key in keys.all() {
        let named = match &origin {
            None => Some(key.clone()),
            Some(origin) => key.for_log(origin),
        };
        let Some(named) = named else { continue };
        is_found = true;
        match arguments.has(&JSON) {
            true => voice.json(&json!({"name": named.name(), "key": named.to_string()}))?,
            false => voice.line(&named.to_string())?,
        }
    }
    if !is_found {
        return Err(Failure::new("no key is known yet")
            .with_hint("the first `agentguard exec` makes one and pins it"));
    }
    Ok(Exit::Done)
}
