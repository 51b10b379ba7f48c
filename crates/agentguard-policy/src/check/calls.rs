//! Calls: whether the function exists, takes so many arguments, and can read the patterns it is given.

use regorus::unstable::{BUILTINS, Expr, Ref};
use regorus::{Engine, Value};

use super::is_test;
use super::names::Known;
use crate::ast::{self, Use};
use crate::error::{Mistake, engine_message};
use crate::module::Parsed;

/// What is wrong with a module's calls.
pub(super) fn mistakes(parsed: &Parsed, known: &Known) -> Vec<Mistake> {
    let mut found = Vec::new();
    for name in ast::uses(&parsed.module)
        .iter()
        .flat_map(|uses| &uses.names)
    {
        let Some(params) = name.params else { continue };
        let written = name.path.join(".");
        let wrong = wrong_call(parsed, known, name, params);
        found.extend(wrong.map(|message| {
            let mut at = parsed.mistake(name.span, message);
            at.width = written.chars().count();
            at
        }));
        if written == "sprintf"
            && let Some((span, format)) = params.first().and_then(|format| ast::literal(format))
            && let Some(verb) = unknown_verb(&format)
        {
            let message = format!("`sprintf` knows no `{verb}`: it would be an error, or left out");
            found.push(parsed.mistake(span, message));
        }
        for (span, pattern) in patterns(&written, params) {
            if let Some(why) = unreadable(&pattern) {
                found.push(parsed.mistake(span, why));
            }
        }
    }
    found
}

fn wrong_call(
    parsed: &Parsed,
    known: &Known,
    name: &Use<'_>,
    params: &[Ref<Expr>],
) -> Option<String> {
    let written = name.path.join(".");
    if written == "print" {
        let message = "`print` is for tests: what rules see is not shown to anybody";
        return (!is_test(parsed)).then(|| message.to_owned());
    }
    let takes = match known.function(parsed, &name.path) {
        Some(arity) => arity,
        None => match BUILTINS.get(written.as_str()) {
            Some((_, arity)) => usize::from(*arity),
            None => return Some(format!("there is no function `{written}`")),
        },
    };
    // With one more argument, what it gives is put there.
    let fits = params.len() == takes || params.len() == takes + 1;
    (!fits).then(|| {
        let noun = if takes == 1 { "argument" } else { "arguments" };
        format!("`{written}` takes {takes} {noun}, not {}", params.len())
    })
}

/// The patterns among the arguments that are written out.
fn patterns<'a>(
    function: &str,
    params: &'a [Ref<Expr>],
) -> Vec<(&'a regorus::unstable::Span, String)> {
    let place = match function {
        "regex.find_all_string_submatch_n" | "regex.find_n" | "regex.match" | "regex.split" => 0,
        "regex.replace" => 1,
        _ => return Vec::new(),
    };
    let pattern = params.get(place).and_then(|param| ast::literal(param));
    pattern.into_iter().collect()
}

/// The first verb that Go's formats have and the engine's have not: what it does not know it leaves out.
fn unknown_verb(format: &str) -> Option<String> {
    let mut rest = format;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.strip_prefix('.').unwrap_or(after);
        let verb = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        let first = verb.chars().next()?;
        let known = if digits.len() == verb.len() {
            "%sdvqbcoOxXeEfFg"
        } else {
            "doOxXfF"
        };
        let length = after.len() - verb.len() + first.len_utf8();
        let (token, left) = after.split_at_checked(length)?;
        if !known.contains(first) {
            return Some(format!("%{token}"));
        }
        rest = left;
    }
    None
}

/// Why the engine cannot read a pattern, if it cannot.
fn unreadable(pattern: &str) -> Option<String> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    engine.set_input(Value::from(pattern));
    let text = "package p\nx := regex.match(input, \"\")\n".to_owned();
    engine.add_policy("pattern".to_owned(), text).ok()?;
    let error = engine.eval_rule("data.p.x".to_owned()).err()?.to_string();
    if error.contains("size limit") {
        return Some(
            "the pattern is too large once compiled: use `[A-Za-z0-9_]` for `\\w` where it is counted"
                .to_owned(),
        );
    }
    Some(format!(
        "the pattern cannot be read: {}",
        engine_message(&error)
    ))
}
