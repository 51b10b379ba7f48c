//! The policies that ship: the folder `policies/`, compiled in.

use agentguard_core::Tier;

use crate::sources::{File, Source};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../policies/", $name)))),*]
    };
}

/// Every file that decides, by name. A test holds this list to the folder.
const FILES: &[(&str, &str)] = files![
    "commands.rego",
    "deny.toml",
    "environment.rego",
    "files.rego",
    "git.rego",
    "lib.rego",
    "persistence.rego",
    "profiles.rego",
    "programs.rego",
    "secrets.rego",
    "session.rego",
];

/// The shipped tier.
pub(crate) fn source() -> Source {
    let file = |(name, text): &(&str, &str)| File {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    Source {
        tier: Tier::Shipped,
        directory: "policies".to_owned(),
        files: FILES.iter().map(file).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let names: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(rules, names);
        for name in names.iter().filter_map(|name| name.strip_suffix(".rego")) {
            assert!(
                tests.contains(&format!("{name}_test.rego")),
                "{name} has no tests"
            );
        }
    }
}
