//! One tier: its Rego, read at once or, where it is known to be whole, when it is needed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use regorus::Value;

use agentguard_core::Tier;

use crate::apart::{Apart, Kind};
use crate::engine::{Rego, Said};
use crate::error::{Error, tier_word};
use crate::module::Purpose;
use crate::sources::{File, Source};

/// An input, as JSON and as the engine has it.
pub(crate) struct Input<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) value: Value,
}

/// A tier, ready to be asked.
pub(crate) struct TierEngine {
    pub(crate) tier: Tier,
    kept: Kept,
}

enum Kept {
    /// All of its rules in one engine, where they may use one another: in a process of its own.
    Apart(Box<Apart>),
    /// The policies that ship.
    Shipped,
}

/// The policies that ship, each kind by itself. They are the same for all of a process, and stay until it
/// ends: taking them apart takes a millisecond, which whoever waits for a session's end would wait for.
static SHIPPED: Shipped = Shipped {
    sandbox: Later::new(Purpose::Sandbox),
    session: Later::new(Purpose::Session),
    exec: Later::new(Purpose::Exec),
    file: Later::new(Purpose::File),
    connect: Later::new(Purpose::Connect),
    reach: Later::new(Purpose::Reach),
    api: Later::new(Purpose::Api),
    push: Later::new(Purpose::Push),
};

struct Shipped {
    sandbox: Later,
    session: Later,
    exec: Later,
    file: Later,
    connect: Later,
    reach: Later,
    api: Later,
    push: Later,
}

impl TierEngine {
    /// Loads a tier: its own files over those of `library`, of which files with the same name give way.
    pub(crate) fn load(
        source: &Source,
        library: &[(&Source, &File)],
        kind: Kind,
    ) -> Result<Self, Error> {
        Ok(Self {
            tier: source.tier,
            kept: Kept::Apart(Box::new(Apart::load(source, library, kind)?)),
        })
    }

    /// The policies that ship, as they were compiled in: read by [`prepare`](Self::prepare), or when they are first
    /// asked.
    pub(crate) fn shipped() -> Self {
        Self {
            tier: Tier::Shipped,
            kept: Kept::Shipped,
        }
    }

    /// Reads what every session asks once it is confined.
    pub(crate) fn prepare(&self) {
        match &self.kept {
            Kept::Apart(_) => {}
            Kept::Shipped => {
                // Whoever asks is told what went wrong.
                let _ = (SHIPPED.session.get(), SHIPPED.exec.get());
            }
        }
    }

    /// What the tier's rules say about an exec.
    pub(crate) fn exec(&self, input: &Input<'_>) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Apart(apart) => apart.exec(&input.text),
            Kept::Shipped => SHIPPED
                .exec
                .get()
                .and_then(|rego| rego.exec(input.value.clone())),
        })
    }

    /// What the tier's rules say about a name at a place that is judged.
    pub(crate) fn file(&self, input: &Input<'_>) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Apart(apart) => apart.file(&input.text),
            Kept::Shipped => SHIPPED
                .file
                .get()
                .and_then(|rego| rego.file(input.value.clone())),
        })
    }

    /// What the tier's rules say about a connection.
    pub(crate) fn connect(&self, input: &Input<'_>) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Apart(apart) => apart.connect(&input.text),
            Kept::Shipped => SHIPPED
                .connect
                .get()
                .and_then(|rego| rego.connect(input.value.clone())),
        })
    }

    /// What the tier's rules say about a host that is looked up or connected to.
    pub(crate) fn reach(&self, input: &Input<'_>) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Apart(apart) => apart.reach(&input.text),
            Kept::Shipped => SHIPPED
                .reach
                .get()
                .and_then(|rego| rego.reach(input.value.clone())),
        })
    }

    /// What the tier's rules say about a request to a host.
    pub(crate) fn api(&self, input: &Input<'_>) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Apart(apart) => apart.api(&input.text),
            Kept::Shipped => SHIPPED
                .api
                .get()
                .and_then(|rego| rego.api(input.value.clone())),
        })
    }

    /// What the tier's rules say about a push.
    pub(crate) fn push(&self, input: &Input<'_>) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Apart(apart) => apart.push(&input.text),
            Kept::Shipped => SHIPPED
                .push
                .get()
                .and_then(|rego| rego.push(input.value.clone())),
        })
    }

    /// What the tier's rules say about a session.
    pub(crate) fn session(&self, input: &Input<'_>) -> Result<Said, String> {
        self.named(match &self.kept {
            Kept::Apart(apart) => apart.session(&input.text),
            Kept::Shipped => SHIPPED
                .session
                .get()
                .and_then(|rego| rego.session(input.value.clone())),
        })
    }

    /// What the tier's `agentguard.sandbox` defines, by name.
    pub(crate) fn sandbox(&self, input: &Input<'_>) -> Result<BTreeMap<String, Value>, String> {
        match &self.kept {
            Kept::Apart(apart) => apart.sandbox(&input.text),
            Kept::Shipped => SHIPPED
                .sandbox
                .get()
                .and_then(|rego| rego.sandbox(input.value.clone())),
        }
    }

    fn named<T>(&self, said: Result<T, String>) -> Result<T, String> {
        said.map_err(|reason| format!("the {} policy: {reason}", tier_word(self.tier)))
    }
}

/// Rules that are read when they are first asked. If they cannot be, nobody is ever answered, so that
/// nothing is allowed.
struct Later {
    purpose: Purpose,
    rego: OnceLock<Result<Rego, String>>,
}

impl Later {
    const fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            rego: OnceLock::new(),
        }
    }

    fn get(&self) -> Result<&Rego, String> {
        let read = || Rego::load_shipped(self.purpose).map_err(|error| error.to_string());
        self.rego.get_or_init(read).as_ref().map_err(Clone::clone)
    }
}
