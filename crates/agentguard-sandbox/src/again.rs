//! This program, started again: as a mediator or a prober, without secrets and without threads.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::error::Error;

/// Starts this program under `name`, and hands it `control` as its only line: as its standard input, since
/// whatever else a child is to inherit would cost a whole fork.
pub(crate) fn start(name: &str, control: OwnedFd) -> Result<Child, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it is this very program, and no action of an agent"
    )]
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(name)
        .env_clear()
        .stdin(control)
        .spawn()
        .map_err(Error::io("start this program again"))
}

/// Takes over the line that this program was started with. Its standard input is empty from here on.
pub(crate) fn take_line() -> rustix::io::Result<OwnedFd> {
    let line = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let nothing = rustix::fs::open("/dev/null", flags, Mode::empty())?;
    rustix::stdio::dup2_stdin(nothing)?;
    Ok(line)
}

/// Both ends of a line.
pub(crate) fn line() -> Result<(OwnedFd, OwnedFd), Error> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| Error::io("make a socket pair")(error.into()))
}
