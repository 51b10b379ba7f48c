//! The arrows between crates, read from the manifests: `cli → agentguard → parts → core`.
#![expect(clippy::unwrap_used, reason = "a test may stop")]
#![expect(clippy::string_slice, reason = "what is sliced was found there")]

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path::Path};

const PARTS: [&str; 5] = [
    "agentguard-policy",
    "agentguard-sandbox",
    "agentguard-egress",
    "agentguard-credentials",
    "agentguard-audit",
];

fn allowed(crate_name: &str, dependency: &str) -> bool {
    match crate_name {
        "agentguard-core" => false,
        "agentguard" => dependency == "agentguard-core" || PARTS.contains(&dependency),
        "agentguard-cli" => dependency == "agentguard",
        part if PARTS.contains(&part) => dependency == "agentguard-core",
        _ => false,
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn manifests() -> BTreeMap<String, String> {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    crates
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(path.join("Cargo.toml")).unwrap();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                text,
            )
        })
        .collect()
}

/// The workspace's own crates that a manifest names in any of its dependency tables.
fn own_dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        } else if inside && line.starts_with("agentguard") {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            names.push(line[..end].to_owned());
        }
    }
    names
}

#[test]
fn parts_know_core_and_never_each_other() {
    for (crate_name, manifest) in manifests() {
        for dependency in own_dependencies(&manifest) {
            assert!(
                allowed(&crate_name, &dependency),
                "`{crate_name}` must not depend on `{dependency}`"
            );
        }
    }
}

#[test]
fn a_folder_is_named_as_its_package() {
    for (crate_name, manifest) in manifests() {
        assert!(
            manifest.contains(&format!("name = \"{crate_name}\"\n")),
            "{crate_name}"
        );
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "`{crate_name}` takes the workspace's lints"
        );
    }
}

#[test]
fn only_the_sandbox_may_hold_unsafe_code() {
    for crate_name in manifests()
        .keys()
        .filter(|name| *name != "agentguard-sandbox")
    {
        for file in ["lib.rs", "main.rs"] {
            let path = root()
                .join("crates")
                .join(crate_name)
                .join("src")
                .join(file);
            if let Ok(text) = fs::read_to_string(&path) {
                assert!(
                    text.contains("#![forbid(unsafe_code)]"),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_test_and_bench_beside_the_workspace_is_declared() {
    let manifest = &manifests()["agentguard-cli"];
    for folder in ["tests", "benches"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let target = if path.is_dir() {
                path.join("main.rs")
            } else {
                path
            };
            if target
                .extension()
                .is_some_and(|extension| extension == "rs")
                && target.exists()
            {
                let shown = target.strip_prefix(root()).unwrap().display().to_string();
                assert!(
                    manifest.contains(&format!("path = \"../../{shown}\"")),
                    "`{shown}` is declared nowhere"
                );
            }
        }
    }
}

/// Every crate from elsewhere, and which of ours name it; `*(tests)*` behind one that nobody inherits it from.
fn dependencies_from_elsewhere() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (crate_name, manifest) in manifests() {
        let short = crate_name
            .strip_prefix("agentguard-")
            .unwrap_or(&crate_name);
        let mut table = "";
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                table = line;
                continue;
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            let by = match table {
                "[dependencies]" => short.to_owned(),
                "[dev-dependencies]" => format!("{short} *(tests)*"),
                _ => continue,
            };
            if !name.is_empty() && !name.starts_with("agentguard") {
                found.entry(name.to_owned()).or_default().insert(by);
            }
        }
    }
    found
}

#[test]
fn the_page_on_dependencies_names_each_and_who_inherits_it() {
    let page = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeMap<_, BTreeSet<_>> = rows
        .map(|row| {
            let cells: Vec<_> = row
                .trim_end_matches('|')
                .split('|')
                .map(str::trim)
                .collect();
            assert!(
                cells.iter().all(|cell| !cell.is_empty()) && cells.len() == 4,
                "{row}"
            );
            let name = cells[0].trim_matches('`').to_owned();
            (name, cells[3].split(", ").map(str::to_owned).collect())
        })
        .collect();
    assert_eq!(told, dependencies_from_elsewhere());
}

/// What stands between backquotes in the last cell of each row of the promises.
fn shown_by(page: &str) -> Vec<String> {
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned));
    names.collect()
}

#[test]
fn what_the_specification_names_exists() {
    let page = fs::read_to_string(root().join("docs/specification.md")).unwrap();
    let mut sources = String::new();
    for folder in ["crates", "tests", "benches"] {
        read_rust(&root().join(folder), &mut sources);
    }
    let manifest = &manifests()["agentguard-cli"];
    let names = shown_by(&page);
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let exists = match name.strip_prefix("bench ") {
            Some(bench) => {
                let bench = bench.split(' ').next().unwrap_or(bench);
                manifest.contains(&format!("[[bench]]\nname = \"{bench}\"\n"))
            }
            None if name.contains('/') => root().join(&name).exists(),
            None => is_test(&name, &sources),
        };
        assert!(
            exists,
            "`{name}` is named in docs/specification.md and is nowhere"
        );
    }
}

fn is_test(name: &str, sources: &str) -> bool {
    let before = sources.split_once(&format!("fn {name}("));
    before.is_some_and(|(before, _)| before.trim_end().ends_with("#[test]"))
}

fn read_rust(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_rust(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
