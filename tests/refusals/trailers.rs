//! Trailers of commits: each commit of a session names it, and every hook of the repository runs as without them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use agentguard::core::Level;

use crate::pushes::{push, refused_by, with_server};
use crate::scene::{Ran, Scene, as_everyone, level};

const TRAILERS: &str = "package agentguard.sandbox\n\ntrailers contains \"session\"\n";
/// Makes a repository, and a commit of somebody else's on a branch of its own, with a trailer of another session.
const REPOSITORY: &str =
    "git init -q -b main . && git config user.name ann && git config user.email ann@example.org
    printf 'hooks\\nlinked\\n*.sh\\n' > .git/info/exclude
    echo 0 > 0; git add 0; git commit -qm zero; git checkout -q -b other
    for one in 1 2; do echo $one > $one; git add $one; git commit -qm \"$one

Agentguard-Session: ffffffffffffffffffffffffffffffff\"; done
    git format-patch -q -1 --stdout > .git/patch; git checkout -q main";
/// What is made in a session: by each way in which git makes commits and asks hooks.
const WORK: &str = "echo a > a; git add a; git commit -qm one
    git commit -q --amend --no-edit
    git commit -q --allow-empty -m '#12: it begins like a comment'
    git commit -q --allow-empty -m 'it ends

---
# so'
    git cherry-pick other~1 > /dev/null
    git checkout -q -b topic HEAD~1; echo t > t; git add t; git commit -qm topic
    git merge -q --no-edit main
    git checkout -q -b rebased other; git rebase -q main
    git revert --no-edit HEAD > /dev/null
    git checkout -q -b applied main; git am -q \"$patch\"
    git checkout -q -b edited; GIT_EDITOR=\"sh $write\" git commit -q --allow-empty";

/// Where the files lie that the work needs.
fn files(scene: &Scene) -> String {
    let work = scene.work();
    format!("patch={0}/.git/patch write={0}/write.sh", work.display())
}

fn repository(scene: &Scene) {
    let ran = scene.run_bare(&["sh", "-ec", REPOSITORY]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    scene.write("home/work/write.sh", "echo written > \"$1\"\n");
}

/// Whether sessions of this level can have trailers. Where they cannot a session says so and goes on.
fn where_there_are_trailers(test: impl Fn(&Scene)) {
    as_everyone(|scene| match level() {
        Level::Full => test(scene),
        Level::NoNamespaces | Level::OldKernel => {
            repository(scene);
            let ran = named(scene, "git commit -q --allow-empty -m x");
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            assert_eq!(scene.refusals(), ["trailers/off"]);
            assert!(ran.stderr.contains("commits do not name the session"));
            assert!(!log(scene, "%B", "main").contains("Agentguard"));
        }
    });
}

/// Runs a script whose commits are to name the session.
fn named(scene: &Scene, script: &str) -> Ran {
    scene.run_with(&[&scene.policy(TRAILERS)], &["sh", "-ec", script])
}

fn log(scene: &Scene, format: &str, revisions: &str) -> String {
    let format = format!("--format={format}");
    let words = ["git", "-c", "safe.directory=*", "log", &format];
    let revisions: Vec<_> = revisions.split(' ').collect();
    scene.run_bare(&[&words, &revisions[..]].concat()).stdout
}

fn hook(scene: &Scene, path: &str, text: &str) {
    let place = scene.work().join(path);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    for place in [".husky", path.rsplit_once('/').unwrap().0] {
        if scene.work().join(place).exists() {
            scene.own(&scene.work().join(place));
        }
    }
    fs::write(&place, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    scene.own(&place);
}

#[test]
fn each_commit_of_a_session_names_it_and_its_log_once() {
    where_there_are_trailers(|scene| {
        repository(scene);
        let ran = named(
            scene,
            &format!("{}; {WORK}; echo $AGENTGUARD_SESSION", files(scene)),
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let session = ran.stdout.trim();
        assert_eq!(session.len(), 32, "{session}");
        let made = "main topic rebased applied edited --not other";
        let format = "%h %(trailers:key=Agentguard-Session,valueonly,separator=%x2C) %s";
        let found = log(scene, format, made);
        assert!(found.lines().count() >= 9, "{found}");
        for line in found.lines() {
            assert_eq!(line.split(' ').nth(1), Some(session), "{line}");
        }
        for subject in [
            " #12: it begins like a comment",
            " written",
            " Merge branch",
            " Revert",
        ] {
            assert!(found.contains(subject), "{subject}");
        }
        // It is the log's own name, by which its key is found.
        let key =
            fs::read_to_string(scene.root.join("home/.local/state/agentguard/log/key")).unwrap();
        let name = key.split('+').nth(2).unwrap();
        let logs = log(
            scene,
            "%(trailers:key=Agentguard-Log,valueonly,separator=%x2C)",
            made,
        );
        assert!(logs.lines().all(|line| line == name), "{name}\n{logs}");
        // What was there before was not touched.
        let others = log(
            scene,
            "%(trailers:key=Agentguard-Session,valueonly,separator=%x2C)",
            "other",
        );
        assert_eq!(others, format!("{0}\n{0}\n\n", "f".repeat(32)));
        let ends = log(scene, "%b", "main~1 -1");
        assert!(
            ends.starts_with("---\n# so\n\nAgentguard-Session: "),
            "{ends}"
        );
    });
}

#[test]
fn without_a_policy_that_says_so_no_commit_names_the_session() {
    as_everyone(|scene| {
        repository(scene);
        let ran = scene.run(&[
            "sh",
            "-ec",
            "git commit -q --allow-empty -m x; git config core.hooksPath || echo none",
        ]);
        assert_eq!(ran.stdout, "none\n", "{}", ran.stderr);
        assert_eq!(log(scene, "%B", "main -1"), "x\n\n");
    });
}

#[test]
fn a_message_that_nobody_writes_makes_no_commit() {
    where_there_are_trailers(|scene| {
        repository(scene);
        scene.write("home/work/wipe.sh", "sed -i '/^[^#]/d' \"$1\"\n");
        scene.write("home/work/draft", "a draft\n");
        let before = log(scene, "%H", "main");
        let ran = named(
            scene,
            "try() { if \"$@\"; then echo made; else echo none; fi 2>&1; }
             export GIT_EDITOR=true; try git commit -q --allow-empty
             GIT_EDITOR=: try git commit -q --allow-empty
             try git commit -q --allow-empty -v
             try git commit -q --allow-empty -m ' '
             try git commit -q --allow-empty -t draft
             git -c core.commentChar=';' config --get core.commentChar > /dev/null
             try git -c core.commentChar=';' commit -q --allow-empty
             GIT_EDITOR='sh wipe.sh' try git commit -q --allow-empty --amend",
        );
        assert_eq!(
            ran.stdout.matches("none\n").count(),
            7,
            "{}{}",
            ran.stdout,
            ran.stderr
        );
        assert_eq!(log(scene, "%H", "main"), before);
        let ran = named(
            scene,
            "GIT_EDITOR='sh write.sh' git commit -q --allow-empty -t draft",
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let message = log(scene, "%B", "main -1");
        assert!(
            message.starts_with("written\n\nAgentguard-Session: "),
            "{message}"
        );
    });
}

/// Says all that a hook is told: what it is, what stands behind it, what it reads, where it is, and git's variables.
const TELLS: &str = "{ echo \"$0 $*\"; case ${0##*/} in pre-push|reference-transaction|post-rewrite) cat;; esac; pwd
    env | grep -E '^(GIT_|name=|hook=|line=|log=|session=)' | grep -vE '^GIT_(CONFIG_PARAMETERS|AUTHOR_DATE)=' | sort; } >> /tmp/told; exit 0";
const HOOKS: [&str; 15] = [
    "applypatch-msg",
    "commit-msg",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-merge",
    "post-rewrite",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "prepare-commit-msg",
    "reference-transaction",
];

/// Where hooks lie that come with a repository, and whoever clones it has git look.
const HUSKY: &str = ".husky/_";
const LINKED: &str = "cp -r . $TMPDIR/copy; cd $TMPDIR/copy; git commit -q --allow-empty -m more; git worktree add -q -b here ../linked HEAD~1; cd ../linked";

/// What the hooks of a repository are told while there is work, ids aside.
fn told(scene: &Scene, policy: &str, directory: &str, before: &str) -> String {
    scene.run_bare(&["sh", "-c", "rm -rf .git * "]);
    repository(scene);
    if directory == HUSKY {
        let words = ["git", "config", "core.hooksPath", HUSKY];
        assert_eq!(scene.run_bare(&words).code, Some(0));
    }
    for name in HOOKS {
        hook(scene, &format!("{directory}/{name}"), TELLS);
    }
    let script = format!(
        "export name=n hook=h line=l log=o session=s; {}; {before}; {WORK}; cat /tmp/told",
        files(scene)
    );
    let ran = scene.run_with(&[&scene.policy(policy)], &["sh", "-ec", &script]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let is_id = |word: &str| word.len() >= 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lines = ran.stdout.lines().map(|line| {
        let words = line
            .split(' ')
            .map(|word| if is_id(word) { "id" } else { word });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_hook_of_a_repository_runs_as_without_the_guards() {
    where_there_are_trailers(|scene| {
        let nothing = "package agentguard.sandbox\n\nmasks contains \"/opt/none\"\n";
        for (directory, before) in [
            (".git/hooks", "true"),
            (HUSKY, "true"),
            (".git/hooks", LINKED),
        ] {
            let without = told(scene, nothing, directory, before);
            let with = told(scene, TRAILERS, directory, before);
            for name in HOOKS {
                let is_asked = !["pre-auto-gc", "pre-push"].contains(&name);
                let is_told = without.contains(&format!("{directory}/{name} "));
                assert_eq!(is_told, is_asked, "{name}");
            }
            for (one, other) in without.lines().zip(with.lines()) {
                assert_eq!(one, other, "{directory} {before}");
            }
            assert_eq!(without.lines().count(), with.lines().count());
        }
    });
}

#[test]
fn what_a_hook_of_the_repository_refuses_is_refused() {
    where_there_are_trailers(|scene| {
        repository(scene);
        let before = log(scene, "%H", "--all");
        for (name, command) in [
            ("pre-commit", "git commit -q --allow-empty -m x"),
            ("prepare-commit-msg", "git commit -q --allow-empty -m x"),
            ("commit-msg", "git commit -q --allow-empty -m x"),
            ("reference-transaction", "git commit -q --allow-empty -m x"),
            ("pre-rebase", "git rebase -q --force-rebase main other"),
            ("applypatch-msg", "git am -q .git/patch"),
            ("pre-applypatch", "git am -q .git/patch"),
        ] {
            let path = format!(".git/hooks/{name}");
            hook(scene, &path, "echo \"no by $0\" >&2; exit 3");
            let ran = named(scene, command);
            assert_ne!(ran.code, Some(0), "{name}");
            assert!(
                ran.stderr.contains(&format!("no by .git/hooks/{name}")),
                "{}",
                ran.stderr
            );
            fs::remove_file(scene.work().join(path)).unwrap();
            let words = "rm -rf .git/rebase-apply; git checkout -q main";
            assert_eq!(scene.run_bare(&["sh", "-c", words]).code, Some(0));
            assert_eq!(log(scene, "%H", "--all"), before, "{name}");
        }
        // Its status is the hook's, and what another one writes into a message stays.
        hook(scene, ".git/hooks/post-checkout", "exit 1");
        // How often it is asked is a matter of time.
        hook(
            scene,
            ".git/hooks/post-index-change",
            "echo asked > /tmp/asked",
        );
        hook(
            scene,
            ".git/hooks/prepare-commit-msg",
            "echo \"T-1 $(cat $1)\" > $1",
        );
        hook(
            scene,
            ".git/hooks/commit-msg",
            "grep -q ^Agentguard-Session $1 && echo 'Checked-by: a hook' >> $1",
        );
        let ran = named(
            scene,
            "git commit -q --allow-empty -m x; git checkout -q other || echo $?; cat /tmp/asked",
        );
        assert_eq!(ran.stdout, "1\nasked\n", "{}", ran.stderr);
        let message = log(scene, "%B", "main -1");
        assert!(
            message.starts_with("T-1 x\n\nAgentguard-Session: "),
            "{message}"
        );
        assert!(message.contains("\nChecked-by: a hook\n"), "{message}");
    });
}

#[test]
fn a_hook_that_is_not_executable_is_ignored_and_git_says_so() {
    where_there_are_trailers(|scene| {
        repository(scene);
        hook(scene, ".git/hooks/pre-commit", "exit 1");
        let path = scene.work().join(".git/hooks/pre-commit");
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let ran = named(scene, "git commit -q --allow-empty -m x");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("hook was ignored"), "{}", ran.stderr);
    });
}

#[test]
fn the_guards_hooks_are_nobodys_to_change_and_no_way_round_the_repositorys() {
    where_there_are_trailers(|scene| {
        repository(scene);
        hook(scene, ".git/hooks/pre-commit", "exit 1");
        let before = log(scene, "%H", "main");
        let script = "d=/run/agentguard/hooks; stat -c %a $d $d/.all; try() { if \"$@\" 2>/tmp/said; then echo \"did $*\"; fi; cat /tmp/said >&2; }
             try rm $d/pre-commit; try touch $d/x; try sh -c \"echo x > $d/.all\"; try mv $d /tmp/h; try chmod 0 $d/.all
             make='git commit -q --allow-empty -m x'
             try $make
             try git -c core.hooksPath=$d commit -q --allow-empty -m x
             try env GIT_CONFIG_PARAMETERS=\"$GIT_CONFIG_PARAMETERS $GIT_CONFIG_PARAMETERS\" $make
             try env GIT_CONFIG_PARAMETERS= $make
             try env GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.hooksPath GIT_CONFIG_VALUE_0=/proc/self/root$d $make
             try env GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.hooksPath GIT_CONFIG_VALUE_0=$d $make
             cp -r $d /tmp/hooks; try git -c core.hooksPath=/tmp/hooks commit -q --allow-empty -m x
             try git -c core.hooksPath=$d/../hooks commit -q --allow-empty -m x; exit 0";
        // Whatever mask the caller has, whoever runs inside reads and starts them.
        let session = scene.exec(&[&scene.policy(TRAILERS)], &["sh", "-ec", script]);
        let mut masked = scene.command("sh");
        masked
            .args(["-c", "umask 0077; exec \"$@\"", "sh"])
            .arg(session.get_program())
            .args(session.get_args());
        let ran = scene.run_command(masked);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(0), "555\n555\n"),
            "{}",
            ran.stderr
        );
        assert_eq!(log(scene, "%H", "main"), before);
        assert!(
            ran.stderr
                .contains("where no repository has hooks of its own")
        );
    });
}

/// A policy whose pushes hold commits that name their session and no other.
const REQUIRED: &str = "package agentguard.push.own

deny contains {\"id\": \"own/unnamed\", \"reason\": \"a commit does not name this session\"} if {
\tsome commit in input.action.commits
\tobject.get(commit, \"sessions\", []) != [input.session.id]
}
";

#[test]
fn policy_can_have_pushes_hold_only_commits_that_name_their_session() {
    with_server(|scene, server| {
        server.policy(scene);
        scene.write("policy/trailers.rego", TRAILERS);
        scene.write("policy/own.rego", REQUIRED);
        let stops = "case \"$2 $(cat)\" in *stop*) echo \"no by $0\" >&2; exit 1;; esac";
        hook(scene, ".git/hooks/pre-push", stops);
        let tried = push(
            scene,
            server,
            "forged=\"Agentguard-Session: $(echo $AGENTGUARD_SESSION | tr 0-9a-f 1-9a-f0)\"
             make() { git commit-tree -p HEAD -m \"$1\" HEAD^{tree}; }
             wire $(make none):refs/heads/$own/none
             wire $(make \"x

$forged\"):refs/heads/$own/other
             wire $(make \"x

$forged

Agentguard-Session: $AGENTGUARD_SESSION\"):refs/heads/$own/both
             wire $(make \"x

Agentguard-Session: $AGENTGUARD_SESSION
 $AGENTGUARD_SESSION\"):refs/heads/$own/folded
             git commit -q --allow-empty -m \"made

$forged\"
             if git push -q origin HEAD:refs/heads/$own/stop; then exit 9; fi
             git push -q origin HEAD:refs/heads/$own/made",
        );
        assert_eq!(tried.code, Some(0), "{}", tried.stderr);
        assert!(
            tried.stderr.contains("no by .git/hooks/pre-push"),
            "{}",
            tried.stderr
        );
        assert_eq!(refused_by(scene), ["own/unnamed"; 4]);
        let refs = server.refs(scene);
        let made = refs.lines().filter(|line| line.contains("/agent/"));
        assert_eq!(
            made.filter(|line| line.contains("/made ")).count(),
            1,
            "{refs}"
        );
    });
}

/// The command by the one whose sessions they are.
fn trace(scene: &Scene, directory: &Path, commit: &str) -> String {
    trace_with(scene, directory, &["trace", commit])
}

fn trace_with(scene: &Scene, directory: &Path, words: &[&str]) -> String {
    let mut command = scene.command(scene.root.join("agentguard"));
    command.current_dir(directory).args(words);
    let ran = scene.run_command(command);
    format!("{}{}", ran.stdout, ran.stderr)
}

#[test]
fn a_commit_that_names_another_session_is_told_from_one_that_names_its_own() {
    where_there_are_trailers(|scene| {
        repository(scene);
        let ran = named(
            scene,
            "git commit -q --allow-empty -m honest; git tag honest
             git update-ref refs/tags/none $(git commit-tree -p HEAD -m none HEAD^{tree})
             git update-ref refs/tags/forged $(git commit-tree -p HEAD -m 'forged

Agentguard-Session: 0123456789abcdef0123456789abcdef' HEAD^{tree}); echo $AGENTGUARD_SESSION",
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let (work, session) = (scene.work(), ran.stdout.trim());
        let honest = trace(scene, &work, "honest");
        assert!(
            honest.contains("trailer   names this session\n"),
            "{honest}"
        );
        let none = trace(scene, &work, "none");
        // Its actions name git's own command too.
        let says_trailer = none.lines().any(|line| line.starts_with("trailer "));
        assert!(none.contains(session) && !says_trailer, "{none}");
        let forged = trace(scene, &work, "forged");
        let words =
            "trailer   names session 0123456789abcdef0123456789abcdef, and that is not this one";
        assert!(
            forged.contains(words) && forged.contains(session),
            "{forged}"
        );
        for (commit, named) in [
            ("honest", vec![(session, true)]),
            ("none", vec![]),
            ("forged", vec![("0123456789abcdef0123456789abcdef", false)]),
        ] {
            let told = trace_with(scene, &work, &["trace", "--json", commit]);
            let steps = told.lines().filter_map(|line| {
                let step: serde_json::Value = serde_json::from_str(line).ok()?;
                (step["step"] == "trailer").then_some(step)
            });
            let steps: Vec<_> = steps.collect();
            let expected: Vec<_> = named
                .iter()
                .map(|(session, is_this)| {
                    serde_json::json!({"step": "trailer", "session": session, "is_this": is_this})
                })
                .collect();
            assert_eq!(steps, expected, "{told}");
        }
        // It came from nowhere that is known, whatever it says.
        let outside =
            "git -c safe.directory='*' update-ref refs/tags/outside $(git -c safe.directory='*' \
            -c user.name=a -c user.email=a@b commit-tree -m \"x

Agentguard-Session: $0\" HEAD^{tree})";
        let made = scene.run_bare(&["sh", "-ec", outside, session]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let outside = trace(scene, &work, "outside");
        assert!(outside.contains("came from no session"), "{outside}");
        assert!(
            outside.contains(&format!("its message names session {session}")),
            "{outside}"
        );
    });
}
