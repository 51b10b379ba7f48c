//! Credentials: the placeholder goes in, the secret comes out where it is bound to, and neither goes anywhere
//! else.

use std::io::Write as _;

use agentguard_core::{Binding, Credential, CredentialName, Host, OutcomeOf, Secret, Slot};
use base64ct::{Base64, Encoding as _};
use hyper::body::Bytes;

use crate::client::{json, read_until, status};
use crate::flows::{Once, http2, request};
use crate::scene::{Entry, Plan, Scene};
use crate::server::{Server, says, says_once};

const NAME: &str = "api.test";
const PLACEHOLDER: &str = "ghp_placeholder0123456789ABCDEF";
const SECRET: &str = "ghp_secret/+987654321\"abcdefxyz";

fn lent(slots: &[Slot], secret: &str) -> Credential {
    let bound = |slot: &Slot| Binding {
        host: Host::parse(NAME).unwrap(),
        port: 0,
        path: Vec::new(),
        methods: Vec::new(),
        slot: slot.clone(),
    };
    Credential {
        name: CredentialName::parse("github").unwrap(),
        placeholder: PLACEHOLDER.to_owned(),
        secret: Secret::new(secret.as_bytes().to_vec()),
        bound: slots.iter().map(bound).collect(),
    }
}

fn header(name: &str) -> Slot {
    Slot::Header {
        name: name.to_owned(),
    }
}

fn query(name: &str) -> Slot {
    Slot::Query {
        name: name.to_owned(),
    }
}

fn all_slots() -> Vec<Slot> {
    vec![
        header("authorization"),
        header("x-api-key"),
        Slot::Basic,
        query("key"),
    ]
}

struct Stage {
    server: Server,
    scene: Scene,
}

fn stage(credential: Credential, protocol: &str) -> Stage {
    let server = Server::tls(NAME, &[protocol]);
    let plan = Plan::new(NAME, server.address, &server.roots).with_credential(credential);
    let scene = Scene::begin(plan);
    Stage { server, scene }
}

/// One that has all slots, at a server of HTTP/1.1.
fn usual() -> Stage {
    stage(lent(&all_slots(), SECRET), "http/1.1")
}

impl Stage {
    /// Sends a request with these lines besides its host, and a body.
    fn send(&self, line: &str, headers: &[String], body: &str) -> String {
        let mut text = format!("{line} HTTP/1.1\r\nhost: {}\r\n", self.scene.host(NAME));
        for header in headers {
            text.push_str(&format!("{header}\r\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        self.scene.exchange(NAME, format!("{text}\r\n{body}"))
    }

    /// What the server received, whole and in one text.
    fn received(&self) -> String {
        format!("{:?}", self.server.received())
    }
}

fn is_misplaced(answer: &str) {
    assert_eq!(status(answer), 403, "{answer}");
    let told = json(answer);
    assert_eq!(told["rule"], "credential/misplaced", "{answer}");
    assert!(told["reason"].as_str().unwrap().contains("`github`"));
    assert!(told["entry"].is_number());
    assert!(!answer.contains(SECRET));
}

#[test]
fn what_is_bound_to_a_header_is_put_there() {
    let stage = usual();
    for (line, expected) in [
        (
            format!("authorization: Bearer {PLACEHOLDER}"),
            format!("Bearer {SECRET}"),
        ),
        (
            format!("Authorization: token {PLACEHOLDER}"),
            format!("token {SECRET}"),
        ),
        (format!("authorization: {PLACEHOLDER}"), SECRET.to_owned()),
    ] {
        let answer = stage.send("GET /", &[line], "");
        assert_eq!(status(&answer), 200, "{answer}");
        let received = stage.server.received();
        let received = received.last().unwrap();
        assert_eq!(received.header("authorization"), [expected]);
        assert_eq!(received.header("accept-encoding"), ["identity"]);
    }
    let twice = [
        format!("x-api-key: {PLACEHOLDER}"),
        "x-api-key: other".to_owned(),
        format!("X-Api-Key: {PLACEHOLDER}"),
        format!("authorization: Bearer {PLACEHOLDER}"),
    ];
    assert_eq!(status(&stage.send("GET /", &twice, "")), 200);
    let received = stage.server.received();
    let received = received.last().unwrap();
    assert_eq!(received.header("x-api-key"), [SECRET, "other", SECRET]);
    assert_eq!(
        received.header("authorization"),
        [format!("Bearer {SECRET}")]
    );
    // Policy was told whose it is, and of no secret.
    for entry in stage.scene.entries() {
        let api = entry.api().unwrap();
        assert_eq!(api.credentials, [CredentialName::parse("github").unwrap()]);
        assert!(!format!("{entry:?}").contains(SECRET));
    }
    assert!(!stage.received().contains(PLACEHOLDER));
}

#[test]
fn what_is_bound_to_basic_authentication_is_put_there_as_user_or_password() {
    let stage = usual();
    for (before, behind) in [
        ("x-access-token:", ""),
        ("", ":"),
        ("", ":x-oauth-basic"),
        (":", ""),
    ] {
        let both = format!("{before}{PLACEHOLDER}{behind}");
        let line = format!(
            "authorization: Basic {}",
            Base64::encode_string(both.as_bytes())
        );
        assert_eq!(status(&stage.send("GET /", &[line], "")), 200);
        let expected = format!("{before}{SECRET}{behind}");
        let expected = format!("Basic {}", Base64::encode_string(expected.as_bytes()));
        let received = stage.server.received();
        assert_eq!(received.last().unwrap().header("authorization"), [expected]);
    }
    for both in [
        format!("x{PLACEHOLDER}:"),
        format!("u:{PLACEHOLDER}x"),
        format!("{PLACEHOLDER}:x{PLACEHOLDER}"),
        PLACEHOLDER.to_owned(),
    ] {
        let line = format!(
            "authorization: Basic {}",
            Base64::encode_string(both.as_bytes())
        );
        is_misplaced(&stage.send("GET /", &[line], ""));
    }
}

#[test]
fn what_is_bound_to_a_query_is_put_there_in_escapes() {
    let stage = usual();
    let escaped = "ghp_secret%2F%2B987654321%22abcdefxyz";
    for (line, expected) in [
        (
            format!("GET /v1/x?a=1&key={PLACEHOLDER}&b=%2f"),
            format!("/v1/x?a=1&key={escaped}&b=%2F"),
        ),
        (
            format!("GET /?key={}", PLACEHOLDER.replace('g', "%67")),
            format!("/?key={escaped}"),
        ),
        (
            format!("GET /?k%65y={PLACEHOLDER}&key={PLACEHOLDER}"),
            format!("/?key={escaped}&key={escaped}"),
        ),
    ] {
        let answer = stage.send(&line, &[], "");
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(stage.server.received().last().unwrap().uri, expected);
    }
}

/// A line, headers, and a body, in which `{}` is the placeholder, `{%}` the same in escapes, `{64}` in base64,
/// and `{a}` in lower case.
const MISPLACED: [(&str, &str, &str); 29] = [
    ("GET /", "x-other: {}", ""),
    ("GET /", "x-other: {%}", ""),
    ("GET /", "cookie: a=b; t={}", ""),
    ("GET /", "authorization: Bearer {}x", ""),
    ("GET /", "authorization: Bearer x {}", ""),
    ("GET /", "authorization: Bearer  {}", ""),
    ("GET /", "authorization: {} {}", ""),
    ("GET /", "authorization: Bearer {64}", ""),
    ("GET /", "{a}: 1", ""),
    // What goes no further takes nothing along, and is no use of it.
    ("GET /", "proxy-authorization: Bearer {}", ""),
    (
        "GET /",
        "connection: authorization|authorization: Bearer {}",
        "",
    ),
    ("GET /a/{}/b", "", ""),
    ("GET /{%}", "", ""),
    ("GET /?other={}", "", ""),
    ("GET /?{}", "", ""),
    ("GET /?{}=1", "", ""),
    ("GET /?key={}x", "", ""),
    ("GET /?key={64}", "", ""),
    ("POST /", "", "x{}y"),
    ("POST /", "", "t={%}"),
    ("POST /", "", "{64}"),
    (
        "POST /",
        "content-type: application/json",
        "{\"a\":\"\\u0067{-}\"}",
    ),
    ("PUT /", "content-type: text/plain", "{long}"),
    // What is right in one place makes nothing right in another.
    ("POST /", "x-api-key: {}", "{}"),
    ("GET /?key={}&x={}", "", ""),
    ("GET /?key={}&x={%}", "", ""),
    ("GET /?key={}&{}=1", "", ""),
    ("GET /{}?key={}", "", ""),
    ("GET /?a=pla&{}", "x-api-key: {}", ""),
];

#[test]
fn a_placeholder_anywhere_else_is_refused_and_told_of() {
    let stage = usual();
    let percent: String = PLACEHOLDER
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let filled = |text: &str| {
        let base64 = Base64::encode_string(format!("a{PLACEHOLDER}").as_bytes());
        text.replace("{}", PLACEHOLDER)
            .replace("{%}", &percent)
            .replace("{64}", &base64)
            .replace("{a}", &PLACEHOLDER.to_lowercase())
            .replace("{-}", &PLACEHOLDER[1..])
            .replace("{long}", &format!("{}{PLACEHOLDER}", "x".repeat(5000)))
    };
    for (line, headers, body) in MISPLACED {
        let headers = filled(headers);
        let headers: Vec<_> = headers.split('|').filter(|one| !one.is_empty()).collect();
        let headers: Vec<String> = headers.into_iter().map(ToOwned::to_owned).collect();
        is_misplaced(&stage.send(&filled(line), &headers, &filled(body)));
    }
    assert_eq!(stage.received(), "[]");
    let entries = stage.scene.entries();
    assert_eq!(entries.len(), MISPLACED.len());
    let is_rule = |entry: &Entry| entry.rule() == "credential/misplaced";
    assert!(entries.iter().all(is_rule));
    let misused = stage.scene.log.misused.lock().unwrap().clone();
    assert_eq!(misused, ["github"; MISPLACED.len()]);
    // Its neighbour passes.
    let near = format!("x-other: {}", &PLACEHOLDER[1..]);
    let answer = stage.send("POST /", &[near], &PLACEHOLDER[..30]);
    assert_eq!(status(&answer), 200);
}

#[test]
fn a_credential_goes_only_where_its_binding_says() {
    let mut credential = lent(&[header("authorization")], SECRET);
    credential.bound[0].path = vec!["repos".into(), "acme".into(), "**".into()];
    credential.bound[0].methods = vec!["GET".into()];
    let server = Server::tls(NAME, &["http/1.1"]);
    let plan = Plan::new(NAME, server.address, &server.roots)
        .with_credential(credential)
        .with_host("other.test:PORT")
        .with_address("other.test", &server.address.to_string());
    let stage = Stage {
        server,
        scene: Scene::begin(plan),
    };
    let bearer = [format!("authorization: Bearer {PLACEHOLDER}")];
    let plain = format!(
        "GET /repos/acme/x HTTP/1.1\r\nhost: {}\r\n{}\r\n\r\n",
        stage.scene.host("other.test"),
        bearer[0]
    );
    is_misplaced(&stage.scene.exchange("other.test", plain));
    for line in [
        "POST /repos/acme/x",
        "GET /repos/evil/x",
        "GET /user",
        "DELETE /repos/acme/x",
    ] {
        let answer = stage.send(line, &bearer, "");
        is_misplaced(&answer);
        assert!(
            json(&answer)["remedy"]
                .as_str()
                .unwrap()
                .contains("repos/acme/**"),
            "{answer}"
        );
    }
    assert_eq!(stage.received(), "[]");
    assert_eq!(status(&stage.send("GET /repos/acme/x", &bearer, "")), 200);
    assert_eq!(
        stage.server.received()[0].header("authorization"),
        [format!("Bearer {SECRET}")]
    );
}

#[test]
fn a_credential_does_not_go_in_the_clear() {
    let server = Server::clear();
    let plan = Plan::new(NAME, server.address, "").with_credential(lent(&all_slots(), SECRET));
    let scene = Scene::begin(plan);
    let mut stream = scene.connect(NAME);
    let text = format!(
        "GET / HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {PLACEHOLDER}\r\n\r\n",
        scene.host(NAME)
    );
    stream.write_all(text.as_bytes()).unwrap();
    read_until(&mut stream, "credential/misplaced");
    assert!(server.received().is_empty());
}

#[test]
fn a_server_that_cannot_be_verified_gets_nothing() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let other = Server::tls(NAME, &["http/1.1"]);
    let plan =
        Plan::new(NAME, server.address, &other.roots).with_credential(lent(&all_slots(), SECRET));
    let stage = Stage {
        server,
        scene: Scene::begin(plan),
    };
    let answer = stage.send("GET /", &[format!("x-api-key: {PLACEHOLDER}")], "");
    assert_eq!(status(&answer), 502, "{answer}");
    assert_eq!(stage.received(), "[]");
}

#[test]
fn what_is_not_permitted_takes_no_secret_along() {
    let stage = usual();
    let answer = stage.send("DELETE /", &[format!("x-api-key: {PLACEHOLDER}")], "");
    assert_eq!(json(&answer)["rule"], "api/no-delete");
    assert_eq!(stage.received(), "[]");
    let entry = stage.scene.refused_by("api/no-delete");
    assert_eq!(entry.api().unwrap().credentials.len(), 1);
}

#[test]
fn a_name_that_holds_a_placeholder_is_not_looked_up() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let mut credential = lent(&all_slots(), SECRET);
    credential.placeholder = PLACEHOLDER.replace('_', "");
    let label = credential.placeholder.to_lowercase();
    let plan = Plan::new(NAME, server.address, &server.roots)
        .with_host("*.evil.test:PORT")
        .with_credential(credential);
    let scene = Scene::begin(plan);
    for name in [
        format!("{label}.evil.test"),
        format!("a.x{label}x.test"),
        label.replace("place", "pl.ace"),
    ] {
        assert_eq!(scene.look_up(&name), (3, None), "{name}");
    }
    let entries = scene.entries();
    assert!(
        entries
            .iter()
            .all(|entry| entry.rule() == "credential/misplaced"),
        "{entries:?}"
    );
    assert_eq!(entries.len(), 3);
    assert!(scene.tls_to(NAME, &format!("{label}.evil.test")).is_err());
    let last = scene.entries().last().unwrap().clone();
    assert_eq!(last.rule(), "credential/misplaced");
    assert_eq!(scene.look_up("fine.evil.test").0, 0);
}

#[test]
fn a_body_is_broken_off_before_the_placeholder_is_whole() {
    for protocol in ["http/1.1", "h2"] {
        let stage = stage(lent(&all_slots(), SECRET), protocol);
        // Longer than what is read before it is judged.
        let mut body = vec![b'x'; 300 << 10];
        body.extend(PLACEHOLDER.bytes());
        body.extend([b'y'; 100 << 10]);
        if protocol == "h2" {
            let uri = format!("https://{}/", stage.scene.host(NAME));
            let one = request("POST", uri).body(Once(Some(body.into()))).unwrap();
            let answers = http2(&stage.scene, vec![one]);
            let (status, text) = answers[0].clone().unwrap();
            assert_eq!(status, 403);
            assert!(String::from_utf8_lossy(&text).contains("credential/misplaced"));
        } else {
            let mut text = format!(
                "POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
                stage.scene.host(NAME),
                body.len()
            )
            .into_bytes();
            text.extend(body);
            is_misplaced(&stage.scene.exchange(NAME, text));
        }
        let OutcomeOf::Unanswered { why } = stage.scene.outcome() else {
            panic!("it was answered");
        };
        assert!(why.contains("placeholder of `github`"), "{why}");
        stage.scene.refused_by("credential/misplaced");
        for received in stage.server.received() {
            let text = String::from_utf8_lossy(&received.body).into_owned();
            assert!(!text.contains(PLACEHOLDER), "{protocol}");
            assert!(!text.contains('y'));
        }
    }
}

#[test]
fn an_answer_that_holds_the_secret_has_the_placeholder_instead() {
    for secret in [SECRET, "much-longer-secret-than-its-placeholder-is"] {
        for protocol in ["http/1.1", "h2"] {
            let stage = stage(lent(&all_slots(), secret), protocol);
            let basic = Base64::encode_string(format!("u:{PLACEHOLDER}").as_bytes());
            let path = format!("/mirror?key={PLACEHOLDER}");
            let (answer, status) = if protocol == "h2" {
                let uri = format!("https://{}{path}", stage.scene.host(NAME));
                let one = request("GET", uri)
                    .header("x-api-key", PLACEHOLDER)
                    .header("authorization", format!("Basic {basic}"))
                    .body(Once(None))
                    .unwrap();
                let (status, body) = http2(&stage.scene, vec![one])[0].clone().unwrap();
                (String::from_utf8(body).unwrap(), status)
            } else {
                let headers = [
                    format!("x-api-key: {PLACEHOLDER}"),
                    format!("authorization: Basic {basic}"),
                ];
                let answer = stage.send(&format!("GET {path}"), &headers, "");
                assert!(
                    answer.contains(&format!("location: /mirror?key={PLACEHOLDER}")),
                    "{answer}"
                );
                assert!(
                    answer.contains(&format!("set-cookie: {PLACEHOLDER}")),
                    "{answer}"
                );
                let is_measured = answer.contains("content-length: ");
                assert_eq!(is_measured, secret.len() == PLACEHOLDER.len());
                let code = crate::client::status(&answer);
                (answer, code)
            };
            assert_eq!(status, 200);
            assert!(stage.received().contains(&format!("{secret:?}")));
            assert!(
                answer.contains(&format!("x-api-key: {PLACEHOLDER}")),
                "{answer}"
            );
            let is_some = |part: &&str| !part.is_empty();
            for part in secret.split(['/', '+', '"']).filter(is_some) {
                assert!(!answer.contains(part), "{part} in {answer}");
            }
            let received = &stage.server.received()[0];
            let sent = received.header("authorization")[0].to_owned();
            let letters = sent.trim_end_matches('=').strip_prefix("Basic ").unwrap();
            assert!(!answer.contains(&letters[4..letters.len() - 2]), "{answer}");
        }
    }
}

/// What a secret may look like when a server says it.
fn forms(of: &str) -> Vec<String> {
    let percent = |is_upper: bool| {
        let escape = |byte: u8| {
            if is_upper {
                format!("%{byte:02X}")
            } else {
                format!("%{byte:02x}")
            }
        };
        of.bytes().map(escape).collect::<String>()
    };
    let json = serde_json::to_string(of).unwrap();
    let mut forms = vec![
        of.to_owned(),
        percent(true),
        percent(false),
        json[1..json.len() - 1].to_owned(),
        json[1..json.len() - 1]
            .replace('/', "\\/")
            .replace('s', "\\u0073"),
    ];
    for before in ["", "a", "bc"] {
        let whole = format!(
            "{before}{of}{}",
            &"zzz"[..(6 - (before.len() + of.len()) % 3) % 3]
        );
        forms.push(Base64::encode_string(whole.as_bytes()));
        forms.push(base64ct::Base64Url::encode_string(whole.as_bytes()));
    }
    forms
}

#[test]
fn a_stream_is_passed_as_it_comes_and_a_secret_in_it_however_it_is_cut_is_not() {
    let stage = usual();
    let mut tls = stage.scene.tls(NAME);
    let host = stage.scene.host(NAME);
    tls.write_all(format!("GET /stream HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())
        .unwrap();
    // Nothing waits for what may be the beginning of nothing.
    stage.server.say("data: first\n\n");
    let mut all = read_until(&mut tls, "data: first\n\n");
    let (secrets, placeholders) = (forms(SECRET), forms(PLACEHOLDER));
    for secret in &secrets {
        for cut in 0..=secret.len() {
            stage.server.say(&format!("<{}", &secret[..cut]));
            if cut < secret.len() {
                stage.server.say(&secret[cut..]);
            }
            stage.server.say(">\n\n");
        }
    }
    stage.server.say("data: last\n\n");
    all.push_str(&read_until(&mut tls, "data: last\n\n"));
    let told: String = all
        .split("\r\n")
        .filter(|line| !line.is_empty() && line.bytes().any(|byte| !byte.is_ascii_hexdigit()))
        .collect();
    for secret in &secrets {
        let inner = &secret[4..secret.len() - 4];
        assert!(!told.contains(inner), "{inner}");
    }
    assert!(!told.contains("secret"), "{told}");
    let plain: usize = secrets.iter().take(5).map(|secret| secret.len() + 1).sum();
    assert_eq!(told.matches(&format!("<{PLACEHOLDER}>")).count(), plain);
    // In base64 whatever stood around it still does.
    for (secret, placeholder) in secrets.iter().zip(&placeholders).skip(5) {
        let inner = &placeholder[4..placeholder.len() - 4];
        let count = told.matches(inner).count();
        assert!(count > secret.len(), "{count} of {placeholder}");
    }
    stage.server.say("");
}

#[test]
fn what_was_held_back_is_handed_on_at_the_end() {
    let stage = usual();
    let answer = stage.send("POST /", &[], &SECRET[..20]);
    assert!(answer.ends_with(&SECRET[..20]), "{answer}");
    let body = format!("{SECRET}{}", &SECRET[..9]);
    let answer = stage.send("POST /", &[], &body);
    assert!(
        answer.ends_with(&format!("{PLACEHOLDER}{}", &SECRET[..9])),
        "{answer}"
    );
    assert!(answer.contains(&format!("content-length: {}", body.len())));
}

#[test]
fn an_answer_that_cannot_be_read_is_refused() {
    let stage = usual();
    for headers in [
        vec![format!("x-api-key: {PLACEHOLDER}")],
        vec!["accept-encoding: gzip".to_owned()],
    ] {
        let answer = stage.send("POST /gzip", &headers, "compressed");
        assert_eq!(status(&answer), 502, "{answer}");
        assert!(!answer.ends_with("compressed"));
    }
    assert_eq!(
        stage.server.received()[1].header("accept-encoding"),
        ["identity"]
    );
    let OutcomeOf::Unanswered { why } = stage.scene.outcome() else {
        panic!("it was answered");
    };
    assert!(why.contains("compressed"), "{why}");
}

#[test]
fn over_http2_it_is_the_same() {
    let stage = stage(lent(&all_slots(), SECRET), "h2");
    let uri = |path: &str| format!("https://{}{path}", stage.scene.host(NAME));
    let plain = |path: String| request("POST", uri(&path));
    let answers = http2(
        &stage.scene,
        vec![
            plain("/".into())
                .header("x-other", PLACEHOLDER)
                .body(Once(None))
                .unwrap(),
            plain("/".into())
                .header("content-length", PLACEHOLDER.len())
                .body(Once(Some(Bytes::from(PLACEHOLDER))))
                .unwrap(),
            plain(format!("/{PLACEHOLDER}")).body(Once(None)).unwrap(),
        ],
    );
    for answer in &answers {
        assert_eq!(answer.as_ref().unwrap().0, 403);
    }
    assert_eq!(stage.received(), "[]");
    for _ in 0..2 {
        let one = plain(format!("/?key={PLACEHOLDER}"))
            .header("authorization", format!("Bearer {PLACEHOLDER}"))
            .body(Once(None))
            .unwrap();
        assert_eq!(http2(&stage.scene, vec![one])[0].as_ref().unwrap().0, 200);
        let received = stage.server.received();
        let received = received.last().unwrap();
        assert_eq!(
            received.header("authorization"),
            [format!("Bearer {SECRET}")]
        );
        assert!(
            received
                .uri
                .ends_with("/?key=ghp_secret%2F%2B987654321%22abcdefxyz")
        );
    }
}

#[test]
fn what_stands_behind_a_body_is_looked_through_too() {
    let stage = stage(lent(&all_slots(), SECRET), "h2");
    let uri = format!("https://{}/trailers", stage.scene.host(NAME));
    let one = request("GET", uri)
        .header("x-api-key", PLACEHOLDER)
        .body(Once(None))
        .unwrap();
    let (body, trailers) = crate::flows::trailed(&stage.scene, one);
    // Its end could have been the beginning of one.
    assert_eq!(body, b"behind ghp_s");
    assert_eq!(trailers["x-api-key"], PLACEHOLDER);
    let received = stage.server.received();
    assert_eq!(received[0].header("x-api-key"), [SECRET]);
}

/// Whether a request's headers came, by HTTP/2 (RFC 9113, sections 3.4, 4.1 and 6.2).
fn has_headers(said: &[u8]) -> bool {
    let mut rest = said.get(24..).unwrap_or_default();
    while let Some(([high, mid, low, kind, ..], _)) = rest.split_first_chunk::<9>() {
        if *kind == 1 {
            return true;
        }
        let length = u32::from_be_bytes([0, *high, *mid, *low]);
        rest = rest.get(9 + length as usize..).unwrap_or_default();
    }
    false
}

#[test]
fn what_a_server_says_as_it_ends_a_connection_is_looked_through_too() {
    const SAYS: &str = "ghp_secret0123456789abcdef";
    // Settings, and a GOAWAY for an error of the protocol's, of no stream, with a text behind it (section 6.8).
    const GOES: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x22\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\
        ghp_secret0123456789abcdef";
    let (address, roots) = says_once(NAME, "h2", has_headers, GOES, |tls| {
        let _ = std::io::copy(tls, &mut std::io::sink());
    });
    let plan = Plan::new(NAME, address, &roots);
    let scene = Scene::begin(plan.with_credential(lent(&all_slots(), SAYS)));
    let one = request("GET", format!("https://{}/", scene.host(NAME)))
        .header("x-api-key", PLACEHOLDER)
        .body(Once(None))
        .unwrap();
    let (status, body) = http2(&scene, vec![one])[0].clone().unwrap();
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, 502);
    assert!(body.contains(PLACEHOLDER) && !body.contains(SAYS), "{body}");
    let OutcomeOf::Unanswered { why } = scene.outcome() else {
        panic!("{:?}", scene.outcome());
    };
    assert!(why.contains(PLACEHOLDER) && !why.contains(SAYS), "{why}");
}

#[test]
fn headers_with_which_a_connection_stops_being_http_are_looked_through_too() {
    const TAKEN: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\
        X-Heard: Bearer ghp_secret0123456789abcdef\r\n\r\n";
    let (address, roots) = says(NAME, TAKEN, |_| {});
    let plan = Plan::new(NAME, address, &roots);
    let credential = lent(&all_slots(), "ghp_secret0123456789abcdef");
    let scene = Scene::begin(plan.with_credential(credential));
    let mut tls = scene.tls(NAME);
    let asked = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: x\r\nX-Api-Key: {PLACEHOLDER}\r\n\r\n",
        scene.host(NAME)
    );
    tls.write_all(asked.as_bytes()).unwrap();
    let head = read_until(&mut tls, "\r\n\r\n");
    assert_eq!(status(&head), 101, "{head}");
    let heard = format!("x-heard: Bearer {PLACEHOLDER}\r\n");
    assert!(head.contains(&heard), "{head}");
}

#[test]
fn an_answer_that_would_not_be_as_long_as_it_said_is_broken_off() {
    let stage = usual();
    // Two bytes for one letter, which no other letter can be written in.
    let body = format!(
        "{{\"a\":\"{}\"}}",
        SECRET.replace('/', "\\/").replace('"', "\\\"")
    );
    let answer = stage.send("POST /", &["content-type: text/plain".to_owned()], &body);
    // How much of it came before is not said.
    let came = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    assert!(
        !came.contains("secret") && came.len() < body.len(),
        "{came}"
    );
    let OutcomeOf::Unanswered { why } = stage.scene.outcome() else {
        panic!("it was answered");
    };
    assert!(why.contains("not as long as it said"), "{why}");
}
