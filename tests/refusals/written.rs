//! What is written to a repository by the interface of whoever hosts it, instead of by a push: judged as one.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use agentguard::core::{Event, Level, OutcomeOf};

use crate::pushes::Request;
use crate::scene::{Ran, Scene, as_everyone, level};
use crate::turned::leads_to_the_same_gate;

/// A server that takes everything, and keeps what it was asked.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let serving = std::thread::spawn({
            let (heard, is_over) = (Arc::clone(&heard), Arc::clone(&is_over));
            move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let heard = Arc::clone(&heard);
                    std::thread::spawn(move || serve(stream.unwrap(), &heard));
                }
            }
        });
        Self {
            port,
            heard,
            is_over,
            serving: Some(serving),
        }
    }

    /// The methods and paths of what it was asked, in order.
    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// A policy that grants it as GitHub's interface and as a host of somebody's own, where a slash is a part of a
    /// segment.
    fn policy(&self, scene: &Scene) -> String {
        let port = self.port;
        let hosts = ["api.github.com", "gitlab.com", "git.test"].map(|host| {
            format!(
                "hosts contains \"{host}\"\n\nescaped_slashes contains \"{host}\"\n\n\
                 addresses contains {{\"host\": \"{host}\", \"at\": \"127.0.0.1:{port}\"}}\n\n"
            )
        });
        scene.policy(&format!("package agentguard.sandbox\n\n{}", hosts.concat()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

fn serve(stream: TcpStream, heard: &Mutex<Vec<String>>) {
    let mut writing = stream.try_clone().unwrap();
    let mut reading = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reading) {
        let asked = format!("{} {}", request.method, request.path);
        heard.lock().unwrap().push(asked);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        if writing.write_all(answer).is_err() {
            return;
        }
    }
}

fn with_server(test: impl Fn(&Scene, &Server)) {
    as_everyone(|scene| match level() {
        Level::Full => test(scene, &Server::start()),
        Level::NoNamespaces | Level::OldKernel => leads_to_the_same_gate(scene),
    });
}

/// `$own` in what is asked is the session's own branch.
const OWN: &str = "own=agent/$AGENTGUARD_AGENT/$(printf %.8s $AGENTGUARD_SESSION)";

/// Asks each of `asked`: its method, where to, and what is said.
fn ask(scene: &Scene, server: &Server, asked: &[&str]) -> Ran {
    let mut script = OWN.to_owned();
    for one in asked {
        let mut words = one.splitn(3, ' ');
        let (method, to) = (words.next().unwrap(), words.next().unwrap());
        script += &format!("\ncurl -sS -X {method} \"http://{to}\"");
        if let Some(said) = words.next() {
            script += &format!(" -H content-type:application/json -d @- <<E\n{said}\nE");
        }
    }
    script += "\n";
    let policy = server.policy(scene);
    let flags = [policy.as_str(), "--approval-timeout=0"];
    scene.run_with(&flags, &["sh", "-c", &script])
}

/// The rules by which what was asked was decided, as a push.
fn pushes(scene: &Scene) -> Vec<String> {
    let mut rules = Vec::new();
    scene.each_event(|event| {
        if let Event::Decision { action, ruling, .. } = event
            && action == "push"
        {
            rules.push(ruling.rule().id.to_string());
        }
    });
    rules
}

const COMMIT: &str = "mutation { x: createCommitOnBranch(input: {branch: {repositoryNameWithOwner: \\\"o/r\\\", branchName: \\\"NAME\\\"}, fileChanges: {additions: [{path: \\\"PATH\\\", contents: \\\"eA==\\\"}]}}) { clientMutationId } }";

fn commit(name: &str, path: &str) -> String {
    let document = COMMIT.replace("NAME", name).replace("PATH", path);
    format!("POST api.github.com/graphql {{\"query\": \"{document}\"}}")
}

/// What is asked, and the rule that refuses it.
const REFUSED: &str = r#"
PUT HUB/contents/a {"branch": "main", "content": "eA=="} | push/protected
PUT HUB/contents/a {"content": "eA=="} | push/ref
PUT HUB/contents/.github/workflows/x.yml {"branch": "$own/x", "content": "eA=="} | push/pipeline
PUT HUB/contents/.upsun/config.yaml {"branch": "$own/x", "sha": "1", "content": "eA=="} | push/infrastructure
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "1"} | push/unseen
PATCH HUB/git/refs/heads/main {"sha": "1", "force": true} | push/protected
DELETE HUB/git/refs/heads/main | push/delete
POST LAB/commits {"branch": "main", "actions": [{"action": "create", "file_path": "a"}]} | push/protected
POST LAB/commits {"branch": "$own/x", "actions": [{"action": "create", "file_path": ".gitlab-ci.yml", "content": "a: {script: [b]}"}]} | push/pipeline
POST LAB/tags {"tag_name": "v1", "ref": "main"} | push/tag
POST TEA/contents/a {"branch": "main", "content": "eA=="} | push/protected
DELETE TEA/branches/main | push/delete
PUT HUB/contents/main.tf {"branch": "$own/x", "content": "dmFyaWFibGUgImEiIHt9Cg=="} | terraform/unseen
DELETE HUB/contents/main.tf {"branch": "$own/x", "sha": "1"} | terraform/unseen
PUT HUB/contents/deploy/web.yaml {"branch": "$own/x", "content": "YXBpVmVyc2lvbjogdjEKa2luZDogUG9kCnNwZWM6IHtob3N0TmV0d29yazogdHJ1ZX0K"} | kubernetes/privileged
PUT HUB/contents/deploy/web.yaml {"branch": "$own/x", "content": "YXBpVmVyc2lvbjogdjEKa2luZDogUG9kCnNwZWM6IHtob3N0TmV0d29yazogdHJ1."} | kubernetes/unclear
PUT HUB/contents/Dockerfile {"branch": "$own/x", "sha": "1", "content": "RlJPTSBzY3JhdGNoClVTRVIgcm9vdAo="} | dockerfiles/root
DELETE HUB/contents/.upsun/config.yaml {"branch": "$own/x", "sha": "1"} | push/infrastructure
POST LAB/commits {"branch": "$own/x", "actions": [{"action": "create", "file_path": "web.yml", "content": "kind: Pod\napiVersion: v1\nspec: {hostPID: true}\n"}]} | kubernetes/privileged
POST LAB/commits {"branch": "$own/x", "actions": [{"action": "move", "file_path": "web.yml", "previous_path": "a.txt"}]} | kubernetes/unclear
POST TEA/contents {"branch": "$own/x", "files": [{"operation": "create", "path": "compose.yaml", "content": "c2VydmljZXM6IHthOiB7YnVpbGQ6IC4sIHByaXZpbGVnZWQ6IHRydWV9fQo="}]} | containers/privileged
"#;

#[test]
fn an_interface_changes_no_ref_that_a_push_may_not() {
    with_server(|scene, server| {
        let lines = REFUSED.lines().filter(|line| !line.is_empty());
        let rows = lines.map(|line| {
            let (asked, rule) = line.split_once(" | ").unwrap();
            let asked = asked
                .replace("HUB", "api.github.com/repos/o/r")
                .replace("LAB", "gitlab.com/api/v4/projects/g%2Fp/repository")
                .replace("TEA", "git.test/api/v1/repos/o/r");
            (asked, rule)
        });
        let commits = [
            (commit("main", "a"), "push/protected"),
            (commit("$own/x", ".github/workflows/x.yml"), "push/pipeline"),
        ];
        for (asked, rule) in rows.chain(commits) {
            let ran = ask(scene, server, &[&asked]);
            assert!(ran.stdout.contains(rule), "{asked}: {}", ran.stdout);
            assert_eq!(server.heard(), Vec::<String>::new(), "{asked}");
            assert_eq!(
                pushes(scene).last().map(String::as_str),
                Some(rule),
                "{asked}"
            );
        }
    });
}

#[test]
fn what_could_be_taken_for_another_ref_is_not_passed_on() {
    with_server(|scene, server| {
        let own = "{\"branch\": \"$own/x\", \"content\": \"eA==\"}";
        let contents = "PUT api.github.com/repos/o/r/contents/a";
        let twice = COMMIT.replace("NAME", "$own/x").replace("PATH", "a").replace("mutation {", "mutation { a: createRef(input: {repositoryId: \\\"R\\\", name: \\\"refs/heads/main\\\", oid: \\\"1\\\"}) { clientMutationId }");
        for asked in [
            format!("{contents}?branch=main {own}"),
            "PUT git.test/api/v1/repos/o/r/contents/a {\"branch\": \"$own/x\", \"Branch\": \"main\"}".to_owned(),
            "PUT git.test/api/v1/repos/o/r/contents/a {\"branch\": \"$own/x\", \"from_path\": \"../a\"}".to_owned(),
            "POST gitlab.com/api/v4/projects/1/repository/commits {\"branch\": \"$own/x\", \"actions\": [{\"action\": \"create\", \"file_path\": \"./.gitlab-ci.yml\"}]}".to_owned(),
            format!("POST api.github.com/graphql {{\"query\": \"{twice}\"}}"),
            "POST api.github.com/graphql {\"query\": \"mutation { updateRef(input: {refId: \\\"R\\\", oid: \\\"1\\\"}) { clientMutationId } }\"}".to_owned(),
        ] {
            let ran = ask(scene, server, &[&asked]);
            assert!(ran.stdout.contains("gate/push"), "{asked}: {}", ran.stdout);
        }
        // As a form, which some servers read and some do not.
        let form =
            "curl -sS -X PUT -d '{\"branch\": \"x\"}' http://api.github.com/repos/o/r/contents/a";
        let ran = scene.run_with(&[&server.policy(scene)], &["sh", "-c", form]);
        assert!(ran.stdout.contains("gate/push"), "{}", ran.stdout);
        assert_eq!(server.heard(), Vec::<String>::new());
        assert_eq!(pushes(scene), Vec::<String>::new());
        // A merge that does not say of what.
        let policy = server.policy(scene);
        let flags = [policy.as_str(), "--approval-timeout=0"];
        let merge = "curl -sS -X PUT http://api.github.com/repos/o/r/pulls/1/merge";
        let ran = scene.run_with(&flags, &["sh", "-c", merge]);
        assert!(ran.stdout.contains("push/unseen"), "{}", ran.stdout);
        assert_eq!(server.heard(), Vec::<String>::new());
    });
}

#[test]
fn an_interface_writes_to_the_sessions_own_branch() {
    with_server(|scene, server| {
        let asked = [
            "PUT api.github.com/repos/o/r/contents/src/a {\"branch\": \"$own/x\", \"content\": \"eA==\"}",
            "DELETE api.github.com/repos/o/r/git/refs/heads/$own/x",
            "POST gitlab.com/api/v4/projects/g%2Fp/repository/commits {\"branch\": \"$own/x\", \"actions\": [{\"action\": \"create\", \"file_path\": \"a\"}]}",
            "POST git.test/api/v1/repos/o/r/branches {\"new_branch_name\": \"$own/x\", \"old_branch_name\": \"main\"}",
            &commit("$own/x", "a"),
        ];
        let ran = ask(scene, server, &asked);
        assert_eq!(server.heard().len(), asked.len(), "{}", ran.stdout);
        assert_eq!(pushes(scene), ["push/own-branch"; 5]);
        let mut done = 0;
        scene.each_event(|event| {
            if let Event::Outcome {
                outcome: OutcomeOf::Done,
                ..
            } = event
            {
                done += 1;
            }
        });
        assert!(done >= asked.len(), "{done}");
    });
}

#[test]
fn large_files_are_uploaded_for_own_branches_only() {
    with_server(|scene, server| {
        let lfs = "git.test/o/r.git/info/lfs";
        let batch = |said: &str| {
            format!(
                "POST {lfs}/objects/batch {{\"operation\": {said}, \"objects\": [{{\"oid\": \"0\", \"size\": 1}}]}}"
            )
        };
        for said in [
            "\"upload\"",
            "\"upload\", \"ref\": {\"name\": \"refs/heads/main\"}",
            "\"upload\", \"ref\": {\"name\": \"refs/tags/$own/x\"}",
            "\"upload\", \"ref\": {\"name\": \"refs/heads/${own}x\"}",
            "[\"download\"]",
        ] {
            let ran = ask(scene, server, &[&batch(said)]);
            assert!(
                ran.stdout.contains("api/lfs-upload"),
                "{said}: {}",
                ran.stdout
            );
        }
        let lock = format!("POST {lfs}/locks {{\"path\": \"a\"}}");
        let ran = ask(scene, server, &[&lock]);
        assert!(ran.stdout.contains("guard/not-allowed"), "{}", ran.stdout);
        assert_eq!(server.heard(), Vec::<String>::new());
        let name = "0".repeat(64);
        let asked = [
            batch("\"download\""),
            batch("\"upload\", \"ref\": {\"name\": \"refs/heads/$own/x\"}"),
            format!("PUT {lfs}/objects/{name}"),
            format!("POST {lfs}/locks/verify {{}}"),
        ];
        let asked: Vec<_> = asked.iter().map(String::as_str).collect();
        let ran = ask(scene, server, &asked);
        assert_eq!(server.heard().len(), asked.len(), "{}", ran.stdout);
    });
}
