//! Programs that wait for a human: the call waits, everything else goes on, and what runs is what was approved.

use std::process::{Child, Stdio};

use agentguard::core::{Answered, Event, OutcomeOf};

use crate::approvals::{allow, approve, end, start, waiting};
use crate::gated::assert_verifies;
use crate::lifetime::until;
use crate::scene::{Scene, as_everyone, level};

const RULES: &str = "package agentguard.exec.own\n\n\
    ask contains {\"id\": \"own/ask\", \"reason\": \"a human looks at it\"} if \"asked\" in input.action.argv\n";

fn session(scene: &Scene, flags: &[&str], script: &str) -> Child {
    let policy = scene.policy(RULES);
    let flags: Vec<_> = std::iter::once(policy.as_str())
        .chain(flags.iter().copied())
        .collect();
    start(scene, &flags, script)
}

fn has(scene: &Scene, name: &str) -> bool {
    scene.work().join(name).exists()
}

/// How many questions all sessions asked, and how those ended that were decided, which is not counted again where the
/// same was refused once more.
fn asked(scene: &Scene) -> (usize, Vec<Answered>) {
    let (mut asked, mut ended) = (0, Vec::new());
    scene.each_event(|event| {
        if let Event::Question { .. } = event {
            asked += 1;
        }
        if let Event::Decision { ruling, .. } = event {
            ended.extend(ruling.approval().map(|approval| approval.answer));
        }
    });
    (asked, ended)
}

#[test]
fn a_program_runs_once_where_a_human_approves_it_and_others_do_not_wait_for_it() {
    as_everyone(|scene| {
        let script = "touch asked one & p=$!; touch meanwhile; wait $p; echo first $?; touch asked two; echo second $?; \
                      touch asked two; echo again $?; touch asked three; echo third $?";
        let session = session(scene, &[], script);
        let first = waiting(scene, 1).remove(0);
        until("others wait for it", || has(scene, "meanwhile"));
        assert!(!has(scene, "one"));
        let (_, listed) = approve(scene, &[]);
        let argv = "argv     [\"touch\",\"asked\",\"one\"]";
        assert!(
            listed.contains(argv) && listed.contains("sha256:"),
            "{listed}"
        );
        assert_eq!(approve(scene, &[&first]).0, Some(0));
        until("it was approved", || has(scene, "one"));
        let second = waiting(scene, 1).remove(0);
        assert_eq!(approve(scene, &[&second, "--deny"]).0, Some(0));
        until("a no was said", || waiting(scene, 1) != [second.clone()]);
        let third = waiting(scene, 1).remove(0);
        assert_eq!(approve(scene, &[&third]).0, Some(0));
        let told = end(session);
        assert!(
            told.contains("first 0\nsecond 126\nagain 126\nthird 0"),
            "{told}"
        );
        assert!(!has(scene, "two"));
        // The same that was denied is not asked about again: not by another name, and not a second time.
        let (yes, no) = (Answered::Approved, Answered::Denied);
        assert_eq!(asked(scene), (3, vec![yes, no, yes]));
        assert_verifies(scene);
    });
}

#[test]
fn what_changed_while_it_waited_does_not_run() {
    as_everyone(|scene| {
        let script = "printf '#!/bin/sh\\ntouch ran' > tool; chmod +x tool; ./tool asked & p=$!; \
                      until [ -e change ]; do :; done; printf '#!/bin/sh\\ntouch evil' > tool; touch changed; \
                      wait $p; echo came $?";
        let script = format!("exec 2>&1; {script}");
        let session = session(scene, &[], &script);
        let id = waiting(scene, 1).remove(0);
        allow(scene, "change");
        until("it is changed", || has(scene, "changed"));
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        let told = end(session);
        assert!(told.contains("came 126"), "{told}");
        let why = "agentguard: refused: what a human approved changed while it waited";
        assert!(told.contains(why), "{told}");
        assert!(!has(scene, "ran") && !has(scene, "evil"));
        let mut ended = Vec::new();
        scene.each_event(|event| {
            if let Event::Outcome {
                outcome: OutcomeOf::Killed { rule },
                ..
            } = event
            {
                ended.push(rule.id.to_string());
            }
        });
        assert_eq!(ended, ["guard/not-what-was-judged"]);
        assert_verifies(scene);
    });
}

#[test]
fn a_caller_that_is_gone_takes_its_question_along_and_time_ends_it_too() {
    as_everyone(|scene| {
        let script = "touch asked one & p=$!; until [ -e leave ]; do :; done; kill -s KILL $p; wait; \
                      until [ -e over ]; do :; done; true";
        let child = session(scene, &[], script);
        let id = waiting(scene, 1).remove(0);
        allow(scene, "leave");
        assert_eq!(waiting(scene, 0), [""; 0]);
        assert_eq!(approve(scene, &[&id]).0, Some(1));
        allow(scene, "over");
        end(child);
        assert!(!has(scene, "one"));
        assert_eq!(asked(scene), (1, vec![Answered::Withdrawn]));
        assert_verifies(scene);
        let flags = ["--approval-timeout", "1"];
        let child = session(scene, &flags, "touch asked two; echo came $?");
        assert!(end(child).contains("came 126"));
        assert!(!has(scene, "two"));
        // Neither is it asked about again by its name in another directory.
        let (questions, ended) = asked(scene);
        assert_eq!((questions, ended.len()), (2, 2), "{ended:?}");
        assert!(ended.contains(&Answered::Expired), "{ended:?}");
        assert_verifies(scene);
    });
}

#[test]
fn the_end_of_a_session_is_the_end_of_what_waits_in_it() {
    as_everyone(|scene| {
        // Its command ends while another program waits.
        let script = "touch asked one & until [ -e over ]; do :; done; true";
        let child = session(scene, &[], script);
        let id = waiting(scene, 1).remove(0);
        allow(scene, "over");
        end(child);
        assert_eq!(approve(scene, &[&id]).0, Some(1));
        assert_eq!(asked(scene), (1, vec![Answered::Withdrawn]));
        assert_verifies(scene);
        // Its time is over while its own command waits, which is also the first.
        let policy = scene.policy(RULES);
        let flags = [policy.as_str(), "--timeout", "2"];
        let ran = scene
            .exec(&flags, &["touch", "asked", "two"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(
            told.contains("agentguard: waiting: `touch asked two`"),
            "{told}"
        );
        assert!(told.contains("`exec --approval-timeout 0`"), "{told}");
        assert!(!ran.status.success());
        assert_eq!(asked(scene), (2, vec![Answered::Withdrawn; 2]));
        assert_verifies(scene);
        // Its guard is killed.
        let mut guard = scene.guard_at(level());
        guard.args([policy.as_str(), "--", "sh", "-c", "touch asked three"]);
        guard.stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = guard.spawn().unwrap();
        let id = waiting(scene, 1).remove(0);
        guard.kill().unwrap();
        guard.wait().unwrap();
        assert_eq!(approve(scene, &[&id]).0, Some(1));
        assert!(!has(scene, "one") && !has(scene, "two") && !has(scene, "three"));
    });
}

#[test]
fn the_command_of_a_session_waits_as_well_and_runs_where_a_human_approves_it() {
    as_everyone(|scene| {
        let policy = scene.policy(RULES);
        for (flags, code) in [(&[][..], Some(0)), (&["--deny"][..], Some(126))] {
            let mut command = scene.exec(&[&policy], &["touch", "asked"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            let id = waiting(scene, 1).remove(0);
            let words: Vec<_> = std::iter::once(id.as_str())
                .chain(flags.iter().copied())
                .collect();
            assert_eq!(approve(scene, &words).0, Some(0));
            assert_eq!(child.wait().unwrap().code(), code);
            assert_eq!(has(scene, "asked"), code == Some(0));
            assert_verifies(scene);
            std::fs::remove_file(scene.work().join("asked")).unwrap_or_default();
        }
    });
}

#[test]
fn what_is_too_long_for_a_human_is_refused_at_once_and_what_is_long_is_shown() {
    as_everyone(|scene| {
        // No longer than it needs to be: rules are asked about all of it, and have a second for that.
        let long = |bytes| format!("$(head -c {bytes} /dev/zero | tr '\\0' '\\1')");
        let (longest, shown) = (long(100_000), long(30_000));
        let script = format!(
            "b={longest}; set -- $b $b $b $b; /usr/bin/true asked \"$@\" \"$@\" \"$@\"; echo too long $?; touch said; \
             /usr/bin/true asked {shown}; echo long $?"
        );
        let session = session(scene, &[], &script);
        until("nobody waits for it", || has(scene, "said"));
        let id = waiting(scene, 1).remove(0);
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        let told = end(session);
        assert!(told.contains("too long 126\nlong 0"), "{told}");
        assert_eq!(asked(scene), (1, vec![Answered::Approved]));
        assert_verifies(scene);
    });
}

#[test]
fn so_many_questions_are_open_at_once_and_each_is_answered_by_itself() {
    as_everyone(|scene| {
        let script = "for one in $(seq 64); do touch asked f$one & done; until [ -e full ]; do :; done; \
                      touch asked f65; echo last $?; touch refused; wait; echo over";
        let session = session(scene, &[], script);
        let ids = waiting(scene, 64);
        allow(scene, "full");
        until("one more waits", || has(scene, "refused"));
        let yes = [&ids[63], &ids[0]];
        for id in yes {
            assert_eq!(approve(scene, &[id]).0, Some(0));
        }
        for id in ids.iter().filter(|id| !yes.contains(id)) {
            assert_eq!(approve(scene, &[id, "--deny"]).0, Some(0));
        }
        let told = end(session);
        assert!(told.contains("last 126") && told.contains("over"), "{told}");
        let ran = (1..=65).filter(|one| has(scene, &format!("f{one}")));
        assert_eq!(ran.count(), 2);
        assert_verifies(scene);
    });
}
