//! What a check finds that loading does not, and that it finds nothing where nothing is.

use std::path::Path;

use super::tiers::Folder;
use crate::{Policies, Sources, check};

/// Rules that load, and what is said of them.
const WRONG: &[(&str, &str)] = &[
    (
        "x if no_such_function(1)",
        "4:6: there is no function `no_such_function`",
    ),
    ("x if lib.no_such(1)", "there is no function `lib.no_such`"),
    (
        "x if data.agentguard.lib.no_such(1)",
        "there is no function `data.agentguard.lib.no_such`",
    ),
    (
        "x if crypto.sha256(\"x\") == \"y\"",
        "there is no function `crypto.sha256`",
    ),
    (
        "x if startswith(\"a\")",
        "`startswith` takes 2 arguments, not 1",
    ),
    ("x if count({1}, 2, 3)", "`count` takes 1 argument, not 3"),
    (
        "x if lib.below(\"a\")",
        "`lib.below` takes 2 arguments, not 1",
    ),
    ("f(a) := a\nx if f(1, 2, 3)", "`f` takes 1 argument, not 3"),
    ("x if print(1)", "`print` is for tests"),
    (
        "x if regex.match(\"(\", \"a\")",
        "4:19: the pattern cannot be read",
    ),
    (
        "x if regex.match(`\\w{10,1500}`, \"a\")",
        "4:19: the pattern is too large",
    ),
    (
        "x if regex.replace(\"a\", \"[\", \"b\") == \"\"",
        "4:26: the pattern cannot be read",
    ),
    (
        "x := sprintf(\"%5s and %-5s\", [1, 2])",
        "4:15: `sprintf` knows no `%5s`",
    ),
    (
        "x := sprintf(\"%05d %.2f %t\", [1, 2, true])",
        "knows no `%t`",
    ),
    ("x := sprintf(\"%5.2f\", [1])", "knows no `%5.`"),
    (
        "x if input.actoin.argv[0] == \"x\"",
        "4:6: `input` has no `actoin`",
    ),
    (
        "x if input.action.cmd == \"x\"",
        "`input.action` has no `cmd`",
    ),
    (
        "x if input.session.human.name == \"x\"",
        "`input.session.human` has no `name`",
    ),
    ("x if input.action.cwd.x", "`input.action.cwd` has no `x`"),
    ("x if input.request.profile", "`input` has no `request`"),
    (
        "x if data.agentguard.lib.protected_brnches",
        "no policy defines `data.agentguard.lib.protected_brnches`",
    ),
    (
        "x if lib.nothing",
        "no policy defines `data.agentguard.lib.nothing`",
    ),
    (
        "deny contains {\"id\": \"a/b\", \"reason\": startswith(input.action.argv, \"x\")}",
        "`startswith` expects string",
    ),
    (
        "deny contains {\"id\": \"a/b\", \"reason\": y}\ny := \"1\" if true\ny := \"2\" if true",
        "rule conflicts with rule",
    ),
    (
        "deny contains {\"id\": \"a/b\", \"reason\": to_number(\"x\")}",
        "to_number",
    ),
];

fn said(directory: &Path) -> Vec<String> {
    let checked = check(&Sources::alone(directory)).unwrap();
    checked
        .mistakes
        .iter()
        .map(crate::Mistake::render)
        .collect()
}

#[test]
fn what_makes_no_confinement_is_shown_in_its_place() {
    for (rule, expected) in [
        ("hosts contains \"*.com\"", "`*.com` grants no hosts"),
        ("read contains \"relative\"", "`read` holds"),
        ("network contains \"none\"", "`network` holds"),
    ] {
        let text = format!("package agentguard.sandbox\n\n{rule}\n");
        let folder = Folder::new("check-confined", &[("own.rego", &text)]);
        let said = said(folder.path());
        assert!(
            matches!(said.as_slice(), [one] if one.contains(expected) && one.contains("own.rego:3:1")),
            "{rule}: {said:?}"
        );
    }
}

#[test]
fn what_would_fail_or_be_silent_when_asked_is_shown_in_its_place() {
    for (rule, expected) in WRONG {
        let text = format!("package agentguard.exec.own\n\nimport data.agentguard.lib\n{rule}\n");
        let folder = Folder::new("check", &[("own.rego", &text)]);
        let said = said(folder.path());
        assert!(
            said.iter()
                .any(|one| one.contains(expected) && one.contains("own.rego:")),
            "{rule}: {said:?}"
        );
    }
}

#[test]
fn what_loading_finds_is_found_too_each_once() {
    let folder = Folder::new(
        "check-load",
        &[
            ("a.rego", "package agentguard.no\n"),
            (
                "b.rego",
                "package agentguard.exec.b\nx if rand.intn(\"a\", 2) == 1\n",
            ),
            (
                "c.rego",
                "package agentguard.exec.c\nx if nothing_such(1)\n",
            ),
            ("deny.toml", "schema = 1\n[[host]]\nid = \"a/b\"\n"),
        ],
    );
    let said = said(folder.path());
    assert_eq!(said.len(), 4, "{said:#?}");
}

#[test]
fn fields_that_are_there_and_functions_that_exist_are_no_mistakes() {
    let text = "package agentguard.exec.own

import data.agentguard.lib

deny contains {\"id\": \"own/x\", \"reason\": sprintf(\"%s\", [name])} if {
	some name in input.facts.names
	some command in lib.commands(\"git\")
	command.flags[\"--force\"]
	input.action.script.class == \"workspace\"
	input.action.environment.ANYTHING == \"x\"
	input.session.branch == \"x\"
	input.session.trigger.facts[0] == \"x\"
	regex.match(`^[A-Za-z0-9_]{10,64}$`, name)
	regex.match(`(?i)^\\s*\\w+\\b\\d\\p{L}`, sprintf(\"%s %v %05d %.2f %x%%\", [name, 1, 2, 3, 4]))
	walk(input.facts, [_, value])
	value == f(1)
	data.agentguard.lib.protected_branches[name]
}

f(x) := x
";
    let folder = Folder::new("check-fine", &[("own.rego", text)]);
    assert_eq!(said(folder.path()), Vec::<String>::new());
}

#[test]
fn what_ships_is_without_mistake() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
    assert_eq!(said(Path::new(folder)), Vec::<String>::new());
    let checked = check(&super::NOTHING).unwrap();
    assert!(checked.mistakes.is_empty() && checked.files > 10);
}

/// The engine's table says how many arguments each function takes: it is believed, so it is tried.
#[test]
fn the_engine_agrees_with_its_own_table() {
    for (name, (_, arity)) in regorus::unstable::BUILTINS.iter() {
        let arguments = vec!["null"; usize::from(*arity)].join(", ");
        let mut engine = regorus::Engine::new();
        engine.set_strict_builtin_errors(true);
        let text = format!("package p\nx := {name}({arguments})\n");
        if engine.add_policy("p".to_owned(), text).is_err() {
            continue; // `trace` and alike have a place in the grammar
        }
        let said = engine.eval_rule("data.p.x".to_owned());
        let said = said.map_or_else(|error| error.to_string(), |value| value.to_string());
        for wrong in ["argument\n", "arguments\n", "could not find"] {
            let about_number = said
                .lines()
                .any(|line| line.contains("expects") && format!("{line}\n").ends_with(wrong));
            assert!(!about_number, "{name}: {said}");
        }
    }
}

/// A tier below the highest has the functions that ship and nothing else of it.
#[test]
fn a_repositorys_policy_is_checked_as_one() {
    let folder = Folder::new("check-repository", &[]);
    let own = folder.path().join(".agentguard/policy");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(
        own.join("deny.toml"),
        "schema = 1\nlift = [\"git/no-verify\"]\n",
    )
    .unwrap();
    assert!(said(&own)[0].contains("only the highest tier may lift"));
    assert!(Policies::load(&Sources::alone(&own)).is_err());
}
