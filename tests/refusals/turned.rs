//! Sessions that are granted hosts and have no network of their own: the mediator leads every socket to the gate.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use agentguard::core::{Event, Forcing, Level, Network};

use crate::gated::{Server, assert_verifies, network_decisions};
use crate::scene::{Ran, Scene, without_namespaces};

const LEVEL: Level = Level::NoNamespaces;
/// How often an address is rewritten under a call that is looked at.
const TIMES: &str = "10000";

/// What listens on the host's loopback, and is to hear nothing.
struct Victim {
    streams: TcpListener,
    datagrams: UdpSocket,
}

impl Victim {
    fn start() -> Self {
        let streams = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let datagrams = UdpSocket::bind(streams.local_addr().unwrap()).unwrap();
        streams.set_nonblocking(true).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        Self { streams, datagrams }
    }

    fn port(&self) -> String {
        self.streams.local_addr().unwrap().port().to_string()
    }

    #[track_caller]
    fn heard_nothing(&self) {
        let heard = self.streams.accept().map(|_| ());
        assert_eq!(heard.unwrap_err().kind(), ErrorKind::WouldBlock);
        let heard = self.datagrams.recv(&mut [0; 16]);
        assert_eq!(heard.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

fn run(scene: &Scene, policy: &str, words: &[&str]) -> Ran {
    scene.run_at(LEVEL, &[policy], words)
}

#[test]
fn a_granted_host_is_reached_and_no_other_with_no_network_of_its_own() {
    without_namespaces(|scene| {
        let (server, victim) = (Server::start(), Victim::start());
        let policy = server.policy(scene, "");
        let request = ["./attack", "http", "api.test", "80", "GET", "/a"];
        let tried = run(scene, &policy, &request).tried();
        assert_eq!(tried.result("status"), "200");
        tried.all_are(&["ok"], &["status"]);
        let ran = run(scene, &policy, &["curl", "-sS", "http://api.test/b"]);
        assert_eq!(ran.stdout, "reached");
        assert_eq!(server.requests(), ["GET /a HTTP/1.1", "GET /b HTTP/1.1"]);
        for host in ["203.0.113.7", "127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let request = ["./attack", "http", host, &victim.port(), "GET", "/"];
            let tried = run(scene, &policy, &request).tried();
            assert_eq!(tried.result("status"), "403", "{host}");
        }
        let request = ["./attack", "http", "other.test", "80", "GET", "/"];
        assert_eq!(
            run(scene, &policy, &request).tried().result("lookup"),
            "none"
        );
        victim.heard_nothing();
        assert_eq!(server.connections(), 2);
        let refused = network_decisions(scene).into_iter();
        assert_eq!(refused.filter(|(_, allowed, _)| !allowed).count(), 5);
        let mut starts = Vec::new();
        scene.each_event(|event| {
            if let Event::Start {
                network, forcing, ..
            } = event
            {
                starts.push((*network, *forcing));
            }
        });
        assert!(
            starts
                .iter()
                .all(|start| *start == (Network::Gated, Some(Forcing::Mediated))),
            "{starts:?}"
        );
        assert_verifies(scene);
    });
}

#[test]
fn no_socket_is_made_or_told_to_lead_past_the_mediator() {
    without_namespaces(|scene| {
        let (server, victim) = (Server::start(), Victim::start());
        let policy = server.policy(scene, "");
        let ran = run(scene, &policy, &["./attack", "turned", &victim.port()]);
        let tried = ran.tried();
        let neighbours: Vec<_> = ran
            .stdout
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| name.starts_with("neighbour-"))
            .collect();
        assert_eq!(neighbours.len(), 10, "{}", ran.stdout);
        for neighbour in &neighbours {
            assert_eq!(tried.result(neighbour), "ok", "{neighbour}");
        }
        let refused = [
            "EACCES",
            "EPERM",
            "EOPNOTSUPP",
            "EAFNOSUPPORT",
            "EINVAL",
            "ENETUNREACH",
            "EDESTADDRREQ",
        ];
        tried.all_are(&refused, &neighbours);
        victim.heard_nothing();
        assert_eq!(server.bytes(), 0);
    });
}

/// The gate is told what was copied, and connects to that: what stands there a moment later is nobody's.
#[test]
fn an_address_or_a_socket_that_is_exchanged_while_it_is_looked_at_leads_nowhere_else() {
    without_namespaces(|scene| {
        let (server, victim) = (Server::start(), Victim::start());
        let policy = server.policy(scene, "");
        let words = ["./attack", "turned-race", &victim.port(), TIMES, "api.test"];
        let ran = run(scene, &policy, &words);
        assert_eq!(ran.code, Some(0));
        let tried = ran.tried();
        for done in ["connected", "sent"] {
            let times: usize = tried.result(done).parse().unwrap();
            assert!(times > 1000, "{done} {times}");
        }
        victim.heard_nothing();
        assert_eq!(server.connections(), 0);
        assert!(
            network_decisions(scene)
                .iter()
                .all(|(_, allowed, _)| !allowed)
        );
    });
}
