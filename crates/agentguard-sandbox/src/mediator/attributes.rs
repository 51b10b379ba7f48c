//! Modes, owners and times, where no mount holds those outside: Landlock knows nothing of them, so that the
//! mediator changes them for the caller, and only where the caller may write.
//!
//! What is to be changed is pinned first, and what is changed is what was pinned: a path that is moved
//! meanwhile leads nowhere else. The arguments are read once.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::caller::{Named, Processes};
use super::exec::Worker;
use super::resolve::Resolver;
use crate::plan::Plan;
use crate::sys::{Notification, read_memory};

/// The kernel takes no longer path, its end included (`PATH_MAX`).
const LONGEST: usize = 4096;
const PAGE: u64 = 4096;

/// Where the agent may write, by the paths that the kernel names.
#[derive(Debug)]
pub(super) struct Trees(Vec<PathBuf>);

/// What a call is to change, and how.
struct Asked {
    target: Target,
    change: Change,
}

enum Target {
    /// What a path leads to.
    Named(Named, Links),
    /// What a descriptor holds; one that is a mere place (`O_PATH`) only where that is asked for.
    Held { number: i32, may_be_place: bool },
}

#[derive(Clone, Copy)]
enum Links {
    Follow,
    Keep,
}

enum Change {
    Mode(u32),
    Owner(u32, u32),
    Times(Timestamps),
}

impl Trees {
    /// Where the plan's agent may write.
    pub(super) fn of(plan: &Plan, processes: &Processes) -> Self {
        let writable = plan.confinement.trees().into_iter();
        let writable = writable.filter(|tree| tree.access == agentguard_core::Access::Write);
        let paths = writable
            .map(|tree| tree.path)
            .chain([plan.temporary.clone()]);
        let real = paths.filter_map(|path| {
            let opened = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
            processes.path_of(opened.as_fd()).ok().map(PathBuf::from)
        });
        Self(real.collect())
    }

    /// Whether a file is the agent's to change: it lies where the agent may write, or nowhere.
    fn hold(&self, file: &OwnedFd, processes: &Processes) -> Result<bool, Errno> {
        let stat = fs::fstat(file)?;
        let lies_nowhere = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => stat.st_nlink == 0,
            FileType::Fifo | FileType::Socket => !processes.path_of(file.as_fd())?.starts_with('/'),
            FileType::Directory
            | FileType::Symlink
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => false,
        };
        let path = PathBuf::from(processes.path_of(file.as_fd())?);
        Ok(lies_nowhere || self.0.iter().any(|tree| path.starts_with(tree)))
    }
}

impl Worker<'_> {
    /// Answers a call that changes modes, owners or times.
    pub(super) fn answer_attributes(&self, notification: &Notification) {
        let shared = self.shared;
        match self.change(notification) {
            Ok(Some(())) => shared.listener.succeed(notification),
            Ok(None) => {} // it does not wait any more
            Err(errno) => shared.listener.refuse(notification, errno.raw_os_error()),
        }
    }

    fn change(&self, notification: &Notification) -> Result<Option<()>, Errno> {
        let shared = self.shared;
        let asked = Asked::of(notification)?;
        let file = asked.target.pin(&shared.processes, notification)?;
        if !shared.listener.still_waits(notification) {
            return Ok(None);
        }
        let trees = shared.writable.as_ref().ok_or(Errno::PERM)?;
        if !trees.hold(&file, &shared.processes)? {
            return Err(Errno::PERM);
        }
        asked.change.perform(&file).map(Some)
    }
}

impl Target {
    fn pin(&self, processes: &Processes, notification: &Notification) -> Result<OwnedFd, Errno> {
        let caller = notification.thread;
        match self {
            Self::Named(named, links) => {
                let follow = matches!(links, Links::Follow);
                Resolver::new(processes, caller).file(named, follow)
            }
            Self::Held {
                number: libc::AT_FDCWD,
                may_be_place: true,
            } => processes.follow(caller, "cwd", OFlags::PATH),
            Self::Held {
                number,
                may_be_place,
            } => {
                let held = processes.descriptor(caller, *number)?;
                let is_place = fs::fcntl_getfl(&held)?.contains(OFlags::PATH);
                match is_place && !may_be_place {
                    true => Err(Errno::BADF),
                    false => Ok(held),
                }
            }
        }
    }
}

impl Change {
    fn perform(&self, file: &OwnedFd) -> Result<(), Errno> {
        match *self {
            Self::Mode(mode) => {
                let link = format!("/proc/self/fd/{}", file.as_raw_fd());
                fs::chmodat(
                    CWD,
                    link,
                    Mode::from_raw_mode(mode & 0o7777),
                    AtFlags::empty(),
                )
            }
            Self::Owner(user, group) => {
                let user = (user != u32::MAX).then(|| Uid::from_raw(user));
                let group = (group != u32::MAX).then(|| Gid::from_raw(group));
                fs::chownat(file, "", user, group, AtFlags::EMPTY_PATH)
            }
            Self::Times(ref times) => fs::utimensat(file, "", times, AtFlags::EMPTY_PATH),
        }
    }
}

impl Asked {
    /// Reads a call. The kernel takes descriptors, modes, owners and flags as 32-bit numbers.
    fn of(notification: &Notification) -> Result<Self, Errno> {
        let whole = notification.arguments;
        let [a, b, c, d, e, _] = whole.map(|register| {
            u32::try_from(register & 0xffff_ffff).unwrap_or(0) // no more is left of it
        });
        let [first, second, third, ..] = whole;
        let at = |flags| Target::read(notification, a.cast_signed(), second, flags);
        #[cfg(target_arch = "x86_64")]
        let plain = |flags| Target::read(notification, libc::AT_FDCWD, first, flags);
        #[cfg(not(target_arch = "x86_64"))]
        let _ = first;
        let held = Target::Held {
            number: a.cast_signed(),
            may_be_place: false,
        };
        let (target, change) = match notification.number {
            libc::SYS_fchmod => (held, Change::Mode(b)),
            libc::SYS_fchmodat => (at(0)?, Change::Mode(c)),
            libc::SYS_fchmodat2 => (at(d)?, Change::Mode(c)),
            libc::SYS_fchown => (held, Change::Owner(b, c)),
            libc::SYS_fchownat => (at(e)?, Change::Owner(c, d)),
            libc::SYS_utimensat => {
                let times = times(notification, third, 1)?;
                (if second == 0 { held } else { at(d)? }, times)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => (plain(0)?, Change::Mode(b)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown => (plain(0)?, Change::Owner(b, c)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown => {
                let keep = libc::AT_SYMLINK_NOFOLLOW.cast_unsigned();
                (plain(keep)?, Change::Owner(b, c))
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utimes => (plain(0)?, times(notification, second, 1000)?),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_futimesat => {
                let times = times(notification, third, 1000)?;
                (if second == 0 { held } else { at(0)? }, times)
            }
            _ => return Err(Errno::NOSYS),
        };
        Ok(Self { target, change })
    }
}

impl Target {
    fn read(
        notification: &Notification,
        number: i32,
        address: u64,
        flags: u32,
    ) -> Result<Self, Errno> {
        let flags = AtFlags::from_bits_retain(flags);
        if !(AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH).contains(flags) {
            return Err(Errno::INVAL);
        }
        let path = read_path(notification, address)?;
        if path.is_empty() && flags.contains(AtFlags::EMPTY_PATH) {
            return Ok(Self::Held {
                number,
                may_be_place: true,
            });
        }
        let links = match flags.contains(AtFlags::SYMLINK_NOFOLLOW) {
            true => Links::Keep,
            false => Links::Follow,
        };
        let at = (number != libc::AT_FDCWD).then_some(number);
        Ok(Self::Named(Named { at, path }, links))
    }
}

/// Two times, of which each second part counts so many nanoseconds. None is now.
fn times(notification: &Notification, address: u64, unit: i64) -> Result<Change, Errno> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: libc::UTIME_NOW,
    };
    if address == 0 {
        return Ok(Change::Times(Timestamps {
            last_access: now,
            last_modification: now,
        }));
    }
    let mut bytes = [0; 32];
    match read_memory(notification.thread, address, &mut bytes) {
        Ok(32) => {}
        Ok(_) | Err(_) => return Err(Errno::FAULT),
    }
    let (numbers, _) = bytes.as_chunks::<8>();
    let numbers: Vec<_> = numbers
        .iter()
        .map(|bytes| i64::from_ne_bytes(*bytes))
        .collect();
    let &[access, access_part, change, change_part] = numbers.as_slice() else {
        return Err(Errno::FAULT);
    };
    let time = |seconds, part: i64| {
        if unit != 1 && !(0..1_000_000).contains(&part) {
            return Err(Errno::INVAL);
        }
        Ok(Timespec {
            tv_sec: seconds,
            tv_nsec: part.saturating_mul(unit),
        })
    };
    Ok(Change::Times(Timestamps {
        last_access: time(access, access_part)?,
        last_modification: time(change, change_part)?,
    }))
}

/// Reads a path of the caller's, no further than its end: what follows may not be there.
fn read_path(notification: &Notification, address: u64) -> Result<Vec<u8>, Errno> {
    let mut path = Vec::new();
    while path.len() < LONGEST {
        let at = address.wrapping_add(u64::try_from(path.len()).unwrap_or(0));
        let left = usize::try_from(PAGE - at % PAGE).unwrap_or(1);
        let mut piece = vec![0; left.min(256)];
        let read = read_memory(notification.thread, at, &mut piece).map_err(|_| Errno::FAULT)?;
        let piece = piece.get(..read).filter(|piece| !piece.is_empty());
        let piece = piece.ok_or(Errno::FAULT)?;
        match piece.iter().position(|byte| *byte == 0) {
            Some(end) => {
                path.extend_from_slice(piece.get(..end).unwrap_or_default());
                return Ok(path);
            }
            None => path.extend_from_slice(piece),
        }
    }
    Err(Errno::NAMETOOLONG)
}
