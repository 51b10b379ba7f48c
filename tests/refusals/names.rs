//! Names that come into being where they make somebody run code later: judged when they do.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use agentguard::core::Promise;

use crate::scene::{Ran, Scene, as_everyone, where_held};

/// More by `AGENTGUARD_RACES`.
const TRIES: u32 = 400;
/// So often a race is run that shows nothing by chance.
const LUCK: u32 = 20;

fn prepare(scene: &Scene) {
    for directory in [
        "n",
        "old.git",
        "old.git/hooks",
        "old.git/objects",
        "old.git/refs",
        "r",
        "r/.git",
    ] {
        scene.directory(&format!("home/work/{directory}"));
    }
    scene.write("home/work/old.git/HEAD", "ref: refs/heads/main\n");
}

/// Every path below a directory, links not followed.
fn below(directory: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        found.push(path.to_str().unwrap().to_owned());
        if path.symlink_metadata().unwrap().is_dir() {
            below(&path, found);
        }
    }
}

/// Parts of paths that are places wherever they lie, but below what was fetched.
const AT_ANY_DEPTH: [&str; 15] = [
    "/.envrc",
    "/.npmrc",
    "/.yarnrc.yml",
    "/.mcp.json",
    "/.vscode/",
    "/.claude/",
    "/.cargo/config",
    "/.agentguard/",
    "/.cursor/",
    "/.helix/",
    "/crush.json",
    "/.aider.conf.yml",
    "/.windsurf/",
    "/.gemini",
    "/.github/hooks/",
];

/// What git, an editor or CI would take up, found from outside.
fn planted(scene: &Scene) -> Vec<String> {
    let mut found = Vec::new();
    below(&scene.work(), &mut found);
    let work = scene.work();
    let is_planted = |path: &String| {
        if Path::new(path).is_dir() && !Path::new(path).is_symlink() {
            return false;
        }
        let path = path.strip_prefix(work.to_str().unwrap()).unwrap();
        let path = path.trim_start_matches('/').to_lowercase();
        let is_of_git = path.ends_with(".git/config")
            || (path.contains(".git/hooks/") && !path.ends_with(".sample"));
        let is_file = path.ends_with("/.git") && !work.join(&path).is_dir();
        let at_top = [
            ".envrc",
            ".npmrc",
            ".pnpmfile.cjs",
            ".yarnrc.yml",
            ".yarn/plugins/",
            ".cargo/config",
            "bunfig.toml",
            ".gitlab-ci.yml",
            ".mcp.json",
            ".vscode/",
            ".claude/",
            ".github/",
        ];
        let is_fetched = path.contains("node_modules/") || path.contains("vendor/c/");
        let is_nested = !is_fetched && AT_ANY_DEPTH.iter().any(|place| path.contains(place));
        let is_beside = [
            "r/.github/",
            "r/.gitlab-ci.yml",
            "r/.circleci/",
            "r/.buildkite",
        ]
        .iter()
        .any(|place| path.starts_with(place));
        is_of_git
            || is_file
            || is_nested
            || is_beside
            || at_top.iter().any(|place| path.starts_with(place))
    };
    found.retain(is_planted);
    found
}

fn repositories(scene: &Scene) -> Vec<String> {
    let is_there = |path: &str| scene.work().join(path).symlink_metadata().is_ok();
    ["n/bare", "n/bare2", "n/submodule"]
        .into_iter()
        .filter(|path| {
            ["HEAD", "objects", "refs"]
                .iter()
                .all(|part| is_there(&format!("{path}/{part}")))
        })
        .map(str::to_owned)
        .collect()
}

const NEIGHBOURS: [&str; 11] = [
    "neighbour-index",
    "neighbour-sample",
    "neighbour-hooks",
    "neighbour-head",
    "neighbour-deep",
    "neighbour-fetched",
    "neighbour-vendored",
    "neighbour-within",
    "neighbour-parent",
    "neighbour-pipeline",
    "neighbour-beside",
];

#[test]
fn no_name_is_made_where_it_makes_others_run_code() {
    where_held(&[Promise::Pins], |scene| {
        prepare(scene);
        let tried = scene.run(&["./attack", "names"]).tried();
        tried.all_are(&["EACCES"], &NEIGHBOURS);
        for neighbour in NEIGHBOURS {
            assert_eq!(tried.result(neighbour), "ok", "{neighbour}");
        }
        assert_eq!(planted(scene), Vec::<String>::new());
        assert_eq!(repositories(scene), Vec::<String>::new());
        let refusals = scene.refusals();
        for rule in [
            "persistence/hook",
            "persistence/repository",
            "persistence/configuration",
        ] {
            assert!(refusals.iter().any(|refused| refused == rule), "{rule}");
        }
    });
}

#[test]
fn without_us_each_of_them_is_made() {
    as_everyone(|scene| {
        prepare(scene);
        let tried = scene.run_bare(&["./attack", "names"]).tried();
        // Made before under the same name, by an attempt that succeeded.
        let others = [
            "within",
            "by-descriptor",
            "parent-linked",
            "repository-objects-linked",
            "repository-head-linked",
            "git-file-moved",
            "parent-workflows-linked",
            "mknod-fifo",
        ];
        for (name, result) in tried.all_but(&others) {
            // Something else took what it would have moved, or its place.
            let is_made = matches!(result, "ok" | "ENOENT" | "error-39");
            assert!(is_made, "{name}: {result}");
        }
        assert!(planted(scene).len() > 20);
        assert_eq!(repositories(scene).len(), 3);
    });
}

/// More than is looked at of what a directory would bring along is taken for a place.
#[test]
fn what_is_moved_out_of_what_was_fetched_is_looked_at_to_its_end() {
    where_held(&[Promise::Pins], |scene| {
        let script = "mkdir -p node_modules/a/d vendor/c && cd node_modules/a/d && seq 6000 | xargs touch && cd ../../.. && \
                      mv node_modules/a a && echo moved; mkdir -p node_modules/b/x/y; touch node_modules/b/x/y/.envrc && \
                      echo fetched; mv node_modules/b b && echo planted; mkdir node_modules/b/z; \
                      mv node_modules/b/x node_modules/b/z && echo within; rm -r node_modules/b && echo removed; \
                      mkdir -p node_modules/d/node_modules/e; touch node_modules/d/node_modules/e/.envrc; mv node_modules/d d && \
                      echo fetched still; mkdir node_modules/f; ln -s ../d node_modules/f/.cargo; mv node_modules/f f && echo led";
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(
            ran.stdout, "moved\nfetched\nwithin\nremoved\nfetched still\n",
            "{}",
            ran.stderr
        );
        for brought in ["b/x/y/.envrc", "f/.cargo"] {
            assert!(ran.stderr.contains(brought), "{}", ran.stderr);
        }
        assert_eq!(scene.refusals(), ["persistence/configuration"; 2]);
    });
}

#[test]
fn what_is_refused_is_said_to_whoever_tried() {
    where_held(&[Promise::Pins], |scene| {
        let ran = scene.run(&["sh", "-c", "mkdir -p a/.git; echo x > a/.git/config"]);
        assert!(
            ran.stderr.contains("refused: write `a/.git/config`"),
            "{}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains("persistence/repository"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains("$TMPDIR"), "{}", ran.stderr);
    });
}

/// FAT keeps no dots and spaces at the end of a name, and gives each that is longer than eight letters and three an
/// alias. What a name means there is not asked: that it may is enough.
#[test]
fn what_fat_takes_for_a_place_is_judged_on_every_file_system() {
    const MAKE: &str = "for name; do mkdir -p \"$(dirname \"$name\")\"; \
                        echo planted > \"$name\" && echo \"made $name\"; done; true";
    const PLACES: [&str; 10] = [
        ".envrc.",
        ".ENVRC. .",
        "ENVRC~1",
        ".vscode/tasks.json.",
        ".vscode./tasks.json",
        "VSCODE~1/tasks.json",
        "VS03FA~1/TASKS~1.JSO",
        "GIT~1/hooks/pre-commit",
        ".envrc::$DATA",
        ".git::$INDEX_ALLOCATION/hooks/pre-commit",
    ];
    where_held(&[Promise::Pins], |scene| {
        scene.directory("home/work/.vscode");
        scene.directory("home/work/VSCODE~1");
        let mut words = vec!["sh", "-c", MAKE, "sh"];
        words.extend(PLACES);
        words.extend(["notes~", "notes~1.txt", "envrc", "a.b./c.", "notes:.envrc"]);
        let ran = scene.run(&words);
        assert_eq!(
            ran.stdout,
            "made notes~\nmade notes~1.txt\nmade envrc\nmade a.b./c.\nmade notes:.envrc\n"
        );
        for place in PLACES {
            assert!(!scene.work().join(place).exists(), "{place}");
        }
    });
}

/// Nobody looks for settings in what was fetched, since nobody works there: until a link says that it is elsewhere.
#[test]
fn a_link_lets_nothing_that_was_fetched_out() {
    let script = "try() { \"$@\" && echo \"let $*\"; }; mv packages/app node_modules/app; \
                  try ln -s ../node_modules/app packages/app; try ln -s \"/$PWD/./node_modules/app\" packages/app; \
                  try ln -s node_modules all; try ln -s ../node_modules/later packages/app; try ln -s old packages/app; \
                  try ln -s \"$PWD/node_modules/later\" packages/app; try ln -s \"/usr/..$PWD/node_modules/app\" packages/app; \
                  ln -s ../node_modules/app node_modules/b/led; try mv node_modules/b/led packages/led; \
                  try ln node_modules/b/led packages/twin; \
                  echo x > node_modules/app/.npmrc; ls packages; \
                  ln -s ../node_modules packages/node_modules && ln -s ../app node_modules/b/other && \
                  ln -s node_modules/app/package.json manifest && ln -s packages/web web && echo worked";
    where_held(&[Promise::Pins], |scene| {
        for directory in [
            "packages/app",
            "packages/web",
            "packages/node_modules/app",
            "node_modules/b",
        ] {
            scene.directory(&format!("home/work/{directory}"));
            scene.own(&scene.work().join(directory).join(".."));
        }
        fs::remove_dir_all(scene.work().join("packages/node_modules")).unwrap();
        std::os::unix::fs::symlink("../node_modules/app", scene.work().join("packages/old"))
            .unwrap();
        scene.write("home/work/packages/app/package.json", "{}");
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(ran.stdout, "old\nweb\nworked\n", "{}", ran.stderr);
        assert!(
            scene
                .refusals()
                .contains(&"persistence/configuration".to_owned())
        );
    });
    as_everyone(|scene| {
        scene.directory("home/work/packages/app");
        scene.directory("home/work/node_modules");
        scene.own(&scene.work().join("packages"));
        let ran = scene.run_bare(&["sh", "-c", script]);
        assert!(
            ran.stdout.contains("let ln -s ../node_modules/app"),
            "{}",
            ran.stderr
        );
        assert!(scene.work().join("packages/app/.npmrc").exists());
    });
}

/// Git looks for its directories by asking whether it could go there, which it is told of a socket too.
#[test]
fn a_socket_is_no_part_of_a_repository_and_no_setting() {
    let prepare = |scene: &Scene| {
        for directory in ["a", "b", "c", "d", "e", "f"] {
            scene.directory(&format!("home/work/{directory}/refs"));
            scene.own(&scene.work().join(directory));
            scene.write(
                &format!("home/work/{directory}/HEAD"),
                "ref: refs/heads/main\n",
            );
            let settings = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = ../ran\n";
            scene.write(&format!("home/work/{directory}/config"), settings);
        }
        scene.program("ran", b"#!/bin/sh\n: > ../has-run\n");
    };
    let runs = |scene: &Scene| {
        for directory in ["a", "b", "c", "d", "e", "f"] {
            scene.run_bare(&["sh", "-c", &format!("cd {directory} && git status")]);
        }
        scene.work().join("has-run").exists()
    };
    where_held(&[Promise::Pins], |scene| {
        prepare(scene);
        let tried = scene.run(&["./attack", "bind_names"]).tried();
        for (name, result) in tried.all_but(&["raced", "planted"]) {
            let is_neighbour = name.starts_with("neighbour");
            let expected = match (is_neighbour, name) {
                (true, _) => "ok",
                (false, "hook") => "ENOENT",
                (false, _) => "EACCES",
            };
            assert_eq!(result, expected, "{name}");
        }
        assert_eq!(tried.result("planted"), "0");
        let raced: u32 = tried.result("raced").parse().unwrap();
        assert!(
            raced > 20,
            "its own directory was met now and then: {raced}"
        );
        assert!(!runs(scene));
        let refusals = scene.refusals();
        assert!(
            refusals.contains(&"persistence/repository".to_owned()),
            "{refusals:?}"
        );
    });
    as_everyone(|scene| {
        prepare(scene);
        let bare = scene
            .run_bare(&["./attack", "bind_names", "until-planted"])
            .tried();
        assert_ne!(bare.result("planted"), "0");
        for real in ["absolute", "through-link", "inside", "setting"] {
            assert_eq!(bare.result(real), "ok", "{real}");
        }
        assert!(runs(scene));
    });
}

/// Of two parts that are made at the same moment, neither is the last one to whoever looks at the other's absence.
#[test]
fn parts_that_are_made_at_the_same_moment_are_no_repository() {
    let is_whole = |scene: &Scene| {
        let parts = ["HEAD", "objects", "refs"].map(|part| scene.work().join("parts").join(part));
        parts.iter().all(|part| part.exists())
    };
    where_held(&[Promise::Pins], |scene| {
        let tried = scene.run(&["./attack", "race_parts", "2000"]).tried();
        assert!(!is_whole(scene));
        assert_ne!(tried.result("made"), "0");
        // Whoever takes them away again may come last.
        let is_won = |_| {
            scene.run_bare(&["./attack", "race_parts", "1000000"]);
            is_whole(scene)
        };
        assert!((0..20).any(is_won));
    });
}

#[test]
fn a_policy_excepts_a_place_and_the_rest_stays() {
    where_held(&[Promise::Pins], |scene| {
        let policy = scene.policy(
            "package agentguard.file.planted\n\nexcepted if startswith(input.action.path, \"target/\")\n",
        );
        let script = "mkdir -p target/.git other/.git; echo x > target/.git/config; \
                      echo x > other/.git/config; true";
        scene.run_with(&[&policy], &["sh", "-c", script]);
        assert!(scene.work().join("target/.git/config").exists());
        assert!(!scene.work().join("other/.git/config").exists());
        let told = |words: &[&str]| {
            let mut command = scene.command(scene.root.join("agentguard"));
            command.args(words);
            scene.run_command(command)
        };
        assert_eq!(told(&["verify"]).code, Some(0));
        let story = told(&["log", "show"]).stdout;
        let allowed = "allowed file open target/.git/config (persistence/excepted)";
        let refused = "refused file open other/.git/config (persistence/repository)";
        assert!(
            story.contains(allowed) && story.contains(refused),
            "{story}"
        );
        assert!(story.contains(" did "), "{story}");
    });
}

#[test]
fn a_repository_that_was_there_is_held_at_any_depth_and_its_directories_move() {
    where_held(&[Promise::Pins], |scene| {
        for directory in [
            "a",
            "a/.git",
            "a/.git/hooks",
            "a/.git/objects",
            "a/.git/refs",
        ] {
            scene.directory(&format!("home/work/{directory}"));
        }
        for file in [
            "a/.git/HEAD",
            "a/.git/config",
            "a/.git/hooks/update",
            "b.git",
        ] {
            scene.write(&format!("home/work/{file}"), "as it was");
        }
        let script = "for f in a/.git/config a/.git/hooks/update; do \
                      printf changed | dd of=$f conv=notrunc,nocreat status=none; chmod 700 $f; rm -f $f; \
                      done; mv a c && echo moved; mkdir -p a/.git; echo x > a/.git/config; \
                      printf changed | dd of=c/.git/config conv=notrunc,nocreat status=none; \
                      echo y > c/.git/description && echo written";
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(ran.stdout, "moved\nwritten\n");
        assert!(!scene.work().join("a/.git/config").exists());
        for file in ["c/.git/config", "c/.git/hooks/update"] {
            assert_eq!(
                fs::read_to_string(scene.work().join(file)).unwrap(),
                "as it was"
            );
        }
    });
}

/// A repository of the human's, and then the work of an agent in it.
const WORK: &str = "set -e
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
for n in 1 2 3; do echo $n > file; git add file; git commit -qm $n; done
git checkout -qb topic; echo t > other; git add other; git commit -qm topic
git checkout -q main; echo m > third; git add third; git commit -qm third
git merge -q --no-edit topic; git checkout -q topic; git rebase -q main
echo dirty >> file; git stash -q; git stash pop -q; git checkout -q file; git tag v1; git gc -q
echo new > .file.tmp; mv .file.tmp file
mkdir -p src/hooks; echo x > src/hooks/use.ts; cp -r src copy; ln copy/hooks/use.ts hard; ln -s hard soft
echo y > soft; tar cf t.tar src copy; mkdir out; tar xf t.tar -C out; mkfifo fifo; echo z > fifo & cat fifo
echo x > /dev/null; (echo inside > /dev/stdout) | cat; echo there > $TMPDIR/t; git init -q $TMPDIR/r
mv out moved; rm -r moved; umask 077; touch private; umask 027; mkdir ours; umask 037; mkfifo second; umask 017
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"bound\")'; umask 077
stat -c %a private ours second bound";

#[test]
fn the_work_of_a_day_is_done() {
    as_everyone(|scene| {
        let mut init = scene.command("git");
        assert!(
            init.args(["init", "-qb", "main"])
                .status()
                .unwrap()
                .success()
        );
        let ran = scene.run(&["sh", "-c", WORK]);
        assert_eq!(ran.code, Some(0));
        assert_eq!(ran.stdout, "z\ninside\n600\n750\n640\n760\n");
        assert_eq!(scene.refusals(), Vec::<String>::new());
    });
}

#[test]
fn hundreds_of_threads_make_names_while_others_wait_for_a_fifo() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "many_names"]).tried();
        tried.all_are(&["ok"], &[]);
    });
}

#[test]
fn whoever_closes_a_file_was_the_last_to_hold_it() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "let_go", "2000"]).tried();
        assert_eq!(tried.result("taken"), "2000");
        assert_eq!(tried.result("started"), "40");
    });
}

#[test]
fn a_terminal_of_its_own_is_opened_by_the_name_that_everybodys_has() {
    where_held(&[Promise::Own], |scene| {
        let tried = scene.run(&["./attack", "own_terminal"]).tried();
        assert_eq!(tried.result("none"), "ENXIO");
        assert_eq!(tried.result("own"), "ok");
    });
}

#[test]
fn odd_calls_are_answered_as_the_kernel_answers_them() {
    as_everyone(|scene| {
        let inside = scene.run(&["./attack", "odd_names"]).tried();
        fs::remove_dir_all(scene.work().join("odd")).unwrap();
        let bare = scene.run_bare(&["./attack", "odd_names"]).tried();
        // Root outside may make one; nobody inside may.
        let others = ["node-device"];
        let inside: Vec<_> = inside.all_but(&others).collect();
        let bare: Vec<_> = bare.all_but(&others).collect();
        assert_eq!(inside, bare);
    });
}

/// Thousands of tries in which what was looked at becomes something else.
fn race(scene: &Scene, kind: &str) {
    let tries = std::env::var("AGENTGUARD_RACES").unwrap_or(TRIES.to_string());
    for directory in ["n", "n/a", "n/a/.git", "n/a/dgit", "n/b"] {
        scene.directory(&format!("home/work/{directory}"));
    }
    // Where others have the processors, its threads may take turns, and meet no judgement that another is in.
    let is_made = (0..LUCK).any(|_| {
        let tried = scene.run(&["./attack", "race_names", kind, &tries]).tried();
        assert_eq!(tried.result("won"), "0", "{kind}");
        tried.result("made") != "0"
    });
    assert!(is_made, "{kind}: this shows nothing");
    assert!(!scene.work().join("n/a/.git/config").exists());
    assert!(!scene.work().join("n/b/.git/config").exists());
}

#[test]
fn a_directory_that_another_session_moves_while_a_name_is_made_in_it_wins_nothing() {
    where_held(&[Promise::Pins], |scene| {
        for directory in ["n", "n/a", "n/a/dgit", "n/b"] {
            scene.directory(&format!("home/work/{directory}"));
        }
        // The first session of a home makes what all of them need.
        assert_eq!(scene.run(&["true"]).code, Some(0));
        let [makes, moves] = ["make", "move"].map(|kind| {
            let mut command = scene.exec(&[], &["./attack", "race_beside", kind, "6"]);
            let session = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            session.spawn().unwrap()
        });
        let [makes, moves] =
            [makes, moves].map(|session| Ran::of(session.wait_with_output().unwrap()).tried());
        assert_eq!(moves.result("won"), "0");
        for tried in [makes, moves] {
            assert_ne!(tried.result("tried"), "0", "this shows nothing");
        }
    });
}

#[test]
fn a_supervisor_that_lets_the_call_go_on_loses_these_races() {
    as_everyone(|scene| {
        for directory in ["n", "n/a", "n/a/.git", "n/a/dgit", "n/b"] {
            scene.directory(&format!("home/work/{directory}"));
        }
        for kind in ["path", "symlink", "directory"] {
            let words = ["./attack", "naive_names", kind, "20000"];
            let wins = || scene.run_bare(&words).tried().result("won") != "0";
            assert!((0..LUCK).any(|_| wins()), "{kind}");
        }
    });
}

#[test]
fn a_thread_that_rewrites_the_name_wins_nothing() {
    where_held(&[Promise::Pins], |scene| race(scene, "path"));
}

#[test]
fn a_thread_that_swaps_a_link_above_the_name_wins_nothing() {
    where_held(&[Promise::Pins], |scene| race(scene, "symlink"));
}

#[test]
fn a_directory_that_moves_while_a_name_is_made_in_it_wins_nothing() {
    where_held(&[Promise::Pins], |scene| race(scene, "directory"));
}

#[test]
fn a_name_that_is_now_a_file_and_now_a_directory_wins_nothing() {
    where_held(&[Promise::Pins], |scene| race(scene, "either"));
}
