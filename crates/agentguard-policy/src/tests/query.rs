//! What queries give, and how inputs are read.

use agentguard_core::{Action, Tier};

use super::tiers::Folder;
use super::{NOTHING, exec, session, shipped};
use crate::{Asked, Error, Policies, Sources};

#[test]
fn a_query_is_answered_in_every_tier() {
    let folder = Folder::new(
        "query",
        &[(
            "own.rego",
            "package agentguard.lib\nprotected_branches contains \"release\"\n",
        )],
    );
    let both = Sources {
        user: Some(folder.path().to_owned()),
        ..NOTHING
    };
    let policies = Policies::load(&both).unwrap();
    let answers = policies
        .query("data.agentguard.lib.protected_branches", "{}")
        .unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].tier, Tier::User);
    assert!(
        answers[0].values[0].contains("\"release\"") && answers[0].values[0].contains("\"main\"")
    );
    let shipped = Policies::load(&NOTHING).unwrap();
    let answers = shipped
        .query("data.agentguard.lib.protected_branches", "{}")
        .unwrap();
    assert_eq!(answers[0].tier, Tier::Shipped);
    assert!(!answers[0].values[0].contains("\"release\""));
}

#[test]
fn a_package_asked_for_as_a_whole_is_whole() {
    let policies = Policies::load(&NOTHING).unwrap();
    let input = "{\"request\": {\"network\": \"isolated\", \"ports\": [], \"environment\": [], \"git_directories\": []}}";
    let whole = policies.query("data.agentguard.sandbox", input).unwrap();
    let value: serde_json::Value = serde_json::from_str(&whole[0].values[0]).unwrap();
    for name in ["read", "masks", "pins", "environment", "covered"] {
        assert!(
            value[name].as_array().is_some_and(|set| !set.is_empty()),
            "{name}"
        );
    }
}

#[test]
fn what_cannot_be_asked_is_an_error() {
    let policies = Policies::load(&NOTHING).unwrap();
    let deep = "[".repeat(5000);
    for (query, input) in [
        ("data.", "{}"),
        ("x := ", "{}"),
        (deep.as_str(), "{}"),
        ("1", "{"),
        ("to_number(\"x\")", "{}"),
    ] {
        assert!(policies.query(query, input).is_err(), "{query:.20}");
    }
    assert!(
        policies.query("input.nothing", "{}").unwrap()[0]
            .values
            .is_empty()
    );
}

#[test]
fn an_input_is_read_back_as_the_action_it_was_made_of() {
    let judge = shipped();
    let question = judge.question(Action::Exec(exec(&["git", "push", "-f"])));
    let asked = Asked::parse(question.input()).unwrap();
    assert_eq!(&asked.action, question.action());
    assert_eq!(asked.session, Some(session()));
    let own = Asked::parse(&question.own_input()).unwrap();
    assert_eq!((&own.action, own.session), (question.action(), None));
    for wrong in [
        "",
        "{}",
        "[]",
        "{\"schema\": 1}",
        "{\"schema\": 2, \"action\": {\"kind\": \"exec\"}}",
    ] {
        assert!(
            matches!(Asked::parse(wrong), Err(Error::Query { .. })),
            "{wrong}"
        );
    }
}
