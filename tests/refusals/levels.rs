//! Weaker levels: asked for by name, said and recorded, and what each of them still holds.
//!
//! These run in every run of the suite. That the whole suite holds at a level is another run of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use agentguard::core::{Event, Level, Network, Promise};
use rustix::fs::XattrFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::attack::Tried;
use crate::files::{state, targets};
use crate::lifetime::{
    all_dead, go_on, kill, kill_all, living_at, parent, stop, until, with_argument,
};
use crate::pins::repository;
use crate::processes::Victim;
use crate::scene::{SECRET, Scene, Who, without_namespaces};
use crate::session::{descriptors, is_closed, status};
use crate::terminal::Terminal;

const LEVEL: Level = Level::NoNamespaces;

#[test]
fn what_a_level_does_not_hold_is_said_recorded_and_told_at_the_end() {
    without_namespaces(|scene| {
        let ran = scene.run_at(LEVEL, &[], &["true"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let missing = LEVEL.missing(Network::Isolated);
        assert_eq!(scene.missing(), missing);
        for promise in Promise::ALL {
            let told = format!(
                "weaker by --level=no-namespaces: not promised: {}",
                promise.text()
            );
            assert_eq!(
                ran.stderr.contains(&told),
                missing.contains(&promise),
                "{promise:?}"
            );
        }
        let told = format!(
            "(level `no-namespaces`, {} promises not held)",
            missing.len()
        );
        assert!(ran.stderr.contains(&told), "{}", ran.stderr);
        scene.each_event(|event| {
            if let Event::Start { level, .. } = event {
                assert_eq!(*level, LEVEL);
            }
        });
    });
}

#[test]
fn a_level_that_promises_nothing_is_refused() {
    without_namespaces(|scene| {
        let ran = scene.run_at(Level::OldKernel, &[], &["sh", "-c", "echo ran > ran"]);
        assert_eq!(ran.code, Some(125));
        assert!(
            ran.stderr.contains("level `old-kernel` cannot be had"),
            "{}",
            ran.stderr
        );
        assert!(!scene.work().join("ran").exists());
    });
}

#[test]
fn root_has_no_session_without_namespaces() {
    let scene = Scene::new(Who::Root);
    let is_root = scene.run_bare(&["id", "-u"]).stdout == "0\n";
    if !is_root {
        println!("not run as root: there is no root to be refused");
        return;
    }
    let ran = scene.run_at(LEVEL, &[], &["sh", "-c", "echo ran > ran"]);
    assert_eq!(ran.code, Some(125));
    assert!(
        ran.stderr.contains("an agent must not be root"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("start agentguard as an ordinary user"),
        "{}",
        ran.stderr
    );
    assert!(!scene.work().join("ran").exists());
}

#[test]
fn a_level_below_what_policy_requires_is_refused_and_recorded() {
    without_namespaces(|scene| {
        let policy = "package agentguard.sandbox\n\nrequire_level contains \"full\"\n";
        let policy = scene.policy(policy);
        let ran = scene.run_at(LEVEL, &[&policy], &["sh", "-c", "echo ran > ran"]);
        assert_eq!(ran.code, Some(126), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("policy requires level `full`"),
            "{}",
            ran.stderr
        );
        assert!(
            !ran.stderr.contains("weaker by"),
            "what never began is said to be weaker: {}",
            ran.stderr
        );
        assert!(!scene.work().join("ran").exists());
        let mut refused = Vec::new();
        scene.each_event(|event| {
            if let Event::Start { ruling, .. } = event {
                refused.push(format!("{ruling:?}").contains("session/level"));
            }
        });
        assert_eq!(refused, [true]);
        assert_eq!(
            scene.run_at(Level::Full, &[&policy], &["true"]).code,
            Some(0)
        );
    });
}

#[test]
fn without_mounts_files_outside_stay_as_they_are() {
    without_namespaces(|scene| {
        let outside = targets(scene, "outside");
        let read = scene.policy(&format!(
            "package agentguard.sandbox\n\nread contains \"{outside}\"\n"
        ));
        let before = state(Path::new(&outside));
        for flags in [&[][..], &[read.as_str()]] {
            let tried = scene
                .run_at(LEVEL, flags, &["./attack", "files", &outside])
                .tried();
            for (name, result) in tried.all_but(&[]) {
                assert_ne!(result, "ok", "{name}");
            }
            assert_eq!(state(Path::new(&outside)), before);
        }
    });
}

#[test]
fn without_mounts_no_call_changes_attributes_outside() {
    without_namespaces(|scene| {
        let outside = targets(scene, "outside");
        targets(scene, "home/work/own");
        let policy = scene.policy(&format!(
            "package agentguard.sandbox\n\nread contains \"{outside}\"\n"
        ));
        let before = state(Path::new(&outside));
        let file = format!("{outside}/mode");
        let words = ["./attack", "attributes", &file, "own/mode"];
        let tried = scene.run_at(LEVEL, &[&policy], &words).tried();
        for (name, result) in tried.all_but(&["raced"]) {
            // The link itself lies inside, and its own times are the agent's.
            let is_own = name.starts_with("own-") || name == "link-utimensat";
            let is_link = ["link-fchmodat2", "link-lchown"].contains(&name);
            assert!(
                is_link || (result == "ok") == is_own,
                "{name} came to {result}"
            );
        }
        let raced: u32 = tried.result("raced").parse().unwrap();
        assert!(raced > 50, "its own file was met now and then: {raced}");
        assert_eq!(state(Path::new(&outside)), before);
        fs::remove_file(scene.work().join("to-outside")).unwrap();
        let bare = scene.run_bare(&words).tried();
        assert_eq!(bare.result("path-chmod"), "ok");
    });
}

/// What such a descriptor is good for is waiting: who waits on a terminal learns when somebody types.
#[test]
fn without_mounts_nothing_outside_is_waited_upon_and_no_attribute_is_told() {
    without_namespaces(|scene| {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let terminal = ptsname(&controller, Vec::new()).unwrap();
        let terminal = terminal.into_string().unwrap();
        scene.own(Path::new(&terminal));
        let file = scene.write("outside/attributed", SECRET);
        rustix::fs::setxattr(&file, "user.secret", SECRET.as_bytes(), XattrFlags::empty()).unwrap();
        let words = ["./attack", "beheld", file.to_str().unwrap(), &terminal];
        rustix::io::write(&controller, b"typed\n").unwrap();
        let tried = scene.run_at(LEVEL, &[], &words).tried();
        for (name, result) in tried.all_but(&[]) {
            let expected = match name.split('-').next() {
                Some("neighbour") => "ok",
                Some("absent") => "ENOSYS",
                Some("attribute" | "attributes") => "EOPNOTSUPP",
                Some(_) | None => "EPERM",
            };
            assert_eq!(result, expected, "{name}");
        }
        let bare = scene.run_bare(&words).tried();
        for real in ["terminal", "typed", "file", "attribute", "attributes"] {
            assert_eq!(bare.result(real), "ok", "{real}");
        }
    });
}

#[test]
fn without_mounts_what_is_masked_is_left_out_of_what_is_granted() {
    without_namespaces(|scene| {
        let outside = scene.outside().display().to_string();
        scene.directory("outside/keys");
        scene.write("outside/keys/one", SECRET);
        scene.write("outside/secret", SECRET);
        scene.write("outside/plain", "plain");
        fs::hard_link(
            scene.outside().join("secret"),
            scene.outside().join("again"),
        )
        .unwrap();
        let policy = scene.policy(&format!(
            "package agentguard.sandbox\n\nread contains \"{outside}\"\n\n\
             masks contains path if {{ some path in [\"{outside}/keys\", \"{outside}/secret\"] }}\n"
        ));
        let script = format!(
            "cat {outside}/keys/one {outside}/secret {outside}/again {outside}/plain; ls {outside}/keys"
        );
        let ran = scene.run_at(LEVEL, &[&policy], &["sh", "-c", &script]);
        assert_eq!(ran.stdout, "plain");
        let inside = scene.work().display().to_string();
        scene.write("home/work/secret", SECRET);
        let policy = scene.policy(&format!(
            "package agentguard.sandbox\n\nmasks contains \"{inside}/secret\"\n"
        ));
        let ran = scene.run_at(LEVEL, &[&policy], &["cat", "secret"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(125), ""));
        assert!(
            ran.stderr.contains("leave out what is masked within"),
            "{}",
            ran.stderr
        );
    });
}

#[test]
fn without_mounts_a_pin_that_changed_is_found() {
    without_namespaces(|scene| {
        repository(scene);
        let ran = scene.run_at(LEVEL, &[], &["sh", "-c", "echo x > .git/hooks/post-merge"]);
        assert!(
            ran.stderr.contains("`.git/hooks/post-merge`"),
            "{}",
            ran.stderr
        );
        assert!(scene.refusals().contains(&"persistence/planted".to_owned()));
    });
}

#[test]
fn without_mounts_where_a_link_at_a_pin_leads_and_pipelines_further_down_are_found() {
    without_namespaces(|scene| {
        for directory in [
            "a",
            "a/.vscode",
            "r",
            "r/.git",
            "r/.github",
            "r/.github/workflows",
        ] {
            scene.directory(&format!("home/work/{directory}"));
        }
        for file in ["notes.json", "twin", "other", "r/.github/workflows/ci.yml"] {
            scene.write(&format!("home/work/{file}"), "as it was");
        }
        let work = scene.work();
        std::os::unix::fs::symlink("../../notes.json", work.join("a/.vscode/tasks.json")).unwrap();
        std::fs::hard_link(work.join("twin"), work.join("a/.vscode/settings.json")).unwrap();
        let script = "for f in notes.json twin other r/.github/workflows/ci.yml r/.gitlab-ci.yml; do \
                      echo changed > $f; done";
        let ran = scene.run_at(LEVEL, &[], &["sh", "-c", script]);
        for file in [
            "notes.json",
            "twin",
            "r/.github/workflows/ci.yml",
            "r/.gitlab-ci.yml",
        ] {
            assert!(ran.stderr.contains(&format!("`{file}`")), "{}", ran.stderr);
        }
        assert!(!ran.stderr.contains("`other`"), "{}", ran.stderr);
        assert!(scene.refusals().contains(&"persistence/planted".to_owned()));
    });
}

#[test]
fn without_namespaces_nobody_outside_is_slowed_down() {
    without_namespaces(|scene| {
        let victim = Victim::new(scene);
        let number = victim.number();
        let tried = scene
            .run_at(LEVEL, &[], &["./attack", "slow", &number])
            .tried();
        let neighbours = ["neighbour", "neighbour-processors"];
        tried.all_are(&["EPERM"], &neighbours);
        for neighbour in neighbours {
            assert_eq!(tried.result(neighbour), "ok");
        }
        let bare = scene.run_bare(&["./attack", "slow", &number]).tried();
        assert_eq!(bare.result("nice"), "ok");
    });
}

/// The kernel stops a whole group for what one of it does from behind, whoever else is in it.
#[test]
fn without_namespaces_no_group_outside_is_joined() {
    without_namespaces(|scene| {
        let terminal = Terminal::of(scene);
        let session = |session: &str, group: &str| {
            // A shell's child ignores such a stop until it is the program, and is stopped when its turn comes.
            let script = format!(
                "sleep 1000 & until grep -q sleep /proc/$!/comm; do :; done; \
                 {session} ./attack joins {group} > tried; \
                 for _ in $(seq 20); do grep -q stopped /proc/$!/status && break; sleep 0.05; done; \
                 cat /proc/$!/status > state; kill -KILL $!"
            );
            let (_stream, child) = terminal.start(scene, &script);
            let shown = terminal.wait(child, || {});
            let tried = fs::read_to_string(scene.work().join("tried")).expect(&shown);
            let state = fs::read_to_string(scene.work().join("state")).unwrap();
            (Tried::of(&tried), state.contains("(stopped)"))
        };
        let guard = format!("{} --", scene.guard_words_at(LEVEL));
        // That of its mediator, where none is named, which no signal of a terminal's stops.
        for (group, joined) in [("$!", "EPERM"), ("", "ok")] {
            let (tried, is_stopped) = session(&guard, group);
            assert_eq!(tried.result("outside"), joined);
            assert_eq!(tried.result("own-begun"), "ok");
            assert_eq!(tried.result("neighbour-begun"), "ok");
            assert_eq!(tried.result("neighbour-joined"), "ok");
            assert!(!is_stopped);
        }
        let (tried, is_stopped) = session("", "$!");
        assert_eq!(tried.result("outside"), "ok");
        assert!(is_stopped);
    });
}

/// Each call that the filter refuses here is one that the kernel would have answered otherwise.
#[test]
fn without_namespaces_what_others_have_too_is_refused_call_by_call() {
    without_namespaces(|scene| {
        let file = scene.write("outside/file", "read").display().to_string();
        let victim = Victim::new(scene).number();
        let policy = scene.policy(&format!(
            "package agentguard.sandbox\n\nread contains {file:?}\n"
        ));
        let words = ["./attack", "beside", &file, &victim];
        let tried = scene.run_at(LEVEL, &[&policy], &words).tried();
        let bare = scene.run_bare(&words).tried();
        let mut refused = 0;
        for (name, result) in tried.all_but(&[]) {
            let error = match name.split('-').next() {
                Some("attribute") => "EOPNOTSUPP",
                Some("absent" | "later") => "ENOSYS",
                Some("watch") => "EMFILE",
                Some("network") => "EAFNOSUPPORT",
                Some("refused") => "EPERM",
                // What only tells comes to what the kernel says.
                Some(_) | None => bare.result(name),
            };
            assert_eq!(result, error, "{name}");
            if !name.starts_with("later") {
                refused += u32::from(bare.result(name) != error);
            }
        }
        assert!(refused >= 30, "{refused}");
    });
}

#[test]
fn without_namespaces_processes_that_fork_for_ever_end_with_their_session() {
    without_namespaces(|scene| {
        let name = format!("chains-{}", std::process::id());
        let ran = scene.run_at(LEVEL, &[], &["./attack", "chains", &name]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let length = || scene.work().join(&name).metadata().unwrap().len();
        let before = length();
        assert!(before > 100, "they were on their way: {before}");
        assert!(with_argument(&name).is_empty());
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(length(), before);
    });
}

fn reaper_and_mediator(guard: u32) -> [u32; 2] {
    let child_of = |process: u32| {
        let mut found = with_argument("agentguard-mediator").into_iter();
        let found = found.find(|number| parent(*number) == Some(process));
        found.expect("a guard has a reaper, and a reaper a mediator")
    };
    let reaper = child_of(guard);
    [reaper, child_of(reaper)]
}

/// It is nobody's to read, no terminal sends it anything, and it holds open nothing but what it waits for.
#[test]
fn without_namespaces_the_reaper_is_closed_and_by_itself() {
    without_namespaces(|scene| {
        let name = format!("levels-closed-{}", std::process::id());
        let mut guard = living_at(LEVEL, scene, &name);
        let [reaper, _] = reaper_and_mediator(guard.id());
        assert!(is_closed(reaper));
        assert_eq!(status(reaper, "NSsid:"), reaper.to_string());
        if let Some(held) = descriptors(reaper) {
            let is_line = |path: &std::path::PathBuf| {
                let path = path.to_string_lossy();
                path.starts_with("pipe:") || path.starts_with("socket:")
            };
            assert!(held.len() == 3 && held.iter().all(is_line), "{held:?}");
        }
        guard.kill().unwrap();
        guard.wait().unwrap();
        all_dead(scene, &name);
    });
}

/// Where the mediator does not do it, the reaper ends what a dead guard leaves, after ten seconds.
#[test]
fn without_namespaces_a_mediator_that_does_nothing_is_not_waited_for() {
    without_namespaces(|scene| {
        let name = format!("levels-stopped-{}", std::process::id());
        let mut guard = living_at(LEVEL, scene, &name);
        let [_, mediator] = reaper_and_mediator(guard.id());
        stop(mediator);
        guard.kill().unwrap();
        guard.wait().unwrap();
        all_dead(scene, &name);
    });
}

/// The reaper is who ends a session when its mediator is killed: killed itself, the mediator does. Killed
/// together with the guard, one of them is left.
#[test]
fn without_namespaces_everything_dies_with_any_process_of_ours() {
    for victims in [
        &["reaper"][..],
        &["mediator"],
        &["guard", "mediator"],
        &["guard", "reaper"],
    ] {
        without_namespaces(|scene| {
            let name = format!("levels-{}-{}", victims.concat(), std::process::id());
            let mut guard = living_at(LEVEL, scene, &name);
            let [reaper, mediator] = reaper_and_mediator(guard.id());
            let numbers = victims.iter().map(|victim| match *victim {
                "guard" => guard.id(),
                "reaper" => reaper,
                _ => mediator,
            });
            kill_all(&numbers.collect::<Vec<_>>());
            let ended = guard.wait().unwrap();
            assert_ne!(ended.code(), Some(0));
            all_dead(scene, &name);
        });
    }
}

/// Who leaves its parent becomes the mediator's, and with that one gone the reaper's: elsewhere it might be traced by nobody,
/// and waited for by nobody.
#[test]
fn without_namespaces_whoever_loses_its_parent_stays_below_the_guard() {
    without_namespaces(|scene| {
        let name = format!("levels-orphans-{}", std::process::id());
        let mut guard = living_at(LEVEL, scene, &name);
        let [reaper, mediator] = reaper_and_mediator(guard.id());
        let left: Vec<_> = with_argument(&name)
            .into_iter()
            .filter(|number| parent(*number) == Some(mediator))
            .collect();
        assert_eq!(left.len(), 2, "the agent, and what it left to itself");
        stop(reaper);
        kill(mediator);
        until("they have another parent", || {
            left.iter().all(|number| parent(*number) != Some(mediator))
        });
        for number in &left {
            assert_eq!(parent(*number), Some(reaper), "{number}");
        }
        go_on(reaper);
        assert_eq!(guard.wait().unwrap().code(), Some(125));
        all_dead(scene, &name);
    });
}

#[test]
fn without_namespaces_the_dead_are_reaped_while_their_session_lives() {
    without_namespaces(|scene| {
        let script = "(sh -c 'echo $$ > ran' &); sleep 60";
        let mut guard = scene.guard_at(LEVEL);
        let mut guard = guard.args(["--", "sh", "-c", script]).spawn().unwrap();
        let ran = || fs::read_to_string(scene.work().join("ran")).unwrap_or_default();
        until("it has run", || ran().ends_with('\n'));
        let process = Path::new("/proc").join(ran().trim());
        until("it is reaped", || !process.exists());
        kill(guard.id());
        guard.wait().unwrap();
    });
}

/// A shell that somebody logged in with may have 1024, and a service less.
#[test]
fn a_session_starts_with_few_descriptors() {
    without_namespaces(|scene| {
        for level in [Level::Full, LEVEL] {
            let guard = scene.guard_at(level);
            let mut few = scene.command("sh");
            few.args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"])
                .arg(guard.get_program())
                .args(guard.get_args())
                .args(["--", "sh", "-c", "echo started"]);
            let ran = scene.run_command(few);
            assert_eq!(ran.stdout, "started\n", "{level:?}");
        }
    });
}

#[test]
fn without_namespaces_work_goes_on() {
    without_namespaces(|scene| {
        let script = "git init -q . && git config user.name a && git config user.email a@b && \
                      mkdir d && echo x > d/f && git add d attack && git commit -q -m one && git mv d/f g && \
                      git commit -q -m two && git log --oneline | wc -l && (true &) && python3 -c 'print(6*7)'";
        let ran = scene.run_at(LEVEL, &[], &["sh", "-c", script]);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(0), "2\n42\n"),
            "{}",
            ran.stderr
        );
    });
}
