//! What is written to a repository by the interface of whoever hosts it: the same change of refs as a push, and judged
//! as one.
//!
//! An agent whose push is refused takes this way next. A request that stands at a place where refs are written is read
//! whole or not passed on; what it says of files is judged as files. Where it names an object by its whole id, that is
//! fetched, and where it names it in any other way, what it holds counts as unseen. So it is with what
//! is merged; which branch that changes, the server may be the only one to know.

mod address;
mod content;
mod gitea;
mod github;
mod gitlab;
mod graphql;
mod said;

use std::collections::HashSet;

use agentguard_core::{
    Api, FileChange, PathChange, PathChanged, Push, PushedBy, RefChange, RefKind, RefUpdate,
};

use super::commands::is_ref_name;
use super::infrastructure;
use super::paths::is_name;
pub(super) use address::Address;
use content::Content;

/// How many files one request may write.
const MOST_FILES: usize = 1000;
/// The branch that a request is about where it names none.
const DEFAULT: &str = "HEAD";

/// Why it is not known what a tag is to hold.
const ANNOTATED: &str = "with a message, it is another object that the server makes";

/// What a request writes.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    repository: Vec<String>,
    refs: Vec<RefUpdate>,
    paths: Vec<PathChange>,
    infrastructure: Vec<FileChange>,
    unseen: Option<String>,
    /// Whether what is not seen is what its refs are to point to, as it stands.
    is_named: bool,
    /// What is merged.
    merges: Option<String>,
}

/// A request that writes.
#[derive(Debug, PartialEq)]
pub(in crate::gate) struct Asked {
    pub(super) push: Push,
    /// Where that can be fetched which it only names.
    pub(super) at: Option<Address>,
}

/// What becomes of a file.
struct File {
    change: PathChange,
    infrastructure: Option<FileChange>,
}

type Found = Result<Option<Written>, String>;

/// The push that a request amounts to, where it does.
///
/// # Errors
///
/// Returns why it cannot be judged, where it stands at a place where refs are written.
pub(in crate::gate) fn of(api: &Api) -> Result<Option<Asked>, String> {
    let by_graphql = graphql::read(api.graphql.as_deref().unwrap_or_default())?;
    if let Some(written) = by_graphql {
        return written.asked(api, None).map(Some);
    }
    // Too long to be looked into, it could write as well.
    if api.graphql.is_none() && !api.body_seen && is_graphql(api) {
        return Err("what it asks for in GraphQL is not seen".to_owned());
    }
    if api.is_reading() || api.upgrade.is_some() {
        return Ok(None);
    }
    let Some((forge, path, before)) = forge(api) else {
        return Ok(None);
    };
    let written = match forge {
        Forge::Github => github::read(api, path),
        Forge::Gitlab => gitlab::read(api, path),
        Forge::Gitea => gitea::read(api, path),
    }?;
    written
        .map(|written| written.asked(api, Some((forge, before))))
        .transpose()
}

/// Whose interface it is.
#[derive(Clone, Copy)]
enum Forge {
    Github,
    Gitlab,
    Gitea,
}

/// Whose interface a path belongs to, what stands behind its beginning, and how much before that. It is told by its
/// form and not by its host: who has one of their own may have it anywhere.
fn forge(api: &Api) -> Option<(Forge, Vec<&str>, usize)> {
    // Servers take a slash at the end for nothing, and some an ending that names a format.
    let mut path: Vec<_> = api.path.iter().map(String::as_str).collect();
    while path.last().is_some_and(|last| last.is_empty()) {
        path.pop();
    }
    if is_github(&api.host) {
        return Some((Forge::Github, path, 0));
    }
    let is_begun = |two: &[&str]| match two {
        [api, version] if api.eq_ignore_ascii_case("api") => {
            match version.to_ascii_lowercase().as_str() {
                "v1" => Some(Forge::Gitea),
                "v3" => Some(Forge::Github),
                "v4" => Some(Forge::Gitlab),
                _ => None,
            }
        }
        _ => None,
    };
    let (at, forge) = path
        .windows(2)
        .enumerate()
        .find_map(|(at, two)| is_begun(two).map(|forge| (at, forge)))?;
    Some((forge, path.split_off(at + 2), at))
}

/// Whether a host is nothing but GitHub's interface.
fn is_github(host: &str) -> bool {
    host == "api.github.com" || (host.starts_with("api.") && host.ends_with(".ghe.com"))
}

/// Whether a request goes where hosts of repositories take GraphQL.
fn is_graphql(api: &Api) -> bool {
    let words: Vec<_> = api.path.iter().map(|segment| word(segment)).collect();
    let mut words = words.iter().rev().filter(|word| !word.is_empty());
    let (last, before) = (words.next(), words.next());
    last.is_some_and(|last| last == "graphql")
        && (is_github(&api.host) || before.is_some_and(|before| before == "api"))
}

/// The words of a path that are the interface's own, as servers compare them.
fn word(segment: &str) -> String {
    without_format(segment)
        .unwrap_or(segment)
        .to_ascii_lowercase()
}

/// A segment without the ending by which some servers are told how to answer, where it has one.
fn without_format(segment: &str) -> Option<&str> {
    let (name, format) = segment.rsplit_once('.')?;
    let formats = ["json", "txt", "xml"];
    let is_one = formats.iter().any(|one| format.eq_ignore_ascii_case(one));
    (is_one && !name.is_empty()).then_some(name)
}

impl Written {
    fn new(repository: Vec<String>, refs: Vec<RefUpdate>) -> Self {
        Self {
            repository,
            refs,
            paths: Vec::new(),
            infrastructure: Vec::new(),
            unseen: None,
            is_named: false,
            merges: None,
        }
    }

    /// Files that are written, of which there is one at least.
    fn with_files(mut self, files: Vec<File>) -> Result<Self, String> {
        if files.is_empty() {
            return Err("it writes no file".to_owned());
        }
        if files.len() > MOST_FILES {
            return Err("it writes more files at once than are read".to_owned());
        }
        for file in files {
            self.paths.push(file.change);
            self.infrastructure.extend(file.infrastructure);
        }
        self.paths.sort();
        self.paths.dedup();
        Ok(self)
    }

    /// What it leads to is known to the server alone.
    fn unseen(mut self, why: &str) -> Self {
        self.unseen = Some(why.to_owned());
        self
    }

    /// What its refs are to point to is not in the request.
    fn named(mut self) -> Self {
        self.is_named = true;
        self
    }

    /// The server is to merge `head` into its refs. By its id it is the same when the server looks.
    fn merging(mut self, head: Option<&str>) -> Self {
        self.merges = head.and_then(id);
        match self.merges {
            Some(_) => self.named(),
            None => self.unseen("it does not name by its whole id what is merged"),
        }
    }

    /// Where that can be fetched, or why it cannot.
    fn address(&self, api: &Api, by: Option<(Forge, usize)>) -> Result<Address, &'static str> {
        let mut made = self
            .refs
            .iter()
            .filter(|one| one.change != RefChange::Delete);
        if self.merges.is_none() && !made.all(|one| one.new.is_some()) {
            return Err("it does not name by its whole id what a ref is to point to");
        }
        let by = by.ok_or("which repository it is about only the server knows")?;
        address::of(api, by, &self.repository)
    }

    fn asked(mut self, api: &Api, by: Option<(Forge, usize)>) -> Result<Asked, String> {
        let mut at = None;
        if self.is_named {
            match self.address(api, by) {
                Ok(address) => at = Some(address),
                Err(why) => self.unseen = Some(why.to_owned()),
            }
        }
        let by = by.map_or(PushedBy::Graphql, |_| PushedBy::Rest);
        Ok(Asked {
            push: self.push(api, by)?,
            at,
        })
    }

    fn push(self, api: &Api, by: PushedBy) -> Result<Push, String> {
        let names: HashSet<_> = self.refs.iter().map(|update| &update.name).collect();
        if names.len() < self.refs.len() {
            return Err("it changes one ref twice".to_owned());
        }
        // One repository has one name, whichever way leads to it.
        let host = match api.host.as_str() {
            "api.github.com" => "github.com".to_owned(),
            host => host.to_owned(),
        };
        Ok(Push {
            by,
            host,
            port: api.port,
            repository: self.repository,
            refs: self.refs,
            commits: Vec::new(),
            paths: self.paths,
            infrastructure: self.infrastructure,
            unseen: self.unseen,
            merges: self.merges,
            options: Vec::new(),
            atomic: false,
            signed: false,
            caller: api.caller.clone(),
            caller_sha256: api.caller_sha256,
            credentials: api.credentials.clone(),
        })
    }
}

/// What is done to a branch, by its short name, or by its full one. Without a name it is the one that the server
/// takes then.
fn branch(name: Option<&str>, change: RefChange) -> Result<RefUpdate, String> {
    match name {
        None => update(DEFAULT, change),
        Some(name) => update(
            &format!(
                "refs/heads/{}",
                name.strip_prefix("refs/heads/").unwrap_or(name)
            ),
            change,
        ),
    }
}

fn tag(name: &str, change: RefChange) -> Result<RefUpdate, String> {
    let name = name.strip_prefix("refs/tags/").unwrap_or(name);
    update(&format!("refs/tags/{name}"), change)
}

/// Whichever branch a request to merge is for when the server looks: anybody may change that until then. It goes by the
/// name under which servers keep what would come of it.
fn of_request(kind: &str, number: &str) -> Result<RefUpdate, String> {
    update(&format!("refs/{kind}/{number}/merge"), RefChange::Update)
}

/// What is done to a ref. Servers write a file's change on top of what is there.
fn update(name: &str, change: RefChange) -> Result<RefUpdate, String> {
    if !is_ref_name(name) {
        return Err(format!("`{}` names no ref", name.escape_debug()));
    }
    let (kind, short) = RefKind::of(name);
    Ok(RefUpdate {
        name: name.to_owned(),
        kind,
        short: short.to_owned(),
        change,
        forward: matches!(change, RefChange::Update),
        old: None,
        new: None,
    })
}

/// The whole id of an object, where a text is one: then no server takes it for anything else.
fn id(text: &str) -> Option<String> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_whole = [40, 64].contains(&text.len()) && text.bytes().all(is_digit);
    let is_none = text.bytes().all(|byte| byte == b'0');
    (is_whole && !is_none).then(|| text.to_owned())
}

/// What becomes of a file whose path is the request's own.
fn changed_by(method: &str) -> Result<PathChanged, String> {
    Ok(match method {
        "POST" => PathChanged::Added,
        "PUT" => PathChanged::Changed,
        "DELETE" => PathChanged::Removed,
        _ => return Err("files are not written by this method".to_owned()),
    })
}

/// What becomes of a file. A path that a server would take for another is none.
fn file(path: &str, change: PathChanged, content: Content<'_>) -> Result<File, String> {
    if !path.split('/').all(|part| is_name(part.as_bytes())) {
        return Err(format!("`{}` is no path of a file", path.escape_debug()));
    }
    let bytes = content.bytes();
    let held = match (change, &bytes) {
        (PathChanged::Removed, _) => infrastructure::Held::Gone,
        (PathChanged::Added | PathChanged::Changed, Ok(bytes)) => {
            infrastructure::Held::Shown(bytes)
        }
        (PathChanged::Added | PathChanged::Changed, Err(why)) => infrastructure::Held::Unshown(why),
    };
    Ok(File {
        infrastructure: infrastructure::written(path, &held),
        change: PathChange {
            path: path.to_owned(),
            change,
            mode: None,
            size: bytes.ok().and_then(|bytes| u64::try_from(bytes.len()).ok()),
        },
    })
}

#[cfg(test)]
mod tests;
