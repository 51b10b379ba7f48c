//! One tier: its Rego, read at once or, where it is known to be whole, while other things are done.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use regorus::Value;

use agentguard_core::Tier;

use crate::engine::{Rego, Said};
use crate::error::{Error, tier_word};
use crate::module::Purpose;
use crate::shipped;
use crate::sources::{self, File, Source};

/// A tier, ready to be asked.
pub(crate) struct TierEngine {
    pub(crate) tier: Tier,
    kept: Kept,
}

enum Kept {
    /// All of its rules in one engine: they may use one another.
    Whole(Box<Rego>),
    /// The policies that ship, each kind by itself.
    Shipped {
        sandbox: Box<Rego>,
        session: Box<Later>,
        exec: Box<Later>,
    },
}

impl TierEngine {
    /// Loads a tier: its own files over those of `library`, of which files with the same name give way.
    pub(crate) fn load(source: &Source, library: &[(&Source, &File)]) -> Result<Self, Error> {
        let files = sources::over(source, library);
        Ok(Self {
            tier: source.tier,
            kept: Kept::Whole(Box::new(Rego::load(&files)?)),
        })
    }

    /// Loads the policies that ship, as they were compiled in.
    ///
    /// A session's start waits for its confinement alone: rules about execs are read meanwhile.
    pub(crate) fn load_shipped() -> Result<Self, Error> {
        let exec = Later::begin(Purpose::Exec);
        Ok(Self {
            tier: Tier::Shipped,
            kept: Kept::Shipped {
                sandbox: Box::new(shipped_rego(Purpose::Sandbox)?),
                session: Later::begin(Purpose::Session),
                exec,
            },
        })
    }

    /// What the tier's rules say about an exec.
    pub(crate) fn exec(&self, input: Value) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Whole(rego) => rego.exec(input),
            Kept::Shipped { exec, .. } => exec.get().and_then(|rego| rego.exec(input)),
        })
    }

    /// What the tier's rules say about a session.
    pub(crate) fn session(&self, input: Value) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Whole(rego) => rego.session(input),
            Kept::Shipped { session, .. } => session.get().and_then(|rego| rego.session(input)),
        })
    }

    /// What the tier's `agentguard.sandbox` defines, by name.
    pub(crate) fn sandbox(&self, input: Value) -> Result<BTreeMap<String, Value>, String> {
        match &self.kept {
            Kept::Whole(rego) => rego.sandbox(input),
            Kept::Shipped { sandbox, .. } => sandbox.sandbox(input),
        }
    }

    fn named<T>(&self, said: Result<T, String>) -> Result<T, String> {
        said.map_err(|reason| format!("the {} policy: {reason}", tier_word(self.tier)))
    }
}

/// Rules that are read by a thread of their own. Until they are, nobody is answered; if they cannot be,
/// nobody ever is, so that nothing is allowed.
struct Later {
    purpose: Purpose,
    thread: Mutex<Option<JoinHandle<Result<Rego, Error>>>>,
    rego: OnceLock<Result<Rego, String>>,
}

impl Later {
    fn begin(purpose: Purpose) -> Box<Self> {
        // Where no thread can be had, whoever asks first reads them.
        let thread = thread::Builder::new()
            .name("policy".to_owned())
            .spawn(move || shipped_rego(purpose))
            .ok();
        Box::new(Self {
            purpose,
            thread: Mutex::new(thread),
            rego: OnceLock::new(),
        })
    }

    fn get(&self) -> Result<&Rego, String> {
        let rego = self.rego.get_or_init(|| {
            let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            let read = match thread.take().map(JoinHandle::join) {
                Some(Ok(read)) => read,
                Some(Err(_)) => return Err("reading it broke down".to_owned()),
                None => shipped_rego(self.purpose),
            };
            read.map_err(|error| error.to_string())
        });
        rego.as_ref().map_err(Clone::clone)
    }
}

fn shipped_rego(purpose: Purpose) -> Result<Rego, Error> {
    let source = shipped::source_for(purpose);
    let files: Vec<_> = source.files.iter().map(|file| (&source, file)).collect();
    Rego::load(&files)
}
