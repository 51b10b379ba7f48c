//! The generated module that collects what the packages say, so that a rule that is undefined is missed.

use crate::module::{Parsed, Purpose};

/// Where the generated rules stand.
pub(crate) const ENTRY: &str = "agentguard_entry";

/// The sets asked for about one kind of action, each by its package and word.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) sets: Vec<(String, Word)>,
}

/// A set that decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    /// It may not happen.
    Deny,
    /// A human has to say so.
    Ask,
    /// It may happen.
    Allow,
}

impl Entry {
    /// What `modules` define for `purpose`.
    pub(crate) fn of(modules: &[Parsed], purpose: Purpose) -> Self {
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
    /// Its name in Rego.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Ask => "ask",
            Self::Allow => "allow",
        }
    }
}

/// What `modules` of `purpose` define, by name.
pub(crate) fn defined(modules: &[Parsed], purpose: Purpose) -> Vec<String> {
    let of_purpose = modules.iter().filter(|parsed| parsed.purpose == purpose);
    let mut names: Vec<String> = of_purpose
        .flat_map(|parsed| parsed.defines.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Rego that collects every set with its place, so that one that is undefined is missed.
pub(crate) fn module(
    modules: &[Parsed],
    exec: &Entry,
    session: &Entry,
    sandbox: &[String],
) -> String {
    let mut text = format!("package {ENTRY}\nready := true\n");
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
    // `data.a.b` asks for the package `a.b` as a whole, and for all below; `data.a.b.c` for one of its rules.
    let is_whole = |parsed: &&Parsed| {
        let named = modules.iter().flat_map(|other| &other.wholes);
        let mut named = named.filter(|name| name.is_empty() || is_within(name, &parsed.package));
        named.next().is_some()
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
        .filter(is_whole)
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
