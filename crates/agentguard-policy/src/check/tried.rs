//! What goes wrong when every rule is asked, about nothing and about something.

use std::panic::{AssertUnwindSafe, catch_unwind};

use regorus::Value;

use crate::engine::located;
use crate::error::Mistake;
use crate::example;
use crate::module::{Parsed, Purpose};
use crate::whole::Whole;

/// Evaluates every module without input, and each kind with an example of its own.
pub(super) fn mistakes(whole: &mut Whole) -> Vec<Mistake> {
    let rules: Vec<String> = whole.parsed.iter().flat_map(asked).collect();
    let mut found = Vec::new();
    let empty = std::iter::once(("{}".to_owned(), None));
    let kinds = [
        (Purpose::Exec, example::exec()),
        (Purpose::Exec, example::exec_of_script()),
        (Purpose::Connect, example::connect()),
        (Purpose::Session, example::session()),
        (Purpose::Sandbox, example::sandbox()),
    ];
    let examples = kinds.map(|(purpose, input)| (input.to_string(), Some(purpose)));
    for (input, purpose) in empty.chain(examples) {
        let Ok(input) = Value::from_json_str(&input) else {
            continue;
        };
        for rule in &rules {
            if is_for(whole, rule, purpose) {
                found.extend(evaluate(whole, rule, input.clone()));
            }
        }
    }
    found
}

/// The rules of a module that decide or confine.
fn asked(parsed: &Parsed) -> Vec<String> {
    let name = |word: &String| format!("data.{}.{word}", parsed.package);
    parsed.defines.iter().map(name).collect()
}

fn is_for(whole: &Whole, rule: &str, purpose: Option<Purpose>) -> bool {
    let of = |parsed: &&Parsed| asked(parsed).iter().any(|name| name == rule);
    let found = whole.parsed.iter().find(of).map(|parsed| parsed.purpose);
    purpose.is_none() || found == purpose
}

fn evaluate(whole: &mut Whole, rule: &str, input: Value) -> Option<Mistake> {
    let mut engine = whole.engine.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        engine.set_input(input);
        engine.eval_rule(rule.to_owned())
    }));
    let said = match outcome {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the engine broke down".to_owned(),
    };
    located(&whole.parsed, &said)
        .mistakes()
        .first()
        .copied()
        .cloned()
}
