//! Whether what the tiers say of `agentguard.sandbox` is a confinement, for an example.

use crate::error::{Error, Mistake, tier_word};
use crate::example;
use crate::policies::Policies;
use crate::sources::Source;

/// What would keep every session from beginning, though each rule by itself is fine.
pub(super) fn mistake(policies: &Policies, all: &[Source]) -> Option<Mistake> {
    match policies.confine(&example::request()?) {
        Err(Error::Invalid { first, .. }) => Some(first),
        Err(Error::Unconfined { tier, reason }) => at_the_beginning(all, tier, &reason),
        // What refuses the example does not refuse every session.
        Ok(_) | Err(_) => None,
    }
}

/// No rule says it by itself: of its tier the first file is named.
fn at_the_beginning(all: &[Source], tier: &str, reason: &str) -> Option<Mistake> {
    let source = all.iter().find(|source| tier_word(source.tier) == tier)?;
    let first = source.files.first()?;
    Some(Mistake::at(
        &source.path(first),
        &first.text,
        (1, 1, 1),
        reason,
    ))
}
