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
    "deny.toml" for None,
    "environment.rego" for Some(Purpose::Exec),
    "files.rego" for Some(Purpose::Sandbox),
    "git.rego" for Some(Purpose::Exec),
    "github.rego" for Some(Purpose::Api),
    "lib.rego" for Some(Purpose::Library),
    "network.rego" for Some(Purpose::Reach),
    "persistence.rego" for Some(Purpose::Sandbox),
    "planted.rego" for Some(Purpose::File),
    "profiles.rego" for Some(Purpose::Sandbox),
    "programs.rego" for Some(Purpose::Exec),
    "secrets.rego" for Some(Purpose::Sandbox),
    "session.rego" for Some(Purpose::Session),
    "sockets.rego" for Some(Purpose::Connect),
];

/// The shipped tier.
pub(crate) fn source() -> Source {
    source_of(|_| true)
}

/// The shipped Rego for one purpose, with the functions it may use.
pub(crate) fn source_for(purpose: Purpose) -> Source {
    source_of(|of| of == Some(purpose) || of == Some(Purpose::Library))
}

fn source_of(is_wanted: impl Fn(Option<Purpose>) -> bool) -> Source {
    let wanted = FILES.iter().filter(|(_, _, purpose)| is_wanted(*purpose));
    let file = |(name, text, _): &(&'static str, &'static str, _)| File {
        name: (*name).to_owned(),
        text: Cow::Borrowed(text),
    };
    Source {
        tier: Tier::Shipped,
        directory: "policies".to_owned(),
        files: wanted.map(file).collect(),
        embedded: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deny::DenyList;
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
        TierEngine::load(&read, &[]).unwrap();
    }
}
