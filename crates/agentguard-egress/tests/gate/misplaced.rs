//! Placeholders in what is sent while it is read: judged by what the server received of it.

use std::io::Write as _;

use agentguard_core::{Binding, Credential, CredentialName, Host, Secret, Slot};
use base64ct::{Base64, Encoding as _};

use crate::client::{json, read_to_end, read_until, status};
use crate::scene::{Plan, Scene};
use crate::server::{Server, says};

const NAME: &str = "api.test";
const PLACEHOLDER: &str = "ghp_placeholder0123456789ABCDEF";

fn credential() -> Credential {
    Credential {
        name: CredentialName::parse("github").unwrap(),
        placeholder: PLACEHOLDER.to_owned(),
        secret: Secret::new(b"ghp_secret98765432109876543210ab".to_vec()),
        bound: vec![Binding {
            host: Host::parse(NAME).unwrap(),
            port: 0,
            path: Vec::new(),
            methods: Vec::new(),
            slot: Slot::Basic,
        }],
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn head(scene: &Scene) -> String {
    let host = scene.host(NAME);
    format!("POST / HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n")
}

#[test]
fn a_placeholder_that_is_cut_anywhere_does_not_arrive() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let plan = Plan::new(NAME, server.address, &server.roots).with_credential(credential());
    let scene = Scene::begin(plan);
    let percent: String = PLACEHOLDER
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let base64 = Base64::encode_string(format!("u:{PLACEHOLDER}").as_bytes());
    for form in [PLACEHOLDER.to_owned(), percent, base64] {
        for cut in (0..form.len()).step_by(if form.len() > 60 { 7 } else { 1 }) {
            let (first, second) = form.split_at(cut);
            let mut text = head(&scene) + &chunk(&format!("before {first}"));
            text.push_str(&chunk(&format!("{second} behind")));
            let answer = scene.exchange(NAME, text + "0\r\n\r\n");
            assert_eq!(status(&answer), 403, "{form} at {cut}: {answer}");
            assert_eq!(json(&answer)["rule"], "credential/misplaced");
        }
    }
    for received in server.received() {
        let text = String::from_utf8_lossy(&received.body).into_owned();
        assert!(!text.contains("behind"), "{text}");
        assert!(!text.contains(PLACEHOLDER), "{text}");
    }
    // In pieces that never are one, it passes.
    let text = head(&scene) + &chunk(&PLACEHOLDER[..9]) + &chunk(" ") + &chunk(&PLACEHOLDER[9..]);
    assert_eq!(status(&scene.exchange(NAME, text + "0\r\n\r\n")), 200);
}

#[test]
fn a_placeholder_behind_a_body_does_not_arrive() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let plan = Plan::new(NAME, server.address, &server.roots).with_credential(credential());
    let scene = Scene::begin(plan);
    let text = head(&scene) + &chunk("body") + "0\r\nx-behind: " + PLACEHOLDER + "\r\n\r\n";
    let answer = scene.exchange(NAME, text);
    assert_ne!(status(&answer), 200, "{answer}");
    assert!(!format!("{:?}", server.received()).contains(PLACEHOLDER));
}

#[test]
fn a_placeholder_that_comes_once_an_answer_has_begun_is_told_of_too() {
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nbegun ghp";
    let (address, roots) = says(NAME, begun, |stream| {
        // It stays until its client has gone.
        while stream.write_all(b"").and_then(|()| stream.flush()).is_ok() {
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    });
    let plan = Plan::new(NAME, address, &roots).with_credential(credential());
    let scene = Scene::begin(plan);
    let mut tls = scene.tls(NAME);
    tls.write_all(head(&scene).as_bytes()).unwrap();
    // Its end may be the beginning of a secret, and is not kept for that from whoever waits for it.
    let begun = read_until(&mut tls, "ghp");
    assert_eq!(status(&begun), 200);
    tls.write_all(chunk(PLACEHOLDER).as_bytes()).unwrap();
    scene.refused_by("credential/misplaced");
    assert_eq!(*scene.log.misused.lock().unwrap(), ["github"]);
    assert_eq!(read_to_end(&mut tls), "");
}

#[test]
fn in_a_conversation_a_body_may_hold_a_placeholder_and_nothing_else_may() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let mut plan = Plan::new(NAME, server.address, &server.roots).with_credential(credential());
    plan.conversations.push(NAME.to_owned());
    let scene = Scene::begin(plan);
    let host = scene.host(NAME);
    let text = format!("{{\"said\": \"{PLACEHOLDER}\"}}");
    let whole = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    let (first, second) = text.split_at(20);
    let pieces = head(&scene) + &chunk(first) + &chunk(second) + "0\r\n\r\n";
    for said in [whole, pieces] {
        assert_eq!(status(&scene.exchange(NAME, said)), 200);
    }
    let received = server.received();
    assert_eq!(received.len(), 2);
    // As it was sent: the secret takes no place of it.
    for received in received {
        assert_eq!(String::from_utf8_lossy(&received.body), text);
    }
    let behind = head(&scene) + &chunk("body") + "0\r\nx-behind: " + PLACEHOLDER + "\r\n\r\n";
    assert_ne!(status(&scene.exchange(NAME, behind)), 200);
    for head in [
        format!("GET /?q={PLACEHOLDER} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("GET /{PLACEHOLDER} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: {host}\r\nx-other: {PLACEHOLDER}\r\n\r\n"),
    ] {
        let answer = scene.exchange(NAME, head);
        assert_eq!(json(&answer)["rule"], "credential/misplaced", "{answer}");
    }
    assert!(
        !server
            .received()
            .iter()
            .any(|one| format!("{one:?}").contains("x-behind"))
    );
    assert_eq!(*scene.log.found.lock().unwrap(), ["credential/quoted"]);
}
