//! What policy sees of bodies: compressed ones, GraphQL, and that it was not shown one.

use std::io::Write as _;

use agentguard_core::{Api, Bodies, Digest, GraphqlOperation, OutcomeOf, Passed};
use serde_json::json;

use crate::client::{json as told, status};
use crate::scene::{Entry, Plan, Scene};
use crate::server::Server;

const NAME: &str = "api.test";

/// `{"a":1}` in gzip, and in zlib's format.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xabVJT\xb22\xac\x05\0\xaf\xac\x1bV\x07\0\0\0";
const ZLIB: &[u8] = b"x\xda\xabVJT\xb22\xac\x05\0\x08*\x02\x09";

fn scene() -> (Scene, Server) {
    let server = Server::tls(NAME, &["http/1.1"]);
    let scene = Scene::begin(Plan::new(NAME, server.address, &server.roots));
    (scene, server)
}

/// Posts a body, and gives the answer with what was asked of policy.
fn post(scene: &Scene, path: &str, headers: &str, body: &[u8]) -> (String, Option<Api>) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        scene.host(NAME),
        body.len()
    );
    let answer = scene.exchange(NAME, [head.as_bytes(), body].concat());
    let last = scene.entries().pop();
    (answer, last.and_then(|entry| entry.api().cloned()))
}

#[test]
fn a_compressed_body_is_seen_and_sent_as_it_came() {
    let (scene, server) = scene();
    for (coding, body) in [("gzip", GZIP), ("deflate", ZLIB)] {
        let headers = format!("Content-Type: application/json\r\nContent-Encoding: {coding}\r\n");
        let (answer, api) = post(&scene, "/a", &headers, body);
        assert_eq!(status(&answer), 200, "{answer}");
        let api = api.unwrap();
        assert_eq!(api.body, Some(json!({"a": 1})));
        assert!(api.body_seen);
        let received = server.received().pop().unwrap();
        assert_eq!(
            (
                received.body.as_slice(),
                received.header("content-encoding")
            ),
            (body, vec![coding])
        );
    }
}

#[test]
fn a_body_that_is_not_what_it_is_said_to_be_is_not_sent() {
    let (scene, server) = scene();
    let json = "Content-Type: application/json\r\n";
    let gzip = "Content-Encoding: gzip\r\n";
    for (headers, body) in [
        (format!("{json}{gzip}"), &b"{\"a\":1}"[..]),
        (format!("{json}{gzip}"), ZLIB),
        (format!("{json}{gzip}"), &[GZIP, GZIP].concat()),
        (gzip.to_owned(), b"x"),
        (
            "Content-Type: application/json; charset=utf-7\r\n".to_owned(),
            b"{\"a\":\"+ACI-\"}",
        ),
    ] {
        let (answer, _) = post(&scene, "/a", &headers, body);
        assert_eq!(
            (status(&answer), &told(&answer)["rule"]),
            (400, &"gate/body".into())
        );
    }
    assert!(server.received().is_empty());
}

#[test]
fn policy_is_told_when_it_is_not_shown_a_body() {
    let (scene, server) = scene();
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; 10 << 20], 9);
    let long = format!("\"{}\"", "x".repeat(70_000));
    let json = "Content-Type: application/json\r\n";
    for (headers, body, is_seen) in [
        (json.to_owned(), &b"{}"[..], true),
        (json.to_owned(), b"", true),
        (format!("{json}Content-Encoding: br\r\n"), b"", true),
        (format!("{json}Content-Encoding: br\r\n"), b"x", false),
        (
            format!("{json}Content-Encoding: zstd\r\n"),
            b"\x28\xb5\x2f\xfd",
            false,
        ),
        (format!("{json}Content-Encoding: deflate\r\n"), &bomb, false),
        (json.to_owned(), long.as_bytes(), false),
        (
            "Content-Type: application/x-www-form-urlencoded\r\n".to_owned(),
            b"{\"a\":\"&b=1\"}",
            false,
        ),
        (String::new(), b"{}", false),
    ] {
        let (answer, api) = post(&scene, "/a", &headers, body);
        assert_eq!(status(&answer), 200, "{headers} {answer:.300}");
        assert_eq!(api.unwrap().body_seen, is_seen, "{headers}");
        assert_eq!(server.received().pop().unwrap().body, body, "{headers}");
    }
}

/// A form is shown by its names; one that servers could read in two ways is passed on unseen, and policy is told so.
#[test]
fn a_form_is_seen_by_its_names_and_sent_as_it_came() {
    let (scene, server) = scene();
    let form = "application/x-www-form-urlencoded";
    let parts = "multipart/form-data; boundary=xyz";
    let part = "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xyz--\r\n";
    let behind = format!("{part}behind");
    for (path, kind, body, shown) in [
        (
            "/a",
            form,
            "a=1&a=2&b=x+y",
            Some(json!({"a": ["1", "2"], "b": ["x y"]})),
        ),
        ("/a", parts, part, Some(json!({"a": ["1"]}))),
        ("/a", form, "a=1;b=2", None),
        ("/a", parts, &behind, None),
        (
            "/a",
            "multipart/form-data; boundary=xyz; boundary=x",
            part,
            None,
        ),
    ] {
        let (answer, api) = post(
            &scene,
            path,
            &format!("Content-Type: {kind}\r\n"),
            body.as_bytes(),
        );
        assert_eq!(status(&answer), 200, "{body} {answer}");
        let api = api.unwrap();
        assert_eq!(
            (api.body_seen, &api.form),
            (shown.is_some(), &shown),
            "{body}"
        );
        assert_eq!(api.body, None);
        assert_eq!(server.received().pop().unwrap().body, body.as_bytes());
    }
    // What GraphQL servers would read of it is not read here.
    let (_, api) = post(
        &scene,
        "/graphql",
        &format!("Content-Type: {form}\r\n"),
        b"query={a}",
    );
    let api = api.unwrap();
    assert_eq!(
        (api.body_seen, api.form, api.graphql),
        (false, Some(json!({"query": ["{a}"]})), None)
    );
}

#[test]
fn policy_sees_what_is_asked_for_in_graphql() {
    let (scene, server) = scene();
    let text = br#"{"query":"mutation Query($i: I!) { viewer: deleteIssue(input: $i) { id } }","variables":{"i":{"issueId":"r"}}}"#;
    let (answer, api) = post(
        &scene,
        "/graphql",
        "Content-Type: application/json\r\n",
        text,
    );
    assert_eq!(status(&answer), 200, "{answer}");
    let fields = api.unwrap().graphql.unwrap();
    let [field] = &fields[..] else {
        panic!("{fields:?}")
    };
    assert_eq!(
        (field.operation, field.field.as_str()),
        (GraphqlOperation::Mutation, "deleteIssue")
    );
    assert_eq!(
        field.arguments["input"],
        serde_json::json!({"issueId": "r"})
    );
    let (_, api) = post(
        &scene,
        "/graphql",
        "Content-Type: application/graphql\r\n",
        b"{ viewer { login } }",
    );
    let api = api.unwrap();
    assert_eq!(
        (api.graphql.unwrap()[0].field.as_str(), api.body_seen),
        ("viewer", true)
    );
    assert_eq!(server.received().len(), 2);
    let get = format!(
        "GET /graphql?query=mutation%7BdeleteIssue%7D HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        scene.host(NAME)
    );
    scene.exchange(NAME, get);
    let api = scene.entries().pop().unwrap().api().cloned().unwrap();
    assert_eq!(
        api.graphql.unwrap()[0].operation,
        GraphqlOperation::Mutation
    );
}

#[test]
fn graphql_that_cannot_be_read_is_not_sent() {
    let (scene, server) = scene();
    for body in [
        &br#"{"query":"mutation { deleteRef(input: {) }"}"#[..],
        br#"[{"query":"{ a }"},{"id":"persisted"}]"#,
        br#"{"query":["{ a }"]}"#,
    ] {
        let (answer, _) = post(
            &scene,
            "/api/graphql",
            "Content-Type: application/json\r\n",
            body,
        );
        assert_eq!(
            (status(&answer), &told(&answer)["rule"]),
            (400, &"gate/graphql".into())
        );
    }
    assert!(server.received().is_empty());
}

fn passed(bytes: &[u8]) -> Option<Passed> {
    Some(Passed {
        bytes: u64::try_from(bytes.len()).unwrap(),
        sha256: Digest::of(bytes),
        first: None,
    })
}

#[test]
fn what_passed_of_bodies_is_told_by_digest_also_what_policy_does_not_see() {
    let (scene, server) = scene();
    let long: Vec<u8> = (0..500_000u32).flat_map(u32::to_le_bytes).collect();
    for body in [&b"short"[..], &long] {
        // The server says it back.
        let (answer, api) = post(&scene, "/a", "", body);
        assert_eq!((status(&answer), api.unwrap().body_seen), (200, false));
        let is_told = |entry: &Entry| entry.outcome.is_some() && entry.bodies.sent == passed(body);
        assert_eq!(scene.entry(is_told).bodies.received, passed(body));
    }
    let (_, api) = post(&scene, "/a", "", b"");
    assert!(api.is_some());
    scene.entry(|entry| entry.outcome.is_some() && entry.bodies == Bodies::UNKNOWN);
    assert_eq!(server.received().len(), 3);
}

#[test]
fn what_was_sent_is_told_of_a_client_that_does_not_wait_for_an_answer() {
    let (scene, server) = scene();
    let long: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
    let mut tls = scene.tls(NAME);
    let head = format!(
        "POST /wait HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
        scene.host(NAME),
        long.len()
    );
    tls.write_all(&[head.as_bytes(), &long].concat()).unwrap();
    tls.flush().unwrap();
    let is_sent = || server.received().pop().is_some_and(|one| one.body == long);
    while !is_sent() {
        // Nothing tells when a server has read something.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(tls);
    let entry = scene.entry(|entry| entry.outcome.is_some());
    assert!(matches!(entry.outcome, Some(OutcomeOf::Unanswered { .. })));
    assert_eq!(entry.bodies.sent, passed(&long));
}
