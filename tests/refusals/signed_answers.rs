//! Approvals that a human signs: by which key, to what, and what becomes of those that are not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;

use agentguard::core::{Answered, Approval, Event, Evidence};
use serde_json::{Value, json};

use crate::approvals::{approve, end, start, waiting};
use crate::gated::assert_verifies;
use crate::scene::{Scene, as_everyone};

const RULES: &str = "package agentguard.exec.own\n\n\
    ask contains {\"id\": \"own/ask\", \"reason\": \"a human looks at it\"} if \"asked\" in input.action.argv\n";
const SIGNED: &str = "package agentguard.sandbox\n\nrequire_approval contains \"signed\"\n";

/// Makes a human's key, and answers where it lies.
fn key(scene: &Scene, name: &str) -> PathBuf {
    let path = scene.directory("keys").join(name);
    let file = path.to_str().unwrap();
    let made = scene.run_bare(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    path
}

/// Says that this key is ada's, and nobody else's counts.
fn allow_only(scene: &Scene, key: &Path) {
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    for directory in ["home/.config", "home/.config/agentguard"] {
        let directory = scene.directory(directory);
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let line = format!("ada namespaces=\"agentguard-approval\" {public}");
    scene.write("home/.config/agentguard/allowed_signers", &line);
}

fn session(scene: &Scene, script: &str) -> Child {
    let policy = scene.policy(RULES);
    scene.write("policy/signed.rego", SIGNED);
    start(scene, &[&policy], script)
}

fn place(scene: &Scene) -> PathBuf {
    let all = scene.root.join("home/.local/state/agentguard/approvals");
    fs::read_dir(all).unwrap().next().unwrap().unwrap().path()
}

/// Answers yes with a file of one's own, as whoever has the human's account can.
fn forge(scene: &Scene, id: &str, sshsig: Option<&Value>) {
    let place = place(scene);
    let question = fs::read_to_string(place.join(format!("{id}.question"))).unwrap();
    let question: Value = serde_json::from_str(&question).unwrap();
    let mut answer = json!({
        "id": id, "session": question["asked"]["session"], "digest": question["digest"], "said": "yes",
    });
    if let Some(sshsig) = sshsig {
        answer["sshsig"] = sshsig.clone();
    }
    let unseen = place.join(".forged");
    fs::write(&unseen, answer.to_string()).unwrap();
    scene.own(&unseen);
    fs::rename(unseen, place.join(format!("{id}.answer"))).unwrap();
}

fn approvals(scene: &Scene) -> Vec<Approval> {
    let mut approvals = Vec::new();
    scene.each_event(|event| {
        if let Event::Decision { ruling, .. } = event {
            approvals.extend(ruling.approval().cloned());
        }
    });
    approvals
}

#[test]
fn a_yes_counts_where_it_is_signed_by_a_key_that_is_known_and_for_one_question_only() {
    as_everyone(|scene| {
        let (ada, eve) = (key(scene, "ada"), key(scene, "eve"));
        allow_only(scene, &ada);
        let script = "for one in 1 2 3 4; do touch asked $one; echo $one $?; done";
        let session = session(scene, script);
        let first = waiting(scene, 1).remove(0);
        assert_eq!(approve(scene, &[&first]).0, Some(2), "nobody signed");
        let sign = |key: &Path| format!("--sign={}", key.display());
        let by_eve = approve(scene, &[&first, &sign(&eve)]).0;
        assert_eq!(by_eve, Some(2), "nobody knows this key");
        assert_eq!(
            waiting(scene, 1),
            std::slice::from_ref(&first),
            "it waits still"
        );
        assert_eq!(approve(scene, &[&first, &sign(&ada)]).0, Some(0));
        let given = fs::read_to_string(place(scene).join(format!("{first}.answer"))).unwrap();
        let given: Value = serde_json::from_str(&given).unwrap();
        let second = other_than(scene, &[&first]);
        forge(scene, &second, None);
        let third = other_than(scene, &[&first, &second]);
        forge(scene, &third, Some(&given["sshsig"]));
        let fourth = other_than(scene, &[&first, &second, &third]);
        // A no holds, whoever says it.
        assert_eq!(approve(scene, &[&fourth, "--deny"]).0, Some(0));
        assert_eq!(end(session), "1 0\n2 126\n3 126\n4 126\n");
        let approvals = approvals(scene);
        let yes: Vec<_> = approvals
            .iter()
            .filter(|approval| approval.answer == Answered::Approved)
            .collect();
        assert_eq!(yes.len(), 1, "{approvals:?}");
        let by = yes[0].by.as_ref().unwrap();
        assert_eq!((by.id.as_str(), by.evidence), ("ssh:ada", Evidence::Signed));
        assert!(yes[0].signed.is_some());
        assert_verifies(scene);
    });
}

fn other_than(scene: &Scene, known: &[&str]) -> String {
    loop {
        let id = waiting(scene, 1).remove(0);
        if !known.contains(&id.as_str()) {
            return id;
        }
        // The guard looks at answers ten times a second.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn keys_that_cannot_be_read_let_no_session_begin() {
    as_everyone(|scene| {
        let ada = key(scene, "ada");
        allow_only(scene, &ada);
        let config = "home/.config/agentguard/allowed_signers";
        let line = fs::read_to_string(scene.root.join(config)).unwrap();
        scene.write(config, &line.replace("namespaces=", "valid-before="));
        let ran = scene.run(&["touch", "ran"]);
        assert_eq!(ran.code, Some(125), "{}", ran.stderr);
        assert!(ran.stderr.contains("not understood"), "{}", ran.stderr);
        assert!(!scene.work().join("ran").exists());
    });
}
