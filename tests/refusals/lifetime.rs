//! Nothing survives: not its session, not its guard, not its mediator.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agentguard::core::{Event, Level, Promise};

use crate::scene::{Scene, Who, as_everyone, level, where_held};
use crate::terminal::Terminal;

/// Longer than a machine under load takes to end a handful of processes.
/// How long is waited for what another process does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);

/// Processes whose arguments hold `word`, by their numbers.
pub(crate) fn with_argument(word: &str) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let number = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let arguments = fs::read(format!("/proc/{number}/cmdline")).ok()?;
        let is_it = arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == word.as_bytes());
        is_it.then_some(number)
    });
    numbers.collect()
}

pub(crate) fn parent(number: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// Waits for something that a session or somebody else does.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: it never was so");
        // Another process does it; how soon is its own affair.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A session in which processes live and write, in several ways out of their parents' hands.
pub(crate) fn living(scene: &Scene, name: &str) -> Child {
    living_at(level(), scene, name)
}

pub(crate) fn living_at(level: Level, scene: &Scene, name: &str) -> Child {
    let child = scene
        .guard_at(level)
        .args(["--", "./attack", "stay", name])
        .spawn()
        .unwrap();
    for file in [name.to_owned(), format!("{name}-other")] {
        let path = scene.work().join(file);
        until("a session lives", || {
            path.metadata().is_ok_and(|stat| stat.len() > 2)
        });
    }
    child
}

pub(crate) fn kill(number: u32) {
    send("KILL", number);
}

pub(crate) fn stop(number: u32) {
    send("STOP", number);
}

pub(crate) fn go_on(number: u32) {
    send("CONT", number);
}

#[expect(clippy::disallowed_methods, reason = "a test ends what it started")]
fn send(signal: &str, number: u32) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{signal} {number}")])
        .status();
    assert!(sent.unwrap().success());
}

/// Kills them at one go: the second may be gone with the first.
#[expect(clippy::disallowed_methods, reason = "a test ends what it started")]
pub(crate) fn kill_all(numbers: &[u32]) {
    let numbers = numbers.iter().map(u32::to_string);
    let line = format!("kill -9 {}", numbers.collect::<Vec<_>>().join(" "));
    let started = Command::new("sh").args(["-c", &line]).status();
    assert!(started.is_ok());
}

/// Everything that wrote is dead, and the files stay as they are.
pub(crate) fn all_dead(scene: &Scene, name: &str) {
    until("nothing of the session lives", || {
        with_argument(name).iter().all(|number| {
            fs::read_to_string(format!("/proc/{number}/stat")).map_or(true, |stat| {
                stat.rsplit_once(") ")
                    .is_some_and(|(_, rest)| rest.starts_with('Z'))
            })
        })
    });
    let length = |file: &str| scene.work().join(file).metadata().unwrap().len();
    let other = format!("{name}-other");
    let before = (length(name), length(&other));
    std::thread::sleep(Duration::from_millis(50)); // ten times as long as a living one waits
    assert_eq!((length(name), length(&other)), before);
}

pub(crate) fn name(scene: &Scene, test: &str) -> String {
    format!("living-{test}-{}-{:?}", std::process::id(), scene.who)
}

/// Each makes what the agent has none of yet: its home, its key, its log.
#[test]
fn many_first_sessions_at_once_all_begin() {
    as_everyone(|scene| {
        for turn in 0..3 {
            let home = format!("home-{turn}");
            for directory in [
                "",
                "/.cargo",
                "/.cargo/bin",
                "/.rustup",
                "/.config",
                "/.config/git",
            ] {
                scene.directory(&format!("{home}{directory}"));
            }
            scene.write(&format!("{home}/.gitconfig"), "");
            scene.write(&format!("{home}/.config/git/ignore"), "");
            let begin = |_| {
                let mut command = scene.exec(&[], &["true"]);
                command.env("HOME", scene.root.join(&home));
                command.stderr(Stdio::piped()).spawn().unwrap()
            };
            let sessions: Vec<_> = (0..8).map(begin).collect();
            for session in sessions {
                let output = session.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(0), "{said}");
            }
        }
    });
}

#[test]
fn a_daemon_ends_with_its_session() {
    as_everyone(|scene| {
        let name = name(scene, "daemon");
        let tried = scene.run(&["./attack", "daemons", &name]).tried();
        assert_eq!(tried.result("daemon"), "ok");
        assert!(with_argument(&name).is_empty());
        let length = || scene.work().join(&name).metadata().unwrap().len();
        let before = length();
        assert!(before > 0);
        std::thread::sleep(Duration::from_millis(50)); // ten times as long as a living one waits
        assert_eq!(length(), before);
    });
}

/// What a process did to its very end is in the log, and nothing comes after the end.
#[test]
fn the_log_of_a_session_ends_once_everything_is_dead_and_told() {
    as_everyone(|scene| {
        let name = name(scene, "end");
        scene.run(&["./attack", "daemons", &name]);
        let mut last = Vec::new();
        scene.each_event(|event| {
            last.push(match event {
                Event::Difference { .. } => "difference",
                Event::End { .. } => "end",
                Event::Start { .. }
                | Event::Decision { .. }
                | Event::Outcome { .. }
                | Event::Repeat { .. }
                | Event::Question { .. }
                | Event::Refs { .. }
                | Event::Signature { .. }
                | Event::Credential { .. }
                | Event::Finding { .. }
                | Event::Anchor { .. }
                | Event::Erasure { .. } => "other",
            });
        });
        assert_eq!(last[last.len() - 2..], ["difference", "end"], "{last:?}");
        assert_eq!(last.iter().filter(|kind| **kind == "end").count(), 1);
    });
}

#[test]
fn everything_inside_dies_with_the_guard() {
    as_everyone(|scene| {
        let name = name(scene, "guard");
        let mut guard = living(scene, &name);
        guard.kill().unwrap();
        guard.wait().unwrap();
        all_dead(scene, &name);
        // Whoever is killed leaves nothing lying about in the workspace either.
        let mut left: Vec<_> = fs::read_dir(scene.work())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["attack", &name, &format!("{name}-other")]);
    });
}

#[test]
fn everything_inside_dies_with_the_mediator() {
    as_everyone(|scene| {
        let name = name(scene, "mediator");
        let mut guard = living(scene, &name);
        let mediator = with_argument("agentguard-mediator")
            .into_iter()
            .find(|number| parent(*number) == Some(guard.id()))
            .expect("the guard has a mediator");
        assert!(inside(scene).contains(&mediator));
        let begun = Instant::now();
        kill(mediator);
        let ended = guard.wait().unwrap();
        assert_eq!(ended.code(), Some(125));
        assert!(
            begun.elapsed() < SOON,
            "the guard waits for what nobody reaps"
        );
        all_dead(scene, &name);
    });
}

/// What a killed mediator leaves is the guard's to wait for: elsewhere it might stay for ever.
#[test]
fn what_a_killed_mediator_leaves_becomes_the_guards() {
    where_held(&[Promise::Unseen], |scene| {
        let name = name(scene, "left");
        let mut guard = living(scene, &name);
        let mediator = with_argument("agentguard-mediator")
            .into_iter()
            .find(|number| parent(*number) == Some(guard.id()))
            .expect("the guard has a mediator");
        let left: Vec<_> = inside(scene)
            .into_iter()
            .filter(|number| parent(*number) == Some(mediator))
            .collect();
        assert!(left.len() > 1, "{left:?}");
        stop(guard.id());
        kill(mediator);
        until("they have another parent", || {
            left.iter().all(|number| parent(*number) != Some(mediator))
        });
        for number in &left {
            assert_eq!(parent(*number), Some(guard.id()), "{number}");
        }
        go_on(guard.id());
        assert_eq!(guard.wait().unwrap().code(), Some(125));
        all_dead(scene, &name);
    });
}

#[test]
fn a_terminated_guard_ends_the_session_in_order() {
    as_everyone(|scene| {
        let name = name(scene, "terminated");
        let mut guard = living(scene, &name);
        // Passed on to the agent, which ignores it; the second is the one nobody ignores.
        kill(guard.id());
        guard.wait().unwrap();
        all_dead(scene, &name);
        assert_eq!(
            scene.run(&["true"]).code,
            Some(0),
            "the next session starts"
        );
    });
}

#[test]
fn a_session_ends_when_its_time_is_over_even_if_it_stops_itself() {
    as_everyone(|scene| {
        let policy = |seconds: u32| {
            scene.policy(&format!(
                "package agentguard.sandbox\n\nseconds contains {seconds}\n"
            ))
        };
        // A flag shortens what policy grants, and never lengthens it.
        let asked = [
            (1, None),
            (1, Some("--timeout=600")),
            (600, Some("--timeout=1")),
        ];
        for (granted, flag) in asked {
            let policy = policy(granted);
            let flags: Vec<_> = std::iter::once(policy.as_str()).chain(flag).collect();
            for script in ["sleep 80", "kill -STOP $$; sleep 80"] {
                let begun = Instant::now();
                let ran = scene.run_with(&flags, &["sh", "-c", script]);
                assert!(begun.elapsed() < SOON, "{flags:?} {script}");
                assert!(ran.stderr.contains("time was over"), "{}", ran.stderr);
                assert!(scene.refusals().contains(&"session/time".to_owned()));
            }
        }
    });
}

/// A terminal wakes a guard by the shell that has it as a job, and no other.
#[test]
fn a_session_at_a_terminal_that_wakes_nobody_ends_when_its_time_is_over() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let session = format!(
            "{} --timeout=1 -- sh -c 'kill -STOP $$; sleep 80'",
            scene.guard_words()
        );
        let other = Terminal::of(scene);
        // One that controls nobody here, and one whose session has no shell.
        for script in [
            format!("{session} < {}", other.path.display()),
            format!("exec {session}"),
        ] {
            let (_stream, child) = terminal.start(scene, &script);
            let shown = terminal.wait(child, || {});
            assert!(shown.contains("time was over"), "{shown}");
        }
    });
}

/// In a container whose pid 1 is the guard itself, or a shell that reaps nothing but its own child.
#[test]
fn in_a_container_without_an_init_a_session_ends_like_anywhere() {
    as_everyone(|scene| {
        let guard = scene.guard_words();
        let session = format!("{guard} -- sh -c '(setsid sleep 600 &); echo inside; exit 5'");
        for pid_1 in [format!("exec {session}"), format!("{session}; exit $?")] {
            let mut container = scene.command("timeout");
            container.args(["-s", "KILL", "60", "unshare"]);
            if scene.who == Who::Ordinary {
                container.args(["--user", "--map-current-user"]);
            }
            container.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &pid_1]);
            let output = container.output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(5), "{told}");
            assert_eq!(output.stdout, b"inside\n");
        }
    });
}

#[test]
fn a_home_that_an_agent_closed_is_open_to_the_next_session() {
    as_everyone(|scene| {
        let ran = scene.run(&["sh", "-c", "chmod 0 ~ && stat -c %a ~"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "0\n"));
        assert_eq!(scene.run(&["sh", "-c", "ls -d ~/.. > ~/x"]).code, Some(0));
    });
}

#[test]
fn a_caller_whose_mask_closes_files_to_their_owner_is_told_what_to_do_and_leaves_nothing() {
    as_everyone(|scene| {
        for (mask, code) in [("0777", 125), ("0100", 125), ("0077", 0)] {
            let session = scene.exec(&[], &["true"]);
            let mut masked = scene.command("sh");
            masked
                .args(["-c", &format!("umask {mask}; exec \"$@\""), "sh"])
                .arg(session.get_program())
                .args(session.get_args());
            let ran = scene.run_command(masked);
            assert_eq!(ran.code, Some(code), "{}", ran.stderr);
            let is_told = ran.stderr.contains("`umask 022`");
            assert_eq!(is_told, code != 0, "{}", ran.stderr);
        }
        let mut verify = scene.command(scene.root.join("agentguard"));
        verify.arg("verify");
        let ran = scene.run_command(verify);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    });
}

/// Processes that stand in a session of this scene: its workspace is mounted for them, or, where nothing is
/// mounted, they run a program of the scene.
fn inside(scene: &Scene) -> Vec<u32> {
    let workspace = scene.work().display().to_string();
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let number = entry.unwrap().file_name().to_str()?.parse().ok()?;
        if level() != Level::Full {
            let program = fs::read_link(format!("/proc/{number}/exe")).ok()?;
            return program.starts_with(&scene.root).then_some(number);
        }
        let mounts = fs::read_to_string(format!("/proc/{number}/mountinfo")).ok()?;
        mounts.contains(&workspace).then_some(number)
    });
    numbers.collect()
}

/// The agent's process is made before the session is admitted, and waits.
#[test]
fn a_refused_session_runs_nothing_and_leaves_nothing() {
    as_everyone(|scene| {
        let policy = scene.policy(
            "package agentguard.session.closed\n\nimport rego.v1\n\n\
             deny contains {\"id\": \"test/closed\", \"reason\": \"not today\"}\n",
        );
        let ran = scene.run_with(&[&policy], &["sh", "-c", "echo ran > ran"]);
        assert_eq!(ran.code, Some(126), "{}", ran.stderr);
        assert!(ran.stderr.contains("`test/closed`"), "{}", ran.stderr);
        assert!(!scene.work().join("ran").exists());
        assert_eq!(inside(scene), Vec::<u32>::new());
    });
}

/// What a caller does with signals is its own business: a session is waited for, and a log that can grow no longer is told of.
#[test]
fn a_caller_that_ignores_its_children_or_bounds_files_gets_its_session_or_is_told_why() {
    as_everyone(|scene| {
        let guarded = |before: &str, script: &str| {
            let guard = scene.guard_words();
            let line = format!("{before}; exec {guard} -- sh -c '{script}'");
            let mut command = scene.command("timeout");
            command.args(["-s", "KILL", "60", "bash", "-c", &line]);
            scene.run_command(command)
        };
        let ran = guarded(
            "trap \"\" CHLD PIPE XFSZ",
            "true & wait; cat /proc/self/status; exit 3",
        );
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        let ignored = ran
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:\t"));
        let ignored = u64::from_str_radix(ignored.unwrap(), 16).unwrap();
        for signal in [libc::SIGCHLD, libc::SIGPIPE, libc::SIGXFSZ] {
            assert_eq!(ignored >> (signal - 1) & 1, 0, "{signal} is ignored inside");
        }
        let ran = guarded("mkdir gone && cd gone && rmdir ../gone", "true");
        assert_eq!(ran.code, Some(125), "{}", ran.stderr);
        let told = "cannot find the working directory";
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
        let ran = guarded("ulimit -f 8", "true");
        assert_eq!(ran.code, Some(125), "{}", ran.stderr);
        assert!(ran.stderr.contains("the log"), "{}", ran.stderr);
        assert!(ran.stderr.contains("File too large"), "{}", ran.stderr);
    });
}

/// A guard that dies while it makes a log's files leaves one that nothing was appended to.
#[test]
fn a_log_that_never_began_hides_no_other() {
    as_everyone(|scene| {
        scene.run(&["sh", "-c", "echo x > made"]);
        let never = "home/.local/state/agentguard/log/sessions/0123456789abcdef0123456789abcdef";
        scene.directory(never);
        for file in ["wal", "texts"] {
            scene.write(&format!("{never}/{file}"), "");
        }
        for words in [["log", "query"].as_slice(), &["trace", "made"], &["verify"]] {
            let mut command = scene.command(scene.root.join("agentguard"));
            command.args(words);
            let ran = scene.run_command(command);
            assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.stderr);
        }
    });
}

/// The names of the sessions that lie in a directory.
fn sessions_in(sessions: &Path) -> BTreeSet<String> {
    let listed = fs::read_dir(sessions).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    listed
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

/// To root every file can be read, whatever its mode.
#[test]
fn a_log_that_cannot_be_read_hides_no_other() {
    let scene = &Scene::new(Who::Ordinary);
    let sessions = scene.root.join("home/.local/state/agentguard/log/sessions");
    let run = |words: &[&str]| {
        let mut command = scene.command(scene.root.join("agentguard"));
        command.args(words);
        scene.run_command(command)
    };
    let set_mode = |name: &str, mode| {
        fs::set_permissions(sessions.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    scene.run(&["sh", "-c", "echo x > made"]);
    let first = sessions_in(&sessions).pop_first().unwrap();
    scene.run(&["sh", "-c", "echo x > other"]);
    let mut all = sessions_in(&sessions).into_iter();
    let last = all.find(|name| *name != first).unwrap();
    let unknown = "ffffffffffffffffffffffffffffffff";
    scene.directory(&format!(
        "home/.local/state/agentguard/log/sessions/{unknown}"
    ));
    set_mode(unknown, 0);
    for (command, word) in [
        ("show", None),
        ("show", Some(&last)),
        ("show", Some(&first)),
        ("tail", None),
        ("tail", Some(&first)),
    ] {
        let words = ["log", command].into_iter();
        let ran = run(&words.chain(word.map(String::as_str)).collect::<Vec<_>>());
        assert_eq!(ran.code, Some(0), "{word:?}: {}", ran.stderr);
        let is_named = ran.stderr.contains(unknown) && ran.stderr.contains("denied");
        assert_eq!(is_named, word.is_none(), "{word:?}: {}", ran.stderr);
    }
    set_mode(&last, 0);
    for (words, code, shown) in [
        (["verify"].as_slice(), 2, first.as_str()),
        (&["log", "query"], 2, first.get(..8).unwrap()),
        (&["trace", "made"], 0, "made"),
        (&["log", "show", &first], 0, ""),
        (&["log", "show"], 2, ""),
        (&["log", "show", &last], 2, ""),
        (&["log", "tail"], 2, ""),
        (&["trace", "other"], 2, ""),
        (&["receipt", "0123456789"], 2, ""),
    ] {
        let ran = run(words);
        assert_eq!(ran.code, Some(code), "{words:?}: {}", ran.stderr);
        assert!(ran.stdout.contains(shown), "{words:?}: {}", ran.stdout);
        let is_named = ran.stderr.contains(&last);
        assert_eq!(is_named, words != ["log", "show", &first], "{words:?}");
    }
    // The first one is the one before.
    set_mode(&last, 0o700);
    set_mode(&first, 0);
    let ran = run(&["log", "erase", "--matching", "echo", "--reason", "a test"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stdout.contains(&last), "{}", ran.stdout);
    for name in [unknown, &first] {
        assert!(ran.stderr.contains(name), "{}", ran.stderr);
        set_mode(name, 0o700);
    }
}
