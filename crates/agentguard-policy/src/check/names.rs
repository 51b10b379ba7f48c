//! Names: whether what a rule reads of `input` and `data` is ever there.

use std::collections::BTreeMap;

use regorus::unstable::{Module, Ref};
use serde_json::Value;

use super::is_test;
use crate::ast;
use crate::error::Mistake;
use crate::example;
use crate::module::{Parsed, Purpose, mistake};
use crate::recursion::{full_name, is_above};

/// Objects of `input` whose keys are the world's.
const OPEN: &[&str] = &["environment", "flags"];

/// Every rule of a tier and its library.
pub(super) struct Known {
    /// By full name, with the number of arguments where it is a function.
    rules: BTreeMap<String, Option<usize>>,
}

impl Known {
    pub(super) fn of(parsed: &[Parsed], modules: &[Ref<Module>]) -> Self {
        let mut rules = BTreeMap::new();
        for (parsed, module) in parsed.iter().zip(modules) {
            for (head, rule) in ast::heads(module).iter().zip(&module.policy) {
                let name = format!("{}.{}", parsed.package, head.name);
                let arity = rules.entry(name).or_insert(None);
                *arity = arity.or(ast::arity(rule));
            }
        }
        Self { rules }
    }

    /// How many arguments the function of this name takes, as `module` writes it.
    pub(super) fn function(
        &self,
        parsed: &Parsed,
        module: &Module,
        path: &[&str],
    ) -> Option<usize> {
        let imports = ast::imports(module).into_iter().collect();
        let name = full_name(path, &parsed.package, &imports)?;
        self.rules.get(&name).copied().flatten()
    }

    fn has(&self, name: &str) -> bool {
        let mut names = self.rules.keys();
        name.is_empty() || names.any(|known| is_above(known, name) || is_above(name, known))
    }
}

/// Packages in several files that a test asks for as a whole: the engine would not see all of them. Rules
/// that decide are asked for by name before, tests cannot be.
pub(super) fn split(parsed: &Parsed, module: &Module, all: &[Parsed]) -> Vec<Mistake> {
    if !is_test(parsed) {
        return Vec::new();
    }
    let imports: BTreeMap<&str, Vec<&str>> = ast::imports(module).into_iter().collect();
    let mut found = Vec::new();
    for name in ast::uses(module).iter().flat_map(|uses| &uses.names) {
        let Some(full) = full_name(&name.path, &parsed.package, &imports) else {
            continue;
        };
        let within = all.iter().filter(|other| is_above(&full, &other.package));
        if within.count() > 1 {
            let message =
                format!("`data.{full}` stands in several files: ask for its rules by name");
            found.push(mistake(&parsed.path, &parsed.text, name.span, message));
        }
    }
    found
}

/// What a module reads and never finds.
pub(super) fn mistakes(parsed: &Parsed, module: &Module, known: &Known) -> Vec<Mistake> {
    let imports: BTreeMap<&str, Vec<&str>> = ast::imports(module).into_iter().collect();
    let mut found = Vec::new();
    for name in ast::uses(module).iter().flat_map(|uses| &uses.names) {
        let Some(root) = name.path.first() else {
            continue;
        };
        let message = if *root == "input" {
            (!is_test(parsed))
                .then(|| unknown_field(parsed.purpose, &name.path))
                .flatten()
        } else if name.params.is_none() && (*root == "data" || imports.contains_key(root)) {
            let full = full_name(&name.path, &parsed.package, &imports);
            let missing = full.filter(|full| !known.has(full) && !is_test(parsed));
            missing.map(|full| format!("no policy defines `data.{full}`"))
        } else {
            None
        };
        found.extend(message.map(|message| {
            let mut at = mistake(&parsed.path, &parsed.text, name.span, message);
            at.width = name.path.join(".").chars().count();
            at
        }));
    }
    found
}

fn unknown_field(purpose: Purpose, path: &[&str]) -> Option<String> {
    let fields = path.get(1..).unwrap_or(&[]);
    let inputs = match purpose {
        Purpose::Exec => vec![example::exec(), example::exec_of_script()],
        Purpose::Connect => vec![example::connect()],
        Purpose::Session => vec![example::session()],
        Purpose::Sandbox => vec![example::sandbox()],
        Purpose::Library => vec![
            example::exec(),
            example::exec_of_script(),
            example::connect(),
            example::session(),
            example::sandbox(),
        ],
        Purpose::Test => return None,
    };
    let longest = inputs.iter().map(|input| depth(input, fields)).max()?;
    let missing = fields.get(longest)?;
    let before = path.get(..=longest).unwrap_or(path).join(".");
    Some(format!("`{before}` has no `{missing}`"))
}

/// How many of `fields` are there, one within the other; all of them where nobody can tell.
fn depth(input: &Value, fields: &[&str]) -> usize {
    let mut value = input;
    for (count, field) in fields.iter().enumerate() {
        match value {
            Value::Object(object) => match object.get(*field) {
                Some(_) if OPEN.contains(field) => return fields.len(),
                Some(inner) => value = inner,
                None => return count,
            },
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                return count;
            }
        }
    }
    fields.len()
}
