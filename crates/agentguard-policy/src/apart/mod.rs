//! Rego that was read from a directory, in a process of its own.
//!
//! The engine looks at its clock between steps, and at memory never: one builtin can take an hour or all
//! there is, and Rust ends the process where there is no more. A repository's policy is anybody's, and the
//! guard must outlive it. So the rules of others are parsed and evaluated by this program, started again
//! with a bound on its memory, and ended when it is late; every time, the question is refused with the
//! reason, and the next one is asked of a new process. What ships is known, and evaluated where it is.

mod line;
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regorus::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::Said;
use crate::error::{Error, Mistake};
use crate::sources::{File, Source};
use crate::whole::Evaluated;

pub use serve::evaluate_if_asked;

/// What the program is called when it is started to evaluate.
const NAME: &str = "agentguard-evaluator";
/// A test's program has no `main` of ours: it runs the test of this name, which serves.
const TEST: &str = "agentguard_evaluator_entry";
/// The address space of an evaluator, its program and its policy with it.
pub(crate) const MOST_MEMORY: u64 = 512 << 20;
/// Reading policies that takes longer is refused.
const LONGEST_LOAD: Duration = Duration::from_secs(10);
/// So are decisions that take longer. The engine's own bound comes first where it looks.
const LONGEST: Duration = Duration::from_secs(2);
/// And tests, and queries.
const LONGEST_RULE: Duration = Duration::from_secs(6);

/// What an evaluator is asked.
#[derive(Deserialize, Serialize)]
enum Ask {
    /// To read a tier, and what it is loaded over.
    Load(Kind, Vec<Source>),
    /// A rule, with an input or without.
    Rule(String, Option<String>),
    /// A query and its input.
    Query(String, String),
    Exec(String),
    File(String),
    Connect(String),
    Reach(String),
    Api(String),
    Push(String),
    Session(String),
    Sandbox(String),
}

/// What a tier is read for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Kind {
    /// To decide, without its tests.
    Deciding,
    /// To decide again as it once decided.
    Kept,
    /// For whoever writes it, whole.
    Whole,
}

/// Why there is no answer.
enum Broken {
    /// It broke off: what it said last, on its standard error.
    Ended(String),
    Late(Duration),
    Line(std::io::Error),
}

/// A tier whose rules are asked elsewhere.
pub(crate) struct Apart {
    kind: Kind,
    sources: Vec<Source>,
    running: Mutex<Option<Evaluator>>,
}

struct Evaluator {
    process: Child,
    line: UnixStream,
}

impl Apart {
    /// Reads a tier over `library`, elsewhere.
    pub(crate) fn load(
        source: &Source,
        library: &[(&Source, &File)],
        kind: Kind,
    ) -> Result<Self, Error> {
        let mut sources = vec![source.clone()];
        if let Some((below, _)) = library.first() {
            let files = library.iter().map(|(_, file)| (*file).clone()).collect();
            sources.push(Source {
                files,
                ..(*below).clone()
            });
        }
        let apart = Self {
            kind,
            sources,
            running: Mutex::new(None),
        };
        let loaded = apart.start().map_err(|broken| Error::Unfit {
            path: PathBuf::from(&source.directory),
            reason: broken.reason(),
        })?;
        let (evaluator, mistakes) = loaded;
        Error::invalid(mistakes)?;
        *apart.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(evaluator);
        Ok(apart)
    }

    /// What the rules say about an exec.
    pub(crate) fn exec(&self, input: &str) -> Result<Said, String> {
        self.ask(&Ask::Exec(input.to_owned()), LONGEST)?
    }

    /// What the rules say about a name at a place that is judged.
    pub(crate) fn file(&self, input: &str) -> Result<Said, String> {
        self.ask(&Ask::File(input.to_owned()), LONGEST)?
    }

    /// What the rules say about a connection.
    pub(crate) fn connect(&self, input: &str) -> Result<Said, String> {
        self.ask(&Ask::Connect(input.to_owned()), LONGEST)?
    }

    /// What the rules say about a host that is looked up or connected to.
    pub(crate) fn reach(&self, input: &str) -> Result<Said, String> {
        self.ask(&Ask::Reach(input.to_owned()), LONGEST)?
    }

    /// What the rules say about a request to a host.
    pub(crate) fn api(&self, input: &str) -> Result<Said, String> {
        self.ask(&Ask::Api(input.to_owned()), LONGEST)?
    }

    /// What the rules say about a push.
    pub(crate) fn push(&self, input: &str) -> Result<Said, String> {
        self.ask(&Ask::Push(input.to_owned()), LONGEST)?
    }

    /// What the rules say about a session.
    pub(crate) fn session(&self, input: &str) -> Result<Said, String> {
        self.ask(&Ask::Session(input.to_owned()), LONGEST)?
    }

    /// What `agentguard.sandbox` defines, by name.
    pub(crate) fn sandbox(&self, input: &str) -> Result<BTreeMap<String, Value>, String> {
        // All of them are sets: loading has seen to it.
        let answer: Result<BTreeMap<String, Vec<Value>>, String> =
            self.ask(&Ask::Sandbox(input.to_owned()), LONGEST)?;
        let set = |list: Vec<Value>| Value::from(list.into_iter().collect::<BTreeSet<_>>());
        let sets = answer?.into_iter().map(|(name, list)| (name, set(list)));
        Ok(sets.collect())
    }

    /// What a rule is, and what it prints.
    pub(crate) fn rule(&self, path: &str, input: Option<&str>) -> Result<Evaluated, String> {
        let ask = Ask::Rule(path.to_owned(), input.map(str::to_owned));
        self.ask(&ask, LONGEST_RULE)?
    }

    /// What a query gives.
    pub(crate) fn query(&self, query: &str, input: &str) -> Result<Vec<String>, String> {
        let ask = Ask::Query(query.to_owned(), input.to_owned());
        self.ask(&ask, LONGEST_RULE)?
    }

    fn ask<T: DeserializeOwned>(&self, ask: &Ask, longest: Duration) -> Result<T, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut evaluator = match running.take() {
            Some(evaluator) => evaluator,
            None => self.start().map_err(|broken| broken.reason())?.0,
        };
        let answer = evaluator
            .ask(ask, longest)
            .map_err(|broken| broken.reason())?;
        *running = Some(evaluator);
        Ok(answer)
    }

    fn start(&self) -> Result<(Evaluator, Vec<Mistake>), Broken> {
        let mut evaluator = Evaluator::start().map_err(Broken::Line)?;
        let mistakes = evaluator.ask(&Ask::Load(self.kind, self.sources.clone()), LONGEST_LOAD)?;
        Ok((evaluator, mistakes))
    }
}

impl Evaluator {
    fn start() -> std::io::Result<Self> {
        let (line, theirs) = UnixStream::pair()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "it is this very program, and no action of an agent"
        )]
        let mut command = Command::new("/proc/self/exe");
        let process = command
            .arg0(NAME)
            .args([TEST, "--nocapture"])
            .env_clear()
            .current_dir("/")
            // A key that ends the guard is not for it to hear: the guard's end is.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { process, line })
    }

    fn ask<T: DeserializeOwned>(&mut self, ask: &Ask, longest: Duration) -> Result<T, Broken> {
        let asked = serde_json::to_vec(ask).map_err(|error| Broken::Line(error.into()))?;
        let exchanged = line::exchange(&mut self.line, &asked, longest);
        match exchanged {
            Ok(answer) => {
                serde_json::from_slice(&answer).map_err(|error| Broken::Line(error.into()))
            }
            Err(error) if line::is_late(&error) => Err(Broken::Late(longest)),
            Err(error) if line::is_end(&error) => Err(Broken::Ended(self.last_words())),
            Err(error) => Err(Broken::Line(error)),
        }
    }

    /// What it said of its own end.
    fn last_words(&mut self) -> String {
        // It is gone, or must be: nothing else holds the other end of its standard error.
        let _ = self.process.kill();
        let mut said = Vec::new();
        if let Some(error) = self.process.stderr.take() {
            let _ = error.take(4096).read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Broken {
    fn reason(&self) -> String {
        match self {
            Self::Late(longest) => format!("it takes longer than {} s", longest.as_secs()),
            Self::Ended(said) if said.contains("memory allocation of") => {
                format!("it takes more than {} MiB of memory", MOST_MEMORY >> 20)
            }
            Self::Ended(_) => "the engine broke down".to_owned(),
            Self::Line(error) => format!("the engine cannot be asked: {error}"),
        }
    }
}
