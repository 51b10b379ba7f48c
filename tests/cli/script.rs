//! Plays a session and compares.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;
use std::{env, fs};

use crate::filter::filter;
use crate::home::Home;

/// Plays the session `name` in `home`, and stops where it is not as it was.
pub(crate) fn play(name: &str, home: &Home) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/cli/{name}.txt"));
    let expected = fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    let mut lines = expected.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(actual, "{line}").unwrap();
        let Some(typed) = line.strip_prefix("$ ") else {
            continue;
        };
        actual.push_str(&answer(typed, home));
        // What came of it the last time is not played.
        while lines
            .next_if(|line| !line.starts_with("$ ") && !line.starts_with("# "))
            .is_some()
        {}
    }
    if actual == expected {
        return;
    }
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, actual).unwrap();
        return;
    }
    let differs = expected
        .lines()
        .zip(actual.lines())
        .position(|(old, new)| old != new);
    let line = differs.map_or(1, |line| line + 1);
    panic!("tests/cli/{name}.txt:{line} is not as it was; it would now be:\n{actual}");
}

/// What comes of a line: of the command, or of one of the few words that prepare its ground.
fn answer(typed: &str, home: &Home) -> String {
    let words = words(typed);
    let mut words: Vec<_> = words.iter().map(String::as_str).collect();
    let count = words
        .iter()
        .take_while(|word| word.contains('=') && !word.starts_with('-'))
        .count();
    let variables: Vec<_> = words
        .drain(..count)
        .filter_map(|word| word.split_once('='))
        .collect();
    let Some((program, rest)) = words.split_first() else {
        panic!("an empty line is typed");
    };
    match (*program, rest) {
        ("agentguard", rest) => shown(&home.run(&variables, rest), home),
        ("mkdir", [path]) => {
            fs::create_dir_all(home.work().join(path)).unwrap();
            String::new()
        }
        ("write", [path, text]) => {
            let text = text.replace("\\n", "\n");
            fs::write(home.work().join(path), format!("{text}\n")).unwrap();
            String::new()
        }
        ("cat", [path]) => fs::read_to_string(home.work().join(path)).unwrap(),
        _ => panic!("`{typed}`: nobody knows how"),
    }
}

fn shown(output: &Output, home: &Home) -> String {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    let mut text = filter(&stdout, home.root());
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for line in filter(&stderr, home.root()).lines() {
        writeln!(text, "2> {line}").unwrap();
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => writeln!(text, "=> {code}").unwrap(),
        None => writeln!(text, "=> {}", output.status).unwrap(),
    }
    text
}

/// Splits at spaces; single quotes keep.
fn words(typed: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in typed.chars() {
        match character {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}
