//! Refs that an interface is asked to have point to what lies on the server already: judged by what that holds.

use agentguard::core::Event;

use crate::approvals::{allow, approve, end, start, waiting};
use crate::pushes::{Server, refused_by, with_server};
use crate::scene::{Ran, Scene};

/// Leaves commits beside the server's branches, as pull requests and forks do, and says their ids in a shell's words.
fn leave(scene: &Scene, server: &Server) -> String {
    let script = format!(
        "at=$(git rev-parse --abbrev-ref HEAD)
         commit() {{ git add -A && git commit -qm \"$1\"; }}
         left() {{ git push -q {} $2:refs/pull/$1/head; echo $1=$(git rev-parse $2); git checkout -q -f $at; }}
         git checkout -q --detach && mkdir -p src && echo x > src/x && commit good && left good HEAD
         git checkout -q --detach && mkdir -p .github/workflows && echo on: push > .github/workflows/ci.yml && commit evil && left evil HEAD
         git checkout -q --detach $(git rev-parse main) && mkdir -p .github/workflows && echo on: push > .github/workflows/ci.yml && commit evil && \
            git rm -q -r .github && git commit -qm gone && left gone HEAD
         git checkout -q --detach && git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),lib && git commit -qm lib && left lib HEAD
         git checkout -q --orphan other && git rm -q -r -f . && echo y > y && commit other && left other HEAD
         git checkout -q --detach && mkdir -p .github/workflows && echo on: push > .github/workflows/ci.yml && commit evil && \
            git tag -a -m t tagged && left tagged tagged
         git tag -d tagged >&2; git branch -q -D other >&2
         echo main=$(git rev-parse main); echo tree=$(git rev-parse main^{{tree}})",
        server.repository.display()
    );
    let ran = scene.run_bare(&["sh", "-ec", &script]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout
}

/// A policy that grants the server as GitHub and its interface, and as a host of somebody's own, where a slash is a
/// part of a segment.
fn policy(scene: &Scene, server: &Server, hosts: &[&str], more: &str) -> String {
    let port = server.port;
    let granted = hosts.iter().map(|host| {
        format!(
            "hosts contains \"{host}\"\n\nescaped_slashes contains \"{host}\"\n\n\
             addresses contains {{\"host\": \"{host}\", \"at\": \"127.0.0.1:{port}\"}}\n\n"
        )
    });
    let granted: String = granted.collect();
    scene.policy(&format!("package agentguard.sandbox\n\n{granted}{more}"))
}

const HOSTS: [&str; 3] = ["api.github.com", "github.com", "git.test"];

/// Asks each of `asked` with the ids in `ids`, and answers with a line of each.
fn ask(scene: &Scene, policy: &str, ids: &str, asked: &[&str]) -> (Vec<String>, Ran) {
    let mut script =
        format!("own=agent/$AGENTGUARD_AGENT/$(printf %.8s $AGENTGUARD_SESSION)\n{ids}\n");
    for one in asked {
        let mut words = one.splitn(3, ' ');
        let (method, to) = (words.next().unwrap(), words.next().unwrap());
        let to = to
            .replace("HUB", "api.github.com/repos/o/r")
            .replace("LAB", "git.test/api/v4/projects/o%2Fr/repository")
            .replace("TEA", "git.test/api/v1/repos/o/r");
        let said = words.next().unwrap();
        script += &format!(
            "curl -sS -X {method} \"http://{to}\" -H content-type:application/json -d @- <<E | tr -d '\\n'\n{said}\nE\necho\n"
        );
    }
    let flags = [policy, "--approval-timeout=0"];
    let ran = scene.run_with(&flags, &["sh", "-c", &script]);
    (ran.stdout.lines().map(str::to_owned).collect(), ran)
}

/// What is asked, and the rule that refuses it.
const REFUSED: &str = r#"
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$evil"} | push/pipeline
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$gone"} | pipelines/removed
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$tagged"} | push/pipeline
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$lib"} | push/submodule
POST HUB/git/refs {"ref": "refs/heads/feature", "sha": "$good"} | guard/not-allowed
POST HUB/git/refs {"ref": "refs/tags/v1", "sha": "$good"} | push/tag
PATCH HUB/git/refs/heads/main {"sha": "$good"} | push/protected
PATCH HUB/git/refs/heads/main {"sha": "$other", "force": true} | push/protected
PATCH HUB/git/refs/heads/$own/x {"sha": "$evil", "force": true} | push/pipeline
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$(printf %.12s $good)"} | push/unseen
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$(echo $good | tr a-f A-F)"} | push/unseen
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$good$(printf %024d 0)"} | push/unseen
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$(printf %039d1 0)"} | push/unseen
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "main"} | push/unseen
POST api.github.com/repositories/1/git/refs {"ref": "refs/heads/$own/x", "sha": "$good"} | push/unseen
POST api.github.com/repos/o/r.git/git/refs {"ref": "refs/heads/$own/x", "sha": "$good"} | push/unseen
POST api.github.com/repos/o/absent/git/refs {"ref": "refs/heads/$own/x", "sha": "$good"} | push/unseen
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$good", "sha": "$evil"} | gate/
POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$good", "Sha": "$evil"} | gate/push
POST api.github.com/graphql {"query": "mutation { createRef(input: {repositoryId: \"R\", name: \"refs/heads/$own/x\", oid: \"$good\"}) { clientMutationId } }"} | push/unseen
PUT HUB/pulls/1/merge {"sha": "$good"} | push/merge
PUT HUB/pulls/1/merge {"sha": "$evil"} | push/pipeline
PUT HUB/pulls/1/merge {"merge_method": "rebase"} | push/unseen
PUT HUB/pulls/1/merge {"sha": "refs/pull/1/head"} | push/unseen
POST HUB/merges {"base": "main", "head": "$good"} | push/protected
POST HUB/merges {"base": "$own/x", "head": "$good"} | push/merge
POST HUB/merges {"base": "$own/x", "head": "main"} | push/unseen
POST HUB/merge-upstream {"branch": "$own/x"} | push/unseen
PUT HUB/pulls/1/update-branch {"expected_head_sha": "$good"} | push/unseen
PUT git.test/api/v4/projects/o%2Fr/merge_requests/1/merge {"sha": "$good"} | push/merge
PUT git.test/api/v4/projects/o%2Fr/merge_requests/1/merge {"sha": "$evil"} | push/pipeline
POST TEA/pulls/1/merge {"Do": "merge", "head_commit_id": "$good"} | push/merge
POST TEA/pulls/1/merge {"Do": "merge", "head_commit_id": "$good", "Head_Commit_Id": "$evil"} | gate/push
POST api.github.com/graphql {"query": "mutation { mergePullRequest(input: {pullRequestId: \"R\", expectedHeadOid: \"$good\"}) { clientMutationId } }"} | gate/push
POST LAB/branches {"branch": "$own/x", "ref": "$evil"} | push/pipeline
POST LAB/branches {"branch": "$own/x", "ref": "main"} | push/unseen
POST LAB/branches {"branch": "$own/x", "ref": "refs/pull/evil/head"} | push/unseen
POST TEA/branches {"new_branch_name": "$own/x", "old_ref_name": "$evil"} | push/pipeline
POST TEA/branches {"new_branch_name": "$own/x", "old_ref_name": "refs/pull/evil/head"} | push/unseen
"#;

#[test]
fn a_ref_that_an_interface_makes_of_an_id_is_judged_by_what_that_holds() {
    with_server(|scene, server| {
        let ids = leave(scene, server);
        let before = server.refs(scene);
        let policy = policy(scene, server, &HOSTS, "");
        let rows = REFUSED.lines().filter(|line| !line.is_empty());
        let rows: Vec<_> = rows.map(|line| line.rsplit_once(" | ").unwrap()).collect();
        let asked: Vec<_> = rows.iter().map(|(asked, _)| *asked).collect();
        let (said, ran) = ask(scene, &policy, &ids, &asked);
        assert_eq!(said.len(), rows.len(), "{}", ran.stderr);
        let others = rows.iter().zip(&said);
        let others = others.filter(|((_, rule), said)| !said.contains(rule));
        assert_eq!(others.collect::<Vec<_>>(), []);
        assert_eq!(server.refs(scene), before);
    });
}

#[test]
fn an_interface_makes_the_sessions_own_branch_of_an_id_that_holds_nothing_refused() {
    with_server(|scene, server| {
        let ids = leave(scene, server);
        let id = |name: &str| {
            let lines = ids.lines().find_map(|line| line.strip_prefix(name));
            lines.unwrap().trim_start_matches('=').to_owned()
        };
        let policy = policy(scene, server, &HOSTS, "");
        let asked = [
            r#"POST HUB/git/refs {"ref": "refs/heads/$own/one", "sha": "$main"}"#,
            r#"PATCH HUB/git/refs/heads/$own/one {"sha": "$good"}"#,
            r#"POST LAB/branches {"branch": "$own/two", "ref": "$good"}"#,
            r#"POST TEA/branches {"new_branch_name": "$own/three", "old_ref_name": "$other"}"#,
            r#"PATCH HUB/git/refs/heads/$own/three {"sha": "$main"}"#,
            r#"PATCH HUB/git/refs/heads/$own/two {"sha": "$other", "force": true}"#,
        ];
        let (said, ran) = ask(scene, &policy, &ids, &asked);
        assert_eq!(said, ["{}"; 6], "{}", ran.stderr);
        let refs = server.refs(scene);
        for (name, held) in [("one", "good"), ("two", "other"), ("three", "other")] {
            let line = format!("/{name} {}", id(held));
            assert!(refs.contains(&line), "{line}: {refs}");
        }
        assert_eq!(refused_by(scene), Vec::<String>::new());
        // Each was fetched by an action of its own, and what it brings stands in its entry.
        let (mut fetched, mut brought) = (0, Vec::new());
        scene.each_event(|event| {
            if let Event::Decision {
                action,
                ruling,
                brings,
                ..
            } = event
            {
                fetched +=
                    usize::from(action == "api" && ruling.rule().id.as_str() == "api/git-fetch");
                brought.extend(brings.iter().flat_map(|some| some.commits.clone()));
            }
        });
        assert_eq!(fetched, asked.len());
        let (good, other) = (id("good"), id("other"));
        // The second time it is in a branch already.
        assert_eq!(brought, [good, other]);
    });
}

/// The human is told what it brings, and the yes is for that alone.
#[test]
fn what_a_human_lets_an_interface_merge_is_merged_once_and_nothing_else_is() {
    with_server(|scene, server| {
        let ids = leave(scene, server);
        let policy = policy(scene, server, &HOSTS, "");
        let merge = |sha: &str, more: &str| {
            format!(
                "curl -sS -X PUT http://api.github.com/repos/o/r/pulls/1/merge -H content-type:application/json -d '{{\"sha\": \"'{sha}'\"{more}}}'\n"
            )
        };
        let script = [
            &ids,
            "\n",
            &merge("$good", ""),
            "until [ -e approved ]; do :; done\n",
            &merge("$good", ", \"merge_method\": \"rebase\""),
            &merge("$other", ""),
            &merge("$good", ""),
            &merge("$good", ""),
        ]
        .concat();
        let session = start(scene, &[&policy, "--approval-timeout=0"], &script);
        let id = waiting(scene, 1).remove(0);
        let (_, listed) = approve(scene, &[]);
        assert!(listed.contains("refs/pull/1/merge"), "{listed}");
        assert!(listed.contains("`src/x`"), "{listed}");
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        allow(scene, "approved");
        let told = end(session);
        let said: Vec<_> = told.lines().map(|line| line == "{}").collect();
        assert_eq!(said, [false, false, false, true, false], "{told}");
        let good = ids
            .lines()
            .next()
            .unwrap()
            .replace("good=", "refs/heads/main ");
        assert!(server.refs(scene).contains(&good));
    });
}

#[test]
fn what_a_session_may_not_fetch_stays_unseen() {
    with_server(|scene, server| {
        let ids = leave(scene, server);
        let before = server.refs(scene);
        let asked = r#"POST HUB/git/refs {"ref": "refs/heads/$own/x", "sha": "$good"}"#;
        let here = policy(scene, server, &["api.github.com"], "");
        let (said, ran) = ask(scene, &here, &ids, &[asked]);
        assert!(said[0].contains("push/unseen"), "{said:?}{}", ran.stderr);
        assert!(said[0].contains("not granted"), "{said:?}");
        let all = policy(scene, server, &HOSTS, "");
        scene.write(
            "policy/fetch.rego",
            "package agentguard.api.own\n\ndeny contains {\"id\": \"own/fetch\", \"reason\": \"nothing is fetched\"} if {\n\
             \tinput.action.host == \"github.com\"\n}\n",
        );
        let (said, ran) = ask(scene, &all, &ids, &[asked]);
        assert!(said[0].contains("own/fetch"), "{said:?}{}", ran.stderr);
        assert_eq!(server.refs(scene), before);
    });
}
