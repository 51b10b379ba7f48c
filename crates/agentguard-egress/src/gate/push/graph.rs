//! Which commit follows which, where a server sends all commits of its branches and nothing else.

use std::collections::{HashMap, VecDeque};

use gix_hash::{Kind as Hash, ObjectId};

use super::in_time;
use super::pack::Objects;

/// Each commit and its parents.
pub(in crate::gate) struct Graph(HashMap<ObjectId, Vec<ObjectId>>);

impl Graph {
    /// Reads a pack.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be read.
    pub(in crate::gate) async fn read(pack: Vec<u8>, format: Hash) -> Result<Self, String> {
        let read = in_time(move |late| {
            let mut objects = Objects::new(format);
            let read = objects.read(&pack, late);
            read.map_err(|why| super::Unread::new(&why))?;
            Ok(objects.commits)
        });
        let commits = read.await.map_err(|unread| unread.rule.reason)?;
        let parents = commits.into_iter().map(|(id, commit)| (id, commit.parents));
        Ok(Self(parents.collect()))
    }

    /// From which of `tips` all of `wanted` are reached, and in how many steps at most. `None` where one is not.
    pub(in crate::gate) fn way(
        &self,
        tips: &[ObjectId],
        wanted: &[ObjectId],
    ) -> Option<(Vec<ObjectId>, usize)> {
        let mut found: HashMap<ObjectId, (ObjectId, usize)> = HashMap::new();
        let mut waiting: VecDeque<_> = tips.iter().map(|tip| (*tip, *tip, 0)).collect();
        while let Some((id, tip, steps)) = waiting.pop_front() {
            let Some(parents) = self.0.get(&id) else {
                continue;
            };
            if found.contains_key(&id) {
                continue;
            }
            found.insert(id, (tip, steps));
            waiting.extend(parents.iter().map(|parent| (*parent, tip, steps + 1)));
        }
        let ways = wanted.iter().map(|id| found.get(id).copied());
        let ways = ways.collect::<Option<Vec<_>>>()?;
        let most = ways.iter().map(|(_, steps)| *steps).max()?;
        let mut tips: Vec<_> = ways.into_iter().map(|(tip, _)| tip).collect();
        tips.sort_unstable();
        tips.dedup();
        Some((tips, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ObjectId {
        ObjectId::from_hex(format!("{number:040x}").as_bytes()).unwrap()
    }

    #[test]
    fn a_commit_is_found_behind_the_nearest_branch() {
        let all = [
            (1, vec![]),
            (2, vec![1]),
            (3, vec![2]),
            (4, vec![3, 1]),
            (5, vec![1]),
        ];
        let all = all
            .into_iter()
            .map(|(one, parents)| (id(one), parents.into_iter().map(id).collect()));
        let graph = Graph(all.collect());
        let tips = [id(4), id(5)];
        assert_eq!(graph.way(&tips, &[id(3)]), Some((vec![id(4)], 1)));
        assert_eq!(
            graph.way(&tips, &[id(2), id(5)]),
            Some((vec![id(4), id(5)], 2))
        );
        // There is a longer way as well.
        assert_eq!(graph.way(&[id(4)], &[id(1)]), Some((vec![id(4)], 1)));
        assert_eq!(graph.way(&[id(5)], &[id(2)]), None);
        assert_eq!(graph.way(&tips, &[id(9)]), None);
    }
}
