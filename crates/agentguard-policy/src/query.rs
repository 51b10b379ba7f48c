//! Questions of whoever writes policies: what a query gives, and what becomes of an input.

use std::panic::{AssertUnwindSafe, catch_unwind};

use agentguard_core::{Action, Session, Tier};
use regorus::Value;
use serde::Deserialize;

use crate::bounds;
use crate::error::{Error, Mistake, engine_message};
use crate::input::SCHEMA;
use crate::policies::{self, Policies};
use crate::recursion;
use crate::sources::Source;
use crate::whole::Whole;

/// What a query gives in one tier.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which tier.
    pub tier: Tier,
    /// Every way in which it holds: the value of its last expression, as JSON. None where it is undefined.
    pub values: Vec<String>,
}

/// An action with its session, as read from the JSON of an input.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The action.
    pub action: Action,
    /// The session, where the input names one.
    pub session: Option<Session>,
}

#[derive(Deserialize)]
struct Document {
    schema: u32,
    action: Action,
    session: Option<Session>,
}

impl Asked {
    /// Reads an input, as rules see it or as an entry's text has it. What was computed from the action is
    /// computed anew.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Query`] where it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let document: Document = serde_json::from_str(text).map_err(|error| Error::Query {
            reason: format!("this is no input: {error}"),
        })?;
        if document.schema != SCHEMA {
            let reason = format!("schema {} is not known, only {SCHEMA} is", document.schema);
            return Err(Error::Query { reason });
        }
        Ok(Self {
            action: document.action,
            session: document.session,
        })
    }
}

impl Policies {
    /// Evaluates a Rego query in every tier, with `input` as JSON.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Invalid`] where the query cannot be read, and [`Error::Query`] where it fails.
    pub fn query(&self, query: &str, input: &str) -> Result<Vec<Answer>, Error> {
        if let Some((at, why)) = bounds::exceeded(query) {
            let mistake = Mistake::at_bytes("query", query, at..at + 1, why);
            return Error::invalid(vec![mistake]).map(|()| Vec::new());
        }
        let input = Value::from_json_str(input).map_err(|error| Error::Query {
            reason: format!("the input is no JSON: {error}"),
        })?;
        let sources = &self.inner.sources;
        let authority = policies::authority(sources);
        let mut answers = Vec::new();
        for (place, source) in sources.iter().enumerate() {
            if source.tier == Tier::Shipped && place != authority {
                continue;
            }
            let shipped = sources
                .last()
                .filter(|shipped| shipped.tier == Tier::Shipped && place + 1 != sources.len());
            let library = policies::library(shipped, place == authority);
            let (whole, _) = Whole::load(source, &library);
            answers.push(Answer {
                tier: source.tier,
                values: ask(whole, source, query, input.clone())?,
            });
        }
        Ok(answers)
    }
}

fn ask(mut whole: Whole, source: &Source, query: &str, input: Value) -> Result<Vec<String>, Error> {
    Error::invalid(recursion::find(&whole.parsed))?;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        whole.engine.set_input(input);
        whole.engine.eval_query(query.to_owned(), false)
    }));
    let failed = |said: &str| Error::Query {
        reason: format!(
            "{}: {}",
            source.directory,
            engine_message(&whole.places.restore(said))
        ),
    };
    let results = match outcome {
        Ok(results) => results.map_err(|error| failed(&error.to_string()))?,
        Err(_) => return Err(failed("the engine broke down")),
    };
    let last = results
        .result
        .iter()
        .filter_map(|result| result.expressions.last());
    Ok(last
        .map(|expression| expression.value.to_string())
        .collect())
}
