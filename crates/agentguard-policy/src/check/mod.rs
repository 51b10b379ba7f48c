//! What is wrong with policies before anything is asked of them: more than loading finds, at leisure.
//!
//! The engine learns of an unknown function, a wrong number of arguments or a pattern that is too large
//! only where a rule comes to it.

mod calls;
mod confined;
pub(crate) mod names;
mod tried;

use std::path::Path;

use agentguard_core::Tier;

use crate::apart::{Apart, Kind};
use crate::error::{Error, Mistake};
use crate::module::{Parsed, Purpose};
use crate::policies::{self, Policies};
use crate::recursion;
use crate::sources::{self, Source, Sources};
use crate::whole;
use names::Known;

/// What a check found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The files that were looked at, tests and deny-lists too.
    pub files: usize,
    /// What is wrong, in the order of files and lines. Nothing where all is well.
    pub mistakes: Vec<Mistake>,
}

impl Sources {
    /// A directory by itself: as the repository's where its path says so, else as the user's.
    #[must_use]
    pub fn alone(directory: &Path) -> Self {
        let own = Some(directory.to_owned());
        let is_repositorys = directory.ends_with(".agentguard/policy");
        let (user, repository) = if is_repositorys {
            (None, own)
        } else {
            (own, None)
        };
        Self {
            org: None,
            user,
            repository,
        }
    }
}

/// Checks the policies of `sources`, whole: what would keep them from loading, and what would make a
/// rule fail or be silent once it is asked.
///
/// # Errors
///
/// Returns an [`Error`] where a file cannot be read. What is wrong in them is no error but the answer.
pub fn check(sources: &Sources) -> Result<Checked, Error> {
    let all = sources::read_all(sources)?;
    let mut mistakes = Vec::new();
    let loaded = policies::gather(
        Policies::from_sources(all.clone(), Kind::Deciding),
        &mut mistakes,
    )?;
    for (place, source) in all.iter().enumerate() {
        if !source.embedded {
            let is_highest = place == policies::authority(&all);
            mistakes.extend(deeper(source, &all, is_highest)?);
        }
    }
    if let (Some(policies), true) = (loaded, mistakes.is_empty()) {
        mistakes.extend(confined::mistake(&policies, &all));
    }
    mistakes.sort_by(|a, b| {
        (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message))
    });
    mistakes.dedup();
    Ok(Checked {
        files: looked_at(&all),
        mistakes,
    })
}

/// The files of the tiers that were read; of those compiled in where there are no others.
fn looked_at(all: &[Source]) -> usize {
    let count = |source: &Source| source.files.len();
    let read = all.iter().filter(|source| !source.embedded);
    match all {
        [shipped] => count(shipped),
        _ => read.map(count).sum(),
    }
}

/// What loading does not find. Files that cannot even be parsed are left out: that is known already.
fn deeper(source: &Source, all: &[Source], is_highest: bool) -> Result<Vec<Mistake>, Error> {
    let shipped = all.iter().find(|source| source.tier == Tier::Shipped);
    let library = policies::library(shipped, is_highest);
    let (parsed, mut mistakes) = whole::read(source, &library);
    let mut tier = None;
    if mistakes.is_empty() {
        match Apart::load(source, &library, Kind::Whole) {
            Ok(apart) => tier = Some(apart),
            Err(error) => {
                policies::gather(Err::<(), _>(error), &mut mistakes)?;
            }
        }
    }
    mistakes.extend(recursion::find(&parsed));
    // Rules decide without their tests, and without what these define.
    let rules = parsed.iter().filter(|parsed| !is_test(parsed));
    let (rules, all) = (Known::of(rules), Known::of(parsed.iter()));
    for parsed in &parsed {
        let known = if is_test(parsed) { &all } else { &rules };
        mistakes.extend(calls::mistakes(parsed, known));
        mistakes.extend(names::mistakes(parsed, known));
    }
    if let (Some(tier), true) = (tier, mistakes.is_empty()) {
        mistakes.extend(tried::mistakes(&parsed, &tier));
    }
    let is_own = |mistake: &Mistake| {
        let mut paths = source.files.iter().map(|file| source.path(file));
        paths.any(|path| path == mistake.file)
    };
    mistakes.retain(is_own);
    Ok(mistakes)
}

/// Whether a module is for tests, where more is allowed.
fn is_test(parsed: &Parsed) -> bool {
    parsed.purpose == Purpose::Test
}
