//! What a named profile makes of a session, across tiers.

use std::ffi::OsString;

use super::NOTHING;
use super::baseline::request;
use super::tiers::load;
use crate::{Confined, Error, Policies, Profile};

const OWN: &str = "package agentguard.sandbox
profiles contains \"own\"
variables contains {\"name\": \"QUIET\", \"value\": \"1\"} if input.request.profile == \"own\"
arguments contains [\"--b\", \"2\"] if input.request.command[0] == \"own\"
arguments contains [\"--a\"] if input.request.profile == \"own\"
mute contains \"own\"
switched_off contains {\"id\": \"own/off\", \"reason\": \"it cannot be nested\"}
";

fn with(policies: &Policies, profile: &str, command: &[&str]) -> Result<Confined, Error> {
    let mut wants = request();
    wants.profile = Some(profile.to_owned());
    wants.command = command.iter().map(|word| (*word).to_owned()).collect();
    policies.confine(&wants)
}

#[test]
fn a_profile_that_nobody_has_is_refused_and_those_that_are_there_are_named() {
    let policies = Policies::load(&NOTHING).unwrap();
    let Err(Error::Refused { rule }) = with(&policies, "claude", &["claude"]) else {
        panic!("it is not refused");
    };
    assert_eq!(rule.id.to_string(), "profile/unknown");
    assert!(rule.remedy.unwrap().contains("`claude-code`, `codex`"));
    assert!(with(&policies, "claude-code", &["claude"]).is_ok());
}

#[test]
fn what_a_profile_sets_says_and_turns_off_is_the_highest_tiers() {
    let lower = "package agentguard.sandbox
profiles contains \"own\"
variables contains {\"name\": \"MORE\", \"value\": \"1\"}
arguments contains [\"--more\"]
mute contains \"own\"
mute contains \"more\"
switched_off contains {\"id\": \"lower/off\", \"reason\": \"nothing is\"}
";
    let policies = load("profile", None, Some(OWN), Some(lower)).unwrap();
    let confined = with(&policies, "own", &["own", "run"]).unwrap();
    let set = &confined.confinement.variables;
    assert_eq!(set.get("QUIET").map(String::as_str), Some("1"));
    assert!(!set.contains_key("MORE"));
    assert_eq!(confined.confinement.mute, ["own"]);
    assert_eq!(confined.profile.arguments, ["--a", "--b", "2"]);
    let off = confined.profile.switched_off;
    assert_eq!(off.len(), 1);
    assert_eq!(off[0].id.to_string(), "own/off");
    // It may leave profiles out: here all that ship.
    assert!(with(&policies, "codex", &["codex"]).is_err());
}

#[test]
fn a_variable_that_no_program_may_start_with_is_not_set() {
    let policy = "package agentguard.sandbox
variables contains {\"name\": \"LD_AUDIT\", \"value\": \"/x\"}
";
    let policies = load("denied-variable", None, Some(policy), None).unwrap();
    let refused = policies.confine(&request()).err();
    assert!(
        matches!(refused, Some(Error::Refused { .. })),
        "{refused:?}"
    );
}

#[test]
fn words_are_put_behind_the_first() {
    let says = |arguments: &[&str]| Profile {
        name: None,
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        switched_off: Vec::new(),
    };
    let asked = ["agent", "run"].map(OsString::from);
    let command = says(&["--a", "1"]).command(&asked);
    assert_eq!(command, ["agent", "--a", "1", "run"]);
    assert_eq!(says(&[]).command(&asked), asked);
}
