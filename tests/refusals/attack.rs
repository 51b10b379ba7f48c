//! The attacking program: compiled once, from the C files beside this.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs, process};

/// The program's bytes.
pub(crate) fn program() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(compile)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the compiler is the test's own tool"
)]
fn compile() -> Vec<u8> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/refusals/attacks");
    let mut files: Vec<_> = fs::read_dir(sources)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    files.sort();
    let built = env::temp_dir().join(format!("agentguard-attack-{}", process::id()));
    let compiled = Command::new("cc")
        .args([
            "-std=gnu11",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
            "-o",
        ])
        .arg(&built)
        .args(files)
        .output()
        .expect("the attacks are C: they need a compiler named `cc`");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let bytes = fs::read(&built).unwrap();
    fs::remove_file(&built).unwrap();
    bytes
}

/// What an attack says of what it tried: a word for each thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tried(BTreeMap<String, String>);

impl Tried {
    /// Reads lines of `NAME RESULT`.
    pub(crate) fn of(output: &str) -> Self {
        let lines = output.lines().filter_map(|line| line.split_once(' '));
        Self(
            lines
                .map(|(name, result)| (name.to_owned(), result.to_owned()))
                .collect(),
        )
    }

    /// What came of one thing.
    #[track_caller]
    pub(crate) fn result(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(result) => result,
            None => panic!("`{name}` was not tried: {self:?}"),
        }
    }

    /// All of them, but for those that a test looks at by name.
    pub(crate) fn all_but<'t>(
        &'t self,
        others: &'t [&str],
    ) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.0
            .iter()
            .map(|(name, result)| (name.as_str(), result.as_str()))
            .filter(|(name, _)| !others.contains(name))
    }

    /// Everything tried came to one of these.
    #[track_caller]
    pub(crate) fn all_are(&self, results: &[&str], others: &[&str]) {
        assert!(!self.0.is_empty(), "nothing was tried");
        for (name, result) in self.all_but(others) {
            assert!(
                results.contains(&result),
                "`{name}` came to `{result}`, not to one of {results:?}"
            );
        }
    }
}
