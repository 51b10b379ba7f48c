//! A tier with its tests, all in one engine: for checking, for testing, for queries.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use serde::{Deserialize, Serialize};

use crate::engine::{CHECK_INTERVAL, new_engine};
use crate::error::Mistake;
use crate::join::{self, Places};
use crate::module::{self, Parsed};
use crate::sources::{self, File, Source};

/// What takes longer has failed.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// The modules of a tier, its tests too.
pub(crate) struct Whole {
    engine: Engine,
    places: Places,
}

/// What a rule is, and what it printed.
#[derive(Deserialize, Serialize)]
pub(crate) struct Evaluated {
    /// Its value, where it has one; what the engine said, in the files' own places, where it failed.
    pub(crate) value: Result<Option<Value>, String>,
    pub(crate) printed: Vec<String>,
    pub(crate) took: Duration,
}

/// Reads a tier's files over those of `library`. What cannot be a module is left out and told.
pub(crate) fn read(source: &Source, library: &[(&Source, &File)]) -> (Vec<Parsed>, Vec<Mistake>) {
    let mut parsed = Vec::new();
    let mut mistakes = Vec::new();
    for (source, file) in sources::over(source, library) {
        match module::read(source, file) {
            Ok(one) => parsed.push(one),
            Err(found) => mistakes.extend(found),
        }
    }
    (parsed, mistakes)
}

impl Whole {
    /// Reads all of a tier, or tells what is wrong with it.
    pub(crate) fn load(
        source: &Source,
        library: &[(&Source, &File)],
    ) -> Result<Self, Vec<Mistake>> {
        let (parsed, mistakes) = read(source, library);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut engine = new_engine();
        let places = join::add(&mut engine, &parsed.iter().collect::<Vec<_>>())?;
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: LONGEST,
            check_interval: CHECK_INTERVAL,
        });
        Ok(Self { engine, places })
    }

    /// Evaluates one rule, with an input or without.
    pub(crate) fn rule(&self, path: &str, input: Option<Value>) -> Evaluated {
        let mut engine = self.engine.clone();
        let begun = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            if let Some(input) = input {
                engine.set_input(input);
            }
            let value = engine.eval_rule(path.to_owned());
            (value, engine.take_prints().unwrap_or_default())
        }));
        let took = begun.elapsed();
        let (value, printed) = match ended {
            Ok((value, printed)) => (value.map_err(|error| error.to_string()), printed),
            Err(_) => (Err("the engine broke down".to_owned()), Vec::new()),
        };
        Evaluated {
            value: match value {
                Ok(Value::Undefined) => Ok(None),
                Ok(value) => Ok(Some(value)),
                Err(said) => Err(self.places.restore(&said)),
            },
            printed: printed
                .iter()
                .map(|line| self.places.restore(line))
                .collect(),
            took,
        }
    }

    /// The value of a query's last expression, as JSON, for every way in which it holds.
    pub(crate) fn query(&self, query: &str, input: Value) -> Result<Vec<String>, String> {
        let mut engine = self.engine.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            engine.set_input(input);
            engine.eval_query(query.to_owned(), false)
        }));
        let results = match outcome {
            Ok(results) => results.map_err(|error| self.places.restore(&error.to_string()))?,
            Err(_) => return Err("the engine broke down".to_owned()),
        };
        let last = results
            .result
            .iter()
            .filter_map(|result| result.expressions.last());
        Ok(last
            .map(|expression| expression.value.to_string())
            .collect())
    }
}
