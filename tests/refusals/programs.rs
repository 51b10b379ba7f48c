//! Programs that were not judged, or not as what they are.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use agentguard::core::Level;

use crate::attack;
use crate::lifetime::until;
use crate::scene::{Scene, as_everyone, level};

/// A program that the deny-list denies whole, as it lies on every system.
const DENIED: &str = "/usr/bin/mount";
const DENIED_BY: &str = "privilege/namespaces";

/// A loader, by the name that the test program itself gives it.
fn loader() -> &'static str {
    ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("the system's dynamic loader lies where the ABI says")
}

/// Runs, and the rule that refused it is this one; nothing was said by the program.
#[track_caller]
fn refused(scene: &Scene, words: &[&str], rule: &str) {
    let before = scene.refusals().len();
    let ran = scene.run(words);
    assert!(!ran.stdout.contains("said "), "{words:?} ran");
    let rules = scene.refusals();
    assert!(
        rules[before..].contains(&rule.to_owned()),
        "{words:?}: {rules:?}"
    );
}

#[test]
fn a_denied_program_is_refused_under_every_name_that_leads_to_it() {
    as_everyone(|scene| {
        std::os::unix::fs::symlink(DENIED, scene.work().join("ls")).unwrap();
        for words in [
            vec![DENIED],
            vec!["mount"],
            vec!["./ls"],
            vec!["sh", "-c", "exec mount"],
            vec!["env", "-i", DENIED],
            vec!["./attack", "run", DENIED],
            vec!["./attack", "run", "/proc/self/root/usr/bin/mount"],
            vec!["./attack", "run", "/usr/bin/../bin//mount"],
            vec!["find", "attack", "-exec", "mount", ";"],
            vec!["timeout", "9", "nice", "mount"],
            vec!["setsid", "--wait", "mount"],
            vec!["sh", "-c", "true && (mount | cat) || { $(echo mount); }"],
            vec!["sh", "-c", "echo bW91bnQK | base64 -d | sh"],
        ] {
            refused(scene, &words, DENIED_BY);
        }
        let allowed = scene.run(&["./attack", "run", "/bin/true"]).tried();
        assert_eq!(allowed.result("run"), "ok");
    });
}

#[test]
fn a_denied_program_cannot_be_copied_loaded_or_read_inside() {
    as_everyone(|scene| {
        let ran = scene.run(&[
            "sh",
            "-c",
            "cp /usr/bin/mount copy; cat /usr/bin/mount; ls -l copy",
        ]);
        assert_eq!(ran.stdout, "");
        assert!(!scene.work().join("copy").exists());
        let ran = scene.run(&[
            "sh",
            "-c",
            "cp /usr/bin/env copy && ./copy true && echo worked",
        ]);
        assert_eq!(ran.stdout, "worked\n");
    });
}

#[test]
fn a_renamed_copy_is_the_same_program() {
    as_everyone(|scene| {
        scene.program("notes", &fs::read(DENIED).unwrap());
        let ran = scene.run(&["./notes", "--version"]);
        assert_eq!(ran.code, Some(126));
        assert!(
            ran.stderr.contains("(rule `privilege/namespaces`)"),
            "{}",
            ran.stderr
        );
        refused(scene, &["sh", "-c", "exec ./notes --version"], DENIED_BY);
        refused(scene, &["sh", "-c", "PATH=.:$PATH; notes"], DENIED_BY);
        for own in ["self/cwd", "thread-self/cwd", "self/task/../cwd"] {
            let path = format!("/proc/{own}/notes");
            refused(scene, &["./attack", "run", &path], DENIED_BY);
        }
        // Through a magic link of another's it cannot be told before which program is meant.
        let through = ["sh", "-c", "./attack run /proc/$$/cwd/notes; :"];
        refused(scene, &through, "programs/unknown");
        refused(
            scene,
            &["sh", "-c", "cp notes more; ln more less; ./less"],
            DENIED_BY,
        );
        let tried = scene
            .run(&["./attack", "by_descriptor", "notes", ".", "notes"])
            .tried();
        tried.all_are(&["EACCES"], &["open"]);
    });
}

#[test]
fn a_changed_copy_is_agent_made_code_and_gains_nothing() {
    as_everyone(|scene| {
        let mut bytes = fs::read(DENIED).unwrap();
        bytes.push(0);
        scene.program("notes", &bytes);
        let ran = scene.run(&["./notes", "--version"]);
        assert_eq!(ran.code, Some(0), "a changed copy is another program");
        let ran = scene.run(&[
            "sh",
            "-c",
            "./notes -t tmpfs none /tmp; ./notes --bind / /var/tmp",
        ]);
        assert_ne!(ran.code, Some(0));
        let ran = scene.run(&[
            "sh",
            "-c",
            "wc -l < /proc/self/mounts; ./notes -t tmpfs x /tmp; wc -l < /proc/self/mounts",
        ]);
        let counts: Vec<_> = ran.stdout.lines().collect();
        assert_eq!(counts[0], counts[1]);
    });
}

#[test]
fn a_program_in_memory_is_refused() {
    as_everyone(|scene| {
        refused(scene, &["./attack", "memory", "attack"], "programs/memory");
        let bare = scene.run_bare(&["./attack", "memory", "attack"]);
        assert_eq!(bare.stdout.matches("said from-memory").count(), 2);
    });
}

#[test]
fn a_program_whose_file_is_gone_is_refused() {
    as_everyone(|scene| {
        refused(
            scene,
            &["./attack", "deleted", "attack"],
            "programs/deleted",
        );
        let bare = scene.run_bare(&["./attack", "deleted", "attack"]);
        assert!(bare.stdout.contains("said from-nowhere"));
    });
}

/// No stamp of a program moves when somebody outside renames a directory above it.
#[test]
fn a_program_whose_directory_got_another_name_is_judged_by_that() {
    as_everyone(|scene| {
        for directory in ["granted", "granted/early"] {
            scene.directory(directory);
        }
        let granted = scene.root.join("granted");
        let (early, late) = (granted.join("early"), granted.join("late"));
        fs::rename(scene.program("tool", attack::program()), early.join("tool")).unwrap();
        std::os::unix::fs::symlink("early", granted.join("now")).unwrap();
        let policy = scene.policy(&format!(
            "package agentguard.sandbox\n\nread contains \"{}\"\n",
            granted.display()
        ));
        scene.write(
            "policy/late.rego",
            "package agentguard.exec.late\n\n\
             deny contains {\"id\": \"test/late\", \"reason\": \"too late\"} if {\n\
             \tcontains(input.action.program.path, \"/late/\")\n}\n",
        );
        // What changed just now is not remembered by anybody careful.
        let script = format!(
            "sleep 2.1; {0} say a; {0} say b; touch ready; \
             while ! [ -e seen ]; do sleep 0.01; done; {0} say c",
            granted.join("now/tool").display()
        );
        let mut command = scene.exec(&[&policy], &["sh", "-c", &script]);
        let session = command.stdout(Stdio::piped()).spawn().unwrap();
        until("it ran", || scene.work().join("ready").exists());
        fs::rename(&early, &late).unwrap();
        fs::remove_file(granted.join("now")).unwrap();
        std::os::unix::fs::symlink("late", granted.join("now")).unwrap();
        scene.write("home/work/seen", "");
        let output = session.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "said a\nsaid b\n");
        assert_eq!(scene.refusals(), ["test/late"]);
    });
}

#[test]
fn the_loader_is_no_way_to_start_a_program() {
    as_everyone(|scene| {
        scene.program("renamed", &fs::read(loader()).unwrap());
        let loader = loader();
        scene.program("script", format!("#!{loader} ./attack\n").as_bytes());
        for words in [
            vec![loader, "./attack", "say", "x"],
            vec!["./renamed", "./attack", "say", "x"],
            vec!["sh", "-c", "exec ./renamed ./attack say x"],
            vec!["./script", "say", "x"],
            vec!["./attack", "run", loader, "./attack", "say", "x"],
        ] {
            refused(scene, &words, "programs/loader");
        }
        assert_eq!(scene.run(&["./attack", "say", "x"]).stdout, "said x\n");
    });
}

#[test]
fn a_script_is_judged_with_what_interprets_it() {
    as_everyone(|scene| {
        let script = |name, text: &str| scene.program(name, text.as_bytes());
        script("denied", "#!/usr/bin/mount\n");
        script("copied", "#!./notes\n");
        script("nested", "#!./denied\n");
        script("by-env", "#!/usr/bin/env mount\n");
        script("allowed", "#!/bin/sh\necho it ran\n");
        scene.program("notes", &fs::read(DENIED).unwrap());
        for name in ["./denied", "./copied", "./nested", "./by-env"] {
            refused(scene, &[name], DENIED_BY);
        }
        assert_eq!(scene.run(&["./allowed"]).stdout, "it ran\n");
    });
}

#[test]
fn programs_in_temporary_directories_are_refused() {
    as_everyone(|scene| {
        for directory in ["/tmp", "/dev/shm"] {
            if level() != Level::Full {
                break; // they are the host's, and closed
            }
            let script = format!("cp attack {directory}/x && {directory}/x say x");
            refused(scene, &["sh", "-c", &script], "programs/temporary");
            let script = format!(
                "printf '#!/bin/sh\\necho said x' > {directory}/x; chmod 755 {directory}/x; {directory}/x"
            );
            refused(scene, &["sh", "-c", &script], "programs/temporary");
        }
        let ran = scene.run(&["sh", "-c", "cp attack $TMPDIR/x && $TMPDIR/x say x"]);
        assert_eq!(ran.stdout, "said x\n");
    });
}

#[test]
fn its_own_image_by_a_magic_link_is_judged_as_what_it_is() {
    as_everyone(|scene| {
        let ran = scene.run(&["./attack", "run", "/proc/self/exe", "say", "x"]);
        assert!(ran.stdout.contains("run ok"), "{}", ran.stdout);
        scene.program("notes", &fs::read(DENIED).unwrap());
        let script = "exec 5< notes; ./attack run /proc/self/fd/5; ./attack run /dev/fd/5; ./attack run /proc/$$/fd/5";
        let ran = scene.run(&["sh", "-c", script]);
        assert!(!ran.stdout.contains("run ok"), "{}", ran.stdout);
        assert!(scene.refusals().contains(&DENIED_BY.to_owned()));
    });
}

#[test]
fn code_is_not_loaded_into_a_judged_program_by_a_variable() {
    as_everyone(|scene| {
        scene.program("x.so", attack::program());
        for (variable, rule) in [
            ("LD_PRELOAD=./x.so", "environment/preload"),
            ("LD_AUDIT=./x.so", "environment/audit"),
            ("BASH_ENV=/tmp/x", "environment/temporary-code"),
            ("ENV=/dev/shm/x", "environment/temporary-code"),
            (
                "NODE_OPTIONS=--require /tmp/x",
                "environment/temporary-code",
            ),
        ] {
            refused(
                scene,
                &["./attack", "environment", variable, "./attack", "say", "x"],
                rule,
            );
            let script = format!("env '{variable}' ./attack say x");
            refused(scene, &["sh", "-c", &script], rule);
        }
        let ran = scene.run(&[
            "./attack",
            "environment",
            "HARMLESS=1",
            "./attack",
            "say",
            "x",
        ]);
        assert!(ran.stdout.contains("said x"));
        // It preloads a library that came with it.
        let ran = scene.run(&["stdbuf", "-oL", "./attack", "say", "x"]);
        assert!(ran.stdout.contains("said x"), "{}", ran.stderr);
    });
}

#[test]
fn arguments_are_judged_as_they_are_executed() {
    as_everyone(|scene| {
        for words in [
            vec!["./attack", "run", "/usr/bin/git", "commit", "--no-verify"],
            vec!["git", "-C", ".", "commit", "-nm", "x"],
            vec!["sh", "-c", "r() { git \"$@\"; }; r commit --no-veri"],
            vec!["sh", "-c", "echo --no-verify | xargs git commit"],
            vec!["sh", "-c", "x=git; y=commit; $x $y -n"],
            vec!["env", "A=1", "nice", "git", "commit", "-n"],
        ] {
            refused(scene, &words, "git/no-verify");
        }
        assert_eq!(scene.run(&["git", "--version"]).code, Some(0));
    });
}

#[test]
fn agentguard_inside_agentguard_says_so_and_fails() {
    as_everyone(|scene| {
        scene.program(
            "inner",
            &fs::read(env!("CARGO_BIN_EXE_agentguard")).unwrap(),
        );
        let ran = scene.run(&[
            "sh",
            "-c",
            "mkdir -p inner-work && cd inner-work && ../inner exec -- true; echo $?",
        ]);
        assert_eq!(ran.stdout, "125\n");
    });
}

#[test]
fn long_and_odd_arguments_are_judged_whole() {
    as_everyone(|scene| {
        let many = "x=; i=0; while [ $i -lt 3000 ]; do x=\"$x --quiet\"; i=$((i+1)); done; git commit $x --no-verify";
        let long = "git commit -m \"$(head -c 100000 /dev/zero | tr '\\0' a)\" --no-verify";
        let odd = "git commit -m \"$(printf '\\377\\n\\033')\" --no-verify";
        for script in [many, long, odd] {
            refused(scene, &["sh", "-c", script], "git/no-verify");
        }
        let allowed = "./attack say \"$(head -c 100000 /dev/zero | tr '\\0' a)\" | wc -c";
        assert_eq!(scene.run(&["sh", "-c", allowed]).stdout, "100006\n");
    });
}

#[test]
fn a_special_file_as_a_program_holds_nobody() {
    as_everyone(|scene| {
        let script = "mkfifo fifo; chmod 755 fifo; printf '#!./fifo\\n' > script; chmod 755 script; \
                      ./fifo; ./script; /dev/null; /proc/self/fd/0; . /dev/null; echo went on";
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "went on\n"));
    });
}

#[test]
fn a_fifo_by_its_descriptor_holds_nobody() {
    as_everyone(|scene| {
        let ran = scene.run(&["sh", "-c", "./attack fifo; /bin/true && echo went on"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let refused = "fifo EACCES\n".repeat(4);
        assert_eq!(ran.stdout, format!("{refused}went on\n"));
    });
}

#[test]
fn a_program_that_takes_long_to_be_read_is_started_all_the_same() {
    as_everyone(|scene| {
        // As large as agents come and more: a worker that reads it is taken for one that a file system keeps.
        let script =
            "cp /bin/true large && truncate -s 900M large && ./large && ./large && echo started";
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(ran.stdout, "started\n", "{}", ran.stderr);
    });
}

#[test]
fn a_program_without_end_holds_nobody() {
    as_everyone(|scene| {
        let script = "truncate -s 1T big && chmod +x big; ./big & ./big & ./big & wait; /bin/true && echo went on";
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(0), "went on\n"),
            "{}",
            ran.stderr
        );
    });
}

#[test]
fn what_names_no_program_fails_as_it_does_without_us() {
    as_everyone(|scene| {
        let command = ["./attack", "no_program", "/bin/true"];
        let bare = scene.run_bare(&command).tried();
        let [too_long, too_many] = ["error-36", "error-7"];
        bare.all_are(&["ENOENT", "EFAULT", too_long, too_many], &[]);
        let ran = scene.run(&command);
        assert_eq!(ran.tried(), bare, "{}", ran.stderr);
    });
}

#[test]
fn what_leads_nowhere_fails_as_it_does_without_us_and_its_own_directory_is_one_by_any_name() {
    as_everyone(|scene| {
        let command = ["./attack", "odd_program", "/bin/true"];
        let bare = scene.run_bare(&command).tried();
        for (what, said) in [
            ("closed", "EBADF"),
            ("negative-itself", "EBADF"),
            ("round", "ELOOP"),
            ("not-followed", "ELOOP"),
            ("first-line-longest", "ok"),
            ("first-line-too-long", "ENOEXEC"),
            ("first-line-begins-never", "ENOEXEC"),
            ("/proc/self/cwd/none", "ENOENT"),
            ("/proc/self/cwd/program", "ok"),
        ] {
            assert_eq!(bare.result(what), said, "{what}");
        }
        for made in ["round", "link", "program", "script"] {
            fs::remove_file(scene.work().join(made)).unwrap();
        }
        let ran = scene.run(&command);
        assert_eq!(ran.tried(), bare, "{}", ran.stderr);
    });
}

#[test]
fn the_most_arguments_end_no_session() {
    as_everyone(|scene| {
        // Megabytes go through everything, and what the tests run is not optimised: a machine that does much else takes
        // minutes for that.
        let guard = scene.guard_at(level());
        let mut command = scene.command("timeout");
        command.args(["-s", "KILL", "600"]).arg(guard.get_program());
        command.args(guard.get_args()).arg("--");
        command.args(["./attack", "most_arguments", "/bin/true"]);
        let ran = scene.run_command(command);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let tried = ran.tried();
        assert_eq!(tried.result("most"), "ok");
        assert_eq!(tried.result("most-variables"), "ok");
    });
}
