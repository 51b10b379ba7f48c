//! Files that say what runs where: read, so that policy judges what changes in them, and not that something does.

use std::collections::HashSet;

use agentguard_core::{FileChange, FileKind, ValueChange};
use gix_hash::ObjectId;
use serde_json::Value;

use super::differ::differences;
use super::pack::Objects;
use super::paths::Versions;
use super::{dockerfile, hcl, manifest, yaml};
use crate::gate::json;

/// How many of them a push may change.
const MOST: usize = 500;
/// How many others are asked for, of which only what they hold says whether they are such.
const MOST_ASKED: usize = 200;

/// What an interface is asked to make of a file.
pub(super) enum Held<'a> {
    Gone,
    Shown(&'a [u8]),
    /// Why it is not known what the file is to hold.
    Unshown(&'static str),
}

/// Whether a path is that of such a file, or may be: what Kubernetes is told may lie anywhere.
pub(super) fn is(path: &str) -> bool {
    kind(path).is_some() || may_be(path)
}

/// Whether the last part of a path can be that of such a file.
pub(super) fn is_called_so(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(is)
        || [&b".yaml"[..], b".yml", b".json"]
            .iter()
            .any(|ending| name.to_ascii_lowercase().ends_with(ending))
}

/// What a file is, where its path says it: Upsun and Platform.sh, pipelines of GitHub and GitLab, compose, Dockerfiles,
/// Terraform, Kubernetes and what makes its manifests.
fn kind(path: &str) -> Option<FileKind> {
    let path = path.to_ascii_lowercase();
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if is_terraform(name) {
        return Some(FileKind::Terraform);
    }
    if is_dockerfile(name) {
        return Some(FileKind::Dockerfile);
    }
    if name == "kustomization" {
        return Some(FileKind::Kubernetes);
    }
    let is_json = name.ends_with(".json");
    let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    if is_yaml {
        if path.starts_with(".github/workflows/") || name == ".gitlab-ci.yml" {
            return Some(FileKind::Pipeline);
        }
        let below = [".platform/", ".upsun/"];
        if below.iter().any(|directory| path.starts_with(directory)) || name == ".platform.app.yaml"
        {
            return Some(FileKind::Upsun);
        }
        let name = name.strip_prefix("docker-").unwrap_or(name);
        if name
            .strip_prefix("compose")
            .is_some_and(|rest| rest.starts_with(['.', '-', '_']))
        {
            return Some(FileKind::Compose);
        }
    }
    let mut directories = directories.split('/');
    let is_below =
        (is_yaml || is_json) && directories.any(|name| matches!(name, "k8s" | "kubernetes"));
    let is_chart = is_yaml
        && (name.starts_with("kustomization.")
            || name.starts_with("chart.")
            || name
                .strip_prefix("values")
                .is_some_and(|rest| rest.starts_with(['.', '-', '_'])));
    (is_below || is_chart).then_some(FileKind::Kubernetes)
}

fn is_terraform(name: &str) -> bool {
    let name = name.strip_suffix(".json").unwrap_or(name);
    let endings = [".tf", ".tofu", ".tfvars", ".tfbackend"];
    endings.iter().any(|ending| name.ends_with(ending))
        || matches!(name, ".terraform.lock.hcl" | "root.hcl" | "terragrunt.hcl")
        || name
            .strip_suffix(".hcl")
            .and_then(|name| name.rsplit_once('.'))
            .is_some_and(|(_, of)| of.starts_with("tf") || of.starts_with("tofu"))
}

fn is_dockerfile(name: &str) -> bool {
    let is_one = ["dockerfile", "containerfile"].iter().any(|word| {
        let rest = name.strip_prefix(*word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            || name
                .strip_suffix(*word)
                .is_some_and(|rest| rest.ends_with('.'))
    });
    // What is left out of an image is none.
    is_one && !name.ends_with(".dockerignore")
}

/// Whether what it holds says what it is.
fn may_be(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    kind(&path).is_none()
        && [".yaml", ".yml", ".json"]
            .iter()
            .any(|ending| path.ends_with(ending))
}

/// The versions whose content is not known here: only the server has it. Forgets files of which it is known that they
/// are none.
pub(super) fn wanted(
    files: &mut Vec<Versions>,
    objects: &Objects,
) -> Result<Vec<ObjectId>, &'static str> {
    let may_be_one = |id: ObjectId| match objects.contents.get(&id) {
        Some(content) => manifest::may_be(content),
        None => objects.manifests.contains(&id) || !objects.blobs.contains_key(&id),
    };
    let (mut seen, mut asked) = (HashSet::new(), 0);
    files.retain(|file| {
        if kind(&file.path).is_some() {
            return true;
        }
        if !seen.insert((file.path.clone(), file.before, file.after)) {
            return false;
        }
        if file.is_link || file.after.is_some_and(may_be_one) {
            return true;
        }
        // It was one, and is none any more, or gone. That is not asked of each file of data.
        asked += usize::from(!is_json(&file.path));
        file.before.is_some() && !is_json(&file.path) && asked <= MOST_ASKED
    });
    let named = files.iter().filter(|file| kind(&file.path).is_some());
    if named.count() > MOST {
        return Err("it changes more files that say what runs where than a push may");
    }
    let (mut wanted, mut others) = (HashSet::new(), HashSet::new());
    for file in files.iter() {
        let into = if kind(&file.path).is_some() {
            &mut wanted
        } else {
            &mut others
        };
        let ids = [file.before, file.after].into_iter().flatten();
        into.extend(ids.filter(|id| !objects.blobs.contains_key(id)));
    }
    let mut others: Vec<_> = others.into_iter().collect();
    others.sort_unstable();
    wanted.extend(others.into_iter().take(2 * MOST_ASKED));
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    wanted.sort_unstable();
    Ok(wanted)
}

/// What becomes of each file.
pub(super) fn changes(
    files: &[Versions],
    (objects, base): (&Objects, &Objects),
) -> Vec<FileChange> {
    let all = Known { objects, base };
    files.iter().filter_map(|file| all.change(file)).collect()
}

/// What becomes of a file that is written by an interface, which does not show what it held.
pub(super) fn written(path: &str, held: &Held<'_>) -> Option<FileChange> {
    let (kind, after) = match (kind(path), held) {
        // What it held would say what it was.
        (None, Held::Gone) => return None,
        (Some(kind), Held::Gone) => (kind, Ok(None)),
        (None, _) if !may_be(path) => return None,
        (kind, Held::Unshown(why)) => {
            (kind.unwrap_or(FileKind::Kubernetes), Err((*why).to_owned()))
        }
        (Some(kind), Held::Shown(content)) => (kind, read(kind, path, content).map(Some)),
        (None, Held::Shown(content)) => (
            FileKind::Kubernetes,
            looked_into(path, content).transpose()?.map(Some),
        ),
    };
    let mut change = nothing(path, kind);
    change.unseen = Some("the request shows only what it is to hold".to_owned());
    match after {
        Ok(after) => {
            change.changes = vec![ValueChange {
                at: Vec::new(),
                before: None,
                after: after.clone(),
            }];
            change.after = after;
        }
        Err(why) => change.unread = Some(why),
    }
    Some(change)
}

fn nothing(path: &str, kind: FileKind) -> FileChange {
    FileChange {
        commit: String::new(),
        path: path.to_owned(),
        kind: Some(kind),
        before: None,
        after: None,
        changes: Vec::new(),
        unread: None,
        unseen: None,
    }
}

/// What is known of what files hold.
struct Known<'o> {
    objects: &'o Objects,
    base: &'o Objects,
}

impl Known<'_> {
    fn change(&self, file: &Versions) -> Option<FileChange> {
        let named = kind(&file.path);
        let version = |id: Option<ObjectId>| match (id, named) {
            (None, _) => Ok(None),
            (Some(id), Some(kind)) => {
                let content = self.content(id);
                let content = content.ok_or("it is longer than is read of such a file")?;
                read(kind, &file.path, content).map(Some)
            }
            (Some(id), None) => self.looked_into(&file.path, id),
        };
        let (before, after) = if file.is_link {
            let why = "it is a link, and what it leads to is what is read";
            (Ok(None), Err(why.to_owned()))
        } else {
            (version(file.before), version(file.after))
        };
        if named.is_none() && before == Ok(None) && after == Ok(None) {
            return None;
        }
        let mut change = nothing(&file.path, named.unwrap_or(FileKind::Kubernetes));
        change.commit = file.commit.to_string();
        match (before, after) {
            (Ok(before), Ok(after)) => match differences(before.as_ref(), after.as_ref()) {
                Some(changes) => {
                    change.changes = changes;
                    (change.before, change.after) = (before, after);
                }
                None => change.unread = Some("more changes in it than are told".to_owned()),
            },
            (Err(why), _) | (_, Err(why)) => change.unread = Some(why),
        }
        Some(change)
    }

    fn content(&self, id: ObjectId) -> Option<&[u8]> {
        let content = self.objects.contents.get(&id);
        let content = content.or_else(|| self.base.contents.get(&id));
        content.map(Vec::as_slice)
    }

    /// What a file holds, where that is told to Kubernetes.
    fn looked_into(&self, path: &str, id: ObjectId) -> Result<Option<Value>, String> {
        if let Some(content) = self.content(id) {
            return looked_into(path, content);
        }
        let either = [self.objects, self.base];
        if either.iter().any(|objects| objects.manifests.contains(&id)) {
            return Err("it is longer than is read of such a file".to_owned());
        }
        if either.iter().any(|objects| objects.blobs.contains_key(&id)) {
            return Ok(None);
        }
        Err("more files are taken from elsewhere than are looked into".to_owned())
    }
}

fn looked_into(path: &str, content: &[u8]) -> Result<Option<Value>, String> {
    if !manifest::may_be(content) {
        return Ok(None);
    }
    let read = read(FileKind::Kubernetes, path, content)?;
    Ok(manifest::is(&read).then_some(read))
}

fn read(kind: FileKind, path: &str, content: &[u8]) -> Result<Value, String> {
    let is_json = is_json(path);
    let text = std::str::from_utf8(content).map_err(|_| "it is no text")?;
    match kind {
        FileKind::Dockerfile => dockerfile::read(text),
        FileKind::Kubernetes if is_json => Ok(Value::Array(vec![as_json(content)?])),
        FileKind::Kubernetes => yaml::documents(text).map(Value::from),
        FileKind::Terraform if is_json => hcl::of_json(as_json(content)?),
        FileKind::Terraform => hcl::read(text),
        // Whoever applies whole directories takes it up by what stands in it.
        FileKind::Compose if manifest::may_be(content) => {
            Err("it may be told to Kubernetes as well".to_owned())
        }
        FileKind::Compose | FileKind::Pipeline | FileKind::Upsun => yaml::read(text),
    }
}

fn is_json(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".json")
}

fn as_json(content: &[u8]) -> Result<Value, String> {
    match json::read(content) {
        json::Read::Json(value) => Ok(value),
        json::Read::Twofold => Err("a name stands twice in it".to_owned()),
        json::Read::Other => Err("it is no JSON".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_say_what_runs_where_are_known_by_their_paths() {
        for (path, known) in [
            (".github/workflows/ci.yml", Some(FileKind::Pipeline)),
            (".Upsun/config.yaml", Some(FileKind::Upsun)),
            ("a/docker-compose.dev.yml", Some(FileKind::Compose)),
            ("docker-compose-dev.yml", Some(FileKind::Compose)),
            ("composer.yaml", None),
            ("Dockerfile", Some(FileKind::Dockerfile)),
            ("a/dockerfile.dev", Some(FileKind::Dockerfile)),
            ("a/web.Dockerfile", Some(FileKind::Dockerfile)),
            ("Containerfile", Some(FileKind::Dockerfile)),
            ("k8s/a/b.yaml", Some(FileKind::Kubernetes)),
            ("a/Kubernetes/b.yml", Some(FileKind::Kubernetes)),
            ("a/k8s/b.json", Some(FileKind::Kubernetes)),
            ("a/kustomization.yaml", Some(FileKind::Kubernetes)),
            ("chart/values-prod.yaml", Some(FileKind::Kubernetes)),
            ("chart/Chart.yaml", Some(FileKind::Kubernetes)),
            ("a/main.tf", Some(FileKind::Terraform)),
            ("a/Main.TF.json", Some(FileKind::Terraform)),
            ("prod.auto.tfvars.json", Some(FileKind::Terraform)),
            ("a/b.tofu", Some(FileKind::Terraform)),
            ("a/x.tftest.hcl", Some(FileKind::Terraform)),
            (".terraform.lock.hcl", Some(FileKind::Terraform)),
            ("a/terragrunt.hcl", Some(FileKind::Terraform)),
            ("a/config.hcl", None),
            ("Dockerfile.dockerignore", None),
            ("Dockerfiles", None),
            ("mydockerfile", None),
            ("k8s.yaml", None),
            ("valuesofall.yaml", None),
            ("src/.github/workflows/ci.yml", None),
        ] {
            assert_eq!(kind(path), known, "{path}");
            assert!(
                known.is_none()
                    || is_called_so(path.rsplit('/').next().unwrap().as_bytes())
                    || path.starts_with('.')
            );
        }
        assert!(
            may_be("deploy/web.YAML")
                && may_be("a.json")
                && !may_be("k8s/a.yaml")
                && !may_be("a.yaml.txt")
        );
    }

    #[test]
    fn what_an_interface_writes_is_read_and_what_was_there_is_not_known() {
        let pod = b"apiVersion: v1\nkind: Pod\n".as_slice();
        let one = written("deploy/x.yaml", &Held::Shown(pod)).unwrap();
        assert_eq!(one.kind, Some(FileKind::Kubernetes));
        assert_eq!(
            one.after,
            Some(serde_json::json!([{"apiVersion": "v1", "kind": "Pod"}]))
        );
        assert!(one.unseen.is_some() && one.changes.len() == 1);
        let broken = b"apiVersion: v1\nkind: &a Pod\n".as_slice();
        assert!(
            written("x.yaml", &Held::Shown(broken))
                .unwrap()
                .unread
                .is_some()
        );
        assert!(
            written("x.yaml", &Held::Unshown("so"))
                .unwrap()
                .unread
                .is_some()
        );
        assert!(written("x.yaml", &Held::Shown(b"a: &a 1\n")).is_none());
        assert!(
            written("x.rs", &Held::Shown(pod)).is_none()
                && written("x.rs", &Held::Unshown("so")).is_none()
        );
        assert!(
            written("compose.yaml", &Held::Shown(pod))
                .unwrap()
                .unread
                .is_some()
        );
        // What is taken away is told, as far as its name says what it is.
        let gone = written("main.tf", &Held::Gone).unwrap();
        assert_eq!(
            (gone.changes.len(), gone.after, gone.unread),
            (1, None, None)
        );
        assert!(written("x.yaml", &Held::Gone).is_none());
    }

    fn id(number: usize) -> ObjectId {
        ObjectId::from_hex(format!("{number:040x}").as_bytes()).unwrap()
    }

    fn file(path: &str, before: Option<usize>, after: Option<usize>) -> Versions {
        Versions {
            commit: id(0),
            path: path.to_owned(),
            before: before.map(id),
            after: after.map(id),
            is_link: false,
        }
    }

    fn objects() -> Objects {
        Objects::new(gix_hash::Kind::Sha1)
    }

    fn holding(all: &[(usize, &str)]) -> Objects {
        let mut objects = objects();
        for (number, content) in all {
            objects.blobs.insert(id(*number), 1);
            let content = content.as_bytes().to_vec();
            objects.contents.insert(id(*number), content);
        }
        objects
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\n";

    /// Why one file is not read, where it is told of.
    fn unread(file: &Versions, pushed: &Objects) -> Option<Option<String>> {
        let changes = changes(std::slice::from_ref(file), (pushed, &objects()));
        changes.into_iter().next().map(|change| change.unread)
    }

    #[test]
    fn what_cannot_be_looked_into_is_told_and_not_passed_over() {
        let pushed = holding(&[(1, "a = 1\n"), (2, POD), (3, "a: 1\n"), (4, "a = \n")]);
        let is = |file: &Versions| unread(file, &pushed);
        assert_eq!(is(&file("main.tf", None, Some(1))), Some(None));
        assert_eq!(is(&file("x.yaml", None, Some(2))), Some(None));
        assert_eq!(is(&file("x.yaml", None, Some(3))), None);
        // A link leads elsewhere, whatever it holds.
        for (path, number) in [("main.tf", 1), ("x.yaml", 3)] {
            let link = Versions {
                is_link: true,
                ..file(path, None, Some(number))
            };
            assert!(matches!(is(&link), Some(Some(_))), "{path}");
        }
        // One that is long, one that only the server has, and one that cannot be read, now or before.
        let mut long = holding(&[]);
        long.blobs.insert(id(1), 1 << 30);
        let named = file("main.tf", None, Some(1));
        assert!(matches!(unread(&named, &long), Some(Some(_))));
        let unnamed = file("x.yaml", None, Some(1));
        assert_eq!(unread(&unnamed, &long), None);
        long.manifests.insert(id(1));
        assert!(matches!(unread(&unnamed, &long), Some(Some(_))));
        assert!(matches!(is(&file("x.yaml", None, Some(9))), Some(Some(_))));
        assert!(matches!(
            is(&file("main.tf", Some(4), Some(1))),
            Some(Some(_))
        ));
        assert!(matches!(
            is(&file("main.tf", Some(1), Some(4))),
            Some(Some(_))
        ));
        // What only shares two names with them is none.
        let other = holding(&[(1, "a: apiVersion kind\n")]);
        assert_eq!(unread(&unnamed, &other), None);
        let many: Vec<_> = (0..6000).map(|one| format!("\"a{one}\": 1")).collect();
        let many = format!("{{{}}}", many.join(","));
        let many = holding(&[(1, &many), (2, "{}")]);
        let changed = file("main.tf.json", Some(2), Some(1));
        assert!(matches!(unread(&changed, &many), Some(Some(_))));
    }

    #[test]
    fn only_what_may_be_one_is_asked_for_and_not_without_end() {
        let asked = |files: &mut Vec<Versions>, pushed: &Objects| {
            wanted(files, pushed).map(|wanted| (files.len(), wanted.len()))
        };
        let pushed = holding(&[(1, "a: 1\n"), (2, POD)]);
        let mut files = vec![
            file("main.tf", Some(11), Some(1)),
            file("x.yaml", Some(12), Some(2)),
            // The same once more, as another commit has it.
            file("x.yaml", Some(12), Some(2)),
            file("data.json", Some(13), Some(1)),
            Versions {
                is_link: true,
                ..file("link.json", None, Some(1))
            },
        ];
        assert_eq!(asked(&mut files, &pushed), Ok((3, 2)));
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["main.tf", "x.yaml", "link.json"]);
        // Of files that are none any more, so many; of files that may be, so many.
        let one = |number: usize| format!("{number}.yaml");
        let mut gone: Vec<_> = (0..MOST_ASKED + 10)
            .map(|number| file(&one(number), Some(100 + number), None))
            .collect();
        assert_eq!(asked(&mut gone, &pushed), Ok((MOST_ASKED, MOST_ASKED)));
        let mut new: Vec<_> = (0..3 * MOST_ASKED)
            .map(|number| file(&one(number), None, Some(100 + number)))
            .collect();
        assert_eq!(
            asked(&mut new, &pushed),
            Ok((3 * MOST_ASKED, 2 * MOST_ASKED))
        );
        let named = |count: usize| -> Vec<_> {
            (0..count)
                .map(|number| file(&format!("{number}.tf"), None, Some(1)))
                .collect()
        };
        assert_eq!(asked(&mut named(MOST), &pushed), Ok((MOST, 0)));
        assert!(asked(&mut named(MOST + 1), &pushed).is_err());
    }
}
