//! The evaluator's own side: it reads one tier, and answers until nobody asks.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use regorus::Value;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::{Ask, Kind, LONGEST, LONGEST_LOAD, LONGEST_RULE, MOST_MEMORY, NAME, line};
use crate::engine::Rego;
use crate::error::{Error, Mistake};
use crate::policies;
use crate::sources::{self, Source};
use crate::whole::Whole;

/// Evaluates for the guard where this program was started for that, and returns whether it was. Call it
/// first in `main`, and end where it says so: policies that are read from directories need it.
#[must_use]
pub fn evaluate_if_asked() -> bool {
    let is_asked = std::env::args_os().next().is_some_and(|name| name == NAME);
    if is_asked {
        // The guard knows by the line's end; nobody else is there to be told.
        let _ = serve();
    }
    is_asked
}

fn serve() -> io::Result<()> {
    bound(Resource::As, MOST_MEMORY)?;
    bound(Resource::Core, 0)?;
    policies::keep_patterns();
    let stdin = io::stdin();
    let mut line = UnixStream::from(stdin.as_fd().try_clone_to_owned()?);
    let mut loaded = None;
    loop {
        let asked = line::receive(&mut line)?;
        let ask: Ask = serde_json::from_slice(&asked)?;
        drop(asked);
        let answer = match (ask, &loaded) {
            (Ask::Load(kind, sources), _) => {
                last(LONGEST_LOAD)?;
                let (read, mistakes) = match load(kind, &sources) {
                    Ok(read) => (Some(read), Vec::new()),
                    Err(mistakes) => (None, mistakes),
                };
                loaded = read;
                json(&mistakes)?
            }
            (ask, Some(Loaded::Rego(rego))) => decide(ask, rego)?,
            (ask, Some(Loaded::Whole(whole))) => evaluate(ask, whole)?,
            (_, None) => json(&UNREAD)?,
        };
        line::send(&mut line, &answer)?;
    }
}

/// What was read to be asked.
enum Loaded {
    Rego(Box<Rego>),
    Whole(Box<Whole>),
}

const UNREAD: Result<(), &str> = Err("nothing was read that could answer");

fn decide(ask: Ask, rego: &Rego) -> io::Result<Vec<u8>> {
    last(LONGEST)?;
    match ask {
        Ask::Exec(input) => json(&value(&input).and_then(|input| rego.exec(input))),
        Ask::File(input) => json(&value(&input).and_then(|input| rego.file(input))),
        Ask::Connect(input) => json(&value(&input).and_then(|input| rego.connect(input))),
        Ask::Reach(input) => json(&value(&input).and_then(|input| rego.reach(input))),
        Ask::Api(input) => json(&value(&input).and_then(|input| rego.api(input))),
        Ask::Push(input) => json(&value(&input).and_then(|input| rego.push(input))),
        Ask::Session(input) => json(&value(&input).and_then(|input| rego.session(input))),
        Ask::Sandbox(input) => json(&value(&input).and_then(|input| rego.sandbox(input))),
        Ask::Load(..) | Ask::Rule(..) | Ask::Query(..) => json(&UNREAD),
    }
}

fn evaluate(ask: Ask, whole: &Whole) -> io::Result<Vec<u8>> {
    last(LONGEST_RULE)?;
    match ask {
        Ask::Rule(path, input) => {
            let input = input.map(|input| value(&input)).transpose();
            json(&input.map(|input| whole.rule(&path, input)))
        }
        Ask::Query(query, input) => {
            json(&value(&input).and_then(|input| whole.query(&query, input)))
        }
        Ask::Load(..)
        | Ask::Exec(_)
        | Ask::File(_)
        | Ask::Connect(_)
        | Ask::Reach(_)
        | Ask::Api(_)
        | Ask::Push(_)
        | Ask::Session(_)
        | Ask::Sandbox(_) => json(&UNREAD),
    }
}

fn load(kind: Kind, read: &[Source]) -> Result<Loaded, Vec<Mistake>> {
    let (source, below) = read.split_first().ok_or_else(Vec::new)?;
    let library: Vec<_> = below
        .iter()
        .flat_map(|source| source.files.iter().map(move |file| (source, file)))
        .collect();
    Ok(match kind {
        Kind::Deciding | Kind::Kept => {
            let rego = Rego::load(&sources::over(source, &library), kind == Kind::Deciding);
            let rego = rego.map_err(|error| mistakes(source, &error))?;
            Loaded::Rego(Box::new(rego))
        }
        Kind::Whole => Loaded::Whole(Box::new(Whole::load(source, &library)?)),
    })
}

fn mistakes(source: &Source, error: &Error) -> Vec<Mistake> {
    let mistakes: Vec<_> = error.mistakes().into_iter().cloned().collect();
    if mistakes.is_empty() {
        let message = error.to_string();
        return vec![Mistake::at(&source.directory, "", (1, 1, 1), message)];
    }
    mistakes
}

fn value(input: &str) -> Result<Value, String> {
    Value::from_json_str(input).map_err(|error| format!("the input cannot be read: {error}"))
}

fn json<T: Serialize>(answer: &T) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(answer)?)
}

fn bound(resource: Resource, most: u64) -> io::Result<()> {
    let most = Some(
        getrlimit(resource)
            .maximum
            .map_or(most, |hard| hard.min(most)),
    );
    setrlimit(
        resource,
        Rlimit {
            current: most,
            maximum: most,
        },
    )?;
    Ok(())
}

/// Ends this program by itself if it works for much longer: the guard that would end it may be gone.
fn last(longest: Duration) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let used = u64::try_from(used).unwrap_or(0);
    let most = used + longest.as_secs() + 2;
    let hard = getrlimit(Resource::Cpu).maximum;
    setrlimit(
        Resource::Cpu,
        Rlimit {
            current: Some(hard.map_or(most, |hard| hard.min(most))),
            maximum: hard,
        },
    )?;
    Ok(())
}
