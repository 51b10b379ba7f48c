//! A process that asks, seen through the `/proc` of the world outside.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::{Errno, Result};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::sys::most_descriptors;

/// `PIDFD_THREAD` of `linux/pidfd.h`: any thread, not only the first (Linux 6.9).
pub(super) const THREAD: u32 = OFlags::EXCL.bits();

/// What is asked of a file's state, by whichever way it is reached.
pub(super) const STATE: StatxFlags = StatxFlags::BASIC_STATS;

/// The calls by which a process makes another, and may wait for that to be a program.
const MAKE_PROCESSES: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_clone,
    libc::SYS_clone3,
];

/// What is said to a caller of an error that is none of its own: that this process holds all that it can for others.
pub(super) fn later(error: Errno) -> Errno {
    match error {
        Errno::MFILE | Errno::NFILE => Errno::AGAIN,
        error => error,
    }
}

/// Reads processes of the session by their ids outside.
#[derive(Debug)]
pub(super) struct Processes(OwnedFd);

impl Processes {
    /// Takes a descriptor of the caller's `/proc`.
    pub(super) fn new(proc: OwnedFd) -> Self {
        Self(proc)
    }

    /// What a link of a process points to, as text: `exe`, `cwd`.
    pub(super) fn link(&self, process: Pid, name: &str) -> Option<String> {
        let path = format!("{}/{name}", process.as_raw_nonzero());
        let target = fs::readlinkat(&self.0, path, Vec::new()).ok()?;
        Some(String::from_utf8_lossy(target.as_bytes()).into_owned())
    }

    /// Opens what a link of a process points to: `root`, `cwd`, `fd/3`.
    pub(super) fn follow(&self, process: Pid, name: &str, flags: OFlags) -> Result<OwnedFd> {
        let path = format!("{}/{name}", process.as_raw_nonzero());
        fs::openat(&self.0, path, careful(flags), Mode::empty())
    }

    /// Opens what a descriptor of a process leads to.
    pub(super) fn follow_descriptor(
        &self,
        process: Pid,
        number: i32,
        flags: OFlags,
    ) -> Result<OwnedFd> {
        let opened = self.follow(process, &format!("fd/{number}"), flags);
        // What is deleted has its link still: only a number that stands for nothing has none.
        opened.map_err(|error| match error {
            Errno::NOENT => Errno::BADF,
            other => other,
        })
    }

    /// Takes a descriptor of a thread's, by its number.
    pub(super) fn descriptor(&self, thread: Pid, number: i32) -> Result<OwnedFd> {
        if number < 0 {
            return Err(Errno::BADF);
        }
        let any_thread = PidfdFlags::from_bits_retain(THREAD);
        let handle = pidfd_open(thread, any_thread).or_else(|error| {
            if error != Errno::INVAL {
                return Err(later(error));
            }
            // An older kernel has handles of processes only, whose threads share their descriptors.
            let first = self
                .status(thread, "Tgid:")
                .and_then(|number| number.parse().ok());
            let first = first.and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
            pidfd_open(first, PidfdFlags::empty())
        })?;
        pidfd_getfd(handle, number, PidfdGetfdFlags::empty()).map_err(later)
    }

    /// Whether a signal waits for a thread that it neither blocks nor ignores.
    pub(super) fn has_signal(&self, thread: Pid) -> bool {
        let set = |name| {
            let text = self.status(thread, name)?;
            u64::from_str_radix(&text, 16).ok()
        };
        let pending = set("SigPnd:").unwrap_or(0) | set("ShdPnd:").unwrap_or(0);
        let held = set("SigBlk:").unwrap_or(0) | set("SigIgn:").unwrap_or(0);
        pending & !held != 0
    }

    /// Whether a process was stopped by a signal, and not by a tracer. One that waits for its child to be a program is
    /// stopped no earlier than that child is one, so it counts as stopped where the child is (vfork(2)).
    pub(super) fn is_stopped(&self, process: Pid) -> bool {
        let state = |process| {
            let state = self.status(process, "State:")?;
            state.chars().next()
        };
        match state(process) {
            Some('T') => true,
            Some('D') if self.makes_a_process(process) => {
                let children = self.children(process);
                children.into_iter().any(|child| state(child) == Some('T'))
            }
            Some(_) | None => false,
        }
    }

    /// Whether the call that a process waits in makes another (proc_pid_syscall(5)).
    fn makes_a_process(&self, process: Pid) -> bool {
        let call = self.text(process, "syscall").unwrap_or_default();
        let number = call
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok());
        number.is_some_and(|number: libc::c_long| MAKE_PROCESSES.contains(&number))
    }

    /// The children of a process's first thread; none where the kernel does not tell (proc_tid_children(5)).
    fn children(&self, process: Pid) -> Vec<Pid> {
        let path = format!("task/{}/children", process.as_raw_nonzero());
        let numbers = self.text(process, &path).unwrap_or_default();
        let numbers = numbers.split_ascii_whitespace();
        numbers
            .filter_map(|number| Pid::from_raw(number.parse().ok()?))
            .collect()
    }

    /// Whether a thread of ours traces it.
    pub(super) fn is_traced(&self, process: Pid) -> bool {
        self.status(process, "TracerPid:")
            .is_some_and(|tracer| tracer != "0")
    }

    /// The mask that is taken from the modes of what a process makes (umask(2)).
    pub(super) fn umask(&self, process: Pid) -> Option<u32> {
        u32::from_str_radix(&self.status(process, "Umask:")?, 8).ok()
    }

    /// Whether a number is left for one more descriptor of a process (getrlimit(2), `RLIMIT_NOFILE`). Where the kernel
    /// does not count them (before Linux 6.2) there is.
    pub(super) fn has_room(&self, process: Pid) -> Result<bool> {
        let number = process.as_raw_nonzero();
        let held = format!("{number}/fd");
        let known = fs::statx(&self.0, &held, AtFlags::empty(), StatxFlags::SIZE)?;
        let most = most_descriptors(process)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::PERM))?;
        if known.stx_size < most {
            return Ok(true);
        }
        // Some may be above it, since it may have been lowered.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = fs::openat(&self.0, held, flags, Mode::empty())?;
        let mut below = 0;
        for entry in fs::Dir::read_from(opened)? {
            let name = entry?.file_name().to_string_lossy().parse::<u64>();
            below += u64::from(name.is_ok_and(|number| number < most));
        }
        Ok(below < most)
    }

    /// The session of a process, or of this one, and the device of its terminal (proc_pid_stat(5)).
    pub(super) fn terminal(&self, process: Option<Pid>) -> Option<(i32, u64)> {
        let place = match process {
            Some(process) => format!("{}/stat", process.as_raw_nonzero()),
            None => "self/stat".to_owned(),
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = fs::openat(&self.0, place, flags, Mode::empty()).ok()?;
        let mut bytes = [0; 1024];
        let length = rustix::io::read(&file, &mut bytes).ok()?;
        let text = String::from_utf8_lossy(bytes.get(..length)?);
        // The name before it may hold anything, parentheses too.
        let (_, rest) = text.rsplit_once(')')?;
        let mut numbers = rest.split_ascii_whitespace().skip(3);
        let session = numbers.next()?.parse().ok()?;
        let terminal = numbers.next()?.parse().ok()?;
        Some((session, terminal))
    }

    /// Opens anew what is held, with other flags.
    pub(super) fn reopen(&self, file: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
        use std::os::fd::AsRawFd as _;
        let link = format!("self/fd/{}", file.as_raw_fd());
        fs::openat(&self.0, link, flags, Mode::empty())
    }

    /// The caller's `/proc` itself.
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub(super) fn try_clone(&self) -> std::io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// A number of a process's as its own namespace has it: the last of a line of its status.
    pub(super) fn inside(&self, process: Pid, name: &str) -> Option<String> {
        let numbers = self.status(process, name)?;
        numbers.split_ascii_whitespace().last().map(str::to_owned)
    }

    /// A line of `/proc/PID/status` (proc_pid_status(5)).
    pub(super) fn status(&self, process: Pid, name: &str) -> Option<String> {
        let text = self.text(process, "status")?;
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim().to_owned())
    }

    /// The beginning of what the kernel says of a process.
    fn text(&self, process: Pid, name: &str) -> Option<String> {
        let file = self.follow(process, name, OFlags::RDONLY).ok()?;
        let mut bytes = [0; 4096];
        let length = rustix::io::read(&file, &mut bytes).ok()?;
        // The name in it is the process's own choice, and may be no text.
        Some(String::from_utf8_lossy(bytes.get(..length)?).into_owned())
    }

    /// The path of an open file, as the kernel names it, byte by byte.
    pub(super) fn path_of_bytes(&self, file: BorrowedFd<'_>) -> Result<Vec<u8>> {
        use std::os::fd::AsRawFd as _;
        let link = format!("self/fd/{}", file.as_raw_fd());
        Ok(fs::readlinkat(&self.0, link, Vec::new())?.into_bytes())
    }

    /// The path of an open file, as the kernel names it.
    pub(super) fn path_of(&self, file: BorrowedFd<'_>) -> Result<String> {
        use std::os::fd::AsRawFd as _;
        let target = fs::readlinkat(&self.0, format!("self/fd/{}", file.as_raw_fd()), Vec::new())?;
        Ok(String::from_utf8_lossy(target.as_bytes()).into_owned())
    }
}

/// A path as a call names it: relative to a descriptor of the caller's, or to its directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Named {
    /// The descriptor, if one was given that counts.
    pub(super) at: Option<i32>,
    /// The path; empty where the descriptor itself is meant.
    pub(super) path: Vec<u8>,
}

impl Processes {
    /// Opens what `caller` names, with the caller's root and directory, for `flags`. Of magic links those
    /// to the caller's own image and descriptors are followed as the caller's; others are judged when the
    /// new image stands.
    pub(super) fn open_named(&self, caller: Pid, named: &Named, flags: OFlags) -> Result<OwnedFd> {
        if named.path.is_empty() {
            let number = named.at.ok_or(Errno::NOENT)?;
            return self.follow_descriptor(caller, number, flags);
        }
        if let Some(own) = own_link(&named.path) {
            return self.follow(caller, &own, flags & !OFlags::NOFOLLOW);
        }
        let base = match (named.path.first(), named.at) {
            // The caller's root is the session's, as this process's own is: nobody inside may change it.
            (Some(b'/'), _) => return open_below(fs::CWD, &named.path, flags),
            (_, Some(number)) => self.follow_descriptor(caller, number, OFlags::PATH)?,
            (_, None) => self.follow(caller, "cwd", OFlags::PATH)?,
        };
        open_below(base.as_fd(), &named.path, flags)
    }

    /// The state of the file behind a link of a process: `exe`.
    pub(super) fn state(&self, process: Pid, name: &str) -> Result<Statx> {
        let path = format!("{}/{name}", process.as_raw_nonzero());
        fs::statx(&self.0, path, AtFlags::empty(), STATE)
    }
}

/// A path that leads to the caller's own image or one of its descriptors, relative to its `/proc`.
fn own_link(path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let own = ["/proc/self/", "/proc/thread-self/"]
        .iter()
        .find_map(|start| path.strip_prefix(start));
    match (own, path.strip_prefix("/dev/fd/")) {
        (Some("exe"), _) => Some("exe".to_owned()),
        (Some(own), _) if own.strip_prefix("fd/").is_some_and(is_number) => Some(own.to_owned()),
        (_, Some(number)) if is_number(number) => Some(format!("fd/{number}")),
        (Some(_) | None, _) => None,
    }
}

fn open_below(base: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    // A link to the top means the same here as to the caller; only magic links would not.
    fs::openat2(
        base,
        path,
        careful(flags),
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    )
}

/// Flags that never wait, for a FIFO above all, whatever it is that a caller names.
pub(super) fn careful(flags: OFlags) -> OFlags {
    // openat2(2) takes no further flags along with O_PATH, which opens nothing that could wait.
    let careful = match flags.contains(OFlags::PATH) {
        true => OFlags::CLOEXEC,
        false => OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK,
    };
    flags | careful
}

#[cfg(test)]
mod tests {
    use super::own_link;

    #[test]
    fn only_the_callers_own_links_are_translated() {
        for (path, own) in [
            ("/proc/self/exe", Some("exe")),
            ("/proc/self/fd/3", Some("fd/3")),
            ("/dev/fd/12", Some("fd/12")),
            ("/proc/self/fd/3/x", None),
            ("/proc/self/fd/", None),
            ("/proc/self/cwd/x", None),
            ("/proc/7/exe", None),
            ("/dev/fd/../x", None),
        ] {
            assert_eq!(own_link(path.as_bytes()).as_deref(), own, "{path}");
        }
    }
}
