//! Each thing that the confinement is built from, taken away for real: `agentguard doctor` then names it,
//! its cause and one remedy, and `agentguard exec` refuses with the same words and runs nothing.
//!
//! Started by root, every test is done as root and again as an ordinary user.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop"
)]

mod filter;
mod machine;
mod place;

use std::path::Path;

use filter::Filter;
use machine::Machine;
use place::{Person, Place};

/// Both say it, and nothing ran.
fn refused(
    place: &Place,
    machine: &Machine,
    filter: Option<&Filter>,
    what: &str,
    words: [&str; 2],
) {
    let [cause, remedy] = words;
    let told = place.doctor(machine, filter);
    assert_eq!(told.code, Some(1), "{told:#?}");
    let found = told.about(what);
    let shown = || format!("for {:?}: {found:#}", place.person());
    assert_eq!(found["holds"], false, "{}", shown());
    assert!(text(&found["cause"]).contains(cause), "{}", shown());
    assert!(text(&found["remedy"]).contains(remedy), "{}", shown());
    if told.first_missing() == what {
        let refusal = place.exec(machine, filter);
        assert_eq!(refusal.code, Some(125), "{refusal:#?}");
        let error = refusal.line("agentguard: error: ");
        assert!(
            error.contains("cannot ") && error.contains(cause),
            "{error}"
        );
        let hint = refusal.line("agentguard: hint: ");
        assert!(hint.contains(remedy), "{hint}");
    }
    assert!(!place.has_run(), "{}", shown());
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// With nothing around, everything holds; with `filter`, `what` is missing.
fn filtered(filter: &Filter, what: &str, cause: &str, remedy: &str) {
    for place in Place::for_everyone() {
        let machine = Machine::as_it_is();
        let free = place.doctor(&machine, None);
        assert_eq!(free.about(what)["holds"], true, "{free:#?}");
        refused(&place, &machine, Some(filter), what, [cause, remedy]);
        assert_eq!(place.doctor(&machine, Some(filter)).first_missing(), what);
    }
}

const FILTERED: &str = "seccomp filter";

/// What helps against a filter, or a covered `/proc`: in a container it is how that was started.
fn outside(elsewhere: &'static str) -> &'static str {
    let is_contained = ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|mark| Path::new(mark).exists());
    if is_contained {
        "start the container with `--security-opt"
    } else {
        elsewhere
    }
}

fn unfiltered() -> &'static str {
    outside("start agentguard outside of what installs the filter")
}

#[test]
fn everything_holds_here_and_a_command_runs() {
    for place in Place::for_everyone() {
        let machine = Machine::as_it_is();
        let told = place.doctor(&machine, None);
        assert_eq!(told.code, Some(0), "{told:#?}");
        let run = place.exec(&machine, None);
        assert_eq!(run.code, Some(0), "{run:#?}");
        assert!(place.has_run());
    }
}

#[test]
fn looking_leaves_nothing_behind() {
    for place in Place::for_everyone() {
        let before = (place.everything(), place::mounts());
        place.doctor(&Machine::as_it_is(), None);
        assert_eq!((place.everything(), place::mounts()), before);
    }
}

#[test]
fn without_user_namespaces_it_says_so_and_runs_nothing() {
    let filter = Filter::new(libc::EPERM).on_flag(libc::SYS_unshare, 0, libc::CLONE_NEWUSER);
    filtered(&filter, "user-namespaces", FILTERED, unfiltered());
}

/// Only sessions that are granted hosts would use it: they reach them at fewer ports, and nothing else is different.
#[test]
fn without_a_kernel_that_turns_connections_it_says_at_which_ports_hosts_are_reached() {
    const NETLINK_NETFILTER: i32 = 12; // linux/netlink.h
    let filter =
        Filter::new(libc::EPROTONOSUPPORT).on_value(libc::SYS_socket, 2, NETLINK_NETFILTER);
    for place in Place::for_everyone() {
        let machine = Machine::as_it_is();
        let free = place.doctor(&machine, None);
        assert_eq!(free.about("gate")["holds"], true, "{free:#?}");
        let told = place.doctor(&machine, Some(&filter));
        assert_eq!((told.code, told.level("full")), (Some(0), true.into()));
        let found = told.about("gate");
        assert_eq!(found["holds"], false, "{found:#}");
        assert!(text(&found["cause"]).contains(FILTERED), "{found:#}");
        assert!(text(&found["cause"]).contains("ports 80, 443"), "{found:#}");
        assert!(text(&found["remedy"]).contains(unfiltered()), "{found:#}");
        let run = place.exec_gated(&machine, Some(&filter));
        assert_eq!(run.code, Some(0), "{run:#?}");
        assert!(place.has_run());
        assert_eq!(place.exec(&machine, Some(&filter)).code, Some(0));
        assert!(place.has_run());
    }
}

/// Nothing that every session needs: what goes without them is said, and everything else is as it was.
#[test]
fn without_ipv6_or_a_keyring_it_says_what_goes_without_them() {
    let no_ipv6 = Filter::new(libc::EAFNOSUPPORT).on_value(libc::SYS_socket, 0, libc::AF_INET6);
    let no_keys = Filter::new(libc::ENOSYS).on(libc::SYS_keyctl);
    for place in Place::for_everyone() {
        let machine = Machine::as_it_is();
        let free = place.doctor(&machine, None);
        for (filter, what, effect) in [
            (&no_ipv6, "ipv6", "programs inside have IPv4 only"),
            (&no_keys, "keyring", "tokens are kept in files"),
        ] {
            assert_eq!(free.about(what)["holds"], true, "{free:#?}");
            let told = place.doctor(&machine, Some(filter));
            assert_eq!((told.code, told.level("full")), (Some(0), true.into()));
            let found = told.about(what);
            assert_eq!(found["holds"], false, "{found:#}");
            assert!(text(&found["cause"]).contains(effect), "{found:#}");
            assert_eq!(place.exec_gated(&machine, Some(filter)).code, Some(0));
            assert!(place.has_run());
        }
    }
}

/// What the weaker level needs, taken away: it is refused too, with the cause, and the stronger one is not
/// touched where it needs none of it.
#[test]
fn without_what_a_weaker_level_needs_it_says_so_and_runs_nothing_at_it() {
    let reader = Filter::new(libc::ENOSYS).on(libc::SYS_landlock_create_ruleset);
    let tracer = Filter::new(libc::EPERM).on(libc::SYS_ptrace);
    for place in Place::for_everyone().filter(|place| place.person() == Person::Ordinary) {
        let machine = Machine::as_it_is();
        let free = place.doctor(&machine, None);
        assert_eq!(free.level("full"), true, "{free:#?}");
        assert_eq!(free.level("no-namespaces"), true, "{free:#?}");
        assert_eq!(free.level("old-kernel"), false, "{free:#?}");
        for (filter, what) in [(&reader, "landlock"), (&tracer, "tracing-beside")] {
            let told = place.doctor(&machine, Some(filter));
            assert_eq!(told.level("no-namespaces"), false, "{told:#?}");
            assert_eq!(told.about(what)["holds"], false, "{told:#?}");
            let refusal = place.exec_beside(&machine, Some(filter));
            assert_eq!(refusal.code, Some(125), "{refusal:#?}");
            let error = refusal.line("agentguard: error: ");
            assert!(error.contains(FILTERED), "{error}");
            assert!(!place.has_run());
        }
        let yama = Machine::as_it_is().with_kernel_setting("yama/ptrace_scope", "2");
        let told = place.doctor(&yama, Some(&tracer));
        let cause = told.about("tracing-beside")["cause"].clone();
        assert!(
            text(&cause).contains("`kernel.yama.ptrace_scope` is 2"),
            "{cause}"
        );
    }
}

#[test]
fn without_user_namespaces_the_weaker_level_runs_where_it_is_asked_for() {
    let filter = Filter::new(libc::EPERM).on_flag(libc::SYS_unshare, 0, libc::CLONE_NEWUSER);
    for place in Place::for_everyone() {
        let machine = Machine::as_it_is();
        let told = place.doctor(&machine, Some(&filter));
        assert_eq!(told.level("full"), false, "{told:#?}");
        let run = place.exec_beside(&machine, Some(&filter));
        let is_ordinary = place.person() == Person::Ordinary;
        assert_eq!(told.level("no-namespaces"), is_ordinary, "{told:#?}");
        assert_eq!(run.code == Some(0), is_ordinary, "{run:#?}");
        assert_eq!(place.has_run(), is_ordinary);
    }
}

#[test]
fn without_mounts_it_says_so_and_runs_nothing() {
    filtered(
        &Filter::new(libc::EACCES).on(libc::SYS_mount),
        "mounts",
        FILTERED,
        unfiltered(),
    );
}

#[test]
fn without_a_pid_namespace_it_says_so_and_runs_nothing() {
    let filter = Filter::new(libc::EPERM).on_flag(libc::SYS_clone, 0, libc::CLONE_NEWPID);
    filtered(&filter, "proc", FILTERED, unfiltered());
}

#[test]
fn without_ptrace_it_says_so_and_runs_nothing() {
    filtered(
        &Filter::new(libc::EPERM).on(libc::SYS_ptrace),
        "tracing",
        FILTERED,
        unfiltered(),
    );
}

#[test]
fn without_reading_memory_it_says_so_and_runs_nothing() {
    let filter = Filter::new(libc::ENOSYS).on(libc::SYS_process_vm_readv);
    filtered(&filter, "tracing", FILTERED, unfiltered());
}

#[test]
fn without_landlock_it_says_so_and_runs_nothing() {
    let number = libc::SYS_landlock_create_ruleset;
    filtered(
        &Filter::new(libc::ENOSYS).on(number),
        "landlock",
        FILTERED,
        unfiltered(),
    );
    let not_booted = Filter::new(libc::EOPNOTSUPP).on(number);
    filtered(
        &not_booted,
        "landlock",
        "not among the security modules",
        "`lsm=landlock,",
    );
}

#[test]
fn without_notifications_it_says_so_and_runs_nothing() {
    let flag = i32::try_from(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).unwrap();
    let filter = Filter::new(libc::EINVAL).on_flag(libc::SYS_seccomp, 1, flag);
    filtered(&filter, "notifications", FILTERED, unfiltered());
}

#[test]
fn under_another_supervisor_it_says_so_and_runs_nothing() {
    let flag = i32::try_from(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).unwrap();
    let filter = Filter::new(libc::EBUSY).on_flag(libc::SYS_seccomp, 1, flag);
    filtered(
        &filter,
        "notifications",
        "another supervisor",
        "start agentguard outside of it",
    );
}

#[test]
fn root_that_can_become_nobody_or_show_nothing_as_theirs_says_so() {
    for place in Place::for_everyone().filter(|place| place.person() == Person::Root) {
        let machine = Machine::as_it_is();
        let stuck = Filter::new(libc::EPERM).on(libc::SYS_setresuid);
        refused(
            &place,
            &machine,
            Some(&stuck),
            "users",
            [FILTERED, unfiltered()],
        );
        let plain = Filter::new(libc::EINVAL).on(libc::SYS_mount_setattr);
        let words = [
            "supports no idmapped mounts",
            "as an ordinary user that owns the workspace",
        ];
        refused(&place, &machine, Some(&plain), "owners", words);
    }
}

#[test]
fn where_user_namespaces_are_counted_to_none_it_names_the_sysctl() {
    let machine = Machine::as_it_is().with_no_user_namespaces();
    let words = [
        "`user.max_user_namespaces` is 0",
        "sudo sysctl -w user.max_user_namespaces=",
    ];
    for place in Place::for_everyone() {
        refused(&place, &machine, None, "user-namespaces", words);
    }
}

#[test]
fn where_proc_is_covered_as_in_a_container_it_names_what_covers_it() {
    let machine = Machine::as_it_is().with_covered_proc();
    let words = [
        "`/proc/fs` is covered",
        outside("where nothing is mounted below `/proc`"),
    ];
    for place in Place::for_everyone() {
        refused(&place, &machine, None, "proc", words);
        assert_eq!(place.doctor(&machine, None).first_missing(), "proc");
    }
}

#[test]
fn where_a_sysctl_forbids_user_namespaces_it_is_named() {
    let filter = Filter::new(libc::EPERM)
        .on_value(libc::SYS_unshare, 0, libc::CLONE_NEWUSER)
        .on_flag(libc::SYS_unshare, 0, libc::CLONE_NEWNET);
    let cases = [
        (
            "unprivileged_userns_clone",
            "0",
            "`kernel.unprivileged_userns_clone` is 0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            "apparmor_restrict_unprivileged_userns",
            "1",
            "AppArmor allows user namespaces only to programs with a profile",
            "sudo apparmor_parser -r /etc/apparmor.d/agentguard",
        ),
    ];
    for (name, value, cause, remedy) in cases {
        let machine = Machine::as_it_is().with_kernel_setting(name, value);
        for place in Place::for_everyone() {
            refused(
                &place,
                &machine,
                Some(&filter),
                "user-namespaces",
                [cause, remedy],
            );
        }
    }
}

#[test]
fn where_yama_forbids_tracing_it_is_named() {
    let machine = Machine::as_it_is().with_kernel_setting("yama/ptrace_scope", "3");
    let filter = Filter::new(libc::EPERM).on(libc::SYS_ptrace);
    let words = [
        "Yama forbids tracing altogether",
        "`kernel.yama.ptrace_scope=2`",
    ];
    for place in Place::for_everyone() {
        refused(&place, &machine, Some(&filter), "tracing", words);
    }
}

#[test]
fn on_an_old_kernel_it_says_which_one_would_do() {
    let machine = Machine::as_it_is().with_kernel_setting("osrelease", "5.15.0-91-generic");
    let flag = i32::try_from(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).unwrap();
    let filter = Filter::new(libc::EINVAL).on_flag(libc::SYS_seccomp, 1, flag);
    let words = [
        "Linux 5.15.0-91-generic has no killable",
        "boot Linux 6.2 or newer",
    ];
    for place in Place::for_everyone() {
        refused(&place, &machine, Some(&filter), "notifications", words);
    }
}

#[test]
fn inside_a_session_it_says_so_and_runs_nothing() {
    for place in Place::for_everyone() {
        let told = place.doctor_inside();
        assert_eq!(told.code, Some(1), "{told:#?}");
        assert_eq!(told.first_missing(), "outermost");
        let refusal = place.exec_inside();
        assert_eq!(refusal.code, Some(125), "{refusal:#?}");
        let error = refusal.line("agentguard: error: ");
        assert!(error.contains("inside a session of agentguard"), "{error}");
        let hint = refusal.line_with("agentguard: hint: ", "outside");
        assert_eq!(hint, "run it outside of that session");
        assert!(!place.has_run());
    }
}
