//! Pushes that wait for a human: git shows it, and the server gets what was approved, once.

use std::process::{Child, Stdio};

use crate::approvals::{allow, approve, end, start, waiting};
use crate::gated::assert_verifies;
use crate::lifetime::until;
use crate::pushes::{SHELL, Server, refused_by, with_server};
use crate::scene::{Scene, level};

const RULES: &str = "package agentguard.push.own\n\n\
    ask contains {\"id\": \"own/ask\", \"reason\": \"a human looks at it\"} if {\n\
    \tsome update in input.action.refs\n\tcontains(update.short, \"/asked\")\n\tupdate.change != \"delete\"\n}\n";

fn session(scene: &Scene, server: &Server, flags: &[&str], script: &str) -> Child {
    let policy = server.policy(scene);
    scene.write("policy/own.rego", RULES);
    let flags: Vec<_> = std::iter::once(policy.as_str())
        .chain(flags.iter().copied())
        .collect();
    start(scene, &flags, &format!("{SHELL}\nset -e\n{script}"))
}

const COMMIT: &str = "echo c > c; git add c; git commit -qm three\n";

#[test]
fn git_shows_that_a_push_waits_and_what_is_approved_goes_once() {
    with_server(|scene, server| {
        let script = format!(
            "{COMMIT}git push origin HEAD:refs/heads/$own/asked 2>&1 &\n\
             git push -q origin HEAD:refs/heads/$own/other 2>&1\nwait\n\
             git push origin HEAD~1:refs/heads/$own/asked-too 2>&1 || true"
        );
        let session = session(scene, server, &[], &script);
        let id = waiting(scene, 1).remove(0);
        until("others wait for it", || {
            server.refs(scene).contains("/other ")
        });
        assert!(!server.refs(scene).contains("/asked "));
        let (_, listed) = approve(scene, &[]);
        assert!(listed.contains("/asked` nothing.."), "{listed}");
        assert!(listed.contains("`c` 100644"), "{listed}");
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        until("it was approved", || server.refs(scene).contains("/asked "));
        let second = waiting(scene, 1).remove(0);
        assert_eq!(approve(scene, &[&second, "--deny"]).0, Some(0));
        let told = end(session);
        let waits = format!("remote: agentguard: waiting for approval {id}");
        assert!(told.contains(&waits), "{told}");
        assert!(told.contains("[new branch]"), "{told}");
        assert!(told.contains("a human said no"), "{told}");
        assert!(!server.refs(scene).contains("/asked-too "));
        assert_verifies(scene);
    });
}

#[test]
fn what_was_approved_after_it_was_refused_goes_once_and_nothing_else_does() {
    with_server(|scene, server| {
        let script = format!(
            "{COMMIT}git push origin HEAD:refs/heads/$own/asked 2>&1 || touch refused\n\
             until [ -e approved ]; do :; done\n\
             git push -q origin HEAD~1:refs/heads/$own/asked 2>&1 && echo went-1\n\
             git push -q origin HEAD:refs/heads/$own/asked-too 2>&1 && echo went-2\n\
             git push -q --atomic origin HEAD:refs/heads/$own/asked HEAD:refs/heads/$own/x 2>&1 && echo went-3\n\
             git push -q -o ci.skip origin HEAD:refs/heads/$own/asked 2>&1 && echo went-4\n\
             git repack -adfq; git push -q origin HEAD:refs/heads/$own/asked 2>&1 && echo went-5\n\
             git push -q origin :refs/heads/$own/asked 2>&1\n\
             git push -q origin HEAD:refs/heads/$own/asked 2>&1 && echo went-6; true"
        );
        let session = session(
            scene,
            server,
            &["--approval-timeout", "0"],
            &format!("set +e\n{script}"),
        );
        let id = waiting(scene, 1).remove(0);
        until("it waits for ever", || {
            scene.work().join("refused").exists()
        });
        let before = server.refs(scene);
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        assert_eq!(server.refs(scene), before);
        allow(scene, "approved");
        let told = end(session);
        let went: Vec<_> = told.lines().filter(|line| line.contains("went")).collect();
        assert_eq!(went, ["went-5"], "{told}");
        assert!(told.contains(&format!("agentguard approve {id}")), "{told}");
        assert_eq!(server.refs(scene), before);
        assert_verifies(scene);
    });
}

#[test]
fn a_client_that_left_sends_nothing_and_what_was_approved_is_for_its_next_push() {
    with_server(|scene, server| {
        let script = format!(
            "{COMMIT}setsid git push -q origin HEAD:refs/heads/$own/asked & p=$!\n\
             until [ -e left ]; do :; done; kill -s KILL -- -$p; touch gone\n\
             until [ -e approved ]; do :; done\n\
             git push -q origin HEAD:refs/heads/$own/asked 2>&1"
        );
        let session = session(scene, server, &[], &script);
        let id = waiting(scene, 1).remove(0);
        let before = server.refs(scene);
        allow(scene, "left");
        until("it is left", || scene.work().join("gone").exists());
        until("it is seen that it left", || {
            refused_by(scene).contains(&"own/ask".to_owned())
        });
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        allow(scene, "approved");
        let told = end(session);
        assert_ne!(server.refs(scene), before, "{told}");
        assert!(!told.contains("waiting"), "{told}");
        assert_verifies(scene);
    });
}

#[test]
fn a_client_that_would_be_shown_nothing_waits_all_the_same() {
    with_server(|scene, server| {
        let script = format!(
            "{COMMIT}git push -q origin HEAD:refs/heads/$own/x\n\
             new=$(git rev-parse HEAD); line=\"$(printf %040d 0) $new refs/heads/$own/asked\"\n\
             {{ printf '%04x%s\\0 report-status\\n0000' $((${{#line}} + 20)) \"$line\"; \
             git pack-objects --stdout -q < /dev/null; }} > body\n\
             curl -sS --data-binary @body -H 'content-type: application/x-git-receive-pack-request' \
             http://git.test/o/r.git/git-receive-pack"
        );
        let session = session(scene, server, &[], &script);
        let id = waiting(scene, 1).remove(0);
        assert!(!server.refs(scene).contains("/asked "));
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        let told = end(session);
        assert!(server.refs(scene).contains("/asked "), "{told}");
        assert!(
            told.contains("ok refs/heads/") && !told.contains("waiting"),
            "{told}"
        );
    });
}

#[test]
fn a_service_is_raised_above_its_major_line_where_a_human_says_so() {
    with_server(|scene, server| {
        let script = format!(
            "git checkout -q main && mkdir .upsun && printf 'services:\\n  db:\\n    type: postgresql:16.1\\n' \
             > .upsun/config.yaml && git add . && git commit -qm infra && git push -q {} main && git checkout -q -B work",
            server.repository.display()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
        let script = "blob=$(printf 'services:\\n  db:\\n    type: postgresql:17\\n' | git hash-object -w --stdin)\n\
             inner=$(printf '100644 blob %s\\tconfig.yaml\\n' $blob | git mktree)\n\
             tree=$( (git ls-tree HEAD | grep -v upsun; printf '040000 tree %s\\t.upsun\\n' $inner) | git mktree)\n\
             one=$(git commit-tree -p HEAD -m x $tree)\n\
             git push -q origin $one:refs/heads/$own/one 2>&1 || true\n\
             git push -q origin $one:refs/heads/$own/two 2>&1";
        let session = session(scene, server, &[], script);
        let first = waiting(scene, 1).remove(0);
        let before = server.refs(scene);
        let (_, listed) = approve(scene, &[]);
        let change = "at `services.db.type`: \"postgresql:16.1\" -> \"postgresql:17\"";
        assert!(listed.contains(change), "{listed}");
        assert_eq!(approve(scene, &[&first, "--deny"]).0, Some(0));
        let second = waiting(scene, 1).remove(0);
        assert_eq!(server.refs(scene), before);
        let (_, said) = approve(scene, &[&second]);
        assert!(said.contains(change), "{said}");
        let told = end(session);
        let after = server.refs(scene);
        assert!(
            after.contains("/two ") && !after.contains("/one "),
            "{told}"
        );
        assert_eq!(refused_by(scene), ["deployed/version"]);
    });
}

#[test]
fn only_so_many_pushes_are_kept_until_a_human_answers() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let script = format!(
            "{COMMIT}for one in 1 2 3 4 5 6 7 8; do\n\
             git push -q origin HEAD:refs/heads/$own/asked-$one 2> told-$one & done\n\
             until [ -e full ]; do :; done\n\
             git push -q origin HEAD:refs/heads/$own/asked 2>&1 || touch refused\nwait; true"
        );
        let session = session(scene, server, &[], &script);
        let ids = waiting(scene, 8);
        allow(scene, "full");
        until("the ninth waits", || scene.work().join("refused").exists());
        for id in &ids {
            assert_eq!(approve(scene, &[id, "--deny"]).0, Some(0));
        }
        let told = end(session);
        assert!(told.contains("too many pushes wait"), "{told}");
        assert_eq!(server.refs(scene), before);
    });
}

#[test]
fn where_the_guard_dies_nothing_that_waits_is_sent_or_can_be_approved() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let script = format!("{COMMIT}git push -q origin HEAD:refs/heads/$own/asked");
        let policy = server.policy(scene);
        scene.write("policy/own.rego", RULES);
        let mut guard = scene.guard_at(level());
        guard.args([policy.as_str(), "--", "sh", "-c"]);
        guard.arg(format!("{SHELL}\n{script}"));
        guard.stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = guard.spawn().unwrap();
        let id = waiting(scene, 1).remove(0);
        guard.kill().unwrap();
        guard.wait().unwrap();
        assert_eq!(approve(scene, &[&id]).0, Some(1));
        assert_eq!(server.refs(scene), before);
    });
}
