//! What a platform, or whoever wrote in its place, says.

use super::tests::{GITHUB, GITLAB, github, gitlab, with_payload};
use crate::mutate::fuzz;

/// No fact can be taken for two, however it was written.
fn facts_are_lines(facts: &[String]) {
    for fact in facts {
        assert!(!fact.contains(['\n', '\r', '\u{1b}']), "{fact:?}");
        assert!(fact.len() < 4096, "{}", fact.len());
    }
}

#[test]
fn fuzz_a_payload_names_facts_and_never_another_human() {
    let words = [
        "\"sender\"",
        "\"login\"",
        "\"type\"",
        "\"Bot\"",
        "\"pull_request\"",
        "\"head\"",
        "\"repo\"",
        "\"fork\"",
        "true",
        "null",
        "{",
        "}",
        "[",
        ":",
        ",",
        "\"\\u001b[2J\"",
    ];
    let (expected, _) = github(&[]).unwrap();
    fuzz("github-event", &words, |bytes| {
        let (human, trigger) = with_payload(&[], &String::from_utf8_lossy(bytes));
        assert_eq!(
            (&human.id, human.evidence),
            (&expected.id, expected.evidence)
        );
        facts_are_lines(&trigger.facts);
        let names: Vec<_> = trigger
            .facts
            .iter()
            .filter_map(|fact| fact.split('=').next())
            .collect();
        format!("{names:?}")
    });
}

#[test]
fn fuzz_variables_name_a_human_or_are_refused() {
    fuzz(
        "ci-variables",
        &["\n", "\0", "ada", "[bot]", "0", "/", "https://"],
        |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (which, value) =
                text.split_at(text.len().min(usize::from(text.is_char_boundary(1))));
            let number = usize::from(which.bytes().next().unwrap_or(0));
            let said = [(GITHUB, true), (GITLAB, false)].map(|(base, is_github)| {
                let (name, _) = base[number % base.len()];
                let found = match is_github {
                    true => github(&[(name, value)]),
                    false => gitlab(&[(name, value)]),
                };
                match found {
                    Ok((human, trigger)) => {
                        facts_are_lines(&trigger.facts);
                        assert!(!human.id.contains(['\n', ' ']), "{:?}", human.id);
                        format!("{name} well")
                    }
                    Err(error) => {
                        let words = error.to_string();
                        assert!(!words.contains('\n'), "{words:?}");
                        format!("{name} {}", words.chars().take(40).collect::<String>())
                    }
                }
            });
            said.join(" ")
        },
    );
}
