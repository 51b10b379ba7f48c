//! Handshakes: who is asked for, who vouches, and what is spoken.

use std::io::{Read as _, Write as _};

use agentguard_core::OutcomeOf;
use tokio_rustls::rustls::CipherSuite;

use crate::client::{json, read_to_end, status};
use crate::scene::{Plan, Scene};
use crate::server::Server;

fn scene() -> (Scene, Server) {
    let server = Server::tls("api.test", &["http/1.1"]);
    let plan = Plan::new("api.test", server.address, &server.roots)
        .with_host("other.test:PORT")
        .with_address("other.test", &server.address.to_string());
    (Scene::begin(plan), server)
}

#[test]
fn a_handshake_is_for_the_name_that_was_looked_up() {
    let (scene, server) = scene();
    // One that was not granted, one that was, and none.
    for to in ["evil.test", "other.test", "127.0.0.1"] {
        let error = scene.tls_to("api.test", to).unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }
    let entries: Vec<_> = (0..3)
        .map(|number| {
            scene.entry(|entry| {
                let named = ["`evil.test`", "`other.test`", "`nobody`"][number];
                entry.rule() == "gate/name" && entry.ruling.rule().reason.contains(named)
            })
        })
        .collect();
    assert!(
        entries
            .iter()
            .all(|entry| entry.reach().unwrap().host == "api.test")
    );
    assert!(server.received().is_empty());
    assert!(scene.tls_to("api.test", "api.test").is_ok());
}

#[test]
fn what_is_neither_tls_nor_http_is_not_passed_on() {
    let (scene, server) = scene();
    for bytes in [
        &b"\x00\x00\x00\x01"[..],
        b"ssh-2.0-x\r\n",
        b"\x05\x01\x00",
        b"\xff\xff",
    ] {
        let mut stream = scene.connect("api.test");
        stream.write_all(bytes).unwrap();
        assert_eq!(read_to_end(&mut stream), "");
    }
    scene.refused_by("gate/protocol");
    for bytes in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"\x16\xff\xff\xff\xff",
        b"\x16\x03\x01\x40\x01",
    ] {
        let mut stream = scene.connect("api.test");
        let _ = stream.write_all(&[bytes, &[0; 20_000]].concat());
        read_to_end(&mut stream);
    }
    scene.refused_by("gate/handshake");
    let mut stream = scene.connect("api.test");
    stream.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
    // It is told in its own words.
    let told = read_to_end(&mut stream);
    assert!(told.starts_with("SSH-2.0-agentguard\r\n"), "{told}");
    assert!(
        told.contains("SSH is not passed on (gate/protocol)"),
        "{told}"
    );
    assert!(server.received().is_empty());
}

#[test]
fn a_server_that_nobody_vouches_for_gets_no_request() {
    let server = Server::tls("api.test", &["http/1.1"]);
    let others = Server::tls("api.test", &["http/1.1"]);
    let scene = Scene::begin(Plan::new("api.test", server.address, &others.roots));
    let answer = scene.exchange(
        "api.test",
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host("api.test")),
    );
    assert_eq!(status(&answer), 502);
    assert!(server.received().is_empty());
    let OutcomeOf::Unanswered { why } = scene.outcome() else {
        panic!("{:?}", scene.outcome());
    };
    assert!(why.contains("certificate"), "{why}");
}

#[test]
fn a_server_with_anothers_certificate_gets_no_request() {
    let server = Server::tls("other.test", &["http/1.1"]);
    let scene = Scene::begin(Plan::new("api.test", server.address, &server.roots));
    let answer = scene.exchange(
        "api.test",
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host("api.test")),
    );
    assert_eq!(status(&answer), 502);
    assert_eq!(json(&answer)["error"], "not answered");
    assert!(server.received().is_empty());
}

#[test]
fn a_client_that_does_not_trust_the_session_says_nothing() {
    let (scene, server) = scene();
    let (other, _server) = self::scene();
    let stream = scene.connect("api.test");
    // It trusts another session's authority.
    assert!(other.handshake(stream, "api.test").is_err());
    assert!(server.received().is_empty());
}

#[test]
fn a_handshake_in_pieces_is_a_handshake() {
    let (scene, server) = scene();
    let mut stream = scene.connect("api.test");
    stream.set_nodelay(true).unwrap();
    let name = "api.test".try_into().unwrap();
    let config = scene.tls_config(&["http/1.1"]);
    let mut client = tokio_rustls::rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut hello).unwrap();
    }
    for byte in hello {
        stream.write_all(&[byte]).unwrap();
    }
    while client.is_handshaking() {
        client.complete_io(&mut stream).unwrap();
    }
    let mut tls = tokio_rustls::rustls::StreamOwned::new(client, stream);
    let request = format!(
        "GET /in-pieces HTTP/1.1\r\nHost: {}\r\n\r\n",
        scene.host("api.test")
    );
    tls.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    tls.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(server.received()[0].uri, "/in-pieces");
}

#[test]
fn clients_that_can_are_spoken_to_with_what_takes_the_least() {
    let (scene, _server) = scene();
    let tls = scene.tls("api.test");
    let suite = tls.conn.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
}
