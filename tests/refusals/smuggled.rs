//! Requests as bytes, from a client that says what it likes: judged by what the server heard.

use std::fmt::Write as _;

use crate::gated::{assert_verifies, network_decisions, repeats, with_server};
use crate::scene::{Ran, Scene};

const SMUGGLE: &str = include_str!("attacks/smuggle.py");

/// What is sent; `^` stands for the end of a line, `@` for a line that names the host.
const SMUGGLED: &[(&str, &str)] = &[
    // Two lengths, two ends, two requests.
    (
        "length-and-chunks",
        "POST / HTTP/1.1^@Content-Length: 6^Transfer-Encoding: chunked^^0^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "chunks-and-length",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^Content-Length: 60^^0^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "two-lengths",
        "GET / HTTP/1.1^@Content-Length: 0^Content-Length: 40^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "length-list",
        "GET / HTTP/1.1^@Content-Length: 0, 40^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "length-sign",
        "GET / HTTP/1.1^@Content-Length: +40^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "other-chunks",
        "GET / HTTP/1.1^@Transfer-Encoding: xchunked^^0^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "chunks-twice",
        "GET / HTTP/1.1^@Transfer-Encoding: chunked^Transfer-Encoding: identity^^0^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "space-before-colon",
        "GET / HTTP/1.1^@Transfer-Encoding : chunked^Content-Length: 0^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "folded",
        "GET / HTTP/1.1^@X-A: 1^ Transfer-Encoding: chunked^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "bare-lines",
        "GET / HTTP/1.1\nHost: api.test\n\nGET /smuggled HTTP/1.1\nHost: api.test\n\n",
    ),
    (
        "bare-return",
        "GET / HTTP/1.1^@X-A: 1\rContent-Length: 40^^GET /smuggled HTTP/1.1^@^",
    ),
    ("nul-in-name", "GET / HTTP/1.1^@X\0A: 1^^"),
    ("nul-in-path", "GET /a\0b HTTP/1.1^@^"),
    ("old-version", "GET / HTTP/1.0^@^"),
    ("no-version", "GET /^@^"),
    // Another host.
    ("two-hosts", "GET / HTTP/1.1^@Host: other.test^^"),
    ("two-hosts-turned", "GET / HTTP/1.1^Host: other.test^@^"),
    ("fronted", "GET / HTTP/1.1^Host: other.test^^"),
    (
        "user-in-host",
        "GET / HTTP/1.1^Host: api.test\u{1}other.test^^",
    ),
    ("nul-in-host", "GET / HTTP/1.1^Host: other.test\0api.test^^"),
    (
        "fragment-in-host",
        "GET / HTTP/1.1^Host: other.test#.api.test^^",
    ),
    ("port-in-host", "GET / HTTP/1.1^Host: api.test:8443^^"),
    ("no-host", "GET / HTTP/1.1^^"),
    ("absolute", "GET http://api.test/ HTTP/1.1^@^"),
    ("absolute-other", "GET http://other.test/ HTTP/1.1^@^"),
    (
        "absolute-and-host",
        "GET http://api.test/ HTTP/1.1^Host: other.test^^",
    ),
    ("authority", "GET api.test:80 HTTP/1.1^@^"),
    ("connect", "CONNECT api.test:80 HTTP/1.1^@^"),
    (
        "connect-other",
        "CONNECT other.test:443 HTTP/1.1^Host: other.test:443^^",
    ),
    ("asterisk", "OPTIONS * HTTP/1.1^@^"),
    // Another protocol.
    (
        "h2c",
        "GET / HTTP/1.1^@Connection: Upgrade, HTTP2-Settings^Upgrade: h2c^HTTP2-Settings: AAMAAABk^Content-Length: 3^^x^^GET /smuggled HTTP/1.1^@^",
    ),
    ("prior-knowledge", "PRI * HTTP/2.0^^SM^^"),
    (
        "upgrade-two",
        "GET / HTTP/1.1^@Connection: Upgrade^Upgrade: websocket, h2c^^",
    ),
    (
        "upgrade-keyless",
        "GET / HTTP/1.1^@Connection: Upgrade^Upgrade: websocket^Sec-WebSocket-Version: 13^^",
    ),
    (
        "websocket",
        "GET /socket HTTP/1.1^@Connection: Upgrade^Upgrade: websocket^Sec-WebSocket-Version: 13^Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==^^GET /smuggled HTTP/1.1^@^",
    ),
    (
        "upgrade-tls",
        "GET / HTTP/1.1^@Connection: Upgrade^Upgrade: TLS/1.3^^GET /smuggled HTTP/1.1^@^",
    ),
    // Another path or method than it looks.
    ("dots", "GET /a/../b HTTP/1.1^@^"),
    ("escaped-dots", "GET /a/%2e%2e/b HTTP/1.1^@^"),
    ("slashes", "GET //other.test/ HTTP/1.1^@^"),
    ("escaped-slash", "GET /a%2Fb HTTP/1.1^@^"),
    ("backslash", "GET /a\\..\\b HTTP/1.1^@^"),
    ("parameters", "GET /a;b HTTP/1.1^@^"),
    ("overlong", "GET /%c0%ae%c0%ae/ HTTP/1.1^@^"),
    ("lower-case", "get / HTTP/1.1^@^"),
    ("trace", "TRACE / HTTP/1.1^@^"),
    (
        "override",
        "GET / HTTP/1.1^@X-HTTP-Method-Override: DELETE^^",
    ),
    ("rewritten", "GET / HTTP/1.1^@X-Original-URL: /admin^^"),
];

/// Sends each case on its own, and says the status by name.
fn send(scene: &Scene, policy: &str, cases: &[(&str, &str)]) -> Ran {
    scene.write("home/work/smuggle.py", SMUGGLE);
    let mut file = String::new();
    for (name, text) in cases {
        let text = text.replace('@', "Host: api.test^").replace('^', "\r\n");
        write!(file, "{name} ").unwrap();
        for byte in text.replace('\u{1}', "@").bytes() {
            write!(file, "{byte:02x}").unwrap();
        }
        file.push('\n');
    }
    scene.write("home/work/cases", &file);
    let words = ["/usr/bin/python3", "smuggle.py", "api.test", "80", "cases"];
    scene.run_with(&[policy], &words)
}

#[test]
fn bytes_that_two_servers_could_read_in_two_ways_reach_none() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let ran = send(scene, &policy, SMUGGLED);
        let statuses: Vec<_> = ran.stdout.lines().collect();
        assert_eq!(statuses.len(), SMUGGLED.len(), "{}", ran.stderr);
        for (line, (name, _)) in statuses.iter().zip(SMUGGLED) {
            let status = line.strip_prefix(name).unwrap().trim();
            assert!(matches!(status, "400" | "403" | "421" | "none"), "{line}");
        }
        // It is connected to before a request is read, and hears not a byte.
        assert_eq!(server.bytes(), 0, "{:?}", server.heads());
        let decided = network_decisions(scene);
        assert!(
            decided.iter().all(|(_, allowed, _)| !allowed),
            "{decided:?}"
        );
        // Each is in the log, and those that are refused alike are counted.
        let repeated = usize::try_from(repeats(scene)).unwrap();
        assert!(decided.len() + repeated >= SMUGGLED.len(), "{decided:?}");
        let neighbour = [("plain", "GET /plain HTTP/1.1^@Connection: close^^")];
        assert_eq!(send(scene, &policy, &neighbour).stdout, "plain 200\n");
        assert_eq!(server.requests(), ["GET /plain HTTP/1.1"]);
        assert_verifies(scene);
    });
}
