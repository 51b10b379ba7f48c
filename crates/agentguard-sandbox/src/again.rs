//! This program, started again: as a mediator or a prober, without secrets and without threads.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::error::Error;
use crate::sys;

/// Starts this program under `name`, and hands it `control` as its only line.
pub(crate) fn start(name: &str, control: OwnedFd) -> Result<Child, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it is this very program, and no action of an agent"
    )]
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(name)
        .arg(control.as_raw_fd().to_string())
        .env_clear();
    sys::pass_descriptor(&mut command, control.as_fd());
    command
        .spawn()
        .map_err(Error::io("start this program again"))
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
