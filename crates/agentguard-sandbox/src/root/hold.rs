//! What of the workspace is made read-only, and stays where it is.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, StatVfsMountFlags};
use rustix::io::Errno;

use super::{FirstLook, clone_tree, move_onto, open_plain, relative};
use crate::error::{Failure, Step};
use crate::plan::Plan;
use crate::sys::{Attributes, change_tree};

/// Each of them is a mount.
const MOST_SETTINGS: usize = 8192;

/// Makes what policy pins of the workspace read-only.
pub(super) fn pins(plan: &Plan, base: BorrowedFd<'_>) -> Result<(), Failure> {
    let root =
        open_plain(base, relative(&plan.confinement.workspace)).step("open the workspace")?;
    // There are hundreds, which begin with the same few names, and few workspaces have these.
    let mut is_there = HashMap::new();
    for path in &plan.confinement.pins {
        let first = path.iter().next().unwrap_or_default();
        let is_there = is_there.entry(first).or_insert_with(|| {
            let found = open_plain(root.as_fd(), Path::new(first));
            !matches!(found, Err(Errno::NOENT))
        });
        if *is_there {
            pin(root.as_fd(), path)?;
        }
    }
    Ok(())
}

/// Makes a path of the workspace read-only, and every directory above it immovable.
fn pin(root: BorrowedFd<'_>, pin: &Path) -> Result<(), Failure> {
    if let Err(Errno::NOENT | Errno::NOTDIR) = open_plain(root, pin) {
        return Ok(());
    }
    let mut so_far = PathBuf::new();
    for part in pin.components() {
        so_far.push(part);
        let read_only = so_far.as_os_str() == pin.as_os_str();
        bind_onto_itself(root, &so_far, read_only)
            .map_err(|failure| describe_link(failure, &so_far))?;
    }
    Ok(())
}

/// Makes read-only what other repositories of the workspace run code by, what lies at pins of any depth, and where
/// links at pins lead. The directories above can be moved, and what is held moves along: mount points in them would
/// make renames fail with EXDEV. What then gets the old name is judged, as is another link in the place of one.
pub(super) fn within(plan: &Plan, base: BorrowedFd<'_>, first: &FirstLook) -> Result<(), Failure> {
    if first.pinned.len() > MOST_SETTINGS {
        let reason = "more repositories, and settings of editors and agents, lie in the workspace than can be held";
        return Err(Failure::new("hold what others run code by", reason));
    }
    let root =
        open_plain(base, relative(&plan.confinement.workspace)).step("open the workspace")?;
    for path in &first.pinned {
        if !is_read_only(root.as_fd(), path) {
            bind_onto_itself(root.as_fd(), path, true)?;
        }
    }
    Ok(())
}

fn is_read_only(root: BorrowedFd<'_>, inside: &Path) -> bool {
    let place = open_plain(root, inside).and_then(fs::fstatvfs);
    place.is_ok_and(|place| place.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn bind_onto_itself(root: BorrowedFd<'_>, inside: &Path, read_only: bool) -> Result<(), Failure> {
    let shown = || format!("pin `{}`", inside.display());
    let place = open_plain(root, inside).step(shown())?;
    if !read_only && is_mount_point(root, inside) {
        return Ok(());
    }
    let tree = clone_tree(root, inside).step(shown())?;
    change_tree(
        tree.as_fd(),
        Attributes {
            read_only,
            no_devices: true,
        },
    )
    .step(shown())?;
    move_onto(tree.as_fd(), place.as_fd()).step(shown())
}

fn is_mount_point(root: BorrowedFd<'_>, inside: &Path) -> bool {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    statx(root, inside, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn describe_link(failure: Failure, path: &Path) -> Failure {
    if failure.errno == Some(Errno::LOOP.raw_os_error()) {
        let reason = "it is a symbolic link, which cannot be pinned; replace it by what it points to, or drop the pin";
        return Failure::new(format!("pin `{}`", path.display()), reason);
    }
    failure
}
