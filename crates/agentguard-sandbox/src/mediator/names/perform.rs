//! The calls themselves, beneath a directory that is held, with the right of the caller and no more.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::io::{Errno, Result};
use rustix::process::Pid;

use crate::mediator::caller::Processes;
use crate::mediator::resolve::{Place, is_proc, os};
use crate::sys::{Listener, Notification};

/// Opens that wait for somebody, each in a thread of its own.
const MOST_ASIDE: usize = 256;
/// `/dev/tty`: whoever opens it gets its own terminal (tty(4)).
const OWN_TERMINAL: (u32, u32) = (5, 0);
/// Terminals of `/dev/pts` (pts(4)).
const TERMINALS: u32 = 136;

/// What `/proc` tells everybody of a process (proc_pid_stat(5) and the like), and `ps` and `top` read.
const TOLD: [&str; 8] = [
    "cgroup",
    "cmdline",
    "comm",
    "loginuid",
    "oom_score",
    "stat",
    "statm",
    "status",
];

/// A file that is there, to be opened.
#[derive(Debug)]
pub(super) struct Existing {
    file: OwnedFd,
    kind: FileType,
    device: (u32, u32),
}

impl AsFd for Existing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What came of opening a file that is there.
pub(super) enum Opened {
    /// It is open.
    Here(OwnedFd),
    /// Opening it waits for somebody: whoever reads a FIFO, or gives up a lease.
    Waits(Existing),
}

/// Makes a file and opens it, where nothing has its name.
pub(super) fn create(place: &Place, flags: OFlags, mode: u32) -> Result<OwnedFd> {
    let flags = flags | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    fs::openat(
        &place.parent,
        os(&place.name),
        flags,
        Mode::from_raw_mode(mode),
    )
}

impl Existing {
    /// Takes hold of what has a name, a link itself.
    pub(super) fn at(place: &Place) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::of(fs::openat(
            &place.parent,
            os(&place.name),
            flags,
            Mode::empty(),
        )?)
    }

    /// Takes what a process holds.
    pub(super) fn of(file: OwnedFd) -> Result<Self> {
        let stat = fs::fstat(&file)?;
        Ok(Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            device: (fs::major(stat.st_rdev), fs::minor(stat.st_rdev)),
            file,
        })
    }

    pub(super) fn is_link(&self) -> bool {
        self.kind == FileType::Symlink
    }

    /// Whether it is a file whose content a mount may have held, and none does.
    pub(super) fn is_unheld(&self) -> Result<bool> {
        if self.kind != FileType::RegularFile || fs::fstat(&self.file)?.st_nlink == 0 {
            return Ok(false);
        }
        let mount = fs::fstatvfs(&self.file)?;
        Ok(!mount.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// Whether it is what has this name now.
    pub(super) fn is_at(&self, place: &Place) -> Result<bool> {
        let own = fs::fstat(&self.file)?;
        let named = fs::statat(&place.parent, os(&place.name), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((own.st_dev, own.st_ino) == (named.st_dev, named.st_ino))
    }

    /// Whether it is of `/proc`, where what is opened depends on who opens it.
    pub(super) fn is_of_proc(&self) -> Result<bool> {
        is_proc(self.file.as_fd())
    }

    /// Opens it with the flags of the caller, and never waits.
    pub(super) fn open(self, processes: &Processes, caller: Pid, flags: OFlags) -> Result<Opened> {
        let reads = (flags & OFlags::ACCMODE).is_empty() && !flags.contains(OFlags::TRUNC);
        let makes = flags.contains(OFlags::CREATE) && !flags.contains(OFlags::PATH);
        if self.kind == FileType::Directory && (makes || !reads) {
            return Err(Errno::ISDIR);
        }
        // The mediator may read more of `/proc` than the caller.
        if self.is_of_proc()? && !(reads && self.is_for(processes, caller)?) {
            return Err(Errno::ACCESS);
        }
        if self.kind == FileType::CharacterDevice && self.device == OWN_TERMINAL {
            return own_terminal(processes, caller, flags).map(Opened::Here);
        }
        if self.kind == FileType::Fifo && !flags.intersects(OFlags::NONBLOCK | OFlags::RDWR) {
            return Ok(Opened::Waits(self));
        }
        if self.kind != FileType::RegularFile || flags.contains(OFlags::NONBLOCK) {
            return self.reopen(processes, flags).map(Opened::Here);
        }
        match self.reopen(processes, flags | OFlags::NONBLOCK) {
            Ok(file) => {
                fs::fcntl_setfl(&file, flags)?;
                Ok(Opened::Here(file))
            }
            Err(Errno::AGAIN) => Ok(Opened::Waits(self)),
            Err(error) => Err(error),
        }
    }

    /// Whether a file of `/proc` is of no process, of the caller's own, or tells of another what everybody is told.
    fn is_for(&self, processes: &Processes, caller: Pid) -> Result<bool> {
        let path = processes.path_of_bytes(self.file.as_fd())?;
        let path = String::from_utf8_lossy(&path);
        let mut names = path.split('/').skip(2); // before `proc`, and itself
        let process = names.next().unwrap_or_default();
        if !process.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(true);
        }
        let own = processes.inside(caller, "NStgid:").ok_or(Errno::SRCH)?;
        let mut told = names.skip_while(|name| *name == "task" || name.parse::<u32>().is_ok());
        let is_told = told.next().is_none_or(|name| TOLD.contains(&name));
        Ok(process == own || is_told)
    }

    fn reopen(&self, processes: &Processes, flags: OFlags) -> Result<OwnedFd> {
        let own = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        processes.reopen(
            self.file.as_fd(),
            (flags - own) | OFlags::CLOEXEC | OFlags::NOCTTY,
        )
    }

    /// Opens it in a thread of its own, which answers the call when that is done.
    pub(super) fn open_aside(
        self,
        processes: &Processes,
        listener: &Listener,
        notification: Notification,
        flags: OFlags,
    ) -> io::Result<()> {
        let aside = Aside::take().ok_or(io::Error::from_raw_os_error(libc::EAGAIN))?;
        let (processes, listener) = (processes.try_clone()?, listener.try_clone()?);
        let open = move || {
            match self.reopen(&processes, flags) {
                Ok(file) => {
                    listener.hand_over(&notification, file, flags.contains(OFlags::CLOEXEC))
                }
                Err(error) => listener.refuse(&notification, error.raw_os_error()),
            }
            drop(aside);
        };
        let thread = std::thread::Builder::new().name("aside".to_owned());
        thread.spawn(open).map(|_| ())
    }
}

/// One of the threads that may wait.
struct Aside;

static ASIDE: AtomicUsize = AtomicUsize::new(0);

impl Aside {
    fn take() -> Option<Self> {
        let more = |count| (count < MOST_ASIDE).then_some(count + 1);
        let taken = ASIDE.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.ok().map(|_| Self)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        ASIDE.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The caller's terminal: the one that this process has too, or one of the session's own.
fn own_terminal(processes: &Processes, caller: Pid, flags: OFlags) -> Result<OwnedFd> {
    let own = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let flags = (flags - own) | OFlags::CLOEXEC | OFlags::NOCTTY;
    let (session, terminal) = processes.terminal(Some(caller)).ok_or(Errno::NXIO)?;
    let own_session = processes.terminal(None).map(|(session, _)| session);
    if Some(session) == own_session {
        return fs::open("/dev/tty", flags, Mode::empty());
    }
    if fs::major(terminal) != TERMINALS {
        return Err(Errno::NXIO);
    }
    let path = format!("/dev/pts/{}", fs::minor(terminal));
    fs::open(path, flags, Mode::empty())
}

/// Makes a directory.
pub(super) fn make_directory(place: &Place, mode: u32) -> Result<()> {
    fs::mkdirat(&place.parent, os(&place.name), Mode::from_raw_mode(mode))
}

/// Makes a file that is no directory, without opening it.
pub(super) fn make_node(place: &Place, mode: u32, device: u64) -> Result<()> {
    // No kind at all means a regular file (mknod(2)).
    let kind = match mode & libc::S_IFMT {
        0 => FileType::RegularFile,
        kind => FileType::from_raw_mode(kind),
    };
    if kind == FileType::Unknown {
        return Err(Errno::INVAL);
    }
    let mode = Mode::from_raw_mode(mode & !libc::S_IFMT);
    // The kernel takes it as a 32-bit number.
    let device = device & 0xffff_ffff;
    fs::mknodat(&place.parent, os(&place.name), kind, mode, device)
}

/// Makes a symbolic link.
pub(super) fn make_symlink(target: &[u8], place: &Place) -> Result<()> {
    fs::symlinkat(os(target), &place.parent, os(&place.name))
}

/// Gives a file that is held another name.
pub(super) fn link_held(processes: &Processes, file: BorrowedFd<'_>, place: &Place) -> Result<()> {
    let held = format!("self/fd/{}", file.as_raw_fd());
    let flags = AtFlags::SYMLINK_FOLLOW;
    fs::linkat(
        processes.directory(),
        held,
        &place.parent,
        os(&place.name),
        flags,
    )
}

/// Takes a name away that is no directory's.
pub(super) fn unlink(place: &Place) -> Result<()> {
    fs::unlinkat(&place.parent, os(&place.name), AtFlags::empty())
}

/// Renames.
pub(super) fn rename(from: &Place, to: &Place, flags: u32) -> Result<()> {
    fs::renameat_with(
        &from.parent,
        os(&from.name),
        &to.parent,
        os(&to.name),
        fs::RenameFlags::from_bits_retain(flags),
    )
}
