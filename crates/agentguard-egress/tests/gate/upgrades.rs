//! Connections that stop being HTTP: judged when they begin, passed on as they are, told when they end.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use agentguard_core::{Action, OutcomeOf, Rule, Verdict};

use crate::client::{json, read_to_end, read_until, status};
use crate::scene::{Plan, Scene};
use crate::server::{Server, Tls, says};

const NAME: &str = "api.test";

/// What a server says that takes the key of RFC 6455's example.
const TAKEN: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nAlt-Svc: h3\r\n\r\n";

fn asks(scene: &Scene) -> String {
    format!(
        "GET /socket HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        scene.host(NAME)
    )
}

/// Says what it hears, until it hears no more.
fn echo(tls: &mut Tls) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = tls.read(&mut piece) {
        if tls
            .write_all(&piece[..length])
            .and_then(|()| tls.flush())
            .is_err()
        {
            return;
        }
    }
    tls.conn.send_close_notify();
    let _ = tls.flush();
}

#[test]
fn an_upgrade_that_policy_allows_is_passed_on_both_ways_and_counted() {
    let (address, roots) = says(NAME, TAKEN, echo);
    let scene = Scene::begin(Plan::new(NAME, address, &roots));
    let mut tls = scene.tls(NAME);
    tls.write_all(asks(&scene).as_bytes()).unwrap();
    let head = read_until(&mut tls, "\r\n\r\n");
    assert_eq!(status(&head), 101, "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(!head.contains("alt-svc"));
    // Bytes that are no HTTP, with line ends that HTTP would not have.
    for text in ["\n\0\n first\n", "GET / HTTP/1.1\r\n\r\n", "\u{81}last"] {
        tls.write_all(text.as_bytes()).unwrap();
        read_until(&mut tls, text);
    }
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    assert_eq!(read_to_end(&mut tls), "");
    let OutcomeOf::Answered {
        status,
        sent,
        received,
        ..
    } = scene.outcome()
    else {
        panic!("{:?}", scene.outcome());
    };
    assert_eq!((status, sent, received), (101, 34, 34));
    let entries = scene.entries();
    let [entry] = &entries[..] else {
        panic!("{entries:?}")
    };
    let api = entry.api().unwrap();
    assert_eq!(
        (api.method.as_str(), api.upgrade.as_deref()),
        ("CONNECT", Some("websocket"))
    );
    assert_eq!(api.path, ["socket"]);
}

#[test]
fn an_upgrade_that_no_rule_allows_is_not_asked_of_the_server() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let mut plan = Plan::new(NAME, server.address, &server.roots);
    // A rule for what reads.
    plan.says = Arc::new(|action| {
        if matches!(action, Action::Api(api) if api.method == "GET") {
            return Verdict::Allow(Rule::new("api/read", "it may"));
        }
        Verdict::Deny(Rule::new("api/not-read", "it may not"))
    });
    let scene = Scene::begin(plan);
    let mut tls = scene.tls(NAME);
    // What follows it is for nobody.
    let text = format!(
        "{}{}",
        asks(&scene),
        "GET /next HTTP/1.1\r\nHost: api.test\r\n\r\n"
    );
    tls.write_all(text.as_bytes()).unwrap();
    let answer = read_to_end(&mut tls);
    assert_eq!(
        (status(&answer), &json(&answer)["rule"]),
        (403, &"api/not-read".into())
    );
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(server.received().is_empty());
}

#[test]
fn a_server_that_goes_over_to_something_else_is_not_passed_on() {
    for answer in [
        &b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello"[..],
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello",
        b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: evil\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
    ] {
        let (address, roots) = says(NAME, answer, echo);
        let scene = Scene::begin(Plan::new(NAME, address, &roots));
        let mut tls = scene.tls(NAME);
        tls.write_all(asks(&scene).as_bytes()).unwrap();
        let told = read_to_end(&mut tls);
        assert_eq!(status(&told), 502, "{told}");
        assert!(!told.contains("hello"), "{told}");
        assert!(matches!(scene.outcome(), OutcomeOf::Unanswered { .. }));
    }
}

#[test]
fn a_server_that_does_not_upgrade_is_heard_and_the_connection_ends() {
    let answer = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno";
    let (address, roots) = says(NAME, answer, echo);
    let scene = Scene::begin(Plan::new(NAME, address, &roots));
    let mut tls = scene.tls(NAME);
    let text = format!("{}{}", asks(&scene), asks(&scene));
    tls.write_all(text.as_bytes()).unwrap();
    let answer = read_to_end(&mut tls);
    assert!(status(&answer) == 426 && answer.ends_with("no"), "{answer}");
    assert_eq!(scene.entries().len(), 1);
}

#[test]
fn a_server_that_upgrades_what_did_not_ask_for_it_is_not_passed_on() {
    let (address, roots) = says(NAME, TAKEN, echo);
    let scene = Scene::begin(Plan::new(NAME, address, &roots));
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    assert_eq!(status(&scene.exchange(NAME, text)), 502);
}

#[test]
fn an_upgrade_on_which_nothing_is_said_ends() {
    let (address, roots) = says(NAME, TAKEN, echo);
    let mut plan = Plan::new(NAME, address, &roots);
    // The answer that upgrades has to come by then.
    plan.patience.answer = Duration::from_secs(3);
    let scene = Scene::begin(plan);
    let mut tls = scene.tls(NAME);
    tls.write_all(asks(&scene).as_bytes()).unwrap();
    let all = read_to_end(&mut tls);
    assert_eq!(status(&all), 101, "{all}");
    let told = scene.outcome();
    assert!(
        matches!(&told, OutcomeOf::Unanswered { why } if why.contains("nothing more came")),
        "{told:?}"
    );
}

#[test]
fn an_upgrade_ends_with_its_session_and_its_gate() {
    let (address, roots) = says(NAME, TAKEN, echo);
    for is_killed in [false, true] {
        let scene = Scene::begin(Plan::new(NAME, address, &roots));
        let mut tls = scene.tls(NAME);
        tls.write_all(asks(&scene).as_bytes()).unwrap();
        read_until(&mut tls, "\r\n\r\n");
        if is_killed {
            let gate = scene.gate().unwrap();
            rustix::process::kill_process(gate, rustix::process::Signal::KILL).unwrap();
            assert_eq!(read_to_end(&mut tls), "");
            assert!(matches!(scene.outcome(), OutcomeOf::Unanswered { .. }));
            continue;
        }
        let (entries, served) = scene.end();
        served.unwrap();
        assert_eq!(read_to_end(&mut tls), "");
        assert!(
            entries.iter().all(|entry| entry.outcome.is_some()),
            "{entries:?}"
        );
    }
}

#[test]
fn what_is_not_read_of_an_upgrade_is_not_kept() {
    // A server that says more than anybody holds, to a client that reads nothing for a while.
    let (address, roots) = says(NAME, TAKEN, |tls| {
        let piece = [7; 64 << 10];
        for _ in 0..(64 << 20) / piece.len() {
            if tls.write_all(&piece).is_err() {
                return;
            }
        }
        tls.conn.send_close_notify();
        let _ = tls.flush();
    });
    let scene = Scene::begin(Plan::new(NAME, address, &roots));
    let mut tls = scene.tls(NAME);
    tls.write_all(asks(&scene).as_bytes()).unwrap();
    read_until(&mut tls, "\r\n\r\n");
    let gate = scene.gate().unwrap();
    let before = crate::flows::peak(gate);
    // Time for a gate that keeps what comes to have kept it all.
    std::thread::sleep(Duration::from_millis(500));
    let mut all = 0;
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = tls.read(&mut piece) {
        all += length;
    }
    // Of the first piece, some came with the head.
    assert!(all > 60 << 20, "{all}");
    let grown = crate::flows::peak(gate) - before;
    assert!(grown < 8 << 20, "it grew by {grown}");
}

#[test]
fn http2_is_not_upgraded() {
    let server = Server::tls(NAME, &["h2"]);
    let scene = Scene::begin(Plan::new(NAME, server.address, &server.roots));
    let uri = format!("https://{}/socket", scene.host(NAME));
    let plain = crate::flows::request("CONNECT", scene.host(NAME));
    let mut extended = crate::flows::request("CONNECT", uri)
        .body(crate::flows::Once(None))
        .unwrap();
    extended
        .extensions_mut()
        .insert(hyper::ext::Protocol::from_static("websocket"));
    let requests = vec![plain.body(crate::flows::Once(None)).unwrap(), extended];
    for answer in crate::flows::http2(&scene, requests) {
        assert!(answer.is_none_or(|(status, _)| status >= 400));
    }
    assert!(server.received().is_empty());
}
