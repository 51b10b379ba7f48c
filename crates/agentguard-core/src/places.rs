//! Places by pattern: parts of a path relative to the workspace.
//!
//! `*` stands for any one name, `**/` at the start for any directory, `/**` at the end for anything below;
//! `**/.git/../` at the start for any directory below the workspace's top in which there is a `.git`.
//! Names are compared without case, and by their aliases, as a file system may: one more name that is asked about costs little,
//! and one that is missed costs all.

use std::borrow::Cow;

/// A pattern of places.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    text: String,
    begins: Begins,
    parts: Vec<Part>,
    /// It means everything below.
    beneath: bool,
}

/// The directories that a pattern may begin in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begins {
    /// The workspace.
    AtTop,
    /// Any.
    Anywhere,
    /// The top of a repository below the workspace.
    BesideGit,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Named { name: Vec<u8>, folded: Vec<u8> },
    Any,
}

/// What is left of a pattern below a path that its beginning matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tail<'p> {
    parts: &'p [Part],
    beneath: bool,
}

/// What a tail wants next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next<'p> {
    /// A file of this name, or a directory with more.
    Named(&'p [u8], Tail<'p>),
    /// The same of any name.
    Any(Tail<'p>),
    /// Anything, however deep.
    Everything,
    /// Nothing more: what is here is a place.
    Here,
}

impl Pattern {
    /// Reads a pattern; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (begins, rest) = if let Some(rest) = text.strip_prefix("**/.git/../") {
            (Begins::BesideGit, rest)
        } else if let Some(rest) = text.strip_prefix("**/") {
            (Begins::Anywhere, rest)
        } else {
            (Begins::AtTop, text)
        };
        let (beneath, rest) = match rest.strip_suffix("/**") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let part = |part: &str| match part {
            "*" => Some(Part::Any),
            "" | "." | ".." => None,
            name if name.contains('*') => None,
            name => Some(Part::named(name.as_bytes())),
        };
        let parts = rest.split('/').map(part).collect::<Option<Vec<_>>>()?;
        let is_named = parts.iter().any(|part| matches!(part, Part::Named { .. }));
        is_named.then(|| Self {
            text: text.to_owned(),
            begins,
            parts,
            beneath,
        })
    }

    /// The pattern of one path from the workspace on, whatever stands in its names.
    #[must_use]
    pub fn exact(path: &[u8]) -> Self {
        let names = path.split(|byte| *byte == b'/');
        Self {
            text: String::from_utf8_lossy(path).into_owned(),
            begins: Begins::AtTop,
            parts: names.map(Part::named).collect(),
            beneath: false,
        }
    }

    /// The pattern of everything below such a path.
    #[must_use]
    pub fn below(path: &[u8]) -> Self {
        let pattern = Self::exact(path);
        Self {
            text: format!("{}/**", pattern.text),
            beneath: true,
            ..pattern
        }
    }

    /// The pattern as policy wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it may begin.
    #[must_use]
    pub fn begins(&self) -> Begins {
        self.begins
    }

    /// Whether it means everything below what it names, and not that itself.
    #[must_use]
    pub fn is_beneath(&self) -> bool {
        self.beneath
    }

    /// Whether it is about what git takes for a repository, and takes up wherever that lies.
    #[must_use]
    pub fn is_of_git(&self) -> bool {
        self.begins == Begins::Anywhere
            && matches!(self.parts.first(), Some(Part::Named { folded, .. }) if folded == b".git")
    }

    /// The letters that a path has to have for this pattern to begin in it.
    #[must_use]
    pub fn letters(&self) -> Letters {
        match self.parts.first() {
            Some(Part::Named { folded, .. }) => Letters::of_folded(folded),
            Some(Part::Any) | None => Letters::ALL,
        }
    }

    /// Where in `path` it may begin: how many names stand before it.
    pub fn starts<'p>(&'p self, path: &'p [&'p [u8]]) -> impl Iterator<Item = usize> + use<'p> {
        let all = match self.begins {
            Begins::AtTop => 0..1,
            Begins::Anywhere => 0..path.len(),
            Begins::BesideGit => 1..path.len().max(1),
        };
        let is_first = |start: &usize| match (self.parts.first(), path.get(*start)) {
            (Some(Part::Named { folded, .. }), Some(name)) => may_be_named(name, folded),
            _ => true,
        };
        all.filter(is_first)
    }

    /// Whether a file at `path`, less the names before this pattern, is at such a place.
    #[must_use]
    pub fn holds(&self, path: &[&[u8]]) -> bool {
        let is_as_long = if self.beneath {
            path.len() > self.parts.len()
        } else {
            path.len() == self.parts.len()
        };
        is_as_long && is_same(&self.parts, path)
    }

    /// What would have to lie below `path`, less the names before this pattern, or be what a link there leads to,
    /// for it to be such a place.
    #[must_use]
    pub fn tail(&self, path: &[&[u8]]) -> Option<Tail<'_>> {
        let is_open = path.len() < self.parts.len() || self.beneath;
        if path.is_empty() || !is_open || !is_same(&self.parts, path) {
            return None;
        }
        Some(Tail {
            parts: self.parts.get(path.len()..).unwrap_or_default(),
            beneath: self.beneath,
        })
    }

    /// How many of its names a directory at `path` ends with, once for each way: all of them also where it lies
    /// further below.
    pub fn reached<'p>(&'p self, path: &'p [&'p [u8]]) -> impl Iterator<Item = Reached> + use<'p> {
        self.starts(path).filter_map(move |start| {
            let below = path.get(start..)?;
            let count = below.len().min(self.parts.len());
            let is_all = count == self.parts.len();
            is_same(&self.parts, below).then_some(match is_all {
                true => Reached::Whole,
                false => Reached::Part(count),
            })
        })
    }

    /// The names before the pattern, where `path` ends in all of it.
    #[must_use]
    pub fn before<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let mut names = path.rsplit(|byte| *byte == b'/');
        let mut length = path.len();
        for part in self.parts.iter().rev() {
            let name = names.next().filter(|name| part.is(name))?;
            length = length.saturating_sub(name.len().saturating_add(1));
        }
        let above = path.get(..length)?;
        match self.begins {
            Begins::AtTop if !above.is_empty() => None,
            Begins::BesideGit if above.is_empty() => None,
            Begins::AtTop | Begins::Anywhere | Begins::BesideGit => Some(above),
        }
    }
}

/// With which letters names begin. By these nearly all patterns are told to begin nowhere in a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Letters(u128);

impl Letters {
    const ALL: Self = Self(u128::MAX);

    /// Those of the names of a path, all where one may be read as another name.
    #[must_use]
    pub fn of(path: &[&[u8]]) -> Self {
        let all = path.iter().map(|name| match name.first() {
            Some(letter) if letter.is_ascii() && !name.contains(&b'~') => Self::one(*letter),
            _ => Self::ALL,
        });
        Self(all.fold(0, |all, one| all | one.0))
    }

    fn of_folded(folded: &[u8]) -> Self {
        match folded.first() {
            Some(first) if first.is_ascii() => Self::one(*first),
            _ => Self::ALL,
        }
    }

    fn one(ascii: u8) -> Self {
        Self(1 << ascii.to_ascii_lowercase())
    }

    /// Whether a name of the one may be a name of the other.
    #[must_use]
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// How much of a pattern a path has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reached {
    /// It is there, or further below.
    Whole,
    /// So many of the first names, at the path's end.
    Part(usize),
}

impl<'p> Tail<'p> {
    /// What is left of a pattern that means any name in a directory.
    pub const ANY_NAME: Tail<'static> = Tail {
        parts: &[Part::Any],
        beneath: false,
    };

    /// What it wants next.
    #[must_use]
    pub fn next(self) -> Next<'p> {
        let beneath = self.beneath;
        match self.parts.split_first() {
            Some((Part::Named { name, .. }, parts)) => Next::Named(name, Tail { parts, beneath }),
            Some((Part::Any, parts)) => Next::Any(Tail { parts, beneath }),
            None if beneath => Next::Everything,
            None => Next::Here,
        }
    }
}

/// Whether the names of `path` begin with these parts.
fn is_same(parts: &[Part], path: &[&[u8]]) -> bool {
    parts.iter().zip(path).all(|(part, name)| part.is(name))
}

impl Part {
    fn named(name: &[u8]) -> Self {
        Self::Named {
            name: name.to_vec(),
            folded: fold(name).into_owned(),
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Named { folded, .. } => may_be_named(name, folded) && is_named(name, folded),
        }
    }
}

/// Whether the first letter does not tell that a name is another one, which nearly always it does.
fn may_be_named(name: &[u8], folded: &[u8]) -> bool {
    Letters::of(&[name]).meet(Letters::of_folded(folded))
}

/// Whether a name is `folded`, by any case, or as one of the spellings of it that FAT and NTFS have: with dots and spaces at
/// its end, which are not kept, by its alias of eight letters and three, or with the name of a stream behind a colon
/// (`config::$DATA`), as servers of Windows and `streams_interface=windows` of ntfs-3g(8) take it.
#[must_use]
pub fn is_named(name: &[u8], folded: &[u8]) -> bool {
    let colon = name.iter().position(|byte| *byte == b':');
    let whole = colon.and_then(|colon| name.get(..colon)).unwrap_or(name);
    let kept = whole.iter().rposition(|byte| !b". ".contains(byte));
    let kept = kept.and_then(|last| whole.get(..=last)).unwrap_or(whole);
    is_folded(name, folded) || is_folded(kept, folded) || kept.is_ascii() && is_alias(kept, folded)
}

fn is_folded(name: &[u8], folded: &[u8]) -> bool {
    match name.is_ascii() {
        true => name.eq_ignore_ascii_case(folded),
        false => *fold(name) == *folded,
    }
}

/// Whether FAT may have given this alias to a file that is called `folded`: `GITHUB~1` to `.github`, `TASKS~1.JSO` or
/// `TA3F07~1.JSO` to `tasks.json`.
///
/// # References
///
/// - `vfat_create_shortname`, `fs/fat/namei_vfat.c` of the kernel
fn is_alias(name: &[u8], folded: &[u8]) -> bool {
    let Some(tilde) = name.iter().position(|byte| *byte == b'~') else {
        return false;
    };
    let (stem, rest) = name.split_at(tilde);
    let rest = rest.get(1..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'.');
    let (number, ending) = rest.split_at(end.unwrap_or(rest.len()));
    let bare = folded.iter().position(|byte| *byte != b'.').unwrap_or(0);
    let bare = folded.get(bare..).unwrap_or_default();
    let dot = bare.iter().rposition(|byte| *byte == b'.');
    let (long, long_ending) = bare.split_at(dot.unwrap_or(bare.len()));
    let long: Vec<u8> = long
        .iter()
        .filter(|byte| !b". ".contains(byte))
        .copied()
        .collect();
    let begins = |whole: &[u8], start: &[u8]| {
        whole
            .get(..start.len())
            .is_some_and(|first| first.eq_ignore_ascii_case(start))
    };
    let is_hashed = stem.get(2..).is_some_and(|hash| {
        hash.len() == 4
            && hash.iter().all(u8::is_ascii_hexdigit)
            && begins(&long, stem.get(..2).unwrap_or_default())
    });
    !stem.is_empty()
        && !number.is_empty()
        && number.iter().all(u8::is_ascii_digit)
        && (begins(&long, stem) || is_hashed)
        && begins(long_ending, ending)
        && ending.len() == long_ending.len().min(4)
}

/// A name as file systems fold it: without case, and without what is not seen.
#[must_use]
pub fn fold(name: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(name) {
        _ if name.is_ascii() => Cow::Owned(name.to_ascii_lowercase()),
        Ok(text) => {
            let seen = text.chars().filter(|letter| !is_unseen(*letter));
            // Of one letter, U+1E9E, only the small one is taken for two.
            let folded = seen
                .map(narrow)
                .flat_map(char::to_lowercase)
                .flat_map(char::to_uppercase)
                .flat_map(char::to_lowercase);
            Cow::Owned(folded.collect::<String>().into_bytes())
        }
        Err(_) => Cow::Borrowed(name),
    }
}

/// What a wide letter of ASCII is compared as, where a file system compares by compatibility (`normalization=formKD` of
/// zfsprops(7)).
fn narrow(letter: char) -> char {
    match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        letter => letter,
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
        let holds = |text: &str, path: &str| {
            let (pattern, path) = (pattern(text), split(path));
            pattern
                .starts(&path)
                .any(|start| pattern.holds(&path[start..]))
        };
        for (text, path, is_held) in [
            (".envrc", ".envrc", true),
            ("**/.envrc", "a/b/.EnvRC", true),
            ("**/.envrc", "a/.envrc/b", false),
            ("**/.vscode/**", "a/.vscode/b/c", true),
            (
                "**/.git/../.github/workflows/**",
                "a/.github/workflows/x",
                true,
            ),
            (
                "**/.git/../.github/workflows/**",
                ".github/workflows/x",
                false,
            ),
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
            ("**/.git", ".git. .", true),
            ("**/.git/hooks/*", "a/GIT~1/hooks/x", true),
            ("**/.git/hooks/*", "a/GITS~1/hooks/x", false),
            ("**/.git/hooks/*", "a/git~x/hooks/x", false),
            ("**/.git/hooks/*", "a/git~/hooks/x", false),
            (".vscode/tasks.json", "vscode~1/TASKS~2.jso", true),
            (".vscode/tasks.json", "VS03FA~1/TA1F3B~12.JSO", true),
            (".vscode/tasks.json", "VSCODE~1/TASKS~1.JS", false),
            (".vscode/tasks.json", "VSCODE~1/TASKS~1", false),
            (".gitlab-ci.yml", "GITLAB~1.YML", true),
            (".gitlab-ci.yml", "GITLAB~1.YML~", false),
            (".envrc", ".envrc~", false),
            (".envrc", "~1", false),
            ("**/.git/hooks/*", ".git/hoo\u{212a}s/x", true),
            ("**/.git/hooks/*", ".git/hook\u{17f}/x", true),
            ("**/.git/config", ".git/con\u{fb01}g", true),
            ("**/.git/config", "\u{ff0e}git/\u{ff23}onfig", true),
            ("**/.git/lesson", ".git/le\u{1e9e}on", true),
            ("**/.git/config", ".git::$INDEX_ALLOCATION/config", true),
            ("**/.git/config", ".git/config::$DATA", true),
            ("**/.git/config", ".git. :x/config:", true),
            ("**/.git/config", "GIT~1:x/config", true),
            ("**/.git/config", ".git/:config", false),
        ] {
            assert_eq!(holds(text, path), is_held, "{text} {path}");
            let is_met = Letters::of(&split(path)).meet(pattern(text).letters());
            assert!(is_met || !is_held, "{text} {path}");
        }
        assert!(!pattern("**/.git").holds(&[b".git\xff"]));
        assert!(!Letters::of(&split("src/Main.rs")).meet(pattern("**/.git").letters()));
    }

    #[test]
    fn a_path_is_a_pattern_whatever_stands_in_its_names() {
        let path = b"a*/\xff/..x/c:d/e.";
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        assert!(Pattern::exact(path).holds(&names));
        assert!(!Pattern::exact(b"*/b").holds(&split("a/b")));
        assert!(!Pattern::below(path).holds(&names));
        assert!(Pattern::below(b"a/b").holds(&split("A/b/c/d")));
        assert!(Pattern::below(b"a/b").tail(&split("a")).is_some());
    }

    #[test]
    fn what_stands_before_a_place_is_told_and_how_much_of_one_there_is() {
        for (text, path, before) in [
            ("**/.envrc", ".envrc", Some("")),
            ("**/.envrc", "a/b/.envrc", Some("a/b")),
            ("**/.envrc", "a/.envrc/b", None),
            ("**/.envrc", "a/x.envrc", None),
            ("**/.cargo/config", "a/.cargo/config", Some("a")),
            ("**/.cargo/config", ".cargo/config", Some("")),
            ("**/.cargo/config", "config", None),
            ("**/.git/../.github", "a/.github", Some("a")),
            ("**/.git/../.github", ".github", None),
            (".envrc", ".envrc", Some("")),
            (".envrc", "a/.envrc", None),
        ] {
            let found = pattern(text).before(path.as_bytes());
            assert_eq!(found, before.map(str::as_bytes), "{text} {path}");
        }
        let reached = |path: &str| {
            let (pattern, path) = (pattern("**/vendor/*"), split(path));
            pattern.reached(&path).collect::<Vec<_>>()
        };
        assert_eq!(reached("a/vendor"), [Reached::Part(1)]);
        assert_eq!(reached("a/vendor/b"), [Reached::Whole]);
        assert_eq!(reached("vendor/b/c/d"), [Reached::Whole]);
        assert_eq!(reached("vendors/b"), []);
        assert_eq!(reached("vendor/vendor"), [Reached::Whole, Reached::Part(1)]);
    }

    #[test]
    fn what_is_missing_of_a_place_is_its_tail() {
        let first = |text: &str, path: &str| {
            let pattern = pattern(text);
            let path = split(path);
            let tails: Vec<String> = pattern
                .starts(&path)
                .filter_map(|start| pattern.tail(&path[start..]))
                .map(|tail| match tail.next() {
                    Next::Named(name, rest) => {
                        let name = String::from_utf8_lossy(name);
                        format!("{name} {}", rest.next() == Next::Here)
                    }
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
            "",
            "/a",
            "a//b",
            "a/../b",
            "*",
            "**",
            "**/*",
            "a*",
            "a/**/b",
            "**/.git/../*",
            "a/../**",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
