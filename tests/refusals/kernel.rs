//! Interfaces of the kernel: calls, clones, other doors to the same calls, files that are switches.

use crate::scene::{Who, as_everyone};

#[test]
fn interfaces_that_no_work_needs_are_refused() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "interfaces"]).tried();
        let neighbours = ["neighbour", "neighbour-limit"];
        for neighbour in neighbours {
            assert_eq!(tried.result(neighbour), "ok", "{neighbour}");
        }
        for absent in ["newest", "not-yet"] {
            assert_eq!(tried.result(absent), "ENOSYS", "{absent}");
        }
        tried.all_are(
            &["EPERM"],
            &[&neighbours[..], &["newest", "not-yet"]].concat(),
        );
    });
}

#[test]
fn a_process_cannot_leave_its_namespaces_or_its_parent() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "clones"]).tried();
        assert_eq!(tried.result("neighbour"), "ok");
        assert_eq!(tried.result("clone3"), "ENOSYS");
        tried.all_are(&["EPERM"], &["neighbour", "clone3"]);
        // Whatever was tried, the session ended.
        assert!(!scene.run(&["true"]).stderr.contains("error"));
    });
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_same_calls_by_another_door_are_refused() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "legacy"]).tried();
        assert_eq!(
            (tried.result("x32"), tried.result("int80")),
            ("ENOSYS", "killed")
        );
    });
}

#[test]
fn no_second_supervisor_hears_of_execs() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "listener"]).tried();
        assert_eq!(
            (tried.result("listener"), tried.result("neighbour")),
            ("EBUSY", "ok")
        );
    });
}

#[test]
fn switches_of_the_machine_cannot_be_written() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "kernel_files"]).tried();
        tried.all_are(&["EACCES", "ENOENT", "EROFS", "EPERM"], &[]);
    });
}

/// What our order of setting up rests on: each step fails, or holds less, elsewhere.
#[test]
fn a_session_set_up_in_another_order_would_not_stand() {
    as_everyone(|scene| {
        let tried = scene.run_bare(&["./attack", "orders"]).tried();
        for right in [
            "neighbour-maps-before-closing",
            "neighbour-thread",
            "neighbour-mount-before-domain",
            "neighbour-trace-a-domain-below",
            "neighbour-namespaces-before-closing",
            "neighbour-signal-without-a-scope",
        ] {
            assert_eq!(tried.result(right), "ok", "{right}");
        }
        assert_eq!(tried.result("thread-after-unshare"), "EINVAL");
        assert_eq!(tried.result("mount-after-domain"), "EPERM");
        assert_eq!(tried.result("trace-a-domain-beside"), "EPERM");
        assert_eq!(tried.result("signal-from-a-scope"), "EPERM");
        // Root may look at what is closed; but a root that gave everything up first owns no namespace.
        let (closed, bare) = match scene.who {
            Who::Root => ("ok", "EPERM"),
            Who::Ordinary => ("EACCES", "ok"),
        };
        assert_eq!(tried.result("maps-after-closing"), closed);
        assert_eq!(tried.result("namespaces-after-closing"), closed);
        assert_eq!(tried.result("maps-without-capabilities"), bare);
        let tried = scene.run_bare(&["./attack", "nesting"]).tried();
        for right in [
            "neighbour-proc-before-the-old-root",
            "neighbour-processes-before-the-user",
            "neighbour-mount-for-a-user-below",
            "neighbour-trace-closed-below",
        ] {
            assert_eq!(tried.result(right), "ok", "{right}");
        }
        assert_eq!(tried.result("proc-after-the-old-root"), "EPERM");
        assert_eq!(tried.result("processes-after-the-user"), "EPERM");
        assert_eq!(tried.result("mount-for-the-same-user"), "EEXIST");
        assert_eq!(tried.result("trace-closed-in-one-namespace"), "EPERM");
        // Here the wrong order fails nothing, and holds nothing.
        assert_eq!(tried.result("thread-before-the-domain"), "ok");
        let held = tried.result("neighbour-thread-after-the-domain");
        assert_eq!(held, "EACCES");
    });
}
