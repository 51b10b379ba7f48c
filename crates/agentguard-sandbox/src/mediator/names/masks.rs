//! What is masked, by where it lies: for masks that go with their files (`Plan::replaceable`).

use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use agentguard_core::places::{fold, is_named};
use rustix::io::{Errno, Result};

use super::look::{What, names};
use crate::mediator::caller::Processes;
use crate::mediator::resolve::Place;

/// What the kernel says after the path of a file that has lost its name (d_path, `fs/d_path.c`).
const LOST: &[u8] = b" (deleted)";

/// Masked paths, each as its names without their case.
#[derive(Debug)]
pub(super) struct Masks(Vec<Vec<Vec<u8>>>);

impl Masks {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let folded = |path: &PathBuf| {
            let names = names(path.as_os_str().as_bytes());
            names
                .into_iter()
                .map(|name| fold(name).into_owned())
                .collect()
        };
        Self(paths.iter().map(folded).collect())
    }

    /// Refuses a file that lies at a mask, or did until it was deleted.
    pub(super) fn refuse_file(&self, processes: &Processes, file: BorrowedFd<'_>) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let path = processes.path_of_bytes(file)?;
        let lost = path.strip_suffix(LOST).unwrap_or(&path);
        refuse_if(self.hold(&path) || self.hold(lost))
    }

    /// Refuses to make a name at a mask, and a link above one: what is put there would lie elsewhere.
    pub(super) fn refuse_name(
        &self,
        processes: &Processes,
        place: &Place,
        what: &What,
    ) -> Result<()> {
        match what {
            _ if self.0.is_empty() => Ok(()),
            What::Link(_) => self.refuse_move(processes, place),
            What::File | What::Directory | What::Tree(_) => {
                refuse_if(self.hold(&path_of(processes, place)?))
            }
        }
    }

    /// Refuses to move what lies at a mask, or above one: it would be called otherwise.
    pub(super) fn refuse_move(&self, processes: &Processes, place: &Place) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let path = path_of(processes, place)?;
        let path = names(&path);
        refuse_if(self.0.iter().any(|mask| is_same(&path, mask)))
    }

    /// Whether a path is a mask's, or below one.
    fn hold(&self, path: &[u8]) -> bool {
        let path = names(path);
        self.0.iter().any(|mask| is_below(&path, mask))
    }
}

fn path_of(processes: &Processes, place: &Place) -> Result<Vec<u8>> {
    let above = processes.path_of_bytes(place.parent.as_fd())?;
    Ok([&above, b"/".as_slice(), place.plain_name()].concat())
}

fn is_below(path: &[&[u8]], mask: &[Vec<u8>]) -> bool {
    path.len() >= mask.len() && is_same(path, mask)
}

/// Whether a path and a mask have the same names, as far as both go.
fn is_same(path: &[&[u8]], mask: &[Vec<u8>]) -> bool {
    let mut names = path.iter().zip(mask);
    names.all(|(name, mask)| is_named(name, mask))
}

fn refuse_if(is_masked: bool) -> Result<()> {
    match is_masked {
        true => Err(Errno::ACCESS),
        false => Ok(()),
    }
}
