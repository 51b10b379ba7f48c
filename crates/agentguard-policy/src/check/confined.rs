//! Whether what the tiers say of `agentguard.sandbox` is a confinement, for an example.

use crate::ast;
use crate::error::{Error, Mistake, tier_word};
use crate::example;
use crate::module;
use crate::policies::Policies;
use crate::sources::Source;

/// What would keep every session from beginning, though each rule by itself is fine.
pub(super) fn mistake(policies: &Policies, all: &[Source]) -> Option<Mistake> {
    match policies.confine(&example::request()?) {
        Err(Error::Unconfined { tier, reason }) => placed(all, tier, &reason),
        // What refuses the example does not refuse every session.
        Ok(_) | Err(_) => None,
    }
}

/// At the first rule of the set that the reason begins with.
fn placed(all: &[Source], tier: &str, reason: &str) -> Option<Mistake> {
    let source = all.iter().find(|source| tier_word(source.tier) == tier)?;
    let set = reason.split('`').nth(1);
    for file in &source.files {
        let Ok(parsed) = module::read(source, file) else {
            continue;
        };
        let heads = ast::heads(&parsed.module);
        let rule = heads.iter().find(|head| Some(head.name) == set);
        if let Some(rule) = rule.filter(|_| parsed.package == "agentguard.sandbox") {
            return Some(parsed.mistake(rule.span, reason));
        }
    }
    let first = source.files.first()?;
    Some(Mistake::at(
        &source.path(first),
        &first.text,
        (1, 1, 1),
        reason,
    ))
}
