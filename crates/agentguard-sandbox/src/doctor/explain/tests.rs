use super::*;

fn failed(errno: i32) -> Failure {
    Failure {
        step: "do it".to_owned(),
        reason: "no".to_owned(),
        errno: (errno != 0).then_some(errno),
    }
}

fn said(what: What, errno: i32, around: &Surroundings) -> (String, String) {
    match explain(what, &failed(errno), around) {
        Answer::Missing { cause, remedy } => (cause, remedy),
        Answer::Holds | Answer::Unknown { .. } => panic!("{what:?} failed"),
    }
}

fn plain() -> Surroundings {
    Surroundings {
        release: "6.18.0".to_owned(),
        version: Some((6, 18)),
        program: Some("/usr/bin/agentguard".to_owned()),
        ..Surroundings::default()
    }
}

#[test]
fn whatever_fails_has_a_cause_and_a_remedy_of_one_line() {
    let contained = Surroundings {
        is_filtered: true,
        is_contained: true,
        ..plain()
    };
    for around in [plain(), contained] {
        for what in What::ALL {
            for errno in [
                0,
                libc::EPERM,
                libc::EINVAL,
                libc::ENOSYS,
                libc::ENOSPC,
                libc::EIO,
            ] {
                let (cause, remedy) = said(what, errno, &around);
                for text in [cause, remedy] {
                    assert!(!text.is_empty() && !text.contains('\n'), "{what:?}: {text}");
                }
            }
        }
    }
}

#[test]
fn in_a_container_the_remedy_is_how_to_start_it() {
    let docker = Surroundings {
        is_filtered: true,
        is_contained: true,
        over_proc: ["/proc/kcore", "/proc/keys"].map(str::to_owned).into(),
        ..plain()
    };
    let (cause, remedy) = said(What::UserNamespaces, libc::EPERM, &docker);
    assert!(cause.contains("container's seccomp filter"), "{cause}");
    assert!(remedy.contains("seccomp=unconfined"), "{remedy}");
    let (cause, remedy) = said(What::Proc, libc::EPERM, &docker);
    assert!(
        cause.contains("`/proc/kcore` and 1 more is covered"),
        "{cause}"
    );
    assert!(remedy.contains("systempaths=unconfined"), "{remedy}");
}

#[test]
fn a_sysctl_is_named_only_for_the_error_that_it_makes() {
    let counted = Surroundings {
        none_of: vec!["net"],
        ..plain()
    };
    let (cause, remedy) = said(What::Namespaces, libc::ENOSPC, &counted);
    assert!(cause.contains("`user.max_net_namespaces` is 0"), "{cause}");
    assert!(remedy.contains("user.max_net_namespaces=15000"), "{remedy}");
    let (cause, _) = said(What::Namespaces, libc::EPERM, &counted);
    assert!(!cause.contains("max_net"), "{cause}");
    let (cause, _) = said(What::UserNamespaces, libc::EUSERS, &plain());
    assert!(cause.contains("32 user namespaces deep"), "{cause}");
}

#[test]
fn apparmor_has_a_profile_for_this_program_or_a_sysctl_where_its_path_is_odd() {
    let ubuntu = Surroundings {
        apparmor: Some(1),
        ..plain()
    };
    let (cause, remedy) = said(What::Mounts, libc::EACCES, &ubuntu);
    assert!(cause.contains("AppArmor"), "{cause}");
    assert!(
        remedy.contains("profile agentguard /usr/bin/agentguard flags=(unconfined) { userns, }")
    );
    let odd = Surroundings {
        program: None,
        ..ubuntu
    };
    let (_, remedy) = said(What::Mounts, libc::EPERM, &odd);
    assert!(
        remedy.contains("apparmor_restrict_unprivileged_userns=0"),
        "{remedy}"
    );
}

#[test]
fn yama_is_the_cause_only_where_it_forbids_everything() {
    for (scope, is_cause) in [(0, false), (1, false), (2, false), (3, true)] {
        let around = Surroundings {
            yama: Some(scope),
            ..plain()
        };
        let (cause, _) = said(What::Tracing, libc::EPERM, &around);
        assert_eq!(cause.contains("Yama"), is_cause, "{scope}: {cause}");
    }
}

#[test]
fn landlock_is_missing_from_the_build_the_boot_or_the_age() {
    let booted = |modules: &str| Surroundings {
        modules: Some(modules.to_owned()),
        ..plain()
    };
    let (_, remedy) = said(What::Landlock, libc::EOPNOTSUPP, &booted("capability,yama"));
    assert!(
        remedy.contains("`lsm=landlock,capability,yama`"),
        "{remedy}"
    );
    let (cause, _) = said(What::Landlock, libc::ENOSYS, &booted("capability,landlock"));
    assert!(cause.contains("CONFIG_SECURITY_LANDLOCK"), "{cause}");
    let old = Surroundings {
        release: "5.15.0".to_owned(),
        version: Some((5, 15)),
        ..plain()
    };
    let (cause, remedy) = said(What::Landlock, libc::ENOSYS, &old);
    assert!(
        cause.contains("Linux 5.15.0 has too old a Landlock"),
        "{cause}"
    );
    assert_eq!(remedy, NEWER);
}

#[test]
fn scopes_are_missing_for_their_age_or_with_landlock() {
    let old = Surroundings {
        release: "6.1.0".to_owned(),
        version: Some((6, 1)),
        ..plain()
    };
    let (cause, remedy) = said(What::Scopes, 0, &old);
    assert!(cause.contains("Linux 6.1.0 is older than 6.12"), "{cause}");
    assert_eq!(remedy, "boot Linux 6.12 or newer");
    let unbooted = Surroundings {
        version: Some((6, 12)),
        modules: Some("capability,yama".to_owned()),
        ..plain()
    };
    let (_, remedy) = said(What::Scopes, libc::EOPNOTSUPP, &unbooted);
    assert!(
        remedy.contains("`lsm=landlock,capability,yama`"),
        "{remedy}"
    );
}

#[test]
fn a_chroot_a_ramfs_and_a_writable_program_are_known() {
    let chroot = Surroundings {
        is_chroot: true,
        ..plain()
    };
    let (cause, _) = said(What::UserNamespaces, libc::EPERM, &chroot);
    assert!(cause.contains("chroot"), "{cause}");
    let (cause, _) = said(What::Mounts, libc::EINVAL, &plain());
    assert!(cause.contains("ramfs"), "{cause}");
    let (cause, _) = said(What::Images, 0, &plain());
    assert!(cause.contains("lets programs be written to"), "{cause}");
}

#[test]
fn inside_a_session_that_is_the_cause_of_everything() {
    let inside = Surroundings {
        is_inside: true,
        is_filtered: true,
        ..plain()
    };
    for what in What::ALL {
        assert_eq!(said(what, libc::EPERM, &inside).1, OUTSIDE, "{what:?}");
    }
}
