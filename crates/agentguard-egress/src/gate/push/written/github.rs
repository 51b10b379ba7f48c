//! GitHub's REST: contents, and refs (docs.github.com/rest/repos/contents, docs.github.com/rest/git/refs).

use agentguard_core::{Api, PathChanged, RefChange};

use super::said::Said;
use super::{Content, Found, Written, branch, file, update, word};

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
            created.new = said.text("sha")?.map(str::to_owned);
            let written = Written::new(repository, vec![created]);
            Ok(Some(written.unseen(NAMED)))
        }
        (method, ["git", "refs", ..], [_, _, name @ ..]) => {
            let name = format!("refs/{}", name.join("/"));
            if method == "DELETE" {
                let gone = update(&name, RefChange::Delete)?;
                return Ok(Some(Written::new(repository, vec![gone])));
            }
            let said = Said::of(api)?;
            let mut moved = update(&name, RefChange::Update)?;
            moved.new = said.text("sha")?.map(str::to_owned);
            moved.forward = !said.is("force");
            let written = Written::new(repository, vec![moved]);
            Ok(Some(written.unseen(NAMED)))
        }
        ("POST", ["branches", .., "rename"], [_, name @ .., _]) => {
            let to = Said::of(api)?.needed("new_name")?;
            let gone = branch(Some(&name.join("/")), RefChange::Delete)?;
            let made = branch(Some(to), RefChange::Create)?;
            Ok(Some(Written::new(repository, vec![gone, made])))
        }
        _ => Ok(None),
    }
}

/// Why nothing is known of what a ref is to point to.
pub(super) const NAMED: &str = "the request names an object, and does not show what it holds";

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
