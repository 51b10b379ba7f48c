//! `policy check`: mistakes, each in its place.

use agentguard::policy::{self, Mistake};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON};
use crate::voice::{Voice, Word};

use super::{counted, lines, meant};

/// Shows every mistake.
pub(crate) fn check(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let (mut files, mut mistakes) = (0, 0);
    for sources in meant(arguments)? {
        let checked = policy::check(&sources)?;
        files += checked.files;
        mistakes += checked.mistakes.len();
        for mistake in &checked.mistakes {
            tell(mistake, arguments, voice)?;
        }
    }
    voice.flush()?;
    let found = match mistakes {
        0 => "no mistake".to_owned(),
        count => counted(count, "mistake"),
    };
    voice.say(
        Word::Note,
        &format!("{found} in {}", counted(files, "file")),
    );
    Ok(match mistakes {
        0 => Exit::Done,
        _ => Exit::No,
    })
}

fn tell(mistake: &Mistake, arguments: &Arguments, voice: &mut Voice) -> Result<(), Failure> {
    if arguments.has(&JSON) {
        return voice.json(&json!({
            "file": mistake.file, "line": mistake.line, "column": mistake.column,
            "width": mistake.width, "text": mistake.text, "message": mistake.message,
        }));
    }
    lines(mistake).iter().try_for_each(|line| voice.line(line))
}
