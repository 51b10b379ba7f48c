//! Requests that are signed for AWS: the server receives a signature by the key, over what it receives.

use agentguard_core::{Binding, Credential, CredentialName, Host, Secret, Slot};
use ring::{digest, hmac};

use crate::client::{json, status};
use crate::scene::{Plan, Scene};
use crate::server::{Received, Server};

const NAME: &str = "dynamodb.eu-west-1.amazonaws.com";
const PLACEHOLDER: &str = "AKIAPLACEHOLDER0123456789ABCDEFG";
const ID: &str = "AKIAREALREALREALREAL";
const KEY: &str = "real/key+real/key+real/key+real/key+real";
const TOKEN: &str = "real-session-token-that-is-long-enough";
const DATE: &str = "20260102T030405Z";

fn stage() -> (Server, Scene) {
    let credential = Credential {
        name: CredentialName::parse("aws").unwrap(),
        placeholder: PLACEHOLDER.to_owned(),
        secret: Secret::new(format!("{ID}:{KEY}:{TOKEN}").into_bytes()),
        bound: vec![Binding {
            host: Host::parse(NAME).unwrap(),
            port: 0,
            path: Vec::new(),
            methods: Vec::new(),
            slot: Slot::Aws,
        }],
    };
    let server = Server::tls(NAME, &["http/1.1"]);
    let plan = Plan::new(NAME, server.address, &server.roots).with_credential(credential);
    (server, Scene::begin(plan))
}

fn authorization(scope: &str) -> String {
    format!(
        "authorization: AWS4-HMAC-SHA256 Credential={PLACEHOLDER}/20260102/{scope}/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-gone, Signature={}",
        "a".repeat(64)
    )
}

fn send(scene: &Scene, line: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|one| format!("{one}\r\n")).collect();
    let text = format!(
        "{line} HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         {headers}\r\n{body}",
        scene.host(NAME),
        body.len()
    );
    scene.exchange(NAME, text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// What the server makes of a request: the signature that it expects.
fn expected(received: &Received, path: &str, query: &str, payload: &str) -> String {
    let authorization = received.header("authorization")[0];
    let names = authorization.split("SignedHeaders=").nth(1).unwrap();
    let names = names.split(',').next().unwrap();
    let headers: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", received.header(name).join(",")))
        .collect();
    let method = &received.method;
    let request = format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}");
    let scope = "20260102/eu-west-1/dynamodb/aws4_request";
    let text = format!(
        "AWS4-HMAC-SHA256\n{DATE}\n{scope}\n{}",
        hash(request.as_bytes())
    );
    let steps = scope.split('/').chain([text.as_str()]);
    let last = steps.fold(format!("AWS4{KEY}").into_bytes(), |key, step| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        hmac::sign(&key, step.as_bytes()).as_ref().to_vec()
    });
    format!(
        "AWS4-HMAC-SHA256 Credential={ID}/{scope}, SignedHeaders={names}, Signature={}",
        hex(&last)
    )
}

#[test]
fn what_a_client_signed_with_a_placeholder_is_signed_with_the_key() {
    let (server, scene) = stage();
    let long = "x".repeat(200 << 10);
    let own = hash(b"as the client says");
    let cases = [
        ("POST /a/b%20c?z=1&a=%2f&k", "short", None),
        ("POST /a/b%20c?z=1&a=%2f&k", long.as_str(), None),
        (
            "PUT /a/b%20c?z=1&a=%2f&k",
            long.as_str(),
            Some(own.as_str()),
        ),
        ("PUT /a/b%20c?z=1&a=%2f&k", "", Some("UNSIGNED-PAYLOAD")),
    ];
    for (line, body, payload) in cases {
        let date = format!("x-amz-date: {DATE}");
        let signed = authorization("eu-west-1/dynamodb");
        let payload_header = payload.map(|payload| format!("x-amz-content-sha256: {payload}"));
        let token = format!("x-amz-security-token: {PLACEHOLDER}");
        let mut headers = vec![date.as_str(), &signed, &token];
        headers.extend(payload_header.as_deref());
        let answer = send(&scene, line, &headers, body);
        assert_eq!(status(&answer), 200, "{answer}");
        let received = server.received().last().unwrap().clone();
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(received.header("x-amz-security-token"), [TOKEN]);
        let payload = payload.map_or_else(|| hash(body.as_bytes()), ToOwned::to_owned);
        let expected = expected(&received, "/a/b%2520c", "a=%2F&k=&z=1", &payload);
        assert_eq!(
            received.header("authorization"),
            std::slice::from_ref(&expected)
        );
        assert!(expected.contains("=content-type;host;"), "{expected}");
    }
    assert!(!format!("{:?}", server.received()).contains(PLACEHOLDER));
    let api = scene.entries()[0].api().unwrap().clone();
    assert_eq!(api.credentials, [CredentialName::parse("aws").unwrap()]);
    for secret in [ID, KEY, TOKEN] {
        assert!(!format!("{:?}", scene.entries()).contains(secret));
    }
}

#[test]
fn what_cannot_be_signed_anew_is_refused() {
    let (server, scene) = stage();
    let date = format!("x-amz-date: {DATE}");
    let own = authorization("eu-west-1/dynamodb");
    let streaming = "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let (region, service) = (
        authorization("eu-west-2/dynamodb"),
        authorization("eu-west-1/iam"),
    );
    for headers in [
        vec![own.as_str()],
        vec![&own, "x-amz-date: 20260103T030405Z"],
        vec![&own, &date, streaming],
        vec![&region, &date],
        vec![&service, &date],
    ] {
        let answer = send(&scene, "POST /", &headers, "x");
        assert_eq!(json(&answer)["rule"], "credential/signature", "{headers:?}");
    }
    let answer = send(&scene, "POST /", &[&own, &date], &"x".repeat(9 << 20));
    assert_eq!(json(&answer)["rule"], "credential/signature", "{answer}");
    let token = format!("x-amz-security-token: {PLACEHOLDER}");
    let bearer = format!("authorization: Bearer {PLACEHOLDER}");
    let query = format!("GET /?X-Amz-Credential={PLACEHOLDER}%2F20260102%2Feu-west-1");
    for (line, headers) in [
        ("POST /", vec![token.as_str(), &date]),
        ("POST /", vec![&bearer, &date]),
        (&query, vec![&date]),
    ] {
        let answer = send(&scene, line, &headers, "");
        assert_eq!(json(&answer)["rule"], "credential/misplaced", "{headers:?}");
    }
    assert!(server.received().is_empty());
}
