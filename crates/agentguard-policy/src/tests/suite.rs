//! Tests of policies, and what is said of them.

use std::path::Path;

use super::tiers::Folder;
use crate::{Error, Outcome, Sources, Suite};

fn suite(folder: &Folder) -> Suite {
    Suite::load(&Sources::alone(folder.path())).unwrap()
}

#[test]
fn every_test_of_the_shipped_policies_passes() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies"));
    let suite = Suite::load(&Sources::alone(folder)).unwrap();
    assert!(suite.count() > 25);
    for ran in suite.run() {
        assert_eq!(ran.outcome, Outcome::Pass, "{}", ran.test.full_name());
    }
}

const TESTS: &str = "package own_test

import data.agentguard.exec.git
import data.agentguard.exec.own

test_true if own.deny == set() with input as {\"facts\": {\"names\": []}}

test_false if count(own.deny) == 1 with input as {\"facts\": {\"names\": []}}

test_undefined if input.nothing

todo_test_later if false

test_error if to_number(\"x\") == 1

test_cases[name] if {
	some name, value in {\"a\": 1, \"b\": 2}
	value == 1
}

test_set contains 1

test_prints if {
	print(\"seen\", 7)
	true
}

test_mocked if {
	own.f(1) == 5 with own.f as mocked
	count(git.deny) == 0 with input as {} with data.agentguard.lib.commands as none
}

mocked(_) := 5

none(_) := []

helper if true
";
const RULES: &str = "package agentguard.exec.own

deny contains {\"id\": \"own/x\", \"reason\": \"x\"} if \"x\" in input.facts.names

f(x) := x + 1
";

#[test]
fn each_test_is_told_as_it_went() {
    let folder = Folder::new("suite", &[("own_test.rego", TESTS), ("own.rego", RULES)]);
    let ran: Vec<_> = suite(&folder).run().collect();
    let told: Vec<_> = ran
        .iter()
        .map(|ran| {
            let word = match &ran.outcome {
                Outcome::Pass => "pass",
                Outcome::Fail => "fail",
                Outcome::Error(_) => "error",
                Outcome::Skip => "skip",
            };
            format!("{} {word}", ran.test.name)
        })
        .collect();
    assert_eq!(
        told,
        [
            "test_true pass",
            "test_false fail",
            "test_undefined fail",
            "todo_test_later skip",
            "test_error error",
            "test_cases error",
            "test_set error",
            "test_prints pass",
            "test_mocked pass",
        ]
    );
    assert!(ran[0].test.file.ends_with("own_test.rego"));
    assert_eq!((ran[0].test.line, ran[0].test.column), (6, 1));
    assert_eq!(ran[0].test.package, "data.own_test");
    assert!(ran[7].printed[0].contains("seen 7"), "{:?}", ran[7].printed);
}

#[test]
fn a_pattern_keeps_what_it_means() {
    let folder = Folder::new(
        "suite-run",
        &[("own_test.rego", TESTS), ("own.rego", RULES)],
    );
    let mut some = suite(&folder);
    some.keep("^data.own_test.test_(true|false)$").unwrap();
    assert_eq!(some.count(), 2);
    assert!(matches!(suite(&folder).keep("("), Err(Error::Query { .. })));
}

#[test]
fn policies_with_mistakes_are_not_tested() {
    let folder = Folder::new(
        "suite-wrong",
        &[(
            "own_test.rego",
            "package own_test\n\ntest_x if no_such(1)\n",
        )],
    );
    let error = Suite::load(&Sources::alone(folder.path())).err().unwrap();
    assert_eq!(error.mistakes().len(), 1);
}
