//! What is in a pack, and what is not: a push is judged by what its commits hold, wherever that is.

use crate::git_server::Server;
use crate::pushes::{BODY, push, refused_by, with_server};
use crate::scene::Scene;

/// Branches of others: one with directories of its own, and one with a workflow.
fn others(scene: &Scene, server: &Server) {
    let script = format!(
        "git checkout -q -b other && mkdir -p lib/deep && echo x > lib/deep/f && git add . && git commit -qm other && \
         git checkout -q -b evil && mkdir -p .github/workflows && echo on: push > .github/workflows/ci.yml && \
         git add . && git commit -qm evil && git push -q {} other evil && git checkout -q work",
        server.repository.display()
    );
    assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
}

/// With an index of what leads where, git leaves out of a pack all that the server has, as other clients always do:
/// `alone` says how many objects are left, and makes of a tree the commit that is pushed.
const LEAN: &str = "git repack -adbq
alone() {
    one=$(git commit-tree -p HEAD -m x $1)
    printf '%s\\n^main\\n^other\\n^evil\\n' $one | git pack-objects --revs --stdout -q | head -c 12 | tail -c 4 | od -An -tx1
}
";

#[test]
fn a_directory_that_only_the_server_has_is_judged_by_what_it_holds() {
    with_server(|scene, server| {
        others(scene, server);
        let before = server.refs(scene);
        let beside = |name: &str, what: &str| {
            format!(
                "$( (git ls-tree HEAD; printf '040000 tree %s\\t{name}\\n' $(git rev-parse {what})) | git mktree)"
            )
        };
        for (tree, rule) in [
            ("evil^{tree}".to_owned(), "push/pipeline"),
            (beside(".github", "evil:.github"), "push/pipeline"),
        ] {
            let script = format!("{LEAN}alone {tree}; git push origin $one:refs/heads/$own/x");
            let ran = push(scene, server, &script);
            assert_eq!(server.refs(scene), before, "{tree}: {}", ran.stderr);
            let rules = refused_by(scene);
            assert_eq!(
                rules.last().map(String::as_str),
                Some(rule),
                "{tree}: {}",
                ran.stderr
            );
        }
        for (number, tree) in ["other^{tree}".to_owned(), beside("moved", "other:lib/deep")]
            .iter()
            .enumerate()
        {
            let script =
                format!("{LEAN}alone {tree}; git push origin $one:refs/heads/$own/{number}");
            let ran = push(scene, server, &script);
            assert!(
                server.refs(scene).contains(&format!("/{number} ")),
                "{tree}: {}",
                ran.stderr
            );
            // It was about something: of the first, nothing but the commit was in the pack.
            assert!(number > 0 || ran.stdout.contains("00 00 00 01"));
        }
    });
}

#[test]
fn a_directory_that_nobody_has_is_not_taken_for_an_empty_one() {
    with_server(|scene, server| {
        others(scene, server);
        let before = server.refs(scene);
        let all_but = |what: &str| {
            format!(
                "{BODY}mkdir -p new/deep && echo y > new/deep/y && git add new && (git commit -qm new || true)\n\
                 git rev-list --objects main..HEAD | cut -d' ' -f1 | grep -v $(git rev-parse {what}) > all\n\
                 line=\"$(printf %040d 0) $(git rev-parse HEAD) refs/heads/$own/x\"\n\
                 (printf '%04x%s\\000 report-status0000' $((${{#line}} + 19)) \"$line\"; git pack-objects --stdout -q < all) | post"
            )
        };
        for what in ["HEAD^{tree}", "HEAD:new", "HEAD:new/deep"] {
            let ran = push(scene, server, &all_but(what));
            assert_eq!(server.refs(scene), before, "{what}: {}", ran.stderr);
            let told = &ran.stdout;
            assert!(
                told.contains("what it builds upon is not known") && told.contains("gate/push"),
                "{what}: {told}"
            );
        }
    });
}
