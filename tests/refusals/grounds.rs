//! What a push builds upon: asked of the server where it is not known, and never taken from whoever pushes.

use crate::pushes::{push, with_server};
use crate::scene::Scene;

/// A push by hand: each word is `OLD:NEW:NAME`, and what FETCH_HEAD leads to is left out of the pack.
const BY_HAND: &str = "by_hand() {
    caps=' report-status'
    for one; do
        line=\"$(echo $one | tr : ' ')\"
        if [ -n \"$caps\" ]; then
            printf '%04x%s\\000%s' $((${#line} + 1 + ${#caps} + 4)) \"$line\" \"$caps\"
        else
            printf '%04x%s' $((${#line} + 4)) \"$line\"
        fi
        caps=
    done > body
    printf 0000 >> body
    printf '%s\\n^%s\\n^main\\n' $new $(git rev-parse FETCH_HEAD) | git pack-objects --revs --stdout -q >> body
    curl -s --data-binary @body -H 'Content-Type: application/x-git-receive-pack-request' http://git.test/o/r.git/git-receive-pack
}
none=$(printf %040d 0)
";

/// Leaves a commit with a workflow beside the server's branches, as a pull request does.
fn leave(scene: &Scene, repository: &std::path::Path) {
    let script = format!(
        "git checkout -q --detach && mkdir -p .github/workflows && echo on: push > .github/workflows/ci.yml && \
         git add . && git commit -qm evil && git push -q {} HEAD:refs/pull/1/head && git checkout -q work",
        repository.display()
    );
    assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
}

#[test]
fn what_a_ref_is_only_said_to_hold_is_not_built_upon() {
    with_server(|scene, server| {
        leave(scene, &server.repository);
        let before = server.refs(scene);
        let begin = format!(
            "{BY_HAND}git fetch -q origin refs/pull/1/head\nevil=$(git rev-parse FETCH_HEAD)\n\
             new=$(git commit-tree -p $evil -m x $evil^{{tree}}); own=refs/heads/$own\nset +e\n"
        );
        // The first is nobody's to vouch for but the server's, which does not.
        for refs in [
            "$evil:$new:$own/x",
            "$evil:$new:$own/x $none:$new:$own/y",
            "$none:$new:$own/y $evil:$new:$own/x",
            "$none:$new:$own/y",
            "$evil:$evil:$own/x $none:$evil:$own/y",
        ] {
            let ran = push(scene, server, &format!("{begin}by_hand {refs}\n"));
            let said = ran.stdout.replace('\0', " ");
            assert_eq!(server.refs(scene), before, "{refs}: {said}");
            assert!(
                said.contains("ng refs/heads/"),
                "{refs}: {said}{}",
                ran.stderr
            );
        }
        // What was sent with the first lies there now, and is led to by nothing.
        let ran = push(
            scene,
            server,
            &format!("{begin}by_hand $evil:$new:$own/x\nby_hand $none:$new:$own/y\n"),
        );
        assert_eq!(server.refs(scene), before, "{}", ran.stdout);
        assert!(ran.stdout.contains("gate/push"), "{}", ran.stdout);
    });
}

#[test]
fn what_was_read_before_is_judged_the_same_and_not_asked_for() {
    with_server(|scene, server| {
        let script = "commit() { mkdir -p $(dirname $1); echo $2 > $1; git add .; git commit -qm $2; }
             with() { (git ls-tree HEAD; printf '040000 tree %s\t.github\n' $1) | git mktree; }
             commit src/c one; git push -q origin HEAD:refs/heads/$own/x
             commit src/c two; wire HEAD:refs/heads/$own/x
             git checkout -q -b next HEAD~2; commit deep/er/c three; git push -q origin HEAD:refs/heads/$own/y
             moved=$(git commit-tree -p HEAD -m moved $(with $(git rev-parse HEAD:src/.github)))
             wire $moved:refs/heads/$own/y
             wire $(git commit-tree -p $moved -m gone HEAD^{tree}):refs/heads/$own/y
             made=$(printf '100644 blob %s\tci.yml\n' $(echo on: x | git hash-object -w --stdin) | git mktree)
             made=$(printf '040000 tree %s\tworkflows\n' $made | git mktree)
             wire $(git commit-tree -p HEAD -m made $(with $made)):refs/heads/$own/y";
        server.asked();
        let ran = push(scene, server, script);
        let refs = server.refs(scene);
        let ids = ["work", "next"].map(|name| {
            let words = ["git", "rev-parse", name];
            scene.run_bare(&words).stdout.trim().to_owned()
        });
        for (name, id) in ["/x ", "/y "].iter().zip(&ids) {
            assert!(
                refs.contains(&format!("{name}{id}")),
                "{refs}: {}",
                ran.stderr
            );
        }
        let pipelines = crate::pushes::refused_by(scene);
        assert_eq!(
            pipelines,
            ["push/pipeline", "pipelines/removed", "push/pipeline"],
            "{}",
            ran.stderr
        );
        // What makes a branch has to build upon one that is there, and only of the first it is not known what that
        // holds.
        let asked = server.asked();
        let count = |what: &str| asked.iter().filter(|one| *one == what).count();
        assert_eq!((count("ls-refs"), count("fetch")), (2, 1), "{asked:?}");
    });
}
