//! Trees of paths that are granted, and what two tiers grant together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use agentguard_core::Access;

use crate::confine::weaker;

/// Trees, each with what may be done below it. The deepest tree that holds a path counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Granted(BTreeMap<PathBuf, Access>);

/// What a tier grants, where it grants at all.
pub(crate) fn pair(
    read: Option<BTreeSet<String>>,
    write: Option<BTreeSet<String>>,
) -> Option<Granted> {
    if read.is_none() && write.is_none() {
        return None;
    }
    let with = |paths: Option<BTreeSet<String>>, access| {
        let paths = paths.unwrap_or_default().into_iter();
        paths.map(move |path| (PathBuf::from(path), access))
    };
    let all = with(read, Access::Read).chain(with(write, Access::Write));
    Some(Granted(all.collect()))
}

impl Granted {
    /// What both grant, with the weaker access.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut both = BTreeMap::new();
        for path in self.0.keys().chain(other.0.keys()) {
            if let (Some(a), Some(b)) = (self.access(path), other.access(path)) {
                both.insert(path.clone(), weaker(a, b));
            }
        }
        Self(both)
    }

    /// What may be done at `path`.
    fn access(&self, path: &std::path::Path) -> Option<Access> {
        path.ancestors().find_map(|tree| self.0.get(tree)).copied()
    }

    /// The trees in order, without those that a tree above already grants alike.
    pub(crate) fn list<T>(&self, make: impl Fn(PathBuf, Access) -> T) -> Vec<T> {
        let is_needed = |(path, access): &(&PathBuf, &Access)| {
            let above = path.parent().and_then(|parent| self.access(parent));
            above != Some(**access)
        };
        let needed = self.0.iter().filter(is_needed);
        needed
            .map(|(path, access)| make(path.clone(), *access))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn granted() -> impl Strategy<Value = Granted> {
        let path =
            prop::collection::vec("[ab]", 1..4).prop_map(|parts| format!("/{}", parts.join("/")));
        let access = prop_oneof![Just(Access::Read), Just(Access::Write)];
        prop::collection::btree_map(path.prop_map(PathBuf::from), access, 0..5).prop_map(Granted)
    }

    proptest! {
        #[test]
        fn together_two_grant_what_both_do(a in granted(), b in granted(), parts in prop::collection::vec("[ab]", 1..5)) {
            let path = PathBuf::from(format!("/{}", parts.join("/")));
            let expected = match (a.access(&path), b.access(&path)) {
                (Some(a), Some(b)) => Some(weaker(a, b)),
                (None, _) | (_, None) => None,
            };
            prop_assert_eq!(a.and(&b).access(&path), expected);
            prop_assert_eq!(a.and(&b), b.and(&a));
        }

        #[test]
        fn the_list_grants_the_same(a in granted(), parts in prop::collection::vec("[ab]", 1..5)) {
            let path = PathBuf::from(format!("/{}", parts.join("/")));
            let list = Granted(a.list(|path, access| (path, access)).into_iter().collect());
            prop_assert_eq!(list.access(&path), a.access(&path));
        }
    }
}
