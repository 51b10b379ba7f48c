//! Bounds on what a session uses, and whoever lives beside it.
//!
//! What holds depends on whether a cgroup can be made where this runs; the session's first entry says
//! which it is, and these hold it to that.

use std::fs;
use std::path::{Path, PathBuf};

use agentguard::core::{Event, Held, Level, Promise};

use crate::lifetime::{all_dead, kill, living, with_argument};
use crate::outside::Bystander;
use crate::scene::{Scene, as_everyone, level, where_held};

/// What the last session said of itself.
pub(crate) fn held(scene: &Scene) -> Held {
    let mut last = None;
    scene.each_event(|event| {
        if let Event::Start { held, .. } = event {
            last = *held;
        }
    });
    last.expect("every session says so")
}

/// A file that could not be handed in would stay behind: a lock that nobody holds.
#[test]
fn a_file_is_made_only_where_it_can_be_opened() {
    as_everyone(|scene| {
        for bare in [true, false] {
            let words = ["./attack", "no_number"];
            let ran = if bare {
                scene.run_bare(&words)
            } else {
                scene.run(&words)
            };
            let tried = ran.tried();
            for (name, result) in tried.all_but(&[]) {
                let expected = if name.starts_with("neighbour") {
                    "ok"
                } else {
                    "EMFILE"
                };
                assert_eq!(result, expected, "{name}, bare: {bare}");
            }
            assert_eq!(tried.all_but(&[]).count(), 5);
            for made in ["none-left", "one-left"] {
                fs::remove_file(scene.work().join(made)).unwrap();
            }
            fs::remove_dir(scene.work().join("neighbour-directory")).unwrap();
        }
    });
}

#[test]
fn a_full_file_system_is_full_for_names_too() {
    where_held(&[Promise::Own], |scene| {
        let policy =
            scene.policy("package agentguard.sandbox\n\ntemporary_bytes contains 1048576\n");
        let tried = scene
            .run_with(&[&policy], &["./attack", "no_space", "/tmp"])
            .tried();
        for full in ["write", "write-more", "link"] {
            assert_eq!(tried.result(full), "ENOSPC", "{full}");
        }
        for other in ["more", "neighbour-name", "neighbour-link"] {
            assert_eq!(tried.result(other), "ok", "{other}");
        }
    });
}

#[test]
fn a_bomb_of_forks_hits_its_session_and_nobody_else() {
    as_everyone(|scene| {
        let bystander = Bystander::start(scene);
        let policy = scene.policy("package agentguard.sandbox\n\nprocesses contains 60\n");
        let mark = scene.work().join("mark");
        let mut session = scene
            .exec(&[&policy], &["./attack", "bomb", "mark"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while !mark.exists() && session.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        // All of them are alive, and there is room outside.
        let beside = scene.run_bare(&[
            "sh",
            "-c",
            "for i in 1 2 3 4 5; do sleep 0 & done; wait; echo room",
        ]);
        assert_eq!(beside.stdout, "room\n");
        let output = session.wait_with_output().unwrap();
        let (told, noted) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        let tried = crate::attack::Tried::of(&told);
        assert_eq!(tried.result("last"), "EAGAIN", "{noted}");
        let made: u64 = tried.result("made").parse().unwrap();
        if level() == Level::Full {
            assert!((50..=60).contains(&made), "{made}");
            assert!(noted.contains("rule `limits/processes`"), "{noted}");
            assert!(scene.refusals().contains(&"limits/processes".to_owned()));
        } else {
            // Counted with whatever else the user runs, of which nothing is known.
            assert!((1..=60).contains(&made), "{made}");
        }
        assert_eq!(
            bystander.ask(),
            "signal 0\nmemory kept\nlimits kept\nnice 0\n"
        );
    });
}

/// Queued signals, watches on files, terminals and requests of the old interface for asynchronous input and output
/// are counted for a user, or for the whole machine.
#[test]
fn what_is_counted_for_a_user_is_not_all_taken_by_a_session() {
    as_everyone(|scene| {
        let mark = scene.work().join("mark");
        let mut session = scene
            .exec(&[], &["./attack", "take_common", "mark"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while !mark.exists() && session.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let beside = scene.run_bare(&["./attack", "left_common"]).tried();
        fs::remove_file(&mark).unwrap();
        let output = session.wait_with_output().unwrap();
        let inside = crate::attack::Tried::of(&String::from_utf8_lossy(&output.stdout));
        for (name, result) in beside.all_but(&[]) {
            assert_eq!(result, "ok", "{name}: {inside:?}");
        }
        let taken = |what: &str| inside.result(what).parse::<u64>().unwrap();
        assert_eq!(inside.result("marked"), "ok");
        assert_eq!(taken("requests"), 0);
        assert!(taken("signals") > 0, "{inside:?}");
        if level() == Level::Full {
            assert!((1..=256).contains(&taken("terminals")), "{inside:?}");
            assert!(taken("watches") > 0, "{inside:?}");
        } else {
            assert_eq!(taken("watches"), 0);
        }
    });
}

#[test]
fn a_hog_of_memory_hits_its_session_and_nobody_else() {
    const BOUND: u64 = 256 << 20;
    as_everyone(|scene| {
        let bystander = Bystander::start(scene);
        let rego = format!("package agentguard.sandbox\n\nmemory_bytes contains {BOUND}\n");
        let policy = scene.policy(&rego);
        let (small, large) = ((BOUND / 4).to_string(), (BOUND * 3 / 2).to_string());
        let ran = scene.run_with(&[&policy], &["./attack", "hog", &small, &large]);
        let tried = ran.tried();
        assert_eq!(tried.result("neighbour"), "ok");
        match held(scene) {
            Held::Session => {
                for kind in ["private", "shared"] {
                    assert_eq!(tried.result(kind), "signal-9", "{kind}");
                }
                assert!(
                    ran.stderr.contains("rule `limits/memory`"),
                    "{}",
                    ran.stderr
                );
                assert!(scene.refusals().contains(&"limits/memory".to_owned()));
            }
            // What processes share is not bounded then, as the policy's page says.
            Held::Process => assert_eq!(tried.result("private"), "ENOMEM"),
        }
        assert_eq!(
            bystander.ask(),
            "signal 0\nmemory kept\nlimits kept\nnice 0\n"
        );
    });
}

#[test]
fn directories_in_memory_fill_up_and_the_machine_does_not() {
    const BOUND: u64 = 8 << 20;
    where_held(&[Promise::Own], |scene| {
        let rego = format!("package agentguard.sandbox\n\ntemporary_bytes contains {BOUND}\n");
        let policy = scene.policy(&rego);
        let files = ["/tmp/filler", "/dev/shm/filler"];
        for (times, file) in (1..).zip(files) {
            let ran = scene.run_with(&[&policy], &["./attack", "fill_up", file]);
            let tried = ran.tried();
            assert_eq!(tried.result(file), "full");
            let bytes: u64 = tried.result(&format!("{file}-bytes")).parse().unwrap();
            assert!((BOUND / 2..=BOUND).contains(&bytes), "{bytes}");
            // It was removed again, and was noticed while it was there.
            let said = &ran.stderr;
            assert!(said.contains("rule `limits/temporary`"), "{file}: {said}");
            assert_eq!(scene.refusals(), vec!["limits/temporary"; times]);
        }
        let ran = scene.run(&["sh", "-c", "echo x > /tmp/x && echo written"]);
        assert_eq!(ran.stdout, "written\n");
        assert!(!ran.stderr.contains("limits/"), "{}", ran.stderr);
    });
}

#[test]
fn what_bounds_hold_is_said_before_and_can_be_asked_for() {
    as_everyone(|scene| {
        let plan = scene.run_with(&["--plan"], &["true"]);
        let line = plan.stdout.lines().find(|line| line.starts_with("limits "));
        let line = line.expect("the plan names limits");
        assert_eq!(scene.run(&["true"]).code, Some(0));
        let held = held(scene);
        let said = match held {
            Held::Session => "for the session as a whole",
            Held::Process => "for each process by itself",
        };
        assert!(line.contains(said), "{line}");
        let policy = scene.policy(
            "package agentguard.session\n\ndeny contains {\"id\": \"limits/as-a-whole\", \"reason\": \
             \"bounds hold for each process only\"} if input.action.confinement.limits.held != \"session\"\n",
        );
        let ran = scene.run_with(&[&policy], &["true"]);
        let expected = match held {
            Held::Session => Some(0),
            Held::Process => Some(126),
        };
        assert_eq!(ran.code, expected);
    });
}

/// What `/proc` says of the cgroup that a process is in, and where that is mounted.
fn cgroup_of(process: u32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    Some(Path::new(mount.split(' ').nth(4)?).join(path))
}

/// Where a cgroup can be made. Where none can, the session says so, and its processes stay in their guard's.
#[test]
fn a_cgroup_holds_all_of_its_session_to_the_end_and_is_not_left_behind() {
    as_everyone(|scene| {
        let name = format!("bounds-{}-{:?}", std::process::id(), scene.who);
        let mut guard = living(scene, &name);
        let own = cgroup_of(guard.id());
        let inside: Vec<_> = with_argument(&name)
            .into_iter()
            .filter(|process| *process != guard.id())
            .map(cgroup_of)
            .collect();
        assert!(!inside.is_empty());
        // Everything of it is in one group, whose only way out is beyond its reach.
        let group = inside[0].clone();
        assert!(inside.iter().all(|other| *other == group), "{inside:?}");
        if held(scene) == Held::Process {
            println!("no cgroup can be made here: what is shown is that none is taken for one");
            assert_eq!(group, own);
            kill(guard.id());
            guard.wait().unwrap();
            return all_dead(scene, &name);
        }
        let (group, own) = (group.unwrap(), own.unwrap());
        assert_ne!(group, own);
        let escape = format!(
            "for file in {}/cgroup.procs {}/cgroup.procs {}/pids.max; do echo 0 > $file && echo written; done; \
             mkdir {}/within && echo made; true",
            own.display(),
            group.parent().unwrap().display(),
            group.display(),
            group.display()
        );
        let tried = scene.run(&["sh", "-c", &escape]);
        assert_eq!((tried.code, tried.stdout.as_str()), (Some(0), ""));
        assert!(group.exists(), "it is locked by its guard");
        kill(guard.id());
        guard.wait().unwrap();
        all_dead(scene, &name);
        // Nobody was left to remove it. Whoever starts the next session does.
        assert!(group.exists());
        assert_eq!(fs::read_to_string(group.join("cgroup.procs")).unwrap(), "");
        assert_eq!(scene.run(&["true"]).code, Some(0));
        assert!(!group.exists());
    });
}

#[test]
fn whoever_runs_inside_goes_first_when_memory_is_short() {
    as_everyone(|scene| {
        let ran = scene.run(&["sh", "-c", "sleep 0; cat /proc/self/oom_score_adj"]);
        assert_eq!(ran.stdout, "500\n");
    });
}
