//! An entry read for verification: borrowed, and only what is checked of every entry.

use std::borrow::Cow;

use agentguard_core::{CredentialAct, Evidence};
use serde::Deserialize;

/// An entry, as far as it is checked.
#[derive(Deserialize)]
pub(crate) struct Lean<'e> {
    pub(crate) v: u8,
    pub(crate) seq: u64,
    pub(crate) time: &'e str,
    pub(crate) mono: u64,
    pub(crate) boot: &'e str,
    pub(crate) session: &'e str,
    pub(crate) agent: &'e str,
    #[serde(borrow)]
    pub(crate) human: Cow<'e, str>,
    pub(crate) evidence: Evidence,
    #[serde(borrow)]
    pub(crate) event: LeanEvent<'e>,
}

/// An event, as far as it is checked. What other kinds have is passed over.
#[derive(Deserialize)]
pub(crate) struct LeanEvent<'e> {
    pub(crate) kind: &'e str,
    #[serde(default)]
    pub(crate) ruling: Option<LeanRuling<'e>>,
    #[serde(default)]
    pub(crate) of: Option<u64>,
    #[serde(default)]
    pub(crate) outcome: Option<LeanOutcome<'e>>,
    #[serde(default)]
    pub(crate) text: Option<&'e str>,
    #[serde(default)]
    pub(crate) act: Option<CredentialAct>,
    #[serde(default, borrow)]
    pub(crate) handle: Option<Cow<'e, str>>,
}

/// What was decided.
#[derive(Deserialize)]
pub(crate) struct LeanRuling<'e> {
    pub(crate) ruling: &'e str,
}

/// What came of it.
#[derive(Deserialize)]
pub(crate) struct LeanOutcome<'e> {
    pub(crate) result: &'e str,
}
