//! Laws that hold whatever is asked.

use agentguard_core::{Action, Judge as _, Verdict};
use proptest::prelude::*;

use super::baseline::request;
use super::tiers::load;
use super::{NOTHING, exec, session, shipped};
use crate::{Policies, SessionJudge};

fn words() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        Just("git"),
        Just("push"),
        Just("-f"),
        Just("--force"),
        Just("origin"),
        Just("main"),
        Just("topic"),
        Just("npm"),
        Just("publish"),
        Just("sudo"),
        Just("rm"),
        Just("-rf"),
        Just("/"),
        Just("x"),
        Just("env"),
        Just("-c"),
        Just("core.hooksPath=/x"),
        Just("bash"),
        Just("sh"),
        Just("$x"),
        Just("é"),
        Just(""),
    ];
    prop::collection::vec(word.prop_map(str::to_owned), 1..7)
}

fn ask(judge: &SessionJudge, words: &[String]) -> Verdict {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let question = judge.question(Action::Exec(exec(&words)));
    assert!(serde_json::from_str::<serde_json::Value>(question.input()).is_ok());
    judge.judge(&question).unwrap()
}

/// The shipped policies, loaded once for all cases.
fn loaded() -> Policies {
    static LOADED: std::sync::OnceLock<Policies> = std::sync::OnceLock::new();
    LOADED
        .get_or_init(|| Policies::load(&NOTHING).unwrap())
        .clone()
}

/// The same by way of a bundle.
fn again() -> Policies {
    static LOADED: std::sync::OnceLock<Policies> = std::sync::OnceLock::new();
    LOADED
        .get_or_init(|| Policies::from_bundle(&loaded().bundle()).unwrap())
        .clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The shipped files are read kind by kind and unchecked; as a bundle they are read whole and checked.
    #[test]
    fn what_ships_decides_alike_however_it_is_read(asked in prop::collection::vec(words(), 1..6)) {
        let read = again();
        for words in &asked {
            let compiled_in = ask(&loaded().judge(session()), words);
            prop_assert_eq!(compiled_in, ask(&read.judge(session()), words));
        }
    }

    #[test]
    fn what_is_remembered_is_what_the_engine_says(asked in prop::collection::vec(words(), 1..6)) {
        let policies = loaded();
        let remembering = policies.judge(session());
        for words in asked.iter().chain(&asked) {
            let fresh = policies.judge(session());
            prop_assert_eq!(ask(&remembering, words), ask(&fresh, words));
        }
    }
}

#[test]
fn sessions_do_not_share_what_they_remember() {
    let policies = Policies::load(&NOTHING).unwrap();
    let push: Vec<String> = ["git", "push", "origin"].map(str::to_owned).to_vec();
    let mut on_main = session();
    on_main.branch = Some("main".to_owned());
    assert!(matches!(
        ask(&policies.judge(session()), &push),
        Verdict::Allow(_)
    ));
    assert!(matches!(
        ask(&policies.judge(on_main), &push),
        Verdict::Deny(_)
    ));
}

#[test]
fn the_input_is_the_same_each_time_and_whole() {
    let judge = shipped();
    let action = Action::Exec(exec(&["git", "push", "-f"]));
    let question = judge.question(action.clone());
    assert_eq!(question.input(), judge.question(action.clone()).input());
    let input: serde_json::Value = serde_json::from_str(question.input()).unwrap();
    assert_eq!(input["schema"], crate::SCHEMA);
    assert_eq!(input["action"], serde_json::to_value(&action).unwrap());
    assert_eq!(input["session"], serde_json::to_value(session()).unwrap());
    assert_eq!(
        input["facts"]["commands"][0]["flags"]["--force"],
        serde_json::json!([])
    );
}

#[test]
fn a_bundle_decides_as_the_files_did() {
    let policies = Policies::load(&NOTHING).unwrap();
    let again = Policies::from_bundle(&policies.bundle()).unwrap();
    assert_eq!(policies.digests(), again.digests());
    let confined = [&policies, &again].map(|one| one.confine(&request()).unwrap().confinement);
    assert_eq!(confined[0], confined[1]);
    let push: Vec<String> = ["git", "push", "-f", "o", "x"].map(str::to_owned).to_vec();
    assert_eq!(
        ask(&policies.judge(session()), &push),
        ask(&again.judge(session()), &push)
    );
    assert!(Policies::from_bundle("{}").is_err());
}

/// What one of our versions reads, and the next does not know, is no reason to lose what was decided by it.
#[test]
fn a_bundle_with_a_field_that_is_not_there_still_decides() {
    let rule = "deny contains {\"id\": \"own/x\", \"reason\": \"x\"} if input.action.argv[1] == \"push\"\n";
    let rules = format!("package agentguard.exec.own\n{rule}");
    let bundle = load("bundle-field", None, Some(&rules), None)
        .unwrap()
        .bundle();
    let old = bundle.replace("input.action.argv[1]", "input.action.words[1]");
    assert_ne!(bundle, old);
    let old = Policies::from_bundle(&old).unwrap();
    let push: Vec<String> = ["git", "push"].map(str::to_owned).to_vec();
    let rule = |judge: &SessionJudge| format!("{:?}", ask(judge, &push)).contains("own/x");
    assert!(rule(
        &Policies::from_bundle(&bundle).unwrap().judge(session())
    ));
    assert!(!rule(&old.judge(session())));
}
