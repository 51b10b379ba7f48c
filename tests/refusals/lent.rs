//! A token that was lent: the bound server gets it, nobody inside does, and no other server does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use agentguard::core::{CredentialAct, Event, OutcomeOf};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::approvals::{approve, waiting};
use crate::lifetime::until;
use crate::scene::{Ran, Scene, as_everyone};

pub(crate) const TOKEN: &str = "ghp_LENTlent0123456789LENTlent01234567890";

/// A human is asked about each post.
const ASKS: &str = "package agentguard.api.own\n\n\
    ask contains {\"id\": \"own/ask\", \"reason\": \"posting needs a human\"} if input.action.method == \"POST\"\n\n\
    allow contains {\"id\": \"own/post\", \"reason\": \"posting is fine\"} if input.action.method == \"POST\"\n";

/// A connection to it.
pub(crate) type Connection = StreamOwned<ServerConnection, TcpStream>;

/// A server over TLS that says what it was asked, and keeps it.
pub(crate) struct Server {
    pub(crate) port: u16,
    roots: String,
    heads: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        Self::serving(serve)
    }

    /// One that answers as `answer` does.
    pub(crate) fn serving(
        answer: impl Fn(Connection, &Mutex<Vec<String>>) + Clone + Send + 'static,
    ) -> Self {
        let (config, roots) = certified(&["api.test", "other.test"]);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heads, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let serving = std::thread::spawn({
            let (heads, is_over) = (Arc::clone(&heads), Arc::clone(&is_over));
            move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                    let stream = StreamOwned::new(connection, stream.unwrap());
                    let (heads, answer) = (Arc::clone(&heads), answer.clone());
                    std::thread::spawn(move || answer(stream, &heads));
                }
            }
        });
        Self {
            port,
            roots,
            heads,
            is_over,
            serving: Some(serving),
        }
    }

    /// What it was asked.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// What a server shows that `hosts` are it, and the authority that says so.
pub(crate) fn certified(hosts: &[&str]) -> (Arc<ServerConfig>, String) {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let roots = params.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let leaf = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (Arc::new(config), roots)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

/// A policy that grants both hosts of a server, the token, and more.
pub(crate) fn granted(scene: &Scene, port: u16, more: &str) -> String {
    let place = |host: &str| {
        format!(
            "hosts contains \"{host}\"\n\n\
             addresses contains {{\"host\": \"{host}\", \"at\": \"127.0.0.1:{port}\"}}\n\n"
        )
    };
    scene.policy(&format!(
        "package agentguard.sandbox\n\n{}{}credentials contains \"lent\"\n\n{more}",
        place("api.test"),
        place("other.test")
    ))
}

fn serve(mut stream: Connection, heads: &Mutex<Vec<String>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.extend(byte),
            Ok(_) | Err(_) => return,
        }
    }
    let mut head = String::from_utf8_lossy(&head).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    head.push_str(&String::from_utf8_lossy(&body));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nX-Said: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}",
        head.lines()
            .find(|line| line.to_lowercase().starts_with("authorization"))
            .unwrap_or_default(),
        head.len()
    );
    heads.lock().unwrap().push(head);
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
}

/// Runs a test of sessions that are lent a token for `api.test`.
fn with_server(test: impl Fn(&Scene, &Server, &str)) {
    as_everyone(|scene| {
        let server = Server::start();
        let port = server.port;
        let add = [
            "add",
            "lent",
            "--host",
            "api.test",
            "--variable",
            "LENT_TOKEN",
        ];
        assert_eq!(credential(scene, &add, TOKEN).code, Some(0));
        test(scene, &server, &granted(scene, port, ""));
    });
}

pub(crate) fn credential(scene: &Scene, words: &[&str], token: &str) -> Ran {
    let mut command = scene.command(scene.root.join("agentguard"));
    command.arg("credential").args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that reads nothing has closed it.
    let _ = stdin.write_all(token.as_bytes());
    drop(stdin);
    Ran::of(child.wait_with_output().unwrap())
}

pub(crate) fn run(scene: &Scene, server: &Server, policy: &str, script: &str) -> Ran {
    let roots = scene.write("roots.pem", &server.roots);
    let mut command = scene.exec(&[policy], &["sh", "-c", script]);
    command.env("SSL_CERT_FILE", roots);
    Ran::of(command.output().unwrap())
}

#[test]
fn a_bound_server_gets_the_token_and_nobody_inside_does() {
    with_server(|scene, server, policy| {
        let script = "echo $LENT_TOKEN; curl -sSi -H \"Authorization: Bearer $LENT_TOKEN\" https://api.test/echo";
        let ran = run(scene, server, policy, script);
        let heads = server.heads();
        assert_eq!(heads.len(), 1, "{}{}", ran.stdout, ran.stderr);
        assert!(
            heads[0].contains(&format!("Bearer {TOKEN}\r\n")),
            "{}",
            heads[0]
        );
        let placeholder = ran.stdout.lines().next().unwrap();
        assert!(placeholder.starts_with("ghp_") && placeholder != TOKEN);
        assert!(!heads[0].contains(placeholder));
        // What the server said of it, in its head and in its body, is the placeholder again.
        assert!(!ran.stdout.contains(TOKEN), "{}", ran.stdout);
        assert!(
            ran.stdout.matches(placeholder).count() >= 3,
            "{}",
            ran.stdout
        );
        let mut acts = Vec::new();
        scene.each_event(|event| {
            if let Event::Credential { act, .. } = event {
                acts.push(*act);
            }
        });
        assert_eq!(acts, [CredentialAct::Mint, CredentialAct::Use]);
    });
}

#[test]
fn no_other_server_gets_it_in_any_place() {
    with_server(|scene, server, policy| {
        for request in [
            "-H \"Authorization: Bearer $LENT_TOKEN\" https://other.test/",
            "-H \"X-Other: $LENT_TOKEN\" https://api.test/",
            "https://api.test/?q=$LENT_TOKEN",
            "https://api.test/$LENT_TOKEN",
            "-d \"$LENT_TOKEN\" https://other.test/",
            "-H \"Authorization: Basic $(printf x:$LENT_TOKEN | base64 -w0)\" https://other.test/",
        ] {
            let ran = run(scene, server, policy, &format!("curl -sS {request}"));
            assert!(
                ran.stdout.contains("credential/misplaced"),
                "{request}: {}",
                ran.stdout
            );
        }
        assert_eq!(server.heads(), Vec::<String>::new());
        let mut findings = 0;
        scene.each_event(|event| {
            if let Event::Finding { rule, .. } = event {
                findings += usize::from(rule.id.as_str() == "credential/misplaced");
            }
        });
        assert_eq!(findings, 6);
    });
}

#[test]
fn what_is_revoked_is_of_no_use_to_a_session_that_goes_on() {
    with_server(|scene, server, policy| {
        let roots = scene.write("roots.pem", &server.roots);
        let ask = "curl -sS -H \"Authorization: Bearer $LENT_TOKEN\" https://api.test/";
        let script =
            format!("{ask} > one; touch asked; while [ ! -e go ]; do sleep 0.1; done; {ask} > two");
        let mut command = scene.exec(&[policy], &["sh", "-c", &script]);
        command.env("SSL_CERT_FILE", roots);
        let mut session = command.spawn().unwrap();
        until("the first request", || scene.work().join("asked").exists());
        assert_eq!(credential(scene, &["revoke", "lent"], "").code, Some(0));
        fs::write(scene.work().join("go"), "").unwrap();
        assert!(session.wait().unwrap().success());
        let two = fs::read_to_string(scene.work().join("two")).unwrap();
        assert!(two.contains("credential/revoked"), "{two}");
        assert_eq!(server.heads().len(), 1);
    });
}

#[test]
fn what_is_revoked_while_a_human_is_asked_goes_nowhere() {
    with_server(|scene, server, policy| {
        scene.write("policy/own.rego", ASKS);
        let roots = scene.write("roots.pem", &server.roots);
        let post =
            "curl -sS -d x=1 -H \"Authorization: Bearer $LENT_TOKEN\" https://api.test/ > said";
        let mut command = scene.exec(&[policy], &["sh", "-c", post]);
        command.env("SSL_CERT_FILE", roots);
        let mut session = command.spawn().unwrap();
        let id = waiting(scene, 1).remove(0);
        assert_eq!(credential(scene, &["revoke", "lent"], "").code, Some(0));
        assert_eq!(approve(scene, &[&id]).0, Some(0));
        assert!(session.wait().unwrap().success());
        let said = fs::read_to_string(scene.work().join("said")).unwrap();
        assert!(said.contains("credential/revoked"), "{said}");
        assert_eq!(server.heads(), Vec::<String>::new());
    });
}

#[test]
fn a_misuse_ends_a_session_where_policy_says_so_and_else_it_goes_on() {
    with_server(|scene, server, policy| {
        let misuse = "curl -sS -H \"X-Other: $LENT_TOKEN\" https://other.test/ > said";
        // What is in the background would have outlived it.
        let script = format!("(sleep 30; touch late) & {misuse}; sleep 20; touch went-on");
        let ends = "ends_on contains \"credential/misplaced\"\n";
        let ending = granted(scene, server.port, ends);
        let ran = run(scene, server, &ending, &script);
        assert_eq!(ran.code, Some(137), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("(rule `session/misuse`)"),
            "{}",
            ran.stderr
        );
        let mut last = None;
        scene.each_event(|event| {
            if let Event::End { status, .. } = event {
                last = Some(status.clone());
            }
        });
        let Some(OutcomeOf::Killed { rule }) = last else {
            panic!("{last:?}");
        };
        assert_eq!(rule.id.as_str(), "session/misuse");
        assert!(
            rule.reason.contains("the placeholder of `lent` stands in"),
            "{}",
            rule.reason
        );
        assert!(!scene.work().join("went-on").exists() && !scene.work().join("late").exists());
        // Policy says nothing of it, in the same place.
        let policy_directory = granted(scene, server.port, "");
        assert_eq!(policy, policy_directory);
        let ran = run(scene, server, policy, &format!("{misuse}; touch went-on"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(scene.work().join("went-on").exists());
        assert_eq!(server.heads(), Vec::<String>::new());
    });
}

#[test]
fn what_is_said_in_a_conversation_may_hold_what_stands_for_a_token() {
    with_server(|scene, server, _| {
        let spoken = "conversations contains \"other.test\"\n";
        let policy = granted(scene, server.port, spoken);
        let says = "package agentguard.api.own\n\nallow contains {\"id\": \"own/says\", \"reason\": \"it may\"} if \
                    input.action.method == \"POST\"\n";
        scene.write("policy/api.rego", says);
        let script = "curl -sS -d \"$LENT_TOKEN\" https://other.test/ > one; curl -sS -X PUT -d \"$LENT_TOKEN\" https://other.test/ > two; \
                      curl -sS -d \"$LENT_TOKEN\" https://other.test/; \
                      curl -sS -d \"$LENT_TOKEN\" https://api.test/; curl -sS -H \"X-Other: $LENT_TOKEN\" https://other.test/";
        let ran = run(scene, server, &policy, script);
        let heads = server.heads();
        assert_eq!(heads.len(), 2, "{heads:?} {}", ran.stdout);
        assert!(
            heads.iter().all(|head| head.contains("other.test")),
            "{heads:?}"
        );
        // As it was said.
        assert!(
            heads.iter().all(|head| head.contains("\r\n\r\nghp_")),
            "{heads:?}"
        );
        assert!(!heads.concat().contains(TOKEN), "{heads:?}");
        assert_eq!(
            ran.stdout.matches("credential/misplaced").count(),
            2,
            "{}",
            ran.stdout
        );
        let mut found = Vec::new();
        scene.each_event(|event| {
            if let Event::Finding { rule, .. } = event {
                found.push(rule.id.to_string());
            }
        });
        let expected = [
            "credential/quoted",
            "credential/misplaced",
            "credential/misplaced",
        ];
        assert_eq!(found, expected);
    });
}
