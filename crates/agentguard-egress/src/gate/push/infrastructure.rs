//! Files that say what runs where: read, so that policy judges what changes in them, and not that something does.

use agentguard_core::FileChange;
use gix_hash::ObjectId;
use serde_json::Value;

use super::differ::differences;
use super::pack::Objects;
use super::paths::Versions;
use super::yaml;

/// How many of them a push may change.
const MOST: usize = 500;

/// Whether a path is that of such a file: Upsun and Platform.sh, pipelines of GitHub and GitLab, compose.
pub(super) fn is(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let is_yaml = path.ends_with(".yaml") || path.ends_with(".yml");
    let name = path.rsplit('/').next().unwrap_or_default();
    let below = [".github/workflows/", ".platform/", ".upsun/"];
    is_yaml
        && (below.iter().any(|directory| path.starts_with(directory))
            || matches!(name, ".platform.app.yaml" | ".gitlab-ci.yml")
            || name.starts_with("compose.")
            || name.starts_with("docker-compose."))
}

/// The versions whose content is not known here: only the server has it.
pub(super) fn wanted(files: &[Versions], objects: &Objects) -> Result<Vec<ObjectId>, &'static str> {
    if files.len() > MOST {
        return Err("it changes more files that say what runs where than a push may");
    }
    let ids = files.iter().flat_map(|file| [file.before, file.after]);
    let mut wanted: Vec<_> = ids
        .flatten()
        .filter(|id| !objects.blobs.contains_key(id))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted)
}

/// What becomes of each file.
pub(super) fn changes(
    files: &[Versions],
    (objects, base): (&Objects, &Objects),
) -> Vec<FileChange> {
    let read = |id: Option<ObjectId>| -> Result<Option<Value>, String> {
        let Some(id) = id else { return Ok(None) };
        let content = objects.contents.get(&id).or_else(|| base.contents.get(&id));
        let content = content.ok_or("it is longer than is read of such a file")?;
        let text = std::str::from_utf8(content).map_err(|_| "it is no text")?;
        yaml::read(text).map(Some)
    };
    let change = |file: &Versions| {
        let mut change = FileChange {
            commit: file.commit.to_string(),
            path: file.path.clone(),
            before: None,
            after: None,
            changes: Vec::new(),
            unread: None,
        };
        match (read(file.before), read(file.after)) {
            (Ok(before), Ok(after)) => match differences(before.as_ref(), after.as_ref()) {
                Some(changes) => {
                    change.changes = changes;
                    (change.before, change.after) = (before, after);
                }
                None => change.unread = Some("more changes in it than are told".to_owned()),
            },
            (Err(why), _) | (_, Err(why)) => change.unread = Some(why),
        }
        change
    };
    files.iter().map(change).collect()
}
