//! How a session ended, in a line and an exit code.

use std::path::Path;

use agentguard::core::{Enforcement, OutcomeOf};
use agentguard::{Finished, Learned};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON, LEARN};
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
        voice.note(json, "the session's time was over")?;
    }
    if let OutcomeOf::Killed { rule } = &finished.outcome {
        voice.note(json, &format!("{} (rule `{}`)", rule.reason, rule.id))?;
    }
    if json {
        voice.say_json(&json!({
            "session": finished.session, "outcome": finished.outcome, "errno": finished.not_executed,
            "planted": finished.planted, "limits": finished.reached, "level": finished.level,
            "missing": finished.missing,
            "allowed": finished.tally.allowed, "refused": finished.tally.refused, "killed": finished.tally.killed,
            "unenforced": finished.tally.unenforced, "enforcement": finished.enforcement,
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
    let (weaker, unenforced) = (weaker(finished), unenforced(finished));
    let text = format!(
        "session {short}{weaker} {how}: {} allowed, {} refused{killed}{unenforced}; `agentguard log show {short}` tells the story",
        tally.allowed, tally.refused
    );
    voice.say(Word::Note, &text);
    Ok(exit)
}

/// Says where a proposal lies, and what to do with it.
pub(crate) fn tell_learned(
    learned: Learned,
    arguments: &Arguments,
    voice: &mut Voice,
) -> Result<(), Failure> {
    let directory = arguments.path(&LEARN).unwrap_or(Path::new(""));
    let Learned { uses, refused } = learned;
    if arguments.has(&JSON) {
        voice.say_json(&json!({"learned": directory, "uses": uses, "not_proposed": refused}))?;
        return Ok(());
    }
    let directory = directory.display();
    let text = format!(
        "proposed in `{directory}`: {uses} ways to start programs; refused and not proposed: {refused}"
    );
    voice.say(Word::Note, &text);
    let hint = format!(
        "read it and run `agentguard policy test {directory}`; then put its files beside those of your policy, \
         or use `--policy {directory}` where you have none"
    );
    voice.say(Word::Hint, &hint);
    Ok(())
}

/// What a shadow let be; nothing where the session was none.
fn unenforced(finished: &Finished) -> String {
    match finished.enforcement {
        Enforcement::Policy => String::new(),
        Enforcement::Shadow => format!(", {} would be refused", finished.tally.unenforced),
    }
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
        // What it was ended with.
        OutcomeOf::Killed { .. } => (Exit::Child(128 + 9), "was ended by a rule".to_owned()),
        OutcomeOf::Started { .. }
        | OutcomeOf::Failed { .. }
        | OutcomeOf::Done
        | OutcomeOf::Answered { .. }
        | OutcomeOf::Passed { .. }
        | OutcomeOf::Unanswered { .. }
        | OutcomeOf::Pushed { .. }
        | OutcomeOf::Untold => (Exit::Guard, "ended in no way that we know".to_owned()),
    }
}
