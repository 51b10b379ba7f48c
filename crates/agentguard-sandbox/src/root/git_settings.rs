//! What git's settings name that makes it run code: a directory of hooks, and further settings.
//!
//! Only what is written plainly is read: a line that goes on in the next one names nothing.
//!
//! # References
//!
//! - git-config(1), "Syntax" and "Includes"; `core.hooksPath`

use serde::{Deserialize, Serialize};

/// A path that settings of git name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Named {
    /// Hooks, from the top of the work tree on.
    Hooks(Vec<u8>),
    /// Settings, from the directory of the naming ones on.
    Settings(Vec<u8>),
}

/// Reads what a file of settings names.
pub(super) fn named(settings: &[u8]) -> Vec<Named> {
    let mut section = Vec::new();
    let mut found = Vec::new();
    // Git skips a mark of UTF-8 too.
    let settings = settings.strip_prefix(b"\xef\xbb\xbf").unwrap_or(settings);
    for line in settings.split(|byte| *byte == b'\n') {
        let mut line = line.trim_ascii();
        if let Some((name, rest)) = section_of(line) {
            section = name;
            line = rest;
        }
        let Some(at) = line.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (key, value) = line.split_at_checked(at).unwrap_or_default();
        let key = key.trim_ascii().to_ascii_lowercase();
        let value = value_of(value.get(1..).unwrap_or_default());
        match (section.as_slice(), key.as_slice()) {
            _ if value.is_empty() => {}
            (b"core", b"hookspath") => found.push(Named::Hooks(value)),
            (b"include" | b"includeif", b"path") => found.push(Named::Settings(value)),
            _ => {}
        }
    }
    found
}

/// The section that a line begins, in small letters and without what stands in quotes, and the rest of the line.
fn section_of(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let head = line.strip_prefix(b"[")?;
    let mut marks = head.iter().filter(|byte| matches!(byte, b'"' | b']'));
    let end = match marks.next()? {
        b'"' => head.windows(2).position(|two| two == b"\"]")? + 1,
        _ => head.iter().position(|byte| *byte == b']')?,
    };
    let (inner, rest) = head.split_at_checked(end)?;
    let name = inner.split(|byte| matches!(byte, b' ' | b'\t' | b'"' | b'.'));
    let name = name.into_iter().next()?.to_ascii_lowercase();
    Some((name, rest.get(1..)?.trim_ascii()))
}

fn value_of(text: &[u8]) -> Vec<u8> {
    let (mut value, mut is_quoted, mut letters) = (Vec::new(), false, text.trim_ascii().iter());
    while let Some(letter) = letters.next() {
        match letter {
            b'"' => is_quoted = !is_quoted,
            b'#' | b';' if !is_quoted => break,
            b'\\' => value.extend(letters.next()),
            letter => value.push(*letter),
        }
    }
    value.trim_ascii_end().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_plainly_is_found() {
        let settings = br#"
[core]
	bare = false
	HooksPath = .githooks ; ours
[include]
	path = "../a b.config"
[includeIf "gitdir:[x]"] path = ..\\c
[submodule "x"]
	path = d
[core] hookspath="e/f"
[include "]"]
	path =
"#;
        let hooks = |path: &str| Named::Hooks(path.into());
        let further = |path: &str| Named::Settings(path.into());
        assert_eq!(
            named(settings),
            [
                hooks(".githooks"),
                further("../a b.config"),
                further("..\\c"),
                hooks("e/f"),
            ]
        );
    }

    #[test]
    fn fuzz_settings_of_git_are_read_or_skipped() {
        let words = [
            "[core]",
            "[include]",
            "[includeIf \"",
            "\"]",
            "hooksPath",
            "path",
            "=",
            "\\",
            "\"",
            "#",
            ";",
            "\n",
            " ",
        ];
        crate::mutate::fuzz("git-settings", &words, |bytes| {
            let found = named(bytes);
            assert!(found.len() <= bytes.len() / 4, "each takes a line");
            "x".repeat(found.len().min(3))
        });
    }
}
