//! What goes wrong when every rule is asked, about nothing and about something.

use std::collections::BTreeMap;

use crate::apart::Apart;
use crate::ast::{self, Shape};
use crate::engine::located;
use crate::error::Mistake;
use crate::example;
use crate::module::{Parsed, Purpose};

/// Evaluates every module without input, and each kind with an example of its own.
pub(super) fn mistakes(parsed: &[Parsed], tier: &Apart) -> Vec<Mistake> {
    let rules: BTreeMap<String, Purpose> = parsed.iter().flat_map(asked).collect();
    let mut found = Vec::new();
    let empty = std::iter::once(("{}".to_owned(), None));
    let kinds = [
        (Purpose::Exec, example::exec()),
        (Purpose::Exec, example::exec_of_script()),
        (Purpose::File, example::file()),
        (Purpose::Connect, example::connect()),
        (Purpose::Reach, example::reach()),
        (Purpose::Api, example::api()),
        (Purpose::Push, example::push()),
        (Purpose::Push, example::written()),
        (Purpose::Push, example::merging()),
        (Purpose::Api, example::api_of_graphql()),
        (Purpose::Api, example::api_of_form()),
        (Purpose::Api, example::api_of_upgrade()),
        (Purpose::Session, example::session()),
        (Purpose::Sandbox, example::sandbox()),
    ];
    let examples = kinds.map(|(purpose, input)| (input.to_string(), Some(purpose)));
    for (input, purpose) in empty.chain(examples) {
        for (rule, of) in &rules {
            if purpose.is_none_or(|purpose| purpose == *of) {
                found.extend(evaluate(parsed, tier, rule, &input));
            }
        }
    }
    found
}

/// The rules of a module that are no functions: those that decide, and what stands beside them.
fn asked(parsed: &Parsed) -> Vec<(String, Purpose)> {
    if parsed.purpose == Purpose::Test {
        return Vec::new();
    }
    let is_value =
        |head: &&ast::Head<'_>| matches!(head.shape, Shape::Set | Shape::Complete) && head.is_plain;
    let heads = ast::heads(&parsed.module);
    let names = heads.iter().filter(is_value).map(|head| head.name);
    names
        .map(|name| (format!("data.{}.{name}", parsed.package), parsed.purpose))
        .collect()
}

fn evaluate(parsed: &[Parsed], tier: &Apart, rule: &str, input: &str) -> Option<Mistake> {
    let said = match tier.rule(rule, Some(input)) {
        Ok(evaluated) => evaluated.value.err()?,
        Err(reason) => return Some(beyond(parsed, rule, &reason)),
    };
    located(parsed, &said).mistakes().first().copied().cloned()
}

/// What ended the evaluator says no place: the rule's own is shown.
fn beyond(parsed: &[Parsed], rule: &str, reason: &str) -> Mistake {
    for parsed in parsed {
        for head in ast::heads(&parsed.module) {
            if format!("data.{}.{}", parsed.package, head.name) == rule {
                return parsed.mistake(head.span, reason);
            }
        }
    }
    Mistake::at(rule, "", (1, 1, 1), reason)
}
