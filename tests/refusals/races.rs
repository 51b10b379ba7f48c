//! What was judged is changed before it is executed: thousands of tries, none of which may succeed.

use std::fs;

use agentguard::core::{Event, OutcomeOf};

use crate::attack;
use crate::scene::{Scene, as_everyone};

/// More by `AGENTGUARD_RACES`.
const TRIES: u32 = 600;

const POLICY: &str = r#"
package agentguard.exec.races

deny contains {"id": "races/word", "reason": "an evil word"} if "evil" in input.action.argv

deny contains {"id": "races/program", "reason": "an evil program"} if {
	endswith(input.action.program.path, "/evil")
}
"#;

/// How often something ran that was allowed; nothing else may have.
fn race(scene: &Scene, kind: &str) {
    let tries = std::env::var("AGENTGUARD_RACES").unwrap_or(TRIES.to_string());
    scene.directory("home/work/marks");
    scene.program("good", attack::program());
    let mut other = attack::program().to_vec();
    other.push(0);
    scene.program("evil", &other);
    let policy = scene.policy(POLICY);
    let tried = scene
        .run_with(&[&policy], &["./attack", "race", kind, &tries])
        .tried();
    assert_eq!(tried.result("race"), "ok");
    let marks: Vec<_> = fs::read_dir(scene.work().join("marks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(marks.iter().any(|mark| mark == "good-good"), "{marks:?}");
    assert!(
        !marks.iter().any(|mark| mark.contains("evil")),
        "{kind}: {marks:?}"
    );
    let (mut refused, mut killed) = (0u64, 0u64);
    scene.each_event(|event| match event {
        Event::End { tally, .. } => (refused, killed) = (tally.refused, tally.killed),
        Event::Outcome {
            outcome: OutcomeOf::Killed { .. },
            ..
        } => killed = killed.max(1),
        Event::Start { .. }
        | Event::Decision { .. }
        | Event::Outcome { .. }
        | Event::Repeat { .. }
        | Event::Difference { .. }
        | Event::Question { .. }
        | Event::Refs { .. }
        | Event::Signature { .. }
        | Event::Credential { .. }
        | Event::Finding { .. }
        | Event::Anchor { .. }
        | Event::Erasure { .. } => {}
    });
    println!("{kind}: {refused} refused, {killed} of them killed before their first instruction");
    assert!(
        refused > 0,
        "{kind}: nothing evil was ever seen, so that this shows nothing"
    );
}

#[test]
fn a_thread_that_rewrites_an_argument_wins_nothing() {
    as_everyone(|scene| race(scene, "argv"));
}

#[test]
fn a_thread_that_rewrites_the_path_wins_nothing() {
    as_everyone(|scene| race(scene, "path"));
}

#[test]
fn a_thread_that_swaps_pointers_while_another_executes_wins_nothing() {
    as_everyone(|scene| race(scene, "pointer"));
}

#[test]
fn a_process_that_shares_memory_wins_nothing() {
    as_everyone(|scene| race(scene, "shared"));
}

#[test]
fn a_process_that_swaps_a_symbolic_link_wins_nothing() {
    as_everyone(|scene| race(scene, "symlink"));
}

#[test]
fn a_thread_that_swaps_a_variable_wins_nothing() {
    as_everyone(|scene| race(scene, "variable"));
}
