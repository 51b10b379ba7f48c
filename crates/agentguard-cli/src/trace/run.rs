//! Looks through the logs for what is asked about.

use agentguard::audit::{self, Keys, LogInfo, LogState, Report};
use agentguard::core::{Index, SessionId};
use agentguard::text::visible;
use agentguard::{Places as Roots, verify_session};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON};
use crate::log::{ANCHOR, find_session, read_one};
use crate::places::{Places, working_directory};
use crate::verify;
use crate::voice::{Voice, Word};

use super::follow::{Follower, Trace, Wanted};
use super::tell::{lines, steps};
use super::wanted;

/// Tells what led to an entry, a commit or a file, for each session that it came from.
pub(crate) fn run(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places: Roots = Places::of_process()?.into();
    let word = arguments
        .operands()
        .first()
        .map(AsRef::as_ref)
        .unwrap_or_default();
    let (wanted, session) = wanted::parse(word, &working_directory()?)?;
    let logs = match session {
        Some(log) if log == ANCHOR => {
            return Err(
                Failure::new("an entry of the anchor log comes from no session")
                    .with_hint("`agentguard log show anchor` tells what it says"),
            );
        }
        Some(prefix) => find_session(&places, &prefix)?.info.into_iter().collect(),
        None => audit::logs(&places)?,
    };
    let keys = Keys::pinned(&places)?;
    let (mut exit, mut present) = (Exit::Done, Vec::new());
    let (mut is_found, mut is_every) = (false, true);
    for log in logs.into_iter().filter(|log| !log.never_began()) {
        if log.state == LogState::Missing {
            let text = format!("the log of session {} is not there", log.session);
            voice.say(Word::Note, &text);
            continue;
        }
        let mut follower = Follower::new(&wanted);
        is_every &= read_one(&log.directory, voice, |recorded, _| {
            follower.see(recorded);
            Ok(true)
        })?;
        let (found, was_there) = follower.end();
        present.extend(was_there.map(|name| (log.session.clone(), name)));
        if found.is_empty() {
            continue;
        }
        let report = verify_session(&log.directory, &keys)?;
        if !report.is_verified() {
            exit = Exit::No;
        }
        for trace in &found {
            if is_found && !arguments.has(&JSON) {
                voice.line("")?;
            }
            is_found = true;
            tell(arguments, &log, (&wanted, trace), &report, voice)?;
        }
    }
    match (is_found, is_every) {
        (true, _) => Ok(exit),
        (false, true) => Err(not_found(word, &wanted, present)),
        (false, false) => Ok(Exit::Failed),
    }
}

fn tell(
    arguments: &Arguments,
    log: &LogInfo,
    (wanted, trace): (&Wanted, &Trace),
    report: &Report,
    voice: &mut Voice,
) -> Result<(), Failure> {
    let named = match wanted {
        Wanted::Commit(_) => wanted::sessions_named(&working_directory()?, &trace.subject),
        Wanted::Path { .. } | Wanted::Entry(_) => Vec::new(),
    };
    if arguments.has(&JSON) {
        for mut step in steps(trace) {
            // What is not signed yet has no proof yet.
            step.proof = audit::prove(&log.directory, Index(step.recorded.index)).ok();
            voice.json(&step)?;
        }
        for session in &named {
            let is_this = session == log.session.as_str();
            voice.json(&json!({"step": "trailer", "session": session, "is_this": is_this}))?;
        }
        return voice.json(&json!({
            "step": "log", "log": log.directory, "verified": report.is_verified(), "report": report,
        }));
    }
    let told = lines(wanted, trace);
    for line in told.into_iter().chain(trailers(&named, &log.session)) {
        voice.line(&line)?;
    }
    voice.line(&format!("log       {}", verify::verified(report)))?;
    if let Some(finding) = verify::first(report) {
        voice.line(&format!("          {finding}"))?;
    }
    Ok(())
}

/// What the message of a commit says of where it came from: a claim, beside what was recorded.
fn trailers(named: &[String], session: &SessionId) -> Vec<String> {
    let line = |named: &String| match named == session.as_str() {
        true => "trailer   names this session".to_owned(),
        false => format!(
            "trailer   names session {}, and that is not this one: it is what its author says",
            visible(named)
        ),
    };
    named.iter().map(line).collect()
}

fn not_found(
    word: &std::ffi::OsStr,
    wanted: &Wanted,
    present: Vec<(SessionId, String)>,
) -> Failure {
    let word = word.to_string_lossy();
    let failure = match present.first() {
        Some((session, name)) => Failure::new(format!(
            "`{word}` came from no session: it was there when session {session} began, at `{name}`"
        )),
        None => Failure::new(format!(
            "`{word}` came from no session that was recorded here"
        )),
    };
    let named = match (wanted, std::env::current_dir()) {
        (Wanted::Commit(id), Ok(here)) => wanted::sessions_named(&here, id),
        _ => Vec::new(),
    };
    let lines = named.iter().map(|session| {
        let session = visible(session);
        format!("its message names session {session}, which is what its author says")
    });
    failure
        .with_lines(lines.collect())
        .with_exit(Exit::No)
        .with_hint("a commit is known by its id, an entry as `SESSION:N`, a file by its path")
}
