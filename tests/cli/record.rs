//! Logs of real sessions: read, traced, proven, damaged, followed while they are written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use agentguard::core::{Entry, Event};
use serde_json::Value;

use crate::home::Home;

impl Home {
    /// A home with one finished session that made a commit.
    fn with_a_commit() -> Self {
        let home = Self::new();
        home.git(&["init", "-q", "-b", "main"]);
        let script = "echo int main; > a.c\ngit add a.c\n\
                      git -c user.name=a -c user.email=a@b commit -qm one\n\
                      /usr/bin/dd if=x of=/dev/sda\nexit 0\n";
        fs::write(home.work().join("s.sh"), script).unwrap();
        let run = home.run(&[], &["exec", "--by", "ada", "--", "sh", "s.sh"]);
        assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
        home
    }

    fn logs(&self) -> PathBuf {
        self.root().join("home/.local/state/agentguard/log")
    }

    /// The directory of the only session's log.
    fn session(&self) -> PathBuf {
        let listed = fs::read_dir(self.logs().join("sessions")).unwrap();
        let mut all = listed.map(|entry| entry.unwrap().path());
        let one = all.next().unwrap();
        assert!(all.next().is_none());
        one
    }

    /// A home with a session whose log was damaged afterwards, at entry 1, and another that made `second`.
    fn with_a_damaged_log() -> (Self, PathBuf) {
        let home = Self::with_a_commit();
        let session = home.session();
        damage(&session.join("wal"), b"\"seq\":1,");
        let run = home.run(&[], &["exec", "--", "mkdir", "second"]);
        assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
        (home, session)
    }

    fn objects(&self, words: &[&str]) -> Vec<Value> {
        let output = self.run(&[], words);
        let lines = text(&output.stdout);
        let lines = lines.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn verify(&self) -> (Option<i32>, String) {
        answer(&self.run(&[], &["verify"]))
    }
}

/// Changes a byte behind what stands in a file.
fn damage(path: &Path, behind: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let mut windows = bytes.windows(behind.len());
    let at = windows.position(|window| window == behind).unwrap();
    *bytes.get_mut(at + 20).unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn answer(output: &Output) -> (Option<i32>, String) {
    let text = text(&output.stdout) + &text(&output.stderr);
    (output.status.code(), text)
}

#[track_caller]
fn holds(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
}

#[test]
fn a_commit_leads_back_to_the_human_and_the_actions_before_it() {
    let home = Home::with_a_commit();
    let (code, told) = answer(&home.run(&[], &["trace", "HEAD"]));
    assert_eq!(code, Some(0), "{told}");
    holds(
        &told,
        &[
            "commit ",
            ": made there",
            "asked by  ada (asserted:ada, asserted)",
            "evidence  asserted: ",
            "trigger   a program without a terminal",
            "agent     local (local+",
            "allowed exec git add a.c (programs/known)",
            "commit -qm one (programs/known)",
            "log       verified: ",
        ],
    );
    let steps = home.objects(&["trace", "main", "--json"]);
    let words: Vec<_> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(words[0], "effect");
    assert_eq!(words[words.len() - 2..], ["start", "log"]);
    assert_eq!(steps.last().unwrap()["verified"], true);
    let key = text(&home.run(&[], &["log", "key"]).stdout);
    for step in &steps[..steps.len() - 1] {
        let path = home.work().join("x.tlog-proof");
        fs::write(&path, step["proof"].as_str().unwrap()).unwrap();
        let elsewhere = Home::new();
        let words = ["verify", path.to_str().unwrap(), "--key", key.trim()];
        let (code, told) = answer(&elsewhere.run(&[], &words));
        assert_eq!(code, Some(0), "{told}");
    }
}

#[test]
fn a_commit_that_was_there_before_is_not_said_to_come_from_a_session() {
    let home = Home::with_a_commit();
    home.git(&[
        "-c",
        "user.name=b",
        "-c",
        "user.email=b@c",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "by hand",
    ]);
    home.run(&[], &["exec", "--", "true"]);
    let (code, told) = answer(&home.run(&[], &["trace", "HEAD"]));
    assert_eq!(code, Some(1), "{told}");
    holds(&told, &["came from no session: it was there when session "]);
}

#[test]
fn whatever_is_changed_or_taken_away_does_not_verify() {
    let home = Home::with_a_commit();
    assert_eq!(home.verify().0, Some(0));
    let path = home.session().join("wal");
    let whole = fs::read(&path).unwrap();
    let at = whole.windows(8).position(|w| w == b"\"seq\":1,").unwrap();
    let mut bytes = whole.clone();
    *bytes.get_mut(at + 20).unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, told) = home.verify();
    assert_eq!(code, Some(1));
    holds(
        &told,
        &[
            "verified: anchor log",
            "not verified: session ",
            "  entry 1: changed: ",
        ],
    );
    let (code, told) = answer(&home.run(&[], &["trace", "HEAD"]));
    assert_ne!(code, Some(0), "{told}");
    fs::write(&path, whole).unwrap();
    assert_eq!(home.verify().0, Some(0));
    let (session, aside) = (home.session(), home.root().join("aside"));
    fs::rename(&session, &aside).unwrap();
    let (code, told) = home.verify();
    assert_eq!(code, Some(1));
    holds(
        &told,
        &["not verified: session ", " is missing, which had "],
    );
    fs::rename(&aside, &session).unwrap();
    fs::rename(home.logs().join("anchor"), &aside).unwrap();
    let (code, told) = home.verify();
    assert_eq!(code, Some(1));
    holds(&told, &["not verified: the anchor log is missing"]);
    let known = home.root().join("home/.config/agentguard/known");
    for entry in fs::read_dir(known).unwrap() {
        fs::remove_file(entry.unwrap().path().join("checkpoint")).unwrap();
    }
    assert_eq!(home.verify().0, Some(1), "what is known of it is gone too");
    fs::rename(&aside, home.logs().join("anchor")).unwrap();
    assert_eq!(home.verify().0, Some(0));
    let hidden = b"\"kind\":\"anchor\"";
    let path = home.logs().join("anchor/wal");
    let whole = fs::read(&path).unwrap();
    let at = whole.windows(15).position(|w| w == hidden).unwrap();
    fs::write(&path, &whole[..at]).unwrap();
    let (code, told) = home.verify();
    assert_eq!(code, Some(1));
    holds(
        &told,
        &["not verified: session ", " is not in the anchor log"],
    );
    fs::write(&path, whole).unwrap();
    assert_eq!(home.verify().0, Some(0));
}

#[test]
fn logs_that_are_gone_though_they_are_known_do_not_verify() {
    let home = Home::with_a_commit();
    fs::remove_dir_all(home.logs()).unwrap();
    assert_eq!(home.verify().0, Some(1), "all of it is gone");
}

#[test]
fn an_export_verifies_elsewhere_by_the_key_alone_and_not_by_another() {
    let home = Home::with_a_commit();
    assert_eq!(
        home.run(&[], &["log", "export", "out"]).status.code(),
        Some(0)
    );
    let out = home.work().join("out");
    assert!(!out.join("texts").exists());
    let elsewhere = Home::new();
    let out = out.to_str().unwrap();
    let without = answer(&elsewhere.run(&[], &["verify", out]));
    assert_eq!(without.0, Some(2), "{}", without.1);
    let mine = text(&home.run(&[], &["log", "key"]).stdout);
    let verified = answer(&elsewhere.run(&[], &["verify", out, "--key", mine.trim()]));
    assert_eq!(verified.0, Some(0), "{}", verified.1);
    elsewhere.run(&[], &["exec", "--", "true"]);
    let other = text(&elsewhere.run(&[], &["log", "key"]).stdout);
    let refused = answer(&home.run(&[], &["verify", out, "--key", other.trim()]));
    assert_eq!(refused.0, Some(2), "{}", refused.1);
}

#[test]
fn objects_hold_what_was_recorded() {
    let home = Home::with_a_commit();
    let all = home.objects(&["log", "show", "--json"]);
    for (index, recorded) in (0u64..).zip(&all) {
        assert_eq!(recorded["index"], index);
        assert_eq!(recorded["entry"]["seq"], index);
        assert_eq!(recorded["entry"]["human"], "asserted:ada");
    }
    assert_eq!(all[0]["entry"]["event"]["kind"], "session.start");
    assert_eq!(all[0]["text"]["command"], serde_json::json!(["sh", "s.sh"]));
    let refused = home.objects(&[
        "log", "query", "--ruling", "deny", "--rule", "commands", "--json",
    ]);
    assert_eq!(refused.len(), 1, "{refused:?}");
    let tail = home.objects(&["log", "tail", "--json"]);
    assert_eq!(tail.len(), 10);
    assert_eq!(tail.last(), all.last());
    let reports = home.objects(&["verify", "--json"]);
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert_eq!(report["verified"], true);
    }
}

#[test]
fn a_running_session_is_followed_to_its_end_and_is_no_failure_before() {
    let home = Home::new();
    // It goes on once it can read a line, so that nothing here waits for a time.
    let mut session = home.start(&["exec", "--", "sh", "-c", "mkdir a; read line; mkdir b"]);
    let mut listed = home.objects(&["log", "query", "--kind", "exec", "--json"]);
    while listed.len() < 2 {
        assert_eq!(session.try_wait().unwrap(), None, "it ended");
        std::thread::yield_now();
        listed = home.objects(&["log", "query", "--kind", "exec", "--json"]);
    }
    let (code, told) = home.verify();
    assert_eq!(code, Some(0), "{told}");
    let (_, told) = answer(&home.run(&[], &["log", "show"]));
    holds(&told, &["allowed exec mkdir a", "note: the session runs"]);
    let tail = home.start(&["log", "tail"]);
    drop(session.stdin.take());
    assert_eq!(session.wait().unwrap().code(), Some(0));
    let tail = tail.wait_with_output().unwrap();
    holds(
        &text(&tail.stdout),
        &[
            "allowed exec mkdir a",
            "allowed exec mkdir b",
            "ended, exited 0",
        ],
    );
    assert_eq!(home.verify().0, Some(0));
}

#[test]
fn a_log_that_is_damaged_in_its_middle_is_named_and_hides_no_other() {
    let (home, _) = Home::with_a_damaged_log();
    let named = " is damaged at entry 1: ";
    let (code, told) = answer(&home.run(&[], &["log", "query", "--kind", "session.end"]));
    assert_eq!(code, Some(2), "{told}");
    holds(&told, &[named, " ended, exited 0: 1 allowed"]);
    let (code, told) = answer(&home.run(&[], &["trace", "second"]));
    assert_eq!(code, Some(0), "{told}");
    holds(
        &told,
        &[named, "file `second` changed during", "verified: "],
    );
    for words in [["trace", "nothing"], ["receipt", "0123abcd"]] {
        let (code, told) = answer(&home.run(&[], &words));
        assert_eq!(code, Some(2), "{told}");
        holds(&told, &[named]);
    }
}

/// Where no length stands, what follows is no less there than behind a broken entry.
#[test]
fn a_log_that_is_broken_between_entries_is_shown_to_there_and_not_said_to_end_there() {
    let (home, damaged) = Home::with_a_damaged_log();
    let path = damaged.join("wal");
    let mut bytes = fs::read(&path).unwrap();
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let length = u32::from_be_bytes(*bytes[first..].first_chunk().unwrap());
    bytes[first + 12 + usize::try_from(length).unwrap()] = 0xff;
    fs::write(&path, bytes).unwrap();
    let name = damaged.file_name().unwrap().to_str().unwrap();
    let named = " is damaged at entry 1: the write-ahead file is broken there, and goes on";
    for words in [
        &["log", "show", name][..],
        &["log", "tail", name],
        &["log", "query", name],
    ] {
        let (code, told) = answer(&home.run(&[], words));
        assert_eq!(code, Some(2), "{words:?}: {told}");
        holds(&told, &[named, "sh s.sh"]);
    }
    let (code, told) = answer(&home.run(&[], &["trace", "nothing"]));
    assert_eq!(code, Some(2), "{told}");
    holds(&told, &[named]);
}

#[test]
fn where_a_log_is_damaged_it_is_said_that_not_all_is_erased() {
    let (home, damaged) = Home::with_a_damaged_log();
    let words = ["log", "erase", "--reason", "x", "--matching", "mkdir"];
    let (code, told) = answer(&home.run(&[], &words));
    assert_eq!(code, Some(2), "{told}");
    holds(&told, &["erased: session ", " is damaged at entry 1: "]);
    let name = damaged.file_name().unwrap().to_str().unwrap();
    let (code, told) = answer(&home.run(&[], &["log", "erase", name, "--reason", "x"]));
    assert_eq!(code, Some(2), "{told}");
    holds(&told, &[" is damaged at entry 1: "]);
}

/// What is long is kept by its beginning: a command is not hidden by what stands behind it.
#[test]
fn a_command_that_is_too_long_is_shown_by_its_beginning() {
    let home = Home::new();
    let script = "x=$(head -c 100000 /dev/zero | tr '\\0' x)\n\
                  /bin/true begins \"$(printf '\\033[2J')\" $x $x $x $x $x $x $x $x $x $x $x\n";
    fs::write(home.work().join("s.sh"), script).unwrap();
    let run = home.run(&[], &["exec", "--", "sh", "s.sh"]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let all = home.objects(&["log", "query", "--kind", "exec", "--json"]);
    let cut = all.iter().find(|one| one["text"]["truncated"] == true);
    let index = cut.unwrap()["index"].to_string();
    for words in [
        ["log", "show"].as_slice(),
        &["log", "query"],
        &["log", "tail"],
        &["trace", &format!(":{index}")],
    ] {
        let (_, told) = answer(&home.run(&[], words));
        holds(
            &told,
            &[
                " allowed exec /bin/true begins ",
                "\\u{1b}[2J",
                "xxx (programs/known) [text cut: 65536 of ",
            ],
        );
    }
    let (code, told) = answer(&home.run(&[], &["policy", "eval", "--entry", &index]));
    assert_eq!(code, Some(2), "{told}");
    holds(&told, &["was too long to be kept whole"]);
}

#[test]
fn a_text_that_is_not_there_or_is_another_is_not_said_to_be_erased() {
    let home = Home::with_a_commit();
    home.run(&[], &["log", "export", "bare"]);
    home.run(&[], &["log", "export", "full", "--texts"]);
    let texts = home.work().join("full/texts");
    let other = fs::read_to_string(&texts).unwrap();
    fs::write(&texts, other.replace("if=x", "if=y")).unwrap();
    for (directory, rule, words) in [
        ("bare", "commands", " (commands/raw-disk) [text not here]"),
        (
            "full",
            "commands",
            " (commands/raw-disk) [text is not what was recorded]",
        ),
        ("full", "session/start", "sh s.sh (session/start)\n"),
    ] {
        let (_, told) = answer(&home.run(&[], &["log", "query", directory, "--rule", rule]));
        holds(&told, &[words]);
        assert!(!told.contains("erased"), "{told}");
    }
    let shown = home.objects(&["log", "query", "full", "--rule", "commands", "--json"]);
    assert_eq!(shown[0]["text_changed"], true);
}

#[test]
fn a_directory_is_shown_with_the_word_that_nothing_of_it_was_verified() {
    let home = Home::with_a_commit();
    home.run(&[], &["log", "export", "out"]);
    let note = "note: nothing of it was verified; `agentguard verify out` does that";
    for command in ["show", "tail", "query"] {
        let (code, told) = answer(&home.run(&[], &["log", command, "out"]));
        assert_eq!(code, Some(0), "{told}");
        holds(&told, &[note]);
        let (_, told) = answer(&home.run(&[], &["log", command]));
        assert!(!told.contains("verified"), "{told}");
    }
}

#[test]
fn an_entry_of_the_anchor_log_is_named_and_proven_as_one() {
    let home = Home::with_a_commit();
    let (_, told) = answer(&home.run(&[], &["log", "query", "anchor"]));
    assert!(
        told.lines().all(|line| line.starts_with("anchor:")),
        "{told}"
    );
    let proof = home.run(&[], &["log", "prove", "anchor:1"]);
    assert_eq!(proof.status.code(), Some(0), "{}", text(&proof.stderr));
    fs::write(home.work().join("x"), proof.stdout).unwrap();
    let (code, told) = answer(&home.run(&[], &["verify", "x"]));
    assert_eq!(code, Some(0), "{told}");
    holds(
        &told,
        &["verified: entry 1 of `agentguard/", " ended agentguard/"],
    );
}

#[test]
fn an_input_that_is_too_large_is_refused_and_not_read_in_part() {
    let home = Home::new();
    for (spaces, code) in [((4 << 20) - 2, 0), ((4 << 20) - 1, 2)] {
        let input = format!("{{}}{}", " ".repeat(spaces));
        fs::write(home.work().join("input"), input).unwrap();
        let words = ["policy", "eval", "--query", "1", "input"];
        let (ended, told) = answer(&home.run(&[], &words));
        assert_eq!(ended, Some(code), "{told}");
        assert_eq!(code == 2, told.contains("`input` is larger than 4 MiB"));
    }
}

/// Each entry and event on the page is read, and written back as the same bytes; no kind is left out.
#[test]
fn the_page_on_the_format_shows_entries_as_they_are() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/log-format.md");
    let page = fs::read_to_string(path).unwrap();
    let mut kinds = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("{\"")) {
        let (event, written) = if line.starts_with("{\"v\":") {
            let entry: Entry = serde_json::from_str(line).unwrap();
            let written = serde_json::to_string(&entry).unwrap();
            (entry.event, written)
        } else if line.starts_with("{\"kind\":") {
            let event: Event = serde_json::from_str(line).unwrap();
            let written = serde_json::to_string(&event).unwrap();
            (event, written)
        } else {
            continue;
        };
        assert_eq!(written, line);
        let event = serde_json::to_value(event).unwrap();
        kinds.push(event["kind"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    let all = [
        "anchor",
        "credential",
        "decision",
        "difference",
        "erasure",
        "finding",
        "outcome",
        "refs",
        "repeat",
        "session.end",
        "session.start",
        "signature",
    ];
    assert_eq!(kinds, all);
}
