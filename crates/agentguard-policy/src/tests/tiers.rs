//! Tiers over one another, and policies that are wrong.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use agentguard_core::{
    Access, Action, Evidence, HostGrant, Judge as _, Level, Network, Tier, Verdict,
};

use super::baseline::request;
use super::{exec, session, word};
use crate::{Confined, Error, Policies, Sources};

/// A directory of its own, gone when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path =
            std::env::temp_dir().join(format!("agentguard-policy-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn load(
    name: &str,
    org: Option<&str>,
    user: Option<&str>,
    repository: Option<&str>,
) -> Result<Policies, Error> {
    let folder = |tier: &str, text: Option<&str>| {
        text.map(|text| Folder::new(&format!("{name}-{tier}"), &[("own.rego", text)]))
    };
    let (org, user, repository) = (
        folder("org", org),
        folder("user", user),
        folder("repository", repository),
    );
    let path = |folder: &Option<Folder>| folder.as_ref().map(|folder| folder.path().to_owned());
    Policies::load(&Sources {
        org: path(&org),
        user: path(&user),
        repository: path(&repository),
    })
}

fn say(policies: &Policies, words: &[&str]) -> String {
    word(&policies.judge(session()), exec(words))
}

const ALLOW_ALL: &str = "package agentguard.exec.own
allow contains {\"id\": \"own/all\", \"reason\": \"all\"} if true
";
const DENY_MAKE: &str = "package agentguard.exec.own
deny contains {\"id\": \"own/make\", \"reason\": \"no make\"} if \"make\" in input.facts.names
";
const ALLOW_LS: &str = "package agentguard.exec.own
allow contains {\"id\": \"own/ls\", \"reason\": \"ls\"} if \"ls\" in input.facts.names
";
const ASK_MAKE: &str = "package agentguard.exec.own
ask contains {\"id\": \"own/ask\", \"reason\": \"ask\"} if \"make\" in input.facts.names
";

/// The rule that refuses, where it holds in a shadow.
fn held(policies: &Policies, action: Action) -> Option<String> {
    let judge = policies.judge(session());
    let question = judge.question(action);
    let verdict = judge.judge(&question).unwrap_or_else(Verdict::from);
    let rule = verdict.rule();
    assert!(!matches!(verdict, Verdict::Allow(_)), "{rule:?}");
    judge
        .holds(&question, rule)
        .then(|| rule.id.as_str().to_owned())
}

#[test]
fn in_a_shadow_the_deny_list_and_the_organisation_hold_and_other_tiers_do_not() {
    let of = |words: &[&str]| Action::Exec(exec(words));
    let ships = load("shadow-ships", None, None, None).unwrap();
    let push = of(&["git", "push", "origin", "main"]);
    assert_eq!(held(&ships, push.clone()), None);
    assert_eq!(held(&ships, of(&["npm", "publish"])), None);
    let listed = held(&ships, of(&["sudo", "ls"]));
    assert_eq!(listed.as_deref(), Some("privilege/other-user"));
    let user = load("shadow-user", None, Some(DENY_MAKE), Some(ASK_MAKE)).unwrap();
    assert_eq!(held(&user, of(&["make"])), None);
    // What ships is the organisation's library, and holds with its rules.
    let org = load("shadow-org", Some(ASK_MAKE), Some(DENY_MAKE), None).unwrap();
    assert_eq!(held(&org, of(&["make"])).as_deref(), Some("own/make"));
    let both = held(&org, push);
    assert_eq!(both.as_deref(), Some("git/protected-branch"));
    let over = load("shadow-over", Some("package own"), Some(DENY_MAKE), None).unwrap();
    assert_eq!(held(&over, of(&["make"])), None);
}

#[test]
fn in_a_shadow_no_error_lets_anything_be() {
    let wrong = "package agentguard.exec.own
deny contains {\"id\": input.action.argv[0], \"reason\": \"x\"} if true
";
    let policies = load("shadow-wrong", None, Some(wrong), None).unwrap();
    let undecided = held(&policies, Action::Exec(exec(&["ls"])));
    assert_eq!(undecided.as_deref(), Some("guard/undecided"));
}

#[test]
fn a_repository_alone_only_tightens_what_ships() {
    let policies = load("alone", None, None, Some(ALLOW_ALL)).unwrap();
    let judge = policies.judge(session());
    let mut temporary = exec(&["x"]);
    temporary.program.class = agentguard_core::ProgramClass::Temporary;
    assert_eq!(word(&judge, temporary), "deny programs/temporary");
    let policies = load("tight", None, None, Some(DENY_MAKE)).unwrap();
    assert_eq!(say(&policies, &["make"]), "deny own/make");
    assert_eq!(say(&policies, &["ls"]), "allow programs/known");
}

#[test]
fn a_lower_tier_denies_and_asks_and_never_allows() {
    for (lower, words, expected) in [
        (DENY_MAKE, ["make"], "deny own/make"),
        (ASK_MAKE, ["make"], "ask own/ask"),
        (ALLOW_ALL, ["sudo"], "deny privilege/other-user"),
        (ALLOW_LS, ["ls"], "allow programs/known"),
        (ALLOW_LS, ["make"], "deny guard/not-allowed"),
    ] {
        for (user, repository) in [(Some(lower), None), (None, Some(lower))] {
            let policies = load(
                "lower",
                Some("package agentguard.lib.own\n"),
                user,
                repository,
            )
            .unwrap();
            assert_eq!(say(&policies, &words), expected, "{lower}");
        }
    }
}

#[test]
fn the_highest_tier_extends_what_ships_and_replaces_it_by_name() {
    let policies = load("extend", Some(DENY_MAKE), None, None).unwrap();
    assert_eq!(say(&policies, &["make"]), "deny own/make");
    assert_eq!(
        say(&policies, &["git", "push", "-f", "o", "x"]),
        "deny git/rewrite"
    );
    let extended = "package agentguard.lib\nprotected_branches contains \"release\"\n";
    let policies = load("branches", None, Some(extended), None).unwrap();
    assert_eq!(
        say(&policies, &["git", "push", "o", "release"]),
        "deny git/protected-branch"
    );

    let folder = Folder::new(
        "replace",
        &[
            ("programs.rego", ALLOW_LS),
            (
                "deny.toml",
                "schema = 1\nlift = [\"privilege/other-user\"]\n",
            ),
        ],
    );
    let sources = Sources {
        org: Some(folder.path().to_owned()),
        user: None,
        repository: None,
    };
    let policies = Policies::load(&sources).unwrap();
    assert_eq!(say(&policies, &["ls"]), "allow own/ls");
    assert_eq!(say(&policies, &["make"]), "deny guard/not-allowed");
    assert_eq!(say(&policies, &["sudo", "ls"]), "deny guard/not-allowed");
    assert_eq!(say(&policies, &["crontab"]), "deny persistence/scheduler");
}

#[test]
fn a_package_in_several_files_sees_itself_whole() {
    // Asked for the package as a whole, regorus 0.14.1 misses what stands later in the second file.
    let folder = Folder::new(
        "several",
        &[
            ("a.rego", "package agentguard.lib.two\nfirst contains \"x\"\n"),
            (
                "b.rego",
                "package agentguard.lib.two\nsecond contains v if some v in third\nthird contains \"make\"\n",
            ),
            (
                "c.rego",
                "package agentguard.exec.own\ndeny contains {\"id\": \"own/make\", \"reason\": \"no\"} if {
\tsome key, values in data.agentguard.lib.two
\tkey == \"second\"\n\tsome value in values\n\tvalue in input.facts.names\n}\n",
            ),
        ],
    );
    let sources = Sources {
        org: None,
        user: Some(folder.path().to_owned()),
        repository: None,
    };
    let policies = Policies::load(&sources).unwrap();
    assert_eq!(say(&policies, &["make"]), "deny own/make");
}

#[test]
fn several_rules_are_shown_by_the_first_id() {
    let two = "package agentguard.exec.own
deny contains {\"id\": \"z/z\", \"reason\": \"z\"} if true
deny contains {\"id\": \"b/b\", \"reason\": \"b\", \"remedy\": \"r\"} if true
ask contains {\"id\": \"a/a\", \"reason\": \"a\"} if true
";
    let policies = load("several", None, Some(two), Some(DENY_MAKE)).unwrap();
    assert_eq!(say(&policies, &["make"]), "deny b/b");
}

#[test]
fn an_engine_that_fails_leaves_it_undecided() {
    for body in [
        "deny contains 1 if true",
        "deny contains {\"id\": \"bad\", \"reason\": \"x\"} if true",
        "deny contains {\"id\": \"a/b\"} if true",
        "deny contains {\"id\": \"a/b\", \"reason\": \"x\", \"extra\": \"y\"} if true",
        "deny contains {\"id\": \"a/b\", \"reason\": 1} if true",
        "deny contains {\"id\": \"a/b\", \"reason\": to_number(\"x\")} if true",
        "deny contains {\"id\": \"a/b\", \"reason\": f(1)} if true\nf(x) := f(x)",
        "deny contains {\"id\": \"a/b\", \"reason\": \"x\"} if no_such_function(1)",
        "deny contains {\"id\": \"a/b\", \"reason\": v}\nv := \"1\" if true\nv := \"2\" if true",
        "deny contains {\"id\": \"a/b\", \"reason\": \"x\"} if {\n\tsome a in numbers.range(1, 3000)\n\tsome b in numbers.range(1, 3000)\n\ta * b == 0 - 1\n}",
    ] {
        for tier in 0..3 {
            let text = format!("package agentguard.exec.own\n{body}\n");
            let at = |own: i32| (own == tier).then_some(text.as_str());
            let said = match load("fails", at(0), at(1), at(2)) {
                Ok(policies) => say(&policies, &["ls"]),
                Err(error) => format!("undecided: {error}"),
            };
            assert!(said.starts_with("undecided"), "{body}: {said}");
        }
    }
}

fn mistake(name: &str, text: &str) -> String {
    let error = load(name, None, Some(text), None)
        .err()
        .unwrap_or_else(|| panic!("{text}"));
    error
        .mistakes()
        .first()
        .map_or_else(|| error.to_string(), |first| first.render())
}

/// Policies, and what is said of them.
const MEANINGLESS: &[(&str, &str)] = &[
    (
        "package agentguard.exec.own\n\ndeny contains {\n",
        "own.rego:",
    ),
    (
        "package agentguard.exec.own\ndeny := true\n",
        "2:1: `deny` must be a set",
    ),
    (
        "package agentguard.exec.own\ndefault allow := true\n",
        "`allow` must be a set",
    ),
    (
        "package agentguard.exec.own\ndeny[\"x\"] := 1\n",
        "`deny` must be a set",
    ),
    (
        "package agentguard.other\n",
        "package `agentguard.other` is never asked",
    ),
    (
        "package elsewhere\ndeny contains 1\n",
        "is never asked for `deny`",
    ),
    (
        "package agentguard.lib.x\nallow contains 1\n",
        "is never asked for `allow`",
    ),
    (
        "package agentguard.sandbox\nmask contains \"/x\"\n",
        "`mask` is nothing that a sandbox has",
    ),
    (
        "package agentguard.sandbox\nread := {\"/\"}\n",
        "`read` must be a set",
    ),
    (
        "package agentguard.exec.own\nx if rand.intn(\"a\", 2) == 1\n",
        "2:6: `rand.intn` depends on chance",
    ),
    (
        "package agentguard.exec.own\nx := {y | y := time.now_ns()}\n",
        "depends on a clock",
    ),
    (
        "package agentguard.exec.own\nx if { not http.send({}) }\n",
        "depends on the network",
    ),
    ("package agentguard.exec.own\nx if y == 1\n", "y"),
    (
        "package agentguard.exec.own\nx if input.a with input as {}\n",
        "`with` is for tests",
    ),
    (
        "package agentguard.exec.own\ndeny contains {\"id\": \"own/x\", \"reason\": \"x\", \"remdy\": \"y\"} if true\n",
        "2:47: a rule has no `remdy`",
    ),
    (
        "package agentguard.exec.own\ndeny contains {\"id\": \"own\", \"reason\": \"x\"} if true\n",
        "2:23: rule id `own` is not of the form",
    ),
    (
        "package agentguard.exec.own\ndeny contains {\"id\": \"own/x\"} if true\n",
        "2:15: the rule gives no `reason`",
    ),
    (
        "package agentguard.exec.own\ndeny contains \"no\" if true\n",
        "2:16: a rule is an object",
    ),
    (
        "package agentguard.exec.own_test\ntest_x if true\n",
        "its file is called `*_test.rego`",
    ),
    (
        "package agentguard.exec.own\nf(x) := g(x)\ng(x) := f(x)\n",
        "2:1: `agentguard.exec.own.f` leads back",
    ),
    (
        "package agentguard.exec.own\na := data.agentguard.exec.own.b\nb := a\n",
        "leads back to itself",
    ),
    (
        "package agentguard.exec.own\ndeny contains {\"id\": \"own/x\", \"reason\": \"x\"} if input.action.cmd == \"y\"\n",
        "2:49: `input.action` has no `cmd`",
    ),
    (
        "package agentguard.exec.own\ndeny contains {\"id\": \"own/x\", \"reason\": \"x\"} if data.agentguard.lib.nothing\n",
        "2:49: no policy defines `data.agentguard.lib.nothing`",
    ),
];

#[test]
fn what_a_policy_cannot_mean_is_shown_in_its_place() {
    for (text, expected) in MEANINGLESS {
        let shown = mistake("mistakes", text);
        assert!(shown.contains(expected), "{text}: {shown}");
        assert!(
            shown.contains("own.rego:") && shown.contains('^'),
            "{text}: {shown}"
        );
    }
}

#[test]
fn every_mistake_is_shown_at_once() {
    let error = load(
        "all",
        Some("package agentguard.no\n"),
        Some("package agentguard.nor\n"),
        None,
    )
    .err()
    .unwrap();
    assert_eq!(error.mistakes().len(), 2);
}

#[test]
fn a_repositorys_links_and_devices_are_not_read() {
    let folder = Folder::new("links", &[]);
    symlink("/etc/passwd", folder.path().join("x.rego")).unwrap();
    let of = |path: &Path| Sources {
        org: None,
        user: None,
        repository: Some(path.to_owned()),
    };
    assert!(matches!(
        Policies::load(&of(folder.path())),
        Err(Error::Unfit { .. })
    ));
    let link = folder.path().join("link");
    symlink("/etc", &link).unwrap();
    assert!(matches!(
        Policies::load(&of(&link)),
        Err(Error::Unfit { .. })
    ));
    // Nobody writes into it: opening it would wait for ever.
    fs::remove_file(folder.path().join("x.rego")).unwrap();
    let (fifo, mode) = (folder.path().join("x.rego"), 0o644.into());
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(matches!(
        Policies::load(&of(folder.path())),
        Err(Error::Unfit { .. })
    ));
    // A link further up leads outside as well.
    let outside = Folder::new("outside", &[]);
    fs::create_dir(outside.path().join("policy")).unwrap();
    let above = folder.path().join("above");
    symlink(outside.path(), &above).unwrap();
    assert!(matches!(
        Policies::load(&of(&above.join("policy"))),
        Err(Error::Unfit { .. })
    ));
    let missing = folder.path().join("missing");
    assert!(matches!(
        Policies::load(&of(&missing)),
        Err(Error::Unreadable { .. })
    ));
    let large = Folder::new("large", &[("x.rego", &"# x\n".repeat(300_000))]);
    assert!(matches!(
        Policies::load(&of(large.path())),
        Err(Error::Unfit { .. })
    ));
}

#[test]
fn deep_and_strange_policies_are_mistakes_not_crashes() {
    for text in [
        format!(
            "package a\nx := {}1{}\n",
            "[".repeat(5000),
            "]".repeat(5000)
        ),
        format!("package a\nx := {}1\n", "-\n".repeat(50_000)),
        format!("package a\nx if {}true\n", "not ".repeat(5000)),
        format!("package a{}\n", ".b".repeat(5000)),
        "package a\nx := \"\u{0}\n".to_owned(),
        String::new(),
        "\u{feff}".to_owned(),
    ] {
        let start: String = text.chars().take(30).collect();
        assert!(load("strange", None, None, Some(&text)).is_err(), "{start}");
    }
}

#[test]
fn what_is_just_within_the_bounds_does_not_exhaust_the_stack() {
    for (value, condition) in [
        ("1 + ".repeat(110) + "1", "true".to_owned()),
        ("-".repeat(20) + "1", "true".to_owned()),
        ("[".repeat(23) + "1" + &"]".repeat(23), "true".to_owned()),
        ("input".to_owned() + &".b".repeat(110), "true".to_owned()),
        ("1".to_owned(), "1 == 1 | ".repeat(50) + "1"),
        (
            "((((1 - 1) + 1) - 1) + 1)".to_owned(),
            "x".to_owned() + &"[0]".repeat(20),
        ),
    ] {
        let text = format!("package agentguard.exec.own\nx := {value} if {{ {condition} }}\n");
        // Whether it is a policy is for the engine to say, as long as it says so.
        if let Ok(policies) = load("within", None, None, Some(&text)) {
            assert_eq!(say(&policies, &["ls"]), "allow programs/known");
        }
    }
}

#[test]
fn digests_follow_content() {
    let a = load("digest", None, Some(DENY_MAKE), None)
        .unwrap()
        .digests();
    let b = load("digest", None, Some(ASK_MAKE), None)
        .unwrap()
        .digests();
    assert_eq!(
        a.iter().map(|one| one.tier).collect::<Vec<_>>(),
        [Tier::User, Tier::Shipped]
    );
    assert_ne!(a[0], b[0]);
    assert_eq!(a[1], b[1]);
}

fn confined(name: &str, org: Option<&str>, repository: &str) -> Result<Confined, Error> {
    let text = format!("package agentguard.sandbox\n{repository}\n");
    let policies = load(name, org, None, Some(&text))?;
    policies.confine(&request())
}

#[test]
fn a_lower_tier_grants_nothing_and_takes_away() {
    let more = "read contains \"/root\"\nread contains \"/usr/bin\"\nwrite contains \"/usr/lib\"
home_write contains \".ssh\"\nhome_read contains \".cargo/bin\"
environment contains \"PATH\"\nenvironment contains \"AWS_*\"\nenvironment contains \"LC_ALL\"
ports contains 22\nnetwork contains \"host\"\nsockets contains \"/run/x\"\nhosts contains \"a.example.org\"\nprocesses contains 100\nprocesses contains 9999999
masks contains \"/usr/bin/secret\"\nmasks contains \"/root/x\"\npins contains \"src/keys\"
require_level contains \"no-namespaces\"\nrequire_evidence contains \"event\"
require_approval contains \"signed\"";
    let confined = confined("grants", None, more).unwrap();
    let one = confined.confinement;
    let grants: Vec<_> = one
        .grants
        .iter()
        .map(|g| (g.path.to_str().unwrap(), g.access))
        .collect();
    assert_eq!(
        grants,
        [("/usr/bin", Access::Read), ("/usr/lib", Access::Read)]
    );
    let home: Vec<_> = one
        .home_grants
        .iter()
        .map(|g| (g.path.to_str().unwrap(), g.access))
        .collect();
    assert_eq!(home, [(".cargo/bin", Access::Read)]);
    assert_eq!(one.environment, ["LC_ALL", "PATH"]);
    assert_eq!((one.ports.len(), one.network), (0, Network::Isolated));
    assert!(one.sockets.is_empty() && one.hosts.is_empty());
    assert_eq!(one.limits.processes, 100);
    assert!(one.masks.contains(&PathBuf::from("/usr/bin/secret")));
    assert!(!one.masks.contains(&PathBuf::from("/root/x")));
    assert!(
        one.pins.contains(&PathBuf::from("src/keys"))
            && one.pins.contains(&PathBuf::from(".git/hooks"))
    );
    assert_eq!(confined.require_level, Level::NoNamespaces);
    assert_eq!(confined.require_evidence, Evidence::Event);
    assert_eq!(confined.require_approval, Evidence::Signed);
}

#[test]
fn a_socket_is_granted_where_all_tiers_grant_it() {
    let text = |paths: &[&str]| {
        let lines = paths
            .iter()
            .map(|path| format!("sockets contains {path:?}\n"));
        format!("package agentguard.sandbox\n{}", lines.collect::<String>())
    };
    let (org, lower) = (text(&["/run/a", "/run/b"]), text(&["/run/b", "/run/c"]));
    let granted = |name, lower: Option<&str>| {
        let policies = load(name, Some(&org), None, lower).unwrap();
        policies.confine(&request()).unwrap().confinement.sockets
    };
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(granted("one-socket", Some(&lower)), paths(&["/run/b"]));
    assert_eq!(granted("two-sockets", None), paths(&["/run/a", "/run/b"]));
}

#[test]
fn a_credential_is_granted_where_all_tiers_grant_it() {
    let text = |names: &[&str]| {
        let lines = names
            .iter()
            .map(|name| format!("credentials contains {name:?}\n"));
        format!("package agentguard.sandbox\n{}", lines.collect::<String>())
    };
    let (org, lower) = (text(&["github", "openai"]), text(&["openai", "npm"]));
    let granted = |name, org: &str, lower: Option<&str>| {
        let policies = load(name, Some(org), None, lower).unwrap();
        let confined = policies.confine(&request());
        confined.map(|confined| confined.confinement.credentials)
    };
    let words = |names: Vec<agentguard_core::CredentialName>| {
        names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let one = granted("one-credential", &org, Some(&lower)).unwrap();
    assert_eq!(words(one), ["openai"]);
    let two = granted("two-credentials", &org, None).unwrap();
    assert_eq!(words(two), ["github", "openai"]);
    for bad in ["*", "GitHub", "a/b", ""] {
        assert!(
            granted("no-credential", &text(&[bad]), None).is_err(),
            "{bad}"
        );
    }
    let lower_only = confined("credentials", None, "credentials contains \"github\"").unwrap();
    assert!(lower_only.confinement.credentials.is_empty());
}

#[test]
fn a_host_is_granted_where_all_tiers_grant_it_and_then_there_is_a_gate() {
    let place = |port: u16| format!("{{\"host\": \"a.example.org\", \"at\": \"10.0.0.5:{port}\"}}");
    let text = |hosts: &[&str], at: &str| {
        let hosts = hosts
            .iter()
            .map(|host| format!("hosts contains {host:?}\n"));
        let hosts = hosts.collect::<String>();
        format!("package agentguard.sandbox\n{hosts}addresses contains {at}\n")
    };
    let org = text(&["**.example.org", "b.example.com:8443"], &place(1));
    let lower = |hosts: &[&str], port| text(hosts, &place(port));
    let granted = |name, lower: Option<&str>, network| {
        let policies = load(name, Some(&org), None, lower).unwrap();
        let mut wants = request();
        wants.network = network;
        let confined = policies.confine(&wants);
        confined.map(|confined| confined.confinement)
    };
    let words = |hosts: &[HostGrant]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let alone = granted("hosts", None, None).unwrap();
    assert_eq!(alone.network, Network::Gated);
    assert_eq!(
        words(&alone.hosts),
        ["b.example.com:8443", "**.example.org"]
    );
    assert_eq!(alone.addresses.len(), 1);
    let both = lower(&["a.example.org", "b.example.com"], 2);
    let both = granted("fewer-hosts", Some(&both), None).unwrap();
    assert_eq!(both.network, Network::Gated);
    assert_eq!(words(&both.hosts), ["a.example.org"]);
    assert!(both.addresses.is_empty(), "{:?}", both.addresses);
    let none = lower(&["c.example.net"], 1);
    let none = granted("no-hosts", Some(&none), None).unwrap();
    assert_eq!((none.network, none.hosts.len()), (Network::Isolated, 0));
    let host = granted("hosts-network", None, Some(Network::Host)).unwrap();
    assert_eq!((host.network, host.hosts.len()), (Network::Host, 0));
    let alone = granted("hosts-alone", None, Some(Network::Isolated)).unwrap();
    assert_eq!((alone.network, alone.hosts.len()), (Network::Isolated, 0));
    assert!(alone.addresses.is_empty());
}

#[test]
fn what_is_private_is_for_the_highest_tier_to_say() {
    let org =
        "package agentguard.sandbox\nprivate contains \"email\"\nprivate contains \"/users/*\"\n";
    let found = confined("private", Some(org), "private contains \"hidden\"").unwrap();
    assert_eq!(found.private, ["/users/*", "email"]);
    let found = confined("private-alone", None, "private contains \"hidden\"").unwrap();
    assert_eq!(found.private, [""; 0]);
}

#[test]
fn a_host_is_not_inspected_where_all_tiers_say_so() {
    names_are_those_of_all_tiers("uninspected", |confinement| &confinement.uninspected);
}

#[test]
fn a_slash_is_in_a_segment_where_all_tiers_say_so() {
    names_are_those_of_all_tiers("escaped_slashes", |confinement| {
        &confinement.escaped_slashes
    });
}

#[test]
fn a_host_is_spoken_with_where_all_tiers_say_so() {
    names_are_those_of_all_tiers("conversations", |confinement| &confinement.conversations);
}

#[test]
fn what_ends_a_session_is_what_any_tier_says() {
    let text = "package agentguard.sandbox\nends_on contains \"credential/misplaced\"\n";
    let nothing = "package agentguard.sandbox\n";
    for (name, org, lower) in [
        ("ends-org", text, nothing),
        ("ends-lower", nothing, text),
        ("ends-both", text, text),
    ] {
        let policies = load(name, Some(org), None, Some(lower)).unwrap();
        let confined = policies.confine(&request()).unwrap().confinement;
        let ids = confined.ends_on.iter().map(ToString::to_string);
        assert_eq!(ids.collect::<Vec<_>>(), ["credential/misplaced"], "{name}");
    }
}

fn names_are_those_of_all_tiers(
    word: &str,
    of: fn(&agentguard_core::Confinement) -> &Vec<agentguard_core::HostName>,
) {
    let text = |names: &[&str]| {
        let names = names
            .iter()
            .map(|name| format!("{word} contains {name:?}\n"));
        let names = names.collect::<String>();
        format!("package agentguard.sandbox\nhosts contains \"*.example.org\"\n{names}")
    };
    let said = |name, org: &[&str], lower: Option<&[&str]>| {
        let lower = lower.map(text);
        let policies = load(name, Some(&text(org)), None, lower.as_deref()).unwrap();
        let confined = policies.confine(&request()).unwrap().confinement;
        let names = of(&confined).iter().map(ToString::to_string);
        names.collect::<Vec<_>>()
    };
    let both = ["a.example.org", "b.example.org"];
    assert_eq!(said(word, &both, None), both);
    let lower: &[&str] = &["b.example.org", "c.example.org"];
    assert_eq!(
        said(&format!("fewer-{word}"), &both, Some(lower)),
        ["b.example.org"]
    );
}

#[test]
fn no_flag_lowers_what_is_required_and_what_is_asked_for_is_not_raised_in_silence() {
    let text = "package agentguard.sandbox\nrequire_level contains \"full\"\n";
    let policies = load("level", Some(text), None, None).unwrap();
    let mut wants = request();
    wants.level = Level::OldKernel;
    let confined = policies.confine(&wants).unwrap();
    assert_eq!(
        (confined.require_level, confined.confinement.level),
        (Level::Full, Level::OldKernel)
    );
}

#[test]
fn what_is_no_confinement_is_an_error() {
    for wrong in [
        "read contains \"relative\"",
        "read contains \"/a/../b\"",
        "read contains 1",
        "pins contains \"/absolute\"",
        "pins contains \"../x\"",
        "pins contains \"\"",
        "masks contains \"/x/*\"",
        "ports contains \"80\"",
        "sockets contains \"run/x\"",
        "hosts contains \"*.com\"",
        "hosts contains \"https://a.example.org\"",
        "hosts contains \"127.0.0.1:80\"",
        "hosts contains \"169.254.169.254\"",
        "uninspected contains \"*.example.org\"",
        "escaped_slashes contains \"**.example.org\"",
        "conversations contains \"*.example.org\"",
        "ends_on contains \"credential/revoked\"",
        "uninspected contains \"203.0.113.7\"",
        "uninspected contains \"a.example.org:443\"",
        "addresses contains \"a.example.org\"",
        "addresses contains {\"host\": \"a.example.org\", \"at\": \"b.example.org\"}",
        "addresses contains {\"host\": \"a.example.org\", \"at\": \"169.254.169.254\"}",
        "addresses contains {\"host\": \"a.example.org\", \"at\": \"10.0.0.5\", \"port\": 1}",
        "processes contains 1.5",
        "processes contains 0 - 1",
        "network contains \"lan\"",
        "require_level contains \"most\"",
        "require_evidence contains \"strong\"",
        "require_approval contains \"strong\"",
        "environment contains \"A B\"",
        "environment contains \"*\"",
        "variables contains \"A=1\"",
        "variables contains {\"name\": \"A B\", \"value\": \"1\"}",
        "variables contains {\"name\": \"A\"}",
        "variables contains {\"name\": \"A\", \"value\": 1}",
        "variables contains {\"name\": \"A\", \"value\": \"1\", \"more\": \"\"}",
        "variables contains {\"name\": \"A\", \"value\": v} if some v in {\"1\", \"2\"}",
        "variables contains {\"name\": \"PATH\", \"value\": \"/x\"}",
        "variables contains {\"name\": \"AGENTGUARD_SESSION\", \"value\": \"x\"}",
        "arguments contains \"--word\"",
        "arguments contains [1]",
        "mute contains \"a/path\"",
        "private contains \"\"",
        "private contains \"/users\"",
        "switched_off contains x if some x in {\"x\"}",
        "covered contains x if some x in {\"x\"}",
        "read contains no_function(1)",
    ] {
        let rules = format!("masks contains \"/x\"\n{wrong}");
        let error = confined("wrong", None, &rules)
            .err()
            .unwrap_or_else(|| panic!("{wrong}"));
        // What cannot be evaluated is nowhere in particular.
        let is_placed = matches!(error.mistakes().as_slice(), [one] if one.file.ends_with("own.rego") && one.line == 3);
        let is_no_rule = matches!(error, Error::Unconfined { .. }) && wrong.contains("no_function");
        assert!(is_placed || is_no_rule, "{wrong}: {error}");
    }
}

/// Of several rules that write the same set, the one that says it.
#[test]
fn what_makes_no_confinement_is_shown_where_it_is_written() {
    let rules = "read contains \"/a\"\nread contains \"../b\"\nhosts contains \"a.org\"\nhosts contains \"*.com\"";
    for (left, line) in [(rules, 3), (&rules.replace("../b", "/b"), 5)] {
        let error = confined("written", None, left).err().unwrap();
        let lines: Vec<_> = error.mistakes().iter().map(|one| one.line).collect();
        assert_eq!(lines, [line], "{error}");
    }
}
