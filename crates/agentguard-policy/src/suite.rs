//! The tests that stand beside policies: rules called `test_…` in packages called `…_test`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;
use regorus::Value;

use crate::apart::{Apart, Kind};
use crate::ast;
use crate::check::check;
use crate::error::{Error, engine_message};
use crate::module::{self, Parsed, Purpose};
use crate::policies;
use crate::sources::{self, Source, Sources};
use crate::whole;

/// The tests of some policies, ready to be run.
pub struct Suite {
    tests: Vec<Ready>,
}

/// A test with the tier that it is of.
struct Ready {
    tier: Arc<Apart>,
    test: Test,
}

/// A test, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Test {
    /// The file, as the tier's directory and the name in it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// Its package, with `data`.
    pub package: String,
    /// Its name.
    pub name: String,
}

/// How a test went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is true.
    Pass,
    /// It is false, or nothing.
    Fail,
    /// It could not be evaluated.
    Error(String),
    /// It is called `todo_test_…`, and was not run.
    Skip,
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Which test.
    pub test: Test,
    /// How it went.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// What it printed.
    pub printed: Vec<String>,
}

impl Test {
    /// Its full name: `data.agentguard.exec.git_test.test_x`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.package, self.name)
    }
}

impl Suite {
    /// Reads the policies of `sources` with their tests, each tier over the shipped policies, as it is
    /// when it decides.
    ///
    /// # Errors
    ///
    /// Returns an [`Error`] where a file cannot be read, or [`check`] finds a mistake.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        Error::invalid(check(sources)?.mistakes)?;
        let all = sources::read_all(sources)?;
        let mut tests = Vec::new();
        for (place, source) in all.iter().enumerate() {
            if source.embedded {
                continue;
            }
            let library = policies::library(all.last(), place == policies::authority(&all));
            let (parsed, mistakes) = whole::read(source, &library);
            Error::invalid(mistakes)?;
            let tier = Apart::load(source, &library, Kind::Whole)?;
            tests.extend(of_tier(source, &parsed, &Arc::new(tier)));
        }
        Ok(Self { tests })
    }

    /// Keeps those tests whose full names match a pattern.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Query`] where it is no pattern.
    pub fn keep(&mut self, pattern: &str) -> Result<(), Error> {
        let regex = Regex::new(pattern).map_err(|_| Error::Query {
            reason: format!("`{pattern}` cannot be read: invalid regex"),
        })?;
        self.tests
            .retain(|ready| regex.is_match(&ready.test.full_name()));
        Ok(())
    }

    /// How many tests there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tests.len()
    }

    /// Runs the tests, in the order of files and lines.
    pub fn run(self) -> impl Iterator<Item = Ran> {
        self.tests.into_iter().map(run)
    }
}

fn of_tier(source: &Source, parsed: &[Parsed], tier: &Arc<Apart>) -> Vec<Ready> {
    let mut tests: Vec<Ready> = Vec::new();
    for parsed in parsed {
        let mut own = source.files.iter().map(|file| source.path(file));
        if parsed.purpose != Purpose::Test || !own.any(|path| path == parsed.path) {
            continue;
        }
        for head in ast::heads(&parsed.module) {
            let package = format!("data.{}", parsed.package);
            let is_there =
                |ready: &Ready| ready.test.package == package && ready.test.name == head.name;
            if module::is_test_name(head.name) && !tests.iter().any(is_there) {
                let place = parsed.mistake(head.span, "");
                tests.push(Ready {
                    tier: Arc::clone(tier),
                    test: Test {
                        file: place.file,
                        line: place.line,
                        column: place.column,
                        package,
                        name: head.name.to_owned(),
                    },
                });
            }
        }
    }
    tests
}

fn run(ready: Ready) -> Ran {
    let Ready { tier, test } = ready;
    let mut ran = Ran {
        test,
        outcome: Outcome::Skip,
        took: Duration::ZERO,
        printed: Vec::new(),
    };
    if ran.test.name.starts_with("todo_") {
        return ran;
    }
    let begun = Instant::now();
    match tier.rule(&ran.test.full_name(), None) {
        Ok(evaluated) => {
            ran.outcome = outcome(evaluated.value);
            ran.took = evaluated.took;
            ran.printed = evaluated.printed;
        }
        Err(reason) => {
            ran.outcome = Outcome::Error(reason);
            ran.took = begun.elapsed();
        }
    }
    ran
}

fn outcome(value: Result<Option<Value>, String>) -> Outcome {
    match value {
        Ok(Some(Value::Bool(true))) => Outcome::Pass,
        Ok(Some(Value::Bool(false)) | None) => Outcome::Fail,
        // The engine gives the cases that pass alone: one that fails would not be missed.
        Ok(Some(Value::Object(_))) => Outcome::Error(
            "cases in brackets are not seen where they fail: use `every`, or a test for each"
                .to_owned(),
        ),
        Ok(Some(other)) => Outcome::Error(format!("a test is true or false, not {other}")),
        Err(said) => Outcome::Error(engine_message(&said)),
    }
}
