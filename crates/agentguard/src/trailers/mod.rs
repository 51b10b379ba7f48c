//! Trailers by which commits name their session and its log.
//!
//! git asks hooks what is to become of a message, and has one directory for all hooks. So the session has a directory of
//! the guard's, where each name is one script: it adds the trailers and starts the hook that the repository has itself.

use agentguard_audit::{Places, name_of_logs};
use agentguard_core::{Confinement, Level, Rule};
use agentguard_sandbox::{HOOKS, Hooks};

use crate::lending::tell_git;
use crate::{Arranged, Error};

const SCRIPT: &str = include_str!("hook.sh");

/// The hooks of git (githooks(5)) but for two: that `push-to-checkout` and `proc-receive` are there changes what git
/// does, and `fsmonitor-watchman` is named by a setting of its own.
const NAMES: [&str; 25] = [
    "applypatch-msg",
    "commit-msg",
    "p4-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "p4-prepare-changelist",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "reference-transaction",
    "sendemail-validate",
    "update",
];

/// Switches trailers off where they cannot be had. Returns why.
pub(crate) fn look(confinement: &mut Confinement) -> Option<Rule> {
    if !confinement.names_session {
        return None;
    }
    match confinement.level {
        Level::Full => return None,
        Level::NoNamespaces | Level::OldKernel => {}
    }
    confinement.names_session = false;
    let reason = "commits do not name the session: without mounts there is no place for hooks that is the guard's alone";
    Some(Rule::new("trailers/off", reason))
}

/// Has git in the session name it in what it commits.
///
/// # Errors
///
/// Returns what keeps the name of the logs from being known.
pub(crate) fn arrange(places: &Places, arranged: &mut Arranged) -> Result<(), Error> {
    if !arranged.confined.confinement.names_session {
        return Ok(());
    }
    let log = name_of_logs(places)?;
    let session = &arranged.session.id;
    // Both are hexadecimal digits, and a word of ours.
    let script = format!("#!/bin/sh\nagentguard_session={session}\nagentguard_log={log}\n{SCRIPT}");
    let plan = &mut arranged.plan;
    plan.hooks = Some(Hooks {
        script,
        names: NAMES.map(str::to_owned).to_vec(),
    });
    let setting = ("core.hooksPath".to_owned(), HOOKS.to_owned());
    tell_git(&mut plan.environment, &[setting]);
    Ok(())
}
