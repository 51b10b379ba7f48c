//! Processes, memory and terminals outside.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

use agentguard::core::{Level, Promise};

use crate::scene::{Scene, as_everyone, level, where_held};

/// A process of the same user, outside; ended when dropped.
pub(crate) struct Victim(Child);

impl Victim {
    pub(crate) fn new(scene: &Scene) -> Self {
        let mut command = scene.command("sleep");
        Self(command.arg("600").spawn().unwrap())
    }

    pub(crate) fn number(&self) -> String {
        self.0.id().to_string()
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_signal_reaches_a_process_outside() {
    as_everyone(|scene| {
        let mut victim = Victim::new(scene);
        let own = std::process::id().to_string();
        // Before it, so that a number that means somebody inside is not taken for success.
        let tried = scene
            .run(&["./attack", "signals", &victim.number(), &own])
            .tried();
        tried.all_are(&["ESRCH", "EPERM", "EINVAL"], &[]);
        assert!(victim.lives());
        let bare = scene
            .run_bare(&["./attack", "signals", &victim.number()])
            .tried();
        assert_eq!(bare.result(&format!("kill:{}", victim.number())), "ok");
    });
}

/// The kernel sends it for whoever named the owner.
#[test]
fn no_signal_is_sent_outside_by_the_owner_of_a_descriptor() {
    as_everyone(|scene| {
        let mut victim = Victim::new(scene);
        let tried = scene.run(&["./attack", "owners", &victim.number()]).tried();
        tried.all_are(&["ok"], &[]);
        assert!(victim.lives());
        scene.run_bare(&["./attack", "owners", &victim.number()]);
        let ended = victim.0.wait().unwrap();
        assert_eq!(ended.signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_signal_to_everyone_reaches_only_the_session() {
    as_everyone(|scene| {
        let mut victim = Victim::new(scene);
        let ran = scene.run(&["sh", "-c", "sleep 600 & kill -9 -1; wait; echo alone"]);
        assert!(victim.lives());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "alone\n"));
        let ran = scene.run(&["sh", "-c", "kill -9 0"]);
        assert!(victim.lives());
        assert_eq!(ran.code, Some(137));
        assert!(
            ran.stderr.contains("was ended by signal 9"),
            "{}",
            ran.stderr
        );
    });
}

#[test]
fn no_process_outside_can_be_read_traced_or_limited() {
    as_everyone(|scene| {
        let mut victim = Victim::new(scene);
        let tried = scene.run(&["./attack", "reach", &victim.number()]).tried();
        // How many files it has open can be seen where it can; none of them can be reached.
        let seen: &[&str] = match level().holds(Promise::Unseen) {
            true => &[],
            false => &["fd"],
        };
        tried.all_are(&["ESRCH", "ENOENT", "EPERM", "EACCES", "EBADF"], seen);
        assert!(victim.lives());
        let bare = scene
            .run_bare(&["./attack", "reach", &victim.number()])
            .tried();
        for reached in ["limit", "environ", "root", "namespace"] {
            assert_eq!(bare.result(reached), "ok", "{reached}");
        }
    });
}

#[test]
fn the_sessions_pid_1_cannot_be_reached() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "reach", "1"]).tried();
        tried.all_are(&["EPERM", "EACCES", "ESRCH"], &[]);
        let ran = scene.run(&[
            "sh",
            "-c",
            "kill -9 1; kill -TERM 1; kill -STOP 1; echo still here",
        ]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "still here\n"));
    });
}

#[test]
fn only_processes_of_the_session_are_seen() {
    where_held(&[Promise::Unseen], |scene| {
        let victim = Victim::new(scene);
        let ran = scene.run(&[
            "sh",
            "-c",
            "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls /proc | grep -c '^[0-9]'",
        ]);
        assert_eq!(ran.code, Some(0));
        assert!(!ran.stdout.contains("sleep 600"), "{}", ran.stdout);
        // Its pid 1, the shell, and three that the shell starts.
        let count: u32 = ran
            .stdout
            .split_whitespace()
            .last()
            .unwrap()
            .parse()
            .unwrap();
        assert!(count <= 5, "{}", ran.stdout);
        drop(victim);
    });
}

#[test]
fn another_process_inside_cannot_be_rewritten() {
    as_everyone(|scene| {
        let script = "sleep 600 & ./attack reach $!; kill $!";
        let tried = scene.run(&["sh", "-c", script]).tried();
        for refused in [
            "ptrace", "seize", "vm-read", "vm-write", "madvise", "getfd", "kcmp", "limit", "mem",
        ] {
            assert!(
                ["EPERM", "EACCES"].contains(&tried.result(refused)),
                "{refused}"
            );
        }
        let ran = scene.run(&["sh", "-c", "sleep 600 & kill $! && wait $!; echo $?"]);
        assert_eq!(ran.stdout, "143\n");
    });
}

#[test]
fn a_process_says_how_it_runs_by_its_own_number_too() {
    as_everyone(|scene| {
        let words = ["./attack", "of_itself"];
        let bare = scene.run_bare(&words).tried();
        let tried = scene.run(&words).tried();
        for (name, result) in tried.all_but(&[]) {
            let another = ["another-thread", "child"].iter();
            let of_another = another.clone().any(|other| name.starts_with(other));
            // In namespaces of its own a number is somebody's of the session.
            let refused = of_another && (level() != Level::Full || name.ends_with("limit"));
            match refused {
                true => assert_eq!(result, "EPERM", "{name}"),
                false => assert_eq!(result, bare.result(name), "{name}"),
            }
        }
        assert_eq!(bare.result("process-limit"), "ok");
    });
}

#[test]
fn shared_memory_of_the_host_is_not_there() {
    as_everyone(|scene| {
        let key = (0x4147_0000 + std::process::id() % 0xffff + 7 * u32::from(scene.is_ordinary()))
            .to_string();
        let mut command = scene.command(scene.work().join("attack"));
        command.args(["shared_memory", &key, "make"]);
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line, "make ok\n");
        let bare = scene.run_bare(&["./attack", "shared_memory", &key]).tried();
        assert_eq!(bare.result("find"), "ok");
        let tried = scene.run(&["./attack", "shared_memory", &key]).tried();
        let refused = match level() {
            Level::Full => "ENOENT",
            Level::NoNamespaces | Level::OldKernel => "ENOSYS",
        };
        assert_eq!(tried.result("find"), refused);
        holder.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(holder.wait().unwrap().success());
    });
}

#[test]
fn namespaces_of_every_kind_are_the_sessions_own() {
    where_held(&[Promise::Own], |scene| {
        let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
        let script = "for kind; do readlink /proc/self/ns/$kind; done";
        let words = [&["sh", "-c", script, "sh"][..], &kinds].concat();
        let (inside, outside) = (scene.run(&words).stdout, scene.run_bare(&words).stdout);
        for kind in kinds {
            let of = |told: &str| {
                told.lines()
                    .find(|line| line.starts_with(kind))
                    .map(str::to_owned)
            };
            let (inside, outside) = (of(&inside), of(&outside));
            assert!(inside.is_some() && outside.is_some(), "{kind}");
            assert_ne!(inside, outside);
        }
    });
}

#[test]
fn nothing_can_be_typed_into_the_terminal() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "terminal"]).tried();
        tried.all_are(&["EPERM"], &[]);
    });
}

#[test]
fn devices_can_neither_be_made_nor_opened() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "devices", "."]).tried();
        assert_eq!(tried.result("open-null"), "ok");
        tried.all_are(&["EPERM", "EACCES", "ENOENT"], &["open-null"]);
        assert!(!scene.work().join("disk").exists());
    });
}

#[test]
fn no_core_leaves_a_session() {
    as_everyone(|scene| {
        let ran = scene.run(&[
            "sh",
            "-c",
            "grep core /proc/self/limits; ulimit -c unlimited || ulimit -c 1000 || echo refused",
        ]);
        let words: Vec<_> = ran.stdout.split_whitespace().collect();
        // One byte: none would not stop a core that goes into a pipe (core(5)).
        assert_eq!(
            words[..7],
            ["Max", "core", "file", "size", "1", "1", "bytes"]
        );
        assert_eq!(words[7..], ["refused"]);
    });
}
