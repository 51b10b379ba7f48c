//! What kind of place a program comes from.

use std::path::{Path, PathBuf};

use agentguard_core::{Access, Level, ProgramClass};

use crate::plan::Plan;

/// Directories in memory, for data and not for programs.
const TEMPORARY: [&str; 2] = ["/tmp", "/dev/shm"];
/// Directories of the system, always read-only inside.
const SYSTEM: [&str; 9] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/opt", "/etc",
];
const MEMFD: &str = "/memfd:";

/// The places of one session.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// What the agent can write and what lasts: the workspace, its home, writable grants.
    writable: Vec<PathBuf>,
    /// What is granted to read only.
    readable: Vec<PathBuf>,
    /// Whether what is granted to read only cannot be changed for another reason than its mount's.
    pub(super) held_without_mounts: bool,
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
        Self {
            writable,
            readable,
            held_without_mounts: plan.confinement.level != Level::Full,
        }
    }

    /// The class of a program at `path`, as the kernel names it. The longest place that holds it counts.
    pub(super) fn class(&self, path: &str, links: u64) -> ProgramClass {
        if path.starts_with(MEMFD) {
            return ProgramClass::Memfd;
        }
        if links == 0 {
            return ProgramClass::Deleted;
        }
        let path = Path::new(path);
        let longest = |places: &mut dyn Iterator<Item = &Path>| -> usize {
            places
                .filter(|place| path.starts_with(place))
                .map(|place| place.components().count())
                .max()
                .unwrap_or(0)
        };
        let candidates = [
            (
                longest(&mut TEMPORARY.iter().map(Path::new)),
                ProgramClass::Temporary,
            ),
            (
                longest(&mut self.writable.iter().map(PathBuf::as_path)),
                ProgramClass::Workspace,
            ),
            (
                longest(&mut SYSTEM.iter().map(Path::new)),
                ProgramClass::System,
            ),
            (
                longest(&mut self.readable.iter().map(PathBuf::as_path)),
                ProgramClass::Toolchain,
            ),
        ];
        // Of equals the first stands: it trusts least.
        let best = candidates
            .into_iter()
            .rev()
            .max_by_key(|(length, _)| *length);
        match best {
            Some((1.., class)) => class,
            Some((0, _)) | None => ProgramClass::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            writable: vec!["/home/ada/work".into(), "/home/ada".into()],
            readable: vec![
                "/usr".into(),
                "/home/ada/.cargo/bin".into(),
                "/srv/tools".into(),
            ],
            held_without_mounts: false,
        }
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
        let places = Places {
            writable: vec!["/tmp/work".into()],
            readable: vec![],
            held_without_mounts: false,
        };
        assert_eq!(places.class("/tmp/work/a", 1), ProgramClass::Workspace);
        assert_eq!(places.class("/tmp/other/a", 1), ProgramClass::Temporary);
    }
}
