//! One Rego file: parsed, its package known, and what it may not do refused.

use std::borrow::Cow;

use regorus::Engine;
use regorus::unstable::{Module, Ref, Span};

use agentguard_core::RuleId;

use crate::ast::{self, Shape};
use crate::bounds;
use crate::engine::new_engine;
use crate::error::Mistake;
use crate::recursion::is_above;
use crate::shipped::Package;
use crate::sources::{File, Source};

/// Builtins whose answer is no function of `input`: a decision with them could not be kept or repeated.
const REFUSED: &[(&str, &str)] = &[
    ("rand.", "chance"),
    ("time.now_ns", "a clock"),
    ("http.", "the network"),
    ("net.lookup_ip_addr", "the network"),
    ("opa.runtime", "the surroundings"),
    ("uuid.", "chance"),
];

/// The sets that decide.
pub(crate) const WORDS: [&str; 3] = ["deny", "ask", "allow"];

/// What `agentguard.sandbox` may define. All are sets.
pub(crate) const SANDBOX: &[&str] = &[
    "addresses",
    "arguments",
    "conversations",
    "covered",
    "credentials",
    "ends_on",
    "environment",
    "escaped_slashes",
    "fetched",
    "files",
    "home_read",
    "home_write",
    "hosts",
    "masks",
    "memory_bytes",
    "mute",
    "network",
    "pins",
    "places",
    "ports",
    "private",
    "processes",
    "profiles",
    "read",
    "require_approval",
    "require_evidence",
    "require_level",
    "seconds",
    "signs",
    "sockets",
    "switched_off",
    "temporary_bytes",
    "trailers",
    "uninspected",
    "variables",
    "write",
];

/// What a package is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Purpose {
    /// `agentguard.exec` and below: asked about execs.
    Exec,
    /// `agentguard.file` and below: asked about names at the places that are judged.
    File,
    /// `agentguard.connect` and below: asked about connections to sockets of the host.
    Connect,
    /// `agentguard.reach` and below: asked about hosts that are looked up or connected to.
    Reach,
    /// `agentguard.api` and below: asked about requests to hosts.
    Api,
    /// `agentguard.push` and below: asked about pushes.
    Push,
    /// `agentguard.session` and below: asked about sessions.
    Session,
    /// `agentguard.sandbox`: the static confinement.
    Sandbox,
    /// `agentguard.lib` and below, or any package outside `agentguard`: functions for the others.
    Library,
    /// A file `*_test.rego`, of whatever package: never loaded to decide.
    Test,
}

/// A file that parses, and what it says.
pub(crate) struct Parsed {
    pub(crate) path: String,
    pub(crate) text: Cow<'static, str>,
    pub(crate) module: Ref<Module>,
    pub(crate) package: String,
    pub(crate) purpose: Purpose,
    /// Which of [`WORDS`] or [`SANDBOX`] it defines.
    pub(crate) defines: Vec<String>,
}

impl Parsed {
    /// A mistake at a span of this file.
    pub(crate) fn mistake(&self, span: &Span, message: impl Into<String>) -> Mistake {
        mistake(&self.path, &self.text, span, message)
    }
}

/// Reads `file` by itself, and checks what can be seen without evaluating. Files compiled in are known
/// to pass.
pub(crate) fn read(source: &Source, file: &File) -> Result<Parsed, Vec<Mistake>> {
    let path = source.path(file);
    if !source.embedded
        && let Some((at, why)) = bounds::exceeded(&file.text)
    {
        return Err(vec![Mistake::at_bytes(&path, &file.text, at..at + 1, why)]);
    }
    let mut engine = new_engine();
    let package = engine
        .add_policy(path.clone(), file.text.to_string())
        .map_err(|error| vec![Mistake::from_engine(&path, &file.text, &error.to_string())])?;
    let package = package.strip_prefix("data.").unwrap_or(&package).to_owned();
    let Some(module) = engine.get_modules().last().cloned() else {
        let message = "it holds no module";
        return Err(vec![Mistake::at(&path, &file.text, (1, 1, 1), message)]);
    };
    let heads = ast::heads(&module);
    let mut checker = Checker {
        path: &path,
        text: &file.text,
        mistakes: Vec::new(),
    };
    let purpose = checker.purpose(&package, &module);
    checker.tests(&package, purpose, &module, &heads);
    let defines = checker.heads(&package, purpose, &heads);
    if !source.embedded {
        checker.calls(&module);
        checker.given(purpose, &module);
        if purpose != Purpose::Test {
            checker.replacements(&module);
        }
    }
    if !checker.mistakes.is_empty() {
        return Err(checker.mistakes);
    }
    Ok(Parsed {
        path,
        text: file.text.clone(),
        module,
        package,
        purpose,
        defines,
    })
}

/// Adds a package that is compiled in, and so known to pass every check, to `engine`.
pub(crate) fn add_known(engine: &mut Engine, package: &Package) -> Result<Parsed, String> {
    let (path, text) = (package.path.clone(), package.text.clone());
    let name = engine
        .add_policy(path.clone(), text.clone())
        .map_err(|error| error.to_string())?;
    let module = engine.get_modules().last().cloned();
    let module = module.ok_or_else(|| format!("`{path}` holds no module"))?;
    let is_asked = |name: &str| match package.purpose {
        Purpose::Exec
        | Purpose::File
        | Purpose::Connect
        | Purpose::Reach
        | Purpose::Api
        | Purpose::Push
        | Purpose::Session => WORDS.contains(&name),
        Purpose::Sandbox => SANDBOX.contains(&name),
        Purpose::Library | Purpose::Test => false,
    };
    let heads = ast::heads(&module).into_iter();
    let asked = heads.filter(|head| is_asked(head.name));
    Ok(Parsed {
        path,
        text: text.into(),
        package: name.strip_prefix("data.").unwrap_or(&name).to_owned(),
        purpose: package.purpose,
        defines: asked.map(|head| head.name.to_owned()).collect(),
        module,
    })
}

/// A mistake at a span of the engine's.
fn mistake(path: &str, text: &str, span: &Span, message: impl Into<String>) -> Mistake {
    let byte = |n: u32| usize::try_from(n).unwrap_or(0);
    let end = span.text().lines().next().map_or(0, str::len);
    let start = byte(span.start);
    Mistake::at_bytes(path, text, start..start + end, message)
}

/// Whether a rule of this name is a test.
pub(crate) fn is_test_name(name: &str) -> bool {
    name.starts_with("test_") || name.starts_with("todo_test_")
}

struct Checker<'a> {
    path: &'a str,
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    fn say(&mut self, span: &Span, message: impl Into<String>) {
        let mistake = mistake(self.path, self.text, span, message);
        self.mistakes.push(mistake);
    }

    fn purpose(&mut self, package: &str, module: &Module) -> Purpose {
        let below = |root: &str| is_above(root, package);
        let span = ast::root(&module.package.refr).0;
        let is_word = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !package.split('.').all(is_word) {
            self.say(span, "a package's name is made of words and dots");
        }
        if self.path.ends_with("_test.rego") || package.ends_with("_test") {
            Purpose::Test
        } else if below("agentguard.exec") {
            Purpose::Exec
        } else if below("agentguard.file") {
            Purpose::File
        } else if below("agentguard.connect") {
            Purpose::Connect
        } else if below("agentguard.reach") {
            Purpose::Reach
        } else if below("agentguard.api") {
            Purpose::Api
        } else if below("agentguard.push") {
            Purpose::Push
        } else if below("agentguard.session") {
            Purpose::Session
        } else if package == "agentguard.sandbox" {
            Purpose::Sandbox
        } else if below("agentguard.lib") || !below("agentguard") {
            Purpose::Library
        } else {
            self.say(
                span,
                format!(
                    "package `{package}` is never asked: use `agentguard.exec.*`, `agentguard.file.*`, \
                     `agentguard.connect.*`, `agentguard.reach.*`, `agentguard.api.*`, `agentguard.push.*`, \
                     `agentguard.session.*`, `agentguard.sandbox` or `agentguard.lib.*`"
                ),
            );
            Purpose::Library
        }
    }

    /// A rule in a file for tests would never be asked, and a test among rules never run.
    fn tests(&mut self, package: &str, purpose: Purpose, module: &Module, heads: &[ast::Head<'_>]) {
        if !self.path.ends_with("_test.rego") {
            if purpose == Purpose::Test {
                self.say(
                    ast::root(&module.package.refr).0,
                    "a package `*_test` is for tests: its file is called `*_test.rego`",
                );
            }
            for head in heads.iter().filter(|head| is_test_name(head.name)) {
                let message = format!(
                    "`{}` is a test, and would not be run: the file of a test is called `*_test.rego`",
                    head.name
                );
                self.say(head.span, message);
            }
            return;
        }
        let decides = [
            "agentguard.exec",
            "agentguard.file",
            "agentguard.connect",
            "agentguard.reach",
            "agentguard.api",
            "agentguard.push",
            "agentguard.session",
        ];
        let words: &[&str] = if package.ends_with("_test") {
            &[]
        } else if package == "agentguard.sandbox" {
            SANDBOX
        } else if decides.iter().any(|root| is_above(root, package)) {
            &WORDS
        } else {
            &[]
        };
        for head in heads.iter().filter(|head| words.contains(&head.name)) {
            let message = format!("`{}` in a file for tests is never asked", head.name);
            self.say(head.span, message);
        }
    }

    fn heads(&mut self, package: &str, purpose: Purpose, heads: &[ast::Head<'_>]) -> Vec<String> {
        let mut defines = Vec::new();
        for head in heads {
            let decides = WORDS.contains(&head.name);
            let confines = SANDBOX.contains(&head.name);
            match purpose {
                Purpose::Exec
                | Purpose::File
                | Purpose::Connect
                | Purpose::Reach
                | Purpose::Api
                | Purpose::Push
                | Purpose::Session
                    if decides =>
                {
                    if head.shape != Shape::Set {
                        self.say(
                            head.span,
                            format!("`{}` must be a set: use `contains`", head.name),
                        );
                    }
                    defines.push(head.name.to_owned());
                }
                Purpose::Sandbox if confines => {
                    if head.shape != Shape::Set {
                        self.say(
                            head.span,
                            format!("`{}` must be a set: use `contains`", head.name),
                        );
                    }
                    defines.push(head.name.to_owned());
                }
                Purpose::Sandbox
                    if head.shape != Shape::Function && !head.name.starts_with('_') =>
                {
                    let message = format!("`{}` is nothing that a sandbox has", head.name);
                    self.say(head.span, message);
                }
                Purpose::Library if decides => {
                    let message = format!("package `{package}` is never asked for `{}`", head.name);
                    self.say(head.span, message);
                }
                Purpose::Exec
                | Purpose::File
                | Purpose::Connect
                | Purpose::Reach
                | Purpose::Api
                | Purpose::Push
                | Purpose::Session
                | Purpose::Sandbox
                | Purpose::Library
                | Purpose::Test => {}
            }
        }
        defines.sort();
        defines.dedup();
        defines
    }

    /// A rule that is written out is one: an object with an id, a reason, and nothing unknown.
    fn given(&mut self, purpose: Purpose, module: &Module) {
        for (name, expr) in ast::given(module) {
            let decides = WORDS.contains(&name);
            let is_rule = match purpose {
                Purpose::Exec
                | Purpose::File
                | Purpose::Connect
                | Purpose::Reach
                | Purpose::Api
                | Purpose::Push
                | Purpose::Session => decides,
                Purpose::Sandbox => matches!(name, "covered" | "switched_off"),
                Purpose::Library | Purpose::Test => false,
            };
            if !is_rule {
                continue;
            }
            if ast::is_no_object(expr) {
                let message = "a rule is an object of `id`, `reason` and `remedy`";
                self.say(expr.span(), message);
            }
            if let Some(fields) = ast::fields(expr) {
                self.rule(expr.span(), &fields);
            }
        }
    }

    fn rule(&mut self, whole: &Span, fields: &[(&Span, String, &regorus::unstable::Expr)]) {
        for wanted in ["id", "reason"] {
            if !fields.iter().any(|(_, name, _)| name == wanted) {
                self.say(whole, format!("the rule gives no `{wanted}`"));
            }
        }
        for (span, name, value) in fields {
            let text = ast::literal(value);
            match (name.as_str(), &text) {
                ("id", Some((span, id))) => {
                    if let Err(error) = RuleId::parse(id) {
                        self.say(span, error.to_string());
                    }
                }
                ("reason", Some((span, reason))) if reason.trim().is_empty() => {
                    self.say(span, "the reason is empty");
                }
                ("id" | "reason" | "remedy", _) if ast::is_no_object(value) && text.is_none() => {
                    self.say(value.span(), format!("`{name}` is a string"));
                }
                ("id" | "reason" | "remedy", _) => {}
                (other, _) => self.say(span, format!("a rule has no `{other}`")),
            }
        }
    }

    /// `with` makes the engine forget what it knows and ask again: it is for tests.
    fn replacements(&mut self, module: &Module) {
        for span in ast::replacements(module) {
            self.say(
                span,
                "`with` is for tests: a rule that decides sees `input` as it is",
            );
        }
    }

    fn calls(&mut self, module: &Module) {
        for name in ast::uses(module)
            .iter()
            .flat_map(|uses| &uses.names)
            .filter(|name| name.params.is_some())
        {
            let written = name.path.join(".");
            let refused = REFUSED.iter().find(|(start, _)| written.starts_with(start));
            if let Some((_, why)) = refused {
                let message = format!("`{written}` depends on {why}: rules see `input` only");
                let mut mistake = mistake(self.path, self.text, name.span, message);
                mistake.width = written.chars().count();
                self.mistakes.push(mistake);
            }
        }
    }
}
