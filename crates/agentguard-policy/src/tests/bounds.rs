//! Policies that would take all memory, or all time: refused, with the reason, while the guard stays as it is.

use std::time::{Duration, Instant};

use agentguard_core::Verdict;

use super::tiers::Folder;
use super::{NOTHING, exec, judge, session, word};
use crate::{Policies, Sources};

const MEMORY: &str = "it takes more than 512 MiB of memory";
/// The engine's own bound, which comes first where it looks.
const LIMIT: &str = "execution exceeded time limit";
const TIME: &str = "it takes longer than 2 s";

/// Values that grow, each with the reason of its refusal where nothing else can come first.
const GROWING: &[(&str, &str, Option<&str>)] = &[
    (
        "range",
        "x := numbers.range(1, 1000000000000)",
        Some(MEMORY),
    ),
    ("count", "x := count(numbers.range(1, 100000000))", None),
    (
        "concat",
        "x := concat(s30, [\"x\", \"x\"])\n$s := concat(\"\", [$p, $p])",
        None,
    ),
    (
        "sprintf",
        "x := sprintf(\"%s\", [s30])\n$s := sprintf(\"%s%s\", [$p, $p])",
        None,
    ),
    (
        "replace",
        "x := replace(s30, \"a\", \"b\")\n$s := replace($p, \"aa\", \"aaaaaaaa\")",
        None,
    ),
    ("json", "x := json.marshal(s30)\n$s := [$p, $p, $p]", None),
    (
        "equal",
        "x if s30 == t30\n$s := [$p, $p, $p]\n$t := [$q, $q, $q]",
        Some(TIME),
    ),
    (
        "product",
        "x := {[a, b, c, d] | some a in l; some b in l; some c in l; some d in l}\n\
         l := numbers.range(1, 1000)",
        None,
    ),
    (
        "nested",
        "x := [[[y | some y in l] | some _ in l] | some _ in l]\nl := numbers.range(1, 2000)",
        None,
    ),
];

/// Lines with `$s` thirty times: it is the next of a chain, and `$p` the one before. So for `$t` and `$q`.
fn written(rules: &str) -> String {
    let mut text = String::from("package agentguard.exec.grows\n\n");
    for chain in ["s0", "t0"] {
        text += &format!("{chain} := \"aaaa\" if input.action.kind\n");
    }
    for line in rules.lines() {
        let times = if line.contains('$') { 30 } else { 1 };
        for step in 1..=times {
            let line = line.replace("$s", &format!("s{step}"));
            let line = line.replace("$p", &format!("s{}", step - 1));
            let line = line.replace("$t", &format!("t{step}"));
            text += &line.replace("$q", &format!("t{}", step - 1));
            text.push('\n');
        }
    }
    text + "\ndeny contains {\"id\": \"grows/x\", \"reason\": \"x\"} if x == 7\n"
}

/// The most memory that this program ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn policies(name: &str, text: &str) -> Policies {
    let folder = Folder::new(name, &[("own.rego", text)]);
    Policies::load(&Sources {
        repository: Some(folder.path().to_owned()),
        ..NOTHING
    })
    .unwrap()
}

#[test]
fn a_policy_that_grows_is_refused_and_the_guard_does_not_grow() {
    let harmless = written("x := 1");
    let before = {
        assert_eq!(
            word(
                &policies("grows-not", &harmless).judge(session()),
                exec(&["ls"])
            ),
            "allow programs/known"
        );
        peak()
    };
    for (name, rule, reason) in GROWING {
        let policies = policies(&format!("grows-{name}"), &written(rule));
        let judge_of = policies.judge(session());
        let begun = Instant::now();
        let undecided = judge(&judge_of, exec(&["ls"])).expect_err(name);
        let took = begun.elapsed();
        let may_be = [MEMORY, LIMIT, TIME].iter();
        let mut may_be = may_be.filter(|one| reason.is_none_or(|reason| reason == **one));
        assert!(
            may_be.any(|one| undecided.reason.contains(one)),
            "{name}: {}",
            undecided.reason
        );
        assert!(took < Duration::from_secs(6), "{name}: {took:?}");
        let verdict: Verdict = undecided.into();
        assert_eq!(verdict.rule().id.as_str(), "guard/undecided");
    }
    let grown = peak().saturating_sub(before);
    assert!(grown < 64 << 10, "the guard grew by {grown} KiB");
}

#[test]
fn after_a_refusal_the_next_question_is_answered() {
    let text = "package agentguard.exec.grows

deny contains {\"id\": \"grows/x\", \"reason\": \"x\"} if {
	\"make\" in input.facts.names
	count(numbers.range(1, 1000000000000)) == 7
}

deny contains {\"id\": \"own/rm\", \"reason\": \"no rm\"} if \"rm\" in input.facts.names
";
    let judge_of = policies("grows-once", text).judge(session());
    assert_eq!(word(&judge_of, exec(&["rm"])), "deny own/rm");
    let said = word(&judge_of, exec(&["make"]));
    assert!(said.contains("the repository policy: it takes"), "{said}");
    assert_eq!(word(&judge_of, exec(&["rm", "x"])), "deny own/rm");
    assert_eq!(word(&judge_of, exec(&["ls"])), "allow programs/known");
}

#[test]
fn a_confinement_that_grows_is_an_error_with_its_reason() {
    let text = "package agentguard.sandbox

ports contains port if some port in numbers.range(1, 1000000000000)
";
    let error = policies("grows-confined", text)
        .confine(&super::baseline::request())
        .err()
        .unwrap();
    assert!(error.to_string().contains("it takes"), "{error}");
}

#[test]
fn tests_queries_and_checks_that_grow_are_refused_each_by_itself() {
    let rules = "package agentguard.exec.own

ok if input.action

deny contains {\"id\": \"own/x\", \"reason\": \"x\"} if {
	input.action.kind == \"exec\"
	count(numbers.range(1, 1000000000000)) == 7
}
";
    let tests = "package own_test

test_first if true

test_grows if count(numbers.range(1, 1000000000000)) == 7

test_last if true
";
    let folder = Folder::new("grows-author", &[("own.rego", rules)]);
    let checked = crate::check(&Sources::alone(folder.path())).unwrap();
    let said: Vec<_> = checked.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].ends_with(&format!("own.rego:5:1: {MEMORY}")),
        "{said:?}"
    );

    let folder = Folder::new("grows-tests", &[("own_test.rego", tests)]);
    let suite = crate::Suite::load(&Sources::alone(folder.path())).unwrap();
    let outcomes: Vec<_> = suite.run().map(|ran| ran.outcome).collect();
    assert_eq!(
        outcomes,
        [
            crate::Outcome::Pass,
            crate::Outcome::Error(MEMORY.to_owned()),
            crate::Outcome::Pass
        ]
    );
    let error = Policies::load(&NOTHING)
        .unwrap()
        .query("count(numbers.range(1, 1000000000000))", "{}")
        .unwrap_err();
    assert!(error.to_string().ends_with(MEMORY), "{error}");
}
