//! Servers of git that speak nothing but SSH: what was judged is carried on there, by a key that nobody inside has.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use agentguard::core::{CredentialAct, Event, Level, OutcomeOf};

use crate::lent::credential;
use crate::lifetime::until;
use crate::pushes::{SHELL, refused_by};
use crate::scene::{Ran, Scene, as_everyone, level};
use crate::sshd::{Differs, Sshd, free_port, granted};
use crate::turned::leads_to_the_same_gate;

/// Runs a test with a server of SSH, and its key handed over.
fn with_sshd(differs: Differs, test: impl Fn(&Scene, &Sshd)) {
    as_everyone(|scene| match level() {
        Level::Full => {
            let server = Sshd::start(scene, differs);
            assert_eq!(server.hand(scene, &server.user_key()).code, Some(0));
            test(scene, &server);
        }
        Level::NoNamespaces | Level::OldKernel => leads_to_the_same_gate(scene),
    });
}

fn run_at(scene: &Scene, port: u16, script: &str) -> Ran {
    let script = format!("{SHELL}\n{script}");
    scene.run_command(scene.exec(&[&granted(scene, port)], &["sh", "-c", &script]))
}

fn run(scene: &Scene, server: &Sshd, script: &str) -> Ran {
    run_at(scene, server.port, script)
}

/// What came of the requests and pushes that got no answer.
fn unanswered(scene: &Scene) -> String {
    let mut all = String::new();
    scene.each_event(|event| {
        if let Event::Outcome {
            outcome: OutcomeOf::Unanswered { why },
            ..
        } = event
        {
            all.push_str(why);
            all.push('\n');
        }
    });
    all
}

/// Whether all that the server ran is one of git's two commands, with this repository's path.
#[track_caller]
fn only_git(server: &Sshd) {
    let at = server.repository.display();
    let both = ["upload", "receive"].map(|one| format!("git-{one}-pack '{at}'"));
    let ran = server.ran();
    assert!(ran.iter().all(|one| both.contains(one)), "{ran:?}");
}

#[test]
fn what_git_fetches_and_pushes_is_carried_on_over_ssh() {
    with_sshd(Differs::default(), |scene, server| {
        let script = format!(
            "set -e\ngit clone -q {0} $TMPDIR/cloned\ngit -C $TMPDIR/cloned log --format=%s main\n\
             echo c > c; git add c; git commit -qm three; git push origin HEAD:refs/heads/$own/fix\n\
             git commit -q --amend -m four; git push -q --force-with-lease origin HEAD:refs/heads/$own/fix\n\
             git -C $TMPDIR/cloned fetch -q origin; git -C $TMPDIR/cloned log -1 --format=%s origin/$own/fix\n\
             git push -q {1}@git.test:{2} HEAD:refs/heads/$own/other\n\
             git push -q origin :refs/heads/$own/other",
            server.url(),
            server.user,
            server.repository.display(),
        );
        let ran = run(scene, server, &script);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(
            ran.stdout.lines().collect::<Vec<_>>(),
            ["two", "one", "four"]
        );
        let refs = server.refs(scene);
        assert!(
            refs.contains("/fix ") && !refs.contains("/other "),
            "{refs}"
        );
        only_git(server);
        let (mut pushed, mut used, mut carried) = (0, 0, 0);
        scene.each_event(|event| {
            if let Event::Outcome {
                outcome: OutcomeOf::Pushed { refs, .. },
                ..
            } = event
            {
                pushed += refs.iter().filter(|one| one.refused.is_none()).count();
            }
            if let Event::Credential { act, .. } = event {
                used += usize::from(*act == CredentialAct::Use);
            }
            if let Event::Decision { action, ruling, .. } = event {
                carried += usize::from(action == "api" && ruling.is_allow());
            }
        });
        assert_eq!(pushed, 4);
        // Each request is one that the key was used for.
        assert!(used > 8 && used == carried, "{used} {carried}");
    });
}

#[test]
fn a_push_that_is_refused_is_told_by_git_and_not_carried_on() {
    with_sshd(Differs::default(), |scene, server| {
        let before = server.refs(scene);
        // By git's own helper: no rule about the words of `git push` is there to help.
        let at = server.url_at_the_gate();
        let script = format!(
            "wire() {{ {{ for one; do echo \"push $one\"; done; echo; }} | git remote-https origin {at} || true; }}\n\
             echo c > c; git add c; git commit -qm three\n\
             wire HEAD:refs/heads/main\nwire +HEAD~2:refs/heads/main HEAD:refs/heads/$own/x\n\
             wire HEAD:refs/tags/v1\nwire :refs/heads/main\ngit push origin HEAD:feature"
        );
        let ran = run(scene, server, &script);
        assert_eq!(server.refs(scene), before);
        assert!(ran.stderr.contains("[remote rejected]"), "{}", ran.stderr);
        assert!(ran.stderr.contains("push/protected"), "{}", ran.stderr);
        assert_eq!(
            refused_by(scene),
            [
                "push/protected",
                "push/protected",
                "push/tag",
                "push/delete",
                "guard/not-allowed"
            ]
        );
        only_git(server);
    });
}

#[test]
fn a_server_with_another_key_is_none() {
    with_sshd(Differs::default(), |scene, server| {
        // The key of somebody else stands where the server's was known by.
        let other = fs::read_to_string(server.key.with_extension("pub")).unwrap();
        fs::write(&server.known_hosts, format!("git.test {other}")).unwrap();
        assert_eq!(credential(scene, &["revoke", "deploy"], "").code, Some(0));
        assert_eq!(server.hand(scene, &server.user_key()).code, Some(0));
        let ran = run(
            scene,
            server,
            "git ls-remote origin; git push origin HEAD:refs/heads/$own/x",
        );
        assert_ne!(ran.code, Some(0));
        assert_eq!(server.ran(), [""; 0]);
        let why = unanswered(scene);
        assert!(why.contains("Host key verification failed"), "{why}");
    });
}

#[test]
fn a_key_is_not_handed_over_without_what_its_host_is_known_by() {
    with_sshd(Differs::default(), |scene, server| {
        assert_eq!(credential(scene, &["revoke", "deploy"], "").code, Some(0));
        let key = server.user_key();
        let add = |more: &[&str], key: &str| {
            let words = [&["add", "deploy", "--host", "git.test"], more].concat();
            let ran = credential(scene, &words, key);
            assert_eq!(ran.code, Some(2), "{more:?}");
            ran.stderr
        };
        let known = server.known_hosts.display().to_string();
        let empty = scene
            .write("empty", "other.test ssh-ed25519 AAAA\n")
            .display()
            .to_string();
        assert!(add(&["--ssh", "git"], &key).contains("by which keys"));
        assert!(
            add(&["--ssh", "git", "--known-hosts", &empty], &key).contains("no line of it names")
        );
        assert!(add(&["--known-hosts", &known], &key).contains("with `--ssh`"));
        for user in ["-oProxyCommand=id", "a b", ""] {
            let flag = format!("--ssh={user}");
            assert!(
                add(&[&flag, "--known-hosts", &known], &key).contains("names no user"),
                "{user}"
            );
        }
        let with_key = |key: &str| add(&["--ssh", "git", "--known-hosts", &known], key);
        assert!(with_key("ghp_token").contains("no private key"));
        let locked = scene.root.join("locked").display().to_string();
        let keygen = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "secret",
            "-f",
            &locked,
        ];
        assert_eq!(scene.run_bare(&keygen).code, Some(0));
        let locked = fs::read_to_string(locked).unwrap();
        assert!(with_key(&locked).contains("passphrase"));
    });
}

#[test]
fn a_key_that_is_revoked_opens_nothing_to_a_session_that_goes_on() {
    with_sshd(Differs::default(), |scene, server| {
        let script = format!(
            "{SHELL}\ngit ls-remote origin > one; touch asked; while [ ! -e go ]; do sleep 0.1; done\n\
             git ls-remote origin 2> two; git push origin HEAD:refs/heads/$own/x 2> three; \
             curl -sk '{}/info/refs?service=git-upload-pack' > four; true",
            server.url_at_the_gate()
        );
        let policy = granted(scene, server.port);
        let mut session = scene
            .exec(&[&policy], &["sh", "-c", &script])
            .spawn()
            .unwrap();
        until("the first request", || scene.work().join("asked").exists());
        assert_eq!(credential(scene, &["revoke", "deploy"], "").code, Some(0));
        fs::write(scene.work().join("go"), "").unwrap();
        assert!(session.wait().unwrap().success());
        let read = |name: &str| fs::read_to_string(scene.work().join(name)).unwrap();
        assert!(read("one").contains("refs/heads/main"));
        assert!(
            read("four").contains("credential/revoked"),
            "{}",
            read("four")
        );
        assert_eq!(server.ran().len(), 2, "{:?}", server.ran());
        assert!(!server.refs(scene).contains("/x "));
    });
}

#[test]
fn no_path_runs_anything_there_but_gits_two_commands() {
    with_sshd(Differs::default(), |scene, server| {
        let at = server.url_at_the_gate();
        let refs = "info/refs?service=git-upload-pack";
        let mut asked = Vec::new();
        for path in [
            "/o/r'%3Bid%3B'.git",
            "/o/r%27%3Btouch%20x%3B%27",
            "/-oProxyCommand=id",
            "/--upload-pack=id/r",
            "/o/r%0Aid",
            "/o/$(id)",
            "/o/%60id%60",
            "/o/r%5C",
            "/o/r%20id",
            "/o/%22r",
            "/~root/r",
            "/~",
            "/o/%2D-exec=id",
            "/o/r;id",
            "/o/r|id",
            "/o/r&id",
            "/o/!r",
        ] {
            asked.push(format!(
                "-g 'https://git.test:22{}/{refs}'",
                path.replace('\'', "%27")
            ));
        }
        asked.extend([
            format!("'{at}/info/refs'"),
            format!("'{at}/info/refs?service=git-upload-archive'"),
            format!("'{at}/info/refs?service=git-upload-pack&service=git-receive-pack'"),
            format!("'{at}/HEAD'"),
            format!("-d x '{at}/git-upload-archive'"),
            format!("-d x '{at}/git-lfs-authenticate'"),
            format!("-H 'content-type: application/json' -d '{{\"operation\":\"download\"}}' '{at}/info/lfs/objects/batch'"),
            "'https://git.test:22/'".to_owned(),
            format!("'{}/{refs}'", at.replace("https", "http")),
        ]);
        let script: String = asked
            .iter()
            .map(|one| format!("curl -sk -o said -w '%{{http_code}}\\n' {one}; cat said >> all\n"))
            .collect();
        let ran = run(scene, server, &script);
        let codes: Vec<_> = ran.stdout.lines().collect();
        assert_eq!(codes.len(), asked.len(), "{}", ran.stdout);
        for (code, one) in codes.iter().zip(&asked) {
            assert!(["400", "403"].contains(code), "{code}: {one}");
        }
        assert_eq!(server.ran(), [""; 0]);
        let said = fs::read_to_string(scene.work().join("all")).unwrap();
        assert!(said.contains("large files of git LFS"), "{said}");
        assert!(said.matches("gate/ssh").count() > 20, "{said}");
    });
}

#[test]
fn nobody_inside_has_the_key_and_none_is_left() {
    with_sshd(Differs::default(), |scene, server| {
        let key = server.user_key();
        let letters = key.lines().nth(3).unwrap();
        let (one, other) = letters.split_at(20);
        let (first, other) = other.split_at(1);
        // It is looked for while a conversation goes on, by a pattern that is not itself what is looked for. The
        // programs of the system, which nobody inside may change, hold none.
        let script = format!(
            "git ls-remote origin > refs & p='{one}[{first}]{other}'\n\
             cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> none | grep -a -c \"$p\" > found\n\
             for at in /*; do case $at in /proc|/sys|/usr) ;; *) grep -r -a -l \"$p\" $at 2>> none >> found ;; esac; done\n\
             wait; env | grep -i -c 'ssh-key\\|PRIVATE' >> found; cat found"
        );
        let ran = run(scene, server, &script);
        let refs = fs::read_to_string(scene.work().join("refs")).unwrap();
        assert!(refs.contains("refs/heads/main"), "{refs}");
        assert_eq!(ran.stdout, "0\n0\n", "{}", ran.stderr);
        let mut keys = Vec::new();
        let find = ["find", "../..", "-path", "*/keys/*"];
        keys.extend(scene.run_bare(&find).stdout.lines().map(str::to_owned));
        assert_eq!(keys, [""; 0]);
    });
}

#[test]
fn a_server_that_is_gone_or_says_something_else_is_told_of() {
    as_everyone(|scene| {
        let says = Differs {
            says: Some("This account is currently not available."),
            ..Differs::default()
        };
        let server = Sshd::start(scene, says);
        assert_eq!(server.hand(scene, &server.user_key()).code, Some(0));
        let script = "git ls-remote origin; git push origin HEAD:refs/heads/$own/x";
        for (port, why) in [
            (
                server.port,
                "what the server says is not git's: This account",
            ),
            (free_port(), "Connection refused"),
            (
                garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                "kex_exchange_identification",
            ),
        ] {
            let ran = run_at(scene, port, script);
            assert_ne!(ran.code, Some(0), "{why}");
            let told = unanswered(scene);
            assert!(told.contains(why), "{why}: {told}");
        }
        // A key that the server does not let in.
        let locked_out = scene.root.join("stranger").display().to_string();
        let keygen = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            &locked_out,
        ];
        assert_eq!(scene.run_bare(&keygen).code, Some(0));
        assert_eq!(credential(scene, &["revoke", "deploy"], "").code, Some(0));
        let stranger = fs::read_to_string(&locked_out).unwrap();
        assert_eq!(server.hand(scene, &stranger).code, Some(0));
        run(scene, &server, script);
        assert!(unanswered(scene).contains("Permission denied (publickey)"));
    });
}

/// A server that says this to whoever comes.
fn garbage(says: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(says);
        }
    });
    port
}

/// A server that does not let the second version of git's protocol be asked for, and branches there that went on.
fn with_older(is_plain: bool, test: impl Fn(&Scene, &Sshd)) {
    let differs = Differs {
        is_first_only: true,
        is_plain,
        ..Differs::default()
    };
    with_sshd(differs, |scene, server| {
        let script = format!(
            "mkdir -p src/.github/workflows .upsun && echo on: push > src/.github/workflows/ci.yml && \
             printf 'services:\\n  db:\\n    type: postgresql:16.1\\n' > .upsun/config.yaml && \
             git add . && git commit -qm three && git branch base && git push -q {at} HEAD:main && \
             git checkout -q -b onward && for n in 4 5 6; do echo $n > n && git add n && git commit -qm $n; done && \
             git push -q {at} HEAD:main HEAD~1:refs/heads/other && git checkout -q --detach base && echo e > e && git add e && \
             git commit -qm evil && git push -q {at} HEAD:refs/pull/1/head && git branch evil && git checkout -q work && \
             git reset -q --hard base",
            at = server.repository.display()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
        test(scene, server);
    });
}

#[test]
fn a_server_of_the_first_version_is_fetched_from_and_pushed_to() {
    for is_plain in [false, true] {
        with_older(is_plain, |scene, server| {
            // What is built upon is the end of a branch, or behind one, by several ways; and what a file held is told.
            let script = format!(
                "set -e\ngit clone -q {} $TMPDIR/cloned && git -C $TMPDIR/cloned log -1 --format=%s main\n\
                 echo c > c; git add c; git commit -qm c; git push -q origin HEAD:refs/heads/$own/behind\n\
                 git checkout -q onward; echo c > c; git add c; git commit -qm d; git push -q origin HEAD:refs/heads/$own/end\n\
                 git commit -q --amend -m d2; git push -q --force-with-lease origin HEAD:refs/heads/$own/end\n\
                 git merge -q -m both base~1 work; git push -q origin HEAD:refs/heads/$own/both\n\
                 blob=$(git show HEAD:.upsun/config.yaml | sed s/16.1/16.4/ | git hash-object -w --stdin)\n\
                 upsun=$(printf '100644 blob %s\\tconfig.yaml\\n' $blob | git mktree)\n\
                 tree=$( (git ls-tree HEAD | grep -v upsun; printf '040000 tree %s\\t.upsun\\n' $upsun) | git mktree)\n\
                 git push -q origin $(git commit-tree -p HEAD -m raised $tree):refs/heads/$own/raised",
                server.url()
            );
            let ran = run(scene, server, &script);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            assert_eq!(ran.stdout, "6\n", "{}", ran.stderr);
            let refs = server.refs(scene);
            for name in ["/behind ", "/end ", "/both ", "/raised "] {
                assert!(refs.contains(name), "{refs}");
            }
            assert_eq!(refused_by(scene), [""; 0]);
            only_git(server);
        });
    }
}

#[test]
fn what_a_server_of_the_first_version_does_not_show_is_not_pushed() {
    with_older(false, |scene, server| {
        let before = server.refs(scene);
        let moved = "$( (git ls-tree HEAD; printf '040000 tree %s\\t.github\\n' $(git rev-parse HEAD:src/.github)) | git mktree)";
        let raised = "$( (git ls-tree HEAD | grep -v upsun; printf '040000 tree %s\\t.upsun\\n' $( \
                      printf '100644 blob %s\\tconfig.yaml\\n' $(git show HEAD:.upsun/config.yaml | sed s/16.1/17/ | \
                      git hash-object -w --stdin) | git mktree)) | git mktree)";
        for (what, told) in [
            (
                format!("$(git commit-tree -p HEAD -m x {moved})"),
                "push/pipeline",
            ),
            (
                format!("$(git commit-tree -p HEAD -m x {raised})"),
                "waiting for approval",
            ),
            ("evil".to_owned(), "none of the server's branches"),
            (
                "$(git commit-tree -p evil -m x HEAD^{tree})".to_owned(),
                "gate/push",
            ),
            (
                "$(git commit-tree -p HEAD -p evil -m x HEAD^{tree})".to_owned(),
                "gate/push",
            ),
        ] {
            let script = format!("git push origin {what}:refs/heads/$own/x");
            let policy = granted(scene, server.port);
            let flags = [policy.as_str(), "--approval-timeout=1"];
            let script = format!("{SHELL}\n{script}");
            let ran = scene.run_command(scene.exec(&flags, &["sh", "-c", &script]));
            assert_eq!(server.refs(scene), before, "{what}: {}", ran.stderr);
            assert!(ran.stderr.contains(told), "{what}: {}", ran.stderr);
        }
        only_git(server);
    });
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    as_everyone(|scene| {
        let server = Sshd::start(scene, Differs::default());
        assert_eq!(server.hand(scene, &server.user_key()).code, Some(0));
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = silent.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let held: Vec<_> = silent.incoming().collect();
            drop(held);
        });
        let ran = run_at(scene, port, "git ls-remote origin");
        assert_ne!(ran.code, Some(0));
        let told = unanswered(scene);
        assert!(told.contains("timed out"), "{told}");
    });
}

#[test]
fn a_server_that_lets_in_and_then_says_nothing_is_not_waited_for_for_ever() {
    let silent = Differs {
        is_silent: true,
        ..Differs::default()
    };
    with_sshd(silent, |scene, server| {
        let ran = run(scene, server, "git ls-remote origin");
        assert_ne!(ran.code, Some(0));
        let told = unanswered(scene);
        assert!(told.contains("does not say anything"), "{told}");
        only_git(server);
    });
}

#[test]
fn a_push_of_fifty_mebibytes_arrives_whole() {
    with_sshd(Differs::default(), |scene, server| {
        // No one file is larger than what is read of a pack at once.
        let script = "set -e\nfor one in $(seq 50); do head -c 1048576 /dev/urandom > large$one; done\n\
                      git add .; git commit -qm large; git push -q origin HEAD:refs/heads/$own/large\n\
                      git rev-parse HEAD";
        let ran = run(scene, server, script);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let at = server.repository.display();
        let whole = format!(
            "git -c safe.directory=* --git-dir {at} fsck --strict --connectivity-only {0} && \
             git -c safe.directory=* --git-dir {at} ls-tree -l {0} | grep -c ' 1048576'",
            ran.stdout.trim()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &whole]).stdout.trim(), "50");
        assert!(server.refs(scene).contains(ran.stdout.trim()));
    });
}
