//! What rules see, for example: every field is there. `docs/policy.md` shows it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use agentguard_core::ssh::fingerprint_of;
use agentguard_core::{
    Access, Action, AddressClass, Agent, AgentName, Api, Confinement, Connect, CredentialName,
    Digest, Enforcement, Evidence, Exec, FileChange, FileKind, Grant, GraphqlField,
    GraphqlOperation, Held, HomeGrant, HostGrant, HostName, Human, Level, Limits, MadeBy, Making,
    Network, PathChange, PathChanged, Place, Program, ProgramClass, Push, PushedBy, PushedCommit,
    Reach, ReachedBy, RefUpdate, Rule, RuleId, Scheme, Session, SessionId, Start, Trigger,
    TriggerKind, ValueChange,
};
use serde::Serialize;
use serde_json::Value;

use crate::confine::{Input as Asked, Request};
use crate::input::{Facts, Input, SCHEMA};

/// The input of `agentguard.exec`: a push.
pub(crate) fn exec() -> Value {
    of_exec(Exec {
        program: program("/usr/bin/git", ProgramClass::System),
        script: None,
        argv: words(&[
            "git",
            "-c",
            "core.pager=cat",
            "push",
            "-f",
            "origin",
            "HEAD:agent/fix",
        ]),
        cwd: "/home/ann/work".to_owned(),
        environment: BTreeMap::from([("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned())]),
        caller: "/usr/bin/bash".to_owned(),
    })
}

/// The same of a script.
pub(crate) fn exec_of_script() -> Value {
    of_exec(Exec {
        program: program("/usr/bin/bash", ProgramClass::System),
        script: Some(program(
            "/home/ann/work/tools/push",
            ProgramClass::Workspace,
        )),
        argv: words(&["/bin/bash", "tools/push", "origin"]),
        cwd: "/home/ann/work".to_owned(),
        environment: BTreeMap::new(),
        caller: "/usr/bin/bash".to_owned(),
    })
}

/// The input of `agentguard.file`: a hook that is moved into a repository.
pub(crate) fn file() -> Value {
    let making = Making {
        by: MadeBy::Rename,
        path: "vendor/lib/.git/hooks/post-merge".to_owned(),
        place: "**/.git/hooks/*".to_owned(),
        from: Some("hook".to_owned()),
        caller: "/usr/bin/mv".to_owned(),
    };
    a_session().map_or(Value::Null, |session| of(&Action::File(making), &session))
}

/// The input of `agentguard.connect`: a call to an ssh agent.
pub(crate) fn connect() -> Value {
    let connect = Connect {
        path: "/run/user/1000/ssh-agent".to_owned(),
        granted: true,
        caller: "/usr/bin/ssh-add".to_owned(),
    };
    a_session().map_or(Value::Null, |session| {
        of(&Action::Connect(connect), &session)
    })
}

/// The input of `agentguard.reach`: the machine that tells a cloud's guests who they are.
pub(crate) fn reach() -> Value {
    let reach = Reach {
        by: ReachedBy::Connect,
        host: "169.254.169.254".to_owned(),
        port: Some(80),
        class: Some(AddressClass::Metadata),
        granted: false,
        caller: "/usr/bin/curl".to_owned(),
        caller_sha256: Some(Digest::of(b"curl")),
    };
    a_session().map_or(Value::Null, |session| of(&Action::Reach(reach), &session))
}

/// The input of `agentguard.api`: an issue is written.
pub(crate) fn api() -> Value {
    of_api(an_issue())
}

/// The same in GraphQL.
pub(crate) fn api_of_graphql() -> Value {
    of_api(Api {
        path: words(&["graphql"]),
        graphql: Some(vec![GraphqlField {
            operation: GraphqlOperation::Mutation,
            field: "addComment".to_owned(),
            arguments: BTreeMap::from([(
                "input".to_owned(),
                serde_json::json!({"body": "it is fixed", "subjectId": "I_1"}),
            )]),
        }]),
        pushes: false,
        ..an_issue()
    })
}

/// The same as a form, with a file.
pub(crate) fn api_of_form() -> Value {
    let file =
        serde_json::json!({"filename": "log", "content_type": "text/plain", "content": "it fails"});
    of_api(Api {
        body: None,
        form: Some(serde_json::json!({"title": ["it fails on Tuesdays"], "log": [file]})),
        ..an_issue()
    })
}

/// The input of `agentguard.api`: a WebSocket is asked for.
pub(crate) fn api_of_upgrade() -> Value {
    of_api(Api {
        method: "CONNECT".to_owned(),
        upgrade: Some("websocket".to_owned()),
        body: None,
        ..an_issue()
    })
}

fn an_issue() -> Api {
    let one = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Api {
        scheme: Scheme::Https,
        host: "api.github.com".to_owned(),
        port: 443,
        method: "POST".to_owned(),
        path: words(&["repos", "o", "r", "issues"]),
        query: BTreeMap::from([("per_page".to_owned(), words(&["10"]))]),
        headers: BTreeMap::from([
            one("accept", "application/vnd.github+json"),
            one("content-type", "application/json"),
        ]),
        upgrade: None,
        body: Some(serde_json::json!({"title": "it fails on Tuesdays"})),
        form: None,
        body_seen: true,
        graphql: None,
        pushes: false,
        ssh: false,
        address: "140.82.121.6".to_owned(),
        class: AddressClass::Public,
        caller: "/usr/bin/gh".to_owned(),
        caller_sha256: Some(Digest::of(b"gh")),
        credentials: CredentialName::parse("github").into_iter().collect(),
    }
}

fn of_api(api: Api) -> Value {
    a_session().map_or(Value::Null, |session| {
        of(&Action::Api(Box::new(api)), &session)
    })
}

/// The verifier key of its agent.
const KEY: &str = "ci-7+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// The input of `agentguard.push`: a branch comes into being.
pub(crate) fn push() -> Value {
    let new = "3b18e512dba79e4c8300dd08aeb37f8e728b8dad".to_owned();
    let new_commit = new.clone();
    let branch = "refs/heads/agent/ci-7/07070707/fix";
    let push = Push {
        by: PushedBy::Git,
        host: "github.com".to_owned(),
        port: 443,
        repository: words(&["o", "r"]),
        refs: RefUpdate::new(None, Some(new), branch)
            .into_iter()
            .collect(),
        commits: vec![PushedCommit {
            id: new_commit.clone(),
            author: "ann@example.org".to_owned(),
            committer: "agent@example.org".to_owned(),
            parents: 1,
            signed: true,
            signer: fingerprint_of(KEY),
            sessions: vec!["07".repeat(16)],
        }],
        paths: vec![PathChange {
            path: "src/lib.rs".to_owned(),
            change: PathChanged::Changed,
            mode: Some("100644".to_owned()),
            size: Some(2048),
        }],
        infrastructure: vec![FileChange {
            commit: new_commit,
            path: ".upsun/config.yaml".to_owned(),
            kind: Some(FileKind::Upsun),
            before: Some(serde_json::json!({"services": {"db": {"type": "postgresql:16.1"}}})),
            after: Some(serde_json::json!({"services": {"db": {"type": "postgresql:16.4"}}})),
            changes: vec![ValueChange {
                at: words(&["services", "db", "type"]),
                before: Some("postgresql:16.1".into()),
                after: Some("postgresql:16.4".into()),
            }],
            unread: None,
            unseen: None,
        }],
        unseen: None,
        merges: None,
        options: words(&["ci.skip"]),
        atomic: false,
        signed: false,
        caller: "/usr/lib/git-core/git-remote-http".to_owned(),
        caller_sha256: None,
        credentials: CredentialName::parse("github").into_iter().collect(),
    };
    of_push(push)
}

/// The same of what a request writes, and does not show.
pub(crate) fn written() -> Value {
    let unseen = "it does not name by its whole id what a ref is to point to".to_owned();
    let branch = "refs/heads/agent/ci-7/07070707/fix";
    of_push(by_rest(branch, (Some(unseen), None)))
}

/// The same of what a request merges.
pub(crate) fn merging() -> Value {
    let commit = "3b18e512dba79e4c8300dd08aeb37f8e728b8dad".to_owned();
    of_push(by_rest("refs/pull/7/merge", (None, Some(commit))))
}

fn by_rest(name: &str, (unseen, merges): (Option<String>, Option<String>)) -> Push {
    Push {
        by: PushedBy::Rest,
        host: "github.com".to_owned(),
        port: 443,
        repository: words(&["o", "r"]),
        refs: RefUpdate::new(None, Some("0".repeat(39) + "1"), name)
            .into_iter()
            .collect(),
        commits: Vec::new(),
        paths: Vec::new(),
        infrastructure: Vec::new(),
        unseen,
        merges,
        options: Vec::new(),
        atomic: false,
        signed: false,
        caller: "/usr/bin/gh".to_owned(),
        caller_sha256: None,
        credentials: Vec::new(),
    }
}

fn of_push(push: Push) -> Value {
    a_session().map_or(Value::Null, |session| {
        of(&Action::Push(Box::new(push)), &session)
    })
}

fn of_exec(exec: Exec) -> Value {
    a_session().map_or(Value::Null, |session| of(&Action::Exec(exec), &session))
}

fn program(path: &str, class: ProgramClass) -> Program {
    Program {
        path: path.to_owned(),
        sha256: Digest::of(path.as_bytes()),
        class,
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The input of `agentguard.session`.
pub(crate) fn session() -> Value {
    let Some(session) = a_session() else {
        return Value::Null;
    };
    let start = Start {
        session: session.clone(),
        confinement: confinement(),
        command: words(&["make", "test"]),
        enforcement: Enforcement::Policy,
        profile: Some("claude-code".to_owned()),
        switched_off: vec![Rule::new(
            "profile/own-sandbox",
            "the agent's own sandbox cannot be nested in this one",
        )],
    };
    of(&Action::Session(Box::new(start)), &session)
}

/// The input of `agentguard.sandbox`.
pub(crate) fn sandbox() -> Value {
    request().map_or(Value::Null, |request| value(&Asked::of(&request)))
}

/// What a session asks for that is an example.
pub(crate) fn request() -> Option<Request> {
    a_session().map(|session| Request {
        session,
        human_home: PathBuf::from("/home/ann"),
        home: PathBuf::from("/home/ann"),
        profile: Some("claude-code".to_owned()),
        command: words(&["claude", "--print", "fix it"]),
        level: Level::Full,
        network: None,
        ports: vec![8080],
        environment: vec!["MODEL_KEY".to_owned()],
        git_directories: vec![PathBuf::from(".git")],
        other_git_directories: vec![PathBuf::from(".git/worktrees/other")],
    })
}

fn of(action: &Action, session: &Session) -> Value {
    let facts = Facts::of(action, session);
    let mut input = value(&Input {
        schema: SCHEMA,
        action,
        facts: &facts,
    });
    if let Value::Object(input) = &mut input {
        input.insert("session".to_owned(), value(session));
    }
    input
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or(Value::Null)
}

/// A session, unless its name were none.
pub(crate) fn a_session() -> Option<Session> {
    Some(Session {
        id: SessionId::from_random([7; 16]),
        human: Human {
            id: "github:583231".to_owned(),
            login: "ann".to_owned(),
            evidence: Evidence::Event,
            via: vec!["github".to_owned()],
        },
        agent: Agent {
            name: AgentName::parse("ci-7").ok()?,
            key: KEY.to_owned(),
        },
        trigger: Trigger {
            kind: TriggerKind::Github,
            event: "issues".to_owned(),
            reference: "https://github.com/o/r/actions/runs/1".to_owned(),
            requested: true,
            facts: vec!["issue=12".to_owned()],
        },
        workspace: "/home/ann/work".to_owned(),
        branch: Some("topic".to_owned()),
    })
}

/// Of a host that is on no name server.
fn address() -> Option<(HostName, Place)> {
    let host = HostName::parse("packages.example.org").ok()?;
    Some((host, Place::parse("10.0.0.5:8443").ok()?))
}

fn confinement() -> Confinement {
    Confinement {
        level: Level::Full,
        network: Network::Gated,
        workspace: PathBuf::from("/home/ann/work"),
        grants: vec![Grant {
            path: PathBuf::from("/usr"),
            access: Access::Read,
        }],
        home: PathBuf::from("/home/ann"),
        home_grants: vec![HomeGrant {
            path: PathBuf::from(".cargo/bin"),
            access: Access::Read,
        }],
        masks: vec![PathBuf::from("/etc/shadow")],
        pins: vec![PathBuf::from(".git/hooks")],
        places: vec!["**/.git/hooks/*".to_owned()],
        fetched: vec!["**/node_modules/*".to_owned()],
        environment: vec!["PATH".to_owned()],
        variables: [("DISABLE_TELEMETRY".to_owned(), "1".to_owned())].into(),
        mute: words(&["opencode"]),
        ports: vec![8080],
        signs_commits: false,
        names_session: false,
        sockets: vec![PathBuf::from("/run/user/1000/ssh-agent")],
        hosts: HostGrant::parse("api.github.com").into_iter().collect(),
        addresses: address().into_iter().collect(),
        credentials: CredentialName::parse("github").into_iter().collect(),
        escaped_slashes: HostName::parse("gitlab.example.com").into_iter().collect(),
        conversations: HostName::parse("model.example.com").into_iter().collect(),
        ends_on: RuleId::parse("credential/misplaced").into_iter().collect(),
        uninspected: HostName::parse("pinned.example.com").into_iter().collect(),
        limits: Limits {
            processes: 4096,
            files: 65_536,
            temporary_bytes: 1 << 30,
            memory_bytes: Some(4 << 30),
            seconds: Some(3600),
            held: Held::Process,
        },
    }
}
