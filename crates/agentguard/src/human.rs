//! Who asked, as far as this process can find out.

use std::os::fd::AsFd as _;

use agentguard_core::{Human, Trigger};
use agentguard_credentials::{Terminal, detect};

use crate::Error;

/// Finds out who triggered this, from the environment, the terminal and a flag.
pub(crate) fn of_process(by: Option<&str>) -> Result<(Human, Trigger), Error> {
    let environment = |name: &str| std::env::var(name).ok();
    Ok(detect(&environment, &terminal(), by)?)
}

fn terminal() -> Terminal {
    let uid = rustix::process::getuid().as_raw();
    let stdin = std::io::stdin();
    let tty = rustix::termios::ttyname(stdin.as_fd(), Vec::new());
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    Terminal {
        tty: tty.ok().map(|name| name.to_string_lossy().into_owned()),
        uid,
        login: login_of(uid),
        host,
    }
}

/// The login name of a user, as the system's own list has it.
pub(crate) fn login_of(uid: u32) -> Option<String> {
    let list = std::fs::read_to_string("/etc/passwd").ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
