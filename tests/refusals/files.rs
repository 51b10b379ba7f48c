//! Files that are not the agent's: outside, secret, or left open.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use agentguard::core::{Level, Promise};

use crate::scene::{SECRET, Scene, Who, as_everyone, level, where_held_or};

const TARGETS: [&str; 15] = [
    "written",
    "appended",
    "truncated",
    "truncated-on-open",
    "unlinked",
    "renamed",
    "moved-out",
    "exchanged",
    "linked-out",
    "mode",
    "mode2",
    "owner",
    "times",
    "attribute",
    "flags",
];

/// Credentials, and what names files that later steps of a job run code from.
const NEVER_PASSED: [&str; 9] = [
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "CI_JOB_TOKEN",
    "GITHUB_ENV",
    "GITHUB_OUTPUT",
    "GITHUB_PATH",
    "GITHUB_TOKEN",
    "NPM_TOKEN",
];

/// A directory full of what `files` attacks.
pub(crate) fn targets(scene: &Scene, name: &str) -> String {
    let path = scene.directory(name);
    scene.directory(&format!("{name}/directory"));
    for target in TARGETS {
        scene.write(&format!("{name}/{target}"), "as it was");
    }
    path.display().to_string()
}

/// Everything about a tree that any attack could change, the time of the last change included.
pub(crate) fn state(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let stat = entry.path().symlink_metadata().unwrap();
        // Whoever opens a FIFO waits.
        let content = match stat.is_file() {
            true => fs::read(entry.path()).unwrap(),
            false => Vec::new(),
        };
        let text = format!(
            "{:o} {}:{} links {} size {} mtime {}.{} ctime {}.{} {:?}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.nlink(),
            stat.size(),
            stat.mtime(),
            stat.mtime_nsec(),
            stat.ctime(),
            stat.ctime_nsec(),
            String::from_utf8_lossy(&content),
        );
        found.insert(entry.file_name().to_string_lossy().into_owned(), text);
    }
    let own = directory.metadata().unwrap();
    found.insert(
        ".".to_owned(),
        format!("{:o} {}.{}", own.mode(), own.ctime(), own.ctime_nsec()),
    );
    found
}

/// Not every filesystem knows flags and attributes of files.
const UNKNOWN: &str = "EOPNOTSUPP";

/// Where what is not granted has a name, it can be looked at, and not changed.
fn stays_as_it_is(scene: &Scene, name: &str) {
    let outside = targets(scene, name);
    let before = state(Path::new(&outside));
    let tried = scene.run(&["./attack", "files", &outside]).tried();
    tried.all_are(&["EACCES", "EXDEV", "EPERM", UNKNOWN], &[]);
    assert_eq!(state(Path::new(&outside)), before);
}

#[test]
fn files_outside_are_not_there() {
    let not_there = |scene: &Scene| {
        let control = targets(scene, "control");
        let tried = scene.run_bare(&["./attack", "files", &control]).tried();
        tried.all_are(&["ok"], &["setxattr", "setflags"]);
        tried.all_are(&["ok", UNKNOWN, "ENOTTY"], &[]);
        let outside = targets(scene, "outside");
        let before = state(Path::new(&outside));
        let tried = scene.run(&["./attack", "files", &outside]).tried();
        tried.all_are(&["ENOENT"], &[]);
        assert_eq!(state(Path::new(&outside)), before);
    };
    let rest = |scene: &Scene| stays_as_it_is(scene, "outside");
    where_held_or(&[Promise::Names], not_there, rest);
}

#[test]
fn files_that_are_granted_for_reading_cannot_be_changed_in_any_way() {
    as_everyone(|scene| {
        let outside = targets(scene, "outside");
        let before = state(Path::new(&outside));
        let policy = scene.policy(&format!(
            "package agentguard.sandbox\nread contains \"{outside}\"\n"
        ));
        let shown = format!("{outside}/written");
        let tried = scene
            .run_with(&[&policy], &["./attack", "reads", &shown])
            .tried();
        tried.all_are(&["ok"], &["read:"]);
        let tried = scene
            .run_with(&[&policy], &["./attack", "files", &outside])
            .tried();
        tried.all_are(&["EROFS", "EACCES", "EXDEV", "EPERM", UNKNOWN], &[]);
        assert_eq!(state(Path::new(&outside)), before);
    });
}

#[test]
fn files_of_the_workspace_can_be_changed_in_every_way() {
    as_everyone(|scene| {
        let own = targets(scene, "home/work/own");
        let tried = scene.run(&["./attack", "files", &own]).tried();
        tried.all_are(&["ok"], &["setxattr", "setflags"]);
        // Without mounts nobody can tell which files' flags these are.
        let flags = match level() {
            Level::Full => "ENOTTY",
            Level::NoNamespaces | Level::OldKernel => "EPERM",
        };
        tried.all_are(&["ok", UNKNOWN, flags], &[]);
        assert_eq!(
            fs::read_to_string(format!("{own}/written")).unwrap(),
            "changed".to_owned() + "as it was".get(7..).unwrap()
        );
    });
}

#[test]
fn a_link_in_the_workspace_leads_nowhere_outside() {
    as_everyone(|scene| {
        let outside = targets(scene, "outside");
        let before = state(Path::new(&outside));
        for (link, target) in [
            ("link", ""),
            ("dotted", "/../outside"),
            ("file", "/written"),
        ] {
            let path = scene.work().join(link);
            std::os::unix::fs::symlink(format!("{outside}{target}"), &path).unwrap();
        }
        for through in [
            "link",
            "dotted",
            "/proc/self/root/../../../..",
            "/proc/self/cwd/link",
        ] {
            let tried = scene.run(&["./attack", "files", through]).tried();
            assert_ne!(tried.result("write"), "ok", "{through}");
            assert_ne!(tried.result("create"), "ok", "{through}");
        }
        let ran = scene.run(&["sh", "-c", "echo changed > file; cat file"]);
        assert!(!ran.stdout.contains("as it was"));
        assert_eq!(state(Path::new(&outside)), before);
    });
}

#[test]
fn secrets_of_the_human_are_not_there() {
    as_everyone(|scene| {
        let secret = scene
            .root
            .join("home/.ssh/id_ed25519")
            .display()
            .to_string();
        let control = scene.run_bare(&["./attack", "reads", &secret]);
        assert!(control.stdout.contains(SECRET));
        std::os::unix::fs::symlink(&secret, scene.work().join("key")).unwrap();
        let ways = [
            secret.clone(),
            format!("/proc/self/root{secret}"),
            format!("/proc/1/root{secret}"),
            format!("/proc/thread-self/root{secret}"),
            "key".to_owned(),
            "../.ssh/id_ed25519".to_owned(),
            "/proc/self/cwd/../.ssh/id_ed25519".to_owned(),
            scene.root.join("home/.ssh").display().to_string(),
            scene
                .root
                .join("home/.local/state/agentguard")
                .display()
                .to_string(),
        ];
        let mut words = vec!["./attack", "reads"];
        words.extend(ways.iter().map(String::as_str));
        let ran = scene.run(&words);
        assert!(!ran.stdout.contains(SECRET));
        let tried = ran.tried();
        tried.all_are(&["ENOENT", "EACCES", "ok"], &["stat:key"]);
        let others = tried.all_but(&["stat:key"]);
        for (name, _) in others.filter(|(_, result)| *result == "ok") {
            assert!(
                !level().holds(Promise::Names) && name.starts_with("stat:"),
                "{name}"
            );
        }
    });
}

/// Package caches hold what is private too, and whoever fills one runs code in the next build.
#[test]
fn the_agents_home_and_caches_are_its_own() {
    as_everyone(|scene| {
        let caches = [".npm", ".cache/pip", ".cargo/registry/cache", ".m2"];
        for cache in caches {
            scene.directory(&format!("home/{cache}"));
            scene.write(&format!("home/{cache}/entry"), SECRET);
        }
        let script = format!(
            "for c in {}; do cat $HOME/$c/entry; mkdir -p $HOME/$c; echo planted > $HOME/$c/entry; \
             cat $HOME/$c/entry; done",
            caches.join(" ")
        );
        let ran = scene.run(&["sh", "-c", &script]);
        assert_eq!(ran.stdout, "planted\n".repeat(caches.len()));
        for cache in caches {
            let entry = scene.root.join("home").join(cache).join("entry");
            assert_eq!(fs::read_to_string(entry).unwrap(), SECRET, "{cache}");
        }
    });
}

#[test]
fn accounts_and_host_keys_cannot_be_opened() {
    as_everyone(|scene| {
        let tried = scene
            .run(&[
                "./attack",
                "reads",
                "/etc/shadow",
                "/etc/sudoers",
                "/etc/ssl/private",
                "/etc/passwd",
            ])
            .tried();
        assert_eq!(tried.result("read:/etc/passwd"), "ok");
        for masked in ["/etc/shadow", "/etc/sudoers", "/etc/ssl/private"] {
            let result = tried.result(&format!("read:{masked}"));
            let is_there = Path::new(masked).exists();
            assert_eq!(
                result,
                if is_there { "EACCES" } else { "ENOENT" },
                "{masked}"
            );
        }
    });
}

#[test]
fn what_the_caller_left_open_is_closed() {
    as_everyone(|scene| {
        let file = scene.write("outside/open", "as it was");
        let start = format!(
            "exec 7<>{0} 9<{0}; exec {1} -- ./attack descriptors",
            file.display(),
            scene.guard_words(),
        );
        let mut command = scene.command("sh");
        command.args(["-c", &start]);
        let ran = scene.run_command(command);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    });
}

#[test]
fn a_directory_as_standard_input_is_refused() {
    as_everyone(|scene| {
        let outside = targets(scene, "outside");
        scene.write("outside/secret", SECRET);
        let before = state(Path::new(&outside));
        for words in [&["./attack", "at_descriptor", "0"][..], &["true"]] {
            let mut command = scene.exec(&[], words);
            command.stdin(fs::File::open(&outside).unwrap());
            let ran = scene.run_command(command);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(125), ""));
            assert!(ran.stderr.contains("standard input"), "{}", ran.stderr);
        }
        assert_eq!(state(Path::new(&outside)), before);
        let mut command = scene.exec(&[], &["cat"]);
        command.stdin(fs::File::open(scene.outside().join("secret")).unwrap());
        assert_eq!(scene.run_command(command).stdout, SECRET);
    });
}

#[test]
fn variables_of_the_caller_stay_outside() {
    as_everyone(|scene| {
        let script = "env; cat /proc/self/environ /proc/1/environ /proc/$PPID/environ 2>/dev/null";
        let mut command = scene.exec(&[], &["sh", "-c", script]);
        command.env("LANG", "C.UTF-8");
        for name in NEVER_PASSED {
            command.env(name, SECRET);
        }
        let ran = scene.run_command(command);
        assert!(!ran.stdout.contains(SECRET), "{}", ran.stdout);
        assert!(ran.stdout.contains("LANG=C.UTF-8"));
    });
}

#[test]
fn a_program_with_the_set_user_id_bit_gains_nothing() {
    as_everyone(|scene| {
        // As such a file is found in the workspace, put there by whoever may.
        let path = scene.program("set-uid", crate::attack::program());
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o6755)).unwrap();
        let script = "id -u; grep -E 'Cap|NoNew' /proc/self/status; ./set-uid rise";
        let ran = scene.run(&["sh", "-c", script]);
        let lines: Vec<_> = ran.stdout.lines().collect();
        assert_ne!(lines[0], "0");
        for line in &lines[1..7] {
            let is_none = line.ends_with("\t0000000000000000");
            // What a process may ever have is for who has some: no program gives it any.
            let is_bound = level() != Level::Full && line.starts_with("CapBnd:");
            assert!(is_none || is_bound || *line == "NoNewPrivs:\t1", "{line}");
        }
        ran.tried().all_are(&["EPERM", "EINVAL"], &[]);
    });
}

#[test]
fn nobody_leaves_a_program_with_the_set_user_id_bit() {
    as_everyone(|scene| {
        let path = scene.program("program", crate::attack::program());
        let tried = scene.run(&["./attack", "set_user_id", "program"]).tried();
        let others = ["neighbour", "neighbour-set-group-id", "openat2"];
        tried.all_are(&["EPERM"], &others);
        // What root's session writes is root's outside, and so is its group.
        let group = match scene.who {
            Who::Root => "EPERM",
            Who::Ordinary => "ok",
        };
        let results = others.map(|name| tried.result(name).to_owned());
        assert_eq!(results, ["ok", group, "ENOSYS"]);
        let mode = fs::metadata(path).unwrap().permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777,
            0o755
        );
    });
}

#[test]
fn a_name_that_begins_alike_is_another_directory() {
    const NAMES: [&str; 3] = ["home/work2", "home/work-other", "home/WORK"];
    let not_there = |scene: &Scene| {
        for name in NAMES {
            let outside = targets(scene, name);
            let before = state(Path::new(&outside));
            let tried = scene.run(&["./attack", "files", &outside]).tried();
            tried.all_are(&["ENOENT"], &[]);
            assert_eq!(state(Path::new(&outside)), before);
        }
    };
    let rest = |scene: &Scene| NAMES.iter().for_each(|name| stays_as_it_is(scene, name));
    where_held_or(&[Promise::Names], not_there, rest);
}

#[test]
fn temporary_directories_are_the_sessions_own() {
    as_everyone(|scene| {
        let name = format!(
            "agentguard-temporary-{}-{:?}",
            std::process::id(),
            scene.who
        );
        for directory in ["/tmp", "/var/tmp", "/dev/shm"] {
            let outside = Path::new(directory).join(&name);
            fs::write(&outside, SECRET).unwrap();
            let script = format!(
                "cat {0}/{name}; echo inside > {0}/{name} && cat {0}/{name}",
                directory
            );
            let ran = scene.run(&["sh", "-c", &script]);
            let after = fs::read_to_string(&outside).unwrap();
            fs::remove_file(&outside).unwrap();
            // Without mounts they are the host's, and closed.
            let written = match level() {
                Level::Full => "inside\n",
                Level::NoNamespaces | Level::OldKernel => "",
            };
            assert_eq!((ran.stdout.as_str(), after.as_str()), (written, SECRET));
        }
        let ran = scene.run(&[
            "sh",
            "-c",
            "ls -A $TMPDIR; echo inside > $TMPDIR/x && cat $TMPDIR/x",
        ]);
        assert_eq!(ran.stdout, "inside\n");
    });
}

#[test]
fn a_variable_that_claims_to_be_inside_changes_nothing() {
    as_everyone(|scene| {
        let outside = targets(scene, "outside");
        let mut command = scene.exec(&[], &["./attack", "files", &outside]);
        for name in [
            "AGENTGUARD_SESSION",
            "AGENTGUARD_RULES",
            "SANDBOX_RUNTIME",
            "NONO_CAP_FILE",
        ] {
            command.env(name, "1");
        }
        let tried = scene.run_command(command).tried();
        for (name, result) in tried.all_but(&[]) {
            assert_ne!(result, "ok", "{name}");
        }
        let script = "export AGENTGUARD_SESSION=; ./attack run /usr/bin/mount";
        let tried = scene.run(&["sh", "-c", script]).tried();
        assert_eq!(tried.result("run"), "EACCES");
    });
}
