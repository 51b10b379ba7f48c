//! Pushes: what arrives at a server of git, whatever the client, is what policy allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentguard::core::{Event, Level, OutcomeOf};

pub(crate) use crate::git_server::{Request, Server};
use crate::recorded::entries;
use crate::scene::{Ran, Scene, as_everyone, level};
use crate::turned::leads_to_the_same_gate;

/// The branch of a session, in a shell inside, and a push by git's own helper: no rule about the words of
/// `git push` is there to help.
pub(crate) const SHELL: &str = "own=agent/$AGENTGUARD_AGENT/$(printf %.8s $AGENTGUARD_SESSION)
wire() { for one; do printf 'push %s\\n' \"$one\"; done | { cat; echo; } | git remote-http origin http://git.test/o/r.git || true; }";

/// A repository in the workspace, cloned from the server's; its main branch has two commits.
fn prepare(scene: &Scene, server: &Server, format: &str) {
    let script = format!(
        "git init -q --object-format={format} -b main . && git config user.name ann && git config user.email ann@example.org && \
         mkdir -p src/.github/workflows && echo on: push > src/.github/workflows/ci.yml && \
         echo a > a && git add . && git commit -qm one && echo b > b && git add b && git commit -qm two && \
         git remote add origin http://git.test/o/r.git && git push -q {} main && git checkout -qb work",
        server.repository.display()
    );
    assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
}

/// Runs a test of sessions that may push.
pub(crate) fn with_server(test: impl Fn(&Scene, &Server)) {
    with_server_of("sha1", test);
}

fn with_server_of(format: &str, test: impl Fn(&Scene, &Server)) {
    as_everyone(|scene| match level() {
        Level::Full => {
            let server = Server::start(scene, format);
            prepare(scene, &server, format);
            test(scene, &server);
        }
        Level::NoNamespaces | Level::OldKernel => leads_to_the_same_gate(scene),
    });
}

pub(crate) fn push(scene: &Scene, server: &Server, script: &str) -> Ran {
    let script = format!("{SHELL}\nset -e\n{script}");
    let roots = scene.write("roots.pem", &server.roots);
    let mut command = scene.exec(&[&server.policy(scene)], &["sh", "-c", &script]);
    command.env("SSL_CERT_FILE", roots);
    scene.run_command(command)
}

/// The last push was refused, and by this rule.
#[track_caller]
pub(crate) fn assert_refused_last(scene: &Scene, rule: &str, about: &str) {
    let rules = refused_by(scene);
    assert_eq!(rules.last().map(String::as_str), Some(rule), "{about}");
}

/// The rules by which pushes were refused.
pub(crate) fn refused_by(scene: &Scene) -> Vec<String> {
    let mut rules = Vec::new();
    scene.each_event(|event| {
        if let Event::Decision { action, ruling, .. } = event
            && action == "push"
            && !ruling.is_allow()
        {
            rules.push(ruling.rule().id.to_string());
        }
    });
    rules
}

#[test]
fn a_session_pushes_to_its_own_branch_and_the_server_has_it() {
    with_server(|scene, server| {
        let ran = push(
            scene,
            server,
            "echo c > c; git add c; git commit -qm three; git push origin HEAD:refs/heads/$own/fix\n\
             echo d > c; git commit -qam four; git push origin HEAD:refs/heads/$own/fix\n\
             wire +HEAD~1:refs/heads/$own/fix\n\
             git push -q --atomic -o merge_request.create origin HEAD:refs/heads/$own/fix HEAD:refs/heads/$own/other\n\
             wire :refs/heads/$own/other",
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let refs = server.refs(scene);
        assert!(
            refs.contains("/fix ") && !refs.contains("/other "),
            "{refs}"
        );
        let mut pushes = 0;
        scene.each_event(|event| {
            if let Event::Decision { action, ruling, .. } = event {
                pushes += usize::from(action == "push" && ruling.is_allow());
            }
        });
        assert_eq!(pushes, 5);
    });
}

#[test]
fn a_session_that_began_on_the_main_branch_pushes_to_its_own() {
    with_server(|scene, server| {
        assert_eq!(
            scene.run_bare(&["git", "checkout", "-q", "main"]).code,
            Some(0)
        );
        let ran = push(
            scene,
            server,
            "git push -q origin HEAD~1:refs/heads/$own/fix",
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(server.refs(scene).contains("/fix "));
    });
}

#[test]
fn no_other_ref_is_changed_by_any_spelling() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        for (script, rule) in [
            ("wire HEAD:refs/heads/main", "push/protected"),
            ("wire HEAD:refs/heads/feature", "guard/not-allowed"),
            ("wire +HEAD~2:refs/heads/main", "push/protected"),
            (
                "wire HEAD:refs/heads/$own/x HEAD:refs/heads/main",
                "push/protected",
            ),
            ("wire :refs/heads/main", "push/delete"),
            (
                "git push -q -o merge_request.merge_when_pipeline_succeeds origin HEAD:refs/heads/$own/x",
                "push/option",
            ),
            ("wire HEAD:refs/tags/v1", "push/tag"),
            ("wire HEAD:refs/pull/1/head", "push/ref"),
            (
                "echo push HEAD:refs/heads/main | { cat; echo; } | git remote-http x http://git.test/o/r",
                "push/protected",
            ),
            (
                "wire HEAD:refs/heads/agent/$AGENTGUARD_AGENT/00000000/x",
                "guard/not-allowed",
            ),
        ] {
            let script = format!("echo c > c; git add c; git commit -qm three || true\n{script}");
            let ran = push(scene, server, &script);
            assert_eq!(server.refs(scene), before, "{script}: {}", ran.stderr);
            assert_refused_last(scene, rule, &format!("{script}: {}", ran.stderr));
        }
    });
}

#[test]
fn git_itself_says_why_and_what_would_be_let() {
    with_server(|scene, server| {
        let ran = push(
            scene,
            server,
            "echo c > c; git add c; git commit -qm three; wire HEAD:refs/heads/main; git -c alias.up=push up origin HEAD:feature; true",
        );
        let told = &ran.stderr;
        assert!(
            told.contains("remote: agentguard refused this push"),
            "{told}"
        );
        assert!(
            told.contains("[remote rejected]") && told.contains("push/protected"),
            "{told}"
        );
        assert!(told.contains("open a pull request"), "{told}");
    });
}

#[test]
fn of_several_refs_each_is_told_what_is_said_of_it() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let ran = push(
            scene,
            server,
            "echo c > c; git add c; git commit -qm three\n\
             wire HEAD:refs/heads/$own/x HEAD:refs/heads/main HEAD:refs/tags/v1",
        );
        assert_eq!(server.refs(scene), before, "{}", ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        for (name, why) in [
            ("/x ", "agentguard: another ref of this push is refused"),
            (
                "refs/heads/main ",
                "agentguard: `refs/heads/main` is for humans",
            ),
            ("refs/tags/v1 ", "agentguard: `refs/tags/v1` is a tag"),
        ] {
            let is_said = |line: &str| line.contains(name) && line.contains(why);
            assert!(said.lines().any(is_said), "{name}: {said}");
        }
    });
}

#[test]
fn what_the_server_makes_of_each_ref_stands_in_the_log() {
    with_server(|scene, server| {
        let hook = server.repository.join("hooks/update");
        let script = format!(
            "printf '#!/bin/sh\\ncase $1 in */no) exit 1;; esac\\n' > {0} && chmod 755 {0}",
            hook.display()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
        let ran = push(
            scene,
            server,
            "git commit -q --allow-empty -m three\n\
             git push origin HEAD:refs/heads/$own/yes HEAD:refs/heads/$own/no || true",
        );
        let refs = server.refs(scene);
        assert!(refs.contains("/yes ") && !refs.contains("/no "), "{refs}");
        let mut said = Vec::new();
        scene.each_event(|event| {
            if let Event::Outcome {
                outcome: OutcomeOf::Pushed { refs, .. },
                ..
            } = event
            {
                said.extend(refs.clone());
            }
        });
        assert_eq!(said.len(), 2, "{}", ran.stderr);
        for one in said {
            let refused = one
                .name
                .ends_with("/no")
                .then(|| "hook declined".to_owned());
            assert_eq!(one.refused, refused, "{}", one.name);
        }
    });
}

#[test]
fn what_was_pushed_is_known_by_its_digest() {
    with_server(|scene, server| {
        let ran = push(
            scene,
            server,
            "head -c 300000 /dev/urandom > big; git add big; git commit -qm three\n\
             git push origin HEAD:refs/heads/$own/x",
        );
        assert!(server.refs(scene).contains("/x "), "{}", ran.stderr);
        let entries = entries(scene);
        let told: Vec<_> = entries
            .iter()
            .filter_map(|(entry, bodies)| {
                let sent = &bodies.as_ref()?["sent"];
                let told = &entry["event"]["outcome"]["sent"];
                Some((told.as_u64()?, sent["sha256"].as_str()?.to_owned()))
            })
            .collect();
        let pushed = server.pushed();
        assert!(pushed.iter().any(|(length, _)| *length > 300_000));
        for one in pushed {
            assert!(told.contains(&one), "{one:?}: {told:?}");
        }
    });
}

#[test]
fn what_makes_others_run_code_does_not_pass_in_any_commit() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        // Made without touching a file of the workspace: a tree with one entry, put where it runs.
        let plumbing = "blob=$(echo on: push | git hash-object -w --stdin)\n\
             inner=$(printf '100644 blob %s\\tci.yml\\n' $blob | git mktree)\n\
             middle=$(printf '040000 tree %s\\tworkflows\\n' $inner | git mktree)\n";
        let added = "tree=$( (git ls-tree HEAD; printf '040000 tree %s\\t.github\\n' $middle) | git mktree)\n\
             commit=$(git commit-tree -p HEAD -m x $tree)\n";
        let moved = "middle=$(git rev-parse HEAD:src/.github)\n";
        for (script, rule) in [
            (format!("{plumbing}{added}git push origin $commit:refs/heads/$own/x"), "push/pipeline"),
            // Added, and gone again.
            (
                format!(
                    "{plumbing}{added}after=$(git commit-tree -p $commit -m y HEAD^{{tree}})\n\
                     git push origin $after:refs/heads/$own/x"
                ),
                "pipelines/removed",
            ),
            // What the server has elsewhere, moved to where it runs: nothing of it is in the pack.
            (format!("{moved}{added}git push origin $commit:refs/heads/$own/x"), "push/pipeline"),
            (
                format!("{plumbing}{added}git push origin HEAD:refs/heads/$own/y $commit:refs/heads/$own/x"),
                "push/pipeline",
            ),
            (
                "tree=$( (git ls-tree HEAD; printf '160000 commit %s\\tsub\\n' $(git rev-parse HEAD)) | git mktree)\n\
                 commit=$(git commit-tree -p HEAD -m x $tree)\ngit push origin $commit:refs/heads/$own/x"
                    .to_owned(),
                "push/submodule",
            ),
            // What an editor runs that is opened in a package further down.
            (
                "of() { printf '%s %s %s\\t%s\\n' \"$@\"; }\n\
                 tasks=$(of 100644 blob $(echo '{}' | git hash-object -w --stdin) tasks.json | git mktree)\n\
                 package=$(of 040000 tree $tasks .vscode | git mktree)\n\
                 tree=$( (git ls-tree HEAD; of 040000 tree $package package) | git mktree)\n\
                 commit=$(git commit-tree -p HEAD -m x $tree)\ngit push origin $commit:refs/heads/$own/x"
                    .to_owned(),
                "push/agents",
            ),
            // A link in the place of a directory that others run code from.
            (
                "link=$(printf src | git hash-object -w --stdin)\n\
                 tree=$( (git ls-tree HEAD; printf '120000 blob %s\\t.claude\\n' $link) | git mktree)\n\
                 commit=$(git commit-tree -p HEAD -m x $tree)\ngit push origin $commit:refs/heads/$own/x"
                    .to_owned(),
                "push/agents",
            ),
        ] {
            let ran = push(scene, server, &script);
            assert_eq!(server.refs(scene), before, "{script}: {}", ran.stderr);
            assert_refused_last(scene, rule, &format!("{script}: {}", ran.stderr));
        }
    });
}

#[test]
fn what_somebody_left_beside_the_branches_is_not_built_upon() {
    with_server(|scene, server| {
        // As a pull request does, from whoever may open one.
        let script = format!(
            "git checkout -q --detach && mkdir -p .github/workflows && echo on: push > .github/workflows/ci.yml && \
             git add . && git commit -qm evil && git push -q {} HEAD:refs/pull/1/head && git checkout -q work",
            server.repository.display()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
        let before = server.refs(scene);
        let fetch = "git fetch -q origin refs/pull/1/head";
        for script in [
            "wire FETCH_HEAD:refs/heads/$own/x",
            "one=$(git commit-tree -p FETCH_HEAD -m x FETCH_HEAD^{tree}); wire $one:refs/heads/$own/x",
            "one=$(git commit-tree -p HEAD -p FETCH_HEAD -m x FETCH_HEAD^{tree}); wire $one:refs/heads/$own/x",
        ] {
            let ran = push(scene, server, &format!("{fetch}\n{script}"));
            assert_eq!(server.refs(scene), before, "{script}: {}", ran.stderr);
            assert!(
                ran.stderr.contains("none of the server's branches"),
                "{script}: {}",
                ran.stderr
            );
            assert!(
                scene.refusals().iter().any(|rule| rule == "gate/push"),
                "{script}"
            );
        }
        let ran = push(
            scene,
            server,
            "echo c > c; git add c; git commit -qm c; wire HEAD:refs/heads/$own/x",
        );
        assert_ne!(server.refs(scene), before, "{}", ran.stderr);
    });
}

#[test]
fn what_is_deployed_changes_only_as_far_as_a_rule_lets_it() {
    with_server(|scene, server| {
        let script = format!(
            "git checkout -q main && mkdir .upsun && printf 'services:\\n  db:\\n    type: postgresql:16.1\\nroutes: {{}}\\n' \
             > .upsun/config.yaml && git add . && git commit -qm infra && git push -q {} main && git checkout -q -B work",
            server.repository.display()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
        let before = server.refs(scene);
        // Where nothing of it has to be a file of the workspace.
        let commit = "put() {\n\
             blob=$(printf \"$1\" | git hash-object -w --stdin)\n\
             inner=$(printf '100644 blob %s\\tconfig.yaml\\n' $blob | git mktree)\n\
             tree=$( (git ls-tree $2 | grep -v upsun; printf '040000 tree %s\\t.upsun\\n' $inner) | git mktree)\n\
             git commit-tree -p $2 -m x $tree\n}\n";
        let good = "services:\\n  db:\\n    type: postgresql:16.4\\nroutes: {}\\n";
        for (bad, rule) in [
            (
                "services:\\n  db:\\n    type: postgresql:16.4\\nroutes:\\n  x: y\\n",
                "deployed/route",
            ),
            (
                "services:\\n  db:\\n    type: postgresql:16.4\\n    type: postgresql:16.1\\nroutes: {}\\n",
                "push/infrastructure",
            ),
            (
                "services: &a\\n  db:\\n    type: postgresql:16.4\\nroutes: {}\\n",
                "push/infrastructure",
            ),
        ] {
            for script in [
                format!("one=$(put '{bad}' HEAD); wire $one:refs/heads/$own/x"),
                format!(
                    "one=$(put '{bad}' HEAD); two=$(put '{good}' $one); wire $two:refs/heads/$own/x"
                ),
            ] {
                let ran = push(scene, server, &format!("{commit}{script}"));
                assert_eq!(server.refs(scene), before, "{bad}: {}", ran.stderr);
                assert_refused_last(scene, rule, &format!("{bad}: {}", ran.stderr));
            }
        }
        let ran = push(
            scene,
            server,
            &format!("{commit}one=$(put '{good}' HEAD); wire $one:refs/heads/$own/x"),
        );
        assert_ne!(server.refs(scene), before, "{}", ran.stderr);
    });
}

#[test]
fn a_repository_whose_objects_are_named_by_sha_256_is_judged_the_same() {
    with_server_of("sha256", |scene, server| {
        let before = server.refs(scene);
        let evil = "blob=$(echo on: push | git hash-object -w --stdin)\n\
             inner=$(printf '100644 blob %s\\tci.yml\\n' $blob | git mktree)\n\
             middle=$(printf '040000 tree %s\\tworkflows\\n' $inner | git mktree)\n\
             tree=$( (git ls-tree HEAD; printf '040000 tree %s\\t.github\\n' $middle) | git mktree)\n\
             wire $(git commit-tree -p HEAD -m x $tree):refs/heads/$own/x";
        for (script, rule) in [
            (
                "git commit -q --allow-empty -m x; wire HEAD:refs/heads/main",
                "push/protected",
            ),
            (evil, "push/pipeline"),
        ] {
            let ran = push(scene, server, script);
            assert_eq!(server.refs(scene), before, "{}", ran.stderr);
            assert_eq!(
                refused_by(scene).last().map(String::as_str),
                Some(rule),
                "{}{}",
                ran.stdout,
                ran.stderr
            );
        }
        let ran = push(
            scene,
            server,
            "echo c > c; git add c; git commit -qm three; wire HEAD:refs/heads/$own/x",
        );
        assert!(
            server.refs(scene).contains("/x "),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
    });
}

/// A push as bytes, without a client of git: `body NAME COMMIT` of what main does not have.
pub(crate) const BODY: &str = "body() {
    line=\"$(printf %040d 0) $2 $1\"; caps=' report-status'
    printf '%04x%s\\000%s0000' $((${#line} + 1 + ${#caps} + 4)) \"$line\" \"$caps\"
    printf '%s\\n^%s\\n' $2 $(git rev-parse main) | git pack-objects --revs --stdout -q
}
post() { curl -s --data-binary @- -H 'Content-Type: application/x-git-receive-pack-request' \"$@\" http://git.test/o/r/git-receive-pack; }
";

/// Pushes that are framed in some way, and which rule refuses them.
fn framings((zipped, chunked): (&str, &str)) -> Vec<(String, &'static str)> {
    let own = "body refs/heads/$own/x $new";
    let both = format!("({own} | gzip; body refs/heads/main $new | gzip)");
    vec![
        (
            format!("body refs/heads/main $new | {zipped}"),
            "push/protected",
        ),
        (
            format!("body refs/heads/main $new | {chunked}"),
            "push/protected",
        ),
        (
            format!("body refs/heads/main $new | {zipped} -H 'Transfer-Encoding: chunked'"),
            "push/protected",
        ),
        // Not what it says, more than one, something behind it, encoded otherwise, not all of it.
        (
            format!("{own} | post -H 'Content-Encoding: gzip'"),
            "gate/push",
        ),
        (
            format!("({own}; body refs/heads/main $new) | {zipped}"),
            "gate/push",
        ),
        (
            format!("{both} | post -H 'Content-Encoding: gzip'"),
            "gate/push",
        ),
        (
            format!("{own} | gzip | post -H 'Content-Encoding: deflate'"),
            "gate/push",
        ),
        (
            format!("{own} | gzip | head -c 80000 | post -H 'Content-Encoding: gzip'"),
            "gate/push",
        ),
    ]
}

#[test]
fn a_push_is_judged_however_its_body_is_framed() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let commit = "head -c 100000 /dev/urandom > c; git add c; git commit -qm three; new=$(git rev-parse HEAD)\n";
        let zipped = "gzip | post -H 'Content-Encoding: gzip'";
        let chunked = "post -H 'Transfer-Encoding: chunked'";
        for (refused, rule) in framings((zipped, chunked)) {
            let ran = push(scene, server, &format!("{BODY}{commit}{refused}"));
            assert_eq!(server.refs(scene), before, "{refused}: {}", ran.stderr);
            assert!(
                ran.stdout.contains(rule),
                "{refused}: {}{}",
                ran.stdout,
                ran.stderr
            );
        }
        for (number, framed) in [zipped, chunked].iter().enumerate() {
            let script = format!("{BODY}{commit}body refs/heads/$own/{number} $new | {framed}");
            let ran = push(scene, server, &script);
            let refs = server.refs(scene);
            assert!(
                refs.contains(&format!("/{number} ")),
                "{framed}: {} {}",
                ran.stdout,
                ran.stderr
            );
        }
        let ran = push(
            scene,
            server,
            &format!("{commit}git -c http.postBuffer=1000 push origin HEAD:refs/heads/$own/git"),
        );
        assert!(server.refs(scene).contains("/git "), "{}", ran.stderr);
    });
}

/// A branch `shared` that a policy lets go forward, and branches `ahead` of it and `other` beside it. Returns that policy.
fn share(scene: &Scene, server: &Server) -> String {
    let script = format!(
        "git checkout -q -b ahead && echo 1 > x && git add x && git commit -qm x && echo 2 > x && git commit -qam y && \
         git checkout -q --orphan other && git commit -qm other && git checkout -q work && \
         git push -q {} work:shared ahead other",
        server.repository.display()
    );
    assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
    let policy = server.policy(scene);
    scene.write(
        "policy/shared.rego",
        "package agentguard.push.shared\n\nallow contains {\"id\": \"shared/forward\", \"reason\": \"it only grows\"} if {\n\
         \tevery update in input.action.refs {\n\t\tupdate.short == \"shared\"\n\t\tupdate.forward\n\t}\n}\n",
    );
    policy
}

/// Tries to have `shared` point to something else, and returns whether it does.
fn is_moved(scene: &Scene, server: &Server, (policy, what): (&str, &str)) -> bool {
    let id = || {
        let refs = server.refs(scene);
        let mut lines = refs.lines();
        lines
            .find(|line| line.contains("/shared "))
            .map(str::to_owned)
    };
    let before = id();
    let script = format!(
        "{SHELL}\ncommit() {{ git commit-tree -m c \"$@\" HEAD^{{tree}}; }}\nset -e\n\
         new=$(git rev-parse {what})\nwire +$new:refs/heads/shared\n"
    );
    let ran = scene.run_with(&[policy], &["sh", "-c", &script]);
    println!("{what}: {}{}", ran.stdout, ran.stderr);
    id() != before
}

#[test]
fn a_ref_goes_forward_where_the_server_knows_that_it_does() {
    with_server(|scene, server| {
        let policy = share(scene, server);
        let keep = format!(
            "git --git-dir {} rev-parse shared > .git/last",
            server.repository.display()
        );
        for (is_forward, what) in [
            (false, "work~1"),
            (false, "other"),
            (false, "$(commit -p work~1)"),
            (false, "$(commit -p other)"),
            (false, "$(commit)"),
            (false, "$(commit -p work~1 -p other)"),
            // Only the server has what lies between.
            (true, "$(commit -p ahead~1)"),
            (false, "ahead~1"),
            (false, "work"),
            (
                true,
                "$(commit -p $(commit -p other) -p ahead~1 -p $(cat .git/last))",
            ),
            (false, "ahead"),
        ] {
            let moved = is_moved(scene, server, (&policy, what));
            assert_eq!(moved, is_forward, "{what}");
            assert_eq!(scene.run_bare(&["sh", "-ec", &keep]).code, Some(0));
        }
        // Over what the server has already: nothing comes with it.
        let reset = format!("git push -qf {} work:shared", server.repository.display());
        assert_eq!(scene.run_bare(&["sh", "-ec", &reset]).code, Some(0));
        assert!(is_moved(scene, server, (&policy, "ahead")));
    });
}

/// How much memory gates hold, in KiB: the most that was seen, of all and of what no file stands for.
fn watched(is_over: &AtomicBool) -> (u64, u64) {
    let mut most = (0, 0);
    while !is_over.load(Ordering::SeqCst) {
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let path = process.path();
            let Ok(name) = std::fs::read(path.join("cmdline")) else {
                continue;
            };
            if !name.starts_with(b"agentguard-gate\0") {
                continue;
            }
            let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                let words = line.and_then(|line| line.split_whitespace().next());
                words.and_then(|word| word.parse().ok()).unwrap_or(0)
            };
            most = (most.0.max(field("VmHWM:")), most.1.max(field("RssAnon:")));
        }
        // Often enough to see what a push of seconds holds.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    most
}

/// What was done, and how much memory gates held meanwhile, as above.
pub(crate) fn watching<T>(work: impl FnOnce() -> T) -> (T, (u64, u64)) {
    let is_over = Arc::new(AtomicBool::new(false));
    let watching = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || watched(&is_over)
    });
    let done = work();
    is_over.store(true, Ordering::SeqCst);
    (done, watching.join().unwrap())
}

#[test]
fn a_large_pack_is_judged_and_sent_from_a_file() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let commit = "git() { command git -c core.compression=0 \"$@\"; }\n\
             for n in $(seq 50); do head -c 2M /dev/urandom > big$n; done; git add .; git commit -qm big\n";
        let evil = format!(
            "{commit}blob=$(echo x | git hash-object -w --stdin)\n\
             inner=$(printf '100644 blob %s\\tconfig.yml\\n' $blob | git mktree)\n\
             tree=$( (git ls-tree HEAD; printf '040000 tree %s\\t.circleci\\n' $inner) | git mktree)\n\
             wire $(git commit-tree -p HEAD -m x $tree):refs/heads/$own/x"
        );
        let ran = push(scene, server, &evil);
        assert_eq!(server.refs(scene), before, "{}", ran.stderr);
        assert_eq!(
            refused_by(scene).last().map(String::as_str),
            Some("push/pipeline"),
            "{}",
            ran.stderr
        );
        let (ran, (all, anonymous)) =
            watching(|| push(scene, server, "wire HEAD:refs/heads/$own/x"));
        assert!(
            server.refs(scene).contains("/x "),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
        println!(
            "a gate holds {} MiB at most, {} MiB of it no file's",
            all >> 10,
            anonymous >> 10
        );
        assert!(all > 0 && all < 160 << 10, "{all} KiB");
        assert!(anonymous < 32 << 10, "{anonymous} KiB");
    });
}
