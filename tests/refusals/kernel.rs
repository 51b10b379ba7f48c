//! Interfaces of the kernel: calls, clones, other doors to the same calls, files that are switches.

use crate::scene::as_everyone;

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
