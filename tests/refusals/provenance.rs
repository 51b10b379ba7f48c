//! Provenance: from a commit on a server back to the human, for somebody who has the log's key and a receipt alone.

use std::fs;
use std::path::PathBuf;

use crate::pushes::{SHELL, Server, with_server};
use crate::scene::{Ran, Scene};

/// An event of a platform that names who asked.
const EVENT: [(&str, &str); 7] = [
    ("GITHUB_ACTIONS", "true"),
    ("GITHUB_ACTOR", "octocat"),
    ("GITHUB_ACTOR_ID", "583231"),
    ("GITHUB_EVENT_NAME", "issues"),
    ("GITHUB_RUN_ID", "123"),
    ("GITHUB_SERVER_URL", "https://github.test"),
    ("GITHUB_REPOSITORY", "acme/app"),
];
/// An edit, a push to `main`, one to a branch of its own; nothing in the commit tells of the session.
const WORK: &str = "echo c > c; git add c; git commit -qm three
wire HEAD:refs/heads/main
git push -q origin HEAD:refs/heads/$own/fix";

/// A session that an event started, in which a push was refused and one allowed.
fn work(scene: &Scene, server: &Server) -> (Ran, String) {
    let script = format!("{SHELL}\nset -e\n{WORK}");
    let mut session = scene.exec(&[&server.policy(scene)], &["sh", "-c", &script]);
    session.envs(EVENT);
    let ran = scene.run_command(session);
    let refs = server.refs(scene);
    let pushed = refs.lines().find_map(|line| {
        let (name, id) = line.split_once(' ')?;
        name.ends_with("/fix").then(|| id.to_owned())
    });
    let pushed = pushed.unwrap_or_else(|| panic!("{refs}\n{}\n{}", ran.stdout, ran.stderr));
    (ran, pushed)
}

/// The command by the one whose sessions they are.
fn ours(scene: &Scene, words: &[&str]) -> Ran {
    let mut command = scene.command(scene.root.join("agentguard"));
    command.args(words);
    scene.run_command(command)
}

/// Somebody else: a home without any key, and a clone of the branch that was pushed.
struct Reviewer<'s> {
    scene: &'s Scene,
    clone: PathBuf,
}

impl<'s> Reviewer<'s> {
    fn new(scene: &'s Scene, server: &Server, commit: &str) -> Self {
        let clone = scene.directory("reviewer").join("clone");
        let script = format!(
            "git clone -q {} {at} && git -C {at} checkout -q {commit}",
            server.repository.display(),
            at = clone.display()
        );
        let cloned = scene.run_bare(&["sh", "-ec", &script]);
        assert_eq!(cloned.code, Some(0), "{}", cloned.stderr);
        Self { scene, clone }
    }

    fn verify(&self, words: &[&str]) -> Ran {
        let mut command = self.scene.command(self.scene.root.join("agentguard"));
        command.current_dir(&self.clone).arg("verify").args(words);
        command.env("HOME", self.clone.parent().unwrap());
        self.scene.run_command(command)
    }

    /// Writes what is to be taken for a receipt, and has it verified for a commit.
    fn judge(&self, commit: &str, receipt: &str, key: &str) -> Ran {
        let file = self.scene.write("to-verify", receipt).display().to_string();
        self.verify(&["--commit", commit, "--receipt", &file, "--key", key])
    }
}

fn receipt_of(scene: &Scene, commit: &str) -> (String, String) {
    let key = ours(scene, &["log", "key"]).stdout.trim().to_owned();
    let file = scene.directory("receipts").join("commit.receipt");
    let made = ours(scene, &["receipt", commit, "-o", file.to_str().unwrap()]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    (fs::read_to_string(file).unwrap(), key)
}

/// The proofs of a receipt: of its session's start, and of the push.
fn parts(receipt: &str) -> (String, String) {
    let at = receipt.rfind("c2sp.org/tlog-proof@v1\n").unwrap();
    let (start, push) = receipt.split_at(at);
    (start.to_owned(), push.to_owned())
}

#[track_caller]
fn holds(ran: &Ran, code: i32, words: &[&str]) {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in\n{said}");
    }
}

#[test]
fn a_commit_of_a_session_is_traced_to_its_human_and_a_second_clone_accepts_it_by_its_receipt() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let (ran, commit) = work(scene, server);
        let main = |refs: &str| {
            refs.lines()
                .find(|l| l.starts_with("refs/heads/main "))
                .map(str::to_owned)
        };
        assert_eq!(main(&server.refs(scene)), main(&before));
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("push/protected"), "{said}");

        let traced = ours(scene, &["trace", &commit]);
        let words = [
            &format!("commit {commit} stood in a push: refused, entry "),
            &format!("commit {commit} stood in a push: allowed, entry "),
            "allowed push to `git.test/o/r`: create `refs/heads/agent/",
            "asked by  octocat (github:583231@github.test, asserted)",
            "a GitHub Actions job",
        ];
        holds(&traced, 0, &words);

        let (receipt, key) = receipt_of(scene, &commit);
        let reviewer = Reviewer::new(scene, server, &commit);
        let accepted = reviewer.judge("HEAD", &receipt, &key);
        let words = [
            &format!("verified: commit {commit}: entry "),
            "asked by  octocat (github:583231@github.test, asserted)",
            "policy    ",
            "allowed push that brings ",
        ];
        holds(&accepted, 0, &words);
        assert!(
            !accepted.stdout.contains(scene.root.to_str().unwrap()),
            "{}",
            accepted.stdout
        );
    });
}

/// A commit that was pushed, its receipt, the key, and who is to judge them.
fn with_receipt(test: impl Fn(&Scene, &Reviewer<'_>, &str, (&str, &str))) {
    with_server(|scene, server| {
        let (_, commit) = work(scene, server);
        let (receipt, key) = receipt_of(scene, &commit);
        let reviewer = Reviewer::new(scene, server, &commit);
        holds(&reviewer.judge(&commit, &receipt, &key), 0, &[]);
        test(scene, &reviewer, &commit, (&receipt, &key));
    });
}

#[test]
fn a_commit_that_no_allowed_push_brought_is_accepted_by_no_receipt() {
    with_receipt(|scene, reviewer, commit, (receipt, key)| {
        let clone = reviewer.clone.to_str().unwrap();
        let parent = scene.run_bare(&["git", "-C", clone, "rev-parse", "HEAD~1"]);
        let parent = parent.stdout.trim();
        let unnamed = reviewer.judge(parent, receipt, key);
        holds(&unnamed, 1, &["no receipt names it"]);
        let none = ours(scene, &["receipt", parent]);
        holds(&none, 1, &["no push that was allowed"]);
        // One that is covered does not speak for another.
        let file = scene.root.join("to-verify").display().to_string();
        let both = [
            "--commit",
            commit,
            "--commit",
            parent,
            "--receipt",
            &file,
            "--key",
            key,
        ];
        let told = format!("not verified: commit {parent}: no receipt names it");
        holds(&reviewer.verify(&both), 1, &["verified: commit ", &told]);
        let (beginning, _) = commit.split_at(12);
        let short = reviewer.judge(beginning, receipt, key);
        holds(&short, 2, &["is not the whole id"]);
        let nothing = reviewer.judge("nothing", receipt, key);
        holds(&nothing, 2, &["names no commit"]);
        holds(
            &reviewer.verify(&["--receipt", &file, "--key", key]),
            2,
            &["give both"],
        );
        holds(
            &reviewer.verify(&["--commit", commit, "--key", key]),
            2,
            &["give both"],
        );
    });
}

#[test]
fn another_entry_of_the_same_log_is_no_push_that_was_allowed() {
    with_receipt(|scene, reviewer, commit, (receipt, key)| {
        let judge = |forged: &str| reviewer.judge(commit, forged, key);
        let (start, push) = parts(receipt);
        let mut log = Vec::new();
        scene.each_event(|event| log.push(serde_json::to_value(event).unwrap()));
        let prove = |is: &dyn Fn(&serde_json::Value) -> bool| {
            let place = format!(":{}", log.iter().position(is).unwrap());
            ours(scene, &["log", "prove", &place]).stdout
        };
        let refused = prove(&|e| e["action"] == "push" && e["ruling"]["ruling"] == "deny");
        let exec = prove(&|event| event["action"] == "exec");
        for (forged, why) in [
            (format!("{start}{refused}"), "the push was not allowed"),
            (format!("{start}{exec}"), "is no push"),
            (format!("{exec}{push}"), "no session's start"),
            (format!("{push}{start}"), "no session's start"),
        ] {
            holds(&judge(&forged), 1, &[why]);
        }
    });
}

#[test]
fn a_receipt_that_is_not_whole_or_was_changed_proves_nothing() {
    with_receipt(|_, reviewer, commit, (receipt, key)| {
        let judge = |forged: &str| reviewer.judge(commit, forged, key);
        let (start, push) = parts(receipt);
        for (forged, why) in [
            (start.as_str(), "not the two entries"),
            (push.as_str(), "not the two entries"),
            (&format!("{receipt}{push}"), "not the two entries"),
            (&receipt.repeat(20), "too many proofs"),
            (receipt.split_at(receipt.len() - 9).0, "not "),
            (receipt.split_at(start.len() + push.len() / 2).0, "not "),
            ("", "not a receipt"),
        ] {
            holds(&judge(forged), 1, &[why]);
        }
        for at in 0..receipt.lines().count() {
            let Some(forged) = with_another_line(receipt, at) else {
                continue;
            };
            let judged = judge(&forged);
            let said = format!("line {at}: {}{}", judged.stdout, judged.stderr);
            assert!(matches!(judged.code, Some(1 | 2)), "{said}");
            assert!(!said.contains("verified: commit"), "{said}");
        }
    });
}

/// The same with another character in the middle of a line, unless that is empty.
fn with_another_line(text: &str, at: usize) -> Option<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let line = lines.get_mut(at)?;
    let middle = line.len() / 2;
    let new = match *line.as_bytes().get(middle)? {
        b'1' => "2",
        _ => "1",
    };
    line.replace_range(middle..=middle, new);
    Some(lines.join("\n") + "\n")
}

#[test]
fn a_receipt_of_a_log_that_the_agent_made_itself_is_accepted_by_nobody() {
    with_server(|scene, server| {
        let (_, commit) = work(scene, server);
        let (receipt, key) = receipt_of(scene, &commit);
        let reviewer = Reviewer::new(scene, server, &commit);
        // More work, under a guard and a key of somebody else's making.
        fs::rename(
            scene.root.join("home/.local/state/agentguard"),
            scene.root.join("state"),
        )
        .unwrap();
        fs::rename(
            scene.root.join("home/.config/agentguard"),
            scene.root.join("config"),
        )
        .unwrap();
        let script = format!(
            "{SHELL}\nset -e\necho d > c; git commit -qam four; wire HEAD:refs/heads/$own/fix"
        );
        let ran = scene.run_with(&[&server.policy(scene)], &["sh", "-c", &script]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let forged = scene
            .run_bare(&["git", "rev-parse", "HEAD"])
            .stdout
            .trim()
            .to_owned();
        let (own, own_key) = receipt_of(scene, &forged);
        assert_ne!(own_key, key);
        holds(&reviewer.judge(&forged, &own, &own_key), 0, &[]);
        holds(
            &reviewer.judge(&forged, &own, &key),
            2,
            &["no key is known"],
        );
        holds(
            &reviewer.judge(&commit, &receipt, &own_key),
            2,
            &["no key is known"],
        );
        // Without a key of the reviewer's choosing there is none to believe.
        holds(
            &reviewer.verify(&["--commit", &commit, "--receipt", "../../to-verify"]),
            2,
            &["no key is known"],
        );
        // In the name of the log that is believed.
        let name = |key: &str| key.split('+').next().unwrap().to_owned();
        let renamed = own.replace(&name(&own_key), &name(&key));
        assert_ne!(renamed, own);
        holds(&reviewer.judge(&forged, &renamed, &key), 1, &[]);
    });
}
