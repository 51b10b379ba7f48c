//! git over HTTPS with a token that was lent: it is sent unasked where it is bound, and what stands for it nowhere else.

use std::fs;
use std::io::{BufReader, Write as _};
use std::path::Path;
use std::sync::Mutex;

use agentguard::core::{Event, Level};
use base64ct::{Base64, Encoding as _};

use crate::forge;
use crate::lent::{Connection, Server, TOKEN, credential, granted, run};
use crate::pushes::Request;
use crate::scene::{Ran, Scene, as_everyone, level};
use crate::turned::leads_to_the_same_gate;

/// The branch that a session may push to.
const OWN: &str = "own=refs/heads/agent/$AGENTGUARD_AGENT/$(printf %.8s $AGENTGUARD_SESSION)/fix\n";

/// git's own server, which notes of each request its host, and who asks.
fn serve(connection: Connection, root: &Path, heads: &Mutex<Vec<String>>) {
    let mut connection = BufReader::new(connection);
    while let Some(request) = Request::read(&mut connection) {
        let header = |name| request.header(name).unwrap_or("none").to_owned();
        let head = format!(
            "{} {} {}",
            header("host"),
            request.path,
            header("authorization")
        );
        heads.lock().unwrap().push(head);
        let connection = connection.get_mut();
        let answer = says(&request, root)
            .or_else(|| forge::answer(&request, root))
            .unwrap_or_else(|| request.answer(root));
        if connection.write_all(&answer).is_err() || connection.flush().is_err() {
            return;
        }
    }
}

/// Instead of what is fetched, that it does not like the token that it was sent, where there is a file `says`.
fn says(request: &Request, root: &Path) -> Option<Vec<u8>> {
    let is_fetch = request.path.ends_with("/git-upload-pack")
        && request.body.windows(13).any(|one| one == b"command=fetch");
    (is_fetch && root.join("says").exists()).then(|| {
        let why = format!("ERR no such token: {TOKEN}\n");
        let length = why.len() + 4;
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-result\r\ncontent-length: {length}\r\n\r\n{length:04x}{why}")
            .into_bytes()
    })
}

/// Runs a test of sessions that are lent a token for git at `api.test`, as `bound` says.
fn with_git(bound: &[&str], test: impl Fn(&Scene, &Server, &str)) {
    as_everyone(|scene| match level() {
        Level::Full => {
            let root = scene.directory("server");
            let script = format!(
                "git init -q --bare -b main {0}/o/r.git; git init -q --bare -b main {0}/p/r.git; \
                 git init -q -b main .; git config user.name ann; git config user.email ann@example.org; \
                 echo a > a; git add a; git commit -qm one; git push -q {0}/o/r.git main; \
                 git push -q {0}/p/r.git main; git remote add origin https://api.test/o/r.git; \
                 git remote add far https://other.test/p/r.git; echo b > b; git add b; git commit -qm two; \
                 git checkout -qb work",
                root.display()
            );
            assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
            let server = Server::serving(move |connection, heads| serve(connection, &root, heads));
            let add = [&["add", "lent"], bound].concat();
            assert_eq!(credential(scene, &add, TOKEN).code, Some(0));
            let policy = granted(scene, server.port, "");
            test(scene, &server, &policy);
        }
        Level::NoNamespaces | Level::OldKernel => leads_to_the_same_gate(scene),
    });
}

fn push(scene: &Scene, server: &Server, policy: &str, script: &str) -> Ran {
    let script = format!(
        "{OWN}header=$(git config --get-urlmatch http.extraHeader https://api.test/o/r.git)\n{script}"
    );
    run(scene, server, policy, &script)
}

/// What the server has to be sent by whoever has the token.
fn basic() -> String {
    basic_of("x-access-token")
}

fn basic_of(user: &str) -> String {
    let both = format!("{user}:{TOKEN}");
    format!("Basic {}", Base64::encode_string(both.as_bytes()))
}

fn findings(scene: &Scene) -> usize {
    let mut findings = 0;
    scene.each_event(|event| {
        if let Event::Finding { rule, .. } = event {
            findings += usize::from(rule.id.as_str() == "credential/misplaced");
        }
    });
    findings
}

#[test]
fn a_push_sends_the_token_unasked_where_it_is_bound_and_nothing_elsewhere() {
    with_git(
        &["--basic", "--host", "api.test"],
        |scene, server, policy| {
            let script = "git push -q origin HEAD:$own && git push -q far HEAD:$own";
            let ran = push(scene, server, policy, script);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            let heads = server.heads();
            let of = |host: &'static str| heads.iter().filter(move |head| head.starts_with(host));
            assert!(
                of("api.test").count() >= 2 && of("other.test").count() >= 2,
                "{heads:?}"
            );
            assert!(
                of("api.test").all(|head| head.ends_with(&basic())),
                "{heads:?}"
            );
            assert!(
                of("other.test").all(|head| head.ends_with(" none")),
                "{heads:?}"
            );
            assert_eq!(findings(scene), 0);
        },
    );
}

#[test]
fn what_a_server_answers_the_gate_itself_is_looked_through_too() {
    with_git(
        &["--basic", "--host", "api.test"],
        |scene, server, policy| {
            fs::write(scene.directory("server").join("says"), "").unwrap();
            let ran = push(scene, server, policy, "git push -q origin HEAD:$own");
            assert_ne!(ran.code, Some(0));
            let said = "the server says: no such token: ";
            assert!(ran.stderr.contains(said), "{}", ran.stderr);
            assert!(!ran.stderr.contains(TOKEN), "{}", ran.stderr);
            scene.each_event(|event| assert!(!format!("{event:?}").contains(TOKEN)));
        },
    );
}

#[test]
fn git_says_it_is_the_user_that_the_credential_names() {
    let bound = ["--basic", "--host", "api.test", "--user", "oauth2"];
    with_git(&bound, |scene, server, policy| {
        let ran = push(scene, server, policy, "git ls-remote origin");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let heads = server.heads();
        let is_named = |head: &String| head.ends_with(&basic_of("oauth2"));
        assert!(!heads.is_empty() && heads.iter().all(is_named), "{heads:?}");
    });
}

/// The gate fetches what the request names by what the request carries, where that may go.
#[test]
fn what_an_interface_names_is_fetched_with_the_token_that_asks_for_it() {
    let in_header = format!(" token {TOKEN}");
    for (slot, carried, sent) in [
        (
            &["--basic"][..],
            "-u \"x-access-token:$LENT_TOKEN\"",
            &basic(),
        ),
        (
            &["--header", "authorization"],
            "-H \"Authorization: token $LENT_TOKEN\"",
            &in_header,
        ),
    ] {
        let bound = [slot, &["--host", "api.test", "--variable", "LENT_TOKEN"]].concat();
        with_git(&bound, |scene, server, policy| {
            let script = format!(
                "said='{{\"new_branch_name\": \"'${{own#refs/heads/}}'\", \"old_ref_name\": \"'$(git rev-parse main~1)'\"}}'\n\
                 curl -sS -H 'Content-Type: application/json' {carried} -d \"$said\" \
                 https://api.test/api/v1/repos/o/r/branches"
            );
            let ran = push(scene, server, policy, &script);
            assert_eq!(ran.stdout, "{}\n", "{}", ran.stderr);
            let heads = server.heads();
            let (asked, fetched): (Vec<_>, Vec<_>) =
                heads.iter().partition(|head| head.contains("/branches "));
            assert!(asked.len() == 1 && !fetched.is_empty(), "{heads:?}");
            let is_gits = |head: &&String| head.contains("git-upload-pack");
            assert!(fetched.iter().all(is_gits), "{heads:?}");
            assert!(heads.iter().all(|head| head.ends_with(sent)), "{heads:?}");
            assert_eq!(findings(scene), 0);
        });
    }
}

#[test]
fn what_git_is_told_is_of_no_use_elsewhere() {
    with_git(
        &["--basic", "--host", "api.test"],
        |scene, server, policy| {
            let header = "http.extraHeader=$header";
            for tried in [
                format!("git -c \"{header}\" push far HEAD:$own"),
                format!("git -c \"{header}\" ls-remote far"),
                "git -c \"http.https://other.test/.extraHeader=$header\" fetch far".to_owned(),
            ] {
                let ran = push(scene, server, policy, &tried);
                assert_ne!(ran.code, Some(0), "{tried}");
                let heads = server.heads();
                assert!(
                    heads.iter().all(|head| head.ends_with(" none")),
                    "{tried}: {heads:?}"
                );
            }
            assert_eq!(findings(scene), 3);
        },
    );
}

#[test]
fn what_the_humans_settings_would_send_there_is_not_sent_beside_it() {
    with_git(
        &["--basic", "--host", "api.test"],
        |scene, server, policy| {
            // As a job of GitHub's leaves it in the workspace.
            let set = [
                "git",
                "config",
                "http.https://api.test/.extraheader",
                "AUTHORIZATION: basic bGVmdA==",
            ];
            assert_eq!(scene.run_bare(&set).code, Some(0));
            let ran = push(scene, server, policy, "git ls-remote origin");
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            let heads = server.heads();
            assert!(
                !heads.is_empty() && heads.iter().all(|head| head.ends_with(&basic())),
                "{heads:?}"
            );
        },
    );
}

#[test]
fn a_token_for_some_repositories_is_sent_for_these() {
    let bound = ["--basic", "--host", "api.test", "--path", "/o/**"];
    with_git(&bound, |scene, server, policy| {
        let script = "git ls-remote origin && git ls-remote https://api.test/p/r.git";
        let ran = push(scene, server, policy, script);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let heads = server.heads();
        let of = |path: &'static str| {
            heads
                .iter()
                .filter(move |head| head.contains(path))
                .collect::<Vec<_>>()
        };
        let (own, other) = (of(" /o/"), of(" /p/"));
        assert!(
            !own.is_empty() && own.iter().all(|head| head.ends_with(&basic())),
            "{heads:?}"
        );
        assert!(
            !other.is_empty() && other.iter().all(|head| head.ends_with(" none")),
            "{heads:?}"
        );
    });
}
