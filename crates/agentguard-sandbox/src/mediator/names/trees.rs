//! Nobody moves a directory while somebody else makes a name in it, in this session or in another one.
//!
//! A rename moves nothing past its mount (rename(2), EXDEV), so that each file system has a tree of its own: one
//! that does not answer keeps whoever waits for it, and nobody else. What is mounted somewhere in the workspace
//! moves with the directory above it, and belongs to the workspace's tree too.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use agentguard_core::Level;
use rustix::fs::{self, FlockOperation};
use rustix::io::{Result, retry_on_intr};

use crate::mediator::caller::Processes;
use crate::mediator::resolve::device;
use crate::plan::Plan;

/// What a session has for itself in memory, each a file system of its own.
const OWN: [&str; 2] = ["/tmp", "/dev/shm"];
/// After so long a tree is left to others first. After twice as long somebody holds it who does not let go, for whom nobody
/// waits.
const LONG: Duration = Duration::from_millis(50);

pub(super) type Tree = Arc<Turns>;

/// The trees of a session, by their devices.
#[derive(Debug)]
pub(super) struct Trees {
    workspace: Vec<u8>,
    /// Unknown where it was not to be looked at: then nothing could be opened there either.
    of_workspace: Option<u64>,
    /// Of the session's own directories in memory, which are in no other.
    elsewhere: Vec<u64>,
    all: Mutex<HashMap<u64, Tree>>,
    /// Of the workspace's tree.
    beside: Option<Arc<Beside>>,
}

impl Trees {
    /// The trees of a session, beside which others take their turns with these files.
    pub(super) fn of(plan: &Plan, turns: Option<[OwnedFd; 2]>) -> Self {
        let workspace = &plan.confinement.workspace;
        let device = |path: &Path| fs::stat(path).map(|stat| stat.st_dev).ok();
        let own = match plan.confinement.level {
            Level::Full => OWN.iter(),
            Level::NoNamespaces | Level::OldKernel => [].iter(),
        };
        Self {
            workspace: workspace.as_os_str().as_bytes().to_vec(),
            of_workspace: device(workspace),
            elsewhere: own.filter_map(|path| device(Path::new(path))).collect(),
            all: Mutex::default(),
            beside: turns.map(|[tree, next]| Arc::new(Beside { tree, next })),
        }
    }

    /// The trees that these directories lie in, in the order in which everybody takes them.
    pub(super) fn around(
        &self,
        processes: &Processes,
        directories: &[BorrowedFd<'_>],
    ) -> Result<Vec<Tree>> {
        let mut devices = Vec::new();
        for directory in directories {
            let own = device(*directory)?;
            devices.push(own);
            let may_be_inside = |above: &u64| *above != own && !self.elsewhere.contains(&own);
            if let Some(above) = self.of_workspace.filter(may_be_inside) {
                let path = processes.path_of_bytes(*directory)?;
                let is_inside = path.starts_with(&self.workspace);
                devices.extend(is_inside.then_some(above));
            }
        }
        devices.sort_unstable();
        devices.dedup();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let made = |device: u64| {
            let is_common = self.of_workspace == Some(device);
            Turns {
                beside: self.beside.clone().filter(|_| is_common),
                ..Turns::default()
            }
        };
        let trees = devices.into_iter().map(|device| {
            let tree = all.entry(device).or_insert_with(|| Arc::new(made(device)));
            Arc::clone(tree)
        });
        Ok(trees.collect())
    }
}

/// Had alone by whoever moves a directory, and together by whoever makes a name in one.
#[derive(Debug, Default)]
pub(super) struct Turns {
    here: RwLock<()>,
    together: Mutex<Together>,
    let_go: Condvar,
    beside: Option<Arc<Beside>>,
}

/// Who shares a tree in this session. Others hear of the first of them, and of the last.
#[derive(Debug, Default)]
struct Together {
    count: usize,
    since: Option<Instant>,
}

/// Files of which each mediator has a description of its own, so that their locks are between sessions (flock(2)).
#[derive(Debug)]
struct Beside {
    tree: OwnedFd,
    /// Whoever waits for the tree has this meanwhile, so that those who come later do not go before.
    next: OwnedFd,
}

impl Turns {
    fn share(&self) -> Result<Sharing<'_>> {
        let here = self.here.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(beside) = &self.beside {
            let together = self.together.lock().unwrap_or_else(PoisonError::into_inner);
            // One after the other could keep others waiting without end.
            let is_long = |together: &mut Together| {
                let since = together.since.map(|since| since.elapsed());
                since.is_some_and(|since| (LONG..LONG * 2).contains(&since))
            };
            let waited = self.let_go.wait_timeout_while(together, LONG, is_long);
            let (mut together, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if together.count == 0 {
                beside.take(FlockOperation::LockShared)?;
                together.since = Some(Instant::now());
            }
            together.count += 1;
        }
        Ok(Sharing {
            turns: self,
            _here: here,
        })
    }

    fn have(&self) -> Result<Having<'_>> {
        let here = self.here.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(beside) = &self.beside {
            beside.take(FlockOperation::LockExclusive)?;
        }
        Ok(Having {
            turns: self,
            _here: here,
        })
    }
}

impl Beside {
    fn take(&self, how: FlockOperation) -> Result<()> {
        retry_on_intr(|| fs::flock(&self.next, how))?;
        let taken = retry_on_intr(|| fs::flock(&self.tree, how));
        let _ = fs::flock(&self.next, FlockOperation::Unlock);
        taken
    }

    fn leave(&self) {
        let _ = fs::flock(&self.tree, FlockOperation::Unlock);
    }
}

/// A tree that is shared, until it is dropped.
struct Sharing<'t> {
    turns: &'t Turns,
    _here: RwLockReadGuard<'t, ()>,
}

impl Drop for Sharing<'_> {
    fn drop(&mut self) {
        let Some(beside) = &self.turns.beside else {
            return;
        };
        let together = self.turns.together.lock();
        let mut together = together.unwrap_or_else(PoisonError::into_inner);
        together.count -= 1;
        if together.count == 0 {
            beside.leave();
            together.since = None;
            self.turns.let_go.notify_all();
        }
    }
}

/// A tree that is had alone, until it is dropped.
struct Having<'t> {
    turns: &'t Turns,
    _here: RwLockWriteGuard<'t, ()>,
}

impl Drop for Having<'_> {
    fn drop(&mut self) {
        if let Some(beside) = &self.turns.beside {
            beside.leave();
        }
    }
}

/// Trees that are shared, or had alone, until it is dropped.
#[derive(Default)]
pub(super) struct Held<'t> {
    _together: Vec<Sharing<'t>>,
    _alone: Vec<Having<'t>>,
}

/// Shares them with others that make names, or has them for itself.
pub(super) fn hold(trees: &[Tree], is_alone: bool) -> Result<Held<'_>> {
    match is_alone {
        true => have(trees),
        false => share(trees),
    }
}

/// Shares them with others that make names.
pub(super) fn share(trees: &[Tree]) -> Result<Held<'_>> {
    let shared = trees.iter().map(|tree| tree.share());
    Ok(Held {
        _together: shared.collect::<Result<_>>()?,
        ..Held::default()
    })
}

/// Has them for itself.
pub(super) fn have(trees: &[Tree]) -> Result<Held<'_>> {
    let alone = trees.iter().map(|tree| tree.have());
    Ok(Held {
        _alone: alone.collect::<Result<_>>()?,
        ..Held::default()
    })
}
