//! Where in a policy stands what makes no confinement.

use crate::ast;
use crate::error::{Error, Mistake, tier_word};
use crate::module::{self, Parsed};
use crate::sources::Source;

/// Shows what makes no confinement in its place, where a policy that was read says it. What ships answers to flags
/// and is not to blame.
pub(crate) fn placed(error: Error, all: &[Source]) -> Error {
    let Error::Unconfined { tier, reason } = error else {
        return error;
    };
    match mistake(all, tier, &reason) {
        Some(first) => Error::Invalid {
            first,
            others: Vec::new(),
        },
        None => Error::Unconfined { tier, reason },
    }
}

/// At the rule of the set that the reason begins with: the one that writes the value out, else the first.
fn mistake(all: &[Source], tier: &str, reason: &str) -> Option<Mistake> {
    let set = reason.split('`').nth(1)?;
    let held = reason
        .split_once(" holds ")
        .and_then(|(_, rest)| rest.rsplit_once(", "));
    let value = held.map_or_else(
        || reason.split('`').nth(3).unwrap_or(""),
        |(value, _)| value,
    );
    let is_meant = |source: &&Source| {
        !source.embedded && (tier == "highest" || tier_word(source.tier) == tier)
    };
    let mut found = Vec::new();
    for source in all.iter().filter(is_meant) {
        let read = source
            .files
            .iter()
            .flat_map(|file| module::read(source, file));
        let sandbox = read.filter(|parsed| parsed.package == "agentguard.sandbox");
        found.extend(sandbox.flat_map(|parsed| rules_of(&parsed, set, reason)));
    }
    let written = found.iter().position(|one| one.text.contains(value));
    (!found.is_empty()).then(|| found.swap_remove(written.unwrap_or(0)))
}

fn rules_of(parsed: &Parsed, set: &str, reason: &str) -> Vec<Mistake> {
    let heads = ast::heads(&parsed.module);
    let rules = heads.iter().filter(|head| head.name == set);
    rules
        .map(|head| parsed.mistake(head.span, reason))
        .collect()
}
