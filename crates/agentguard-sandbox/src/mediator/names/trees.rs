//! Nobody moves a directory while somebody else makes a name in it.
//!
//! A rename moves nothing past its mount (rename(2), EXDEV), so that each file system has a tree of its own: one
//! that does not answer keeps whoever waits for it, and nobody else. What is mounted somewhere in the workspace
//! moves with the directory above it, and belongs to the workspace's tree too.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use agentguard_core::Level;
use rustix::fs;
use rustix::io::Result;

use crate::mediator::caller::Processes;
use crate::mediator::resolve::device;
use crate::plan::Plan;

/// What a session has for itself in memory, each a file system of its own.
const OWN: [&str; 2] = ["/tmp", "/dev/shm"];

/// Held alone by whoever moves a directory, and together by whoever makes a name in one.
pub(super) type Tree = Arc<RwLock<()>>;

/// The trees of a session, by their devices.
#[derive(Debug)]
pub(super) struct Trees {
    workspace: Vec<u8>,
    /// Unknown where it was not to be looked at: then nothing could be opened there either.
    of_workspace: Option<u64>,
    /// Of the session's own directories in memory, which are in no other.
    elsewhere: Vec<u64>,
    all: Mutex<HashMap<u64, Tree>>,
}

impl Trees {
    pub(super) fn of(plan: &Plan) -> Self {
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
        let trees = devices
            .into_iter()
            .map(|device| Arc::clone(all.entry(device).or_default()));
        Ok(trees.collect())
    }
}

/// Trees that are shared, or had alone, until it is dropped.
#[derive(Default)]
pub(super) struct Held<'t> {
    _together: Vec<RwLockReadGuard<'t, ()>>,
    _alone: Vec<RwLockWriteGuard<'t, ()>>,
}

/// Shares them, or has them for itself.
pub(super) fn hold(trees: &[Tree], is_alone: bool) -> Held<'_> {
    match is_alone {
        true => Held {
            _alone: have(trees),
            ..Held::default()
        },
        false => Held {
            _together: share(trees),
            ..Held::default()
        },
    }
}

/// Shares them with others that make names.
pub(super) fn share(trees: &[Tree]) -> Vec<RwLockReadGuard<'_, ()>> {
    let shared = trees.iter().map(|tree| tree.read());
    shared
        .map(|tree| tree.unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// Has them for itself.
pub(super) fn have(trees: &[Tree]) -> Vec<RwLockWriteGuard<'_, ()>> {
    let alone = trees.iter().map(|tree| tree.write());
    alone
        .map(|tree| tree.unwrap_or_else(PoisonError::into_inner))
        .collect()
}
