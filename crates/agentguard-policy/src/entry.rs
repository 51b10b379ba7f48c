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
pub(crate) fn module(asked: [(&str, &Entry); 7], sandbox: &[String]) -> String {
    let mut text = format!("package {ENTRY}\nready := true\n");
    for (kind, entry) in asked {
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
