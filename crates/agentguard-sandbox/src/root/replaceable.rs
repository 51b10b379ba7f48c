//! Masks that may go: a mount goes with the file that it covers, when somebody outside puts another in its place.
//!
//! What root keeps, root's modes hold. Elsewhere the mediator judges each open, by where the file lies.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agentguard_core::Confinement;

/// The owner of what belongs to nobody who is known in a user namespace (user_namespaces(7), `overflowuid`).
const UNKNOWN: u32 = 65534;

/// The masks within what a session may see that others than root could exchange, by every path that leads there now.
#[must_use]
pub fn replaceable(confinement: &Confinement, human_home: &Path) -> Vec<PathBuf> {
    // The agent's home is nobody else's, but for what is granted in it.
    let trees = confinement.trees().into_iter().map(|grant| grant.path);
    let trees: Vec<PathBuf> = trees.filter(|tree| *tree != confinement.home).collect();
    let own = [
        confinement.workspace.as_path(),
        &confinement.home,
        human_home,
    ];
    let is_own = |path: &Path| own.iter().any(|own| path.starts_with(own));
    let is_seen = |path: &Path| trees.iter().any(|tree| path.starts_with(tree));
    let masks = confinement.masks.iter().flat_map(|mask| paths(mask));
    let masks = masks.filter(|mask| is_seen(mask));
    let masks = masks.filter(|mask| is_own(mask) || mask.ancestors().any(is_somebodys));
    masks.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A path, the same without links on its way, and what it leads to.
fn paths(mask: &Path) -> impl Iterator<Item = PathBuf> {
    let plain = mask.ancestors().skip(1).find_map(|above| {
        let rest = mask.strip_prefix(above).ok()?;
        Some(std::fs::canonicalize(above).ok()?.join(rest))
    });
    let led = std::fs::canonicalize(mask).ok();
    std::iter::once(mask.to_owned()).chain(plain).chain(led)
}

/// Whether a file belongs to somebody else than root.
fn is_somebodys(path: &Path) -> bool {
    let owner = std::fs::symlink_metadata(path).map(|found| found.uid());
    owner.is_ok_and(|owner| owner != 0 && owner != UNKNOWN)
}
