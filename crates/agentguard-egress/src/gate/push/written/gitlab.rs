//! GitLab's REST: files, commits, branches and tags (docs.gitlab.com/api/repository_files, docs.gitlab.com/api/commits).

use agentguard_core::{Api, PathChanged, RefChange, RefUpdate};

use super::said::Said;
use super::{
    ANNOTATED, Content, File, Found, Written, branch, changed_by, file, id, of_request, tag,
    without_format, word,
};

pub(super) fn read(api: &Api, path: Vec<&str>) -> Found {
    let [all, project, of, rest @ ..] = path.as_slice() else {
        return Ok(None);
    };
    let repository: Vec<_> = project.split('/').map(str::to_owned).collect();
    match word(of).as_str() {
        _ if word(all) != "projects" => return Ok(None),
        "repository" => {}
        "merge_requests" => return merge(api, rest, repository),
        _ => return Ok(None),
    }
    let words: Vec<_> = rest.iter().map(|segment| word(segment)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let one = |update: RefUpdate| Written::new(repository.clone(), vec![update]);
    match (api.method.as_str(), words.as_slice(), rest) {
        (method, ["files", _, ..], [_, place @ ..]) => {
            let said = Said::of(api)?;
            let change = changed_by(method)?;
            let place = place.join("/");
            let mut files = vec![file(&place, change, content(said)?)?];
            // It may be the ending of the file's name, or of the address.
            if let Some(place) = without_format(&place) {
                files.push(file(place, change, content(said)?)?);
            }
            on_branch(said, repository)?.with_files(files).map(Some)
        }
        (_, ["commits"], _) => {
            let said = Said::of(api)?;
            let mut files = Vec::new();
            for action in said.list("actions")? {
                acted(action, &mut files)?;
            }
            on_branch(said, repository)?.with_files(files).map(Some)
        }
        (_, ["commits", _, "cherry_pick" | "revert"], _) => {
            let on = branch(Some(Said::of(api)?.needed("branch")?), RefChange::Update)?;
            Ok(Some(
                one(on).unseen("what the server makes of it is not shown"),
            ))
        }
        (_, ["submodules", _, ..], [_, place @ ..]) => {
            let said = Said::of(api)?;
            let mut changed = file(&place.join("/"), PathChanged::Changed, Content::Unshown)?;
            changed.change.mode = Some("160000".to_owned());
            on_branch(said, repository)?
                .with_files(vec![changed])
                .map(Some)
        }
        ("POST", ["changelog"], _) => {
            let on = branch(Said::of(api)?.text("branch")?, RefChange::Update)?;
            Ok(Some(
                one(on).unseen("what the server writes into it is not shown"),
            ))
        }
        (method, words, rest) => refs(api, method, (words, rest), &repository),
    }
}

/// Merge requests (docs.gitlab.com/api/merge_requests).
fn merge(api: &Api, rest: &[&str], repository: Vec<String>) -> Found {
    match (api.method.as_str(), rest) {
        ("PUT", [number, last]) if word(last) == "merge" => {
            let said = Said::of(api)?;
            if said.is("should_remove_source_branch") {
                return Err("it removes a branch as well, and does not name it".to_owned());
            }
            let into = of_request("merge-requests", number)?;
            let into = Written::new(repository, vec![into]);
            Ok(Some(into.merging(said.text("sha")?)))
        }
        _ => Ok(None),
    }
}

/// Branches and tags.
fn refs(
    api: &Api,
    method: &str,
    (words, rest): (&[&str], &[&str]),
    repository: &[String],
) -> Found {
    let one = |update: RefUpdate| Written::new(repository.to_owned(), vec![update]);
    match (method, words, rest) {
        ("POST", ["branches"], _) => {
            let said = Said::of(api)?;
            let mut made = branch(Some(said.needed("branch")?), RefChange::Create)?;
            // What is no whole id may be another thing when the server looks.
            made.new = said.text("ref")?.and_then(id);
            Ok(Some(one(made).named()))
        }
        ("DELETE", ["branches", _, ..], [_, name @ ..]) => {
            let gone = branch(Some(&in_address(name)?), RefChange::Delete)?;
            Ok(Some(one(gone)))
        }
        ("DELETE", ["merged_branches"], _) => {
            Err("which branches it removes only the server knows".to_owned())
        }
        ("POST", ["tags"], _) => {
            let said = Said::of(api)?;
            let mut made = tag(said.needed("tag_name")?, RefChange::Create)?;
            made.new = said.text("ref")?.and_then(id);
            Ok(Some(match said.text("message")? {
                None => one(made).named(),
                Some(_) => one(made).unseen(ANNOTATED),
            }))
        }
        ("DELETE", ["tags", _, ..], [_, name @ ..]) => {
            Ok(Some(one(tag(&in_address(name)?, RefChange::Delete)?)))
        }
        _ => Ok(None),
    }
}

/// The name of a ref at the end of an address.
fn in_address(name: &[&str]) -> Result<String, String> {
    let name = name.join("/");
    match without_format(&name) {
        Some(_) => Err("its address ends in what may be a part of a name or not".to_owned()),
        None => Ok(name),
    }
}

/// The branch that is committed to, which may come into being by it, out of another.
fn on_branch(said: Said<'_>, repository: Vec<String>) -> Result<Written, String> {
    let name = said.needed("branch")?;
    let (out_of, is_forced) = (said.text("start_branch")?, said.is("force"));
    let change = match out_of {
        Some(other) if other != name => RefChange::Create,
        Some(_) | None => RefChange::Update,
    };
    let mut on = branch(Some(name), change)?;
    if is_forced {
        // It may be there already, and is then made anew.
        (on.change, on.forward) = (RefChange::Update, false);
    }
    let written = Written::new(repository, vec![on]);
    let elsewhere = said.text("start_sha")?.or(said.text("start_project")?);
    Ok(match elsewhere {
        Some(_) => written.unseen("it builds upon what the request only names"),
        None => written,
    })
}

fn acted(said: Said<'_>, files: &mut Vec<File>) -> Result<(), String> {
    let place = said.needed("file_path")?;
    let change = match said.needed("action")? {
        "create" => PathChanged::Added,
        "update" | "chmod" => PathChanged::Changed,
        "delete" => PathChanged::Removed,
        "move" => {
            let before = said.needed("previous_path")?;
            files.push(file(before, PathChanged::Removed, Content::Unshown)?);
            PathChanged::Added
        }
        other => return Err(format!("`{}` is no action", other.escape_debug())),
    };
    files.push(file(place, change, content(said)?)?);
    Ok(())
}

fn content(said: Said<'_>) -> Result<Content<'_>, String> {
    let Some(content) = said.text("content")? else {
        return Ok(Content::Unshown);
    };
    Ok(match said.text("encoding")? {
        None | Some("text") => Content::Plain(content),
        Some("base64") => Content::Base64(content),
        Some(_) => Content::Unshown,
    })
}
