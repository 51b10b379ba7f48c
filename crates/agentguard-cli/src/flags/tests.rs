//! Whether the table is whole: what is typed, what is told, and what is tried are the same flags.
#![expect(clippy::string_slice, reason = "what is sliced was found there")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::help::spelled;
use super::*;
use crate::exit::Exit;
use crate::failure::Failure;

const EVERY_FLAG_OF_EXEC: &str = "exec --agent ci --policy p --by ada --workspace w \
     --level no-namespaces --env A --env B --port 1 --port=2 --network host --timeout 9 --profile claude --json \
     --approval-timeout 5 \
     --plan --report-fd 3 -- git push --force --agent x";
/// What the machine can enforce differs from one to the next: its answer is no committed session.
const EVERY_FLAG_OF_DOCTOR: &str = "doctor --json";
/// What these write as objects holds too much of the machine: `tests/cli/record.rs` reads it.
const OBJECTS: [&str; 6] = [
    "verify --key a+b+c --key d --json",
    "trace HEAD --json",
    "log show --json",
    "log tail --json",
    "log query --kind exec --rule git --ruling deny --since 1h --json",
    "log key anchor --json",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn asked(line: &str) -> Asked {
    parse(words(line)).unwrap_or_else(|failure| panic!("{line}: {}", failure.message))
}

fn refused(line: &str) -> Failure {
    match parse(words(line)) {
        Ok(_) => panic!("`{line}` is not refused"),
        Err(failure) => failure,
    }
}

fn arguments(line: &str) -> Arguments {
    match asked(line) {
        Asked::Run(_, arguments) => arguments,
        Asked::Overview | Asked::Version | Asked::Group(_) | Asked::Help(_) => {
            panic!("`{line}` runs nothing")
        }
    }
}

#[test]
fn a_flag_that_is_not_in_the_table_is_refused_for_every_command() {
    for command in COMMANDS {
        let failure = refused(&format!("{} --no-such-flag", command.name()));
        assert!(
            failure.message.contains("takes no `--no-such-flag`"),
            "{}",
            failure.message
        );
        assert_eq!(failure.exit, Some(command.failed));
        assert!(
            refused(&format!("{} -x", command.name()))
                .message
                .contains("`-x`")
        );
    }
}

#[test]
fn what_a_flag_does_not_take_is_refused() {
    for line in [
        "exec --level most -- true",
        "exec --port 65536 -- true",
        "exec --port -1 -- true",
        "exec --port x -- true",
        "exec --network none -- true",
        "exec --json=yes -- true",
        "exec --agent a --agent b -- true",
        "exec --json --json -- true",
        "exec --report-fd 2147483648 -- true",
        "exec --agent",
    ] {
        assert_eq!(refused(line).exit, Some(Exit::Guard), "{line}");
    }
}

#[test]
fn a_text_that_is_no_utf_8_is_refused_and_a_path_is_not() {
    use std::os::unix::ffi::OsStringExt as _;
    let bad = || OsString::from_vec(b"a\xff".to_vec());
    let line = |flag: &str| vec!["exec".into(), flag.into(), bad(), "true".into()];
    assert!(parse(line("--agent")).is_err());
    let Ok(Asked::Run(_, arguments)) = parse(line("--policy")) else {
        panic!("a path is refused");
    };
    assert_eq!(arguments.path(&POLICY), Some(Path::new(&bad())));
}

#[test]
fn too_few_and_too_many_operands_are_refused() {
    assert!(refused("exec").message.contains("needs a command"));
    assert!(
        refused("exec --json --")
            .message
            .contains("needs a command")
    );
    assert!(refused("agent show").message.contains("needs NAME"));
    assert!(
        refused("agent show a b")
            .message
            .contains("does not take `b`")
    );
}

/// A variable that is not set, in quotes: nothing is meant by it, and not the latest session.
#[test]
fn an_empty_operand_is_refused_but_as_a_command() {
    for command in COMMANDS {
        let words = command.words.iter().map(OsString::from);
        let asked = parse(words.chain([OsString::new()]).collect());
        let is_command = matches!(command.operands, Operands::Command);
        assert_eq!(asked.is_ok(), is_command, "{}", command.name());
    }
}

#[test]
fn what_was_nearly_right_is_offered() {
    let hint = |line| refused(line).hint.unwrap();
    assert!(hint("exce").contains("`agentguard exec`"));
    assert!(hint("agent revok").contains("`agentguard agent revoke`"));
    assert!(hint("exec --workspce x true").contains("`--workspace`"));
    assert!(hint("frobnicate").contains("`agentguard --help`"));
}

#[test]
fn every_flag_of_exec_is_read_and_what_follows_the_command_is_not_ours() {
    let arguments = arguments(EVERY_FLAG_OF_EXEC);
    assert_eq!(arguments.text(&AGENT), Some("ci"));
    assert_eq!(arguments.path(&POLICY), Some(Path::new("p")));
    assert_eq!(arguments.text(&BY), Some("ada"));
    assert_eq!(arguments.path(&WORKSPACE), Some(Path::new("w")));
    assert_eq!(arguments.text(&LEVEL), Some("no-namespaces"));
    assert_eq!(arguments.texts(&ENV).collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(arguments.numbers(&PORT).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(arguments.text(&NETWORK), Some("host"));
    assert_eq!(arguments.numbers(&TIMEOUT).next(), Some(9));
    assert_eq!(arguments.numbers(&APPROVAL_TIMEOUT).next(), Some(5));
    assert_eq!(arguments.text(&PROFILE), Some("claude"));
    assert!(arguments.has(&JSON) && arguments.has(&PLAN));
    assert_eq!(arguments.numbers(&REPORT_FD).next(), Some(3));
    assert_eq!(arguments.operands(), words("git push --force --agent x"));
}

#[test]
fn every_flag_of_doctor_is_read() {
    assert!(!arguments("doctor").has(&JSON));
    assert!(arguments(EVERY_FLAG_OF_DOCTOR).has(&JSON));
}

#[test]
fn a_letter_means_its_flag() {
    assert!(arguments("policy test -v policies").has(&VERBOSE));
    assert!(arguments("policy test --verbose policies").has(&VERBOSE));
    assert!(refused("policy check -v policies").message.contains("`-v`"));
}

#[test]
fn every_flag_that_asks_for_objects_is_read() {
    for line in OBJECTS {
        assert!(arguments(line).has(&JSON), "{line}");
    }
    let keys = arguments(OBJECTS[0]);
    assert_eq!(keys.texts(&KEY).collect::<Vec<_>>(), ["a+b+c", "d"]);
    assert_eq!(refused("log query --ruling maybe").exit, Some(Exit::Failed));
}

#[test]
fn a_command_may_follow_without_dashes_and_keeps_its_own() {
    let operands = |line| arguments(line).operands().to_vec();
    assert_eq!(operands("exec git --json --"), words("git --json --"));
    assert_eq!(operands("exec -- -- x"), words("-- x"));
    assert_eq!(operands("exec -- --help"), words("--help"));
}

#[test]
fn help_is_given_for_everything() {
    assert!(matches!(asked(""), Asked::Overview));
    assert!(matches!(asked("--help"), Asked::Overview));
    assert!(matches!(asked("-h"), Asked::Overview));
    assert!(matches!(asked("--version"), Asked::Version));
    assert!(matches!(asked("-V"), Asked::Version));
    for group in GROUPS {
        assert!(matches!(asked(group.word), Asked::Group(_)));
        assert!(matches!(
            asked(&format!("{} --help", group.word)),
            Asked::Group(_)
        ));
    }
    for command in COMMANDS {
        assert!(matches!(
            asked(&format!("{} --help", command.name())),
            Asked::Help(_)
        ));
        assert!(matches!(
            asked(&format!("{} -h", command.name())),
            Asked::Help(_)
        ));
    }
}

#[test]
fn the_table_names_everything_once() {
    let mut names = BTreeSet::new();
    for command in COMMANDS {
        assert!(names.insert(command.name()), "{} twice", command.name());
        let mut longs = BTreeSet::new();
        for flag in command.flags {
            assert!(longs.insert(flag.long), "--{} twice", flag.long);
        }
        let word = command.words[0];
        let in_group = GROUPS.iter().any(|group| group.word == word);
        assert_eq!(in_group, command.words.len() == 2, "{}", command.name());
        assert!(
            command
                .example
                .contains(&format!("agentguard {}", command.name()))
        );
        for line in command_help(command).lines() {
            assert!(line.chars().count() <= 100, "{}: {line}", command.name());
        }
    }
}

#[test]
fn manual_and_completions_name_every_command_and_flag() {
    let manual = man().replace("\\-", "-");
    for shell in ["bash", "zsh", "fish"] {
        let script = completions(shell).unwrap();
        for command in COMMANDS {
            assert!(
                script.contains(command.words[command.words.len() - 1]),
                "{shell}"
            );
            for flag in command.flags {
                let dashes = if shell == "fish" { "-l " } else { "--" };
                assert!(
                    script.contains(&format!("{dashes}{}", flag.long)),
                    "{shell} {}",
                    flag.long
                );
            }
        }
    }
    for command in COMMANDS {
        assert!(manual.contains(&format!(".SS {}\n", command.name())));
        for flag in command.flags {
            assert!(manual.contains(&format!(".B {}", spelled(flag))));
        }
    }
    assert!(completions("tcsh").is_none());
}

/// `docs/cli.md` shows each command's help under a heading of its own. `UPDATE=1` writes it anew.
#[test]
fn the_page_on_the_command_shows_every_help_as_it_is() {
    let path = root().join("docs/cli.md");
    let mut page = fs::read_to_string(&path).unwrap();
    for command in COMMANDS {
        let heading = format!("### agentguard {}\n", command.name());
        let start = page
            .find(&heading)
            .unwrap_or_else(|| panic!("no heading `{heading}`"));
        let fence = "```text\n";
        let from = start + page[start..].find(fence).unwrap() + fence.len();
        let to = from + page[from..].find("```\n").unwrap();
        let help = command_help(command);
        if page[from..to] == help {
            continue;
        }
        assert!(
            env::var_os("UPDATE").is_some(),
            "{heading}is not as `UPDATE=1` would write it"
        );
        page.replace_range(from..to, &help);
        fs::write(&path, &page).unwrap();
    }
}

/// Each flag of each command stands in a committed session, or in the line above that a test reads.
#[test]
fn every_flag_of_every_command_is_tried() {
    let read_above = [EVERY_FLAG_OF_EXEC, EVERY_FLAG_OF_DOCTOR];
    let read_above = read_above.iter().chain(&OBJECTS);
    let mut lines: Vec<_> = read_above
        .map(|line| format!("$ agentguard {line}"))
        .collect();
    for entry in fs::read_dir(root().join("tests/cli")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(path).unwrap();
            lines.extend(
                text.lines()
                    .filter(|line| line.starts_with("$ "))
                    .map(str::to_owned),
            );
        }
    }
    for command in COMMANDS {
        let name = command.name();
        for flag in command.flags {
            let long = format!("--{}", flag.long);
            let tried = lines.iter().any(|line| {
                let at = line.find(&format!("agentguard {name} "));
                at.is_some_and(|at| line[at..].split([' ', '=']).any(|word| word == long))
            });
            assert!(tried, "`{name} {long}` is in no session below tests/cli");
        }
    }
}
