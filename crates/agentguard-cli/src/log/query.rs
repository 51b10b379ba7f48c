//! `log query`: the entries of one log or of all that are asked for.

use agentguard::SystemClock;
use agentguard::audit::{self, LogState};
use agentguard::core::Clock as _;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON, KIND, RULE, RULING, SINCE};
use crate::places::Places;
use crate::voice::{Voice, Word};

use super::filter::{Filter, Since, kind};
use super::{Readable as _, find, log_of, read_one};

/// Shows what is asked for, of one log or of every session's.
pub(crate) fn query(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places = Places::of_process()?.into();
    let filter = filter(arguments)?;
    let (mut directories, mut is_every) = (Vec::new(), true);
    let mut named = None;
    match arguments.operands().first() {
        Some(word) => {
            let log = find(&places, Some(word))?;
            directories.push(log.directory.clone());
            named = Some(log);
        }
        None => {
            let logs = audit::logs(&places)?.into_iter();
            for log in logs.filter(|log| !log.never_began()) {
                match log.state {
                    LogState::Missing => {
                        let text = format!("the log of session {} is not there", log.session);
                        voice.say(Word::Note, &text);
                    }
                    LogState::Running | LogState::Ended | LogState::Lost | LogState::Unreadable => {
                        directories.push(log.directory);
                    }
                }
            }
        }
    }
    let mut is_found = false;
    for directory in directories {
        is_every &= read_one(&directory, voice, |recorded, voice| {
            if filter.takes(&recorded.entry) {
                is_found = true;
                match arguments.has(&JSON) {
                    true => voice.json(&recorded)?,
                    false => {
                        let log = log_of(&recorded.entry);
                        voice.line(&format!("{log}:{}", recorded.line()))?;
                    }
                }
            }
            Ok(!voice.is_closed())
        })?;
        if voice.is_closed() {
            return Ok(Exit::Done);
        }
    }
    if let Some(log) = named {
        log.say_unverified(voice)?;
    }
    Ok(match (is_every, is_found) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Done,
        (true, false) => Exit::No,
    })
}

fn filter(arguments: &Arguments) -> Result<Filter, Failure> {
    let text = |flag| arguments.text(flag).map(str::to_owned);
    let now = SystemClock.now().unix_micros;
    let since = arguments.text(&SINCE);
    Ok(Filter {
        kind: arguments.text(&KIND).map(kind).transpose()?,
        rule: text(&RULE),
        ruling: text(&RULING),
        since: since.map(|since| Since::parse(since, now)).transpose()?,
    })
}
