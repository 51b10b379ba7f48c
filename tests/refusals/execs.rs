//! Execs that are hard to follow: interrupted, at once, by closed or traced callers, of files that change unseen.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use agentguard::core::{Event, Level};

use crate::attack::{self, Tried};
use crate::lifetime::{parent, until, with_argument};
use crate::scene::{Scene, as_everyone, level};
use crate::session::threads;

/// How many execs the ended sessions of this home allowed.
fn allowed(scene: &Scene) -> u64 {
    let mut allowed = 0;
    scene.each_event(|event| {
        if let Event::End { tally, .. } = event {
            allowed += tally.allowed;
        }
    });
    allowed
}

/// A question that is interrupted is not asked twice, and who fails does not keep others from being traced.
#[test]
fn each_exec_is_asked_about_once_whatever_interrupts_it() {
    as_everyone(|scene| {
        scene.program("text", b"no program\n");
        let tried = scene.run(&["./attack", "storm", "./text", "200"]).tried();
        assert_eq!(tried.result("storm"), "ENOEXEC");
        // Four processes with 200 tries each, and the attack itself.
        assert_eq!(allowed(scene), 801);
    });
}

/// The worst moment to lose the processor: a worker has let an exec go on, which fails at once. The caller asks again
/// before that worker runs again, and another one is free to answer.
#[test]
fn a_worker_that_runs_last_keeps_no_caller_from_the_next_exec() {
    as_everyone(|scene| {
        scene.program("text", b"no program\n");
        let attack = scene.work().join("attack");
        let mut command = scene.command(&attack);
        let guard = scene.guard_at(level());
        command.arg("one_processor").arg(guard.get_program());
        command.args(guard.get_args());
        command.args(["--", "./attack", "again", "./text", "100"]);
        let session = command.stdout(Stdio::piped()).spawn().unwrap();
        until("the session lives", || scene.work().join("ready").exists());
        // On a busy machine one may have been late and replaced, and leaves.
        until("there are two workers", || {
            workers_of(session.id()).len() == 2
        });
        let workers = workers_of(session.id());
        let last = scene.run_bare(&["./attack", "last", &workers[0].to_string()]);
        assert_eq!(last.tried().result("last"), "ok");
        scene.write("home/work/go", "");
        let output = session.wait_with_output().unwrap();
        let tried = Tried::of(&String::from_utf8_lossy(&output.stdout));
        assert_eq!(tried.result("again"), "ENOEXEC");
        assert_eq!(allowed(scene), 101);
    });
}

/// The threads of a guard's mediator that answer.
fn workers_of(guard: u32) -> Vec<u32> {
    let is_below = |number: u32| {
        let above = std::iter::successors(Some(number), |below| parent(*below));
        above.take(4).any(|above| above == guard)
    };
    let mediators = with_argument("agentguard-mediator").into_iter();
    let mut workers: Vec<_> = mediators
        .filter(|mediator| is_below(*mediator))
        .flat_map(threads)
        .filter(|thread| {
            fs::read_to_string(format!("/proc/{thread}/comm")).is_ok_and(|name| name == "worker\n")
        })
        .collect();
    workers.sort_unstable();
    workers
}

#[test]
fn threads_that_all_execute_at_once_hold_nobody() {
    as_everyone(|scene| {
        let tried = scene
            .run(&["./attack", "crowd", "300", "./attack", "signals"])
            .tried();
        assert_eq!(tried.result("crowd"), "ok");
    });
}

/// Several processes, in each of which threads start programs while one of them, not the first, becomes another.
/// A long run:
///
/// ```sh
/// AGENTGUARD_EXECS=100000 cargo test -p agentguard-cli --test refusals many_threads -- --nocapture
/// ```
#[test]
fn many_threads_of_many_processes_execute_and_none_is_held() {
    const PROCESSES: u64 = 4;
    let wanted = std::env::var("AGENTGUARD_EXECS");
    let wanted: u64 = wanted.map_or(1, |text| text.parse().unwrap());
    as_everyone(|scene| {
        // No session may take longer than the harness's patience.
        let least = (wanted / PROCESSES).clamp(40, 250);
        let (processes, times) = (PROCESSES.to_string(), least.to_string());
        let words = [
            "./attack", "mixture", &processes, &times, "./attack", "signals",
        ];
        let (mut sessions, mut executed) = (0, 0);
        while executed < wanted {
            let mut command = scene.exec(&[], &words);
            let output = command.stderr(Stdio::piped()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let answered = String::from_utf8_lossy(&output.stdout);
            let shown = format!("session {sessions}, {executed} before: {answered}{said}");
            assert!(
                answered.contains("mixture ok"),
                "{shown}: {:?}",
                output.status
            );
            let told = said
                .split_once(" allowed")
                .map(|(before, _)| before.rsplit(' '));
            let told = told.and_then(|mut words| words.next()?.parse::<u64>().ok());
            let told = told.expect("a session says how many it allowed");
            assert!(told > PROCESSES * least, "{said}");
            (sessions, executed) = (sessions + 1, executed + told);
        }
        println!("{executed} execs in {sessions} sessions");
    });
}

/// As agents of keys do. Nobody of the caller's own rights could read what it asks for.
#[test]
fn a_caller_that_closed_itself_is_judged_like_any_other() {
    as_everyone(|scene| {
        let run = |words: &[&str]| scene.run(&[&["./attack", "closed"], words].concat());
        let tried = run(&["/usr/bin/mount"]).tried();
        assert_eq!(tried.result("closed"), "EACCES");
        let spoken = run(&["./attack", "say", "x"]).stdout;
        if level() != Level::Full {
            // Without a namespace that it owns the mediator may not look at it either, and refuses what it asks.
            assert!(!spoken.contains("said"));
            return;
        }
        let refused = "privilege/namespaces".to_owned();
        assert!(scene.refusals().contains(&refused));
        assert_eq!(spoken, "said x\n");
    });
}

#[test]
fn a_program_that_its_owner_may_not_read_is_refused() {
    as_everyone(|scene| {
        let path = scene.program("closed", attack::program());
        fs::set_permissions(path, fs::Permissions::from_mode(0o111)).unwrap();
        let ran = scene.run(&["./attack", "run", "./closed", "say", "x"]);
        assert_eq!(ran.tried().result("run"), "EACCES");
        assert_eq!(scene.refusals(), ["programs/unknown"]);
    });
}

/// Whoever traces what starts a session would see its execs first, and could change them.
#[test]
fn a_traced_session_does_not_start() {
    as_everyone(|scene| {
        let guard = scene.root.join("agentguard").display().to_string();
        let session = [&guard, "exec", "--", "touch", "ran"];
        let ran = scene.run_bare(&[&["./attack", "traced"][..], &session].concat());
        assert_eq!(ran.code, Some(125));
        assert!(ran.stderr.contains("trace the agent"), "{}", ran.stderr);
        assert!(!scene.work().join("ran").exists());
        let ran = scene.run_bare(&["./attack", "traced", "/bin/sh", "-c", "exit 5"]);
        assert_eq!(ran.code, Some(5), "the tracer lets programs run");
    });
}

/// On a tmpfs a store into mapped memory changes a file and no stamp of it.
#[test]
fn a_program_that_changes_under_an_unchanged_stamp_is_judged_anew() {
    as_everyone(|scene| {
        let mut bytes = fs::read("/usr/bin/mount").unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        scene.program("notes", &bytes);
        let inside = "./notes --version && ./attack remap notes && ./notes --version";
        let outside = format!(
            "mkdir memory && mount -t tmpfs none memory && mv attack notes memory && cd memory && \
             $guard -- sh -c '{inside}'"
        );
        let ran = scene.run_command(scene.mounting(&outside));
        let lines: Vec<_> = ran.stdout.lines().collect();
        assert!(lines[0].contains("util-linux"), "{lines:?}");
        assert_eq!(lines[1..], ["mapped ETXTBSY", "stamp same"]);
        assert_eq!(ran.code, Some(126));
        assert_eq!(scene.refusals(), ["privilege/namespaces"]);
    });
}

/// An ELF file names its interpreter, which the kernel loads without asking.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_denied_program_is_not_loaded_as_an_interpreter() {
    as_everyone(|scene| {
        let named = b"/lib64/ld-linux-x86-64.so.2";
        let mut bytes = attack::program().to_vec();
        let at = bytes
            .windows(named.len())
            .position(|window| window == named)
            .unwrap();
        let denied = b"/usr/bin/mount";
        bytes[at..at + named.len()].fill(0);
        bytes[at..at + denied.len()].copy_from_slice(denied);
        scene.program("led", &bytes);
        let bare = scene.run_bare(&["./attack", "run", "./led"]).tried();
        // It is no loader, and falls over itself once it is loaded.
        assert_eq!(bare.result("run"), "signal-11");
        let tried = scene.run(&["./attack", "run", "./led"]).tried();
        assert!(
            tried.result("run").starts_with('E'),
            "there is nothing of it"
        );
    });
}
