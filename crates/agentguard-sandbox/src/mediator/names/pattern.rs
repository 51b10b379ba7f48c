//! Places by pattern: parts of a path relative to the workspace.
//!
//! `*` stands for any one name, `**/` at the start for any directory, `/**` at the end for anything below.
//! Names are compared without case, as a file system may: one more name that is asked about costs little,
//! and one that is missed costs all.

use std::borrow::Cow;

/// A pattern of places.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pattern {
    text: String,
    /// It may begin in any directory.
    anywhere: bool,
    parts: Vec<Part>,
    /// It means everything below.
    beneath: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Named { text: String, folded: Vec<u8> },
    Any,
}

/// What is left of a pattern below a path that its beginning matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tail<'p> {
    parts: &'p [Part],
    beneath: bool,
}

/// What a tail wants next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next<'p> {
    /// A file of this name, or a directory with more.
    Named(&'p str, Tail<'p>),
    /// The same of any name.
    Any(Tail<'p>),
    /// Anything, however deep.
    Everything,
    /// Nothing more: what is here is a place.
    Here,
}

impl Pattern {
    /// Reads a pattern; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (anywhere, rest) = match text.strip_prefix("**/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (beneath, rest) = match rest.strip_suffix("/**") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let part = |part: &str| match part {
            "*" => Some(Part::Any),
            "" | "." | ".." => None,
            name if name.contains('*') => None,
            name => Some(Part::Named {
                text: name.to_owned(),
                folded: fold(name.as_bytes()).into_owned(),
            }),
        };
        let parts = rest.split('/').map(part).collect::<Option<Vec<_>>>()?;
        let is_named = parts.iter().any(|part| matches!(part, Part::Named { .. }));
        is_named.then(|| Self {
            text: text.to_owned(),
            anywhere,
            parts,
            beneath,
        })
    }

    /// The pattern as policy wrote it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a file at `path` is at such a place.
    pub(super) fn holds(&self, path: &[&[u8]]) -> bool {
        self.starts(path.len()).any(|start| {
            let below = path.get(start..).unwrap_or_default();
            let is_as_long = if self.beneath {
                below.len() > self.parts.len()
            } else {
                below.len() == self.parts.len()
            };
            is_as_long && is_same(&self.parts, below)
        })
    }

    /// What would have to lie below `path`, or be what a link there leads to, for it to be such a place.
    pub(super) fn tails<'p>(&'p self, path: &'p [&'p [u8]]) -> impl Iterator<Item = Tail<'p>> {
        self.starts(path.len()).filter_map(move |start| {
            let above = path.get(start..)?;
            let is_open = above.len() < self.parts.len() || self.beneath;
            if above.is_empty() || !is_open || !is_same(&self.parts, above) {
                return None;
            }
            Some(Tail {
                parts: self.parts.get(above.len()..).unwrap_or_default(),
                beneath: self.beneath,
            })
        })
    }

    fn starts(&self, length: usize) -> impl Iterator<Item = usize> + use<> {
        if self.anywhere { 0..length } else { 0..1 }
    }
}

impl<'p> Tail<'p> {
    /// What is left of a pattern that means any name in a directory.
    pub(super) const ANY_NAME: Tail<'static> = Tail {
        parts: &[Part::Any],
        beneath: false,
    };

    /// What it wants next.
    pub(super) fn next(self) -> Next<'p> {
        let beneath = self.beneath;
        match self.parts.split_first() {
            Some((Part::Named { text, .. }, parts)) => Next::Named(text, Tail { parts, beneath }),
            Some((Part::Any, parts)) => Next::Any(Tail { parts, beneath }),
            None if beneath => Next::Everything,
            None => Next::Here,
        }
    }
}

/// Whether the names of `path` begin with these parts.
fn is_same(parts: &[Part], path: &[&[u8]]) -> bool {
    parts.iter().zip(path).all(|(part, name)| match part {
        Part::Any => true,
        Part::Named { folded, .. } => is_named(name, folded),
    })
}

/// Whether a name is `folded`, by any case.
pub(super) fn is_named(name: &[u8], folded: &[u8]) -> bool {
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(folded);
    }
    *fold(name) == *folded
}

/// A name as file systems fold it: without case, and without what is not seen.
fn fold(name: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(name) {
        _ if name.is_ascii() => Cow::Owned(name.to_ascii_lowercase()),
        Ok(text) => {
            let seen = text.chars().filter(|letter| !is_unseen(*letter));
            let folded = seen
                .flat_map(char::to_uppercase)
                .flat_map(char::to_lowercase);
            Cow::Owned(folded.collect::<String>().into_bytes())
        }
        Err(_) => Cow::Borrowed(name),
    }
}

/// The letters without an appearance that may stand in a name for nothing (`Default_Ignorable_Code_Point`).
fn is_unseen(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn split(path: &str) -> Vec<&[u8]> {
        path.split('/').map(str::as_bytes).collect()
    }

    #[test]
    fn a_place_is_found_at_its_depth_or_at_any() {
        for (text, path, is_held) in [
            (".envrc", ".envrc", true),
            (".envrc", "a/.envrc", false),
            (".vscode/**", ".vscode/tasks.json", true),
            (".vscode/**", ".vscode/a/b", true),
            (".vscode/**", ".vscode", false),
            (".vscode/**", "a/.vscode/tasks.json", false),
            ("**/.git/config", ".git/config", true),
            ("**/.git/config", "a/b/.git/config", true),
            ("**/.git/config", "a/.git/x/config", false),
            ("**/.git/hooks/*", "a/.git/hooks/x", true),
            ("**/.git/hooks/*", "a/.git/hooks/x/y", false),
            ("**/.git/hooks/*", ".git/hooks", false),
            ("**/.git/**", "a/.git/b/.git/c", true),
            ("Jenkinsfile", "jenkinsFILE", true),
            ("**/.git", ".g\u{200d}it", true),
            ("**/.git/hooks/*", ".git/hoo\u{212a}s/x", true),
            ("**/.git/hooks/*", ".git/hook\u{17f}/x", true),
        ] {
            assert_eq!(pattern(text).holds(&split(path)), is_held, "{text} {path}");
        }
        assert!(!pattern("**/.git").holds(&[b".git\xff"]));
    }

    #[test]
    fn what_is_missing_of_a_place_is_its_tail() {
        let first = |text: &str, path: &str| {
            let pattern = pattern(text);
            let path = split(path);
            let tails: Vec<String> = pattern
                .tails(&path)
                .map(|tail| match tail.next() {
                    Next::Named(name, rest) => format!("{name} {}", rest.next() == Next::Here),
                    Next::Any(rest) => format!("* {}", rest.next() == Next::Here),
                    Next::Everything => "**".to_owned(),
                    Next::Here => "here".to_owned(),
                })
                .collect();
            tails.join(",")
        };
        assert_eq!(first("**/.git/hooks/*", "a/.git"), "hooks false");
        assert_eq!(first("**/.git/hooks/*", "a/.git/hooks"), "* true");
        assert_eq!(first("**/.git/hooks/*", "a/b"), "");
        assert_eq!(first(".github/workflows/**", ".github"), "workflows false");
        assert_eq!(first(".github/workflows/**", ".github/workflows"), "**");
        assert_eq!(first(".github/workflows/**", "a/.github"), "");
        assert_eq!(first(".github/workflows/**", ".github/workflows/a"), "**");
        assert_eq!(first(".envrc", ".envrc"), "");
        assert_eq!(first("**/.git", "a/.git"), "");
    }

    #[test]
    fn what_is_no_pattern_is_none() {
        for text in [
            "", "/a", "a//b", "a/../b", "*", "**", "**/*", "a*", "a/**/b",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
