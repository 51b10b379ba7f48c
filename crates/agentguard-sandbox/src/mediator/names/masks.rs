//! What is masked, by where it lies: for masks that go with their files (`Plan::replaceable`).
//!
//! A link on the way to one, or at its place, may be led elsewhere from outside too: so it is looked each time where it leads,
//! before anything that could lead it elsewhere from inside, and what it led to once stays masked.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agentguard_core::places::{fold, is_named};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::process::Pid;

use super::look::{What, names};
use crate::mediator::caller::Processes;
use crate::mediator::resolve::{Place, os};

/// What the kernel says after the path of a file that has lost its name (d_path, `fs/d_path.c`).
const LOST: &[u8] = b" (deleted)";

/// So many paths are known that masks led to. Whoever leads links to more can open nothing any more.
const MOST_LED: usize = 4096;

const THERE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// That this process cannot look says nothing of where a path leads: an agent may have it hold all that it can (open(2)).
pub(super) const UNSEEN: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR];

/// A masked path, as its names without their case.
type Mask = Vec<Vec<u8>>;

/// Masked paths.
#[derive(Debug)]
pub(super) struct Masks {
    paths: Vec<PathBuf>,
    known: Mutex<BTreeSet<Mask>>,
}

impl Masks {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let paths = paths.to_vec();
        let known = paths.iter().map(|path| path.as_os_str().as_bytes());
        let known = Mutex::new(known.map(folded).collect());
        Self { paths, known }
    }

    /// Refuses a file that lies at a mask, or did until it was deleted.
    pub(super) fn refuse_file(&self, processes: &Processes, file: BorrowedFd<'_>) -> Result<()> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let path = processes.path_of_bytes(file)?;
        refuse_if(self.holds_file(processes, &path))
    }

    /// Refuses an image of which a part lies at a mask: the program, or the loader that it names.
    pub(super) fn refuse_image(&self, processes: &Processes, process: Pid) -> Result<()> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let mut maps = Vec::new();
        let file = File::from(processes.follow(process, "maps", OFlags::RDONLY)?);
        let read = { file }.read_to_end(&mut maps);
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))?;
        // A path is the last field, and no other has a slash (proc_pid_maps(5)).
        let path = |line: &[u8]| {
            let start = line.iter().position(|byte| *byte == b'/')?;
            line.get(start..).map(<[u8]>::to_vec)
        };
        let paths: BTreeSet<_> = maps.split(|byte| *byte == b'\n').filter_map(path).collect();
        refuse_if(paths.iter().any(|path| self.holds_file(processes, path)))
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
        let known = self.look(processes)?;
        refuse_if(known.iter().any(|mask| is_same(&path, mask)))
    }

    /// Refuses to take away what lies at a mask, and a link above one: where it leads would be known by nothing else.
    pub(super) fn refuse_removal(&self, processes: &Processes, place: &Place) -> Result<()> {
        if self.paths.is_empty() {
            return Ok(());
        }
        if is_link(place) {
            return self.refuse_move(processes, place);
        }
        refuse_if(self.hold(processes, &path_of(processes, place)?))
    }

    /// The same, as the kernel says the path of a file that may have lost its name.
    fn holds_file(&self, processes: &Processes, path: &[u8]) -> bool {
        let lost = path.strip_suffix(LOST);
        self.hold(processes, path) || lost.is_some_and(|path| self.hold(processes, path))
    }

    /// Whether a path is a mask's, or below one. So is everything where that cannot be told.
    fn hold(&self, processes: &Processes, path: &[u8]) -> bool {
        let path = names(path);
        let known = self.look(processes);
        known.map_or(true, |known| known.iter().any(|mask| is_below(&path, mask)))
    }

    /// What is masked, with where links at masks, or on the way to them, lead by now.
    fn look(&self, processes: &Processes) -> Result<MutexGuard<'_, BTreeSet<Mask>>> {
        let now = |path: &PathBuf| match fs::open(path, THERE, Mode::empty()) {
            Ok(there) => Some(processes.path_of_bytes(there.as_fd())),
            Err(error) if UNSEEN.contains(&error) => Some(Err(error)),
            // For a session it leads nowhere.
            Err(_) => None,
        };
        let led: Vec<Vec<u8>> = self.paths.iter().filter_map(now).collect::<Result<_>>()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(led.iter().map(|path| folded(path)));
        match known.len() > self.paths.len() + MOST_LED {
            true => Err(Errno::ACCESS),
            false => Ok(known),
        }
    }
}

fn is_link(place: &Place) -> bool {
    let found = fs::statat(
        &place.parent,
        os(place.plain_name()),
        AtFlags::SYMLINK_NOFOLLOW,
    );
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
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
