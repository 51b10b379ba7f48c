//! Requests that two servers could read in two ways, and requests that say they are others.

use crate::client::{json, status};
use crate::scene::{Plan, Scene};
use crate::server::Server;

const NAME: &str = "api.test";

/// What is sent, the status of the answer, and the rule. `^` stands for the end of a line, `@` for a line
/// that names the host, `NAME` for the host with its port.
const HOSTILE: &[(u16, &str, &str)] = &[
    // Two lengths, two ends, two requests.
    (
        400,
        "gate/request",
        "POST / HTTP/1.1^@Content-Length: 6^Transfer-Encoding: chunked^^0^^DELETE /smuggled HTTP/1.1^@^",
    ),
    (
        400,
        "gate/request",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^Content-Length: 6^^0^^DELETE /smuggled HTTP/1.1^@^",
    ),
    (
        400,
        "gate/request",
        "POST / HTTP/1.1^@Content-Length: 0^Content-Length: 5^^hello",
    ),
    (
        400,
        "gate/request",
        "POST / HTTP/1.1^@Transfer-Encoding: xchunked^^0^^",
    ),
    (
        400,
        "gate/request",
        "POST / HTTP/1.1^@Transfer-Encoding : chunked^Content-Length: 0^^",
    ),
    (400, "gate/request", "GET / HTTP/1.1^@X-A: 1^  folded^^"),
    (400, "gate/request", "GET / HTTP/1.1\nHost: NAME\n\n"),
    (400, "gate/request", "GET / HTTP/1.0^^"),
    (400, "gate/request", "GET / HTTP/1.1^^"),
    (400, "gate/request", "GET /a\0b HTTP/1.1^@^"),
    (400, "gate/request", "GET\0X / HTTP/1.1^@^"),
    (400, "gate/request", "PRI * HTTP/2.0^^SM^^"),
    // Another host than that of the connection.
    (400, "gate/request", "GET / HTTP/1.1^@Host: evil.test^^"),
    (400, "gate/request", "GET / HTTP/1.1^Host: evil.test^@^"),
    (400, "gate/request", "GET http://evil.test/ HTTP/1.1^@^"),
    (
        400,
        "gate/request",
        "GET https://NAME/ HTTP/1.1^Host: evil.test^^",
    ),
    (400, "gate/request", "CONNECT evil.test:443 HTTP/1.1^@^"),
    (421, "gate/host", "GET / HTTP/1.1^Host: evil.test^^"),
    (421, "gate/host", "GET / HTTP/1.1^Host: api.test^^"),
    (
        421,
        "gate/host",
        "GET / HTTP/1.1^Host: api.test@evil.test^^",
    ),
    (421, "gate/host", "GET / HTTP/1.1^Host: evil.test#.NAME^^"),
    (421, "gate/host", "GET / HTTP/1.1^Host: 127.0.0.1^^"),
    // Another path than it looks.
    (400, "gate/path", "GET /a/%2e%2e/b HTTP/1.1^@^"),
    (400, "gate/path", "GET /a/../b HTTP/1.1^@^"),
    (400, "gate/path", "GET /a//b HTTP/1.1^@^"),
    (400, "gate/path", "GET //evil.test/ HTTP/1.1^@^"),
    (400, "gate/path", "GET /a;b HTTP/1.1^@^"),
    (400, "gate/path", "GET /a%2Fb HTTP/1.1^@^"),
    (400, "gate/path", "GET /a\\b HTTP/1.1^@^"),
    (400, "gate/path", "GET /a%5cb HTTP/1.1^@^"),
    (400, "gate/path", "GET /a%00b HTTP/1.1^@^"),
    (400, "gate/path", "GET /%c0%ae%c0%ae/ HTTP/1.1^@^"),
    (400, "gate/path", "OPTIONS * HTTP/1.1^@^"),
    // Another method, or none that is HTTP's for long.
    (400, "gate/method", "delete / HTTP/1.1^@^"),
    (400, "gate/method", "TRACE / HTTP/1.1^@^"),
    (
        400,
        "gate/override",
        "POST / HTTP/1.1^@X-HTTP-Method-Override: DELETE^Content-Length: 0^^",
    ),
    (
        400,
        "gate/override",
        "GET / HTTP/1.1^@X-Original-URL: /admin^^",
    ),
    (
        400,
        "gate/upgrade",
        "GET / HTTP/1.1^@Connection: Upgrade^Upgrade: websocket^Sec-WebSocket-Version: 13^^",
    ),
    // Another body.
    (
        400,
        "gate/body",
        "POST / HTTP/1.1^@Content-Type: application/json^Content-Length: 13^^{\"a\":1,\"a\":2}",
    ),
    (
        400,
        "gate/body",
        "POST / HTTP/1.1^@Content-Length: 13^^{\"a\":1,\"a\":2}",
    ),
    (
        400,
        "gate/body",
        "POST / HTTP/1.1^@Content-Type: application/json^Content-Length: 7^^{\"a\":1;",
    ),
    (
        400,
        "gate/header",
        "POST / HTTP/1.1^@Content-Type: a/b^Content-Type: application/json^Content-Length: 0^^",
    ),
];

#[test]
fn what_two_servers_could_read_in_two_ways_reaches_none() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let scene = Scene::begin(Plan::new(NAME, server.address, &server.roots));
    let name = scene.host(NAME);
    let mut hostile: Vec<_> = HOSTILE
        .iter()
        .map(|(code, rule, text)| {
            let text = text.replace("Host: api.test@", "Host: api.test\u{1}");
            let text = text.replace('@', &format!("Host: {name}^"));
            (
                *code,
                *rule,
                text.replace('\u{1}', "@")
                    .replace("NAME", &name)
                    .replace('^', "\r\n"),
            )
        })
        .collect();
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: {name}\r\n\r\n",
        "a".repeat(70_000)
    );
    hostile.push((400, "gate/request", long));
    for (number, (code, rule, text)) in hostile.iter().enumerate() {
        let answer = scene.exchange(NAME, text);
        assert_eq!(status(&answer), *code, "{text:?} {answer}");
        let told = json(&answer);
        assert_eq!(
            (told["rule"].as_str(), told["entry"].as_u64()),
            (Some(*rule), u64::try_from(number).ok()),
            "{text:?}"
        );
        let entries = scene.entries();
        assert_eq!(
            (entries.len(), entries[number].rule()),
            (number + 1, *rule),
            "{text:?}"
        );
        assert!(
            server.received().is_empty(),
            "{text:?} {:?}",
            server.received()
        );
    }
    // The neighbour that is as it should be passes.
    let answer = scene.exchange(NAME, format!("GET /fine HTTP/1.1\r\nHost: {name}\r\n\r\n"));
    assert_eq!(status(&answer), 200);
    assert_eq!(server.received()[0].uri, "/fine");
}
