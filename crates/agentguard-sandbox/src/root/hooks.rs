//! The directory in which git finds hooks that are the guard's.

use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags};

use super::{make_place, relative};
use crate::error::{Failure, Step as _};
use crate::plan::{HOOKS, Hooks};

/// What git starts in the place of hooks, in their directory, where it has their names too.
const SCRIPT: &str = ".all";

/// Writes a script and links its names to it. The root that holds them is read-only to the agent.
pub(super) fn write(hooks: &Hooks, base: BorrowedFd<'_>) -> Result<(), Failure> {
    let shown = || format!("write `{HOOKS}`");
    let inside = relative(Path::new(HOOKS));
    let place = make_place(base, inside, true)?;
    let (script, flags) = (
        inside.join(SCRIPT),
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY,
    );
    let mode = Mode::from_raw_mode(0o555);
    let descriptor = fs::openat(base, &script, flags | OFlags::CLOEXEC, mode).step(shown())?;
    let mut file = std::fs::File::from(descriptor);
    file.write_all(hooks.script.as_bytes()).step(shown())?;
    // Whatever mask the caller has.
    for path in [inside, &script] {
        fs::chmodat(base, path, mode, AtFlags::empty()).step(shown())?;
    }
    for name in &hooks.names {
        fs::symlinkat(SCRIPT, &place, name.as_str()).step(shown())?;
    }
    Ok(())
}
