//! Lookups, and connections to what is at the other end of none.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use agentguard_core::{AddressClass, OutcomeOf, ReachedBy, Rule, Verdict};

use crate::client::{json, question, read_answer, read_to_end, read_until, status};
use crate::scene::{Entry, Plan, Scene};
use crate::server::Server;

const NO_SUCH_NAME: u8 = 3;

fn scene() -> (Scene, Server) {
    let server = Server::clear();
    let plan = Plan::new("api.example.test", server.address, "")
        .with_host("*.wild.test:PORT")
        .with_host("10.1.2.3:PORT");
    (Scene::begin(plan), server)
}

#[test]
fn a_name_that_was_not_granted_is_none_and_is_written_down() {
    let (scene, _server) = scene();
    for name in [
        "evil.test",
        "example.test",
        "x.api.example.test",
        "api.example.test.evil.test",
        "evil-api.example.test",
        "a.b.wild.test",
        "wild.test",
        "xn--pi-7kc.example.test",
        "2130706433",
        "0x7f.1",
        "127.0.0.1",
        "secret-data.evil.test",
    ] {
        assert_eq!(scene.look_up(name), (NO_SUCH_NAME, None), "{name}");
        let entry = scene.entry(|entry| entry.reach().is_some_and(|reach| reach.host == name));
        let reach = entry.reach().unwrap();
        assert_eq!((reach.by, reach.granted), (ReachedBy::Lookup, false));
        assert!(!entry.ruling.is_allow());
    }
    let nul = scene.ask(&question("api.example.test\0.evil", 1));
    assert_eq!(read_answer(&nul), (NO_SUCH_NAME, None));
    scene.entry(|entry| {
        entry
            .reach()
            .is_some_and(|reach| reach.host.contains('\u{fffd}'))
    });
}

/// Where a gate could send to is settled when its session begins. Rules that are asked afterwards add nothing.
#[test]
fn what_rules_allow_and_was_not_granted_is_not_reached_and_refused_by_a_rule_of_ours() {
    let server = Server::clear();
    let mut plan = Plan::new("api.example.test", server.address, "");
    plan.says = Arc::new(|_| Verdict::Allow(Rule::new("all/fine", "anything may")));
    let scene = Scene::begin(plan);
    for _ in 0..2 {
        assert_eq!(scene.look_up("other.test"), (NO_SUCH_NAME, None));
    }
    let is_told = |entry: &Entry| entry.reach().is_some() && entry.outcome.is_some();
    let entry = scene.entry(is_told);
    assert!(entry.ruling.is_allow() && !entry.reach().unwrap().granted);
    let unanswered = matches!(entry.outcome, Some(OutcomeOf::Unanswered { .. }));
    assert!(unanswered, "{:?}", entry.outcome);
    // The gate that was told so goes on.
    assert_eq!(scene.look_up("api.example.test").0, 0);
    let (_, served) = scene.end();
    assert_eq!(served.unwrap().starts, 1);
}

#[test]
fn a_name_that_was_granted_keeps_one_address_whatever_its_spelling() {
    let (scene, _server) = scene();
    let (code, address) = scene.look_up("api.example.test");
    assert_eq!(code, 0);
    let address = address.unwrap();
    assert!(matches!(address, IpAddr::V4(address) if [18, 19].contains(&address.octets()[1])));
    for name in ["API.Example.TEST", "api.example.test", "api.example.test."] {
        assert_eq!(scene.look_up(name), (0, Some(address)));
    }
    let (_, wild) = scene.look_up("any.wild.test");
    assert_ne!(wild.unwrap(), address);
    // Nobody is asked about what was granted.
    assert!(scene.entries().is_empty());
}

#[test]
fn nothing_but_one_kind_of_address_is_told() {
    let (scene, _server) = scene();
    // AAAA, TXT, MX, SRV, HTTPS, ANY: no tunnel, no other way to the host.
    for kind in [28, 16, 15, 33, 65, 255] {
        assert_eq!(
            read_answer(&scene.ask(&question("api.example.test", kind))),
            (0, None)
        );
        assert_eq!(
            read_answer(&scene.ask(&question("evil.test", kind))),
            (NO_SUCH_NAME, None)
        );
    }
    let own = read_answer(&scene.ask(&question("localhost", 28)));
    assert_eq!(own, (0, Some("::1".parse().unwrap())));
}

#[test]
fn lookups_over_tcp_are_answered_as_over_udp() {
    let (scene, _server) = scene();
    let mut stream = scene.connect_to(scene.dns_tcp);
    for (name, code) in [("api.example.test", 0), ("evil.test", NO_SUCH_NAME)] {
        let packet = question(name, 1);
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &packet].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(read_answer(&answer), (code, scene.look_up(name).1));
    }
}

#[test]
fn packets_that_are_none_bring_nothing_down() {
    let (scene, _server) = scene();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let whole = question("api.example.test", 1);
    let mut packets = vec![vec![], vec![0; 12], vec![0xff; 1400], vec![0xc0; 40]];
    packets.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
    packets.extend((0..whole.len()).map(|at| {
        let mut packet = whole.clone();
        packet[at] ^= 0xff;
        packet
    }));
    for packet in packets {
        socket.send_to(&packet, scene.dns_udp).unwrap();
    }
    assert_eq!(scene.look_up("api.example.test").0, 0);
    let mut stream = scene.connect_to(scene.dns_tcp);
    stream.write_all(&[0xff; 70_000]).unwrap();
    assert_eq!(scene.look_up("api.example.test").0, 0);
}

#[test]
fn an_address_that_was_not_granted_is_not_reached() {
    let (scene, server) = scene();
    // The gate's own listener, an address that stands for no name, and the server itself through the gate.
    for address in ["127.0.0.1", "127.18.0.77", "127.19.255.255"] {
        let to = SocketAddr::new(address.parse().unwrap(), scene.port);
        let mut stream = scene.connect_to(to);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n")
            .unwrap();
        let answer = read_to_end(&mut stream);
        assert_eq!(status(&answer), 403);
        assert_eq!(json(&answer)["rule"], "reach/not-granted");
        let entry = scene.entry(|entry| entry.reach().is_some_and(|reach| reach.host == address));
        let reach = entry.reach().unwrap();
        assert_eq!(reach.port, Some(scene.port));
        assert_eq!(reach.class, Some(AddressClass::Local));
    }
    assert!(server.received().is_empty());
}

#[test]
fn a_port_that_was_not_granted_is_not_reached() {
    let server = Server::clear();
    let mut plan = Plan::new("api.example.test", server.address, "");
    plan.hosts = vec!["api.example.test:443".to_owned()];
    let scene = Scene::begin(plan);
    let mut stream = scene.connect("api.example.test");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n")
        .unwrap();
    assert_eq!(status(&read_to_end(&mut stream)), 403);
    let reach = scene.refused_by("reach/not-granted");
    assert_eq!(reach.reach().unwrap().host, "api.example.test");
    assert!(server.received().is_empty());
}

#[test]
fn a_name_that_cannot_be_looked_up_leads_nowhere() {
    let server = Server::clear();
    let plan =
        Plan::new("api.example.test", server.address, "").with_host("a.nowhere.invalid:PORT");
    let scene = Scene::begin(plan);
    let mut stream = scene.connect("a.nowhere.invalid");
    let host = scene.host("a.nowhere.invalid");
    stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .unwrap();
    let answer = read_until(&mut stream, "}");
    assert_eq!(status(&answer), 502, "{answer}");
    assert_eq!(json(&answer)["rule"], "gate/unknown");
    scene.refused_by("gate/unknown");
}

#[test]
fn a_log_that_fails_makes_of_a_refusal_a_failure() {
    let (scene, _server) = scene();
    scene
        .log
        .is_full
        .store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(scene.look_up("evil.test").0, 2);
}
