//! Programs denied whole: found on this machine, so that a copy under another name is the same program,
//! and covered inside, so that there is nothing to copy, to load or to read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use agentguard_core::{Digest, Rule};
use agentguard_policy::DeniedProgram;

use crate::programs::Programs;
use crate::workspace::real;

/// What a session must not start, nor see.
#[derive(Debug, Default)]
pub(crate) struct Denied {
    /// By content.
    pub(crate) content: BTreeMap<Digest, Rule>,
    /// Where they lie, with every link followed.
    pub(crate) paths: BTreeSet<PathBuf>,
}

impl Denied {
    /// Looks for each name in every directory of `search`.
    pub(crate) fn find(
        denied: &[DeniedProgram],
        search: &[PathBuf],
        programs: &mut Programs,
    ) -> Self {
        let mut found = Self::default();
        // On many systems `/bin`, `/usr/bin` and `/sbin` are one.
        let search: BTreeSet<PathBuf> = search.iter().map(|directory| real(directory)).collect();
        for program in denied {
            for directory in &search {
                let path = directory.join(&program.name);
                if !path.is_file() {
                    continue;
                }
                let path = real(&path);
                if !program.is_alone_in(&path) {
                    continue;
                }
                if let Some(digest) = programs.digest(&path) {
                    found
                        .content
                        .entry(digest)
                        .or_insert_with(|| program.rule.clone());
                }
                found.paths.insert(path);
            }
        }
        found
    }
}
