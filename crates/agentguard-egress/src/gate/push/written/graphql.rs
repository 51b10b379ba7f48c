//! GitHub's GraphQL: mutations that write to a repository (docs.github.com/graphql/reference/mutations).

use agentguard_core::{GraphqlField, GraphqlOperation, PathChanged, RefChange};
use serde_json::{Map, Value};

use super::{Content, File, Found, Written, branch, file, id, update};

/// Mutations that write to a repository, by whatever they name.
const WRITING: [&str; 11] = [
    "createCommitOnBranch",
    "createRef",
    "deleteRef",
    "enablePullRequestAutoMerge",
    "enqueuePullRequest",
    "mergeBranch",
    "mergePullRequest",
    "revertPullRequest",
    "updatePullRequestBranch",
    "updateRef",
    "updateRefs",
];

pub(super) fn read(asked: &[GraphqlField]) -> Found {
    let is_writing = |one: &&GraphqlField| {
        one.operation == GraphqlOperation::Mutation && WRITING.contains(&one.field.as_str())
    };
    let mut writing = asked.iter().filter(is_writing);
    let Some(one) = writing.next() else {
        return Ok(None);
    };
    if writing.next().is_some() {
        return Err("it writes to a repository twice at once".to_owned());
    }
    let Some(Value::Object(input)) = one.arguments.get("input") else {
        return Err("it does not say what it writes".to_owned());
    };
    match one.field.as_str() {
        "createCommitOnBranch" => commit(input).map(Some),
        "createRef" => {
            let mut made = update(text(input, "name")?, RefChange::Create)?;
            made.new = id(text(input, "oid")?);
            Ok(Some(Written::new(by_id(input)?, vec![made]).named()))
        }
        "updateRefs" => refs(input).map(Some),
        _ => Err("which ref it is about only the server knows".to_owned()),
    }
}

fn commit(input: &Map<String, Value>) -> Result<Written, String> {
    let at = object(input, "branch")?;
    if at.contains_key("id") {
        return Err("which ref it is about only the server knows".to_owned());
    }
    let repository = text(at, "repositoryNameWithOwner")?;
    let repository = repository.split('/').map(str::to_owned).collect();
    let on = branch(Some(text(at, "branchName")?), RefChange::Update)?;
    let files = object(input, "fileChanges")?;
    let mut changed = Vec::new();
    for (name, change) in [
        ("additions", PathChanged::Changed),
        ("deletions", PathChanged::Removed),
    ] {
        for one in list(files, name)? {
            changed.push(written(one, change)?);
        }
    }
    Written::new(repository, vec![on]).with_files(changed)
}

fn written(one: &Map<String, Value>, change: PathChanged) -> Result<File, String> {
    let content = match one.get("contents") {
        Some(Value::String(contents)) => Content::Base64(contents),
        Some(_) | None => Content::Unshown,
    };
    file(text(one, "path")?, change, content)
}

fn refs(input: &Map<String, Value>) -> Result<Written, String> {
    let (mut refs, mut is_seen) = (Vec::new(), true);
    for one in list(input, "refUpdates")? {
        let after = text(one, "afterOid")?;
        let is_gone = after.bytes().all(|digit| digit == b'0');
        let change = if is_gone {
            RefChange::Delete
        } else {
            RefChange::Update
        };
        let mut moved = update(text(one, "name")?, change)?;
        if !is_gone {
            moved.new = id(after);
            moved.forward = matches!(
                one.get("force"),
                None | Some(Value::Null | Value::Bool(false))
            );
            is_seen = false;
        }
        refs.push(moved);
    }
    if refs.is_empty() {
        return Err("it changes no ref".to_owned());
    }
    let written = Written::new(by_id(input)?, refs);
    Ok(if is_seen { written } else { written.named() })
}

/// A repository of which nothing but the server's own name for it is known.
fn by_id(input: &Map<String, Value>) -> Result<Vec<String>, String> {
    Ok(vec![text(input, "repositoryId")?.to_owned()])
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match object.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(_) | None => Err(format!("it does not say its `{name}`")),
    }
}

fn object<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<&'a Map<String, Value>, String> {
    match object.get(name) {
        Some(Value::Object(found)) => Ok(found),
        Some(_) | None => Err(format!("it does not say its `{name}`")),
    }
}

fn list<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<Vec<&'a Map<String, Value>>, String> {
    let no_list = || format!("its `{name}` is no list of objects");
    match object.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        // GraphQL takes one for a list of it.
        Some(Value::Object(one)) => Ok(vec![one]),
        Some(Value::Array(all)) => all
            .iter()
            .map(|one| one.as_object().ok_or_else(no_list))
            .collect(),
        Some(_) => Err(no_list()),
    }
}
