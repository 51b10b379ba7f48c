//! Requests that wait for a human: who can say yes, to what, and how often.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::gated::{Server, assert_verifies, with_server};
use crate::lifetime::{PATIENCE, until};
use crate::scene::Scene;

const RULES: &str = "package agentguard.api.own\n\n\
    ask contains {\"id\": \"own/ask\", \"reason\": \"posting needs a human\"} if input.action.method == \"POST\"\n\n\
    allow contains {\"id\": \"own/post\", \"reason\": \"posting is fine\"} if input.action.method == \"POST\"\n";

fn policy(scene: &Scene, server: &Server) -> String {
    let policy = server.policy(scene, "");
    scene.write("policy/own.rego", RULES);
    policy
}

pub(crate) fn start(scene: &Scene, flags: &[&str], script: &str) -> Child {
    let mut command = scene.exec(flags, &["sh", "-c", script]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub(crate) fn end(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn approve(scene: &Scene, words: &[&str]) -> (Option<i32>, String) {
    let mut command = scene.command(scene.root.join("agentguard"));
    command.arg("approve").args(words);
    let ran = scene.run_command(command);
    (ran.code, ran.stdout)
}

/// Makes a file that a session waits for.
pub(crate) fn allow(scene: &Scene, name: &str) {
    scene.own(&scene.write(&format!("home/work/{name}"), ""));
}

/// The ids of the questions that wait now.
fn listed(scene: &Scene) -> Vec<String> {
    let (_, listed) = approve(scene, &["--json"]);
    let id = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["approval"].as_str().unwrap().to_owned()
    };
    listed.lines().map(id).collect()
}

/// The ids of so many questions, once they wait.
pub(crate) fn waiting(scene: &Scene, count: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let ids = listed(scene);
        if ids.len() == count {
            return ids;
        }
        assert!(begun.elapsed() < PATIENCE, "{ids:?}");
        // Another process asks; how soon is its own affair.
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn question_file(scene: &Scene, id: &str) -> PathBuf {
    let all = scene.root.join("home/.local/state/agentguard/approvals");
    let session = std::fs::read_dir(all).unwrap().next().unwrap().unwrap();
    session.path().join(format!("{id}.question"))
}

fn posts(server: &Server) -> usize {
    let requests = server.requests();
    requests
        .iter()
        .filter(|line| line.starts_with("POST"))
        .count()
}

#[test]
fn what_a_human_approves_is_sent_once_and_others_do_not_wait_for_it() {
    with_server(|scene, server| {
        let policy = policy(scene, server);
        let script = "post() { curl -s -o /dev/null -w '%{http_code} ' -d x=1 http://api.test/pay; }; \
                      post & curl -s -o /dev/null http://api.test/meanwhile; touch meanwhile; wait; post";
        let session = start(scene, &[&policy], script);
        let first = waiting(scene, 1).remove(0);
        until("others wait for it", || {
            scene.work().join("meanwhile").exists()
        });
        assert_eq!(server.requests(), ["GET /meanwhile HTTP/1.1"]);
        let answer = question_file(scene, &first).with_extension("answer");
        assert_eq!(approve(scene, &[&first]).0, Some(0));
        assert_eq!(
            approve(scene, &[&first, "--deny"]).0,
            Some(1),
            "the first stands"
        );
        let second = waiting(scene, 1).remove(0);
        assert_ne!(first, second);
        assert_eq!(posts(server), 1);
        // What was said to the first is no answer to the second.
        std::fs::copy(&answer, answer.with_file_name(format!("{second}.answer"))).unwrap();
        assert_eq!(end(session), "200 403 ");
        assert_eq!(posts(server), 1);
        assert_verifies(scene);
    });
}

#[test]
fn one_yes_is_for_one_of_those_that_wait_together() {
    with_server(|scene, server| {
        let policy = policy(scene, server);
        let script = "for one in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' --trace-ascii sent-$one -d x=1 \
                      http://api.test/pay & done; wait";
        let mut session = start(scene, &[&policy], script);
        let id = waiting(scene, 1).remove(0);
        let is_sent = |one: u32| {
            let sent = std::fs::read_to_string(scene.work().join(format!("sent-{one}")));
            sent.is_ok_and(|sent| sent.contains("=> Send data"))
        };
        until("all four are sent", || (1..=4).all(is_sent));
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        // One that came too late to wait with the others asks anew.
        while session.try_wait().unwrap().is_none() {
            for id in listed(scene) {
                approve(scene, &[&id, "--deny"]);
            }
            // Another process asks; how soon is its own affair.
            std::thread::sleep(Duration::from_millis(20));
        }
        let told = end(session);
        assert_eq!(told.matches("200").count(), 1, "{told}");
        assert_eq!(told.matches("403").count(), 3, "{told}");
        assert_eq!(posts(server), 1);
        assert_verifies(scene);
    });
}

#[test]
fn a_question_that_was_changed_is_not_answered_and_a_no_stays_one() {
    with_server(|scene, server| {
        let policy = policy(scene, server);
        let post = "curl -s -o /dev/null -w '%{http_code} ' -d x=1 http://api.test/pay";
        let session = start(scene, &[&policy], &format!("{post}; {post}"));
        let id = waiting(scene, 1).remove(0);
        let file = question_file(scene, &id);
        let asked = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, asked.replace("/pay", "/ok")).unwrap();
        assert_eq!(approve(scene, &[&id]).0, Some(2));
        std::fs::write(&file, asked).unwrap();
        assert_eq!(
            approve(scene, &[&id, "--deny", "--reason", "no"]).0,
            Some(0)
        );
        assert_eq!(end(session), "403 403 ", "the very same is not asked again");
        assert_eq!(server.bytes(), 0);
        assert_verifies(scene);
    });
}

#[test]
fn nothing_inside_reaches_a_question_and_nothing_is_left_of_it() {
    with_server(|scene, server| {
        let policy = policy(scene, server);
        let all = scene.root.join("home/.local/state/agentguard/approvals");
        let script = format!(
            "curl -s -d x=1 http://api.test/pay & until [ -e asked ]; do :; done; \
             ls {0} && echo seen; echo yes > {0}/any && echo written; true",
            all.display()
        );
        let session = start(scene, &[&policy], &script);
        let id = waiting(scene, 1).remove(0);
        // A process that says it is of a session is taken at its word.
        let mut within = scene.command(scene.root.join("agentguard"));
        within.env("AGENTGUARD_SESSION", "x").args(["approve", &id]);
        let ran = scene.run_command(within);
        assert_ne!(ran.code, Some(0));
        assert!(
            ran.stderr.contains("nothing is approved from inside"),
            "{}",
            ran.stderr
        );
        scene.own(&scene.write("home/work/asked", ""));
        let told = end(session);
        assert!(
            !told.contains("seen") && !told.contains("written"),
            "{told}"
        );
        // Its session is over, so that nobody can say yes to it.
        assert_eq!(approve(scene, &[&id]).0, Some(1));
        assert_eq!(std::fs::read_dir(all).unwrap().count(), 0);
        assert_eq!(server.bytes(), 0);
        assert_verifies(scene);
    });
}

#[test]
fn what_nobody_answers_is_refused_and_approved_later_goes_once() {
    with_server(|scene, server| {
        let policy = policy(scene, server);
        let post = "curl -s -o /dev/null -w '%{http_code} ' -d x=1 http://api.test/pay";
        let script =
            format!("{post}; touch refused; until [ -e approved ]; do :; done; {post}; {post}");
        let flags = [policy.as_str(), "--approval-timeout", "1"];
        let session = start(scene, &flags, &script);
        let id = waiting(scene, 1).remove(0);
        until("it waits for ever", || {
            scene.work().join("refused").exists()
        });
        assert_eq!(server.bytes(), 0);
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        allow(scene, "approved");
        assert_eq!(end(session), "403 200 403 ");
        assert_eq!(posts(server), 1);
        assert_verifies(scene);
    });
}
