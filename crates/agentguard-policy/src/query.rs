//! Questions of whoever writes policies: what a query gives, and what becomes of an input.

use agentguard_core::{Action, Session, Tier};
use regorus::Value;
use serde::Deserialize;

use crate::apart::{Apart, Kind};
use crate::bounds;
use crate::error::{Error, Mistake, engine_message};
use crate::input::SCHEMA;
use crate::policies::{self, Policies};
use crate::recursion;
use crate::sources::{File, Source};
use crate::whole;

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
        Value::from_json_str(input).map_err(|error| Error::Query {
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
            answers.push(Answer {
                tier: source.tier,
                values: ask(source, &library, query, input)?,
            });
        }
        Ok(answers)
    }
}

fn ask(
    source: &Source,
    library: &[(&Source, &File)],
    query: &str,
    input: &str,
) -> Result<Vec<String>, Error> {
    let (parsed, mistakes) = whole::read(source, library);
    Error::invalid(mistakes)?;
    Error::invalid(recursion::find(&parsed))?;
    let apart = Apart::load(source, library, Kind::Whole)?;
    apart.query(query, input).map_err(|said| {
        let message = match engine_message(&said) {
            // All that the engine says of a query whose first expression cannot be read.
            empty if empty == "expecting" => "the query cannot be read".to_owned(),
            message => message,
        };
        let reason = format!("{}: {message}", source.directory);
        Error::Query { reason }
    })
}
