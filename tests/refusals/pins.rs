//! Files of the workspace that make somebody run code later.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use agentguard::core::Promise;

use crate::scene::{Ran, Scene, as_everyone, where_held};

pub(crate) fn repository(scene: &Scene) {
    for directory in [".git", ".git/hooks", ".github", ".github/workflows"] {
        scene.directory(&format!("home/work/{directory}"));
    }
    for file in [
        ".git/config",
        ".git/hooks/post-merge",
        ".github/workflows/ci.yml",
    ] {
        scene.write(&format!("home/work/{file}"), "as it was");
    }
    scene.write("home/work/.git/HEAD", "ref: refs/heads/main\n");
}

#[test]
fn nothing_can_be_planted_where_git_and_ci_would_run_it() {
    where_held(&[Promise::Pins], |scene| {
        repository(scene);
        let neighbours = ["neighbour", "neighbour-github"];
        let tried = scene.run(&["./attack", "pins"]).tried();
        for neighbour in neighbours {
            assert_eq!(tried.result(neighbour), "ok", "{neighbour}");
        }
        tried.all_are(&["EROFS", "EBUSY", "EXDEV", "EACCES"], &neighbours);
        for file in [
            ".git/config",
            ".git/hooks/post-merge",
            ".github/workflows/ci.yml",
        ] {
            let path = scene.work().join(file);
            assert_eq!(fs::read_to_string(&path).unwrap(), "as it was", "{file}");
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        }
        let hooks: Vec<_> = fs::read_dir(scene.work().join(".git/hooks"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(hooks, ["post-merge"]);
        assert!(scene.work().join(".git/description").exists());
    });
}

#[test]
fn the_same_attack_succeeds_where_nobody_holds_it() {
    as_everyone(|scene| {
        repository(scene);
        let tried = scene.run_bare(&["./attack", "pins"]).tried();
        for planted in [
            "hook-create",
            "hook-rename-in",
            "config-write",
            "workflow-write",
        ] {
            assert_eq!(tried.result(planted), "ok", "{planted}");
        }
    });
}

#[test]
fn submodules_and_work_trees_are_held_as_the_repository_is() {
    where_held(&[Promise::Pins], |scene| {
        repository(scene);
        for directory in [
            ".git/modules",
            ".git/modules/lib",
            ".git/modules/lib/hooks",
            ".git/worktrees",
            ".git/worktrees/w",
        ] {
            scene.directory(&format!("home/work/{directory}"));
        }
        for file in [
            ".git/modules/lib/HEAD",
            ".git/modules/lib/config",
            ".git/worktrees/w/gitdir",
        ] {
            scene.write(&format!("home/work/{file}"), "as it was");
        }
        let script = "for f in .git/modules/lib/hooks/post-checkout .git/modules/lib/config .git/worktrees/w/gitdir; do \
                      echo x >> $f && echo planted $f; done; mv .git/modules m && echo moved; true";
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(ran.stdout, "");
        assert!(
            !scene
                .work()
                .join(".git/modules/lib/hooks/post-checkout")
                .exists()
        );
        assert!(scene.work().join(".git/modules/lib").exists());
    });
}

/// What lies elsewhere is somebody's who works there, and what git keeps of it is held whole.
#[test]
fn git_works_in_a_linked_work_tree_of_the_workspace_and_makes_none() {
    where_held(&[Promise::Pins], |scene| {
        let who = "git -c user.name=a -c user.email=b";
        let script = format!(
            "git init -q -b main && {who} commit -q --allow-empty -m first && git worktree add -q tree && \
             git worktree add -q ../other"
        );
        assert_eq!(scene.run_bare(&["sh", "-c", &script]).code, Some(0));
        let script = format!(
            "cd tree && echo x > x && git add x && {who} commit -qm second && git log --format=%s; \
             git switch -q -c topic && git branch --show-current; cd ../.git/worktrees; \
             for f in HEAD index rebase-merge; do echo x > other/$f && echo changed $f; done; \
             mkdir tree/hooks; for f in gitdir commondir config config.worktree hooks/pre-commit; do \
             echo x > tree/$f && echo changed $f; done; rm tree/gitdir && echo removed; mv tree t && echo moved; \
             mkdir new; cp tree/HEAD new; cp tree/commondir new && echo made; cd ../..; \
             git worktree add -q more && echo added"
        );
        let ran = scene.run(&["sh", "-c", &script]);
        assert_eq!(ran.stdout, "second\nfirst\ntopic\n", "{}", ran.stderr);
        let ran = scene.run_bare(&["sh", "-c", "git -C ../other status --short && git fsck"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    });
}

/// What git itself would write into a file that is held fails, and says so.
#[test]
fn git_cannot_change_its_configuration_either() {
    where_held(&[Promise::Pins], |scene| {
        let git = |words: &str| {
            let script = format!("git {words}");
            scene.run_bare(&["sh", "-c", &script])
        };
        git("init -q -b main");
        let config = scene.work().join(".git/config");
        let before = fs::read_to_string(&config).unwrap();
        for words in [
            "config core.fsmonitor ./attack",
            "remote add evil https://example.org/x",
            "sparse-checkout set a",
        ] {
            let ran = scene.run(&["sh", "-c", &format!("git {words}")]);
            assert_ne!(ran.code, Some(0), "{words}");
            assert_eq!(fs::read_to_string(&config).unwrap(), before, "{words}");
        }
        let commit = "git -c user.name=a -c user.email=b commit -q --allow-empty -m x && git log --format=%s";
        assert_eq!(scene.run(&["sh", "-c", commit]).stdout, "x\n");
    });
}

/// In a linked work tree `.git` is a file, which names where the repository is.
#[test]
fn the_file_that_names_the_repository_is_held() {
    where_held(&[Promise::Pins], |scene| {
        scene.write("home/work/.git", "gitdir: ../elsewhere\n");
        let script = "echo 'gitdir: planted' > .git && echo written; rm .git && echo removed; \
                      mv .git x && echo moved; ln -sf planted .git && echo linked; true";
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(ran.stdout, "");
        let mut refusals = scene.refusals();
        assert_eq!(refusals.remove(0), "workspace/git");
        assert_eq!(refusals, ["persistence/repository"; 2]);
        let named = fs::read_to_string(scene.work().join(".git")).unwrap();
        assert_eq!(named, "gitdir: ../elsewhere\n");
    });
}

#[test]
fn a_set_user_id_bit_is_not_set_by_chmod() {
    as_everyone(|scene| {
        scene.write("home/work/file", "");
        let tried = scene
            .run(&["./attack", "run", "/bin/chmod", "u+s", "file"])
            .tried();
        assert_eq!(tried.result("run"), "EACCES");
        let tried = scene
            .run(&["./attack", "run", "/bin/chmod", "755", "file"])
            .tried();
        assert_eq!(tried.result("run"), "ok");
        assert!(
            scene
                .refusals()
                .contains(&"commands/set-user-id".to_owned())
        );
        let mode = scene
            .work()
            .join("file")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755);
    });
}

#[test]
fn the_repositorys_policy_and_the_agents_own_settings_cannot_be_changed() {
    as_everyone(|scene| {
        for directory in [".agentguard", ".agentguard/policy", ".claude", ".vscode"] {
            scene.directory(&format!("home/work/{directory}"));
        }
        let files = [
            ".agentguard/policy/own.rego",
            ".claude/settings.json",
            ".vscode/tasks.json",
            ".envrc",
        ];
        for file in files {
            scene.write(&format!("home/work/{file}"), "# as it was\n");
        }
        let script = format!(
            "for f in {}; do echo x >> $f && echo changed $f; rm $f && echo removed $f; mv x $f; done; \
             mv .agentguard x && echo moved; true",
            files.join(" ")
        );
        let ran = scene.run(&["sh", "-c", &script]);
        assert_eq!(ran.stdout, "");
        for file in files {
            assert_eq!(
                fs::read_to_string(scene.work().join(file)).unwrap(),
                "# as it was\n"
            );
        }
    });
}

/// Links at pins. What was fetched is made anew by each install, and held by none.
fn lead_elsewhere(scene: &Scene) {
    let (pins, package) = (scene.work().join("a"), scene.work().join("node_modules/p"));
    scene.write("home/work/a/.mcp.json", "as it was");
    fs::hard_link(pins.join(".mcp.json"), package.join("twin")).unwrap();
    scene.write("home/work/node_modules/p/led", "as it was");
    std::os::unix::fs::symlink("../node_modules/p/led", pins.join(".yarnrc.yml")).unwrap();
    scene.write("home/work/shared", "as it was");
    std::os::unix::fs::symlink("../shared", pins.join(".npmrc")).unwrap();
}

#[test]
fn settings_are_held_at_any_depth_and_their_directories_move_and_what_was_fetched_is_free() {
    where_held(&[Promise::Pins], |scene| {
        for directory in [
            "a",
            "a/.vscode",
            "a/.shadowenv.d",
            "a/b",
            "a/b/.claude",
            "r",
            "r/.git",
            "r/.github",
            "r/.github/workflows",
            "a/.github",
            "a/.github/workflows",
            "node_modules",
            "node_modules/p",
            "node_modules/p/.vscode",
        ] {
            scene.directory(&format!("home/work/{directory}"));
        }
        let held = [
            "a/.vscode/tasks.json",
            "a/b/.claude/settings.json",
            "a/b/.envrc",
            "a/buildServer.json",
            "a/.shadowenv.d/env.lisp",
            "a/flake.nix",
            "a/lean-toolchain",
            "r/.github/workflows/ci.yml",
        ];
        let free = [
            "node_modules/p/.vscode/tasks.json",
            "node_modules/p/.npmrc",
            "a/.github/workflows/ci.yml",
        ];
        for file in held.iter().chain(&free) {
            scene.write(&format!("home/work/{file}"), "as it was");
        }
        lead_elsewhere(scene);
        let script = format!(
            "for f in {}; do printf changed | dd of=$f conv=notrunc,nocreat status=none; chmod 700 $f; rm -f $f; \
             [ -e $f ] || echo removed $f; done; rm -rf node_modules && echo emptied; mv a c && echo moved; \
             mkdir -p a/.vscode; echo x > a/.vscode/tasks.json; echo x > c/.vscode/more.json; \
             ln -sf planted c/.npmrc; echo y > c/b/src && echo written",
            [held.as_slice(), &free].concat().join(" ")
        );
        let ran = scene.run(&["sh", "-c", &script]);
        let removed = free.map(|file| format!("removed {file}\n")).concat();
        assert_eq!(ran.stdout, format!("{removed}emptied\nmoved\nwritten\n"));
        assert!(!scene.work().join("a/.vscode/tasks.json").exists());
        assert!(!scene.work().join("c/.vscode/more.json").exists());
        for file in held {
            let path = scene.work().join(file.replacen("a/", "c/", 1));
            assert_eq!(fs::read_to_string(path).unwrap(), "as it was", "{file}");
        }
        let link = fs::read_link(scene.work().join("c/.npmrc")).unwrap();
        assert_eq!(link.to_str(), Some("../shared"));
    });
}

/// Links at pins, and where they lead.
const LINKS: [(&str, &str); 8] = [
    (".git/hooks/pre-commit", "../../scripts/hook"),
    ("a/.vscode/tasks.json", "../../notes.json"),
    ("b/.claude", "../tools/claude"),
    ("b/.npmrc", "../absent"),
    ("b/.envrc", "../via/../sub/../envrc"),
    ("b/.idea", ".."),
    ("b/.yarnrc.yml", ".yarnrc.yml"),
    ("d/.npmrc", "later"),
];

fn linked(scene: &Scene) {
    repository(scene);
    for directory in [
        "a",
        "a/.vscode",
        "b",
        "d",
        "g",
        "scripts",
        "tools",
        "tools/claude",
        "tools/sub",
        "other",
        "ours",
    ] {
        scene.directory(&format!("home/work/{directory}"));
    }
    for file in [
        "scripts/hook",
        "scripts/absolute",
        "scripts/far",
        "notes.json",
        "tools/claude/settings.json",
        "tools/envrc",
        "twin",
        "ours/pre-push",
        "ours.config",
    ] {
        scene.write(&format!("home/work/{file}"), "as it was");
    }
    let settings =
        "[core] hooksPath = ours\n[include]\n\tpath = ../ours.config\n\tpath = \"../not yet\"\n";
    scene.write("home/work/.git/config", settings);
    let work = scene.work();
    std::os::unix::fs::symlink("tools/claude", work.join("via")).unwrap();
    for (link, target) in LINKS {
        std::os::unix::fs::symlink(target, work.join(link)).unwrap();
    }
    std::os::unix::fs::symlink(work.join("scripts/absolute"), work.join("a/.mcp.json")).unwrap();
    std::os::unix::fs::symlink(
        work.join("g/../scripts/named"),
        work.join("a/.pnpmfile.cjs"),
    )
    .unwrap();
    std::os::unix::fs::symlink("../scripts/far", work.join("ours/post-merge")).unwrap();
    fs::hard_link(work.join("twin"), work.join("a/.vscode/settings.json")).unwrap();
}

/// A link cannot be held by a mount, and settings name what they like.
#[test]
fn where_links_and_settings_of_git_lead_is_held_like_the_pin() {
    let held = [
        "scripts/hook",
        "scripts/absolute",
        "scripts/far",
        "notes.json",
        "tools/claude/settings.json",
        "tools/envrc",
        "twin",
        "ours/pre-push",
        "ours.config",
    ];
    let change = format!(
        "for f in {}; do printf changed | dd of=$f conv=notrunc,nocreat status=none && echo changed $f; \
         chmod 700 $f && echo opened $f; rm -f $f; [ -e $f ] || echo removed $f; done; ",
        held.join(" ")
    );
    let make = "echo x > absent && echo made absent; echo x > tools/claude/more && echo made more; \
                ln -sfn other via && echo led via; rmdir g && ln -s other g && echo led by whole path; mkdir e; mv b e && echo moved b; mv d f && echo moved what is led to; \
                echo x > ours/pre-commit && echo made hook; echo x > 'not yet' && echo made settings of git; \
                mv b c && echo beside; mv c e && echo moved c; \
                mv tools old && echo moved; mkdir -p new/claude; echo x > new/claude/settings.json; \
                mv new tools && echo made settings; mkdir -p tools; ln -s ../other tools/sub && echo led sub; \
                echo x > tools/envrc && echo made envrc; \
                echo y > scripts/other && mv scripts/other other/y && mkdir tools/x && echo worked";
    let script = format!("{change}{make}");
    where_held(&[Promise::Pins], |scene| {
        linked(scene);
        let ran = scene.run(&["sh", "-c", &script]);
        assert_eq!(ran.stdout, "beside\nmoved\nworked\n", "{}", ran.stderr);
        for file in held {
            let path = scene.work().join(file.replacen("tools/", "old/", 1));
            assert_eq!(fs::read_to_string(path).unwrap(), "as it was", "{file}");
        }
        for (link, target) in LINKS {
            let led = fs::read_link(scene.work().join(link.replacen("b/", "c/", 1))).unwrap();
            assert_eq!(led.to_str(), Some(target));
        }
        assert!(!scene.work().join("absent").exists());
        // What moved is at another pin now, which is told.
        let mut refusals = scene.refusals();
        assert_eq!(refusals.pop().as_deref(), Some("persistence/planted"));
        assert_eq!(refusals, ["persistence/configuration"; 12]);
    });
    as_everyone(|scene| {
        linked(scene);
        let ran = scene.run_bare(&["sh", "-c", &script]);
        for line in [
            "changed notes.json",
            "removed twin",
            "made absent",
            "led via",
            "made settings",
        ] {
            assert!(ran.stdout.contains(line), "{}", ran.stdout);
        }
    });
}

/// What cannot all be held is not held in part.
#[test]
fn a_session_does_not_begin_where_more_lies_at_pins_than_can_be_held() {
    where_held(&[Promise::Pins], |scene| {
        let link = |number: usize| {
            let link = scene.work().join(format!(".vscode/{number}"));
            std::os::unix::fs::symlink(format!("../to-{number}"), link).unwrap();
        };
        scene.directory("home/work/.vscode");
        (1..1024).for_each(link);
        assert_eq!(scene.run(&["true"]).code, Some(0));
        (1024..1026).for_each(link);
        let ran = scene.run(&["true"]);
        assert_eq!(ran.code, Some(125));
        let reason = "more links lie at what policy pins";
        assert!(ran.stderr.contains(reason), "{}", ran.stderr);
        fs::remove_dir_all(scene.work().join(".vscode")).unwrap();
        for number in 0..8193 {
            scene.directory(&format!("home/work/{number}"));
            scene.write(&format!("home/work/{number}/.envrc"), "");
        }
        let ran = scene.run(&["true"]);
        assert_eq!(ran.code, Some(125));
        let reason = "lie in the workspace than can be held";
        assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    });
}

/// Somebody outside puts another file in the place of one that a mount holds, as git does with its settings and editors
/// do: the mount goes with the old one.
#[test]
fn what_is_put_at_a_pin_from_outside_is_held_too() {
    let held = [
        ".git/config",
        ".git/config.lock",
        "bare/config.lock",
        ".envrc",
        ".github/workflows/ci.yml",
    ];
    let script = format!(
        "touch began; while [ ! -e go ]; do sleep 0.02; done; for f in {}; do \
         printf changed | dd of=$f conv=notrunc,nocreat status=none && echo changed $f; \
         printf changed | dd of=/proc/self/fd/3 conv=notrunc,nocreat status=none 3<$f && echo changed held $f; \
         dd if=/dev/null of=$f conv=nocreat status=none && echo emptied $f; \
         python3 -c 'import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)' $f 2>&1 | grep -q Error || echo emptied to read $f; \
         python3 -c 'import os, sys; os.truncate(sys.argv[1], 1)' $f 2>&1 | grep -q Error || echo cut $f; \
         ln $f twin && echo linked $f; done; \
         ln plain other && printf changed | dd of=other conv=notrunc,nocreat status=none && \
         python3 -c 'import os; os.truncate(\"plain\", 4)' && echo worked",
        held.join(" ")
    );
    where_held(&[Promise::Pins], |scene| {
        repository(scene);
        for directory in ["bare", "bare/objects", "bare/refs"] {
            scene.directory(&format!("home/work/{directory}"));
        }
        for file in [".envrc", "plain", "bare/HEAD"] {
            scene.write(&format!("home/work/{file}"), "as it was");
        }
        let mut command = scene.exec(&[], &["sh", "-c", &script]);
        let session = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut session = session.spawn().unwrap();
        while !scene.work().join("began").exists() {
            assert_eq!(session.try_wait().unwrap(), None, "it never began");
            // Nobody tells when a session runs.
            thread::sleep(Duration::from_millis(20));
        }
        for file in held {
            let new = scene.write("outside/new", "put there since");
            fs::rename(new, scene.work().join(file)).unwrap();
        }
        scene.write("home/work/go", "");
        let ran = Ran::of(session.wait_with_output().unwrap());
        assert_eq!(ran.stdout, "worked\n", "{}", ran.stderr);
        for file in held {
            let text = fs::read_to_string(scene.work().join(file)).unwrap();
            assert_eq!(text, "put there since", "{file}");
        }
        let plain = fs::read_to_string(scene.work().join("plain")).unwrap();
        assert_eq!(plain, "chan");
        assert!(ran.stderr.contains("write `.git/config`"), "{}", ran.stderr);
        let refusals = scene.refusals();
        assert!(refusals.contains(&"persistence/repository".to_owned()));
        assert!(refusals.contains(&"persistence/configuration".to_owned()));
    });
}

/// A work tree has the settings of the repository that it is linked to, and every one has the human's.
#[test]
fn hooks_that_settings_outside_of_the_workspace_name_are_held() {
    let held = [
        "of-all/pre-commit",
        "of-human/pre-commit",
        "nested/of-human/pre-push",
        "named/deep/hook",
        "further.config",
    ];
    let script = format!(
        "for f in {}; do printf changed | dd of=$f conv=notrunc,nocreat status=none && echo changed $f; \
         rm -f $f; [ -e $f ] || echo removed $f; done; echo x > of-all/new && echo made hook; \
         mkdir empty/of-human; echo x > empty/of-human/new && echo made nested hook; \
         mkdir -p plain/of-human && echo x > plain/of-human/new && echo x > named/other && echo worked",
        held.join(" ")
    );
    where_held(&[Promise::Pins], |scene| {
        let repository = "home/main/.git/worktrees/w";
        for directory in ["home/main", "home/main/.git", "home/main/.git/worktrees"] {
            scene.directory(directory);
        }
        scene.directory(repository);
        scene.write("home/main/.git/config", "[core]\n\thooksPath = of-all\n");
        scene.write(&format!("{repository}/commondir"), "../..\n");
        let gitdir = scene.root.join(repository);
        let named = format!("gitdir: {}\n", gitdir.display());
        scene.write("home/work/.git", &named);
        let settings = "[core]\n\thooksPath = of-human\n[include]\n\tpath = further\n\tpath = work/further.config\n";
        scene.write("home/.gitconfig", settings);
        scene.write("home/further", "[core] hooksPath = ~/work/named/deep\n");
        for directory in [
            "of-all",
            "of-human",
            "nested",
            "nested/.git",
            "nested/of-human",
            "empty",
            "empty/.git",
            "named",
            "named/deep",
        ] {
            scene.directory(&format!("home/work/{directory}"));
        }
        for file in held {
            scene.write(&format!("home/work/{file}"), "as it was");
        }
        let ran = scene.run(&["sh", "-c", &script]);
        assert_eq!(ran.stdout, "worked\n", "{}", ran.stderr);
        for file in held {
            let text = fs::read_to_string(scene.work().join(file)).unwrap();
            assert_eq!(text, "as it was", "{file}");
        }
        assert!(!scene.work().join("of-all/new").exists());
        assert!(!scene.work().join("empty/of-human/new").exists());
    });
}

/// Settings of git in the workspace, as those of the human and as others. Gives the workspace's path.
fn git_settings(scene: &Scene) -> String {
    let work = scene.work().display().to_string();
    scene.write(
        "home/work/dotfiles/gitconfig",
        "[core]\n\thooksPath = ~/hooks\n[filter \"x\"] clean = python3 ./tools/clean.py %f\n\
         [filter \"x\"] smudge = python3 smudge.py %f\n\
         [pager] log = ./tools/pager\n[submodule \"x\"] update = !tools/update\n\
         [init] templateDir = ~/work/template\n[tar \"tar.z\"] command = $HOME/work/tools/pack\n\
         [alias] x = !tools/by-hand\n[hook \"lint\"]\n\tevent = pre-commit\n\tcommand = 'tools/lint' --all\n",
    );
    scene.write(
        "home/work/other/gitconfig",
        &format!(
            "[core] [core] hooksPath = {work}/other/hooks\n[core]\n\thooksPath = {work}/another\n\
             [core]\n\thooksPath = {work}/con\\\ntinued\n\tfsmonitor = tools/watch\n\teditor = tools/absent\n"
        ),
    );
    let home = scene.root.join("home").display().to_string();
    scene.write(
        "home/work/.git/config",
        &format!(
            "[core]\n\teditor = ~/work/tools/editor\n\taskPass = {home}/way/tools/way\n\
             [include]\n\tpath = ~/work/other/local\n"
        ),
    );
    std::os::unix::fs::symlink("work", scene.root.join("home/way")).unwrap();
    scene.write("home/work/other/local", "[core]\n\tpager = tools/local\n");
    work
}

/// What they name, and they themselves.
const OF_GIT: [&str; 20] = [
    "smudge.py",
    "dotfiles/gitconfig",
    "dotfiles/hook",
    "other/gitconfig",
    "other/hooks/pre-push",
    "set/pre-push",
    "another/pre-push",
    "continued/pre-push",
    "tools/watch",
    "tools/clean.py",
    "tools/lint",
    "tools/pager",
    "tools/update",
    "tools/pack",
    "tools/editor",
    "tools/local",
    "tools/ssh",
    "tools/way",
    "template/hooks/post-checkout",
    "other/local",
];

/// The human's settings may lie in the workspace themselves, as in a directory of one's own settings that links lead to.
#[test]
fn settings_of_git_are_held_however_they_are_named_and_so_is_what_they_run() {
    let script = format!(
        "for f in {}; do printf changed | dd of=$f conv=notrunc,nocreat status=none && echo changed $f; \
         rm -f $f; [ -e $f ] || echo removed $f; done; echo x > tools/absent && echo made; \
         echo x > tools/by-hand && echo x > tools/free && echo worked",
        OF_GIT.join(" ")
    );
    where_held(&[Promise::Pins], |scene| {
        repository(scene);
        for file in OF_GIT.iter().chain(&["tools/by-hand"]) {
            let path = format!("home/work/{file}");
            let above = Path::new(&path).parent().unwrap();
            for directory in above.ancestors().collect::<Vec<_>>().iter().rev().skip(2) {
                if !scene.root.join(directory).exists() {
                    scene.directory(directory.to_str().unwrap());
                }
            }
            scene.write(&path, "# as it was\n");
        }
        let work = git_settings(scene);
        let linked = |from: &str, to: &str| {
            let link = scene.root.join("home").join(from);
            std::os::unix::fs::symlink(to, &link).unwrap();
        };
        linked(".gitconfig", "work/dotfiles/gitconfig");
        scene.directory("home/hooks");
        linked("hooks/pre-commit", "../work/dotfiles/hook");
        let mut command = scene.exec(&[], &["sh", "-c", &script]);
        command
            .env("GIT_CONFIG_GLOBAL", scene.work().join("other/gitconfig"))
            .env("GIT_SSH_COMMAND", format!("{work}/tools/ssh -v"))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "core.hooksPath")
            .env("GIT_CONFIG_VALUE_0", format!("{work}/set"));
        let ran = Ran::of(command.output().unwrap());
        assert_eq!(ran.stdout, "worked\n", "{}", ran.stderr);
        for file in OF_GIT {
            let text = fs::read_to_string(scene.work().join(file)).unwrap();
            assert!(!text.contains("changed"), "{file}");
        }
        assert!(!scene.work().join("tools/absent").exists());
    });
}

#[test]
fn pipelines_of_repositories_further_down_are_told_when_the_session_ends() {
    as_everyone(|scene| {
        for directory in ["r", "r/.git", "n"] {
            scene.directory(&format!("home/work/{directory}"));
        }
        let policy = scene.policy("package agentguard.file.planted\n\nexcepted if true\n");
        let script = "mkdir r/.circleci n/.circleci && echo x > r/.circleci/config.yml && echo x > n/.circleci/config.yml";
        let ran = scene.run_with(&[&policy], &["sh", "-c", script]);
        let told = "`r/.circleci/config.yml` appear";
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
        assert_eq!(scene.refusals(), ["persistence/planted"]);
    });
}

/// Where names are not judged, or a policy lets them be.
#[test]
fn settings_that_appeared_in_a_package_are_told_when_the_session_ends() {
    as_everyone(|scene| {
        let policy = scene.policy("package agentguard.file.planted\n\nexcepted if true\n");
        let script = "mkdir -p a/.vscode node_modules/p; echo x > a/.vscode/tasks.json; echo x > node_modules/p/.npmrc";
        let ran = scene.run_with(&[&policy], &["sh", "-c", script]);
        assert!(
            ran.stderr.contains("`a/.vscode/tasks.json` appear"),
            "{}",
            ran.stderr
        );
        assert_eq!(scene.refusals(), ["persistence/planted"]);
    });
}

#[test]
fn what_was_absent_when_the_session_began_cannot_be_made_unless_a_rule_lets_it_and_then_it_is_found()
 {
    let script = "mkdir -p .vscode .git/hooks; echo x > .vscode/tasks.json; \
                  printf '#!/bin/sh\\n' > .git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit; true";
    let tasks = |scene: &Scene| scene.work().join(".vscode/tasks.json");
    let hook = |scene: &Scene| scene.work().join(".git/hooks/pre-commit");
    let prepare = |scene: &Scene| {
        scene.directory("home/work/.git");
        scene.write("home/work/.git/HEAD", "ref: refs/heads/main\n");
    };
    where_held(&[Promise::Pins], |scene| {
        prepare(scene);
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(ran.code, Some(0));
        assert!(!tasks(scene).exists() && !hook(scene).exists());
    });
    as_everyone(|scene| {
        prepare(scene);
        let policy = scene.policy("package agentguard.file.planted\n\nexcepted if true\n");
        let ran = scene.run_with(&[&policy], &["sh", "-c", script]);
        assert!(tasks(scene).exists() && hook(scene).exists());
        assert!(
            scene.refusals().contains(&"persistence/planted".to_owned()),
            "{:?}",
            scene.refusals()
        );
        assert!(
            ran.stderr.contains(".git/hooks/pre-commit"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(".vscode"), "{}", ran.stderr);
    });
    as_everyone(|scene| {
        scene.run(&["sh", "-c", "echo x > plain"]);
        assert_eq!(scene.refusals(), Vec::<String>::new());
    });
}

#[test]
fn what_npm_runs_unasked_is_told_when_it_has_changed() {
    let prepare = |scene: &Scene| {
        let manifest = r#"{"scripts": {"test": "true", "prepare": "true"}}"#;
        scene.write("home/work/package.json", manifest);
    };
    let change = |scene: &Scene, from: &str, to: &str| {
        scene.run(&["sed", "-i", &format!("s/{from}/{to}/"), "package.json"])
    };
    as_everyone(|scene| {
        prepare(scene);
        let ran = change(scene, "\"prepare\": \"true\"", "\"prepare\": \"sh x\"");
        assert_eq!(scene.refusals(), ["persistence/planted"]);
        assert!(ran.stderr.contains("`package.json`"), "{}", ran.stderr);
        let manifest = fs::read_to_string(scene.work().join("package.json")).unwrap();
        assert!(manifest.contains("sh x"), "it is the work itself");
    });
    as_everyone(|scene| {
        prepare(scene);
        let ran = change(scene, "\"test\": \"true\"", "\"test\": \"sh x\"");
        assert_eq!(ran.code, Some(0));
        assert_eq!(scene.refusals(), Vec::<String>::new());
    });
}

/// A file `.git` makes git follow a configuration that lies anywhere, under any name.
#[test]
fn a_file_that_names_a_repository_is_refused_where_there_was_none() {
    where_held(&[Promise::Pins], |scene| {
        let ran = scene.run(&["sh", "-c", "echo 'gitdir: planted' > .git"]);
        assert_eq!(scene.refusals(), ["persistence/repository"]);
        assert!(ran.stderr.contains("`.git`"), "{}", ran.stderr);
    });
}
