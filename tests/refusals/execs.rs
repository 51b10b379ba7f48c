//! Execs that are hard to follow: interrupted, at once, by closed or traced callers, of files that change unseen.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use agentguard::core::{Event, Level};

use crate::attack;
use crate::scene::{Scene, as_everyone, level};

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

#[test]
fn threads_that_all_execute_at_once_hold_nobody() {
    as_everyone(|scene| {
        let tried = scene
            .run(&["./attack", "crowd", "300", "./attack", "signals"])
            .tried();
        assert_eq!(tried.result("crowd"), "ok");
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
