//! What is asked about: an entry, a commit, or a file.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Component, Path, PathBuf};

use agentguard::core::trailers;
use agentguard::sandbox::{Refs, Repository};

use crate::failure::Failure;
use crate::log::Place;
use crate::places::working_directory;

use super::follow::Wanted;

/// A shorter abbreviation is none to git either.
const SHORTEST_COMMIT: usize = 4;
/// Where git looks for a name that is no full one (gitrevisions(7)).
const PLACES: [&str; 5] = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"];
/// A ref that leads to a ref that leads to a ref.
const LONGEST_WAY: usize = 5;

/// What a word means, and the session whose log it lies in, where it names one.
pub(crate) fn parse(word: &OsStr, here: &Path) -> Result<(Wanted, Option<String>), Failure> {
    let path = || Wanted::Path {
        typed: plain(Path::new(word)),
        absolute: plain(&here.join(word)),
    };
    let Some(text) = word.to_str() else {
        return Ok((path(), None));
    };
    if text.is_empty() {
        return Err(Failure::new("an empty word names nothing"));
    }
    if let Some(place) =
        Place::parse(text).filter(|_| text.contains(':') || text.len() < SHORTEST_COMMIT)
    {
        return Ok((Wanted::Entry(place.index), Some(place.session)));
    }
    if is_commit(text) {
        return Ok((Wanted::Commit(text.to_ascii_lowercase()), None));
    }
    if text.contains('/') && here.join(word).exists() {
        return Ok((path(), None));
    }
    match refs(here).and_then(|refs| resolve(&refs, text)) {
        Some(id) => Ok((Wanted::Commit(id), None)),
        None => Ok((path(), None)),
    }
}

/// The commit that a word means, by its id, the beginning of that, or a ref of the repository here.
pub(crate) fn commit(word: &str) -> Result<String, Failure> {
    let (wanted, _) = parse(OsStr::new(word), &working_directory()?)?;
    match wanted {
        Wanted::Commit(id) => Ok(id),
        Wanted::Entry(_) | Wanted::Path { .. } => {
            let failure = Failure::new(format!("`{word}` names no commit"));
            Err(failure.with_hint(
                "a commit is known by its id, or by a branch or tag of the repository here",
            ))
        }
    }
}

fn is_commit(text: &str) -> bool {
    (SHORTEST_COMMIT..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The repository that `here` lies in, where there is one that can be read.
fn repository(here: &Path) -> Option<Repository> {
    let top = here.ancestors().find(|above| above.join(".git").exists())?;
    let (workspace, root) = (File::open(top).ok()?, File::open("/").ok()?);
    let found = Repository::find(workspace.as_fd(), top, root.as_fd());
    found.ok()?
}

fn refs(here: &Path) -> Option<Refs> {
    Some(repository(here)?.refs())
}

/// The sessions that a commit names in trailers of its message, where it lies in the repository of `here` and was not
/// packed yet. Whoever wrote it says so.
pub(super) fn sessions_named(here: &Path, commit: &str) -> Vec<String> {
    let message = repository(here).and_then(|repository| repository.message(commit));
    trailers::sessions_named(&message.unwrap_or_default())
}

/// The id that a ref leads to.
fn resolve(refs: &Refs, name: &str) -> Option<String> {
    let found = PLACES.iter().map(|place| format!("{place}{name}"));
    let mut value = found.filter_map(|full| refs.refs.get(&full)).next()?;
    for _ in 0..LONGEST_WAY {
        match value.strip_prefix("ref: ") {
            Some(next) => value = refs.refs.get(next)?,
            None => return Some(value.clone()),
        }
    }
    None
}

/// The same path without `.` and `..`, by its text.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(word: &str) -> (Wanted, Option<String>) {
        parse(OsStr::new(word), Path::new("/nowhere/at/all")).unwrap()
    }

    #[test]
    fn an_entry_a_commit_and_a_file_are_told_apart() {
        let commit = |id: &str| (Wanted::Commit(id.to_owned()), None);
        let entry = |session: &str, index| (Wanted::Entry(index), Some(session.to_owned()));
        for (word, expected) in [
            ("36d3:12", entry("36d3", 12)),
            (":1234", entry("", 1234)),
            ("12", entry("", 12)),
            ("1234", commit("1234")),
            ("DEADBEEF", commit("deadbeef")),
        ] {
            assert_eq!(wanted(word), expected, "{word}");
        }
        for word in ["abc", "src/a.rs", "a:b", "main"] {
            let (Wanted::Path { typed, absolute }, None) = wanted(word) else {
                panic!("{word}");
            };
            assert_eq!(typed, Path::new(word));
            assert_eq!(absolute, Path::new("/nowhere/at/all").join(word));
        }
        assert!(parse(OsStr::new(""), Path::new("/")).is_err());
    }

    #[test]
    fn a_path_is_read_without_its_dots() {
        let (Wanted::Path { typed, absolute }, None) = wanted("./../b/../c") else {
            panic!();
        };
        assert_eq!(typed, Path::new("c"));
        assert_eq!(absolute, Path::new("/nowhere/at/c"));
    }

    #[test]
    fn a_ref_leads_to_its_commit_and_one_that_leads_nowhere_to_none() {
        let refs = [
            ("HEAD", "ref: refs/heads/main"),
            ("refs/heads/main", "aaaa"),
            ("refs/heads/loop", "ref: refs/heads/loop"),
            ("refs/heads/gone", "ref: refs/heads/nothing"),
            ("refs/tags/v1", "bbbb"),
        ];
        let refs = refs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let refs = Refs {
            refs: refs.into(),
            complete: true,
        };
        for (name, id) in [
            ("HEAD", Some("aaaa")),
            ("main", Some("aaaa")),
            ("v1", Some("bbbb")),
            ("heads/main", Some("aaaa")),
            ("loop", None),
            ("gone", None),
            ("other", None),
        ] {
            assert_eq!(resolve(&refs, name).as_deref(), id, "{name}");
        }
    }
}
