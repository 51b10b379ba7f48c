//! What the commits of a push change: every path that any of them changes, not only the difference between the
//! ends, so that what one adds and the next removes is seen.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use agentguard_core::{PathChange, PathChanged, PushedCommit, RefChange, RefKind, RefUpdate};
use gix_hash::ObjectId;

use super::infrastructure;
use super::pack::{Entry, Objects};

/// How many paths a push may change. Policy reads them all.
const MOST_PATHS: usize = 10_000;
const MOST_COMMITS: usize = 2_000;
const MOST_STEPS: usize = 200_000;
/// How many directories that are only on the server may be taken up from there: it is asked for each.
const MOST_TAKEN_UP: usize = 1000;
/// How many versions of files that may say what runs where: the same few can alternate in many commits.
const MOST_VERSIONS: usize = 50_000;
/// How deep a path is.
const DEEPEST: usize = 100;
const TREE: u16 = 0o040_000;
const COMMIT: u16 = 0o160_000;

/// What is known of a push's commits.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Changes {
    pub(super) commits: Vec<PushedCommit>,
    pub(super) paths: Vec<PathChange>,
    /// The versions of files that say what runs where.
    pub(super) files: Vec<Versions>,
}

/// What a commit makes of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Versions {
    pub(super) commit: ObjectId,
    pub(super) path: String,
    pub(super) before: Option<ObjectId>,
    pub(super) after: Option<ObjectId>,
    /// Whether it is none but a link, or a submodule, in its place.
    pub(super) is_link: bool,
}

/// The commits that a push brings, from the ends of its refs, and those that it builds upon: the server has them.
pub(super) struct Walk {
    new: Vec<ObjectId>,
    /// What is not in the pack, and so on the server.
    pub(super) built_upon: Vec<ObjectId>,
}

/// What is known of a ref that is to point to something else.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Ancestry {
    /// That holds what it pointed to.
    Forward,
    /// It is not in the push: where at all, one of these holds it, which only the server has.
    Upon(Vec<ObjectId>),
}

impl Walk {
    /// Goes from what refs are to point to, as far as the pack holds it.
    pub(super) fn over(objects: &Objects, refs: &[RefUpdate]) -> Result<Self, String> {
        let mut walk = Self {
            new: Vec::new(),
            built_upon: Vec::new(),
        };
        let mut seen = HashSet::new();
        let mut waiting = Vec::new();
        for update in refs {
            let Some(new) = &update.new else { continue };
            let id = ObjectId::from_hex(new.as_bytes()).map_err(|error| error.to_string())?;
            waiting.push(end_of(objects, id)?);
        }
        while let Some(id) = waiting.pop() {
            if !seen.insert(id) {
                continue;
            }
            match objects.commits.get(&id) {
                Some(commit) => {
                    walk.new.push(id);
                    waiting.extend(&commit.parents);
                }
                None => walk.built_upon.push(id),
            }
            if walk.new.len() > MOST_COMMITS {
                return Err("it brings more commits than a push may".to_owned());
            }
        }
        // What no ref leads to would lie there all the same, to be pointed to later by somebody who is let.
        if walk.new.len() < objects.commits.len() {
            return Err("it brings commits that none of its refs leads to".to_owned());
        }
        Ok(walk)
    }

    /// Of what it builds upon, the parents of new commits.
    pub(super) fn parents(&self, objects: &Objects) -> Vec<ObjectId> {
        let commits = self.new.iter().filter_map(|id| objects.commits.get(id));
        let parents: HashSet<_> = commits.flat_map(|commit| &commit.parents).collect();
        let known = self.built_upon.iter().filter(|id| parents.contains(id));
        known.copied().collect()
    }

    /// Whether what `update` is to point to holds what it pointed to, as far as the push itself shows.
    pub(super) fn is_forward(&self, objects: &Objects, update: &RefUpdate) -> bool {
        matches!(self.ancestry(objects, update), Some(Ancestry::Forward))
    }

    /// What the push itself shows of whether `update` is to hold what it held. `None` where it does not change a ref
    /// that is there.
    pub(super) fn ancestry(&self, objects: &Objects, update: &RefUpdate) -> Option<Ancestry> {
        let id = |text: &Option<String>| ObjectId::from_hex(text.as_deref()?.as_bytes()).ok();
        let (old, new) = (id(&update.old)?, id(&update.new)?);
        let (mut seen, mut waiting) = (HashSet::new(), vec![end_of(objects, new).ok()?]);
        let mut upon = Vec::new();
        while let Some(id) = waiting.pop() {
            if id == old {
                return Some(Ancestry::Forward);
            }
            if !seen.insert(id) {
                continue;
            }
            match objects.commits.get(&id) {
                Some(commit) => waiting.extend(&commit.parents),
                None => upon.push(id),
            }
        }
        Some(Ancestry::Upon(upon))
    }

    /// What is on the server of what refs are to lead to, but for what a branch of them is said to hold already: it
    /// cannot be changed where it holds something else (gitprotocol-pack(5)).
    pub(super) fn ground(&self, objects: &Objects, refs: &[RefUpdate]) -> Vec<ObjectId> {
        let mut ground = HashSet::new();
        for update in refs {
            let id = |text: &Option<String>| ObjectId::from_hex(text.as_deref()?.as_bytes()).ok();
            let Some(new) = id(&update.new) else { continue };
            let is_changed = (update.kind, update.change) == (RefKind::Branch, RefChange::Update);
            let old = id(&update.old).filter(|_| is_changed);
            let (mut seen, mut waiting) = (HashSet::new(), vec![new]);
            while let Some(id) = waiting.pop() {
                if Some(id) == old || !seen.insert(id) {
                    continue;
                }
                match (objects.commits.get(&id), objects.tags.get(&id)) {
                    (Some(commit), _) => waiting.extend(&commit.parents),
                    (None, Some(target)) => waiting.push(*target),
                    (None, None) => drop(ground.insert(id)),
                }
            }
        }
        ground.into_iter().collect()
    }

    /// The directories that its commits take up from elsewhere on the server: what packs a push leaves out what the
    /// server has. `base` holds what the commits that it builds upon hold.
    pub(super) fn taken_up(
        &self,
        objects: &Objects,
        base: &Objects,
    ) -> Result<Vec<ObjectId>, String> {
        let commits = self.new.iter().filter_map(|id| objects.commits.get(id));
        let mut waiting: Vec<_> = commits.map(|commit| commit.tree).collect();
        let (mut seen, mut elsewhere) = (HashSet::new(), Vec::new());
        while let Some(id) = waiting.pop() {
            // With one that the server told came all that is below it.
            if !seen.insert(id) || base.trees.contains_key(&id) {
                continue;
            }
            match objects.trees.get(&id) {
                Some(entries) => {
                    let directories = entries.iter().filter(|entry| entry.mode == TREE);
                    waiting.extend(directories.map(|entry| entry.id));
                }
                None => elsewhere.push(id),
            }
            if elsewhere.len() > MOST_TAKEN_UP {
                return Err(
                    "it takes up more directories of the server's than a push may".to_owned(),
                );
            }
        }
        Ok(elsewhere)
    }

    /// What all of it changes. `base` holds what the commits that it builds upon hold, and what the server said of
    /// directories.
    pub(super) fn changes(&self, objects: &Objects, base: &Objects) -> Result<Changes, String> {
        let mut differ = Differ {
            objects,
            base,
            paths: BTreeMap::new(),
            steps: 0,
            files: Vec::new(),
            commit: objects.format.null(),
        };
        let mut commits = Vec::new();
        for id in &self.new {
            let commit = objects.commits.get(id).ok_or("a commit is missing")?;
            differ.commit = *id;
            let tree = |id: &ObjectId| {
                let found = objects.commits.get(id).or_else(|| base.commits.get(id));
                found
                    .map(|commit| commit.tree)
                    .ok_or("what it builds upon is not known")
            };
            let parents = commit
                .parents
                .iter()
                .map(tree)
                .collect::<Result<Vec<_>, _>>()?;
            let parents: Vec<_> = parents.into_iter().map(Some).collect();
            differ.trees(&mut Vec::new(), Some(commit.tree), &parents)?;
            commits.push(PushedCommit {
                id: id.to_string(),
                author: commit.author.clone(),
                committer: commit.committer.clone(),
                parents: commit.parents.len(),
                signed: commit.signature.is_there,
                signer: commit.signature.signer.clone(),
                sessions: commit.sessions.clone(),
            });
        }
        commits.sort_by(|one, two| one.id.cmp(&two.id));
        Ok(Changes {
            commits,
            paths: differ.paths.into_values().flatten().collect(),
            files: differ.files,
        })
    }
}

fn is_regular(mode: u16) -> bool {
    mode & 0o170_000 == 0o100_000
}

/// The commit that a ref is to point to, through its tags.
fn end_of(objects: &Objects, mut id: ObjectId) -> Result<ObjectId, String> {
    for _ in 0..DEEPEST {
        match objects.tags.get(&id) {
            Some(target) => id = *target,
            None if objects.trees.contains_key(&id) || objects.blobs.contains_key(&id) => {
                return Err("one of its refs is to point to what is no commit".to_owned());
            }
            None => return Ok(id),
        }
    }
    Err("one of its tags is of a tag of a tag".to_owned())
}

/// Gathers paths.
struct Differ<'o> {
    objects: &'o Objects,
    base: &'o Objects,
    paths: BTreeMap<Vec<u8>, BTreeSet<PathChange>>,
    /// How many directories were compared. One can stand in many places, and in itself.
    steps: usize,
    /// Of files that say what runs where, in the commit that is looked at.
    files: Vec<Versions>,
    commit: ObjectId,
}

/// What stands under one name: its mode and its object.
type Held = Option<(u16, ObjectId)>;
type Names = BTreeMap<Vec<u8>, (u16, ObjectId)>;

impl Differ<'_> {
    /// Compares a tree to what its place held in each parent; each may be none. What is as in one of them came by
    /// its commits.
    fn trees(
        &mut self,
        place: &mut Vec<u8>,
        tree: Option<ObjectId>,
        parents: &[Option<ObjectId>],
    ) -> Result<(), String> {
        if parents.contains(&tree) {
            return Ok(());
        }
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err("its directories are more than are read of a push".to_owned());
        }
        if place.iter().filter(|byte| **byte == b'/').count() > DEEPEST {
            return Err("its directories are deeper than is read of a push".to_owned());
        }
        let names = |tree: &Option<ObjectId>| {
            tree.map_or_else(|| Ok(Names::new()), |tree| self.names(tree))
        };
        let own = names(&tree)?;
        let parents = parents.iter().map(names).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<_> = own
            .keys()
            .chain(parents.iter().flat_map(BTreeMap::keys))
            .cloned()
            .collect();
        for name in names {
            let held: Held = own.get(&name).copied();
            let before: Vec<Held> = parents
                .iter()
                .map(|parent| parent.get(&name).copied())
                .collect();
            if before.contains(&held) && !before.is_empty() {
                continue;
            }
            let length = place.len();
            if !place.is_empty() {
                place.push(b'/');
            }
            place.extend_from_slice(&name);
            self.entry(place, held, &before)?;
            place.truncate(length);
        }
        Ok(())
    }

    /// One name that is in no parent as it is now: a directory in one place and a file in another are compared
    /// each by itself.
    fn entry(&mut self, place: &mut Vec<u8>, held: Held, before: &[Held]) -> Result<(), String> {
        let tree = |held: &Held| held.filter(|(mode, _)| *mode == TREE).map(|(_, id)| id);
        let file = |held: &Held| held.filter(|(mode, _)| *mode != TREE);
        let trees: Vec<_> = before.iter().map(tree).collect();
        if tree(&held).is_some() || trees.iter().any(Option::is_some) {
            self.trees(place, tree(&held), &trees)?;
        }
        let files: Vec<_> = before.iter().map(file).collect();
        let held = file(&held);
        if files.contains(&held) || (files.is_empty() && held.is_none()) {
            return Ok(());
        }
        let path = String::from_utf8_lossy(place);
        if infrastructure::is(&path) {
            self.files.push(Versions {
                commit: self.commit,
                path: path.into_owned(),
                before: files.first().copied().flatten().map(|(_, id)| id),
                after: held.map(|(_, id)| id),
                is_link: held.is_some_and(|(mode, _)| !is_regular(mode)),
            });
            if self.files.len() > MOST_VERSIONS {
                return Err("it changes more files than a push may".to_owned());
            }
        }
        let change = match held {
            None => PathChanged::Removed,
            Some(_) if files.iter().any(Option::is_some) => PathChanged::Changed,
            Some(_) => PathChanged::Added,
        };
        self.say(place, change, held)
    }

    fn say(
        &mut self,
        place: &[u8],
        change: PathChanged,
        held: Option<(u16, ObjectId)>,
    ) -> Result<(), String> {
        let size = |id: ObjectId| {
            self.objects
                .blobs
                .get(&id)
                .or_else(|| self.base.blobs.get(&id))
                .copied()
        };
        let told = PathChange {
            path: String::from_utf8_lossy(place).into_owned(),
            change,
            mode: held.map(|(mode, _)| format!("{mode:06o}")),
            size: held
                .filter(|(mode, _)| *mode != COMMIT)
                .and_then(|(_, id)| size(id)),
        };
        self.paths.entry(place.to_vec()).or_default().insert(told);
        if self.paths.len() > MOST_PATHS {
            return Err("it changes more files than a push may".to_owned());
        }
        Ok(())
    }

    fn names(&self, tree: ObjectId) -> Result<Names, String> {
        let found = self
            .objects
            .trees
            .get(&tree)
            .or_else(|| self.base.trees.get(&tree));
        let entries =
            found.ok_or("it takes up a directory of which only the server knows what it holds")?;
        let mut names = Names::new();
        for Entry { name, mode, id } in entries {
            if !is_name(name) {
                return Err("it holds a name that is none".to_owned());
            }
            if names.insert(name.clone(), (*mode, *id)).is_some() {
                return Err("a name stands twice in one of its directories".to_owned());
            }
        }
        Ok(names)
    }
}

/// Whether it names something in a directory, and on no system the repository itself.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_of_git = |name: &[u8]| {
        let text = String::from_utf8_lossy(name);
        // Marks that some file systems take for nothing.
        let seen: String = text.chars().filter(|c| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')).collect();
        let plain = seen.trim_end_matches(['.', ' ']).to_lowercase();
        let plain = plain.split(':').next().unwrap_or_default();
        plain == ".git" || plain.starts_with("git~1")
    };
    !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&b'\\')
        && !name.contains(&0)
        && !is_of_git(name)
}

#[cfg(test)]
#[path = "histories_tests.rs"]
mod histories;
#[cfg(test)]
#[path = "paths_tests.rs"]
mod tests;
