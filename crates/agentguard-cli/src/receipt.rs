//! `receipt`: what proves to others by whose session a commit was pushed.

use std::fs;
use std::path::{Path, PathBuf};

use agentguard::audit::{self, LogState};
use agentguard::core::{Event, Index, Ruling};
use agentguard::{Places as Roots, Provenance};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, OUTPUT};
use crate::log::read_one;
use crate::places::Places;
use crate::trace;
use crate::voice::{Voice, Word};

/// A push that was allowed, and a commit that it brought.
struct Found {
    commit: String,
    directory: PathBuf,
    index: Index,
}

/// Writes the receipt of a commit, of the last push that brought it.
pub(crate) fn run(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places: Roots = Places::of_process()?.into();
    let word = arguments.operand()?.unwrap_or_default();
    let commit = trace::commit(word)?;
    let (mut found, mut unnamed, mut is_every) = (Vec::new(), 0, true);
    for log in audit::logs(&places)? {
        if log.state == LogState::Missing || log.never_began() {
            continue;
        }
        match look((&log.directory, voice), &commit, &mut found)? {
            Some(more) => unnamed += more,
            None => is_every = false,
        }
    }
    let Some(last) = found.last() else {
        let exit = if is_every { Exit::No } else { Exit::Failed };
        return Err(not_found(word, unnamed).with_exit(exit));
    };
    if found.iter().any(|other| other.commit != last.commit) {
        let failure = Failure::new(format!("several commits begin with `{word}`"));
        return Err(failure.with_hint("write more of its id"));
    }
    let receipt = match Provenance::prove(&last.directory, last.index) {
        Err(error @ audit::Error::NotSigned { .. }) => {
            let hint = "a session is signed every ten seconds, and at its end";
            return Err(Failure::from(error).with_hint(hint));
        }
        receipt => receipt?,
    };
    let Some(file) = arguments.text(&OUTPUT) else {
        voice.raw(receipt.as_bytes())?;
        return Ok(Exit::Done);
    };
    fs::write(file, receipt)
        .map_err(|error| Failure::new(format!("cannot write `{file}`: {error}")))?;
    let commit = &last.commit;
    voice.say(
        Word::Note,
        &format!(
            "`agentguard verify --commit {commit} --receipt {file} --key KEY` checks it anywhere, with what \
             `agentguard log key` prints"
        ),
    );
    Ok(Exit::Done)
}

/// Finds the pushes of a log, and counts the commits of others that their entries do not name. Of a log that cannot be
/// read it says so.
fn look(
    (directory, voice): (&Path, &mut Voice),
    prefix: &str,
    found: &mut Vec<Found>,
) -> Result<Option<u64>, Failure> {
    let mut unnamed = 0;
    let is_read = read_one(directory, voice, |recorded, _| {
        let Event::Decision {
            brings: Some(brings),
            ruling: Ruling::Allow { .. },
            ..
        } = recorded.entry.event
        else {
            return Ok(true);
        };
        unnamed += brings.more;
        let commits = brings.commits.into_iter();
        found.extend(
            commits
                .filter(|id| id.starts_with(prefix))
                .map(|commit| Found {
                    commit,
                    directory: directory.to_owned(),
                    index: Index(recorded.index),
                }),
        );
        Ok(true)
    })?;
    Ok(is_read.then_some(unnamed))
}

fn not_found(word: &str, unnamed: u64) -> Failure {
    let failure = Failure::new(format!("no push that was allowed brought `{word}`"));
    let failure = match unnamed {
        0 => failure,
        _ => failure.with_lines(vec![format!(
            "some brought more commits than their entries name: {unnamed} in all, which have no receipts"
        )]),
    };
    failure.with_hint(format!(
        "`agentguard trace {word}` tells what is known of it"
    ))
}
