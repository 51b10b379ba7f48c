//! `log show`, `log tail`: one log from its beginning, or from its end on.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use agentguard::Places as Roots;
use agentguard::audit::{Entries, LogState, Recorded};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON};
use crate::places::Places;
use crate::voice::{Voice, Word};

use super::which::say_unreadable;
use super::{Log, find, story};

/// How many entries stand before what comes.
const TAIL: usize = 10;
/// How often is looked whether something came.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells a session's story; with `--json` every entry.
pub(crate) fn show(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places = Places::of_process()?.into();
    let log = meant(&places, arguments, voice)?;
    for recorded in Entries::open(&log.directory)? {
        tell(&recorded?, arguments, voice)?;
        if voice.is_closed() {
            return Ok(Exit::Done);
        }
    }
    voice.flush()?;
    say_where_it_stands(&log, voice);
    log.say_unverified(voice)?;
    Ok(Exit::Done)
}

/// Tells the last entries, and those that come, until the log's guard is gone.
pub(crate) fn tail(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places = Places::of_process()?.into();
    let log = meant(&places, arguments, voice)?;
    let mut entries = Entries::open(&log.directory)?;
    let mut last = VecDeque::new();
    for recorded in entries.by_ref() {
        // What is broken stands behind what could be read.
        if last.len() == TAIL + usize::from(recorded.is_err()) {
            last.pop_front();
        }
        last.push_back(recorded);
    }
    for recorded in last {
        tell(&recorded?, arguments, voice)?;
    }
    loop {
        // Asked before reading: what was written until then is read below.
        let is_running = log.is_running()?;
        for recorded in entries.by_ref() {
            tell(&recorded?, arguments, voice)?;
        }
        voice.flush()?;
        if !is_running || voice.is_closed() {
            break;
        }
        thread::sleep(PAUSE);
    }
    log.say_unverified(voice)?;
    Ok(Exit::Done)
}

fn meant(places: &Roots, arguments: &Arguments, voice: &mut Voice) -> Result<Log, Failure> {
    let word = arguments.operands().first().map(AsRef::as_ref);
    let log = find(places, word)?;
    if word.is_none() {
        say_unreadable(places, voice)?;
    }
    Ok(log)
}

fn tell(recorded: &Recorded, arguments: &Arguments, voice: &mut Voice) -> Result<(), Failure> {
    if arguments.has(&JSON) {
        return voice.json(recorded);
    }
    story::lines(recorded)
        .iter()
        .try_for_each(|line| voice.line(line))
}

fn say_where_it_stands(log: &Log, voice: &mut Voice) {
    match log.info.as_ref().map(|info| info.state) {
        Some(LogState::Running) => voice.say(
            Word::Note,
            "the session runs; `agentguard log tail` shows what comes",
        ),
        Some(LogState::Lost) => voice.say(
            Word::Note,
            "the session's guard died before it could end the log",
        ),
        Some(LogState::Ended | LogState::Missing | LogState::Unreadable) | None => {}
    }
}
