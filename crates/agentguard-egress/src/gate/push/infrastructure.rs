//! Files that say what runs where: read, so that policy judges what changes in them, and not that something does.

use agentguard_core::FileChange;
use gix_hash::ObjectId;
use serde_json::Value;

use super::differ::differences;
use super::dockerfile;
use super::pack::Objects;
use super::paths::Versions;
use super::yaml;

/// How many of them a push may change.
const MOST: usize = 500;

/// How such a file is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Dockerfile,
    /// One document of YAML.
    Yaml,
    /// Any number of them, as Kubernetes takes.
    Documents,
}

/// Whether a path is that of such a file: Upsun and Platform.sh, pipelines of GitHub and GitLab, compose, Dockerfiles,
/// Kubernetes.
pub(super) fn is(path: &str) -> bool {
    form(path).is_some()
}

fn form(path: &str) -> Option<Form> {
    let path = path.to_ascii_lowercase();
    let is_yaml = path.ends_with(".yaml") || path.ends_with(".yml");
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let below = [".github/workflows/", ".platform/", ".upsun/"];
    if is_yaml
        && (below.iter().any(|directory| path.starts_with(directory))
            || matches!(name, ".platform.app.yaml" | ".gitlab-ci.yml")
            || name.starts_with("compose.")
            || name.starts_with("docker-compose."))
    {
        return Some(Form::Yaml);
    }
    let mut directories = directories.split('/');
    if is_yaml && directories.any(|name| matches!(name, "k8s" | "kubernetes")) {
        return Some(Form::Documents);
    }
    let is_dockerfile = ["dockerfile", "containerfile"].iter().any(|word| {
        let rest = name.strip_prefix(*word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            || name
                .strip_suffix(*word)
                .is_some_and(|rest| rest.ends_with('.'))
    });
    // What is left out of an image is none.
    (is_dockerfile && !name.ends_with(".dockerignore")).then_some(Form::Dockerfile)
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
    let read = |id: Option<ObjectId>, path: &str| -> Result<Option<Value>, String> {
        let Some(id) = id else { return Ok(None) };
        let content = objects.contents.get(&id).or_else(|| base.contents.get(&id));
        let content = content.ok_or("it is longer than is read of such a file")?;
        let text = std::str::from_utf8(content).map_err(|_| "it is no text")?;
        let read = match form(path).ok_or("it is none")? {
            Form::Dockerfile => dockerfile::read(text),
            Form::Yaml => yaml::read(text),
            Form::Documents => yaml::documents(text).map(Value::from),
        };
        read.map(Some)
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
        match (read(file.before, &file.path), read(file.after, &file.path)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_say_what_runs_where_are_known_by_their_paths() {
        for (path, known) in [
            (".github/workflows/ci.yml", Some(Form::Yaml)),
            (".Upsun/config.yaml", Some(Form::Yaml)),
            ("a/docker-compose.dev.yml", Some(Form::Yaml)),
            ("Dockerfile", Some(Form::Dockerfile)),
            ("a/dockerfile.dev", Some(Form::Dockerfile)),
            ("a/web.Dockerfile", Some(Form::Dockerfile)),
            ("Containerfile", Some(Form::Dockerfile)),
            ("k8s/a/b.yaml", Some(Form::Documents)),
            ("a/Kubernetes/b.yml", Some(Form::Documents)),
            ("Dockerfile.dockerignore", None),
            ("Dockerfiles", None),
            ("mydockerfile", None),
            ("k8s.yaml", None),
            ("src/.github/workflows/ci.yml", None),
        ] {
            assert_eq!(form(path), known, "{path}");
        }
    }
}
