//! One tier's Rego, in an engine of its own.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use agentguard_core::{Rule, Tier};

use crate::error::{Error, Mistake, engine_message, tier_word};
use crate::module::{self, Parsed, Purpose};
use crate::recursion;
use crate::rules;
use crate::sources::{File, Source};

/// A decision that takes longer is none. The engine looks at its clock between steps.
const LONGEST: Duration = Duration::from_secs(1);
/// Engines kept ready, at most.
const MOST_ENGINES: usize = 16;
/// Where the generated rules stand that collect what the packages say.
const ENTRY: &str = "agentguard_entry";

/// A tier, ready to be asked.
pub(crate) struct TierEngine {
    pub(crate) tier: Tier,
    base: Engine,
    exec: Entry,
    session: Entry,
    sandbox: Vec<String>,
    ready: Mutex<Vec<Engine>>,
}

/// The sets asked for about one kind of action, each by its package and word.
#[derive(Default)]
struct Entry {
    sets: Vec<(String, Word)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Word {
    Deny,
    Ask,
    Allow,
}

/// What a tier says about an action.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) deny: Vec<Rule>,
    pub(crate) ask: Vec<Rule>,
    pub(crate) allow: Vec<Rule>,
    /// Whether the tier allows anything at all: one without `allow` has no opinion.
    pub(crate) has_allow: bool,
}

impl TierEngine {
    /// Loads a tier: its own files over those of `library`, of which files with the same name give way.
    pub(crate) fn load(source: &Source, library: &[(&Source, &File)]) -> Result<Self, Error> {
        let mut mistakes = Vec::new();
        let mut modules = Vec::new();
        let own = source.files.iter().map(|file| (source, file));
        let is_replaced = |name: &str| source.files.iter().any(|file| file.name == name);
        let below = library
            .iter()
            .filter(|(_, file)| !is_replaced(&file.name))
            .copied();
        for (source, file) in own
            .chain(below)
            .filter(|(_, file)| file.name.ends_with(".rego"))
        {
            match module::parse(source, file) {
                Ok(parsed) => modules.push(parsed),
                Err(found) => mistakes.extend(found),
            }
        }
        Error::invalid(mistakes)?;
        modules.retain(|parsed| {
            parsed.purpose != Purpose::Test && !parsed.path.ends_with("_test.rego")
        });
        Self::build(source.tier, &modules)
    }

    fn build(tier: Tier, modules: &[Parsed]) -> Result<Self, Error> {
        let mut base = Engine::new();
        base.set_strict_builtin_errors(true);
        base.set_execution_timer_config(ExecutionTimerConfig {
            limit: LONGEST,
            check_interval: NonZeroU32::MIN.saturating_add(63),
        });
        for parsed in modules {
            base.add_policy(parsed.path.clone(), parsed.text.clone())
                .map_err(|error| located(modules, &error.to_string()))?;
        }
        Error::invalid(recursion::find(modules, base.get_modules()))?;
        let exec = Entry::of(modules, Purpose::Exec);
        let session = Entry::of(modules, Purpose::Session);
        let sandbox = defined(modules, Purpose::Sandbox);
        let text = entry_module(modules, &exec, &session, &sandbox);
        base.add_policy("entry".to_owned(), text)
            .map_err(unreachable)?;
        base.compile_with_entrypoint(&format!("data.{ENTRY}.exec").into())
            .map_err(|error| located(modules, &error.to_string()))?;
        Ok(Self {
            tier,
            base,
            exec,
            session,
            sandbox,
            ready: Mutex::new(Vec::new()),
        })
    }

    /// What the tier's rules say about an exec.
    pub(crate) fn exec(&self, input: Value) -> Result<Said, String> {
        self.ask("exec", &self.exec, input)
    }

    /// What the tier's rules say about a session.
    pub(crate) fn session(&self, input: Value) -> Result<Said, String> {
        self.ask("session", &self.session, input)
    }

    /// What the tier's `agentguard.sandbox` defines, by name.
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
            (engine, value)
        }));
        let Ok((engine, value)) = outcome else {
            return Err("the engine broke down".to_owned());
        };
        let value = value.map_err(|error| engine_message(&error.to_string()))?;
        self.give_back(engine);
        let answers = in_order(&value, count);
        answers.ok_or_else(|| format!("a rule of the {} policy is undefined", tier_word(self.tier)))
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

impl Entry {
    fn of(modules: &[Parsed], purpose: Purpose) -> Self {
        let mut sets = Vec::new();
        for parsed in modules.iter().filter(|parsed| parsed.purpose == purpose) {
            for word in [Word::Deny, Word::Ask, Word::Allow] {
                let set = (parsed.package.clone(), word);
                let is_defined = parsed.defines.iter().any(|name| name == word.text());
                if is_defined && !sets.contains(&set) {
                    sets.push(set);
                }
            }
        }
        Self { sets }
    }
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Ask => "ask",
            Self::Allow => "allow",
        }
    }
}

fn defined(modules: &[Parsed], purpose: Purpose) -> Vec<String> {
    let of_purpose = modules.iter().filter(|parsed| parsed.purpose == purpose);
    let mut names: Vec<String> = of_purpose
        .flat_map(|parsed| parsed.defines.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Rego that collects every set with its place, so that one that is undefined is missed.
fn entry_module(modules: &[Parsed], exec: &Entry, session: &Entry, sandbox: &[String]) -> String {
    let mut text = format!("package {ENTRY}\n");
    for (kind, purpose) in [
        ("exec", Purpose::Exec),
        ("session", Purpose::Session),
        ("sandbox", Purpose::Sandbox),
    ] {
        for name in asked_first(modules, purpose) {
            text += &format!("{kind} contains [0, 0] if {{ data.{name}; false }}\n");
        }
    }
    for (kind, entry) in [("exec", exec), ("session", session)] {
        for (place, (package, word)) in entry.sets.iter().enumerate() {
            text += &format!(
                "{kind} contains [{place}, data.{package}.{}] if true\n",
                word.text()
            );
        }
        text += &format!("{kind} contains [0, 0] if false\n");
    }
    for (place, name) in sandbox.iter().enumerate() {
        text += &format!("sandbox contains [{place}, data.agentguard.sandbox.{name}] if true\n");
    }
    text
}

/// The values to ask for by name before anything else.
///
/// regorus 0.14.1, asked for a package as a whole, takes it and all packages below it for evaluated after
/// the first file of them, and rules of the other files do not see one another: a denial would be lost.
fn asked_first(modules: &[Parsed], purpose: Purpose) -> Vec<String> {
    let is_within = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_split = |parsed: &&Parsed| {
        let related = |other: &&Parsed| {
            is_within(&parsed.package, &other.package) || is_within(&other.package, &parsed.package)
        };
        modules.iter().filter(related).count() > 1
    };
    let is_used =
        |parsed: &&Parsed| parsed.purpose == purpose || parsed.purpose == Purpose::Library;
    let mut names: Vec<String> = modules
        .iter()
        .filter(is_used)
        .filter(is_split)
        .flat_map(|parsed| {
            parsed
                .values
                .iter()
                .map(|value| format!("{}.{value}", parsed.package))
        })
        .collect();
    names.sort();
    names.dedup();
    names
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

fn located(modules: &[Parsed], said: &str) -> Error {
    let place = said
        .lines()
        .find_map(|line| line.strip_prefix("--> "))
        .unwrap_or("");
    let inside = modules.iter().find(|parsed| {
        place
            .strip_prefix(parsed.path.as_str())
            .is_some_and(|rest| rest.starts_with(':'))
    });
    match inside {
        Some(parsed) => Error::Invalid {
            first: Mistake::from_engine(&parsed.path, &parsed.text, said),
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
