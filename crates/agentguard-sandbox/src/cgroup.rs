//! A control group for one session, so that bounds hold for all of its processes together.
//!
//! It is made where this process may make one: in its own group, or in one above it that already hands
//! `memory` and `pids` down. Only the agent's processes go into it; guard and mediator stay outside, and
//! see what became of them. See `Documentation/admin-guide/cgroup-v2.rst` of the kernel.

use std::fs::{self, DirEntry, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentguard_core::Limits;
use rustix::fs::{Access, FlockOperation, access, flock};

use crate::error::{Failure, Step};

/// What every group of ours begins with.
const PREFIX: &str = "agentguard-";
/// What a group has to be able to bound.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// How often a group is tried to be removed, while the kernel is busy with its last processes.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// A session's group, removed with this, and whatever is left in it ended.
#[derive(Debug)]
pub struct SessionGroup {
    directory: PathBuf,
    /// Locked for as long as it lives, so that nobody takes it for a left one.
    _lock: OwnedFd,
    /// Whoever writes `0` to it enters. The kernel asks who opened it, not who writes.
    entrance: OwnedFd,
}

/// What of its bounds a session came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GroupEvents {
    /// Processes that the kernel ended for want of memory.
    pub ended: u64,
    /// Processes and threads that could not be made.
    pub unmade: u64,
}

impl SessionGroup {
    /// Makes a group for the session called `name`, with these bounds.
    ///
    /// # Errors
    ///
    /// Returns why there is none to be had here.
    pub fn make(name: &str, limits: &Limits) -> Result<Self, Failure> {
        let place = Place::find()?;
        place.hand_down()?;
        place.sweep();
        let directory = place.directory.join(format!("{PREFIX}{name}"));
        fs::create_dir(&directory).step("make a cgroup")?;
        let made = Self::bound(directory.clone(), &place, limits);
        if made.is_err() {
            let _ = fs::remove_dir(&directory);
        }
        made
    }

    fn bound(directory: PathBuf, place: &Place, limits: &Limits) -> Result<Self, Failure> {
        let lock: OwnedFd = fs::File::open(&directory).step("open a cgroup")?.into();
        flock(&lock, FlockOperation::LockShared).step("lock a cgroup")?;
        let set = |file: &str, bound: Option<u64>| match bound {
            Some(bound) => fs::write(directory.join(file), bound.to_string())
                .step(format!("bound a cgroup by `{file}`")),
            None => Ok(()),
        };
        let processes = least(Some(limits.processes), place.above.processes);
        set("pids.max", processes)?;
        set("memory.max", least(limits.memory_bytes, place.above.memory))?;
        if limits.memory_bytes.is_some() && directory.join("memory.swap.max").exists() {
            set("memory.swap.max", Some(0))?;
        }
        let entrance = OpenOptions::new()
            .write(true)
            .open(directory.join("cgroup.procs"))
            .step("open a cgroup")?;
        Ok(Self {
            directory,
            _lock: lock,
            entrance: entrance.into(),
        })
    }

    /// Whether a group could be made here. None is made.
    pub(crate) fn could_be_made() -> Result<(), Failure> {
        Place::find().map(|_| ())
    }

    pub(crate) fn entrance(&self) -> BorrowedFd<'_> {
        self.entrance.as_fd()
    }

    /// What of its bounds the session has come to.
    #[must_use]
    pub fn events(&self) -> GroupEvents {
        let count = |file: &str, name: &str| {
            let text = fs::read_to_string(self.directory.join(file)).unwrap_or_default();
            counted(&text, name)
        };
        GroupEvents {
            ended: count("memory.events", "oom_kill"),
            unmade: count("pids.events", "max"),
        }
    }
}

impl Drop for SessionGroup {
    fn drop(&mut self) {
        let _ = fs::write(self.directory.join("cgroup.kill"), "1");
        for _ in 0..TRIES {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(PAUSE);
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

/// Enters the group of a session by its entrance. Whoever the caller makes is in it too.
pub(crate) fn enter(entrance: BorrowedFd<'_>) -> Result<(), Failure> {
    let step = "enter the session's cgroup";
    match rustix::io::write(entrance, b"0") {
        Ok(_) => Ok(()),
        Err(error) => Err(error).step(step),
    }
}

/// Where groups can be made.
#[derive(Debug, Eq, PartialEq)]
struct Place {
    directory: PathBuf,
    /// Bounds of the groups below it that this process is in, and that ours would get round.
    above: Above,
    /// Whether its controllers have to be handed down first.
    is_to_hand_down: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Above {
    memory: Option<u64>,
    processes: Option<u64>,
}

impl Place {
    fn find() -> Result<Self, Failure> {
        const STEP: &str = "find a cgroup to make others in";
        let mounts = fs::read_to_string("/proc/self/mountinfo").step(STEP)?;
        let (root, top) =
            mount(&mounts).ok_or_else(|| Failure::new(STEP, "no cgroup v2 is mounted"))?;
        let own = fs::read_to_string("/proc/self/cgroup").step(STEP)?;
        let own = own
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .and_then(|own| Path::new(own).strip_prefix(root).ok())
            .ok_or_else(|| Failure::new(STEP, "this process is in no cgroup v2 that is mounted"))?;
        let top = Path::new(top);
        Self::from(top, &top.join(own))
    }

    /// Looks from `own` upwards to `top`.
    fn from(top: &Path, own: &Path) -> Result<Self, Failure> {
        let mut above = Above::default();
        let mut reason = None;
        for directory in own.ancestors().take_while(|one| one.starts_with(top)) {
            match is_usable(directory, directory == own) {
                Ok(is_to_hand_down) => {
                    return Ok(Self {
                        directory: directory.to_owned(),
                        above,
                        is_to_hand_down,
                    });
                }
                Err(failure) => reason = reason.or(Some(failure)),
            }
            above.memory = least(above.memory, bound(directory, "memory.max"));
            above.processes = least(above.processes, bound(directory, "pids.max"));
        }
        let none = || Failure::new("find a cgroup to make others in", "there is none");
        Err(reason.unwrap_or_else(none))
    }

    fn hand_down(&self) -> Result<(), Failure> {
        if !self.is_to_hand_down {
            return Ok(());
        }
        let file = self.directory.join("cgroup.subtree_control");
        fs::write(file, "+memory +pids").step("hand controllers down to a cgroup")
    }

    /// Removes what guards left that were killed. One in use is locked.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let is_ours = |entry: &DirEntry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with(PREFIX))
        };
        for entry in entries.flatten().filter(is_ours) {
            let Ok(opened) = fs::File::open(entry.path()) else {
                continue;
            };
            if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = fs::write(entry.path().join("cgroup.kill"), "1");
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Whether others can be made in this group; if so, whether it has to hand its controllers down first.
/// That can only be done where no process is, or in the first group of all.
fn is_usable(directory: &Path, is_own: bool) -> Result<bool, Failure> {
    let step = || format!("make a cgroup in `{}`", directory.display());
    for file in ["", "cgroup.procs"] {
        access(directory.join(file), Access::WRITE_OK).step(step())?;
    }
    let has_all = |file: &str| {
        let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        CONTROLLERS.iter().all(|one| words.contains(one))
    };
    if has_all("cgroup.subtree_control") {
        return Ok(false);
    }
    if !has_all("cgroup.controllers") {
        let reason = "its controllers `memory` and `pids` are not there";
        return Err(Failure::new(step(), reason));
    }
    let is_first = is_own && !directory.join("cgroup.type").exists();
    if !is_first {
        let reason = "it hands `memory` and `pids` down to none";
        return Err(Failure::new(step(), reason));
    }
    access(directory.join("cgroup.subtree_control"), Access::WRITE_OK).step(step())?;
    Ok(true)
}

/// Of the first cgroup v2 that is mounted: which part of it, and where.
fn mount(mounts: &str) -> Option<(&str, &str)> {
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let mut fields = line.split(' ').skip(3);
    Some((fields.next()?, fields.next()?))
}

fn bound(directory: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(directory.join(file)).ok()?;
    text.trim().parse().ok() // `max` is none
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A count of a file with a name and a number on each line.
fn counted(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
