//! What a session stands on, tried on real directories and a real log.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use agentguard_audit::{Author, Entries, Keys, Places, SessionLog};
use agentguard_core::{
    Action, Agent, AgentName, Digest, Enforcement, Event, Evidence, Exec, Human, Index, Level,
    OutcomeOf, Program, ProgramClass, Session, SessionId, Start, Trigger, TriggerKind,
};
use agentguard_credentials::AgentKey;
use agentguard_policy::{Policies, Request, SessionJudge, Sources};

use crate::approvals::{Book, Signers};
use crate::record::{Beginning, SessionRecord};
use crate::supervise::session_gate;
use crate::{SystemClock, workspace};

mod lending;
mod vectors;

/// A directory of a test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("agentguard-facade-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(workspace::real(&path))
    }

    fn make(&self, directory: &str) -> PathBuf {
        let path = self.0.join(directory);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn places(&self) -> Places {
        Places {
            state: self.0.join("state"),
            config: self.0.join("config"),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Policies that are read are evaluated by this program, started again.
#[test]
fn agentguard_evaluator_entry() {
    let _ = agentguard_policy::evaluate_if_asked();
}

#[test]
fn a_policy_that_cannot_be_read_is_not_taken_for_none() {
    let scratch = Scratch::new();
    let places = scratch.places();
    let workspace = scratch.make("workspace");
    let sources = || crate::arrange::sources(&places, None, &workspace).unwrap();
    let of_user = scratch.make("config").join("policy");
    assert_eq!((sources().user, sources().repository), (None, None));
    symlink("nowhere", &of_user).unwrap();
    assert_eq!(sources().user, Some(of_user));
    fs::write(workspace.join(".agentguard"), "").unwrap();
    let of_repository = Some(workspace.join(".agentguard/policy"));
    assert_eq!(sources().repository, of_repository);
    assert!(Policies::load(&sources()).is_err());
}

#[test]
fn sessions_that_begin_at_once_all_keep_their_policies() {
    let scratch = Scratch::new();
    let sources = Sources {
        org: None,
        user: None,
        repository: None,
    };
    let policies = Policies::load(&sources).unwrap();
    for round in 0..30 {
        let logs = scratch.make(&format!("{round}"));
        let kept: Vec<_> = (0..8)
            .map(|one| scratch.make(&format!("{round}/sessions/{one}")))
            .collect();
        std::thread::scope(|scope| {
            for directory in &kept {
                scope.spawn(|| crate::bundle::keep(directory, &policies).unwrap());
            }
        });
        for directory in kept {
            let text = fs::read_to_string(directory.join("policy.json")).unwrap();
            assert_eq!(text, policies.bundle());
        }
        assert_eq!(fs::read_dir(logs.join("policies")).unwrap().count(), 1);
    }
}

#[test]
fn what_holds_keys_a_home_or_the_system_is_no_workspace() {
    let scratch = Scratch::new();
    let home = scratch.make("home");
    scratch.make("state/log");
    let link = scratch.0.join("link");
    symlink(&home, &link).unwrap();
    let inside = scratch.0.join("state/log");
    for refused in [
        Path::new("/"),
        Path::new("/usr/bin"),
        &home,
        &link,
        &scratch.0,
        &scratch.0.join("state"),
        &inside,
    ] {
        let resolved = workspace::resolve(refused, &home, &scratch.places());
        assert!(resolved.is_err(), "{}", refused.display());
    }
    let project = scratch.make("home/src/project");
    assert_eq!(
        workspace::resolve(&project, &home, &scratch.places()).unwrap(),
        project
    );
    symlink(&project, scratch.0.join("by-link")).unwrap();
    assert_eq!(
        workspace::resolve(&scratch.0.join("by-link"), &home, &scratch.places()).unwrap(),
        project
    );
}

#[test]
fn repositories_are_found_without_following_links() {
    let scratch = Scratch::new();
    let project = scratch.make("project");
    let none = workspace::GitDirectories::default();
    assert_eq!(workspace::git_directories(&project).unwrap(), none);
    let elsewhere = scratch.make("elsewhere");
    symlink(&elsewhere, project.join(".git")).unwrap();
    assert_eq!(workspace::git_directories(&project).unwrap(), none);
    fs::remove_file(project.join(".git")).unwrap();
    for repository in [
        ".git",
        ".git/modules/a",
        ".git/modules/deep/b",
        ".git/modules/a/modules/c",
    ] {
        fs::create_dir_all(project.join(repository)).unwrap();
        fs::write(
            project.join(repository).join("HEAD"),
            "ref: refs/heads/main\n",
        )
        .unwrap();
    }
    symlink(&elsewhere, project.join(".git/modules/link")).unwrap();
    let found: BTreeSet<_> = workspace::git_directories(&project)
        .unwrap()
        .own
        .into_iter()
        .collect();
    let expected = [
        ".git",
        ".git/modules/a",
        ".git/modules/a/modules/c",
        ".git/modules/deep/b",
    ];
    assert_eq!(found, expected.iter().map(PathBuf::from).collect());
}

/// Linked work trees: git's directory, what that names, the work tree, what that names. `/` is where the project is.
const LINKED: [(&str, &str, &str, &str); 9] = [
    ("by-path", "/a/.git", "a", "/.git/worktrees/by-path"),
    (
        "relative",
        "../../../b/c/.git",
        "b/c",
        "../../.git/worktrees/relative",
    ),
    ("by-turns", "/a/../h/.git", "h", "/.git/worktrees/by-turns"),
    // Of these no two name each other, or by a link only.
    (
        "elsewhere",
        "/../elsewhere/.git",
        "d",
        "/.git/worktrees/elsewhere",
    ),
    ("of-another", "/e/.git", "e", "/.git/worktrees/by-path"),
    ("above", "../../../../f/.git", "f", "/.git/worktrees/above"),
    ("by-link", "/link/g/.git", "g", "/.git/worktrees/by-link"),
    ("no-git", "/i", "i", "/.git/worktrees/no-git"),
    ("gone", "/nowhere/.git", "j", "/.git/worktrees/gone"),
];

#[test]
fn a_linked_work_tree_is_the_workspaces_own_where_it_and_git_say_so() {
    let scratch = Scratch::new();
    let project = scratch.make("project");
    let named = |path: &str| match path.starts_with('/') {
        true => format!("{}{path}\n", project.display()),
        false => format!("{path}\n"),
    };
    for (name, gitdir, tree, pointer) in LINKED {
        let directory = scratch.make(&format!("project/.git/worktrees/{name}"));
        fs::write(directory.join("gitdir"), named(gitdir)).unwrap();
        let tree = scratch.make(&format!("project/{tree}"));
        fs::write(tree.join(".git"), format!("gitdir: {}", named(pointer))).unwrap();
    }
    symlink(&project, project.join("link")).unwrap();
    scratch.make("project/.git/worktrees/empty");
    let module = scratch.make("project/.git/worktrees/by-path/modules/deep/sub");
    fs::write(module.join("HEAD"), "").unwrap();
    let found = workspace::git_directories(&project).unwrap();
    let linked = |name: &str| PathBuf::from(".git/worktrees").join(name);
    let (own, others) = LINKED.split_at(3);
    assert_eq!(found.own[0], Path::new(".git"));
    let set = |paths: &[PathBuf]| paths.iter().cloned().collect::<BTreeSet<_>>();
    let own = own.iter().map(|(name, ..)| linked(name));
    let expected = own.chain([linked("by-path/modules/deep/sub")]).collect();
    assert_eq!(set(&found.own[1..]), expected);
    let others = others.iter().map(|(name, ..)| linked(name));
    assert_eq!(
        set(&found.others),
        others.chain([linked("empty")]).collect()
    );
}

#[test]
fn where_git_finds_no_repository_inside_it_is_said() {
    let scratch = Scratch::new();
    let home = scratch.make("home");
    let said = |path: &str| {
        let rule = workspace::without_git(&scratch.0.join(path), &home);
        rule.map(|rule| rule.reason)
    };
    scratch.make("home/.git");
    let repository = scratch.make("home/project/.git");
    scratch.make("home/project/a/b");
    scratch.make("home/other/c");
    assert_eq!(said("home/project"), None);
    let below = said("home/project/a/b").unwrap();
    let top = repository.parent().unwrap().display().to_string();
    assert!(below.contains(&format!("`--workspace {top}`")), "{below}");
    // The home may be one, for settings: no workspace is.
    assert_eq!(said("home/other/c"), None);
    let tree = scratch.make("home/tree");
    for (pointer, is_said) in [
        ("../project/.git/worktrees/w", true),
        ("/nowhere", true),
        ("./sub/.git", false),
    ] {
        fs::write(tree.join(".git"), format!("gitdir: {pointer}\n")).unwrap();
        assert_eq!(said("home/tree").is_some(), is_said, "{pointer}");
    }
}

/// A session that is recorded, without anything that runs.
struct Recorded {
    scratch: Scratch,
    record: SessionRecord,
    judge: SessionJudge,
    confined: agentguard_policy::Confined,
    directory: PathBuf,
}

fn recorded(evidence: Evidence, requires: Option<&str>) -> Recorded {
    let scratch = Scratch::new();
    let key = AgentKey::load_or_create(&scratch.places().state, &AgentName::parse("ci-7").unwrap())
        .unwrap();
    let session = session(key.agent(), evidence, &scratch.make("project"));
    let user = requires.map(|rule| {
        let directory = scratch.make("policy");
        let text = format!("package agentguard.sandbox\n\nrequire_evidence contains \"{rule}\"\n");
        fs::write(directory.join("requires.rego"), text).unwrap();
        directory
    });
    let policies = Policies::load(&Sources {
        org: None,
        user,
        repository: None,
    })
    .unwrap();
    let confined = policies.confine(&request(&session, &scratch)).unwrap();
    let author = Author {
        session: session.id.clone(),
        agent: session.agent.name.clone(),
        human: session.human.id.clone(),
        evidence,
    };
    let log = SessionLog::create(&scratch.places(), author, Arc::new(SystemClock)).unwrap();
    let directory = log.directory().to_owned();
    let judge = policies.judge(session);
    let beginning = Beginning {
        key,
        policies,
        confined: confined.clone(),
        refs: vec!["refs/heads/main 00".to_owned()],
        forcing: None,
        off: Vec::new(),
    };
    let record = SessionRecord::new(log, beginning);
    Recorded {
        scratch,
        record,
        judge,
        confined,
        directory,
    }
}

fn session(agent: Agent, evidence: Evidence, workspace: &Path) -> Session {
    Session {
        id: SessionId::from_random([9; 16]),
        human: Human {
            id: "github:583231".to_owned(),
            login: "ada".to_owned(),
            evidence,
            via: Vec::new(),
        },
        agent,
        trigger: Trigger {
            kind: TriggerKind::Github,
            event: "issues".to_owned(),
            reference: "run 7".to_owned(),
            requested: true,
            facts: Vec::new(),
        },
        workspace: workspace.display().to_string(),
        branch: None,
    }
}

fn request(session: &Session, scratch: &Scratch) -> Request {
    Request {
        session: session.clone(),
        human_home: scratch.0.join("home"),
        home: scratch.0.join("home"),
        profile: None,
        command: vec!["true".to_owned()],
        level: Level::Full,
        network: None,
        ports: Vec::new(),
        environment: Vec::new(),
        git_directories: Vec::new(),
        other_git_directories: Vec::new(),
    }
}

fn exec(path: &str, argv: &[&str]) -> Action {
    Action::Exec(Exec {
        program: Program {
            path: path.to_owned(),
            sha256: Digest::of(path.as_bytes()),
            class: ProgramClass::System,
        },
        script: None,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: "/".to_owned(),
        environment: std::collections::BTreeMap::new(),
        caller: "/bin/sh".to_owned(),
    })
}

impl Recorded {
    fn start(&self, session: &Session) -> Result<(), agentguard_core::Refusal> {
        let start = Start {
            session: session.clone(),
            confinement: self.confined.confinement.clone(),
            command: vec!["make".to_owned()],
            enforcement: Enforcement::Policy,
            profile: None,
            switched_off: Vec::new(),
        };
        self.admit(Action::Session(Box::new(start))).map(|_| ())
    }

    fn admit(&self, action: Action) -> Result<Index, agentguard_core::Refusal> {
        let policy = (&self.judge, &self.confined);
        let nobody = std::time::Duration::ZERO;
        let places = self.scratch.places();
        let signing = (Signers::read(&places).unwrap(), Evidence::None);
        let book = Book::new(places, self.session(), Vec::new(), nobody, signing);
        let gate = session_gate(policy, Enforcement::Policy, &self.record, &book);
        gate.admit(self.judge.question(action))
            .map(|permit| permit.spend().1)
    }

    fn session(&self) -> Session {
        let key = AgentKey::load_or_create(
            &self.scratch.places().state,
            &AgentName::parse("ci-7").unwrap(),
        )
        .unwrap();
        session(
            key.agent(),
            Evidence::Asserted,
            &self.scratch.0.join("project"),
        )
    }
}

fn entries(directory: &Path) -> Vec<Event> {
    Entries::open(directory)
        .unwrap()
        .map(|entry| entry.unwrap().entry.event)
        .collect()
}

#[test]
fn a_session_without_the_evidence_that_policy_requires_is_refused_and_recorded() {
    let recorded = recorded(Evidence::Asserted, Some("oidc"));
    let refusal = recorded.start(&recorded.session()).unwrap_err();
    assert_eq!(refusal.rule().id.as_str(), "session/evidence");
    let events = entries(&recorded.directory);
    assert!(
        matches!(&events[..], [Event::Start { ruling, .. }] if !ruling.is_allow()),
        "{events:?}"
    );
}

#[test]
fn the_same_refusal_again_is_counted_and_not_written_out() {
    let recorded = recorded(Evidence::Asserted, None);
    recorded.start(&recorded.session()).unwrap();
    let first = recorded
        .admit(exec("/usr/bin/sudo", &["sudo", "id"]))
        .unwrap_err()
        .index()
        .unwrap();
    for _ in 0..6 {
        let again = recorded
            .admit(exec("/usr/bin/sudo", &["sudo", "id"]))
            .unwrap_err();
        assert_eq!(again.index(), Some(first));
    }
    let other = recorded
        .admit(exec("/usr/bin/sudo", &["sudo", "whoami"]))
        .unwrap_err();
    assert_ne!(other.index(), Some(first));
    let Recorded {
        record,
        directory,
        scratch,
        ..
    } = recorded;
    let tally = record.end(OutcomeOf::Exited { code: 0 }).unwrap();
    assert_eq!((tally.allowed, tally.refused), (0, 8));
    let events = entries(&directory);
    let mut repeats = 0;
    for event in &events {
        if let Event::Repeat { of, count } = event {
            assert_eq!(*of, first.0);
            repeats += count;
        }
    }
    assert_eq!(repeats, 6);
    let report =
        crate::verify_session(&directory, &Keys::pinned(&scratch.places()).unwrap()).unwrap();
    assert!(report.is_verified(), "{report:?}");
}

#[test]
fn a_session_signed_by_another_agent_does_not_verify() {
    let recorded = recorded(Evidence::Asserted, None);
    let mut session = recorded.session();
    session.agent.key = session.agent.key.replace("ci-7", "ci-8");
    recorded.start(&session).unwrap();
    let Recorded {
        record,
        directory,
        scratch,
        ..
    } = recorded;
    record.end(OutcomeOf::Exited { code: 0 }).unwrap();
    let report =
        crate::verify_session(&directory, &Keys::pinned(&scratch.places()).unwrap()).unwrap();
    assert!(!report.is_verified());
}
