use agentguard_core::{AddressClass, Scheme};
use hyper::StatusCode;
use serde_json::json;

use super::*;
use crate::gate::path::{self, Slash};
use crate::gate::{graphql as documents, json as bodies};

/// A request, as the gate reads it.
fn request(host: &str, method: &str, target: &str, body: Option<serde_json::Value>) -> Option<Api> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let target = path::read(path, query, Slash::InSegment).ok()?;
    let graphql = documents::of(&target, body.as_ref(), None);
    let graphql = graphql.map_err(|fault| assert_eq!(fault.status, StatusCode::BAD_REQUEST));
    Some(Api {
        scheme: Scheme::Https,
        host: host.to_owned(),
        port: 443,
        method: method.to_owned(),
        path: target.segments,
        query: target.query,
        headers: std::collections::BTreeMap::new(),
        upgrade: None,
        body,
        body_seen: true,
        graphql: graphql.ok()?,
        form: None,
        pushes: false,
        ssh: false,
        address: "192.0.2.1".to_owned(),
        class: AddressClass::Public,
        caller: "curl".to_owned(),
        caller_sha256: None,
        credentials: Vec::new(),
    })
}

/// What a request amounts to, in a line: the refs, whether it is seen or where that can be fetched, what is merged, the
/// paths. `ID` stands for an id.
fn told(host: &str, asked: &str, body: serde_json::Value) -> String {
    let (method, target) = asked.split_once(' ').unwrap();
    let body: serde_json::Value = body.to_string().replace("ID", ID).parse().unwrap();
    let body = Some(body).filter(|body| !body.is_null());
    let target = &target.replace("ID", ID);
    let Asked { push, at } = match of(&request(host, method, target, body).unwrap()) {
        Ok(Some(asked)) => asked,
        Ok(None) => return "none".to_owned(),
        Err(why) => return format!("refused: {why}"),
    };
    let change = |update: &RefUpdate| {
        let how = match update.change {
            RefChange::Create => "+",
            RefChange::Update if update.forward => "",
            RefChange::Update => "!",
            RefChange::Delete => "-",
        };
        format!("{how}{}", update.name)
    };
    let path = |path: &PathChange| {
        let how = match path.change {
            PathChanged::Added => "+",
            PathChanged::Changed => "",
            PathChanged::Removed => "-",
        };
        format!("{how}{}", path.path)
    };
    let mut words = vec![push.repository.join("/")];
    words.extend(push.refs.iter().map(change));
    words.extend(push.unseen.map(|_| "unseen".to_owned()));
    words.extend(push.merges.map(|merged| merged.replace(ID, "merges")));
    words.extend(at.map(|at| {
        let host = at.host.map_or(String::new(), |host| host.to_string());
        format!("from {host}{}", at.path)
    }));
    words.extend(push.paths.iter().map(path));
    words.join(" ")
}

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

/// What GitHub is asked, what is said, and what that amounts to.
const TO_GITHUB: &str = r#"
PUT /repos/o/r/contents/a/b.c | {"branch": "x", "content": "aGVsbG8K"} | o/r refs/heads/x +a/b.c
PUT /repos/o/r/contents/a/b.c | {"content": "aGVsbG8K"} | o/r HEAD +a/b.c
PUT /Repos/o/r/Contents/a | {"branch": "x", "sha": "1"} | o/r refs/heads/x a
PUT /repositories/42/contents/a/ | {"branch": "refs/heads/x"} | repositories/42 refs/heads/x +a
DELETE /repos/o/r/contents/a | {"branch": "x", "sha": "1"} | o/r refs/heads/x -a
DELETE /repos/o/r/contents/a?branch=x&sha=1 | null | o/r refs/heads/x -a
POST /repos/o/r/git/refs | {"ref": "refs/heads/x", "sha": "1"} | o/r +refs/heads/x unseen
PATCH /repos/o/r/git/refs/heads/a/b | {"sha": "1"} | o/r refs/heads/a/b unseen
PATCH /repos/o/r/git/refs/heads/a%2Fb | {"sha": "1", "force": true} | o/r !refs/heads/a/b unseen
PATCH /repos/o/r/git/refs/heads/a | {"sha": "1", "force": "no"} | o/r !refs/heads/a unseen
DELETE /repos/o/r/git/refs/tags/v1 | null | o/r -refs/tags/v1
POST /repos/o/r/branches/a/rename | {"new_name": "b"} | o/r -refs/heads/a +refs/heads/b
POST /repos/o/r/git/trees | {} | none
POST /repos/o/r/git/refs | {"ref": "refs/heads/x", "sha": "ID"} | o/r +refs/heads/x from HUB/o/r.git
PATCH /repos/o/r/git/refs/heads/a | {"sha": "ID", "force": true} | o/r !refs/heads/a from HUB/o/r.git
POST /repos/o/r/git/refs | {"ref": "refs/heads/x", "sha": "IDa"} | o/r +refs/heads/x unseen
POST /repos/o/r.git/git/refs | {"ref": "refs/heads/x", "sha": "ID"} | o/r.git +refs/heads/x unseen
POST /repos/o/r.Wiki/git/refs | {"ref": "refs/heads/x", "sha": "ID"} | o/r.Wiki +refs/heads/x unseen
POST /repos/o/r%3Fx/git/refs | {"ref": "refs/heads/x", "sha": "ID"} | o/r?x +refs/heads/x unseen
POST /repositories/1/git/refs | {"ref": "refs/heads/x", "sha": "ID"} | repositories/1 +refs/heads/x unseen
POST /repos/repositories/1/git/refs | {"ref": "refs/heads/x", "sha": "ID"} | repositories/1 +refs/heads/x unseen
POST /repos/o/r/merges | {"base": "main", "head": "x"} | o/r refs/heads/main unseen
POST /repos/o/r/merges | {"base": "main", "head": "ID"} | o/r refs/heads/main merges from HUB/o/r.git
PUT /repos/o/r/pulls/1/merge | {} | o/r refs/pull/1/merge unseen
PUT /repos/o/r/pulls/1/merge | null | o/r refs/pull/1/merge unseen
PUT /Repos/o/r/Pulls/1/Merge/ | {"sha": "ID", "merge_method": "squash"} | o/r refs/pull/1/merge merges from HUB/o/r.git
PUT /repos/o/r/pulls/1/merge?sha=ID | null | o/r refs/pull/1/merge merges from HUB/o/r.git
PUT /repos/o/r/pulls/1/update-branch | {"expected_head_sha": "ID"} | o/r refs/pull/1/head unseen
POST /repos/o/r/merge-upstream | {"branch": "main"} | o/r refs/heads/main unseen
PUT /repos/o/r/pulls/1 | {} | none
GET /repos/o/r/contents/a | null | none
POST /repos/o/r/issues | {} | none
"#;

/// The same of others, where `L` stands for GitLab's project and `T` for Gitea's repository.
const TO_OTHERS: &str = r#"
POST L/files/a%2Fb | {"branch": "x", "content": "x"} | g/p refs/heads/x +a/b
PUT L/files/a%2Fb | {"branch": "x", "start_branch": "y"} | g/p +refs/heads/x a/b
DELETE L/files/a?branch=x | null | g/p refs/heads/x -a
POST L/commits | {"branch": "x", "actions": [{"action": "move", "file_path": "a/b", "previous_path": "c"}]} | g/p refs/heads/x +a/b -c
PUT L/files/.gitlab-ci.yml.json | {"branch": "x"} | g/p refs/heads/x .gitlab-ci.yml .gitlab-ci.yml.json
POST L/commits.json | {"branch": "x", "actions": [{"action": "create", "file_path": "a/b"}]} | g/p refs/heads/x +a/b
POST L/commits | {"branch": "x", "start_branch": "y", "force": true, "actions": [{"action": "chmod", "file_path": "a"}]} | g/p !refs/heads/x a
POST L/commits | {"branch": "x", "start_sha": "1", "actions": [{"action": "delete", "file_path": "a"}]} | g/p refs/heads/x unseen -a
POST L/commits/1/cherry_pick | {"branch": "x"} | g/p refs/heads/x unseen
POST L/branches?branch=x&ref=ID | null | g/p +refs/heads/x from /g/p.git
POST L/tags | {"tag_name": "v1", "ref": "ID"} | g/p +refs/tags/v1 from /g/p.git
POST L/tags | {"tag_name": "v1", "ref": "ID", "message": "m"} | g/p +refs/tags/v1 unseen
PUT M/merge_requests/1/merge | {"sha": "ID"} | g/p refs/merge-requests/1/merge merges from /g/p.git
PUT M/merge_requests/1/merge?sha=ID | null | g/p refs/merge-requests/1/merge merges from /g/p.git
PUT M/merge_requests/1/merge | {"merge_when_pipeline_succeeds": true} | g/p refs/merge-requests/1/merge unseen
PUT M/merge_requests/1 | {"title": "x"} | none
POST L/commits/1/comments | {"note": "x"} | none
POST L/branches?branch=x&ref=main | null | g/p +refs/heads/x unseen
DELETE L/branches/a%2Fb | null | g/p -refs/heads/a/b
POST L/tags | {"tag_name": "v1", "ref": "x"} | g/p +refs/tags/v1 unseen
DELETE L/tags/v1 | null | g/p -refs/tags/v1
PUT L/submodules/lib | {"branch": "x", "commit_sha": "1"} | g/p refs/heads/x lib
POST L/changelog | {"version": "1"} | g/p HEAD unseen
GET L/tree | null | none
POST T/contents/a/b | {"branch": "x", "content": "eA=="} | o/r refs/heads/x +a/b
PUT T/contents/a | {"from_path": "b", "branch": "x", "new_branch": "y"} | o/r +refs/heads/y a -b
POST T/contents | {"files": [{"operation": "delete", "path": "a"}]} | o/r HEAD -a
POST T/diffpatch | {"branch": "x"} | o/r refs/heads/x unseen
POST T/branches | {"new_branch_name": "x", "old_branch_name": "y"} | o/r +refs/heads/x
POST T/branches | {"new_branch_name": "x", "old_ref_name": "1"} | o/r +refs/heads/x unseen
PATCH T/branches/main | {"name": "x"} | o/r -refs/heads/main +refs/heads/x
PUT T/branches/x | {"new_commit_id": "1", "force": true} | o/r !refs/heads/x unseen
POST T/branches | {"new_branch_name": "x", "old_ref_name": "ID"} | o/r +refs/heads/x from /o/r.git
PUT T/branches/x | {"new_commit_id": "ID"} | o/r refs/heads/x from /o/r.git
POST T/tags | {"tag_name": "v1", "target": "ID"} | o/r +refs/tags/v1 from /o/r.git
POST T/tags | {"tag_name": "v1", "target": "ID", "message": "m"} | o/r +refs/tags/v1 unseen
POST T/pulls/1/merge | {"Do": "squash", "head_commit_id": "ID"} | o/r refs/pull/1/merge merges from /o/r.git
POST T/pulls/1/merge | {"Do": "merge"} | o/r refs/pull/1/merge unseen
POST T/pulls/1/update | null | o/r refs/pull/1/head unseen
POST T/merge-upstream | {"branch": "main"} | o/r refs/heads/main unseen
DELETE T/branches/a/b | null | o/r -refs/heads/a/b
POST T/tags | {"tag_name": "v1"} | o/r +refs/tags/v1 unseen
DELETE T/tags/v1 | null | o/r -refs/tags/v1
"#;

fn rows(table: &str) -> impl Iterator<Item = (&str, serde_json::Value, &str)> {
    table.lines().filter(|line| !line.is_empty()).map(|line| {
        let row: Vec<_> = line.split(" | ").collect();
        (row[0], row[1].parse().unwrap(), row[2])
    })
}

/// What stands by itself leads nowhere.
#[test]
fn what_github_is_asked_to_write_is_a_push() {
    for (asked, body, expected) in rows(TO_GITHUB) {
        let there = expected.replace("HUB", "github.com");
        assert_eq!(
            told("api.github.com", asked, body.clone()),
            there,
            "{asked}"
        );
        let there = expected.replace("HUB", "x.ghe.com");
        assert_eq!(told("api.x.ghe.com", asked, body.clone()), there, "{asked}");
        let own = asked.replacen(" /", " /api/v3/", 1);
        let here = expected.replace("HUB", "");
        assert_eq!(told("git.test", &own, body), here, "{own}");
    }
}

#[test]
fn what_other_hosts_are_asked_to_write_is_a_push() {
    for (asked, body, expected) in rows(TO_OTHERS) {
        for before in ["", "/git"] {
            let project = format!(" {before}/api/v4/projects/g%2Fp/");
            let own = asked
                .replacen(" L/", &format!("{project}repository/"), 1)
                .replacen(" M/", &project, 1)
                .replacen(" T/", &format!(" {before}/api/v1/repos/o/r/"), 1);
            let there = expected.replace("from ", &format!("from {before}"));
            assert_eq!(told("git.test", &own, body.clone()), there, "{own}");
        }
    }
}

#[test]
fn what_graphql_writes_is_a_push_whatever_it_is_called() {
    let asked = |document: &str, input: serde_json::Value| {
        let body = json!({"query": document, "variables": {"i": input}});
        told("api.github.com", "POST /graphql", body)
    };
    let commit = "mutation($i: CreateCommitOnBranchInput!) { x: createCommitOnBranch(input: $i) { clientMutationId } }";
    let on = json!({"repositoryNameWithOwner": "o/r", "branchName": "x"});
    let files =
        json!({"additions": [{"path": "a/b", "contents": "eA=="}], "deletions": {"path": "c"}});
    assert_eq!(
        asked(commit, json!({"branch": on, "fileChanges": files})),
        "o/r refs/heads/x a/b -c"
    );
    for input in [
        json!({"branch": {"id": "B"}, "fileChanges": files}),
        json!({"branch": {"id": "B", "repositoryNameWithOwner": "o/r", "branchName": "x"}, "fileChanges": files}),
        json!({"branch": on}),
        json!({"branch": on, "fileChanges": {"additions": []}}),
        json!({"branch": on, "fileChanges": {"additions": [{"path": "./.github/workflows/x.yml", "contents": ""}]}}),
        json!({"branch": on, "fileChanges": {"additions": ["a"]}}),
        json!("x"),
    ] {
        let told = asked(commit, input.clone());
        assert!(told.starts_with("refused"), "{input}: {told}");
    }
    let refs = "mutation($i: I!) { updateRefs(input: $i) { clientMutationId } }";
    let moved = |name: &str, after: &str| json!({"name": name, "afterOid": after, "force": true});
    let none = "0".repeat(40);
    assert_eq!(
        asked(
            refs,
            json!({"repositoryId": "R", "refUpdates": [moved("refs/heads/x", "1"), moved("refs/heads/y", &none)]})
        ),
        "R !refs/heads/x -refs/heads/y unseen"
    );
    let twice = json!({"repositoryId": "R", "refUpdates": [moved("refs/heads/x", "1"), moved("refs/heads/x", "2")]});
    assert!(asked(refs, twice).starts_with("refused"));
    let create = "mutation($i: I!) { createRef(input: $i) { clientMutationId } addComment(input: {}) { clientMutationId } }";
    let made = json!({"repositoryId": "R", "name": "refs/heads/x", "oid": "1"});
    assert_eq!(asked(create, made), "R +refs/heads/x unseen");
    for document in [
        "mutation($i: I!) { updateRef(input: $i) { clientMutationId } }",
        "mutation($i: I!) { deleteRef(input: $i) { clientMutationId } }",
        "mutation($i: I!) { mergePullRequest(input: $i) { clientMutationId } }",
        "mutation($i: I!) { x: mergeBranch(input: $i) { clientMutationId } }",
        "mutation($i: I!) { enablePullRequestAutoMerge(input: $i) { clientMutationId } }",
        "mutation($i: I!) { revertPullRequest(input: $i) { clientMutationId } }",
        "mutation($i: I!) { a: createRef(input: $i) { clientMutationId } b: createRef(input: $i) { clientMutationId } }",
        "mutation($i: I!) { ...f } fragment f on Mutation { updateRef(input: $i) { clientMutationId } }",
    ] {
        let told = asked(
            document,
            json!({"refId": "R", "name": "refs/heads/x", "repositoryId": "R", "oid": "1"}),
        );
        assert!(told.starts_with("refused"), "{document}: {told}");
    }
    assert_eq!(
        asked("query { createRef(input: {}) { x } }", json!(null)),
        "none"
    );
}

#[test]
fn what_servers_could_read_in_two_ways_is_refused() {
    let gitea = "/api/v1/repos/o/r/contents/a";
    for (asked, body) in [
        (format!("PUT {gitea}?branch=main"), json!({"branch": "x"})),
        (format!("DELETE {gitea}?branch=x&branch=main"), json!(null)),
        (
            format!("PUT {gitea}"),
            json!({"Branch": "main", "branch": "x"}),
        ),
        (
            format!("PUT {gitea}"),
            json!({"branch": "x", "content": "", "new_branc\u{212a}": "main"}),
        ),
        (format!("PUT {gitea}"), json!({"branch": ["x"]})),
        (format!("PUT {gitea}"), json!([{"branch": "x"}])),
        (format!("PUT {gitea}"), json!({"branch": "x\u{200b}"})),
        (format!("PUT {gitea}"), json!({"branch": "a..b"})),
        (format!("PUT {gitea}/.git/config"), json!({"branch": "x"})),
        (
            format!("PUT {gitea}"),
            json!({"branch": "x", "from_path": "../a"}),
        ),
        (format!("PATCH {gitea}"), json!({"branch": "x"})),
        (
            "POST /api/v4/projects/1/repository/commits".to_owned(),
            json!({"branch": "x", "actions": []}),
        ),
        (
            "POST /api/v4/projects/1/repository/commits".to_owned(),
            json!({"branch": "x", "actions": [{"action": "create", "file_path": "/.gitlab-ci.yml"}]}),
        ),
        (
            "DELETE /api/v4/projects/1/repository/merged_branches".to_owned(),
            json!(null),
        ),
    ] {
        let told = told("git.test", &asked, body);
        assert!(told.starts_with("refused"), "{asked}: {told}");
    }
    let ending = "DELETE /api/v4/projects/1/repository/branches/main.json";
    assert!(told("git.test", ending, json!(null)).starts_with("refused"));
    for (host, target) in [
        ("api.github.com", "/graphql"),
        ("api.x.ghe.com", "/graphql/"),
        ("git.test", "/x/api/graphql"),
    ] {
        let mut long = request(host, "POST", target, None).unwrap();
        long.body_seen = false;
        assert!(of(&long).is_err(), "{host}{target}");
        long.host = "other.test".to_owned();
        long.path = vec!["graphql".to_owned()];
        assert_eq!(of(&long), Ok(None));
    }
    let unseen = Api {
        body_seen: false,
        ..request("git.test", "PUT", gitea, Some(json!({"branch": "x"}))).unwrap()
    };
    assert!(of(&unseen).is_err());
}

#[test]
fn what_a_merge_does_beside_is_refused() {
    for (asked, body) in [
        (
            "POST /api/v1/repos/o/r/pulls/1/merge",
            json!({"Do": "merge", "Head_Commit_Id": ID, "head_commit_id": ID}),
        ),
        (
            "POST /api/v1/repos/o/r/pulls/1/merge",
            json!({"Do": "merge", "head_commit_id": ID, "delete_branch_after_merge": true}),
        ),
        (
            "POST /api/v1/repos/o/r/pulls/1/merge",
            json!({"Do": "merge", "head_commit_id": ID, "force_merge": true}),
        ),
        (
            "POST /api/v1/repos/o/r/pulls/1/merge?head_commit_id=x",
            json!({"Do": "merge", "head_commit_id": ID}),
        ),
        (
            "PUT /api/v4/projects/1/merge_requests/1/merge",
            json!({"sha": ID, "should_remove_source_branch": "false"}),
        ),
    ] {
        let told = told("git.test", asked, body.clone());
        assert!(told.starts_with("refused"), "{asked} {body}: {told}");
    }
}

/// What requests are made of that are tried.
const WORDS: &[&str] = &[
    "PUT /repos/o/r/contents/a\n",
    "POST /repos/o/r/git/refs\n",
    "PATCH /repos/o/r/git/refs/heads/x\n",
    "POST /api/v4/projects/1/repository/commits\n",
    "POST /api/v1/repos/o/r/contents\n",
    "POST /graphql\n",
    "{\"branch\": \"x\"",
    "\"actions\": [{\"action\": \"move\", ",
    "\"file_path\": ",
    "\"previous_path\": ",
    "\"sha\": \"1\"",
    "\"ref\": \"refs/heads/x\"",
    "{\"query\": \"mutation { createCommitOnBranch(input: {",
    "PUT /repos/o/r/pulls/1/merge\n",
    "POST /api/v1/repos/o/r/pulls/1/merge\n",
    "\"head_commit_id\": ",
    ID,
    "..",
    ".git",
    "true",
    "null",
    ",",
    "}",
    "]",
    "%2F",
    "?branch=x",
];

#[test]
fn fuzz_what_is_written_is_read_whole_or_not_at_all() {
    crate::mutate::fuzz("written", WORDS, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (line, body) = text.split_once('\n').unwrap_or((&text, ""));
        let (method, target) = line.split_once(' ').unwrap_or((line, "/"));
        let body = match bodies::read(body.as_bytes()) {
            bodies::Read::Json(body) => Some(body),
            bodies::Read::Twofold | bodies::Read::Other => None,
        };
        let Some(api) = request("api.github.com", method, target, body) else {
            return "no request".to_owned();
        };
        match of(&api) {
            Ok(Some(Asked { push, at })) => {
                // What is fetched is named by nothing but whole ids, of one repository.
                let is_whole = |one: &RefUpdate| one.new.as_deref().and_then(id).is_some();
                let is_made = |one: &&RefUpdate| one.change != RefChange::Delete;
                let merges = push.merges.as_deref().and_then(id).is_some();
                assert!(at.is_none() || merges || push.refs.iter().filter(is_made).all(is_whole));
                assert!(at.as_ref().is_none_or(|at| at.path.starts_with('/')
                    && !at.path.contains("..")
                    && at.path.ends_with(".git")));
                assert!(!push.refs.is_empty());
                assert!(push.refs.iter().all(|update| is_ref_name(&update.name)));
                let paths = push.paths.iter().flat_map(|one| one.path.split('/'));
                assert!(paths.clone().all(|part| is_name(part.as_bytes())));
                // What holds something new is shown, or said not to be.
                let is_new = |update: &RefUpdate| update.change == RefChange::Update;
                assert!(
                    !push.refs.iter().any(is_new)
                        || !push.paths.is_empty()
                        || push.unseen.is_some()
                        || at.is_some()
                );
                format!(
                    "{} refs, {} paths",
                    push.refs.len().min(3),
                    push.paths.len().min(3)
                )
            }
            Ok(None) => "none".to_owned(),
            Err(why) => why.split('`').next().unwrap().to_owned(),
        }
    });
}
