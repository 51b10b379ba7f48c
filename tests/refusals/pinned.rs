//! The policy of a session is the one it began with, whatever becomes of the files.

use std::fs;

use agentguard::core::{Digest, Event};

use crate::gated::{assert_verifies, begin, kill, repeats, started_by, wait_for, with_server};
use crate::scene::Scene;

/// A rule that refuses one path.
fn refuses(path: &str) -> String {
    format!(
        "package agentguard.api.own\n\ndeny contains {{\"id\": \"own/{path}\", \"reason\": \"it is refused\"}} if {{\n\
         \tinput.action.path[0] == \"{path}\"\n}}\n"
    )
}

/// The digests of each session's policies, in order.
fn digests(scene: &Scene) -> Vec<Vec<Digest>> {
    let mut all = Vec::new();
    scene.each_event(|event| {
        if let Event::Start { policy, .. } = event {
            all.push(policy.iter().map(|tier| tier.digest).collect());
        }
    });
    all
}

#[test]
fn a_policy_that_changes_while_a_session_runs_is_the_next_ones() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        scene.write("policy/rule.rego", &refuses("private"));
        let asks = "for it in private open; do ./attack http api.test 80 GET /$it; done";
        let script = format!("{asks}; echo 1 > begun; read x < go; {asks}; read x < go; {asks}");
        let mut guard = begin(scene, &policy, &script);
        wait_for(|| scene.work().join("begun").exists());
        // Every file says something else, another is there, and who evaluates them has to be started anew.
        scene.write("policy/rule.rego", &refuses("open"));
        scene.write(
            "policy/more.rego",
            &refuses("more").replace("api.own", "api.more"),
        );
        scene.write("policy/extra.rego", "package agentguard.sandbox\n");
        let go = scene.work().join("go");
        fs::write(&go, "go\n").unwrap();
        wait_for(|| server.requests().len() == 2);
        let evaluators = started_by(guard.id(), "agentguard-evaluator");
        assert!(!evaluators.is_empty());
        evaluators.into_iter().for_each(kill);
        fs::remove_dir_all(scene.root.join("policy")).unwrap();
        fs::write(&go, "go\n").unwrap();
        assert!(guard.wait().unwrap().success());
        assert_eq!(server.requests(), ["GET /open HTTP/1.1"; 3]);
        assert_eq!(scene.refusals(), ["own/private"]);
        assert_eq!(repeats(scene), 2);
        // The next one has what is there when it begins.
        let policy = server.policy(scene, "");
        scene.write("policy/rule.rego", &refuses("open"));
        scene.run_with(&[&policy], &["sh", "-c", asks]);
        assert_eq!(server.requests()[3..], ["GET /private HTTP/1.1"]);
        assert_eq!(scene.refusals()[1..], ["own/open"]);
        let digests = digests(scene);
        assert_eq!(digests.len(), 2);
        assert_ne!(digests[0], digests[1]);
        assert_verifies(scene);
    });
}

/// Whoever writes a policy while a session begins has it refused, not half of it obeyed.
#[test]
fn a_policy_that_is_half_written_begins_no_session() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let whole = refuses("private");
        let words = [
            "sh",
            "-c",
            "echo 1 > ran; ./attack http api.test 80 GET /open",
        ];
        for length in [whole.find("refused").unwrap(), whole.len() - 3] {
            scene.write("policy/rule.rego", whole.get(..length).unwrap());
            let ran = scene.run_with(&[&policy], &words);
            assert_eq!(ran.code, Some(125), "{length}");
            assert!(ran.stderr.contains("rule.rego"), "{}", ran.stderr);
        }
        assert!(!scene.work().join("ran").exists());
        assert_eq!(server.connections(), 0);
        scene.write("policy/rule.rego", &whole);
        let ran = scene.run_with(&[&policy], &words);
        assert_eq!(ran.tried().result("status"), "200");
    });
}
