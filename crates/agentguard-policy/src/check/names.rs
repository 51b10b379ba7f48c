//! Names: whether what a rule reads of `input` and `data` is ever there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::is_test;
use crate::ast;
use crate::error::Mistake;
use crate::example;
use crate::module::{Parsed, Purpose};
use crate::recursion::{full_name, is_above};

/// Objects of `input` whose keys are the world's.
const OPEN: &[&str] = &["body", "environment", "flags", "form", "headers", "query"];

/// Every rule of a tier and its library.
pub(crate) struct Known {
    /// By full name, with the number of arguments where it is a function.
    rules: BTreeMap<String, Option<usize>>,
}

impl Known {
    pub(crate) fn of<'a>(parsed: impl Iterator<Item = &'a Parsed>) -> Self {
        let mut rules = BTreeMap::new();
        for parsed in parsed {
            for (head, rule) in ast::heads(&parsed.module).iter().zip(&parsed.module.policy) {
                let name = format!("{}.{}", parsed.package, head.name);
                let arity = rules.entry(name).or_insert(None);
                *arity = arity.or(ast::arity(rule));
            }
        }
        Self { rules }
    }

    /// How many arguments the function of this name takes, as `module` writes it.
    pub(super) fn function(&self, parsed: &Parsed, path: &[&str]) -> Option<usize> {
        let imports = ast::imports(&parsed.module).into_iter().collect();
        let name = full_name(path, &parsed.package, &imports)?;
        self.rules.get(&name).copied().flatten()
    }

    fn has(&self, name: &str) -> bool {
        let mut names = self.rules.keys();
        name.is_empty() || names.any(|known| is_above(known, name) || is_above(name, known))
    }
}

/// What a module reads and never finds.
pub(crate) fn mistakes(parsed: &Parsed, known: &Known) -> Vec<Mistake> {
    let imports: BTreeMap<&str, Vec<&str>> = ast::imports(&parsed.module).into_iter().collect();
    let mut found = Vec::new();
    for name in ast::uses(&parsed.module)
        .iter()
        .flat_map(|uses| &uses.names)
    {
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
            let mut at = parsed.mistake(name.span, message);
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
        Purpose::File => vec![example::file()],
        Purpose::Connect => vec![example::connect()],
        Purpose::Reach => vec![example::reach()],
        Purpose::Api => vec![
            example::api(),
            example::api_of_graphql(),
            example::api_of_form(),
            example::api_of_upgrade(),
        ],
        Purpose::Push => vec![example::push(), example::written(), example::merging()],
        Purpose::Session => vec![example::session()],
        Purpose::Sandbox => vec![example::sandbox()],
        Purpose::Library => vec![
            example::exec(),
            example::exec_of_script(),
            example::file(),
            example::connect(),
            example::reach(),
            example::api(),
            example::push(),
            example::written(),
            example::api_of_graphql(),
            example::api_of_form(),
            example::api_of_upgrade(),
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
