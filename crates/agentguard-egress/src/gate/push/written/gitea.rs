//! The REST of Gitea and Forgejo: contents, branches, tags and merges (docs.gitea.com/api, "repository").

use agentguard_core::{Api, PathChanged, RefChange};
use serde_json::Value;

use super::said::Said;
use super::{
    ANNOTATED, Content, File, Found, Written, branch, changed_by, file, id, of_request, tag,
    update, word,
};

pub(super) fn read(api: &Api, path: Vec<&str>) -> Found {
    let [all, owner, name, rest @ ..] = path.as_slice() else {
        return Ok(None);
    };
    if word(all) != "repos" {
        return Ok(None);
    }
    let repository = vec![(*owner).to_owned(), (*name).to_owned()];
    let words: Vec<_> = rest.iter().map(|segment| word(segment)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match (api.method.as_str(), words.as_slice(), rest) {
        (_, ["contents"], _) => {
            let said = Said::of(api)?;
            let mut files = Vec::new();
            for one in said.list("files")? {
                let change = match one.needed("operation")? {
                    "create" | "upload" => PathChanged::Added,
                    "update" | "rename" => PathChanged::Changed,
                    "delete" => PathChanged::Removed,
                    other => return Err(format!("`{}` is no operation", other.escape_debug())),
                };
                written(one, one.needed("path")?, change, &mut files)?;
            }
            on_branch(said, repository)?.with_files(files).map(Some)
        }
        (method, ["contents", ..], [_, place @ ..]) => {
            let said = Said::of(api)?;
            let change = changed_by(method)?;
            let mut files = Vec::new();
            written(said, &place.join("/"), change, &mut files)?;
            on_branch(said, repository)?.with_files(files).map(Some)
        }
        (_, ["diffpatch"], _) => {
            let on = on_branch(Said::of(api)?, repository)?;
            Ok(Some(on.unseen("what a patch changes is not read")))
        }
        ("POST", ["pulls", number, "merge"], _) => merge(api, number, repository),
        ("POST", ["pulls", number, "update"], _) => {
            let into = update(&format!("refs/pull/{number}/head"), RefChange::Update)?;
            Ok(Some(Written::new(repository, vec![into]).merging(None)))
        }
        ("POST", ["merge-upstream"], _) => {
            let into = branch(Some(Said::of(api)?.needed("branch")?), RefChange::Update)?;
            Ok(Some(Written::new(repository, vec![into]).merging(None)))
        }
        (method, ["branches" | "tags", ..], rest) => {
            refs(api, method, (words.as_slice(), rest), repository)
        }
        _ => Ok(None),
    }
}

/// A merge, whose body has names in capitals that say nothing of what is merged.
fn merge(api: &Api, number: &str, repository: Vec<String>) -> Found {
    let Some(Value::Object(body)) = api.body.as_ref().filter(|_| api.query.is_empty()) else {
        return Err("its body is no short JSON, or its address says something".to_owned());
    };
    let capitals = [
        "Do",
        "MergeCommitID",
        "MergeMessageField",
        "MergeTitleField",
    ];
    let rest = body
        .iter()
        .filter(|(name, _)| !capitals.contains(&name.as_str()));
    let rest = rest
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let said = Said::object(&rest)?;
    if said.is("delete_branch_after_merge") {
        return Err("it removes a branch as well, and does not name it".to_owned());
    }
    if said.is("force_merge") {
        return Err("it merges what is not checked".to_owned());
    }
    let into = Written::new(repository, vec![of_request("pull", number)?]);
    Ok(Some(into.merging(said.text("head_commit_id")?)))
}

fn refs(
    api: &Api,
    method: &str,
    (words, rest): (&[&str], &[&str]),
    repository: Vec<String>,
) -> Found {
    let name = rest.get(1..).unwrap_or_default().join("/");
    let (refs, is_seen) = match (method, words) {
        ("POST", ["branches"]) => {
            let said = Said::of(api)?;
            let mut made = branch(Some(said.needed("new_branch_name")?), RefChange::Create)?;
            // Without it, out of another branch, or the server's own.
            let out_of = said.text("old_ref_name")?;
            made.new = out_of.and_then(id);
            (vec![made], out_of.is_none())
        }
        ("PATCH", ["branches", _, ..]) => {
            let to = Said::of(api)?.needed("name")?;
            let gone = branch(Some(&name), RefChange::Delete)?;
            (vec![gone, branch(Some(to), RefChange::Create)?], true)
        }
        ("PUT", ["branches", _, ..]) => {
            let (said, mut moved) = (Said::of(api)?, branch(Some(&name), RefChange::Update)?);
            moved.new = said.text("new_commit_id")?.and_then(id);
            moved.forward = !said.is("force");
            (vec![moved], false)
        }
        ("DELETE", ["branches", _, ..]) => (vec![branch(Some(&name), RefChange::Delete)?], true),
        ("POST", ["tags"]) => {
            let said = Said::of(api)?;
            let mut made = tag(said.needed("tag_name")?, RefChange::Create)?;
            if said.text("message")?.is_some() {
                let written = Written::new(repository, vec![made]);
                return Ok(Some(written.unseen(ANNOTATED)));
            }
            made.new = said.text("target")?.and_then(id);
            (vec![made], false)
        }
        ("DELETE", ["tags", _, ..]) => (vec![tag(&name, RefChange::Delete)?], true),
        _ => return Ok(None),
    };
    let written = Written::new(repository, refs);
    Ok(Some(if is_seen { written } else { written.named() }))
}

/// The branch that is committed to. A new one is made out of it where one is named.
fn on_branch(said: Said<'_>, repository: Vec<String>) -> Result<Written, String> {
    let old = said.text("branch")?;
    let new = said.text("new_branch")?.filter(|new| Some(*new) != old);
    let mut on = match new {
        Some(new) => branch(Some(new), RefChange::Create)?,
        None => branch(old, RefChange::Update)?,
    };
    if said.is("force_push") || said.is("force") {
        (on.change, on.forward) = (RefChange::Update, false);
    }
    Ok(Written::new(repository, vec![on]))
}

fn written(
    said: Said<'_>,
    place: &str,
    change: PathChanged,
    files: &mut Vec<File>,
) -> Result<(), String> {
    if let Some(before) = said.text("from_path")? {
        files.push(file(before, PathChanged::Removed, Content::Unshown)?);
    }
    let content = Content::base64(said.text("content")?);
    files.push(file(place, change, content)?);
    Ok(())
}
