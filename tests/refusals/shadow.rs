//! A shadow, in which policy is judged and not enforced: what holds all the same.

use agentguard::core::{Enforcement, Event, Promise, Ruling};

use crate::pins::repository;
use crate::scene::{SECRET, Scene, as_everyone, where_held};

/// Refuses a program that nothing else refuses, and asks about another.
const POLICY: &str = r#"package agentguard.exec.own

deny contains {"id": "own/touch", "reason": "nothing is touched"} if "touch" in input.facts.names

ask contains {"id": "own/mkdir", "reason": "a directory is a question"} if "mkdir" in input.facts.names
"#;

/// The rules against which something was let be, and whether each only asked.
fn let_be(scene: &Scene) -> Vec<(String, bool)> {
    let mut rules = Vec::new();
    scene.each_event(|event| {
        if let Event::Decision {
            ruling: Ruling::Unenforced { rule, asked },
            ..
        } = event
        {
            rules.push((rule.id.to_string(), *asked));
        }
    });
    rules
}

fn verifies(scene: &Scene) -> bool {
    let mut command = scene.command(scene.root.join("agentguard"));
    command.arg("verify");
    scene.run_command(command).code == Some(0)
}

#[test]
fn what_policy_refuses_goes_on_in_a_shadow_and_nowhere_else_and_is_recorded_each_time() {
    as_everyone(|scene| {
        let policy = scene.policy(POLICY);
        let script = ["sh", "-c", "touch made; mkdir dir; touch again"];
        scene.run_with(&[&policy, "--approval-timeout", "0"], &script);
        assert!(!scene.work().join("made").exists());
        assert!(!scene.work().join("dir").exists());
        assert_eq!(scene.refusals(), ["own/touch", "own/mkdir", "own/touch"]);
        let before = scene.refusals().len();
        let ran = scene.run_with(&[&policy, "--shadow"], &script);
        assert!(
            ran.stderr.contains("weaker by --shadow: "),
            "{}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains(", 3 would be refused; "),
            "{}",
            ran.stderr
        );
        for made in ["made", "dir", "again"] {
            assert!(scene.work().join(made).exists(), "{made}");
        }
        assert_eq!(scene.refusals().len(), before);
        let rules = [
            ("own/touch", false),
            ("own/mkdir", true),
            ("own/touch", false),
        ];
        let rules = rules.map(|(rule, asked)| (rule.to_owned(), asked));
        assert_eq!(let_be(scene), rules);
        let mut shadows = Vec::new();
        scene.each_event(|event| {
            if let Event::Start { enforcement, .. } = event {
                shadows.push(*enforcement);
            }
        });
        assert_eq!(shadows.len(), 2);
        assert!(shadows.contains(&Enforcement::Shadow) && shadows.contains(&Enforcement::Policy));
        assert!(verifies(scene));
    });
}

#[test]
fn in_a_shadow_the_deny_list_holds_for_every_program() {
    as_everyone(|scene| {
        let script = "/usr/bin/mount; cp /usr/bin/mount here; ./here; env -i unshare -r touch made";
        scene.write("home/work/script", script);
        let ran = scene.run_with(&["--shadow"], &["sh", "script"]);
        assert!(!scene.work().join("made").exists());
        assert!(!scene.work().join("here").exists(), "it can be read inside");
        let refusals = scene.refusals();
        assert!(refusals.iter().all(|rule| rule == "privilege/namespaces"));
        assert!(refusals.len() >= 2, "{refusals:?}{}", ran.stderr);
        assert_eq!(let_be(scene), []);
    });
}

#[test]
fn in_a_shadow_the_kernels_rules_hold() {
    as_everyone(|scene| {
        let secret = scene.root.join("home/.ssh/id_ed25519");
        let outside = scene.write("outside/file", "as it was");
        let script = format!(
            "cat {} || echo unread; echo x > {} || echo unwritten; cat /etc/shadow || echo masked",
            secret.display(),
            outside.display()
        );
        let ran = scene.run_with(&["--shadow"], &["sh", "-c", &script]);
        assert!(!ran.stdout.contains(SECRET));
        assert_eq!(ran.stdout, "unread\nunwritten\nmasked\n");
        assert_eq!(std::fs::read_to_string(outside).unwrap(), "as it was");
    });
}

#[test]
fn in_a_shadow_pins_hold_and_what_is_planted_is_told() {
    where_held(&[Promise::Pins], |scene| {
        repository(scene);
        let script = "echo x > .git/config; echo x > .git/hooks/post-merge; echo x > .envrc";
        let ran = scene.run_with(&["--shadow"], &["sh", "-c", script]);
        for file in [".git/config", ".git/hooks/post-merge"] {
            let text = std::fs::read_to_string(scene.work().join(file)).unwrap();
            assert_eq!(text, "as it was", "{file}");
        }
        // The kernel holds the first two, whatever was ruled.
        let rules = ["repository", "hook", "configuration"];
        let rules = rules.map(|name| (format!("persistence/{name}"), false));
        assert_eq!(let_be(scene), rules);
        assert_eq!(scene.refusals(), ["persistence/planted"]);
        assert!(ran.stderr.contains("persistence/planted"), "{}", ran.stderr);
    });
}

#[test]
fn a_shadow_is_no_way_past_what_policy_requires_of_a_session() {
    as_everyone(|scene| {
        for (rego, rule) in [
            (
                "package agentguard.sandbox\n\nrequire_evidence contains \"signed\"\n",
                "session/evidence",
            ),
            (
                "package agentguard.session.own\n\ndeny contains {\"id\": \"own/no-shadow\", \"reason\": \"x\"} if \
                 input.action.enforcement == \"shadow\"\n",
                "own/no-shadow",
            ),
        ] {
            let policy = scene.policy(rego);
            let ran = scene.run_with(&[&policy, "--shadow"], &["sh", "-c", "echo > made"]);
            assert_eq!(ran.code, Some(126));
            assert!(ran.stderr.contains(rule), "{}", ran.stderr);
            assert!(!scene.work().join("made").exists());
        }
        assert_eq!(let_be(scene), []);
    });
}
