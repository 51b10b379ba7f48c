//! The least of an interface beside a server of git, as GitHub, GitLab and Gitea have one: it makes and moves refs.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::git_server::Request;

/// What it does where a request is for it. Whoever asks may do all of it.
pub(crate) fn answer(request: &Request, root: &Path) -> Option<Vec<u8>> {
    let own = ["/repos/", "/api/"];
    if !own.iter().any(|begin| request.path.starts_with(begin)) {
        return None;
    }
    let said: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let repository = root.join("o/r.git");
    let status = match done(request, &said, &repository) {
        Some(true) => "200 OK",
        Some(false) => "422 Unprocessable Content",
        None => "404 Not Found",
    };
    Some(format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\n{{}}\n").into_bytes())
}

/// Whether it was done, where there is such a thing.
fn done(request: &Request, said: &Value, repository: &Path) -> Option<bool> {
    let path = request.path.replace("%2F", "/");
    let text = |name: &str| said[name].as_str();
    let hub = path.strip_prefix("/repos/o/r/");
    let tea = path.strip_prefix("/api/v1/repos/o/r/");
    let lab = path.strip_prefix("/api/v4/projects/o/r/repository/");
    let set = |name: &str, to: &str, is_new: bool| {
        let to = git(repository, &["rev-parse", "--verify", "-q", to])?;
        let old = if is_new { vec![""] } else { Vec::new() };
        let words = ["update-ref", name, &to];
        git(repository, &[&words[..], &old].concat())
    };
    let made = |branch: &str, of: &str| set(&format!("refs/heads/{branch}"), of, true).is_some();
    Some(match (request.method.as_str(), hub, tea, lab) {
        ("POST", Some("git/refs"), _, _) => set(text("ref")?, text("sha")?, true).is_some(),
        ("PATCH", Some(place), _, _) => {
            let (name, to) = (place.strip_prefix("git/")?, text("sha")?);
            let forward = ["merge-base", "--is-ancestor", name, to];
            let may = said["force"] == true || git(repository, &forward).is_some();
            may && set(name, to, false).is_some()
        }
        // A pull request against the main branch, and what says how it is merged.
        ("PUT", Some("pulls/1/merge"), _, _) => set(
            "refs/heads/main",
            text("sha").unwrap_or("refs/pull/1/head"),
            false,
        )
        .is_some(),
        ("POST", _, Some("branches"), _) => made(text("new_branch_name")?, text("old_ref_name")?),
        ("POST", _, _, Some("branches")) => made(text("branch")?, text("ref")?),
        _ => return None,
    })
}

/// What git says, where it does what it is asked.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is asked from outside"
)]
fn git(repository: &Path, words: &[&str]) -> Option<String> {
    let asked = Command::new("git")
        .args(["-c", "safe.directory=*", "--git-dir"])
        .arg(repository)
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8(asked.stdout).unwrap();
    asked.status.success().then(|| said.trim().to_owned())
}
