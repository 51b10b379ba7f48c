//! `docs/attacks.md` and the tests say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn table() -> String {
    fs::read_to_string(root().join("docs/attacks.md")).unwrap()
}

/// Names of `#[test]` functions in a file.
fn tests_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let after: Vec<_> = text.split("#[test]").skip(1).collect();
    let name = |rest: &&str| {
        let start = rest.find("fn ")? + 3;
        let name = rest.get(start..)?.split('(').next()?;
        Some(name.to_owned())
    };
    after.iter().filter_map(name).collect()
}

/// Tests of this suite, as `module::name`.
fn own() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("tests/refusals")).unwrap();
    let mut names = BTreeSet::new();
    for path in files.map(|entry| entry.unwrap().path()) {
        let module = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|extension| extension == "rs") && module != "table" {
            let tests = tests_of(&path).into_iter();
            names.extend(tests.map(|name| format!("{module}::{name}")));
        }
    }
    names
}

/// Tests of the crates, and of the doctor.
fn others() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut left = vec![root().join("crates"), root().join("tests/doctor")];
    while let Some(directory) = left.pop() {
        for path in fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                names.extend(tests_of(&path));
            }
        }
    }
    names
}

/// The rows of the table, as their cells.
fn rows(text: &str) -> Vec<Vec<String>> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| id ");
    text.lines()
        .filter(is_row)
        .map(|line| {
            let line = line.replace("\\|", "/");
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_row_has_an_answer_and_a_test_that_exists() {
    let (own, others) = (own(), others());
    assert!(own.len() > 50 && others.len() > 50);
    let layers = root().join("crates/agentguard-sandbox/tests/layer_by_layer/main.rs");
    let mut ids = BTreeSet::new();
    for row in rows(&table()) {
        let [id, technique, source, answer, tests] = row.as_slice() else {
            panic!("{row:?} has not five cells");
        };
        assert!(ids.insert(id.clone()), "{id} stands twice");
        assert!(
            [technique, source, answer]
                .iter()
                .all(|cell| !cell.is_empty()),
            "{id}"
        );
        let mut named = quoted(tests).peekable();
        let is_open = tests == "—" && answer.starts_with("not yet: ");
        assert!(is_open || named.peek().is_some(), "{id} names no test");
        for name in named {
            let exists = own.contains(name)
                || others.contains(name)
                || (name == "layer_by_layer" && layers.exists());
            assert!(exists, "{id} names `{name}`, which is no test");
        }
    }
}

#[test]
fn every_test_of_this_suite_stands_in_the_table() {
    let text = table();
    let named: BTreeSet<_> = quoted(&text).collect();
    for test in own() {
        assert!(
            named.contains(test.as_str()),
            "`{test}` stands nowhere in docs/attacks.md"
        );
    }
}

/// An area of the table, how many rows it has, and their numbers, from and to.
type Area = (&'static str, usize, &'static [(u32, u32)]);

/// What stands in the table. Who adds a row counts it here.
const AREAS: &[Area] = &[
    ("A", 62, &[(1, 34)]),
    ("B", 76, &[(1, 30)]),
    (
        "C",
        127,
        &[
            (1, 1),
            (10, 10),
            (33, 34),
            (40, 64),
            (70, 85),
            (100, 117),
            (120, 127),
            (130, 140),
        ],
    ),
    ("D", 62, &[(1, 29), (31, 34), (40, 48)]),
    ("E", 34, &[(1, 8), (10, 12), (14, 17), (20, 28), (40, 44)]),
];

/// The area of a row's id, and its number: `C` and 51 of `C51f2`.
fn numbered(id: &str) -> (&str, u32) {
    let (area, rest) = id.split_at(1);
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    (area, digits.unwrap().parse().expect(id))
}

/// A technique that was met once keeps its row.
#[test]
fn every_known_technique_has_a_row() {
    let rows = rows(&table());
    let ids: Vec<_> = rows.iter().map(|row| numbered(&row[0])).collect();
    for (area, count, numbers) in AREAS {
        let own = ids.iter().filter(|(of, _)| of == area);
        let found: BTreeSet<_> = own.clone().map(|(_, number)| *number).collect();
        let meant: BTreeSet<_> = numbers
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .collect();
        let differ: Vec<_> = found.symmetric_difference(&meant).collect();
        assert!(differ.is_empty(), "{area}: {differ:?} differ from `AREAS`");
        assert_eq!(
            own.count(),
            *count,
            "{area}: a row is gone, or to be counted in `AREAS`"
        );
    }
    let all: usize = AREAS.iter().map(|(_, count, _)| count).sum();
    assert_eq!(all, ids.len(), "a row is of no area in `AREAS`");
}
