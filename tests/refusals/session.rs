//! What a session is made of, looked at from outside while it lives.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Child;

use agentguard::core::{Held, Promise};

use crate::bounds::held;
use crate::lifetime::{living, name, parent, with_argument};
use crate::scene::{Scene, Who, as_everyone, level, where_held, where_held_or};

/// A value of `/proc/PID/status` (proc_pid_status(5)).
pub(crate) fn status(process: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut values = text.lines().filter_map(|line| line.strip_prefix(field));
    values.next().unwrap().trim().to_owned()
}

pub(crate) fn threads(process: u32) -> Vec<u32> {
    let listed = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    listed
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
}

/// Whether only root may look into it (proc(5), on ownership).
pub(crate) fn is_closed(process: u32) -> bool {
    fs::metadata(format!("/proc/{process}/environ"))
        .unwrap()
        .uid()
        == 0
        && status(process, "Uid:")
            .split_whitespace()
            .all(|id| id != "0")
}

/// What its descriptors lead to, where we may know.
pub(crate) fn descriptors(process: u32) -> Option<Vec<PathBuf>> {
    let listed = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let targets = listed.filter_map(|entry| match fs::read_link(entry.unwrap().path()) {
        // It let go of it meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        target => Some(target.unwrap()),
    });
    Some(targets.collect())
}

fn children(process: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    let numbers = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    numbers
        .filter(|number| parent(*number) == Some(process))
        .collect()
}

/// A guard that lives, ended when dropped.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a session in which something lives, shows mediator and pid 1 of it, and ends it. Not every level has a
/// pid 1 of its own.
fn while_living(test: &str, look: impl Fn(&Scene, u32, Option<u32>)) {
    let mediator_below = |above: u32| {
        let mediator = with_argument("agentguard-mediator")
            .into_iter()
            .find(|number| parent(*number) == Some(above));
        mediator.expect("there is a mediator")
    };
    let both = |scene: &Scene| {
        let guard = Guard(living(scene, &name(scene, test)));
        let mediator = mediator_below(guard.0.id());
        let init = children(mediator)
            .into_iter()
            .find(|child| status(*child, "NSpid:").ends_with("\t1"))
            .expect("the session has a pid 1");
        look(scene, mediator, Some(init));
    };
    let one = |scene: &Scene| {
        let guard = Guard(living(scene, &name(scene, test)));
        // The reaper is between them, and is called by the same name.
        look(scene, mediator_below(mediator_below(guard.0.id())), None);
    };
    where_held_or(&[Promise::Unseen], both, one);
}

#[test]
fn mediator_and_pid_1_have_given_up_every_right() {
    while_living("bare", |_, mediator, init| {
        // A session of its own: no terminal sends it anything.
        if let Some(init) = init {
            assert!(status(init, "NSsid:").ends_with("	1"));
        }
        for child in children(mediator) {
            assert_eq!(status(child, "NoNewPrivs:"), "1");
        }
        for process in threads(mediator).into_iter().chain(init) {
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
                assert_eq!(status(process, set), "0000000000000000", "{set} {process}");
            }
            assert_eq!(status(process, "NoNewPrivs:"), "1");
            assert!(is_closed(process), "{process}");
        }
        let workers = threads(mediator);
        assert!(workers.len() > 2, "{workers:?}");
        for thread in workers {
            assert_eq!(status(thread, "Seccomp:"), "2", "the mediator is filtered");
        }
    });
}

#[test]
fn mediator_and_pid_1_hold_nothing_that_leads_outside() {
    while_living("descriptors", |scene, mediator, init| {
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let Some(held) = descriptors(mediator) else {
            assert!(!is_root, "root may look");
            return;
        };
        let home = scene.root.join("home");
        // They are empty, and held to be locked.
        let turns = home.join(".local/state/agentguard/turns");
        for path in held.iter().filter(|path| !path.starts_with(&turns)) {
            let is_outside = path.starts_with(&home) && !path.starts_with(scene.work());
            assert!(!is_outside, "{held:?}");
        }
        let is_pipe = |path: &PathBuf| path.to_string_lossy().starts_with("pipe:");
        if let Some(lifelines) = init.map(|init| descriptors(init).unwrap()) {
            assert!(
                lifelines.len() == 2 && lifelines.iter().all(is_pipe),
                "{lifelines:?}"
            );
        }
        let environment = fs::read(format!("/proc/{mediator}/environ")).unwrap();
        assert_eq!(String::from_utf8_lossy(&environment), "");
    });
}

/// As most machines have it: what is mounted in one namespace appears in the others.
#[test]
fn nothing_is_mounted_for_others_and_nothing_by_them() {
    where_held(&[Promise::Names], |scene| {
        let inside = "grep -c -e shared: -e master: /proc/self/mountinfo; touch ready; \
                      while ! [ -e seen ]; do sleep 0.01; done; \
                      ls below; head -c 1 /dev/zero | od -An -tx1";
        let outside = format!(
            "mkdir below && cp attack planted && grep -q shared: /proc/self/mountinfo && \
             before=$(wc -l < /proc/self/mountinfo) && \
             {{ $guard -- sh -c '{inside}' & }} && while ! [ -e ready ]; do sleep 0.01; done && \
             [ $(wc -l < /proc/self/mountinfo) = $before ] && echo alone; \
             mount -t tmpfs none below && echo > below/planted && mount --bind planted /dev/zero && \
             echo mounted; touch seen; wait $!"
        );
        let ran = scene.run_command(scene.mounting(&outside));
        assert_eq!(ran.stdout, "0\nalone\nmounted\n 00\n", "{}", ran.stderr);
        assert_eq!(ran.code, Some(0));
    });
}

#[test]
fn what_a_policy_bounds_is_bounded() {
    as_everyone(|scene| {
        let policy = scene.policy(
            "package agentguard.sandbox\n\
             temporary_bytes contains 1048576\nfiles contains 32\nprocesses contains 64\n",
        );
        let script = "for d in /tmp /dev/shm; do head -c 2M /dev/zero > $d/x; wc -c < $d/x; done; \
                      ulimit -n; ulimit -u; ulimit -Hn; ulimit -Hu; ulimit -n 33 || echo refused";
        let ran = scene.run_with(&[&policy], &["bash", "-c", script]);
        // A group counts them for the session as a whole, where there is one: `a_bomb_of_forks_hits_its_session_and_nobody_else`.
        let processes = match held(scene) {
            Held::Process => "64".to_owned(),
            Held::Session => scene.run_bare(&["bash", "-c", "ulimit -u"]).stdout,
        };
        let most = processes.trim();
        let numbers = ["1048576", "1048576", "32", most, "32", most, "refused"];
        let is_own = level().holds(Promise::Own);
        let numbers = numbers.get(if is_own { 0 } else { 2 }..).unwrap();
        assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), numbers);
    });
}

/// Its configuration and its programs would be an escape for whoever ran git in it, or by its PATH.
#[test]
fn nobody_outside_runs_a_program_on_the_agents_tree() {
    as_everyone(|scene| {
        let mark = scene.outside().join("mark");
        let shim = format!("#!/bin/sh\necho $0 >> {}\n", mark.display());
        for name in ["git", "hook"] {
            scene.program(name, shim.as_bytes());
        }
        let hook = scene.work().join("hook").display().to_string();
        let git = |words: &[&str]| scene.run_bare(&[&["/usr/bin/git"], words].concat());
        git(&["init", "-q", "-b", "main"]);
        for key in [
            "core.fsmonitor",
            "core.pager",
            "core.sshCommand",
            "diff.external",
        ] {
            git(&["config", key, &hook]);
        }
        assert_ne!(git(&["status"]).stdout, "");
        assert!(mark.exists(), "git itself would run it");
        fs::remove_file(&mark).unwrap();
        let script = "/usr/bin/git -c core.fsmonitor= add attack; \
                      /usr/bin/git -c core.fsmonitor= -c user.name=a -c user.email=b commit -qm one";
        let mut command = scene.exec(&[], &["sh", "-c", script]);
        command.env("PATH", format!("{}:/usr/bin:/bin", scene.work().display()));
        let ran = scene.run_command(command);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(!mark.exists(), "{}", fs::read_to_string(&mark).unwrap());
    });
}

/// Neither set-user-id bits nor devices count anywhere, and what is not the agent's is read-only twice.
#[test]
fn every_mount_is_as_weak_as_it_can_be() {
    where_held(&[Promise::Names], |scene| {
        let ran = scene.run(&["cat", "/proc/self/mounts"]);
        let work = scene.work().display().to_string();
        let home = scene.root.join("home").display().to_string();
        let mut seen = 0;
        for line in ran.stdout.lines() {
            let mut fields = line.split(' ').skip(1);
            let (place, options) = (fields.next().unwrap(), fields.nth(1).unwrap());
            let has = |option: &str| options.split(',').any(|one| one == option);
            let device = place.strip_prefix("/dev/");
            let is_device = device.is_some_and(|name| name != "shm");
            assert!(has("nosuid") || is_device, "{line}");
            assert!(has("nodev") || is_device, "{line}");
            let is_own = [&work, &home].contains(&&place.to_owned())
                || ["/tmp", "/var/tmp", "/dev/shm", "/proc"].contains(&place);
            assert!(has("ro") || is_own || is_device, "{line}");
            seen += u32::from(place == work || place == "/" || place == "/usr");
        }
        assert_eq!(seen, 3, "{}", ran.stdout);
    });
}

/// The agent's user in a session that root starts, or whoever started it.
#[test]
fn who_it_is_has_a_name_inside_and_owns_what_it_makes() {
    as_everyone(|scene| {
        let ran = scene.run(&["sh", "-c", "touch made; stat -c %u made .; id -u; id -un"]);
        let lines: Vec<_> = ran.stdout.lines().collect();
        let user = lines[2];
        assert_eq!(
            lines[..2],
            [user, user],
            "the workspace is shown as its own"
        );
        let outside = fs::metadata(scene.work().join("made")).unwrap().uid();
        assert_eq!(outside, fs::metadata(scene.work()).unwrap().uid());
        match scene.who {
            Who::Root => assert!(user != "0" && lines[3] == "agent", "{lines:?}"),
            Who::Ordinary => assert_eq!(user, outside.to_string()),
        }
        if scene.who == Who::Root {
            let guard = scene.root.join("agentguard").display().to_string();
            let started = [
                "setpriv", "--groups", "0,4,6", &guard, "exec", "--", "id", "-G",
            ];
            assert_eq!(scene.run_bare(&started).stdout, format!("{user}\n"));
        }
    });
}
