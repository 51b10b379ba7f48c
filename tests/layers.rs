//! The arrows between crates, read from the manifests: `cli → agentguard → parts → core`.
#![expect(clippy::unwrap_used, reason = "a test may stop")]
#![expect(clippy::string_slice, reason = "what is sliced was found there")]

use std::{collections::BTreeMap, fs, path::Path};

const PARTS: [&str; 7] = [
    "agentguard-policy",
    "agentguard-plugins",
    "agentguard-sandbox",
    "agentguard-egress",
    "agentguard-credentials",
    "agentguard-audit",
    "agentguard-hooks",
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
