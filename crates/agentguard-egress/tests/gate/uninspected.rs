//! Hosts whose TLS is passed on as it is: to the name that was looked up, where policy permits it, and told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use agentguard_core::{Action, OutcomeOf, ReachedBy, Rule, Verdict};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::client::{read_to_end, read_until, status, trusting};
use crate::scene::{Plan, Scene};
use crate::server::Server;

const NAME: &str = "pinned.test";

fn plan(address: std::net::SocketAddr) -> Plan {
    let mut plan = Plan::new(NAME, address, "");
    plan.uninspected = vec![NAME.to_owned()];
    plan.says = Arc::new(|action| {
        if matches!(action, Action::Reach(reach) if reach.by == ReachedBy::Tunnel) {
            return Verdict::Allow(Rule::new("reach/unseen", "it may"));
        }
        Verdict::Deny(Rule::new("reach/no", "it may not"))
    });
    plan
}

/// What a client says first that wants to speak to `name`.
fn hello(config: Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// A server that is to get nothing.
fn nobody() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

#[test]
fn a_host_that_is_not_inspected_is_spoken_to_under_its_own_certificate() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let scene = Scene::begin(plan(server.address));
    let mut stream = scene.connect(NAME);
    let name = ServerName::try_from(NAME).unwrap();
    // It trusts the server's authority, and not the session's.
    let config = trusting(&server.roots, &["http/1.1"]);
    let mut connection = ClientConnection::new(config, name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).unwrap();
    }
    let mut tls = StreamOwned::new(connection, stream);
    let text = format!("DELETE /x HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 2\r\n\r\nhi");
    tls.write_all(text.as_bytes()).unwrap();
    let answer = read_until(&mut tls, "hi");
    assert_eq!(status(&answer), 200);
    assert_eq!(server.received()[0].method, "DELETE");
    drop(tls);
    let entry = scene.entry(|entry| entry.outcome.is_some());
    let reach = entry.reach().unwrap();
    assert_eq!(
        (reach.by, reach.host.as_str(), reach.granted),
        (ReachedBy::Tunnel, NAME, true)
    );
    let Some(OutcomeOf::Passed { sent, received, .. }) = entry.outcome else {
        panic!("{:?}", entry.outcome);
    };
    assert!(sent > 300 && received > 300, "{sent} {received}");
    assert_eq!(scene.entries().len(), 1);
}

#[test]
fn a_connection_that_is_not_inspected_is_for_the_name_that_was_looked_up() {
    let server = nobody();
    let scene = Scene::begin(plan(server.local_addr().unwrap()));
    let config = || trusting(&scene.authority, &["http/1.1"]);
    let hellos = [
        ("gate/name", hello(config(), "other.test")),
        ("gate/name", hello(config(), "sub.pinned.test")),
        // One for an address names nobody.
        ("gate/name", hello(config(), "192.0.2.1")),
        ("gate/handshake", b"\x16\x03\x01\x00\x05hello".to_vec()),
        (
            "gate/handshake",
            [&b"\x16\x03\x01\x40\x00\x01\x00\xff\xff"[..], &[0; 40_000]].concat(),
        ),
    ];
    for (number, (rule, bytes)) in hellos.iter().enumerate() {
        let mut stream = scene.connect(NAME);
        // It may end the connection before all of it was said.
        let _ = stream.write_all(bytes);
        read_to_end(&mut stream);
        let entries = scene.entries();
        assert_eq!((entries.len(), entries[number].rule()), (number + 1, *rule));
    }
    assert!(server.accept().is_err());
}

#[test]
fn a_connection_that_is_not_inspected_is_made_where_policy_permits_it() {
    let server = nobody();
    let mut plan = plan(server.local_addr().unwrap());
    plan.says = Arc::new(|_| Verdict::Deny(Rule::new("reach/no", "it may not")));
    let scene = Scene::begin(plan);
    let mut stream = scene.connect(NAME);
    let bytes = hello(trusting(&scene.authority, &[]), NAME);
    stream.write_all(&bytes).unwrap();
    read_to_end(&mut stream);
    assert_eq!(
        scene.refused_by("reach/no").reach().unwrap().by,
        ReachedBy::Tunnel
    );
    scene
        .log
        .is_full
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let mut stream = scene.connect(NAME);
    stream.write_all(&bytes).unwrap();
    read_to_end(&mut stream);
    assert!(server.accept().is_err());
}

#[test]
fn a_host_that_is_not_inspected_is_in_the_clear_as_any_other() {
    let server = Server::clear();
    let scene = Scene::begin(plan(server.address));
    let mut stream = scene.connect(NAME);
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    stream.write_all(text.as_bytes()).unwrap();
    assert_eq!(status(&read_until(&mut stream, "}")), 403);
    assert!(server.received().is_empty());
}

#[test]
fn a_handshake_in_pieces_is_passed_on_as_it_came() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let scene = Scene::begin(plan(server.local_addr().unwrap()));
    let mut stream = scene.connect(NAME);
    let bytes = hello(trusting(&scene.authority, &[]), NAME);
    // Records of a few bytes, each sent by itself.
    let mut cut = Vec::new();
    for piece in bytes[5..].chunks(40) {
        let record = [
            &[22, 3, 1, 0, u8::try_from(piece.len()).unwrap()][..],
            piece,
        ]
        .concat();
        stream.write_all(&record).unwrap();
        cut.extend(record);
        // So that it is not read together with the next.
        std::thread::sleep(Duration::from_millis(5));
    }
    let (mut met, _) = server.accept().unwrap();
    let mut received = vec![0; cut.len()];
    met.read_exact(&mut received).unwrap();
    assert_eq!(received, cut);
    met.write_all(b"answer").unwrap();
    drop(met);
    assert_eq!(read_to_end(&mut stream), "answer");
    let told = scene
        .entry(|entry| entry.outcome.is_some())
        .outcome
        .unwrap();
    assert!(
        matches!(told, OutcomeOf::Passed { received: 6, .. }),
        "{told:?}"
    );
}

#[test]
fn a_host_that_is_not_inspected_and_not_there_is_told() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let scene = Scene::begin(plan(address));
    let mut stream: TcpStream = scene.connect(NAME);
    stream
        .write_all(&hello(trusting(&scene.authority, &[]), NAME))
        .unwrap();
    assert_eq!(read_to_end(&mut stream), "");
    let told = scene
        .entry(|entry| entry.outcome.is_some())
        .outcome
        .unwrap();
    assert!(matches!(told, OutcomeOf::Unanswered { .. }), "{told:?}");
}
