//! Packages in several files: to the engine, each is one module.
//!
//! regorus 0.14.1 accepts a package in several files and does not hold it together. Asked for a package as a
//! whole it takes the package for evaluated after its first file, and with it all packages below, so that
//! rules of the other files do not see one another: sets and rules come out without what depends on those,
//! silently. It keeps imports by package, so that of two files' `import … as x` the last one is meant in
//! both; and it looks for the variables of a function in the file where the function's first body stands, where
//! they are others or none: it panics, or takes the wrong ones.
//! (`Interpreter::ensure_module_evaluated` and `is_processed`, `process_imports`, `gather_functions`; the
//! tests below hold on to it.)
//!
//! So the files of a package are joined: their imports first, then each file's text, in which spaces stand
//! for the package and imports. Lines and columns stay, and what the engine says is told of the file it
//! means. What would mean something else than it does in OPA, where imports are a file's own, is a mistake.
//! Packages below others are added before these, so that whole packages hold all that is below them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::{NonZeroU32, NonZeroUsize};

use regorus::unstable::Span;
use regorus::{Engine, PolicyLengthConfig};

use crate::ast::{self, Shape};
use crate::error::Mistake;
use crate::module::{Parsed, Purpose};

/// Where the text of joined files comes from.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<Joined>);

/// A package of several files, as one.
#[derive(Debug)]
struct Joined {
    /// What the engine knows it by: nothing that a file is called.
    name: String,
    text: String,
    /// Each file's path, with the line before its first.
    parts: Vec<(String, usize)>,
}

/// Adds files to `engine`, each package at once. What does not go together is told in its place.
pub(crate) fn add(engine: &mut Engine, files: &[&Parsed]) -> Result<Places, Vec<Mistake>> {
    // Each file by itself was held to the engine's bounds.
    engine.set_policy_length_config(PolicyLengthConfig {
        max_col: NonZeroU32::MAX,
        max_file_bytes: NonZeroUsize::MAX,
        max_lines: NonZeroUsize::MAX,
    });
    let packages = packages(files);
    let mut places = Places::default();
    let mut mistakes = Vec::new();
    for package in packages {
        let wrong = conflicts(&package);
        if !wrong.is_empty() {
            mistakes.extend(wrong);
            continue;
        }
        let added = match package[..] {
            [only] => engine.add_policy(only.path.clone(), only.text.to_string()),
            _ => {
                let joined = Joined::of(&package);
                let added = engine.add_policy(joined.name.clone(), joined.text.clone());
                places.0.push(joined);
                added
            }
        };
        if let Err(error) = added {
            let said = places.restore(&error.to_string());
            mistakes.extend(mistake(files.iter().copied(), &said));
        }
    }
    match mistakes.is_empty() {
        true => Ok(places),
        false => Err(mistakes),
    }
}

/// The files of each package, in their order; the deeper package first.
fn packages<'a>(files: &[&'a Parsed]) -> Vec<Vec<&'a Parsed>> {
    let mut by_name: BTreeMap<&str, Vec<&Parsed>> = BTreeMap::new();
    for file in files {
        by_name.entry(&file.package).or_default().push(file);
    }
    let mut packages: Vec<_> = by_name.into_iter().collect();
    packages.sort_by_key(|(name, _)| std::cmp::Reverse(name.split('.').count()));
    packages.into_iter().map(|(_, files)| files).collect()
}

impl Joined {
    fn of(files: &[&Parsed]) -> Self {
        let package = files.first().map_or("", |file| file.package.as_str());
        let mut text = format!("package {package}\n");
        let mut imports: Vec<_> = files
            .iter()
            .flat_map(|file| ast::imported(&file.module))
            .collect();
        imports.sort_by(|a, b| (a.name, &a.target).cmp(&(b.name, &b.target)));
        imports.dedup_by(|a, b| (a.name, &a.target) == (b.name, &b.target));
        for import in imports {
            text += import.span.text();
            text.push('\n');
        }
        let mut parts = Vec::new();
        for file in files {
            parts.push((file.path.clone(), text.matches('\n').count()));
            text += &without_header(file);
            text.push('\n');
        }
        Self {
            name: format!("<{package}>"),
            text,
            parts,
        }
    }

    /// The file and its line that a line of the joined text is.
    fn place(&self, line: usize) -> Option<(&str, usize)> {
        let mut before = self.parts.iter().rev();
        let (path, start) = before.find(|(_, start)| *start < line)?;
        Some((path, line - start))
    }

    fn restore(&self, said: &str) -> String {
        let mark = format!("{}:", self.name);
        let mut pieces = said.split(&mark);
        let mut restored = pieces.next().unwrap_or("").to_owned();
        for piece in pieces {
            let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
            let line = piece.strip_suffix(rest).and_then(|line| line.parse().ok());
            // Writing to a string does not fail.
            let _ = match line.and_then(|line| self.place(line)) {
                Some((path, line)) => write!(restored, "{path}:{line}{rest}"),
                None => write!(restored, "{mark}{piece}"),
            };
        }
        restored
    }
}

impl Places {
    /// What the engine said, with the files that it means.
    pub(crate) fn restore(&self, said: &str) -> String {
        let start = said.to_owned();
        self.0
            .iter()
            .fold(start, |said, joined| joined.restore(&said))
    }
}

/// What the engine said, at its place in one of `files`. `None` where it names no place in them.
pub(crate) fn mistake<'a>(
    mut files: impl Iterator<Item = &'a Parsed>,
    said: &str,
) -> Option<Mistake> {
    let place = said.lines().find_map(|line| line.strip_prefix("--> "))?;
    let inside = files.find(|parsed| {
        place
            .strip_prefix(parsed.path.as_str())
            .is_some_and(|rest| rest.starts_with(':'))
    })?;
    Some(Mistake::from_engine(&inside.path, &inside.text, said))
}

/// A file's text with spaces for its package and imports.
fn without_header(file: &Parsed) -> String {
    let imports = file.module.imports.iter().map(|import| &import.span);
    let header: Vec<(usize, usize)> = std::iter::once(&file.module.package.span)
        .chain(imports)
        .map(|span| (byte(span.start), byte(span.end)))
        .collect();
    let is_header = |at: usize| {
        header
            .iter()
            .any(|(start, end)| (*start..*end).contains(&at))
    };
    let kept = file.text.char_indices().map(|(at, character)| {
        let is_gone = is_header(at) && !character.is_whitespace();
        if is_gone { ' ' } else { character }
    });
    kept.collect()
}

fn byte(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// What keeps the files of a package from being one.
fn conflicts(files: &[&Parsed]) -> Vec<Mistake> {
    let mut found = defaults(files);
    for (place, file) in files.iter().enumerate() {
        let before = files.get(..place).unwrap_or(&[]);
        found.extend(shapes(file, before));
        for other in files.iter().filter(|other| other.path != file.path) {
            found.extend(names(file, other));
            if file.purpose == Purpose::Test && other.purpose != Purpose::Test {
                found.extend(added_by_tests(file, other));
            }
        }
    }
    found.dedup();
    found
}

/// The engine takes the first of several defaults.
fn defaults(files: &[&Parsed]) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for file in files {
        for head in ast::heads(&file.module) {
            if head.shape != Shape::Default {
                continue;
            }
            if let Some(path) = seen.insert(head.name, &file.path) {
                let message = format!("`{}` has a default already, in {path}", head.name);
                found.push(file.mistake(head.span, message));
            }
        }
    }
    found
}

/// Rules of one name that are of several kinds.
fn shapes(file: &Parsed, before: &[&Parsed]) -> Vec<Mistake> {
    let kind = |shape: Shape| match shape {
        Shape::Set => Some("a set"),
        Shape::Complete => Some("a value"),
        Shape::Function => Some("a function"),
        Shape::Default => None,
    };
    let mut found = Vec::new();
    for head in ast::heads(&file.module) {
        for other in before {
            let mut heads = ast::heads(&other.module).into_iter();
            let first = heads.find(|one| one.name == head.name && kind(one.shape).is_some());
            let pair = (kind(head.shape), first.and_then(|first| kind(first.shape)));
            if let (Some(here), Some(there)) = pair
                && here != there
            {
                let name = head.name;
                let message = format!("`{name}` is {here} here, and {there} in {}", other.path);
                found.push(file.mistake(head.span, message));
            }
        }
    }
    found
}

/// Names of `file` that would mean what `other` imports.
fn names(file: &Parsed, other: &Parsed) -> Vec<Mistake> {
    let own = ast::imported(&file.module);
    let mut found = Vec::new();
    for theirs in ast::imported(&other.module) {
        let (name, path) = (theirs.name, &other.path);
        match own.iter().find(|import| import.name == name) {
            Some(import) if import.target == theirs.target => continue,
            Some(import) => {
                let message =
                    format!("`{name}` is another import in {path}, which is of the same package");
                found.push(file.mistake(import.span, message));
                continue;
            }
            None => {}
        }
        if let Some(span) = used(file, name) {
            let message = format!(
                "`{name}` is an import of {path}, which is of the same package: import it here too, \
                 or use another name"
            );
            found.push(file.mistake(span, message));
        }
    }
    found
}

/// Where a file says `name`, which it does not import. A variable would do, but not to the engine.
fn used<'a>(file: &'a Parsed, name: &str) -> Option<&'a Span> {
    for uses in ast::uses(&file.module) {
        let mut names = uses.names.iter();
        if let Some(here) = names.find(|one| one.path.first() == Some(&name)) {
            return Some(here.span);
        }
        if uses.head.name == name || uses.locals.contains(&name) {
            return Some(uses.head.span);
        }
    }
    None
}

/// Rules that hold in tests alone, where the rules are to be tested that decide.
fn added_by_tests(file: &Parsed, rules: &Parsed) -> Vec<Mistake> {
    let theirs = ast::heads(&rules.module);
    let heads = ast::heads(&file.module);
    let added = heads
        .iter()
        .filter(|head| theirs.iter().any(|rule| rule.name == head.name));
    let say = |head: &ast::Head<'_>| {
        let message = format!(
            "`{}` is a rule of {}: what a test adds to it would not hold when it decides",
            head.name, rules.path
        );
        file.mistake(head.span, message)
    };
    added.map(say).collect()
}
