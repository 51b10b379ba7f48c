//! How a session ended, in a line and an exit code.

use agentguard::Finished;
use agentguard::core::OutcomeOf;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::voice::{Voice, Word};

const NOT_FOUND: [i32; 2] = [2, 20]; // ENOENT, ENOTDIR

/// Says what became of the session, on stderr, and how the command ends.
pub(crate) fn tell(
    finished: &Finished,
    command: &str,
    json: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let (exit, how) = exit_of(finished);
    // Where a rule refused it, that was said.
    if let Some(errno) = finished
        .not_executed
        .filter(|_| finished.tally.refused == 0)
    {
        let error = std::io::Error::from_raw_os_error(errno);
        voice.say(Word::Error, &format!("`{command}`: {error}"));
    }
    if finished.is_out_of_time {
        voice.say(Word::Note, "the session's time was over");
    }
    if json {
        voice.say_json(&json!({
            "session": finished.session, "outcome": finished.outcome, "errno": finished.not_executed,
            "planted": finished.planted, "limits": finished.reached, "level": finished.level,
            "missing": finished.missing,
            "allowed": finished.tally.allowed, "refused": finished.tally.refused, "killed": finished.tally.killed,
        }))?;
        return Ok(exit);
    }
    for rule in finished.reached.iter().chain(&finished.planted) {
        voice.say(Word::Note, &format!("{} (rule `{}`)", rule.reason, rule.id));
        if let Some(remedy) = &rule.remedy {
            voice.say(Word::Hint, remedy);
        }
    }
    let tally = &finished.tally;
    let killed = match tally.killed {
        0 => String::new(),
        killed => format!(", {killed} killed"),
    };
    let short: String = finished.session.as_str().chars().take(8).collect();
    let weaker = weaker(finished);
    let text = format!(
        "session {short}{weaker} {how}: {} allowed, {} refused{killed}; `agentguard log show {short}` tells the story",
        tally.allowed, tally.refused
    );
    voice.say(Word::Note, &text);
    Ok(exit)
}

/// What of it was weaker than it could be; nothing where nothing was.
fn weaker(finished: &Finished) -> String {
    let level = finished.level.as_str();
    match finished.missing.len() {
        0 => String::new(),
        1 => format!(" (level `{level}`, 1 promise not held)"),
        count => format!(" (level `{level}`, {count} promises not held)"),
    }
}

fn exit_of(finished: &Finished) -> (Exit, String) {
    if let Some(errno) = finished.not_executed {
        return match NOT_FOUND.contains(&errno) {
            true => (Exit::Missing, "found no such command".to_owned()),
            false => (Exit::Refused, "did not run its command".to_owned()),
        };
    }
    match &finished.outcome {
        OutcomeOf::Exited { code } => {
            let code = u8::try_from(*code).unwrap_or(1);
            (Exit::Child(code), format!("ended with {code}"))
        }
        OutcomeOf::Signaled { signal } => {
            let code = u8::try_from(*signal).map_or(255, |signal| signal.saturating_add(128));
            (Exit::Child(code), format!("was ended by signal {signal}"))
        }
        OutcomeOf::Started { .. }
        | OutcomeOf::Failed { .. }
        | OutcomeOf::Killed { .. }
        | OutcomeOf::Done
        | OutcomeOf::Answered { .. }
        | OutcomeOf::Unanswered { .. }
        | OutcomeOf::Untold => (Exit::Guard, "ended in no way that we know".to_owned()),
    }
}
