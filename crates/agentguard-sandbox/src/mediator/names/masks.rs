//! What is masked, by where it lies: for masks that go with their files (`Plan::replaceable`).
//!
//! A link on the way to one, or at its place, may be led elsewhere from outside too: so it is looked each time where it leads.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use agentguard_core::places::{fold, is_named};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{Errno, Result};

use super::look::{What, names};
use crate::mediator::caller::Processes;
use crate::mediator::resolve::Place;

/// What the kernel says after the path of a file that has lost its name (d_path, `fs/d_path.c`).
const LOST: &[u8] = b" (deleted)";

/// A masked path, as its names without their case.
type Mask = Vec<Vec<u8>>;

/// Masked paths.
#[derive(Debug)]
pub(super) struct Masks {
    paths: Vec<PathBuf>,
    known: Vec<Mask>,
}

impl Masks {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let paths = paths.to_vec();
        let known = paths.iter().map(|path| path.as_os_str().as_bytes());
        let known = known.map(folded).collect();
        Self { paths, known }
    }

    /// Refuses a file that lies at a mask, or did until it was deleted.
    pub(super) fn refuse_file(&self, processes: &Processes, file: BorrowedFd<'_>) -> Result<()> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let path = processes.path_of_bytes(file)?;
        let lost = path.strip_suffix(LOST);
        refuse_if(
            self.hold(processes, &path) || lost.is_some_and(|path| self.hold(processes, path)),
        )
    }

    /// Refuses to make a name at a mask, and a link above one: what is put there would lie elsewhere.
    pub(super) fn refuse_name(
        &self,
        processes: &Processes,
        place: &Place,
        what: &What,
    ) -> Result<()> {
        match what {
            _ if self.paths.is_empty() => Ok(()),
            What::Link(_) => self.refuse_move(processes, place),
            What::File | What::Directory | What::Tree(_) => {
                refuse_if(self.hold(processes, &path_of(processes, place)?))
            }
        }
    }

    /// Refuses to move what lies at a mask, or above one: it would be called otherwise.
    pub(super) fn refuse_move(&self, processes: &Processes, place: &Place) -> Result<()> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let path = path_of(processes, place)?;
        let path = names(&path);
        let is_moved = |mask: &Mask| is_same(&path, mask);
        refuse_if(self.known.iter().any(is_moved) || self.led(processes).iter().any(is_moved))
    }

    /// Whether a path is a mask's, or below one.
    fn hold(&self, processes: &Processes, path: &[u8]) -> bool {
        let path = names(path);
        let is_held = |mask: &Mask| is_below(&path, mask);
        self.known.iter().any(is_held) || self.led(processes).iter().any(is_held)
    }

    /// Where links at masks, or on the way to them, lead by now that led elsewhere when the session began.
    fn led(&self, processes: &Processes) -> Vec<Mask> {
        let now = |path: &PathBuf| {
            let there = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
            let mask = folded(&processes.path_of_bytes(there.as_fd()).ok()?);
            (!self.known.contains(&mask)).then_some(mask)
        };
        self.paths.iter().filter_map(now).collect()
    }
}

fn folded(path: &[u8]) -> Mask {
    let names = names(path).into_iter();
    names.map(|name| fold(name).into_owned()).collect()
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
