use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use agentguard_core::TriggerKind;

use super::*;

pub(super) type Variables<'a> = &'a [(&'a str, &'a str)];

pub(super) const GITHUB: Variables<'static> = &[
    ("GITHUB_ACTIONS", "true"),
    ("GITHUB_ACTOR", "octocat"),
    ("GITHUB_ACTOR_ID", "583231"),
    ("GITHUB_TRIGGERING_ACTOR", "octocat"),
    ("GITHUB_EVENT_NAME", "issues"),
    ("GITHUB_RUN_ID", "123"),
    ("GITHUB_RUN_ATTEMPT", "1"),
    ("GITHUB_SERVER_URL", "https://github.com"),
    ("GITHUB_REPOSITORY", "acme/app"),
];

pub(super) const GITLAB: Variables<'static> = &[
    ("GITLAB_CI", "true"),
    ("GITLAB_USER_ID", "12"),
    ("GITLAB_USER_LOGIN", "ada"),
    ("CI", "true"),
    ("CI_PIPELINE_SOURCE", "push"),
    ("CI_PIPELINE_ID", "77"),
    ("CI_JOB_ID", "901"),
    ("CI_JOB_URL", "https://gitlab.com/acme/app/-/jobs/901"),
    ("CI_SERVER_HOST", "gitlab.com"),
];

fn nobody() -> Terminal {
    Terminal {
        tty: None,
        uid: 1000,
        login: Some("ada".to_owned()),
        host: "Desk".to_owned(),
    }
}

fn at_terminal() -> Terminal {
    Terminal {
        tty: Some("/dev/pts/3".to_owned()),
        ..nobody()
    }
}

/// Detects under `base` with `changed` on top; an empty value counts as one that is set and empty.
fn found(
    base: Variables<'_>,
    changed: Variables<'_>,
    terminal: &Terminal,
    by: Option<&str>,
) -> Result<(Human, Trigger), Error> {
    let variables: BTreeMap<_, _> = base.iter().chain(changed).copied().collect();
    detect(
        &|name| variables.get(name).map(|&value| value.to_owned()),
        terminal,
        by,
    )
}

pub(super) fn github(changed: Variables<'_>) -> Result<(Human, Trigger), Error> {
    found(GITHUB, changed, &nobody(), None)
}

pub(super) fn gitlab(changed: Variables<'_>) -> Result<(Human, Trigger), Error> {
    found(GITLAB, changed, &nobody(), None)
}

pub(super) fn with_payload(changed: Variables<'_>, payload: &str) -> (Human, Trigger) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let path: PathBuf =
        std::env::temp_dir().join(format!("event-{}-{next}.json", std::process::id()));
    fs::write(&path, payload).unwrap();
    let mut changed = changed.to_vec();
    changed.push(("GITHUB_EVENT_PATH", path.to_str().unwrap()));
    let found = github(&changed);
    fs::remove_file(&path).unwrap();
    found.unwrap()
}

#[track_caller]
fn assert_fact(trigger: &Trigger, fact: &str) {
    assert!(
        trigger.facts.iter().any(|f| f == fact),
        "no {fact} in {:?}",
        trigger.facts
    );
}

#[test]
fn hostile_names_are_refused_and_the_message_holds_nothing_of_them() {
    let long = "x".repeat(256);
    for bad in [
        "octo\ncat",
        "octo\rcat",
        "octo\u{1b}[31mcat",
        "octo\0cat",
        "octo cat",
        "github:1",
        "octo\u{202e}tac",
        "octo\u{200b}cat",
        "\u{feff}octocat",
        &long,
    ] {
        for (base, name) in [
            (GITHUB, "GITHUB_ACTOR"),
            (GITHUB, "GITHUB_TRIGGERING_ACTOR"),
            (GITLAB, "GITLAB_USER_LOGIN"),
        ] {
            let error = found(base, &[(name, bad)], &nobody(), None).unwrap_err();
            assert!(
                matches!(error, Error::Invalid { .. }),
                "{name} {bad:?}: {error:?}"
            );
            let text = error.to_string();
            assert!(text.contains(name) && !text.contains(bad), "{text}");
            assert!(!text.chars().any(char::is_control), "{text}");
        }
        let error = found(&[], &[], &at_terminal(), Some(bad)).unwrap_err();
        assert!(error.to_string().starts_with("`--by`"), "{error}");
        let login = Terminal {
            login: Some(bad.to_owned()),
            ..at_terminal()
        };
        assert!(found(&[], &[], &login, None).is_err(), "{bad:?}");
    }
    assert!(found(&[], &[], &at_terminal(), Some("")).is_err());
}

#[test]
fn hostile_numbers_and_words_are_refused() {
    let numbers = [
        "-1",
        "0x1",
        "1 ",
        "1\n",
        "007",
        "１",
        "1:2",
        "123456789012345678901",
        "a",
    ];
    for bad in numbers {
        for name in ["GITHUB_ACTOR_ID", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"] {
            assert!(github(&[(name, bad)]).is_err(), "{name} {bad:?}");
        }
        for name in ["GITLAB_USER_ID", "CI_JOB_ID", "CI_PIPELINE_ID"] {
            assert!(gitlab(&[(name, bad)]).is_err(), "{name} {bad:?}");
        }
    }
    for bad in ["push\nx", "pu sh", "a:b", &"x".repeat(65)] {
        assert!(github(&[("GITHUB_EVENT_NAME", bad)]).is_err(), "{bad:?}");
        assert!(gitlab(&[("CI_PIPELINE_SOURCE", bad)]).is_err(), "{bad:?}");
    }
    for bad in ["acme", "acme/app/x", "acme/a p", "/", "acme/app\n"] {
        assert!(github(&[("GITHUB_REPOSITORY", bad)]).is_err(), "{bad:?}");
    }
    for bad in [
        "ftp://x",
        "https://u@x",
        "https://x/y",
        "github.com",
        "https://",
    ] {
        assert!(github(&[("GITHUB_SERVER_URL", bad)]).is_err(), "{bad:?}");
    }
    for bad in ["", "(none)", "a b", "a@b", "a:b"] {
        let host = Terminal {
            host: bad.to_owned(),
            ..at_terminal()
        };
        let error = found(&[], &[], &host, None).unwrap_err();
        assert!(error.to_string().contains("`hostname NAME`"), "{error}");
    }
}

#[test]
fn a_platform_that_does_not_say_who_is_an_error_and_not_a_terminal() {
    for name in [
        "GITHUB_ACTOR",
        "GITHUB_EVENT_NAME",
        "GITHUB_RUN_ID",
        "GITHUB_REPOSITORY",
    ] {
        let error = found(GITHUB, &[(name, "")], &at_terminal(), Some("eve")).unwrap_err();
        assert!(
            matches!(error, Error::Missing { variable, .. } if variable == name),
            "{error:?}"
        );
    }
    for name in [
        "GITLAB_USER_ID",
        "GITLAB_USER_LOGIN",
        "CI_PIPELINE_SOURCE",
        "CI_JOB_ID",
    ] {
        let error = found(GITLAB, &[(name, "")], &at_terminal(), Some("eve")).unwrap_err();
        assert!(
            matches!(error, Error::Missing { variable, .. } if variable == name),
            "{error:?}"
        );
    }
    let both = found(GITHUB, GITLAB, &nobody(), None);
    assert!(matches!(both, Err(Error::TwoPlatforms)), "{both:?}");
}

#[test]
fn a_flag_neither_replaces_a_platforms_human_nor_raises_the_evidence() {
    for base in [GITHUB, GITLAB] {
        let plain = found(base, &[], &nobody(), None).unwrap();
        let (human, trigger) = found(base, &[], &nobody(), Some("eve")).unwrap();
        assert_eq!(human, plain.0);
        assert_fact(&trigger, "by=eve");
        assert_eq!(trigger.requested, plain.1.requested);
    }
    let bot = [("GITHUB_ACTOR", "dependabot[bot]")];
    let (human, _) = found(GITHUB, &bot, &nobody(), Some("eve")).unwrap();
    assert_eq!(
        (human.evidence, &*human.login),
        (Evidence::None, "dependabot[bot]")
    );
    for terminal in [nobody(), at_terminal()] {
        let plain = found(&[], &[], &terminal, None).unwrap();
        let (human, trigger) = found(&[], &[], &terminal, Some("eve")).unwrap();
        assert_eq!((&*human.id, &*human.login), ("asserted:eve", "eve"));
        assert_eq!(human.evidence, plain.0.evidence);
        assert_eq!(trigger.requested, plain.1.requested);
        assert_fact(&trigger, "account=1000@desk");
        assert_fact(&trigger, "login=ada");
    }
}

#[test]
fn nothing_from_the_environment_is_more_than_asserted() {
    let payload = r#"{"sender":{"login":"octocat","id":583231,"type":"User"}}"#;
    let all = [
        github(&[]).unwrap(),
        with_payload(&[], payload),
        gitlab(&[]).unwrap(),
        found(&[], &[], &at_terminal(), None).unwrap(),
        found(&[], &[], &at_terminal(), Some("eve")).unwrap(),
    ];
    for (human, _) in all {
        assert_eq!(human.evidence, Evidence::Asserted, "{human:?}");
    }
}

#[test]
fn githubs_traps_are_known() {
    // What differs, whether the human asked for it, a fact that has to stand there.
    let cases: [(Variables<'_>, bool, &str); 8] = [
        (&[("GITHUB_REF", "refs/heads/x")], true, "ref=refs/heads/x"),
        (
            &[("GITHUB_EVENT_NAME", "schedule")],
            false,
            "role=schedule_owner",
        ),
        (
            &[("GITHUB_EVENT_NAME", "workflow_run")],
            false,
            "role=upstream_workflow",
        ),
        (
            &[("GITHUB_EVENT_NAME", "pull_request_target")],
            true,
            "role=pull_request_target",
        ),
        (
            &[
                ("GITHUB_TRIGGERING_ACTOR", "eve"),
                ("GITHUB_RUN_ATTEMPT", "2"),
            ],
            false,
            "triggering_actor=eve",
        ),
        (&[("GITHUB_RUN_ATTEMPT", "2")], true, "run_attempt=2"),
        (
            &[
                ("GITHUB_ACTOR", "renovate[bot]"),
                ("GITHUB_TRIGGERING_ACTOR", ""),
            ],
            false,
            "actor_type=bot",
        ),
        (&[("GITHUB_ACTOR_ID", "")], true, "actor_id=missing"),
    ];
    for (changed, requested, fact) in cases {
        let (human, trigger) = github(changed).unwrap();
        assert_eq!(trigger.requested, requested, "{changed:?}");
        assert_eq!(trigger.kind, TriggerKind::Github);
        assert_fact(&trigger, fact);
        assert!(human.id.starts_with("github:"), "{}", human.id);
    }
}

#[test]
fn a_login_that_differs_in_case_only_is_the_same_person() {
    let (_, trigger) = github(&[("GITHUB_TRIGGERING_ACTOR", "OctoCat")]).unwrap();
    assert!(trigger.requested);
    assert!(
        !trigger
            .facts
            .iter()
            .any(|fact| fact.starts_with("triggering_actor"))
    );
}

#[test]
fn an_account_of_another_server_is_another_person() {
    let id = |changed| github(changed).unwrap().0.id;
    assert_eq!(id(&[]), "github:583231");
    assert_eq!(
        id(&[("GITHUB_SERVER_URL", "https://Git.Acme.example/")]),
        "github:583231@git.acme.example"
    );
    assert_eq!(id(&[("GITHUB_ACTOR_ID", "")]), "github:login=octocat");
    let (human, _) = gitlab(&[("CI_SERVER_HOST", "git.acme.example")]).unwrap();
    assert_eq!(human.id, "gitlab:12@git.acme.example");
}

#[test]
fn a_job_of_github_is_read_whole() {
    let (human, trigger) = github(&[]).unwrap();
    assert_eq!((&*human.id, &*human.login), ("github:583231", "octocat"));
    assert_eq!(human.via, ["github:actions", "run:123/1", "event:issues"]);
    assert_eq!(trigger.event, "issues");
    assert_eq!(
        trigger.reference,
        "https://github.com/acme/app/actions/runs/123/attempts/1"
    );
    assert_eq!(trigger.facts, ["repository=acme/app"]);
}

#[test]
fn a_payload_names_people_and_forks_as_facts() {
    let (human, trigger) = with_payload(
        &[("GITHUB_EVENT_NAME", "pull_request_target")],
        r#"{"sender":{"login":"mallory","id":666,"type":"User"},
            "pull_request":{"user":{"login":"mallory","id":666},
                "head":{"repo":{"full_name":"mallory/app"}},"base":{"repo":{"full_name":"acme/app"}}}}"#,
    );
    assert_eq!(
        human.id, "github:583231",
        "a payload does not change who it is"
    );
    for fact in [
        "sender=mallory (666)",
        "pull_request_user=mallory (666)",
        "fork=mallory/app",
    ] {
        assert_fact(&trigger, fact);
    }
    let (_, trigger) = with_payload(
        &[("GITHUB_EVENT_NAME", "workflow_run")],
        r#"{"workflow_run":{"event":"pull_request","actor":{"login":"mallory","id":666},
            "head_repository":{"full_name":"mallory/app"},"repository":{"full_name":"acme/app"}}}"#,
    );
    for fact in [
        "upstream_actor=mallory (666)",
        "upstream_event=pull_request",
        "fork=mallory/app",
    ] {
        assert_fact(&trigger, fact);
    }
    let (human, trigger) = with_payload(&[], r#"{"sender":{"login":"octocat","type":"Bot"}}"#);
    assert_fact(&trigger, "actor_type=bot");
    assert_eq!(human.evidence, Evidence::None);
    let (_, trigger) = with_payload(
        &[],
        r#"{"pull_request":{"head":{"repo":null},"base":{"repo":{"full_name":"acme/app"}}}}"#,
    );
    assert_fact(&trigger, "fork=deleted");
    let same = r#"{"pull_request":{"head":{"repo":{"full_name":"a/b"}},"base":{"repo":{"full_name":"a/b"}}}}"#;
    let (_, trigger) = with_payload(&[], same);
    assert!(
        !trigger.facts.iter().any(|fact| fact.starts_with("fork=")),
        "{:?}",
        trigger.facts
    );
}

#[test]
fn a_payload_that_is_no_payload_is_said_to_be_none() {
    let deep = "[".repeat(100_000);
    for bad in ["", "not json", "{\"a\":", &deep] {
        let (human, trigger) = with_payload(&[], bad);
        assert_fact(&trigger, "payload=no JSON");
        assert_eq!(human.id, "github:583231");
    }
    let (_, trigger) = with_payload(&[], &" ".repeat((4 << 20) + 1));
    assert_fact(&trigger, "payload=too large");
    let (_, trigger) = with_payload(&[], r#"{"sender":{"login":"x\ny","id":-1}}"#);
    assert_fact(&trigger, "sender=x\\ny");
    for (path, fact) in [
        ("/nonexistent/x", "unreadable"),
        ("/dev/zero", "no regular file"),
        ("/", "no regular file"),
    ] {
        let (_, trigger) = github(&[("GITHUB_EVENT_PATH", path)]).unwrap();
        assert_fact(&trigger, &format!("payload={fact}"));
    }
}

#[test]
fn a_fact_is_one_line_of_bounded_length_whatever_it_holds() {
    let hostile = format!("refs/\u{1b}[2J\n\u{202e}{}", "ü".repeat(4000));
    let (_, trigger) = github(&[("GITHUB_REF", &hostile)]).unwrap();
    let fact = trigger
        .facts
        .iter()
        .find(|fact| fact.starts_with("ref="))
        .unwrap();
    assert!(
        fact.starts_with("ref=refs/\\u{1b}[2J\\n\\u{202e}ü"),
        "{fact}"
    );
    assert!(fact.len() < 300 && fact.ends_with('…'), "{}", fact.len());
}

#[test]
fn gitlabs_traps_are_known() {
    let cases: [(Variables<'_>, bool, &str); 8] = [
        (&[], true, "pipeline=77"),
        (
            &[("CI_PIPELINE_SOURCE", "schedule")],
            false,
            "role=schedule_owner",
        ),
        (
            &[("CI_PIPELINE_SOURCE", "trigger")],
            false,
            "role=token_owner",
        ),
        (
            &[("GITLAB_USER_LOGIN", "project_1_bot_abc")],
            false,
            "actor_type=bot",
        ),
        (
            &[("GITLAB_USER_LOGIN", "group_1_bot")],
            false,
            "actor_type=bot",
        ),
        (
            &[("GITLAB_USER_LOGIN", "service_account_9")],
            false,
            "actor_type=bot",
        ),
        (&[("CI_JOB_MANUAL", "true")], true, "manual=true"),
        (
            &[
                ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "5"),
                ("CI_MERGE_REQUEST_PROJECT_ID", "6"),
            ],
            true,
            "fork=true",
        ),
    ];
    for (changed, requested, fact) in cases {
        let (human, trigger) = gitlab(changed).unwrap();
        assert_eq!(trigger.requested, requested, "{changed:?}");
        assert_fact(&trigger, fact);
        let evidence = if fact == "actor_type=bot" {
            Evidence::None
        } else {
            Evidence::Asserted
        };
        assert_eq!(human.evidence, evidence);
    }
}

#[test]
fn a_merge_request_within_a_project_is_no_fork_and_a_login_like_a_bots_is_no_bot() {
    let same = [
        ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "5"),
        ("CI_MERGE_REQUEST_PROJECT_ID", "5"),
    ];
    assert!(
        !gitlab(&same)
            .unwrap()
            .1
            .facts
            .contains(&"fork=true".to_owned())
    );
    assert_eq!(
        gitlab(&[("GITLAB_USER_LOGIN", "project_manager")])
            .unwrap()
            .0
            .evidence,
        Evidence::Asserted
    );
}

#[test]
fn a_job_of_gitlab_is_looked_up_on_its_own_server_only() {
    let (human, trigger) = gitlab(&[]).unwrap();
    assert_eq!(
        (&*human.id, trigger.kind),
        ("gitlab:12", TriggerKind::Gitlab)
    );
    assert_eq!(human.via, ["gitlab:ci", "job:901", "source:push"]);
    assert_eq!(trigger.reference, "https://gitlab.com/acme/app/-/jobs/901");
    for bad in [
        "https://gitlab.com.evil/x",
        "https://evil/",
        "javascript:x",
        "https://gitlab.com/\n",
    ] {
        assert_eq!(
            gitlab(&[("CI_JOB_URL", bad)]).unwrap().1.reference,
            "gitlab.com job 901"
        );
    }
}

#[test]
fn a_terminal_counts_only_where_someone_can_type() {
    let (human, trigger) = found(&[], &[], &at_terminal(), None).unwrap();
    assert_eq!(
        (trigger.kind, trigger.requested),
        (TriggerKind::Terminal, true)
    );
    assert_eq!(
        (&*trigger.event, &*trigger.reference),
        ("terminal", "/dev/pts/3")
    );
    assert_eq!((&*human.id, &*human.login), ("local:1000@desk", "ada"));

    // Other platforms allocate terminals too.
    let (_, trigger) = found(&[], &[("CI", "1")], &at_terminal(), None).unwrap();
    assert_eq!(
        (trigger.kind, trigger.requested),
        (TriggerKind::Unattended, false)
    );
    assert_fact(&trigger, "ci=1");
    assert_fact(&trigger, "terminal=/dev/pts/3");

    let (human, trigger) = found(&[], &[("INVOCATION_ID", "abc")], &nobody(), None).unwrap();
    assert_eq!(
        (trigger.kind, trigger.requested),
        (TriggerKind::Unattended, false)
    );
    assert_eq!(
        (&*human.id, human.evidence),
        ("local:1000@desk", Evidence::Asserted)
    );
    assert_fact(&trigger, "invocation=abc");
}

#[test]
fn a_platform_counts_only_where_it_says_so_as_it_does() {
    for value in ["", "false", "0", "TRUE", "yes"] {
        let changed = [("GITHUB_ACTIONS", value)];
        let (human, trigger) = found(GITHUB, &changed, &at_terminal(), None).unwrap();
        assert_eq!(
            (trigger.kind, &*human.id),
            (TriggerKind::Terminal, "local:1000@desk")
        );
    }
    // A job has no terminal: one that has may be someone who exported the variables.
    let (_, trigger) = found(GITHUB, &[], &at_terminal(), None).unwrap();
    assert_fact(&trigger, "terminal=/dev/pts/3");
}

#[test]
fn what_sudo_says_is_a_fact_and_an_account_without_a_name_has_its_number() {
    let root = Terminal {
        uid: 0,
        login: None,
        ..at_terminal()
    };
    let (human, trigger) = found(&[], &[("SUDO_USER", "ada")], &root, None).unwrap();
    assert_eq!((&*human.id, &*human.login), ("local:0@desk", "uid-0"));
    assert_fact(&trigger, "sudo_user=ada");
    let (_, trigger) = found(&[], &[("SUDO_USER", "root")], &at_terminal(), None).unwrap();
    assert_eq!(trigger.facts, Vec::<String>::new());
}
