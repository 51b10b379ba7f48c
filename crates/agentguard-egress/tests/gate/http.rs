//! Requests: what could be two is none, and what was judged is what is sent.

use std::io::Write as _;

use agentguard_core::{OutcomeOf, Scheme};
use hyper::Version;

use crate::client::{json, read_until, status};
use crate::scene::{Plan, Scene};
use crate::server::Server;

const NAME: &str = "api.test";

fn scene() -> (Scene, Server) {
    let server = Server::tls(NAME, &["http/1.1"]);
    let scene = Scene::begin(Plan::new(NAME, server.address, &server.roots));
    (scene, server)
}

#[test]
fn a_request_that_policy_allows_is_sent_as_it_was_judged() {
    let (scene, server) = scene();
    let host = scene.host(NAME);
    let text = format!(
        "POST /%61/b%20c?x=%7e1&y=a+b&x=2 HTTP/1.1\r\nHost: API.Test.:{}\r\nUser-Agent: it\r\n\
         Authorization: Bearer mine\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: 13\r\n\r\n{{\"a\": [1, 2]}}",
        scene.port
    );
    let answer = scene.exchange(NAME, &text);
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("{\"a\": [1, 2]}"), "{answer}");
    let received = server.received();
    let [received] = &received[..] else {
        panic!("{received:?}");
    };
    assert_eq!(
        (received.method.as_str(), received.uri.as_str()),
        ("POST", "/a/b%20c?x=~1&y=a+b&x=2")
    );
    assert_eq!(received.header("host"), [host]);
    assert_eq!(received.header("authorization"), ["Bearer mine"]);
    assert_eq!(received.body, b"{\"a\": [1, 2]}");
    let entry = scene.entry(|entry| entry.outcome.is_some());
    let api = entry.api().unwrap();
    assert_eq!(
        (api.scheme, api.host.as_str(), api.port),
        (Scheme::Https, NAME, scene.port)
    );
    assert_eq!(
        (api.method.as_str(), &api.path[..]),
        ("POST", &["a".to_owned(), "b c".to_owned()][..])
    );
    assert_eq!(api.query["x"], ["~1", "2"]);
    assert_eq!(api.query["y"], ["a b"]);
    assert_eq!(api.body, Some(serde_json::json!({"a": [1, 2]})));
    assert_eq!(api.address, "127.0.0.1");
    assert_eq!(api.headers["user-agent"], "it");
    assert!(!format!("{api:?}").contains("mine"));
    let Some(OutcomeOf::Answered {
        status,
        sent,
        received,
        ..
    }) = entry.outcome
    else {
        panic!("{:?}", entry.outcome);
    };
    assert_eq!((status, sent, received), (200, 13, 13));
}

#[test]
fn a_request_that_policy_refuses_is_not_sent_and_says_why() {
    let (scene, server) = scene();
    let answer = scene.exchange(
        NAME,
        format!(
            "DELETE /a HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            scene.host(NAME)
        ),
    );
    assert_eq!(status(&answer), 403);
    let told = json(&answer);
    assert_eq!(told["rule"], "api/no-delete");
    assert_eq!(told["reason"], "nothing is deleted");
    assert_eq!(told["remedy"], "leave it");
    assert_eq!(told["entry"], 0);
    assert!(server.received().is_empty());
}

#[test]
fn a_second_request_on_a_connection_is_judged_as_the_first() {
    let (scene, server) = scene();
    let host = scene.host(NAME);
    let mut tls = scene.tls(NAME);
    let post = format!(
        "POST /one HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    let refused = format!("DELETE /two HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let last = format!("GET /three HTTP/1.1\r\nHost: {host}\r\nX: a\nb\r\n\r\n");
    // All at once: the bad one ends the connection, and nothing of it or after it is sent.
    tls.write_all(format!("{post}{refused}{last}").as_bytes())
        .unwrap();
    let answers = crate::client::read_to_end(&mut tls);
    assert!(
        answers.starts_with("HTTP/1.1 200") && answers.contains("HTTP/1.1 400"),
        "{answers}"
    );
    let mut tls = scene.tls(NAME);
    tls.write_all(format!("{refused}{refused}").as_bytes())
        .unwrap();
    let answers = read_until(&mut tls, "\"entry\":3");
    assert_eq!(answers.matches("HTTP/1.1 403").count(), 2, "{answers}");
    let uris: Vec<_> = server.received().into_iter().map(|one| one.uri).collect();
    assert_eq!(uris, ["/one"]);
    assert_eq!(server.received()[0].body, b"abc");
}

#[test]
fn what_is_for_the_next_hop_goes_no_further_either_way() {
    let (scene, server) = scene();
    let text = format!(
        "GET /hop HTTP/1.1\r\nHost: {}\r\nConnection: close, x-mine\r\nX-Mine: 1\r\nTE: trailers\r\n\
         Proxy-Authorization: Basic eA==\r\nX-Forwarded-Host: evil.test\r\nForwarded: host=evil.test\r\n\
         Upgrade: h2c\r\nKept: yes\r\n\r\n",
        scene.host(NAME)
    );
    let answer = scene.exchange(NAME, text);
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("x-server: here"));
    assert!(
        !answer.contains("alt-svc") && !answer.contains("keep-alive"),
        "{answer}"
    );
    let received = server.received();
    let names: Vec<_> = received[0]
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["kept", "host"]);
}

#[test]
fn a_body_is_seen_as_far_as_it_is_json_and_short() {
    let (scene, server) = scene();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    for (number, kind, body, is_seen) in [
        (0, "application/json", "{\"a\":1}", true),
        (1, "application/vnd.api+json; charset=utf-8", "[1]", true),
        (2, "application/x-www-form-urlencoded", "{\"a\":1}", true),
        (3, "text/plain", "hello", false),
        (4, "application/json", "", false),
        (5, "application/json", &long, false),
    ] {
        for is_chunked in [false, true] {
            let framing = if is_chunked {
                format!(
                    "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                )
                .replace("\r\n\r\n0\r\n\r\n0\r\n\r\n", "\r\n\r\n0\r\n\r\n")
            } else {
                format!("Content-Length: {}\r\n\r\n{body}", body.len())
            };
            let text = format!(
                "PUT /{number} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\n{framing}",
                scene.host(NAME)
            );
            let answer = scene.exchange(NAME, &text);
            assert_eq!(status(&answer), 200, "{number} {is_chunked} {answer:.300}");
            let last = scene.entries().pop().unwrap();
            let api = last.api().unwrap();
            let may_be = !is_chunked || kind.contains("json") || kind.contains("form");
            assert_eq!(
                api.body.is_some(),
                is_seen && may_be,
                "{number} {is_chunked}"
            );
            assert_eq!(
                server.received().pop().unwrap().body,
                body.as_bytes(),
                "{number}"
            );
        }
    }
}

#[test]
fn http_in_the_clear_is_judged_too_and_says_so() {
    let server = Server::clear();
    let scene = Scene::begin(Plan::new(NAME, server.address, ""));
    let mut stream = scene.connect(NAME);
    let host = scene.host(NAME);
    stream
        .write_all(format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .unwrap();
    read_until(&mut stream, "\r\n\r\n");
    stream
        .write_all(format!("DELETE /b HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .unwrap();
    let answer = read_until(&mut stream, "}");
    assert_eq!(status(&answer), 403);
    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!(
        (received[0].uri.as_str(), received[0].version),
        ("/a", Version::HTTP_11)
    );
    assert_eq!(scene.entries()[0].api().unwrap().scheme, Scheme::Http);
}

#[test]
fn a_log_that_fails_refuses_what_was_allowed() {
    let (scene, server) = scene();
    let mut tls = scene.tls(NAME);
    scene
        .log
        .is_full
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    tls.write_all(text.as_bytes()).unwrap();
    let answer = read_until(&mut tls, "}");
    assert_eq!(status(&answer), 403);
    assert_eq!(json(&answer)["rule"], "guard/unrecorded");
    assert!(server.received().is_empty());
}

#[test]
fn an_escaped_slash_is_judged_in_its_segment_where_policy_says_so() {
    let server = Server::tls(NAME, &["http/1.1"]);
    for (is_said, path, code) in [
        (true, "/api/v4/projects/group%2fproject/issues", 200),
        (true, "/api/v4/projects/group%2f../issues", 400),
        (true, "/api/v4/projects/group%252fproject/issues", 400),
        (false, "/api/v4/projects/group%2fproject/issues", 400),
    ] {
        let mut plan = Plan::new(NAME, server.address, &server.roots);
        plan.escaped_slashes
            .extend(is_said.then(|| NAME.to_owned()));
        let scene = Scene::begin(plan);
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            scene.host(NAME)
        );
        let answer = scene.exchange(NAME, text);
        assert_eq!(status(&answer), code, "{is_said} {path}");
        if code == 200 {
            let entry = scene.entry(|entry| entry.api().is_some());
            let api = entry.api().unwrap();
            assert_eq!(api.path[3], "group/project");
            assert!(
                api.url().ends_with("/projects/group%2Fproject/issues"),
                "{}",
                api.url()
            );
        }
    }
    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].uri, "/api/v4/projects/group%2Fproject/issues");
}
