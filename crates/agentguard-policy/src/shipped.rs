//! The policies that ship: the folder `policies/`, compiled in.

use std::borrow::Cow;

use agentguard_core::Tier;

use crate::module::Purpose;
use crate::sources::{File, Source};

macro_rules! files {
    ($($name:literal for $purpose:expr),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../policies/", $name)), $purpose)),*]
    };
}

/// Every file that decides, by name, with what it is for. `None` is no Rego.
///
/// A test holds this list to the folder, and every file to the checks that loading spares it.
const FILES: &[(&str, &str, Option<Purpose>)] = files![
    "api.rego" for Some(Purpose::Api),
    "commands.rego" for Some(Purpose::Exec),
    "containers.rego" for Some(Purpose::Push),
    "deny.toml" for None,
    "deployed.rego" for Some(Purpose::Push),
    "dockerfiles.rego" for Some(Purpose::Push),
    "environment.rego" for Some(Purpose::Exec),
    "files.rego" for Some(Purpose::Sandbox),
    "git.rego" for Some(Purpose::Exec),
    "github.rego" for Some(Purpose::Api),
    "gitlab.rego" for Some(Purpose::Api),
    "kubernetes.rego" for Some(Purpose::Push),
    "lib.rego" for Some(Purpose::Library),
    "network.rego" for Some(Purpose::Reach),
    "persistence.rego" for Some(Purpose::Sandbox),
    "pipelines.rego" for Some(Purpose::Push),
    "planted.rego" for Some(Purpose::File),
    "profiles.rego" for Some(Purpose::Sandbox),
    "programs.rego" for Some(Purpose::Exec),
    "push.rego" for Some(Purpose::Push),
    "secrets.rego" for Some(Purpose::Sandbox),
    "session.rego" for Some(Purpose::Session),
    "sockets.rego" for Some(Purpose::Connect),
    "terraform.rego" for Some(Purpose::Push),
    "upsun.rego" for Some(Purpose::Api),
];

/// The shipped tier.
pub(crate) fn source() -> Source {
    let file = |(name, text, _): &(&'static str, &'static str, _)| File {
        name: (*name).to_owned(),
        text: Cow::Borrowed(text),
    };
    Source {
        tier: Tier::Shipped,
        directory: "policies".to_owned(),
        files: FILES.iter().map(file).collect(),
        embedded: true,
    }
}

/// A package of the shipped Rego: its files, one after the other.
pub(crate) struct Package {
    /// The line that names it.
    line: &'static str,
    /// The first of its files.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) purpose: Purpose,
}

/// The shipped packages for one purpose, and the functions they may use; the deeper package first, as
/// `join` has them. No package of several files imports anything: a test holds the files to that.
pub(crate) fn packages_for(purpose: Purpose) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    for (name, text, of) in FILES {
        let Some(of) = of.filter(|of| [purpose, Purpose::Library].contains(of)) else {
            continue;
        };
        let line = package_line(text);
        match packages.iter_mut().find(|package| package.line == line) {
            Some(package) => {
                let lines = text.lines().filter(|one| *one != line);
                lines.for_each(|line| package.text.extend([line, "\n"]));
            }
            None => packages.push(Package {
                line,
                path: format!("policies/{name}"),
                text: (*text).to_owned(),
                purpose: of,
            }),
        }
    }
    packages.sort_by_key(|package| std::cmp::Reverse(package.line.split('.').count()));
    packages
}

fn package_line(text: &'static str) -> &'static str {
    let mut lines = text.lines();
    lines
        .find(|line| line.starts_with("package "))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apart::Kind;
    use crate::ast::heads;
    use crate::deny::DenyList;
    use crate::engine::new_engine;
    use crate::module;
    use crate::tier::TierEngine;

    #[test]
    fn every_file_of_the_folder_ships_and_has_its_tests() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let (tests, rules): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|name| name.ends_with("_test.rego"));
        let names: Vec<_> = FILES
            .iter()
            .map(|(name, _, _)| (*name).to_owned())
            .collect();
        assert_eq!(rules, names);
        for name in names.iter().filter_map(|name| name.strip_suffix(".rego")) {
            assert!(
                tests.contains(&format!("{name}_test.rego")),
                "{name} has no tests"
            );
        }
    }

    /// What loading spares the files compiled in, here is where it is done.
    #[test]
    fn every_shipped_file_passes_every_check_and_is_for_what_the_list_says() {
        let mut read = source();
        read.embedded = false;
        for (file, (_, _, purpose)) in read.files.iter().zip(FILES) {
            if let Some(purpose) = purpose {
                let parsed = module::read(&read, file).unwrap();
                assert_eq!(parsed.purpose, *purpose, "{}", file.name);
            }
        }
        DenyList::load(std::slice::from_ref(&read), 0).unwrap();
        TierEngine::load(&read, &[], Kind::Deciding).unwrap();
    }

    /// What joins files by their lines leaves nothing of them out, and mixes up no imports.
    #[test]
    fn every_rule_of_every_shipped_file_is_in_its_package() {
        let read = source();
        let parsed = |wanted| {
            let files = read.files.iter().zip(FILES);
            let files = files.filter(move |(_, (_, _, purpose))| *purpose == Some(wanted));
            files.map(|(file, _)| module::read(&read, file).unwrap())
        };
        for (_, _, purpose) in FILES {
            let Some(purpose) = *purpose else { continue };
            let packages = packages_for(purpose);
            let mut engine = new_engine();
            for package in packages.iter().filter(|one| one.purpose == purpose) {
                let known = module::add_known(&mut engine, package).unwrap();
                let mut alone: Vec<_> = parsed(purpose)
                    .filter(|one| one.package == known.package)
                    .collect();
                assert!(alone.len() == 1 || alone.iter().all(|one| one.module.imports.is_empty()));
                let names = |module| {
                    heads(module)
                        .iter()
                        .map(|head| head.name.to_owned())
                        .collect()
                };
                let joined: Vec<String> = names(&known.module);
                let rules = alone
                    .iter()
                    .flat_map(|one| -> Vec<String> { names(&one.module) });
                assert_eq!(joined, rules.collect::<Vec<_>>(), "{}", known.package);
                assert_eq!(known.purpose, alone.pop().unwrap().purpose);
            }
        }
    }
}
