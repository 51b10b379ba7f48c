//! What kind of place a program comes from.

use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use agentguard_core::{Access, ProgramClass};

use crate::plan::{HOOKS, Plan};

/// Directories in memory, for data and not for programs.
const TEMPORARY: [&str; 2] = ["/tmp", "/dev/shm"];
/// Directories of the system, always read-only inside, and of the guard.
const SYSTEM: [&str; 10] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/opt", "/etc", HOOKS,
];
const MEMFD: &str = "/memfd:";

/// The places of one session.
#[derive(Clone, Debug)]
pub(super) struct Places(Vec<Place>);

/// A directory, and what programs below it are.
#[derive(Clone, Debug)]
struct Place {
    /// Without a slash at its end, so that the top is empty.
    path: Vec<u8>,
    depth: usize,
    class: ProgramClass,
}

impl Places {
    pub(super) fn of(plan: &Plan) -> Self {
        // What tools build and run in passing lies in the session's own on a disk.
        let (mut writable, mut readable) = (vec![plan.temporary_inside()], Vec::new());
        for grant in plan.confinement.trees() {
            match grant.access {
                Access::Write => writable.push(grant.path),
                Access::Read => readable.push(grant.path),
            }
        }
        Self::new(&writable, &readable)
    }

    /// What the agent can write and what lasts (the workspace, its home, writable grants), and what is granted to
    /// read only.
    fn new(writable: &[PathBuf], readable: &[PathBuf]) -> Self {
        let all = TEMPORARY
            .iter()
            .map(|path| (Path::new(*path), ProgramClass::Temporary))
            .chain(paths(writable, ProgramClass::Workspace))
            .chain(SYSTEM.map(|path| (Path::new(path), ProgramClass::System)))
            .chain(paths(readable, ProgramClass::Toolchain));
        Self(all.map(|(path, class)| Place::new(path, class)).collect())
    }

    /// The class of a program at `path`, as the kernel names it. The longest place that holds it counts; of
    /// equals the first, which trusts least.
    pub(super) fn class(&self, path: &str, links: u32) -> ProgramClass {
        if path.starts_with(MEMFD) {
            return ProgramClass::Memfd;
        }
        if links == 0 {
            return ProgramClass::Deleted;
        }
        let holding = self.0.iter().filter(|place| place.holds(path.as_bytes()));
        let best = holding.rev().max_by_key(|place| place.depth);
        best.map_or(ProgramClass::Unknown, |place| place.class)
    }
}

fn paths(all: &[PathBuf], class: ProgramClass) -> impl Iterator<Item = (&Path, ProgramClass)> {
    all.iter().map(move |path| (path.as_path(), class))
}

impl Place {
    fn new(path: &Path, class: ProgramClass) -> Self {
        let depth = path.components().count();
        let normal: PathBuf = path.components().collect();
        let mut path = normal.into_os_string().into_vec();
        if path == b"/" {
            path.clear();
        }
        Self { path, depth, class }
    }

    fn holds(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(self.path.as_slice());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new(
            &["/home/ada/work".into(), "/home/ada".into()],
            &[
                "/usr".into(),
                "/home/ada/.cargo/bin/".into(),
                "/srv//tools".into(),
            ],
        )
    }

    #[test]
    fn the_narrowest_place_gives_the_class() {
        for (path, class) in [
            ("/usr/bin/git", ProgramClass::System),
            ("/bin/sh", ProgramClass::System),
            ("/home/ada/.cargo/bin/cargo", ProgramClass::Toolchain),
            ("/srv/tools/x", ProgramClass::Toolchain),
            ("/home/ada/.local/x", ProgramClass::Workspace),
            ("/home/ada/work/target/x", ProgramClass::Workspace),
            ("/tmp/x", ProgramClass::Temporary),
            ("/dev/shm/x", ProgramClass::Temporary),
            ("/usrx/bin/git", ProgramClass::Unknown),
            ("/run/x", ProgramClass::Unknown),
            ("/memfd:x (deleted)", ProgramClass::Memfd),
        ] {
            assert_eq!(places().class(path, 1), class, "{path}");
        }
    }

    #[test]
    fn what_was_unlinked_is_deleted_wherever_it_lay() {
        assert_eq!(
            places().class("/usr/bin/git (deleted)", 0),
            ProgramClass::Deleted
        );
    }

    #[test]
    fn a_workspace_below_the_temporary_directory_is_a_workspace() {
        let places = Places::new(&["/tmp/work".into()], &[]);
        assert_eq!(places.class("/tmp/work/a", 1), ProgramClass::Workspace);
        assert_eq!(places.class("/tmp/other/a", 1), ProgramClass::Temporary);
    }

    #[test]
    fn where_everything_is_granted_nothing_is_unknown() {
        let places = Places::new(&["/home/ada".into()], &["/".into()]);
        assert_eq!(places.class("/run/x", 1), ProgramClass::Toolchain);
        assert_eq!(places.class("/home/ada/x", 1), ProgramClass::Workspace);
    }
}
