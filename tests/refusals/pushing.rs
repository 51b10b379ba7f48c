//! What git itself can do in a push, option by option: the server's refs show what came of it.

use crate::pushes::{push, refused_by, with_server};
use crate::scene::Scene;

/// A commit that is not on the server.
const COMMIT: &str = "echo c > c; git add c; git commit -qm three || true";
/// A key to sign with, of the session's own making.
const SIGNED: &str = "test -e $TMPDIR/key || ssh-keygen -q -t ed25519 -N '' -f $TMPDIR/key
signed() { git -c gpg.format=ssh -c user.signingkey=$TMPDIR/key.pub push --signed \"$@\"; }";
/// What git's helper does between a server and `git send-pack`, by hand.
const PLUMBING: &str = r#"cat > $TMPDIR/plumbing.py <<'END'
import subprocess, sys
from urllib.request import Request, urlopen

url, *refs = sys.argv[1:]
told = urlopen(url + "/info/refs?service=git-receive-pack").read()
words = ["git", "send-pack", "--stateless-rpc", "--helper-status", url, *refs]
sending = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
sending.stdin.write(told[told.index(b"0000") + 4:])
sending.stdin.flush()
body = b""
while length := int(sending.stdout.read(4), 16):
    body += sending.stdout.read(length - 4)
kind = {"Content-Type": "application/x-git-receive-pack-request"}
sending.stdin.write(urlopen(Request(url + "/git-receive-pack", body, kind)).read())
sending.stdin.close()
print(sending.stdout.read().decode())
END
plumbing() { /usr/bin/python3 $TMPDIR/plumbing.py http://git.test/o/r.git "$@"; }"#;

/// Remotes, tags and branches that a human set up.
fn prepare(scene: &Scene) {
    let script = "git tag -a -m v1 v1 && git branch feature && git config remote.mirror.url http://git.test/o/r.git && \
         git config remote.mirror.mirror true && git config remote.all.url http://git.test/o/r.git && \
         git config remote.all.push '+refs/heads/*:refs/heads/*' && git config remote.both.url http://git.test/o/r.git && \
         git config --add remote.both.push HEAD:refs/heads/other && git config --add remote.both.push HEAD:refs/heads/main";
    assert_eq!(scene.run_bare(&["sh", "-ec", script]).code, Some(0));
}

/// The rules that refused something, behind those that are `known`.
fn refused_since(scene: &Scene, known: usize) -> Vec<String> {
    scene.refusals().split_off(known)
}

#[test]
fn no_option_of_git_changes_a_ref_that_is_not_the_sessions_own() {
    with_server(|scene, server| {
        prepare(scene);
        let before = server.refs(scene);
        let own = "HEAD:refs/heads/$own/x";
        let mut others = Vec::new();
        for (script, rule) in [
            // Told by its words, before it starts.
            ("git push --mirror origin".to_owned(), "git/rewrite"),
            (
                "git push --prune origin 'refs/heads/agent/*:refs/heads/agent/*'".to_owned(),
                "git/rewrite",
            ),
            // An alias leads to a git of its own.
            (
                "git -c alias.up='push --prune' up all".to_owned(),
                "git/rewrite",
            ),
            // Without words that say it.
            ("git push mirror".to_owned(), "push/tag"),
            ("git push all".to_owned(), "guard/not-allowed"),
            ("git push --atomic both".to_owned(), "push/protected"),
            (format!("git push --follow-tags origin {own}"), "push/tag"),
            (
                format!("git -c push.followTags=true push origin {own}"),
                "push/tag",
            ),
            (format!("git push --tags origin {own}"), "push/tag"),
            (format!("{SIGNED}\nsigned both"), "push/protected"),
            (format!("{SIGNED}\nsigned --atomic both"), "push/protected"),
            (
                format!("{PLUMBING}\nplumbing HEAD:refs/heads/main"),
                "git/protected-branch",
            ),
            (
                format!("{PLUMBING}\nplumbing {own} :refs/heads/main"),
                "git/protected-branch",
            ),
        ] {
            let known = scene.refusals().len();
            let ran = push(scene, server, &format!("{COMMIT}\nset +e\n{script}\ntrue"));
            assert_eq!(server.refs(scene), before, "{script}: {}", ran.stderr);
            let rules = refused_since(scene, known);
            if !rules.iter().any(|one| one == rule) {
                others.push(format!("{script}: {rules:?} {}{}", ran.stdout, ran.stderr));
            }
        }
        assert_eq!(others, [""; 0]);
    });
}

#[test]
fn every_option_of_git_leads_to_the_sessions_own_branch() {
    with_server(|scene, server| {
        prepare(scene);
        let hook = server.repository.join("hooks/post-receive");
        let script = format!(
            "printf '#!/bin/sh\\n[ -z \"$GIT_PUSH_CERT\" ] || echo $GIT_PUSH_CERT_NONCE_STATUS >> certified\\n' > {0} && chmod 755 {0}",
            hook.display()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
        let own = |name: &str| format!("HEAD:refs/heads/$own/{name}");
        for (name, script) in [
            (
                "atomic",
                format!(
                    "git push --atomic origin {} {}",
                    own("atomic"),
                    own("beside")
                ),
            ),
            (
                "signed",
                format!("{SIGNED}\nsigned origin {}", own("signed")),
            ),
            (
                "both",
                format!(
                    "{SIGNED}\nsigned --atomic -o merge_request.create origin {}",
                    own("both")
                ),
            ),
            (
                "plumbing",
                format!("{PLUMBING}\nplumbing {}", own("plumbing")),
            ),
            ("thin", format!("git push --thin origin {}", own("thin"))),
            (
                "tags",
                format!(
                    "git tag -d v1; git push --follow-tags origin {}",
                    own("tags")
                ),
            ),
        ] {
            let ran = push(scene, server, &format!("{COMMIT}\n{script}"));
            let refs = server.refs(scene);
            assert!(
                refs.contains(&format!("/{name} ")),
                "{name}: {}{}",
                ran.stdout,
                ran.stderr
            );
        }
        assert_eq!(refused_by(scene), Vec::<String>::new());
        // The server's own nonce came back to it, in a certificate that it could read.
        let certified = std::fs::read_to_string(server.repository.join("certified")).unwrap();
        assert_eq!(certified.lines().count(), 2, "{certified}");
        assert!(
            certified.lines().all(|said| ["OK", "SLOP"].contains(&said)),
            "{certified}"
        );
    });
}
