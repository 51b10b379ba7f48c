//! `log erase`: taking texts away that should not be kept.

use std::ffi::OsStr;

use agentguard::Places as Roots;
use agentguard::audit::{self, Erased, LogInfo, LogState, Selection};
use agentguard::core::Span;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, BY, JSON, MATCHING, REASON};
use crate::places::Places;
use crate::voice::{Voice, Word};

use super::find_session;
use super::line::places as shown;

/// More is no reason but a report.
const LONGEST_REASON: usize = 500;
const WHOLE: Span = Span {
    first: 0,
    last: u64::MAX,
};

/// Erases texts of one session; without one, of every session that has ended.
pub(crate) fn erase(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let roots = Places::of_process()?.into();
    let matching = arguments.text(&MATCHING);
    let reason = reason(arguments, matching)?;
    let mut is_every = true;
    let (logs, entries) = match arguments.operands().first() {
        Some(word) => meant(&roots, word)?,
        None if matching.is_some() => (ended(&roots, voice, &mut is_every)?, WHOLE),
        None => {
            return Err(Failure::new("it is not said what to erase")
                .with_hint("name a session or entries of one, or give `--matching`"));
        }
    };
    let matches = |text: &str| matching.is_none_or(|wanted| holds(text, wanted));
    let selection = Selection {
        entries,
        matches: &matches,
    };
    let mut is_erased = false;
    for log in logs {
        let by = arguments.text(&BY);
        let erased = match agentguard::erase(&roots, &log.session, &selection, reason, by) {
            Err(error) if arguments.operands().is_empty() => {
                is_every = false;
                // What was erased so far stands before what went wrong.
                voice.flush()?;
                voice.fail(&Failure::from(error));
                continue;
            }
            erased => erased?,
        };
        let Some(erased) = erased else {
            continue;
        };
        is_erased = true;
        tell(&log, &erased, arguments.has(&JSON), voice)?;
    }
    voice.flush()?;
    let text = match is_erased {
        true => "exports, backups and what the file system keeps of them are not reached",
        false => "no text that is kept is meant",
    };
    voice.say(Word::Note, text);
    Ok(match (is_every, is_erased) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Done,
        (true, false) => Exit::No,
    })
}

fn reason<'a>(arguments: &'a Arguments, matching: Option<&str>) -> Result<&'a str, Failure> {
    let reason = arguments.text(&REASON).unwrap_or_default().trim();
    if reason.is_empty() {
        return Err(Failure::new("it is not said why")
            .with_hint("say it with `--reason`: the log keeps that instead"));
    }
    if reason.len() > LONGEST_REASON {
        let text = format!("the reason is longer than {LONGEST_REASON} bytes");
        return Err(Failure::new(text));
    }
    if matching.is_some_and(|wanted| !wanted.is_empty() && reason.contains(wanted)) {
        let text = "the reason contains what is to be erased, and would be kept for good";
        return Err(Failure::new(text));
    }
    if matching == Some("") {
        return Err(Failure::new(
            "`--matching` is empty, and every text contains that",
        ));
    }
    Ok(reason)
}

/// Reads `SESSION`, `SESSION:N` or `SESSION:N-M`.
fn meant(roots: &Roots, word: &OsStr) -> Result<(Vec<LogInfo>, Span), Failure> {
    let word = word.to_string_lossy();
    let (session, entries) = match word.split_once(':') {
        None => (&*word, Some(WHOLE)),
        Some((session, entries)) => (session, span(entries)),
    };
    let entries = entries.ok_or_else(|| {
        Failure::new(format!("`{word}` names no entries"))
            .with_hint("write `SESSION:N` or `SESSION:N-M`")
    })?;
    let log = find_session(roots, session)?;
    Ok((log.info.into_iter().collect(), entries))
}

/// Reads `N` or `N-M`.
fn span(text: &str) -> Option<Span> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten()
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(Span { first, last })
}

/// The sessions that are over. Others are named.
fn ended(roots: &Roots, voice: &mut Voice, is_every: &mut bool) -> Result<Vec<LogInfo>, Failure> {
    let mut all = audit::logs(roots)?;
    all.retain(|log| {
        let why = match log.state {
            LogState::Ended | LogState::Lost if log.size > 0 => return true,
            LogState::Ended | LogState::Lost => return false,
            LogState::Running => "runs",
            LogState::Missing => "is missing",
            LogState::Unreadable => {
                *is_every = false;
                "cannot be read"
            }
        };
        let text = format!("session {} {why}, and was not looked at", log.session);
        voice.say(Word::Note, &text);
        false
    });
    Ok(all)
}

/// Whether a text contains what is wanted, as it stands or in one of its values.
fn holds(text: &str, wanted: &str) -> bool {
    text.contains(wanted)
        || serde_json::from_str(text).is_ok_and(|value: Value| is_within(&value, wanted))
}

fn is_within(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text.contains(wanted),
        Value::Array(values) => values.iter().any(|value| is_within(value, wanted)),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains(wanted) || is_within(value, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn tell(log: &LogInfo, erased: &Erased, json: bool, voice: &mut Voice) -> Result<(), Failure> {
    let Erased {
        entries,
        count,
        recorded,
    } = erased;
    if json {
        return voice.json(&json!({
            "session": log.session, "erased": count, "entries": entries, "recorded": recorded,
        }));
    }
    let texts = match count {
        1 => "1 text".to_owned(),
        count => format!("{count} texts"),
    };
    voice.line(&format!(
        "erased: session {}: {texts}, of {}; recorded in the anchor log, {}",
        log.session,
        shown(entries),
        shown(&[*recorded])
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_one_or_from_one_to_another() {
        for (text, expected) in [
            ("7", Some((7, 7))),
            ("7-9", Some((7, 9))),
            ("9-7", None),
            ("", None),
            ("-", None),
            ("7-", None),
            ("+7", None),
        ] {
            assert_eq!(span(text).map(Into::into), expected, "{text}");
        }
    }

    #[test]
    fn a_text_is_found_as_it_stands_and_in_what_json_escapes() {
        let text = r#"{"action":{"argv":["say","\"a\"\n"]}}"#;
        for (wanted, is_there) in [
            ("say", true),
            ("\"a\"\n", true),
            ("argv", true),
            ("b", false),
        ] {
            assert_eq!(holds(text, wanted), is_there, "{wanted}");
        }
    }
}
