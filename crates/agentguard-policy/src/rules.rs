//! Values of the engine, as rules.

use regorus::Value;

use agentguard_core::{Rule, RuleId};

/// Reads a set of `{"id", "reason", "remedy"}`. Anything else in it is no rule, and no verdict.
pub(crate) fn read_set(value: &Value) -> Result<Vec<Rule>, String> {
    let Value::Set(set) = value else {
        return Err("it is not a set".to_owned());
    };
    set.iter().map(read).collect()
}

fn read(value: &Value) -> Result<Rule, String> {
    let Value::Object(object) = value else {
        return Err("a rule is an object of `id`, `reason` and `remedy`".to_owned());
    };
    let mut id = None;
    let mut reason = None;
    let mut remedy = None;
    for (key, value) in object.iter() {
        let (Value::String(key), Value::String(text)) = (key, value) else {
            return Err("a rule's `id`, `reason` and `remedy` are strings".to_owned());
        };
        match &**key {
            "id" => id = Some(RuleId::parse(text).map_err(|error| error.to_string())?),
            "reason" => reason = Some(text.to_string()),
            "remedy" => remedy = Some(text.to_string()),
            other => return Err(format!("a rule has no `{other}`")),
        }
    }
    match (id, reason) {
        (Some(id), Some(reason)) if !reason.trim().is_empty() => Ok(Rule { id, reason, remedy }),
        (Some(id), Some(_) | None) => Err(format!("rule `{id}` gives no reason")),
        (None, _) => Err("a rule has no `id`".to_owned()),
    }
}
