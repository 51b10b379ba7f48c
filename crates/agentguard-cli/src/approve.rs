//! `approve`: what waits for a human, and the answer.

use agentguard::SystemClock;
use agentguard::approvals::{self, Given, Question, Unanswered};
use agentguard::core::Clock as _;
use agentguard::text::visible;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, DENY, JSON, REASON, SIGN};
use crate::places::Places;
use crate::shown;
use crate::voice::{Voice, Word};

/// Lists what waits; with an id answers it.
pub(crate) fn run(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    if std::env::var_os("AGENTGUARD_SESSION").is_some() {
        return Err(Failure::new(
            "this is a session of agentguard, and nothing is approved from inside",
        )
        .with_hint("approve it from a terminal outside the session"));
    }
    let places = Places::of_process()?.into();
    match arguments.operand()? {
        Some(id) => answer(&places, id, arguments, voice),
        None if arguments.has(&DENY)
            || arguments.text(&REASON).is_some()
            || arguments.path(&SIGN).is_some() =>
        {
            Err(Failure::new("it is not said which question is meant")
                .with_hint("`agentguard approve` lists what waits"))
        }
        None => list(&places, arguments, voice),
    }
}

fn list(
    places: &agentguard::Places,
    arguments: &Arguments,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let waiting = approvals::waiting(places);
    for question in &waiting {
        if arguments.has(&JSON) {
            voice.json(&object(question))?;
            continue;
        }
        for line in told(question) {
            voice.line(&line)?;
        }
    }
    if waiting.is_empty() {
        voice.say(Word::Note, "nothing waits for a human");
    }
    Ok(Exit::Done)
}

fn answer(
    places: &agentguard::Places,
    id: &str,
    arguments: &Arguments,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let reason = arguments.text(&REASON).map(str::to_owned);
    let (given, said) = match arguments.has(&DENY) {
        true => (Given::No(reason), "denied"),
        false => (Given::Yes(reason), "approved"),
    };
    let question = match approvals::answer(places, id, given, arguments.path(&SIGN)) {
        Ok(question) => question,
        Err(error @ Unanswered::Unsigned { .. }) => {
            return Err(Failure::from(error).with_hint("sign it: `--sign FILE` names your SSH key"));
        }
        Err(error @ Unanswered::Signature { .. }) => {
            let hint = "whose keys count stands in `allowed_signers` in the configuration";
            return Err(Failure::from(error).with_hint(hint));
        }
        Err(error @ (Unanswered::Unknown { .. } | Unanswered::Late { .. })) => {
            let failure = Failure::from(error).with_exit(Exit::No);
            return Err(failure.with_hint("`agentguard approve` lists what waits"));
        }
        Err(error) => return Err(error.into()),
    };
    if arguments.has(&JSON) {
        let mut object = object(&question);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("answer".to_owned(), json!(said));
        }
        voice.json(&object)?;
        return Ok(Exit::Done);
    }
    let asked = &question.asked;
    let session: String = asked.session.as_str().chars().take(8).collect();
    let text = format!(
        "{said}: {} (session {session}, entry {})",
        asked.action, asked.entry
    );
    voice.line(&text)?;
    for line in details(&question) {
        voice.line(&line)?;
    }
    Ok(Exit::Done)
}

/// A question as programs read it.
pub(crate) fn object(question: &Question) -> Value {
    let asked = &question.asked;
    json!({
        "approval": asked.id, "session": asked.session, "agent": asked.agent, "human": asked.human,
        "action": asked.action, "rule": asked.rule, "entry": asked.entry,
        "input": serde_json::from_str::<Value>(&asked.input).unwrap_or_default(),
        "waits_seconds": left(asked.waits_until), "valid_seconds": left(asked.until),
        "digest": question.digest, "must_be_signed": asked.must_be_signed,
    })
}

/// The lines that say it while a session runs, each under our name.
pub(crate) fn lines(question: &Question) -> String {
    let asked = &question.asked;
    format!(
        "agentguard: waiting: {}: {} (rule `{}`)\n\
         agentguard: hint: `agentguard approve {}` says yes, with `--deny` no, from another terminal within {}\n\
         agentguard: note: entry {}\n",
        visible(&asked.action),
        visible(&asked.rule.reason),
        asked.rule.id,
        asked.id,
        time(left(asked.waits_until)),
        asked.entry
    )
}

fn told(question: &Question) -> Vec<String> {
    let asked = &question.asked;
    let session: String = asked.session.as_str().chars().take(8).collect();
    let waits = match left(asked.waits_until) {
        0 => "nobody waits any more; approved, it holds if the very same is sent again".to_owned(),
        seconds => format!("waits for {} more", time(seconds)),
    };
    let mut lines = vec![
        format!("{}  {}", asked.id, asked.action),
        format!(
            "    why      {} (rule `{}`)",
            asked.rule.reason, asked.rule.id
        ),
        format!(
            "    who      agent {} for {}, session {session}",
            asked.agent, asked.human
        ),
        format!(
            "    time     {waits}; can be answered for {}",
            time(left(asked.until))
        ),
    ];
    if asked.must_be_signed {
        lines.push(
            "    signed   a yes counts with `--sign FILE` only, by an SSH key that is known"
                .to_owned(),
        );
    }
    lines.extend(details(question));
    lines
}

/// What it would do, as far as a human reads it. Programs are shown all of it.
fn details(question: &Question) -> Vec<String> {
    let input = serde_json::from_str::<Value>(&question.asked.input).unwrap_or_default();
    let parts = shown::parts(input.get("action").unwrap_or(&Value::Null));
    let line = |(name, text): (&str, String)| format!("    {name:8} {text}");
    parts.into_iter().map(line).collect()
}

fn time(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// Seconds until then, rounded up.
fn left(until: u64) -> u64 {
    until
        .saturating_sub(SystemClock.now().unix_micros)
        .div_ceil(1_000_000)
}
