//! Policies of somebody else, and command lines of an agent.

use std::borrow::Cow;

use agentguard_core::Tier;

use crate::Error;
use crate::command::{self, split_plain};
use crate::deny::{DenyList, glob};
use crate::engine::Rego;
use crate::mutate::fuzz;
use crate::sources::{File, Source};

/// A repository's policy of these files.
fn source(files: &[(&str, &[u8])]) -> Source {
    let file = |(name, bytes): &(&str, &[u8])| File {
        name: (*name).to_owned(),
        text: Cow::Owned(String::from_utf8_lossy(bytes).into_owned()),
    };
    Source {
        tier: Tier::Repository,
        directory: ".agentguard/policy".to_owned(),
        files: files.iter().map(file).collect(),
        embedded: false,
    }
}

/// The first line of what is said first: the rest shows the text itself.
fn said<T>(loaded: Result<T, Error>) -> String {
    let error = match loaded {
        Ok(_) => return "loaded".to_owned(),
        Err(error) => error,
    };
    let first = error.mistakes().first().map(|mistake| mistake.to_string());
    let first = first.unwrap_or_else(|| error.to_string());
    let words = first.lines().next().unwrap_or_default();
    let plain = words
        .chars()
        .filter(|c| c.is_ascii_alphabetic() || *c == ' ');
    plain.take(60).collect()
}

/// Reads the Rego of a policy in this very process, which the guard leaves to another one.
fn read(source: &Source) -> String {
    let files: Vec<_> = source.files.iter().map(|file| (source, file)).collect();
    said(Rego::load(&files, true))
}

#[test]
fn fuzz_a_deny_list_is_loaded_or_refused() {
    let words = [
        "schema = 1\n",
        "[[command]]\n",
        "[[path]]\n",
        "[[executable]]\n",
        "[[environment]]\n",
        "id = ",
        "\"a/b\"",
        "reason = ",
        "match = ",
        "not_match = ",
        "[",
        "]",
        "tool = ",
        "flags = ",
        "\"*\"",
        "lift = ",
    ];
    fuzz("deny-list", &words, |bytes| {
        said(DenyList::load(&[source(&[("deny.toml", bytes)])], 1))
    });
}

const REGO: [&str; 28] = [
    "package ",
    "agentguard.exec",
    "agentguard.sandbox",
    "import ",
    "deny contains ",
    "allow contains ",
    " if ",
    "{",
    "}",
    "[",
    "]",
    "(",
    "every ",
    "some ",
    " in ",
    "with ",
    "not ",
    ":=",
    "input.",
    "data.",
    "`",
    "\"",
    "#",
    "regex.match(",
    "default ",
    "else",
    " as ",
    "\0",
];

#[test]
fn fuzz_a_rego_file_is_loaded_or_refused() {
    fuzz("rego", &REGO, |bytes| {
        read(&source(&[("extra.rego", bytes)]))
    });
}

#[test]
fn fuzz_two_rego_files_go_together_or_are_refused() {
    fuzz("rego-files", &REGO, |bytes| {
        let end = bytes.iter().position(|byte| *byte == 0);
        let (first, second) = bytes.split_at(end.unwrap_or(bytes.len()));
        let second = second.strip_prefix(b"\0").unwrap_or(second);
        let (one, other) = (("one.rego", first), ("other.rego", second));
        let together = read(&source(&[one, other]));
        // Files that go together are each a policy.
        if together == "loaded" {
            assert_eq!(
                [one, other].map(|file| read(&source(&[file]))),
                ["loaded"; 2]
            );
        }
        together
    });
}

#[test]
fn fuzz_a_shell_line_is_split_or_is_opaque() {
    let words = [
        "git ",
        "push ",
        "-f ",
        "--",
        "env ",
        "sh -c ",
        "'",
        "\"",
        "$(",
        ")",
        "`",
        "|",
        "&&",
        ";",
        "\\",
        "\n",
        "<<EOF",
        ">",
        "A=b ",
        "xargs ",
        "timeout 5 ",
        "find . -exec ",
    ];
    fuzz("shell-line", &words, |bytes| {
        let line = String::from_utf8_lossy(bytes);
        match split_plain(&line) {
            Some(simple) => format!("plain {}", "x".repeat(simple.len().min(4))),
            None => "opaque".to_owned(),
        }
    });
}

#[test]
fn fuzz_an_argument_list_is_normalised_the_same_each_time() {
    let words = [
        "git\0",
        "push\0",
        "-f\0",
        "--force\0",
        "rm\0",
        "-rf\0",
        "env\0",
        "sh\0-c\0",
        "sudo\0",
        "find\0",
        "-exec\0",
        "xargs\0",
        "curl\0",
        "docker\0",
        "kubectl\0",
        "npm\0",
        "-C\0",
        "=",
        "+",
        ":",
    ];
    fuzz("arguments", &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let argv: Vec<String> = text.split('\0').map(str::to_owned).collect();
        let parsed = command::parse(&argv, "/home/ann/work");
        assert_eq!(
            format!("{parsed:?}"),
            format!("{:?}", command::parse(&argv, "/home/ann/work"))
        );
        // What is known by name is what can be told apart.
        let known = words.map(|word| word.trim_end_matches('\0'));
        let tools = parsed.iter().map(|one| one.tool.as_str());
        let tools: Vec<_> = tools.filter(|tool| known.contains(tool)).take(3).collect();
        format!("{} {}", "x".repeat(parsed.len().min(4)), tools.join(" "))
    });
}

#[test]
fn fuzz_a_pattern_matches_or_not() {
    fuzz("pattern", &["*", "?", "**", "/", "a"], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (pattern, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let stars = pattern.matches('*').count().min(4);
        format!("{} {}", glob(pattern, rest), "*".repeat(stars))
    });
}
