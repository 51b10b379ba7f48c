//! A policy made of what a session was seen to do: it refuses the rest, and nothing inside writes in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use agentguard::core::Promise;

use crate::scene::{Ran, Scene, as_everyone, level};

/// Runs this as a shadow that is learnt from, into `name` below the scene's root.
fn learn(scene: &Scene, name: &str, words: &[&str]) -> (Ran, PathBuf) {
    let place = scene.root.join(name);
    let flag = format!("--learn={}", place.display());
    (scene.run_with(&["--shadow", &flag], words), place)
}

/// `agentguard policy WORD` on a proposal.
fn policy(scene: &Scene, word: &str, place: &Path) -> Ran {
    let mut command = scene.command(scene.root.join("agentguard"));
    command.args(["policy", word]).arg(place);
    scene.run_command(command)
}

#[track_caller]
fn is_sound(scene: &Scene, place: &Path) {
    assert_eq!(policy(scene, "check", place).code, Some(0));
    assert_eq!(policy(scene, "test", place).code, Some(0));
}

#[test]
fn what_was_seen_runs_again_and_nothing_else_does() {
    as_everyone(|scene| {
        scene.program("tool", b"#!/bin/sh\nmkdir -p \"$1\"\n");
        let elsewhere = level().holds(Promise::Own);
        let script = match elsewhere {
            true => "./tool made; cp /bin/true /tmp/own; /tmp/own",
            false => "./tool made",
        };
        scene.write("home/work/script", script);
        let (ran, place) = learn(scene, "outside/proposed", &["sh", "script"]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.stderr.contains("proposed in "), "{}", ran.stderr);
        is_sound(scene, &place);
        let text = fs::read_to_string(place.join("learned.rego")).unwrap();
        assert!(
            text.contains("[\"/usr/bin/dash\", \"tool\", \"tool\"]"),
            "{text}"
        );
        let flag = format!("--policy={}", place.display());
        let again = scene.run_with(&[&flag], &["sh", "script"]);
        assert_eq!((again.code, scene.refusals().len()), (Some(0), 0));
        // Another program, another script, another program in the place of one that is excepted.
        scene.program("other", b"#!/bin/sh\nmkdir other-made\n");
        let others = "./other; touch touched; cp /bin/echo /tmp/own; /tmp/own ran";
        scene.write("home/work/script", others);
        let ran = scene.run_with(&[&flag], &["sh", "script"]);
        assert!(!scene.work().join("other-made").exists());
        assert!(!scene.work().join("touched").exists());
        assert!(!ran.stdout.contains("ran"));
        let refusals = scene.refusals();
        assert!(
            refusals.iter().all(|rule| rule.starts_with("programs/")),
            "{refusals:?}"
        );
        assert!(
            refusals
                .iter()
                .filter(|rule| *rule == "programs/not-observed")
                .count()
                >= 2
        );
        assert_eq!(
            refusals.contains(&"programs/temporary".to_owned()),
            elsewhere
        );
        // Nobody applied it.
        scene.run(&["touch", "touched"]);
        assert!(scene.work().join("touched").exists());
    });
}

#[test]
fn what_the_deny_list_and_other_rules_refuse_is_not_proposed() {
    as_everyone(|scene| {
        let script = "/usr/bin/mount; git push origin main; echo x > .envrc; ls";
        scene.write("home/work/script", script);
        let (_, place) = learn(scene, "outside/proposed", &["sh", "script"]);
        is_sound(scene, &place);
        let flag = format!("--policy={}", place.display());
        let before = scene.refusals();
        scene.run_with(&[&flag], &["sh", "script"]);
        let refusals = scene.refusals();
        let now: Vec<_> = refusals
            .iter()
            .filter(|rule| !before.contains(rule))
            .collect();
        assert!(now.contains(&&"git/protected-branch".to_owned()), "{now:?}");
        let held = refusals
            .iter()
            .filter(|rule| *rule == "privilege/namespaces");
        assert!(
            held.count()
                > before
                    .iter()
                    .filter(|rule| *rule == "privilege/namespaces")
                    .count()
        );
        let text = fs::read_to_string(place.join("learned.rego")).unwrap();
        let rules: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let rules = rules.join("\n");
        assert!(
            !rules.contains("mount") && !rules.contains("\"push\""),
            "{rules}"
        );
        assert!(text.contains("#   privilege/namespaces, entr"), "{text}");
    });
}

#[test]
fn no_name_and_no_argument_becomes_a_rule() {
    as_everyone(|scene| {
        let rule = "deny contains \"x\" if true";
        let names = [
            format!("x\"]}}\n{rule}\n#"),
            format!("y\n{rule}\n"),
            "z\u{2028}\u{202e}\\\"`".to_owned(),
        ];
        for name in &names {
            scene.program(name, b"#!/bin/sh\nexit 0\n");
        }
        let runs = "for f in [xyz]*; do ./\"$f\" \"$f\"; git \"$f\"; (exec -a \"$f\" /bin/true); done; true";
        let (ran, place) = learn(scene, "outside/proposed", &["bash", "-c", runs]);
        assert_eq!(ran.code, Some(0));
        is_sound(scene, &place);
        let text = fs::read_to_string(place.join("learned.rego")).unwrap();
        assert!(text.is_ascii());
        let starts = |start| {
            text.lines()
                .filter(|line| line.trim_start().starts_with(start))
                .count()
        };
        assert_eq!(
            (starts("deny "), starts("package "), starts("allow ")),
            (1, 1, 0),
            "{text}"
        );
        assert!(text.contains("\"x\\\"]}\\u000adeny contains"), "{text}");
        let flag = format!("--policy={}", place.display());
        scene.run_with(&[&flag], &["bash", "-c", runs]);
        assert_eq!(scene.refusals(), [""; 0]);
    });
}

#[test]
fn a_proposal_is_written_nowhere_that_the_agent_chose() {
    as_everyone(|scene| {
        let target = scene.directory("outside/target");
        for (place, script) in [
            (
                "work-1/new",
                format!("mv work-1 old; ln -s {} work-1", target.display()),
            ),
            (
                "work-2/new",
                format!("mkdir -p work-2; ln -s {} work-2/new", target.display()),
            ),
            (
                "work-3/new",
                "mkdir work-3/new; touch work-3/new/own.rego".to_owned(),
            ),
            (
                "work-4/new",
                "mv work-4 old-4; mkdir -p work-4/new; touch work-4/new/own.rego".to_owned(),
            ),
        ] {
            let above = place.split('/').next().unwrap();
            scene.directory(&format!("home/work/{above}"));
            let (ran, place) = learn(scene, &format!("home/work/{place}"), &["sh", "-c", &script]);
            assert_eq!(ran.code, Some(125), "{script}");
            assert!(ran.stderr.contains("cannot write `"), "{}", ran.stderr);
            assert!(!place.join("learned.rego").exists());
            assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
        }
    });
}

#[test]
fn a_place_that_is_there_already_begins_no_session() {
    as_everyone(|scene| {
        scene.directory("outside/there");
        symlink("nowhere", scene.outside().join("link")).unwrap();
        for name in [
            "outside/there",
            "outside/link",
            "outside/no/new",
            "outside/..",
        ] {
            let (ran, _) = learn(scene, name, &["sh", "-c", "echo > made"]);
            assert_eq!(ran.code, Some(125), "{name}");
            assert!(!scene.work().join("made").exists());
        }
        assert!(
            fs::read_dir(scene.outside().join("there"))
                .unwrap()
                .next()
                .is_none()
        );
    });
}
