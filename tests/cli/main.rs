//! Sessions with the command, as committed texts: what was typed, what came out, how it ended.
//!
//! Each `.txt` beside this file is one session, run from its beginning in a home of its own. A line that
//! begins with `$ ` is typed; what follows it until the next such line or an empty line before a `#`
//! is what must come of it: stdout as it is, stderr behind `2> `, and behind `=> ` the exit code where
//! it is not 0. `UPDATE=1` writes the sessions anew. What differs between runs is filtered: `filter.rs`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]
#![expect(clippy::string_slice, reason = "what is sliced was found there")]

mod filter;
mod home;
mod record;
mod script;
mod terminal;

use home::Home;

#[test]
fn help() {
    script::play("help", &Home::new());
}

#[test]
fn wrong_usage() {
    script::play("usage", &Home::new());
}

#[test]
fn sessions_end() {
    script::play("exec", &Home::new());
}

#[test]
fn profiles() {
    script::play("profile", &Home::new());
}

#[test]
fn approvals() {
    script::play("approve", &Home::new());
}

#[test]
fn agents() {
    script::play("agent", &Home::new());
}

#[test]
fn credentials() {
    script::play("credential", &Home::new());
}

#[test]
fn logs() {
    script::play("log", &Home::new());
}

/// The receipt is one of a real session's, kept as a vector: what was accepted once is accepted by every later version.
#[test]
fn receipts() {
    let home = Home::new();
    let vector = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/receipt/commit.receipt"
    );
    std::fs::copy(vector, home.work().join("commit.receipt")).unwrap();
    script::play("receipt", &home);
}

#[test]
fn what_a_session_plants_is_told() {
    script::play("planted", &Home::new());
}

#[test]
fn policies() {
    script::play("policy", &Home::new());
}

#[test]
fn bash_completes_words_flags_and_what_flags_take() {
    let home = Home::new();
    for (typed, offered) in [
        ("exec --level n", "no-namespaces"),
        ("agent r", "rotate revoke"),
        ("agent show --", "--signers --json --help"),
        ("exec -- --", ""),
    ] {
        assert_eq!(home.completed_by_bash(typed).trim_end(), offered, "{typed}");
    }
}

#[test]
fn a_reader_who_leaves_hears_no_complaint() {
    let home = Home::new();
    let (code, stderr) = home.run_unread(&["man"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

/// Its processes are held to one while they are made.
#[test]
fn a_session_runs_on_every_processor_that_its_guard_may() {
    let allowed = |status: &str| {
        let mut lines = status.lines();
        lines
            .find(|line| line.starts_with("Cpus_allowed:"))
            .map(str::to_owned)
    };
    let inside = Home::new().run(&[], &["exec", "--", "/bin/cat", "/proc/self/status"]);
    let inside = allowed(&String::from_utf8(inside.stdout).unwrap());
    let outside = allowed(&std::fs::read_to_string("/proc/self/status").unwrap());
    assert!(inside.is_some());
    assert_eq!(inside, outside);
}
