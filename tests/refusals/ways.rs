//! Every way to push: each leads through the gate or nowhere, as the server's refs show afterwards.

use crate::pushes::{push, refused_by, with_server};
use crate::scene::Scene;

/// A commit that is not on the server.
const COMMIT: &str = "echo c > c; git add c; git commit -qm three";
/// Without the settings by which git goes over HTTPS by itself.
const BARE: &str = "export GIT_CONFIG_SYSTEM=/dev/null";

/// Whether a rule refused something, behind what was `known` to be refused.
fn is_refused(scene: &Scene, known: usize, rule: &str) -> bool {
    scene.refusals().iter().skip(known).any(|one| one == rule)
}

#[test]
fn no_transport_and_no_plumbing_leads_past_the_gate() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let x = "HEAD:refs/heads/x";
        let delete =
            "$(git rev-parse main) 0000000000000000000000000000000000000000 refs/heads/main";
        for (script, rule) in [
            // As no client of git's would say it.
            (
                format!(
                    "printf '0073%s\\0report-status0000' \"{delete}\" > body; \
                     /usr/bin/curl -sS -H content-type:application/x-git-receive-pack-request \
                     --data-binary @body http://git.test/o/r.git/git-receive-pack"
                ),
                "push/delete",
            ),
            ("git http-push http://git.test/o/r.git/ HEAD:refs/heads/x".to_owned(), "gate/method"),
            ("/usr/bin/curl -sS -X PUT -d x http://git.test/o/r.git/refs/heads/main".to_owned(), "guard/not-allowed"),
            (format!("{BARE}; git push git://git.test/o/r.git {x}"), "network/not-granted"),
            (format!("{BARE}; timeout 20 git push ssh://git@git.test/o/r.git {x}"), "gate/protocol"),
            (format!("{BARE}; timeout 20 git push ssh://git@git.test:443/o/r.git {x}"), "gate/protocol"),
            (format!("git push git@git.test:o/r.git {x}"), "guard/not-allowed"),
            (format!("git push git://git.test/o/r.git {x}"), "guard/not-allowed"),
            (format!("git -c url.http://git.test/.pushInsteadOf=own: push own:o/r.git {x}"), "guard/not-allowed"),
            (
                "printf '#!/bin/sh\\nexec git remote-http origin http://git.test/o/r.git\\n' > git-remote-own; \
                 chmod +x git-remote-own; PATH=$PWD:$PATH git push own::x HEAD:refs/heads/x"
                    .to_owned(),
                "guard/not-allowed",
            ),
            (format!("git -c protocol.ext.allow=always push 'ext::sh -c cat' {x}"), "git/program-by-address"),
            (format!("git push fd::7 {x}"), "git/program-by-address"),
            (format!("git push --receive-pack=./x http://git.test/o/r.git {x}"), ""),
        ] {
            let known = scene.refusals().len();
            let ran = push(scene, server, &format!("{COMMIT} || true\nset +e\n{script}\ntrue"));
            assert_eq!(server.refs(scene), before, "{script}: {}", ran.stderr);
            assert!(rule.is_empty() || is_refused(scene, known, rule), "{script}: {}{}", ran.stdout, ran.stderr);
        }
    });
}

#[test]
fn what_is_asked_of_a_granted_host_by_ssh_goes_over_https_by_itself() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let ran = push(
            scene,
            server,
            &format!(
                "{COMMIT}\ngit push git@git.test:o/r.git HEAD:refs/heads/$own/a\n\
                 git push ssh://git@git.test/o/r.git HEAD:refs/heads/$own/b\n\
                 git push git://git.test/o/r.git HEAD:refs/heads/$own/c"
            ),
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let refs = server.refs(scene);
        for name in ["/a ", "/b ", "/c "] {
            assert!(refs.contains(name), "{refs}");
        }
        assert_ne!(refs, before);
        assert_eq!(refused_by(scene), Vec::<String>::new());
    });
}

#[test]
fn ssh_itself_says_why_it_leads_nowhere() {
    with_server(|scene, server| {
        let options = "-o StrictHostKeyChecking=no -o BatchMode=yes";
        for words in ["git@git.test", "-p 443 git@git.test", "git@other.test"] {
            let ran = push(
                scene,
                server,
                &format!("timeout 20 ssh {options} {words} true || true"),
            );
            let is_known = words.ends_with("git.test");
            let told = ran
                .stderr
                .contains("agentguard: SSH is not passed on (gate/protocol); use HTTPS");
            assert_eq!(told, is_known, "{words}: {}", ran.stderr);
        }
        assert!(is_refused(scene, 0, "gate/protocol"));
    });
}

#[test]
fn repositories_of_this_machine_are_files_as_others_are() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let outside = server.repository.display();
        // Nothing of the server's directory is there inside.
        for script in [
            format!("git push {outside} HEAD:refs/heads/x"),
            format!("git push file://{outside} HEAD:refs/heads/x"),
            format!("git bundle create {outside}/x.bundle HEAD"),
        ] {
            let ran = push(
                scene,
                server,
                &format!("{COMMIT} || true\nset +e\n{script}\ntrue"),
            );
            assert_eq!(server.refs(scene), before, "{script}: {}", ran.stderr);
            assert!(ran.stderr.contains("fatal:"), "{script}: {}", ran.stderr);
        }
        let ran = push(
            scene,
            server,
            "git bundle create $TMPDIR/x.bundle HEAD\ngit init -q --bare $TMPDIR/own.git\n\
             git push $TMPDIR/own.git HEAD:refs/heads/x\ngit -C $TMPDIR/own.git rev-parse x",
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    });
}

#[test]
fn what_is_borrowed_from_elsewhere_is_looked_at_as_well() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        // Objects of another repository, which are nowhere in this one.
        let borrowed = "git init -q --bare $TMPDIR/lent.git; export GIT_OBJECT_DIRECTORY=$TMPDIR/lent.git/objects\n\
             export GIT_ALTERNATE_OBJECT_DIRECTORIES=$PWD/.git/objects\n\
             blob=$(echo on: push | git hash-object -w --stdin)\n\
             inner=$(printf '100644 blob %s\\tci.yml\\n' $blob | git mktree)\n\
             middle=$(printf '040000 tree %s\\tworkflows\\n' $inner | git mktree)\n\
             tree=$( (git ls-tree HEAD; printf '040000 tree %s\\t.github\\n' $middle) | git mktree)\n\
             commit=$(git commit-tree -p HEAD -m x $tree)\n\
             unset GIT_OBJECT_DIRECTORY; export GIT_ALTERNATE_OBJECT_DIRECTORIES=$TMPDIR/lent.git/objects\n";
        let push_it =
            "git push --atomic origin $commit:refs/heads/$own/x HEAD:refs/heads/$own/y || true";
        let ran = push(scene, server, &format!("{borrowed}{push_it}"));
        assert_eq!(server.refs(scene), before, "{}", ran.stderr);
        assert_eq!(refused_by(scene), ["push/pipeline"], "{}", ran.stderr);
    });
}
