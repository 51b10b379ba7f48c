//! `policy eval`: what becomes of an input, or what a query gives.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use agentguard::audit::Entries;
use agentguard::core::{Judge as _, Session, Verdict};
use agentguard::policy::{Asked, Error, Policies};
use serde::Deserialize;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, ENTRY, JSON, POLICY, QUERY};
use crate::log::{Cut, Place};
use crate::places::Places;
use crate::voice::Voice;

use super::{failure, here};

/// More than any input holds.
const LARGEST: u64 = 4 << 20;

/// What a session's first entry commits to, as far as it matters here.
#[derive(Deserialize)]
struct Began {
    session: Session,
}

/// Says what the policies that hold here make of an input.
pub(crate) fn eval(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let policies = Policies::load(&here(arguments.path(&POLICY))?).map_err(failure)?;
    let (text, session) = input(arguments)?;
    let asked = Asked::parse(&text).map(|asked| Asked {
        session: session.or(asked.session),
        ..asked
    });
    match arguments.text(&QUERY) {
        Some(query) => ask(
            &policies,
            query,
            &whole(&policies, text, asked),
            arguments,
            voice,
        ),
        None => judge(&policies, asked?, arguments, voice),
    }
}

/// What rules see of an action; of anything else, it as it is.
fn whole(policies: &Policies, text: String, asked: Result<Asked, Error>) -> String {
    match asked {
        Ok(Asked {
            action,
            session: Some(session),
        }) => policies.judge(session).question(action).input().to_owned(),
        Ok(Asked { session: None, .. }) | Err(_) => text,
    }
}

fn ask(
    policies: &Policies,
    query: &str,
    input: &str,
    arguments: &Arguments,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let mut exit = Exit::No;
    for answer in policies.query(query, input).map_err(failure)? {
        let tier = serde_json::to_value(answer.tier)?;
        for value in &answer.values {
            exit = Exit::Done;
            let value: serde_json::Value = serde_json::from_str(value)?;
            match arguments.has(&JSON) {
                true => voice.json(&json!({"tier": tier, "value": value}))?,
                false => voice.line(&format!("{}  {value}", tier.as_str().unwrap_or("?")))?,
            }
        }
    }
    Ok(exit)
}

fn judge(
    policies: &Policies,
    asked: Asked,
    arguments: &Arguments,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let Some(session) = asked.session else {
        return Err(Failure::new("the input names no `session`")
            .with_hint("docs/policy.md shows a whole input"));
    };
    let judge = policies.judge(session);
    let verdict = match judge.judge(&judge.question(asked.action)) {
        Ok(verdict) => verdict,
        Err(undecided) => undecided.into(),
    };
    let (word, exit) = match &verdict {
        Verdict::Allow(_) => ("allow", Exit::Done),
        Verdict::Ask(_) => ("ask", Exit::No),
        Verdict::Deny(_) => ("deny", Exit::No),
    };
    if arguments.has(&JSON) {
        voice.json(&verdict)?;
        return Ok(exit);
    }
    let rule = verdict.rule();
    voice.line(&format!("{word}  {}", rule.id))?;
    voice.line(&format!("reason  {}", rule.reason))?;
    if let Some(remedy) = &rule.remedy {
        voice.line(&format!("remedy  {remedy}"))?;
    }
    Ok(exit)
}

/// The input that is meant, and the session where the log knows it.
fn input(arguments: &Arguments) -> Result<(String, Option<Session>), Failure> {
    let file = arguments.operands().first();
    match (arguments.text(&ENTRY), file) {
        (Some(_), Some(_)) => Err(Failure::new("an entry and a file are two inputs")),
        (Some(entry), None) => recorded(entry),
        (None, None) => Ok((read(std::io::stdin().lock(), "stdin")?, None)),
        (None, Some(path)) if path == "-" => Ok((read(std::io::stdin().lock(), "stdin")?, None)),
        (None, Some(path)) => {
            let shown = Path::new(path).display().to_string();
            let file = File::open(path)
                .map_err(|error| Failure::new(format!("cannot read `{shown}`: {error}")))?;
            Ok((read(file, &shown)?, None))
        }
    }
}

fn read(from: impl Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    // One more: a part would be taken for the whole.
    let read = from.take(LARGEST + 1).read_to_string(&mut text);
    let read = read.map_err(|error| Failure::new(format!("cannot read `{name}`: {error}")))?;
    match u64::try_from(read)? > LARGEST {
        true => Err(Failure::new(format!("`{name}` is larger than 4 MiB"))),
        false => Ok(text),
    }
}

/// The input of a decision that was recorded.
fn recorded(word: &str) -> Result<(String, Option<Session>), Failure> {
    let Some(place) = Place::parse(word) else {
        return Err(Failure::new(format!("`{word}` names no entry"))
            .with_hint("an entry is named `SESSION:N`, or `N` in the latest session"));
    };
    let log = place.log(&Places::of_process()?.into())?;
    let mut session = None;
    for recorded in Entries::open(&log.directory)? {
        let recorded = recorded?;
        if recorded.index == 0 {
            let text = recorded.text.as_deref().unwrap_or("");
            session = serde_json::from_str::<Began>(text).ok();
        }
        if recorded.index == place.index {
            if let Some(by) = recorded.erased {
                return Err(Failure::new(format!(
                    "the input of entry {} was erased: entry {by} of the anchor log says why",
                    place.index
                )));
            }
            let Some(text) = recorded.text else {
                return Err(Failure::new(format!(
                    "entry {} keeps no input",
                    place.index
                )));
            };
            if let Some(cut) = Cut::of(&text) {
                return Err(Failure::new(format!(
                    "the input of entry {} was too long to be kept whole: {}",
                    place.index,
                    cut.told()
                )));
            }
            return Ok((text, session.map(|began| began.session)));
        }
    }
    Err(Failure::new(format!("there is no entry {}", place.index)))
}
