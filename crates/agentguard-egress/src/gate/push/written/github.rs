//! GitHub's REST: contents, refs and merges (docs.github.com/rest: repos/contents, git/refs, branches/branches,
//! pulls/pulls).

use agentguard_core::{Api, PathChanged, RefChange};

use super::said::Said;
use super::{Content, Found, Written, branch, file, id, of_request, update, word};

pub(super) fn read(api: &Api, path: Vec<&str>) -> Found {
    let (repository, rest) = match path.as_slice() {
        [all, owner, name, rest @ ..] if word(all) == "repos" => (vec![*owner, *name], rest),
        [all, number, rest @ ..] if word(all) == "repositories" => {
            (vec!["repositories", *number], rest)
        }
        _ => return Ok(None),
    };
    let repository: Vec<_> = repository.into_iter().map(str::to_owned).collect();
    let words: Vec<_> = rest.iter().map(|segment| word(segment)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match (api.method.as_str(), words.as_slice(), rest) {
        (method, ["contents", ..], [_, place @ ..]) => {
            contents(api, method, &place.join("/"), repository).map(Some)
        }
        ("POST", ["git", "refs"], _) => {
            let said = Said::of(api)?;
            let name = said.needed("ref")?;
            let mut created = update(name, RefChange::Create)?;
            created.new = said.text("sha")?.and_then(id);
            Ok(Some(Written::new(repository, vec![created]).named()))
        }
        (method, ["git", "refs", ..], [_, _, name @ ..]) => {
            let name = format!("refs/{}", name.join("/"));
            if method == "DELETE" {
                let gone = update(&name, RefChange::Delete)?;
                return Ok(Some(Written::new(repository, vec![gone])));
            }
            let said = Said::of(api)?;
            let mut moved = update(&name, RefChange::Update)?;
            moved.new = said.text("sha")?.and_then(id);
            moved.forward = !said.is("force");
            Ok(Some(Written::new(repository, vec![moved]).named()))
        }
        ("POST", ["branches", .., "rename"], [_, name @ .., _]) => {
            let to = Said::of(api)?.needed("new_name")?;
            let gone = branch(Some(&name.join("/")), RefChange::Delete)?;
            let made = branch(Some(to), RefChange::Create)?;
            Ok(Some(Written::new(repository, vec![gone, made])))
        }
        ("PUT", ["pulls", number, "merge"], _) => {
            let into = Written::new(repository, vec![of_request("pull", number)?]);
            Ok(Some(into.merging(Said::of(api)?.text("sha")?)))
        }
        ("POST", ["merges"], _) => {
            let said = Said::of(api)?;
            let into = branch(Some(said.needed("base")?), RefChange::Update)?;
            Ok(Some(
                Written::new(repository, vec![into]).merging(said.text("head")?),
            ))
        }
        ("POST", ["merge-upstream"], _) => {
            let into = branch(Some(Said::of(api)?.needed("branch")?), RefChange::Update)?;
            Ok(Some(Written::new(repository, vec![into]).merging(None)))
        }
        ("PUT", ["pulls", number, "update-branch"], _) => {
            let into = update(&format!("refs/pull/{number}/head"), RefChange::Update)?;
            Ok(Some(Written::new(repository, vec![into]).merging(None)))
        }
        _ => Ok(None),
    }
}

fn contents(
    api: &Api,
    method: &str,
    place: &str,
    repository: Vec<String>,
) -> Result<Written, String> {
    let said = Said::of(api)?;
    let change = match (method, said.text("sha")?) {
        ("PUT", None) => PathChanged::Added,
        ("PUT", Some(_)) => PathChanged::Changed,
        ("DELETE", _) => PathChanged::Removed,
        _ => return Err("files are not written by this method".to_owned()),
    };
    let content = Content::base64(said.text("content")?);
    let at = branch(said.text("branch")?, RefChange::Update)?;
    Written::new(repository, vec![at]).with_files(vec![file(place, change, content)?])
}
