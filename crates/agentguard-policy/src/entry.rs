//! The generated module that collects what the packages say, so that a rule that is undefined is missed.

use crate::module::{Parsed, Purpose};
use crate::recursion::is_above;

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
    connect: &Entry,
    session: &Entry,
    sandbox: &[String],
) -> String {
    let mut text = format!("package {ENTRY}\nready := true\n");
    for (kind, purpose) in [
        ("exec", Purpose::Exec),
        ("connect", Purpose::Connect),
        ("session", Purpose::Session),
        ("sandbox", Purpose::Sandbox),
    ] {
        for name in asked_first(modules, purpose) {
            text += &format!("{kind} contains [0, 0] if {{ data.{name}; false }}\n");
        }
    }
    for (kind, entry) in [("exec", exec), ("connect", connect), ("session", session)] {
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
    // `data.a.b` asks for the package `a.b` as a whole, and for all below; `data.a.b.c` for one of its rules.
    let is_whole = |parsed: &Parsed| {
        let mut named = modules.iter().flat_map(|other| &other.wholes);
        named.any(|name| name.is_empty() || is_above(name, &parsed.package))
    };
    let is_used = |parsed: &Parsed| {
        (parsed.purpose == purpose || parsed.purpose == Purpose::Library) && is_whole(parsed)
    };
    values_of_split(modules, is_used)
}

/// The values of every package that stands in several files, or has others below it.
pub(crate) fn split(modules: &[Parsed]) -> Vec<String> {
    values_of_split(modules, |parsed| parsed.purpose != Purpose::Test)
}

fn values_of_split(modules: &[Parsed], is_wanted: impl Fn(&Parsed) -> bool) -> Vec<String> {
    let is_split = |parsed: &&Parsed| {
        let related = |other: &&Parsed| {
            is_above(&parsed.package, &other.package) || is_above(&other.package, &parsed.package)
        };
        modules.iter().filter(related).count() > 1
    };
    let mut names: Vec<String> = modules
        .iter()
        .filter(|parsed| is_wanted(parsed))
        .filter(is_split)
        .flat_map(|parsed| {
            let values = parsed.values.iter();
            values.map(|value| format!("{}.{value}", parsed.package))
        })
        .collect();
    names.sort();
    names.dedup();
    names
}
