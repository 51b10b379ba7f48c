//! Packages in several files: one package, for decisions, checks, tests and queries.

use std::path::Path;

use super::tiers::Folder;
use super::{NOTHING, exec, session, word};
use crate::{Error, Outcome, Policies, Sources, Suite, check};

const HELPERS: &str = "package agentguard.exec.own

import data.agentguard.lib

default limit := 3

is_make(name) if name == \"make\"

pushes contains command if some command in lib.commands(\"git\")

deny contains {\"id\": \"own/make\", \"reason\": \"no make\"} if {
	some name in input.facts.names
	is_make(name)
}
";
const RULES: &str = "package agentguard.exec.own

import data.agentguard.exec.own as whole

is_make(name) if name == \"gmake\"

deny contains {\"id\": \"own/push\", \"reason\": sprintf(\"at most %d\", [limit])} if count(pushes) > 0

deny contains {\"id\": \"own/gmake\", \"reason\": \"no gmake\"} if {
	is_make(\"gmake\")
	\"gmake\" in input.facts.names
}
";

fn load(folder: &Folder) -> Result<Policies, Error> {
    Policies::load(&Sources {
        user: Some(folder.path().to_owned()),
        ..NOTHING
    })
}

fn say(policies: &Policies, words: &[&str]) -> String {
    word(&policies.judge(session()), exec(words))
}

fn mistakes(path: &Path) -> Vec<String> {
    let checked = check(&Sources::alone(path)).unwrap();
    let place = |mistake: &crate::Mistake| {
        let name = mistake.file.rsplit('/').next().unwrap_or("").to_owned();
        let (line, column) = (mistake.line, mistake.column);
        format!("{name}:{line}:{column}: {}", mistake.message)
    };
    checked.mistakes.iter().map(place).collect()
}

fn outcomes(path: &Path) -> Vec<(String, Outcome)> {
    let suite = Suite::load(&Sources::alone(path)).unwrap();
    let ran = suite.run().map(|ran| (ran.test.name.clone(), ran.outcome));
    ran.collect()
}

#[test]
fn rules_functions_and_denials_of_two_files_count_together() {
    for names in [["a.rego", "b.rego"], ["b.rego", "a.rego"]] {
        let folder = Folder::new("joined", &[(names[0], HELPERS), (names[1], RULES)]);
        assert_eq!(mistakes(folder.path()), Vec::<String>::new());
        let policies = load(&folder).unwrap();
        assert_eq!(say(&policies, &["make"]), "deny own/make");
        assert_eq!(say(&policies, &["gmake"]), "deny own/gmake");
        assert_eq!(say(&policies, &["git", "status"]), "deny own/push");
        assert_eq!(say(&policies, &["ls"]), "allow programs/known");
    }
}

const TESTS: &str = "package agentguard.exec.own

made := {\"facts\": {\"names\": [\"make\", \"gmake\"]}}

test_both if count(deny) == 2 with input as made

test_helper if is_make(\"gmake\")

test_default if limit == 3

test_false if is_make(\"ls\")
";

#[test]
fn tests_in_the_package_of_the_rules_see_every_file_of_it() {
    let folder = Folder::new(
        "joined-tests",
        &[
            ("a.rego", HELPERS),
            ("b.rego", RULES),
            ("a_test.rego", TESTS),
            (
                "b_test.rego",
                "package own_test\n\ntest_whole if count(data.agentguard.exec.own.deny) == 1 \
                 with input.facts.names as [\"gmake\", \"x\"]\n\n\
                 test_all if count(data.agentguard.exec.own) > 3 with input as {}\n",
            ),
        ],
    );
    let told = outcomes(folder.path());
    let (right, wrong): (Vec<_>, Vec<_>) = told
        .iter()
        .partition(|(_, outcome)| *outcome == Outcome::Pass);
    assert_eq!((right.len(), wrong.len()), (4, 2), "{told:?}");
    assert!(wrong.iter().any(|(name, _)| name == "test_false"));
    assert_eq!(
        say(&load(&folder).unwrap(), &["make"]),
        "deny own/make",
        "tests are left out"
    );
}

#[test]
fn two_values_for_one_name_deny() {
    let folder = Folder::new(
        "joined-conflict",
        &[
            (
                "a.rego",
                "package agentguard.exec.own\n\nlevel := 1 if input.facts\n",
            ),
            (
                "b.rego",
                "package agentguard.exec.own\n\nlevel := 2 if input.facts\n\n\
                 deny contains {\"id\": \"own/x\", \"reason\": \"x\"} if level == 3\n",
            ),
        ],
    );
    let said = say(&load(&folder).unwrap(), &["ls"]);
    assert!(
        said.starts_with("undecided") && said.contains("a.rego:3"),
        "{said}"
    );
    let found = mistakes(folder.path());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("b.rego:3:1: rule conflicts with rule at "));
    assert!(found[0].ends_with("a.rego:3:1"), "{}", found[0]);
}

/// What is said of two files of one package, the second of which is `b.rego`.
const WRONG: &[(&str, &str, &str)] = &[
    ("x := 1", "\ty if {", "b.rego:4:1: expecting expression"),
    ("x if {", "true\n}", "a.rego:4:1: expecting expression"),
    (
        "x := 1",
        "y if data.agentguard.lib.below(\"x\")",
        "b.rego:3:6: `data.agentguard.lib.below` takes 2",
    ),
    ("x := 1", "y := z + 1", "b.rego:3:6: "),
    (
        "f(x) := x",
        "# é\n\ty := to_number(f(\"no\"))\ndeny contains {\"id\": \"a/b\", \"reason\": y}",
        "b.rego:4:",
    ),
    (
        "f(x) := 1",
        "f(x, y) := 1",
        "b.rego:3:1: data.agentguard.exec.own.f was previously defined",
    ),
    (
        "default x := 1",
        "default x := 2",
        "b.rego:3:9: `x` has a default already, in ",
    ),
    (
        "x contains 1",
        "x := {1}",
        "b.rego:3:1: `x` is a value here, and a set in ",
    ),
    (
        "import data.agentguard.lib",
        "y := lib.protected_branches",
        "b.rego:3:6: `lib` is an import of ",
    ),
    (
        "import data.agentguard.lib",
        "y if some lib in input.facts.names",
        "b.rego:3:1: `lib` is an import of ",
    ),
    (
        "import data.agentguard.lib",
        "lib := 1",
        "b.rego:3:1: `lib` is an import of ",
    ),
    (
        "import data.agentguard.lib",
        "import data.agentguard.exec as lib",
        "b.rego:3:1: `lib` is another import in ",
    ),
    ("x := y", "y := x", "leads back to itself"),
    (
        "x := count(data)",
        "",
        "a.rego:3:1: `agentguard.exec.own.x` leads back to itself",
    ),
];

#[test]
fn what_does_not_go_together_is_shown_in_its_file() {
    for (a, b, expected) in WRONG {
        let text = |rules: &str| format!("package agentguard.exec.own\n\n{rules}\n");
        let folder = Folder::new(
            "joined-wrong",
            &[("a.rego", &text(a)), ("b.rego", &text(b))],
        );
        let found = mistakes(folder.path());
        assert!(
            found
                .iter()
                .any(|one| one.starts_with(expected) || one.ends_with(expected)),
            "{a} | {b}: {found:?}"
        );
    }
}

#[test]
fn imports_that_several_files_have_are_no_mistakes() {
    let a = "package agentguard.exec.own\n\nimport rego.v1\nimport data.agentguard.lib\n\nx := lib.protected_branches\n";
    let b = "package agentguard.exec.own\n\nimport rego.v1\nimport data.agentguard.lib\n\ny(lib) := lib\n\nz := lib.protected_branches\n";
    let c = "package agentguard.exec.own\n\nw contains one if some one in x\n";
    let folder = Folder::new(
        "joined-imports",
        &[("a.rego", a), ("b.rego", b), ("c.rego", c)],
    );
    assert_eq!(mistakes(folder.path()), Vec::<String>::new());
    let answer = load(&folder)
        .unwrap()
        .query("data.agentguard.exec.own.w", "{}")
        .unwrap();
    assert!(answer[0].values[0].contains("main"), "{answer:?}");
}

/// A rule that only its tests know would pass them and fail, or be silent, when it decides.
#[test]
fn a_test_adds_nothing_to_the_rules_it_tests() {
    let rules = "package agentguard.exec.own\n\nnames contains \"x\"\n\nx if helper\n";
    for (test, expected) in [
        (
            "names contains \"y\"",
            "own_test.rego:3:1: `names` is a rule of ",
        ),
        (
            "deny contains 1",
            "own_test.rego:3:1: `deny` in a file for tests is never asked",
        ),
        ("helper := true", "own.rego:5:6: "),
    ] {
        let test = format!("package agentguard.exec.own\n\n{test}\n");
        let folder = Folder::new(
            "joined-adds",
            &[("own.rego", rules), ("own_test.rego", &test)],
        );
        let found = mistakes(folder.path());
        assert!(
            found.iter().any(|one| one.starts_with(expected)),
            "{found:?}"
        );
    }
}

#[test]
fn a_test_that_would_not_be_run_is_a_mistake() {
    let folder = Folder::new(
        "joined-test-name",
        &[(
            "own.rego",
            "package agentguard.exec.own\n\ntest_x if true\n",
        )],
    );
    assert!(mistakes(folder.path())[0].starts_with("own.rego:3:1: `test_x` is a test"));
}

/// A tier's own directory and the shipped files are of one package here, and packages lie below others.
#[test]
fn packages_of_several_directories_and_depths_are_whole() {
    let below = "package agentguard.exec.own.below

deny contains {\"id\": \"own/below\", \"reason\": \"below\"} if last

last if middle

middle if first

first if \"make\" in input.facts.names
";
    let sandbox = "package agentguard.sandbox\n\nports contains 4000 if count(masks) > 3\n";
    let above = "package agentguard.exec.own\n\nx := 1\n";
    let asks = "package agentguard.exec.asks

deny contains {\"id\": \"asks/whole\", \"reason\": \"whole\"} if {
	some name, one in data.agentguard.exec.own
	count(one.deny) > 0
}
";
    let folder = Folder::new(
        "joined-depths",
        &[
            ("a.rego", above),
            ("b.rego", below),
            ("c.rego", asks),
            ("sandbox.rego", sandbox),
            (
                "own_test.rego",
                "package own_test\n\ntest_whole if data.agentguard.exec.own.below.deny != set() \
                 with input.facts.names as [\"make\"]\n\ntest_ports if 4000 in \
                 data.agentguard.sandbox.ports with input.request as {\"profile\": null}\n",
            ),
        ],
    );
    assert_eq!(mistakes(folder.path()), Vec::<String>::new());
    assert_eq!(say(&load(&folder).unwrap(), &["make"]), "deny asks/whole");
    let told = outcomes(folder.path());
    assert_eq!(told.len(), 2);
    assert!(
        told.iter().all(|(_, outcome)| *outcome == Outcome::Pass),
        "{told:?}"
    );
}

/// The engine as it is: should it ever hold packages together, joining them could go.
mod engine {
    use regorus::Engine;

    fn ask(files: &[&str], query: &str) -> String {
        let mut engine = Engine::new();
        engine.set_strict_builtin_errors(true);
        for (place, text) in files.iter().enumerate() {
            engine
                .add_policy(place.to_string(), (*text).to_owned())
                .unwrap();
        }
        match engine.eval_query(query.to_owned(), false) {
            Ok(results) => results.result[0].expressions[0].value.to_string(),
            Err(error) => error.to_string(),
        }
    }

    const FIRST: &str = "package a.b\nx := 1\n";
    const SECOND: &str = "package a.b\ns contains y if { y := z }\nz := w\nw := 1\n";

    #[test]
    fn a_whole_package_loses_rules_of_the_second_file() {
        assert_eq!(ask(&[FIRST, SECOND], "count(data.a.b.s)"), "1");
        assert_eq!(ask(&[FIRST, SECOND], "count(data.a.b[\"s\"])"), "1");
        let whole = ask(&[FIRST, SECOND], "data.a.b");
        assert!(
            whole.contains("\"s\":[]") && !whole.contains("\"z\""),
            "{whole}"
        );
    }

    #[test]
    fn a_package_above_makes_those_below_lose_theirs() {
        let below = SECOND.replace("a.b", "a.b.c");
        let above_first = ask(&[FIRST, &below], "data.a");
        assert!(above_first.contains("\"s\":[]"), "{above_first}");
        let below_first = ask(&[&below, FIRST], "data.a");
        assert!(below_first.contains("\"s\":[1]"), "{below_first}");
    }

    #[test]
    fn the_last_files_import_is_meant_in_every_file() {
        let one = "package p\nimport data.l.one as l\nx := l.v\n";
        let two = "package p\nimport data.l.two as l\ny := l.v\n";
        let values = ["package l.one\nv := 1\n", "package l.two\nv := 2\n"];
        let said = ask(&[one, two, values[0], values[1]], "[data.p.x, data.p.y]");
        assert_eq!(said, "[2,2]");
    }

    #[test]
    fn a_functions_second_file_is_read_with_the_firsts_variables() {
        let one = "package p\nf(x) := 1 if x == 1\n";
        let two = "package p\nz := [1, 2, 3]\nf([a, b]) := a + b if { a > 1; b > 1 }\n";
        let said = std::panic::catch_unwind(|| ask(&[one, two], "data.p.f([2, 3])"));
        assert!(said.is_err(), "{said:?}");
    }

    #[test]
    fn the_first_of_two_defaults_is_taken() {
        let said = ask(
            &["package p\ndefault x := 1\n", "package p\ndefault x := 2\n"],
            "data.p.x",
        );
        assert_eq!(said, "1");
    }
}
