//! `policy`: for whoever writes rules.

mod check;
mod eval;
mod test;

use std::path::Path;

use agentguard::Guard;
use agentguard::policy::{Error, Mistake, Sources};

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::places::{Places, working_directory};

pub(crate) use check::check;
pub(crate) use eval::eval;
pub(crate) use test::test;

/// What is wrong with policies, each mistake in its place.
pub(crate) fn failure(error: Error) -> Failure {
    let mistakes = error.mistakes();
    if mistakes.is_empty() {
        let hint = error.remedy().map(str::to_owned);
        let failure = Failure::from(error);
        return match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        };
    }
    let lines = mistakes.iter().flat_map(|mistake| lines(mistake)).collect();
    Failure::new(format!(
        "the policy has {}",
        counted(mistakes.len(), "mistake")
    ))
    .with_lines(lines)
}

/// A mistake as lines: its place, the line, and the span underlined.
fn lines(mistake: &Mistake) -> Vec<String> {
    mistake.render().lines().map(str::to_owned).collect()
}

/// The policies that are meant: each directory by itself, else those that hold here.
fn meant(arguments: &Arguments) -> Result<Vec<Sources>, Failure> {
    let named = arguments.operands().iter();
    let named: Vec<_> = named.map(|word| Sources::alone(Path::new(word))).collect();
    match named.is_empty() {
        true => Ok(vec![here(None)?]),
        false => Ok(named),
    }
}

/// The policies that hold in the current directory.
fn here(user: Option<&Path>) -> Result<Sources, Failure> {
    let guard = Guard::new(Places::of_process()?.into());
    let sources = guard.sources(user, &working_directory()?);
    sources.map_err(|error| {
        if let agentguard::Error::Policy(wrong) = error {
            return failure(wrong);
        }
        error.into()
    })
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
