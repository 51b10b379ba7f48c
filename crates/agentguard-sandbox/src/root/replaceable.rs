//! Masks that may go: a mount goes with the file that it covers, when somebody outside puts another in its place.
//!
//! What root keeps in the system's own directories, root's modes hold. Elsewhere the mediator judges each open, by where
//! the file lies.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agentguard_core::{Access, Confinement, Grant};
use rustix::fs::{self, Mode, OFlags};

use crate::granted;

/// Directories of the system's own, and where package managers keep programs.
const SYSTEM: [&str; 12] = [
    "/bin", "/dev", "/etc", "/gnu", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/sbin",
    "/snap", "/usr",
];
/// The owner of what belongs to nobody who is known in a user namespace (user_namespaces(7), `overflowuid`).
const UNKNOWN: u32 = 65534;

/// The masks within what a session may see that somebody could exchange but the system, by every path that leads there now.
#[must_use]
pub fn replaceable(confinement: &Confinement) -> Vec<PathBuf> {
    // The agent's home is nobody else's, but for what is granted in it.
    let trees = confinement.trees().into_iter();
    let trees: Vec<Grant> = trees.filter(|tree| tree.path != confinement.home).collect();
    let (mut look, mut found) = (Look::default(), BTreeSet::new());
    for mask in &confinement.masks {
        let paths = look.paths(mask).into_iter();
        found.extend(paths.filter(|path| look.is_replaceable(path, &trees)));
    }
    found.into_iter().collect()
}

/// What was seen of directories. Most masks lie in the same few.
#[derive(Default)]
struct Look {
    /// Their paths without links, where they are there.
    plain: HashMap<PathBuf, Option<PathBuf>>,
    /// Whether they are root's.
    is_roots: HashMap<PathBuf, bool>,
}

impl Look {
    /// Whether a mask lies in one of these trees, and somebody but the system could exchange what is there.
    fn is_replaceable(&mut self, mask: &Path, trees: &[Grant]) -> bool {
        let mut seen = trees.iter().filter(|tree| mask.starts_with(&tree.path));
        seen.any(|tree| tree.access == Access::Write || !self.is_systems(mask))
    }

    /// A path, the same without links on its way, and what it leads to.
    fn paths(&mut self, mask: &Path) -> Vec<PathBuf> {
        let plain = mask.ancestors().skip(1).find_map(|above| {
            let rest = mask.strip_prefix(above).ok()?;
            Some(self.plain_directory(above)?.join(rest))
        });
        let led = plain_path(mask);
        [Some(mask.to_owned()), plain, led]
            .into_iter()
            .flatten()
            .collect()
    }

    fn plain_directory(&mut self, above: &Path) -> Option<PathBuf> {
        if let Some(known) = self.plain.get(above) {
            return known.clone();
        }
        let plain = plain_path(above);
        self.plain.insert(above.to_owned(), plain.clone());
        plain
    }

    /// Whether a file lies in a directory of the system's, and it and everything above it belong to nobody else.
    fn is_systems(&mut self, path: &Path) -> bool {
        let mut above = path.ancestors().skip(1);
        SYSTEM.iter().any(|system| path.starts_with(system))
            && is_roots(path)
            && above.all(|above| match self.is_roots.get(above) {
                Some(known) => *known,
                None => {
                    let found = is_roots(above);
                    self.is_roots.insert(above.to_owned(), found);
                    found
                }
            })
    }
}

/// The path of what is there, without links.
fn plain_path(path: &Path) -> Option<PathBuf> {
    let there = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    granted::path_of(there.as_fd()).ok()
}

/// Whether nobody but root, or whoever stands for it, owns what is there.
fn is_roots(path: &Path) -> bool {
    let owner = std::fs::symlink_metadata(path).map(|found| found.uid());
    owner.map_or(true, |owner| matches!(owner, 0 | UNKNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_keeps_for_the_system_is_the_systems() {
        let mut look = Look::default();
        assert!(look.is_systems(Path::new("/etc/passwd")));
        assert!(look.is_systems(Path::new("/usr/absent/file")));
        assert!(!look.is_systems(Path::new("/opt/file")));
        assert!(!look.is_systems(Path::new("/etcetera/file")));
    }

    #[test]
    fn what_the_system_keeps_goes_where_the_agent_may_write() {
        let tree = |path: &str, access| Grant {
            path: path.into(),
            access,
        };
        let is = |mask: &str, tree| Look::default().is_replaceable(Path::new(mask), &[tree]);
        assert!(!is("/etc/passwd", tree("/etc", Access::Read)));
        assert!(is("/etc/passwd", tree("/etc", Access::Write)));
        assert!(is("/opt/file", tree("/opt", Access::Read)));
        assert!(!is("/opt/file", tree("/opt/other", Access::Write)));
    }

    #[test]
    fn what_another_keeps_in_a_directory_of_the_systems_is_not_the_systems() {
        let directory = format!("/dev/shm/agentguard-owned-{}", std::process::id());
        std::fs::create_dir(&directory).unwrap();
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::chown(&directory, Some(1000), Some(1000)).unwrap();
        }
        let file = Path::new(&directory).join("file");
        let mut look = Look::default();
        let is_systems = [(); 2].map(|()| look.is_systems(&file));
        std::fs::remove_dir(&directory).unwrap();
        assert_eq!(is_systems, [false, false]);
    }

    #[test]
    fn a_mask_is_known_by_every_path_that_leads_there() {
        let root = std::env::temp_dir().join(format!("agentguard-masks-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join("there")).unwrap();
        let root = plain_path(&root).unwrap();
        std::fs::write(root.join("there/file"), "").unwrap();
        std::os::unix::fs::symlink("there", root.join("way")).unwrap();
        std::os::unix::fs::symlink("file", root.join("there/link")).unwrap();
        let mut look = Look::default();
        let found = look.paths(&root.join("way/link"));
        let all = ["way/link", "there/link", "there/file"].map(|path| root.join(path));
        assert_eq!(found, all);
        // What is not there has no more than its directory.
        let found = look.paths(&root.join("way/new/one"));
        assert_eq!(
            found,
            ["way/new/one", "there/new/one"].map(|path| root.join(path))
        );
        std::fs::remove_dir_all(&root).unwrap();
    }
}
