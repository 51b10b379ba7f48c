//! Rego modules in an engine, ready to be asked.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use serde::{Deserialize, Serialize};

use agentguard_core::Rule;

use crate::check::names::{self, Known};
use crate::entry::{self, ENTRY, Entry, Word};
use crate::error::{Error, engine_message};
use crate::join::{self, Places};
use crate::module::{self, Parsed, Purpose};
use crate::recursion;
use crate::rules;
use crate::shipped;
use crate::sources::{File, Source};

/// A decision that takes longer is none. The engine looks at its clock between steps.
const LONGEST: Duration = Duration::from_secs(1);
/// Between so many steps.
pub(crate) const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);
/// Engines kept ready, at most.
const MOST_ENGINES: usize = 16;

/// Modules that were added together, with what they define.
pub(crate) struct Rego {
    base: Engine,
    places: Places,
    exec: Entry,
    file: Entry,
    connect: Entry,
    reach: Entry,
    api: Entry,
    push: Entry,
    session: Entry,
    sandbox: Vec<String>,
    ready: Mutex<Vec<Engine>>,
}

/// What rules say about an action.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Said {
    pub(crate) deny: Vec<Rule>,
    pub(crate) ask: Vec<Rule>,
    pub(crate) allow: Vec<Rule>,
    /// Whether they allow anything at all: a tier without `allow` has no opinion.
    pub(crate) has_allow: bool,
}

impl Rego {
    /// Reads `files`. Tests are checked and left out. A rule that reads what is never there would be silent
    /// for good, as a denial too: with `new` policies that is a mistake, and of those that once decided it is
    /// history.
    pub(crate) fn load(files: &[(&Source, &File)], new: bool) -> Result<Self, Error> {
        let mut mistakes = Vec::new();
        let mut modules = Vec::new();
        for (source, file) in files {
            match module::read(source, file) {
                Ok(parsed) if parsed.purpose == Purpose::Test => {}
                Ok(parsed) => modules.push(parsed),
                Err(found) => mistakes.extend(found),
            }
        }
        Error::invalid(mistakes)?;
        Error::invalid(recursion::find(&modules))?;
        if new {
            let known = Known::of(modules.iter());
            let silent = modules.iter().flat_map(|one| names::mistakes(one, &known));
            Error::invalid(silent.collect())?;
        }
        let mut base = new_engine();
        let places = join::add(&mut base, &modules.iter().collect::<Vec<_>>());
        let places =
            places.or_else(|mistakes| Error::invalid(mistakes).map(|()| Places::default()))?;
        Self::of(base, places, &modules)
    }

    /// Reads the rules that ship for one purpose. They are parsed once, and held to nothing: a test does
    /// that.
    pub(crate) fn load_shipped(purpose: Purpose) -> Result<Self, Error> {
        let mut base = new_engine();
        let packages = shipped::packages_for(purpose);
        let modules = packages
            .iter()
            .map(|package| module::add_known(&mut base, package).map_err(unreachable))
            .collect::<Result<Vec<_>, _>>()?;
        Self::of(base, Places::default(), &modules)
    }

    /// The rules of `modules`, which `base` holds.
    fn of(mut base: Engine, places: Places, modules: &[Parsed]) -> Result<Self, Error> {
        let exec = Entry::of(modules, Purpose::Exec);
        let file = Entry::of(modules, Purpose::File);
        let connect = Entry::of(modules, Purpose::Connect);
        let reach = Entry::of(modules, Purpose::Reach);
        let api = Entry::of(modules, Purpose::Api);
        let push = Entry::of(modules, Purpose::Push);
        let session = Entry::of(modules, Purpose::Session);
        let sandbox = entry::defined(modules, Purpose::Sandbox);
        let asked = [
            ("exec", &exec),
            ("file", &file),
            ("connect", &connect),
            ("reach", &reach),
            ("api", &api),
            ("push", &push),
            ("session", &session),
        ];
        let text = entry::module(asked, &sandbox);
        base.add_policy("entry".to_owned(), text)
            .map_err(unreachable)?;
        // Prepares the engine, so that its clones are.
        base.eval_rule(format!("data.{ENTRY}.ready"))
            .map_err(|error| located(modules, &places.restore(&error.to_string())))?;
        Ok(Self {
            base,
            places,
            exec,
            file,
            connect,
            reach,
            api,
            push,
            session,
            sandbox,
            ready: Mutex::new(Vec::new()),
        })
    }

    /// What the rules say about an exec.
    pub(crate) fn exec(&self, input: Value) -> Result<Said, String> {
        self.ask("exec", &self.exec, input)
    }

    /// What the rules say about a name at a place that is judged.
    pub(crate) fn file(&self, input: Value) -> Result<Said, String> {
        self.ask("file", &self.file, input)
    }

    /// What the rules say about a connection.
    pub(crate) fn connect(&self, input: Value) -> Result<Said, String> {
        self.ask("connect", &self.connect, input)
    }

    /// What the rules say about a host that is looked up or connected to.
    pub(crate) fn reach(&self, input: Value) -> Result<Said, String> {
        self.ask("reach", &self.reach, input)
    }

    /// What the rules say about a request to a host.
    pub(crate) fn api(&self, input: Value) -> Result<Said, String> {
        self.ask("api", &self.api, input)
    }

    /// What the rules say about a push.
    pub(crate) fn push(&self, input: Value) -> Result<Said, String> {
        self.ask("push", &self.push, input)
    }

    /// What the rules say about a session.
    pub(crate) fn session(&self, input: Value) -> Result<Said, String> {
        self.ask("session", &self.session, input)
    }

    /// What `agentguard.sandbox` defines, by name.
    pub(crate) fn sandbox(&self, input: Value) -> Result<BTreeMap<String, Value>, String> {
        let answers = self.evaluate("sandbox", self.sandbox.len(), input)?;
        Ok(self.sandbox.iter().cloned().zip(answers).collect())
    }

    fn ask(&self, kind: &str, entry: &Entry, input: Value) -> Result<Said, String> {
        let mut said = Said {
            has_allow: entry.sets.iter().any(|(_, word)| *word == Word::Allow),
            ..Said::default()
        };
        let answers = self.evaluate(kind, entry.sets.len(), input)?;
        for ((package, word), answer) in entry.sets.iter().zip(answers) {
            let found = rules::read_set(&answer)
                .map_err(|reason| format!("`data.{package}.{}`: {reason}", word.text()))?;
            match word {
                Word::Deny => said.deny.extend(found),
                Word::Ask => said.ask.extend(found),
                Word::Allow => said.allow.extend(found),
            }
        }
        Ok(said)
    }

    /// Evaluates one of the generated rules: exactly `count` answers, in their order.
    fn evaluate(&self, kind: &str, count: usize, input: Value) -> Result<Vec<Value>, String> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut engine = self.take();
        let path = format!("data.{ENTRY}.{kind}");
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            engine.set_input(input);
            let value = engine.eval_rule(path);
            // Nobody is shown what a rule prints: part of it is the agent's.
            let _ = engine.take_prints();
            (engine, value)
        }));
        let Ok((engine, value)) = outcome else {
            return Err("the engine broke down".to_owned());
        };
        let value = value.map_err(|error| {
            let said = self.places.restore(&error.to_string());
            engine_message(&said)
        })?;
        self.give_back(engine);
        in_order(&value, count).ok_or_else(|| "a rule of it is undefined".to_owned())
    }

    fn take(&self) -> Engine {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.pop().unwrap_or_else(|| self.base.clone())
    }

    fn give_back(&self, engine: Engine) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.len() < MOST_ENGINES {
            ready.push(engine);
        }
    }
}

/// An engine that takes no error for an answer, and no time for ever.
pub(crate) fn new_engine() -> Engine {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    // Else they go to the guard's own standard error.
    engine.set_gather_prints(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: LONGEST,
        check_interval: CHECK_INTERVAL,
    });
    engine
}

fn in_order(value: &Value, count: usize) -> Option<Vec<Value>> {
    let Value::Set(pairs) = value else {
        return None;
    };
    let mut answers = vec![None; count];
    for pair in pairs.iter() {
        let pair = pair.as_array().ok()?;
        let place = usize::try_from(pair.first()?.as_u64().ok()?).ok()?;
        *answers.get_mut(place)? = Some(pair.get(1)?.clone());
    }
    answers.into_iter().collect()
}

/// What the engine said, at its place in one of `modules`.
pub(crate) fn located(modules: &[Parsed], said: &str) -> Error {
    match join::mistake(modules.iter(), said) {
        Some(first) => Error::Invalid {
            first,
            others: Vec::new(),
        },
        None => unreachable(said),
    }
}

fn unreachable(what: impl ToString) -> Error {
    Error::Unreachable {
        what: engine_message(&what.to_string()),
    }
}
