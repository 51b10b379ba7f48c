//! Policies that are made of what was seen.

use agentguard_core::{Action, Connect, Exec, MadeBy, Making, ProgramClass, Rule, Ruling};

use super::tiers::Folder;
use super::{NOTHING, exec, program, session, word};
use crate::{Observed, Outcome, Policies, Sources, Suite, check};

fn allowed() -> Ruling {
    Ruling::Allow {
        rule: Rule::new("programs/known", "known"),
        approval: None,
    }
}

fn refused(id: &'static str) -> Ruling {
    Ruling::Unenforced {
        rule: Rule::new(id, "no"),
        asked: false,
    }
}

fn nothing() -> Observed {
    Observed::new(session().id, session().workspace)
}

/// Sees actions one after the other, as they would be recorded.
fn see(all: Vec<(Ruling, Action)>) -> Observed {
    let judge = Policies::load(&NOTHING).unwrap().judge(session());
    let mut observed = nothing();
    for (entry, (ruling, action)) in (1..).zip(all) {
        let text = judge.question(action).own_input();
        observed.see(entry, &ruling, Some(&text));
    }
    observed
}

fn execs(all: &[&[&str]]) -> Observed {
    let seen = all
        .iter()
        .map(|words| (allowed(), Action::Exec(exec(words))));
    see(seen.collect())
}

/// The policies of a proposal, which has no mistake and passes its own tests.
#[track_caller]
fn proposed(name: &str, observed: &Observed) -> Policies {
    let files = observed.propose();
    let files: Vec<_> = files
        .iter()
        .map(|file| (file.name, file.text.as_str()))
        .collect();
    let folder = Folder::new(&format!("proposed-{name}"), &files);
    let sources = Sources::alone(folder.path());
    let mistakes = check(&sources).unwrap().mistakes;
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    let suite = Suite::load(&sources).unwrap();
    assert!(suite.count() >= 2);
    for ran in suite.run() {
        let (test, printed) = (&ran.test.name, &ran.printed);
        assert_eq!(ran.outcome, Outcome::Pass, "{name}: {test} {printed:?}");
    }
    Policies::load(&sources).unwrap()
}

#[track_caller]
fn holds(policies: &Policies, cases: &[(Exec, &str)]) {
    let judge = policies.judge(session());
    for (exec, expected) in cases {
        assert_eq!(word(&judge, exec.clone()), *expected, "{exec:?}");
    }
}

const REFUSED: &str = "deny programs/not-observed";
const KNOWN: &str = "allow programs/known";

#[test]
fn what_was_not_seen_is_refused_and_what_was_is_not() {
    let seen = execs(&[
        &["git", "status"],
        &["git", "commit", "-m", "x"],
        &["make", "all"],
        &["python3.7"],
    ]);
    assert_eq!((seen.uses(), seen.refused()), (4, 0));
    let policies = proposed("seen", &seen);
    let mut elsewhere = exec(&["make"]);
    elsewhere.program = program("/usr/local/bin/make", ProgramClass::System);
    let mut renamed = exec(&["make"]);
    renamed.argv = vec!["git".to_owned(), "status".to_owned()];
    let mut script = exec(&["make"]);
    script.script = Some(program("/home/ann/work/make", ProgramClass::Workspace));
    holds(
        &policies,
        &[
            (exec(&["git", "--no-pager", "status", "-s"]), KNOWN),
            (exec(&["make", "test"]), KNOWN),
            (exec(&["python3.7"]), KNOWN),
            (exec(&["git", "fetch"]), REFUSED),
            (exec(&["git"]), REFUSED),
            (exec(&["ls"]), REFUSED),
            (elsewhere, REFUSED),
            (renamed, REFUSED),
            (script, REFUSED),
        ],
    );
}

#[test]
fn nothing_seen_is_nothing_started() {
    holds(
        &proposed("nothing", &nothing()),
        &[(exec(&["ls"]), REFUSED)],
    );
}

#[test]
fn what_the_deny_list_or_another_rule_refuses_is_never_proposed() {
    let making = Making {
        by: MadeBy::Open,
        path: ".envrc".to_owned(),
        place: ".envrc".to_owned(),
        from: None,
        caller: "/usr/bin/sh".to_owned(),
    };
    let connect = Connect {
        path: "/run/docker.sock".to_owned(),
        granted: false,
        caller: "/usr/bin/sh".to_owned(),
    };
    let mut loader = exec(&["ld.so", "/bin/ls"]);
    loader.program = program("/lib64/ld.so", ProgramClass::Loader);
    let seen = see(vec![
        (
            refused("privilege/other-user"),
            Action::Exec(exec(&["sudo", "ls"])),
        ),
        (
            refused("git/protected-branch"),
            Action::Exec(exec(&["git", "push", "o", "main"])),
        ),
        (refused("programs/loader"), Action::Exec(loader.clone())),
        (refused("persistence/configuration"), Action::File(making)),
        (refused("sockets/not-granted"), Action::Connect(connect)),
    ]);
    assert_eq!((seen.uses(), seen.refused()), (0, 5));
    let text = &seen.propose()[0].text;
    for line in [
        "#   git/protected-branch, entry 2: \"git push o main\"\n",
        "#   persistence/configuration, entry 4: \".envrc\"\n",
        "#   sockets/not-granted, entry 5: \"connect to /run/docker.sock\"\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    holds(
        &proposed("refused", &seen),
        &[
            (exec(&["sudo", "ls"]), "deny privilege/other-user"),
            (
                exec(&["git", "push", "o", "main"]),
                "deny git/protected-branch",
            ),
            (loader, "deny programs/loader"),
        ],
    );
    // Even where it was seen to be allowed, by a policy that is there no more.
    let seen = execs(&[&["sudo", "ls"], &["git", "push", "o", "main"]]);
    holds(
        &proposed("stands", &seen),
        &[
            (exec(&["sudo", "ls"]), "deny privilege/other-user"),
            (
                exec(&["git", "push", "o", "main"]),
                "deny git/protected-branch",
            ),
            (exec(&["git", "push", "o", "agent/x"]), KNOWN),
        ],
    );
}

#[test]
fn a_program_from_elsewhere_is_excepted_by_what_it_contains() {
    let mut built = exec(&["conftest"]);
    built.program = program("/tmp/conftest", ProgramClass::Temporary);
    let seen = see(vec![(
        refused("programs/temporary"),
        Action::Exec(built.clone()),
    )]);
    let mut other = built.clone();
    other.program.sha256 = agentguard_core::Digest::of(b"other");
    holds(
        &proposed("elsewhere", &seen),
        &[
            (built, "allow programs/excepted"),
            (other, "deny programs/temporary"),
        ],
    );
}

#[test]
fn a_path_is_the_same_in_another_workspace_and_session() {
    let at = |path: &str| {
        let mut run = exec(&["run"]);
        run.program = program(path, ProgramClass::Workspace);
        run
    };
    let own = format!("/x/{}/tmp/run", session().id);
    let seen = see(vec![
        (allowed(), Action::Exec(at("/home/ann/work/bin/run"))),
        (allowed(), Action::Exec(at(&own))),
    ]);
    let policies = proposed("another", &seen);
    let mut there = session();
    there.workspace = "/srv/other".to_owned();
    there.id = agentguard_core::SessionId::from_random([9; 16]);
    let judge = policies.judge(there.clone());
    assert_eq!(word(&judge, at("/srv/other/bin/run")), KNOWN);
    assert_eq!(word(&judge, at(&format!("/x/{}/tmp/run", there.id))), KNOWN);
    assert_eq!(word(&judge, at("/home/ann/work/bin/run")), REFUSED);
    assert_eq!(word(&judge, at("/srv/other/bin/run2")), REFUSED);
}

#[test]
fn no_name_and_no_argument_writes_rules_of_its_own() {
    let rule = "deny contains {\"id\": \"a/b\", \"reason\": \"x\"} if true";
    let allow = "allow contains {\"id\": \"a/b\", \"reason\": \"x\"} if true";
    let hostile = [
        "\"]\n}\n".to_owned() + rule,
        format!("x\n{rule}\n#"),
        format!("x\r{allow}\r"),
        format!("\u{2028}{allow}\u{2029}{allow}\u{85}{allow}"),
        "`".to_owned() + allow,
        "\\\"], [\"".to_owned(),
        "\\".to_owned(),
        "\\u0022".to_owned(),
        "\u{202e}\u{200b}\u{feff}\u{0}\u{7f}\u{1b}[2K".to_owned(),
        "\u{1f980}\u{10ffff}\u{fffd}".to_owned(),
        "${x} %s {{x}} $\"{input}\"".to_owned(),
        "excepted contains \"sha256:0\"".to_owned(),
        String::new(),
    ];
    let mut all = Vec::new();
    for word in &hostile {
        let subcommand = exec(&["git", word]);
        let mut called = exec(&["true"]);
        called.argv = vec![word.clone()];
        let mut named = exec(&["true"]);
        named.program = program(&format!("/home/ann/work/{word}"), ProgramClass::Workspace);
        let mut script = exec(&["sh", word]);
        script.script = Some(program(&format!("/opt/{word}"), ProgramClass::Toolchain));
        let mut elsewhere = exec(&["true"]);
        elsewhere.program = program(&format!("/tmp/{word}"), ProgramClass::Temporary);
        all.extend([subcommand, called, named, script, elsewhere]);
    }
    let mut seen: Vec<_> = all
        .iter()
        .map(|exec| (allowed(), Action::Exec(exec.clone())))
        .collect();
    for word in &hostile {
        let push = exec(&["git", "push", word]);
        seen.push((refused("git/rewrite"), Action::Exec(push)));
    }
    let observed = see(seen);
    let text = &observed.propose()[0].text;
    assert!(text.is_ascii());
    let lines = text.lines().map(str::trim_start);
    let (rules, comments): (Vec<_>, Vec<_>) = lines.partition(|line| !line.starts_with('#'));
    assert!(comments.len() > hostile.len());
    let starts = |start: &str| rules.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (starts("deny"), starts("allow"), starts("package")),
        (1, 0, 1)
    );
    let policies = proposed("hostile", &observed);
    let judge = policies.judge(session());
    for exec in all {
        assert!(
            word(&judge, exec.clone()).starts_with("allow programs/"),
            "{exec:?}"
        );
    }
    assert_eq!(word(&judge, exec(&["ls"])), REFUSED);
}

#[test]
fn however_much_was_seen_the_proposal_can_be_read() {
    let long = |character: &str, number: u32| format!("{}{number}", character.repeat(900));
    let words = (0..150).flat_map(|number| [long("x", number), long("\u{1f980}", number)]);
    let words: Vec<_> = words.collect();
    let all = words.iter().flat_map(|word| {
        let push = Action::Exec(exec(&["git", "push", word]));
        let mut elsewhere = exec(&["true"]);
        elsewhere.program = program(&format!("/tmp/{word}"), ProgramClass::Temporary);
        let seen = [Action::Exec(exec(&["git", word])), Action::Exec(elsewhere)];
        let refused = (refused("git/rewrite"), push);
        seen.map(|action| (allowed(), action))
            .into_iter()
            .chain([refused])
    });
    let observed = see(all.collect());
    assert!((200..300).contains(&observed.uses()), "{}", observed.uses());
    assert_eq!(observed.refused(), 300);
    assert!(
        observed.propose()[0]
            .text
            .contains("# Could not be taken in: entries ")
    );
    proposed("much", &observed);
    let words = (0..1000).map(|number| format!("a{number}"));
    let seen = words.map(|word| (allowed(), Action::Exec(exec(&["git", &word]))));
    let observed = see(seen.collect());
    assert_eq!(observed.uses(), 1000);
    proposed("many", &observed);
    let contents = (0..300).map(|number: u32| {
        let mut elsewhere = exec(&["x"]);
        elsewhere.program = program("/tmp/x", ProgramClass::Temporary);
        elsewhere.program.sha256 = agentguard_core::Digest::of(&number.to_le_bytes());
        (refused("programs/temporary"), Action::Exec(elsewhere))
    });
    let observed = see(contents.collect());
    assert_eq!(observed.uses(), 1);
    proposed("contents", &observed);
    let mut unread = nothing();
    unread.see(4, &allowed(), Some("{"));
    unread.see(5, &allowed(), None);
    assert!(
        unread.propose()[0]
            .text
            .contains("# Could not be taken in: entries 4, 5\n")
    );
}
