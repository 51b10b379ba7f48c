//! `log query`: the entries of one log or of all that are asked for.

use agentguard::SystemClock;
use agentguard::audit::{self, Entries, LogState};
use agentguard::core::Clock as _;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON, KIND, RULE, RULING, SINCE};
use crate::places::Places;
use crate::voice::{Voice, Word};

use super::filter::{Filter, Since, kind};
use super::{Readable as _, find};

/// Shows what is asked for, of one log or of every session's.
pub(crate) fn query(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places = Places::of_process()?.into();
    let filter = filter(arguments)?;
    let mut directories = Vec::new();
    match arguments.operands().first() {
        Some(word) => directories.push(find(&places, Some(word))?.directory),
        None => {
            let logs = audit::logs(&places)?.into_iter();
            for log in logs.filter(|log| !log.never_began()) {
                match log.state {
                    LogState::Missing => {
                        let text = format!("the log of session {} is not there", log.session);
                        voice.say(Word::Note, &text);
                    }
                    LogState::Running | LogState::Ended | LogState::Lost => {
                        directories.push(log.directory);
                    }
                }
            }
        }
    }
    let mut is_found = false;
    for directory in directories {
        for recorded in Entries::open(&directory)? {
            let recorded = recorded?;
            if !filter.takes(&recorded.entry) {
                continue;
            }
            is_found = true;
            match arguments.has(&JSON) {
                true => voice.json(&recorded)?,
                false => {
                    let session = recorded.entry.session.as_str();
                    let short = session.get(..8).unwrap_or(session);
                    voice.line(&format!("{short}:{}", recorded.line()))?;
                }
            }
            if voice.is_closed() {
                return Ok(Exit::Done);
            }
        }
    }
    Ok(if is_found { Exit::Done } else { Exit::No })
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
