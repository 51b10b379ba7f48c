//! Filters, and the notifications of the one that asks (seccomp_unotify(2)).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use rustix::process::Pid;
use seccompiler::sock_filter;

use super::checked;
use super::handed::Handed;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` of `linux/seccomp.h`: the kernel switches to the other side at once.
const SYNC_WAKE_UP: libc::c_ulong = 1;
/// `SECCOMP_ADDFD_FLAG_SEND`, as wide as the kernel takes it.
const SEND: u32 = 1 << 1;

/// Adds a filter that needs no listener. `no_new_privs` must be set.
pub(crate) fn install_filter(program: &[sock_filter]) -> io::Result<()> {
    install(program, 0)?;
    Ok(())
}

/// Adds the filter that asks, and returns where its questions arrive. A caller that is being asked
/// about can then only be interrupted by a fatal signal once its question was read.
pub(crate) fn install_listener(program: &[sock_filter]) -> io::Result<OwnedFd> {
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let descriptor = i32::try_from(install(program, flags)?).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for this process, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn install(program: &[sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `program` points to `length` instructions that outlive the call; seccompiler's
    // `sock_filter` has the layout of the kernel's (linux/filter.h), and the kernel only reads it.
    checked(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(&program),
        )
    })
}

/// The version of Landlock that the kernel has (landlock_create_ruleset(2)).
pub(crate) fn landlock_version() -> io::Result<i32> {
    const VERSION: libc::c_long = 1; // LANDLOCK_CREATE_RULESET_VERSION, linux/landlock.h
    // SAFETY: asked for the version the kernel reads no memory: attributes are null, of length 0.
    let version = checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            VERSION,
        )
    })?;
    i32::try_from(version).map_err(io::Error::other)
}

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    /// The kernel's name for this question.
    pub(crate) id: u64,
    /// The thread that asks.
    pub(crate) thread: Pid,
    /// Which system call.
    pub(crate) number: libc::c_long,
    /// Its arguments, as registers.
    pub(crate) arguments: [u64; 6],
}

/// Where the questions of a filter arrive.
#[derive(Debug)]
pub(crate) struct Listener {
    questions: OwnedFd,
    handed: Arc<Handed>,
}

impl Listener {
    pub(crate) fn new(questions: OwnedFd) -> Self {
        Self {
            questions,
            handed: Arc::default(),
        }
    }

    /// Asks the kernel to hand over the processor along with a question or an answer. Old kernels
    /// cannot; it is only slower then.
    pub(crate) fn wake_synchronously(&self) {
        // SAFETY: this request takes its flags as an integer and reads no memory.
        let _ = unsafe {
            libc::ioctl(
                self.questions.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                SYNC_WAKE_UP,
            )
        };
    }

    /// Waits for the next question.
    pub(crate) fn receive(&self) -> io::Result<Notification> {
        // SAFETY: `seccomp_notif` is plain old data; the kernel wants it zeroed.
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the request writes one `seccomp_notif`, which is what the pointer points to.
        let result = unsafe {
            libc::ioctl(
                self.questions.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV,
                std::ptr::from_mut(&mut raw),
            )
        };
        checked(libc::c_long::from(result))?;
        let thread = i32::try_from(raw.pid).ok().and_then(Pid::from_raw);
        let thread =
            thread.ok_or_else(|| io::Error::other("the caller is in no visible pid namespace"))?;
        Ok(Notification {
            id: raw.id,
            thread,
            number: libc::c_long::from(raw.data.nr),
            arguments: raw.data.args,
        })
    }

    /// Whether, within some nanoseconds, no process is left that could ask.
    pub(crate) fn is_deserted(&self, nanoseconds: i64) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: nanoseconds,
        };
        let mut polled = [PollFd::new(&self.questions, PollFlags::empty())];
        matches!(poll(&mut polled, Some(&wait)), Ok(1..))
    }

    /// Whether the caller still waits, so that what was read of it was read of *it*.
    pub(crate) fn still_waits(&self, notification: &Notification) -> bool {
        // SAFETY: the request reads one `u64`, which is what the pointer points to.
        let result = unsafe {
            libc::ioctl(
                self.questions.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
                std::ptr::from_ref(&notification.id),
            )
        };
        result == 0
    }

    /// Makes the call fail with `errno`.
    pub(crate) fn refuse(&self, notification: &Notification, errno: i32) {
        self.respond(notification, (0, -errno), 0);
    }

    /// Makes the call return a descriptor of the caller's, for the file behind `file`. Nobody here holds that when the
    /// caller goes on: it would stay locked, take its room on the disk, and be busy for whoever starts it.
    pub(crate) fn hand_over(
        &self,
        notification: &Notification,
        file: OwnedFd,
        close_on_exec: bool,
    ) {
        self.wait_for_handed();
        let result = self.add(notification, (&file, close_on_exec), 0);
        drop(file);
        match result {
            Ok(number) => self.respond(notification, (number, 0), 0),
            Err(error) => self.refuse_to_hold(notification, &error),
        }
    }

    /// The same for a file that was just made, of which there are many: the kernel gives it and ends the call in one
    /// step, and this process may hold it for a moment longer.
    pub(crate) fn hand_over_new(
        &self,
        notification: &Notification,
        file: OwnedFd,
        close_on_exec: bool,
    ) {
        self.handed.hold(notification.id);
        let result = self.add(notification, (&file, close_on_exec), SEND);
        drop(file);
        self.handed.let_go(notification.id);
        if let Err(error) = result {
            self.refuse_to_hold(notification, &error);
        }
    }

    /// Gives the caller two descriptors, and returns their numbers; the call goes on waiting. Where it may hold one of them
    /// only, it has that, and is not told.
    pub(crate) fn hand_over_both(
        &self,
        notification: &Notification,
        (first, second): (OwnedFd, OwnedFd),
        close_on_exec: bool,
    ) -> io::Result<[i32; 2]> {
        let first = self.add(notification, (&first, close_on_exec), 0)?;
        let second = self.add(notification, (&second, close_on_exec), 0)?;
        let number = |number: i64| i32::try_from(number).map_err(io::Error::other);
        Ok([number(first)?, number(second)?])
    }

    /// Waits until nobody here holds what was handed over so far, for a second at most.
    pub(crate) fn wait_for_handed(&self) {
        self.handed.wait();
    }

    /// Gives the caller a descriptor, and returns its number.
    fn add(
        &self,
        notification: &Notification,
        (file, close_on_exec): (&OwnedFd, bool),
        flags: u32,
    ) -> io::Result<i64> {
        let addition = libc::seccomp_notif_addfd {
            id: notification.id,
            flags,
            srcfd: file.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: match close_on_exec {
                true => libc::O_CLOEXEC.cast_unsigned(),
                false => 0,
            },
        };
        // SAFETY: the request reads one `seccomp_notif_addfd`, which is what the pointer points to.
        let result = unsafe {
            libc::ioctl(
                self.questions.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ADDFD,
                std::ptr::from_ref(&addition),
            )
        };
        checked(libc::c_long::from(result))
    }

    /// It may hold no more of them; or it is gone, and so is what it asked.
    fn refuse_to_hold(&self, notification: &Notification, error: &io::Error) {
        self.refuse(notification, error.raw_os_error().unwrap_or(libc::EMFILE));
    }

    /// Another descriptor for the same questions.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            questions: self.questions.try_clone()?,
            handed: Arc::clone(&self.handed),
        })
    }

    /// Makes the call succeed with 0: it was done for the caller.
    pub(crate) fn succeed(&self, notification: &Notification) {
        self.respond(notification, (0, 0), 0);
    }

    /// Makes the call return how much of it was done for the caller.
    pub(crate) fn succeed_with(&self, notification: &Notification, done: usize) {
        let done = i64::try_from(done).unwrap_or(i64::MAX);
        self.respond(notification, (done, 0), 0);
    }

    /// Lets the kernel go on with the call, which then reads its arguments anew.
    pub(crate) fn resume(&self, notification: &Notification) {
        let flag = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1);
        self.respond(notification, (0, 0), flag);
    }

    fn respond(&self, notification: &Notification, (val, error): (i64, i32), flags: u32) {
        let response = libc::seccomp_notif_resp {
            id: notification.id,
            val,
            error,
            flags,
        };
        // SAFETY: the request reads one `seccomp_notif_resp`, which is what the pointer points to.
        // An error means that the caller is gone, and so is what it asked.
        let _ = unsafe {
            libc::ioctl(
                self.questions.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND,
                std::ptr::from_ref(&response),
            )
        };
    }
}
