//! Sessions that are granted hosts and have no network of their own: the mediator leads every socket to the gate.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use agentguard::core::{Event, Forcing, Level, Network};

use crate::attack::Tried;
use crate::gated::{Server, assert_verifies, begin_at, network_decisions, networks, wait_for};
use crate::recorded::reached;
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
        let starts = networks(scene);
        assert!(
            starts
                .iter()
                .all(|start| *start == (Network::Gated, Some(Forcing::Mediated))),
            "{starts:?}"
        );
        assert_verifies(scene);
    });
}

/// What a test is at this level where it is played with namespaces only: the gate is the same without, and a session
/// is led to it.
pub(crate) fn leads_to_the_same_gate(scene: &Scene) {
    let server = Server::start();
    let policy = server.policy(scene, "");
    let request = ["./attack", "http", "api.test", "80", "GET", "/same"];
    assert_eq!(
        run(scene, &policy, &request).tried().result("status"),
        "200"
    );
    assert_eq!(server.requests(), ["GET /same HTTP/1.1"]);
    assert_eq!(networks(scene), [(Network::Gated, Some(Forcing::Mediated))]);
}

/// Each datagram is the mediator's to send, and none goes anywhere: nor to oneself, since the loopback is the host's.
/// What are too many to be told apart are counted.
pub(crate) fn datagrams_are_told_or_counted(scene: &Scene, server: &Server, sent: usize) {
    let policy = server.policy(scene, "");
    let python = format!(
        "import socket\n\
         one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n\
         def send(socket, to):\n\
         \x20   try: socket.sendto(b'x', to)\n\
         \x20   except OSError as error: return error.errno\n\
         print({{send(one, one.getsockname()), send(six, ('::1', 9)), send(six, ('2001:db8::9', 443))}})\n\
         print({{send(one, (f'203.0.{{to >> 8}}.{{to & 255}}', 443)) for to in range({sent})}})\n"
    );
    scene.write("home/work/flood.py", &python);
    let ran = run(scene, &policy, &["/usr/bin/python3", "flood.py"]);
    let nowhere = format!("{{{}}}\n", libc::ENETUNREACH);
    assert_eq!(ran.stdout, nowhere.repeat(2), "{}", ran.stderr);
    let hosts = reached(scene);
    assert_eq!(hosts[..3], ["127.0.0.1", "::1", "2001:db8::9"]);
    let mut unseen = Vec::new();
    scene.each_event(|event| {
        if let Event::Finding { rule, .. } = event
            && rule.id.as_str() == "gate/datagram"
        {
            let count = rule.reason.split(' ').next().map(str::parse::<usize>);
            unseen.push(count.unwrap().unwrap());
        }
    });
    assert_eq!(hosts.len() + unseen.iter().sum::<usize>(), sent + 3);
    assert_eq!(unseen.len(), usize::from(hosts.len() < sent + 3));
    let told = vec!["gate/datagram"; hosts.len() + unseen.len()];
    assert_eq!(scene.refusals(), told);
    assert_eq!(server.connections(), 0);
    assert_verifies(scene);
}

#[test]
fn a_datagram_that_goes_nowhere_has_an_entry_and_a_lookup_has_none() {
    without_namespaces(|scene| {
        let (server, victim) = (Server::start(), Victim::start());
        let policy = server.policy(scene, "");
        let python = format!(
            "import socket\n\
             for to in 2 * [('127.0.0.1', {0})] + [('203.0.113.9', 443)]:\n\
             \x20   for send in ['sendto', 'connect']:\n\
             \x20       s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             \x20       try: s.sendto(b'stolen', to) if send == 'sendto' else s.connect(to)\n\
             \x20       except OSError as error: print(error.errno)\n\
             print(socket.getaddrinfo('api.test', 80) != [])\n",
            victim.port()
        );
        scene.write("home/work/send.py", &python);
        let ran = run(scene, &policy, &["/usr/bin/python3", "send.py"]);
        let nowhere = format!("{}\n", libc::ENETUNREACH);
        assert_eq!(ran.stdout, format!("{}True\n", nowhere.repeat(6)));
        victim.heard_nothing();
        let decided = network_decisions(scene).into_iter();
        let refused: Vec<_> = decided.filter(|(_, allowed, _)| !allowed).collect();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert_eq!(scene.refusals(), ["gate/datagram"; 2]);
        assert_verifies(scene);
    });
}

/// Ports at which a process has sockets, as a table of the kernel's says it.
fn ports_of(process: u32, table: &str) -> Vec<u16> {
    let held = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let held: Vec<_> = held
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
    let port = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_held = held.contains(&format!("socket:[{}]", fields[9]));
        let port = fields[1].split_once(':').unwrap().1;
        is_held.then(|| u16::from_str_radix(port, 16).unwrap())
    };
    text.lines().skip(1).filter_map(port).collect()
}

/// A question for `stranger.test` (RFC 1035, section 4.1).
const QUESTION: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x08stranger\x04test\0\0\x01\0\x01";

#[test]
fn whoever_else_is_on_the_machine_is_not_served_by_a_gate_on_its_loopback() {
    without_namespaces(|scene| {
        let server = Server::start();
        let policy = server.policy(scene, "");
        let script = "./attack http api.test 80 GET /one; echo 1 > begun; read go < go; \
                      ./attack resolve 192.0.2.53 other.test > asked; ./attack http api.test 80 GET /two";
        let mut guard = begin_at(scene, LEVEL, &policy, script);
        wait_for(|| scene.work().join("begun").exists());
        let ports = ports_of(guard.id(), "tcp");
        assert_eq!(ports.len(), 2);
        for port in ports {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let _ = stream.write_all(b"GET /stranger HTTP/1.1\r\nHost: api.test\r\n\r\n");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert_eq!(answer, b"");
        }
        let lookups = ports_of(guard.id(), "udp");
        assert_eq!(lookups.len(), 1);
        let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        stranger
            .send_to(QUESTION, (Ipv4Addr::LOCALHOST, lookups[0]))
            .unwrap();
        // The session asks after the stranger, and is answered.
        fs::write(scene.work().join("go"), "go\n").unwrap();
        assert!(guard.wait().unwrap().success());
        let asked = fs::read_to_string(scene.work().join("asked")).unwrap();
        Tried::of(&asked).all_are(&["rcode-3"], &[]);
        stranger.set_nonblocking(true).unwrap();
        let answer = stranger.recv(&mut [0; 512]);
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(
            server.requests(),
            ["GET /one HTTP/1.1", "GET /two HTTP/1.1"]
        );
        let decided = network_decisions(scene).into_iter();
        let refused: Vec<_> = decided.filter(|(_, allowed, _)| !allowed).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
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
        assert_eq!(neighbours.len(), 16, "{}", ran.stdout);
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

/// Each is copied by its lengths, which the kernel would have bounded.
#[test]
fn odd_messages_are_answered_as_the_kernel_answers_them() {
    without_namespaces(|scene| {
        let server = Server::start();
        let policy = server.policy(scene, "");
        let tried = run(scene, &policy, &["./attack", "messages"]).tried();
        let bare = scene.run_bare(&["./attack", "messages"]).tried();
        assert_eq!(tried, bare);
        for (name, result) in [
            ("named", "EISCONN"),
            ("pieces-without-end", "error-90"),
            ("stream-without-end", "ok"),
            ("many", "1024"),
            ("second-fails", "1"),
            ("rights", "ok"),
            ("rights-too-many", "EINVAL"),
            ("broken", "32 1"),
            ("broken-silent", "32 0"),
            ("others", "ok"),
        ] {
            assert_eq!(tried.result(name), result, "{name}");
        }
    });
}

/// What is copied for callers lies where no bound of the session's counts it.
#[test]
fn what_waits_to_be_sent_is_so_much_altogether() {
    without_namespaces(|scene| {
        let server = Server::start();
        let policy = server.policy(scene, "");
        let tried = run(scene, &policy, &["./attack", "copies"]).tried();
        assert_eq!(tried.result("waiting"), "32");
        for neighbour in ["short", "short-elsewhere", "again"] {
            assert_eq!(tried.result(neighbour), "ok", "{neighbour}");
        }
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
        victim.heard_nothing();
        for done in ["connected", "sent"] {
            let times: usize = tried.result(done).parse().unwrap();
            assert!(times > 1000, "{done} {times}");
        }
        assert_eq!(server.connections(), 0);
        assert!(
            network_decisions(scene)
                .iter()
                .all(|(_, allowed, _)| !allowed)
        );
    });
}
