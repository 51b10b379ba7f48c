//! How connections come to a session's gate, who is said to have made them, and sessions that want no gate.

use std::fs;
use std::path::Path;

use agentguard::core::{Digest, Event, Forcing, Level, Network};

use crate::gated::{Server, assert_verifies, network_decisions, networks, with_server};
use crate::scene::{Scene, as_everyone, level};

/// Refuses every request and every other host, and says by whom they were asked for.
const WHO: &str = "deny contains {\"id\": \"asked/who\", \"reason\": who}\n\n\
                   who := sprintf(\"%s %s\", [input.action.caller, object.get(input.action, \"caller_sha256\", \"none\")])\n";

/// Has rules see who connects.
fn watched(scene: &Scene, server: &Server) -> String {
    let policy = server.policy(scene, "");
    for kind in ["api", "reach"] {
        let file = format!("policy/who-{kind}.rego");
        scene.write(&file, &format!("package agentguard.{kind}.own\n\n{WHO}"));
    }
    policy
}

/// Who asked, as rules saw it, in order.
fn who_asked(scene: &Scene) -> Vec<String> {
    let mut all = Vec::new();
    scene.each_event(|event| {
        if let Event::Decision { action, ruling, .. } = event
            && matches!(action.as_str(), "reach" | "api")
        {
            assert_eq!(ruling.rule().id.as_str(), "asked/who");
            all.push(ruling.rule().reason.clone());
        }
    });
    all
}

/// A program by its path and its content.
#[expect(clippy::disallowed_methods, reason = "a program outside, and a test")]
fn named(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap();
    let held = Digest::of(&fs::read(&path).unwrap());
    format!("{} {held}", path.display())
}

#[test]
fn rules_see_which_program_connected_and_what_it_holds() {
    with_server(|scene, server| {
        let policy = watched(scene, server);
        let attack = named(&scene.work().join("attack"));
        let python = "import urllib.request as u; u.urlopen('http://api.test/python')";
        scene.write("home/work/ask.py", python);
        for (words, who) in [
            (
                "/usr/bin/curl -s http://api.test/",
                named(Path::new("/usr/bin/curl")),
            ),
            (
                "/usr/bin/python3 ask.py",
                named(Path::new("/usr/bin/python3")),
            ),
            ("./attack http api.test 80 GET /", attack.clone()),
            ("./attack http 203.0.113.7 80 GET /", attack.clone()),
            ("./attack http 2001:db8::7 80 GET /", attack.clone()),
            ("./attack http ::ffff:203.0.113.7 80 GET /", attack.clone()),
            ("./attack resolve 192.0.2.53 a.test", attack.clone()),
            // Who looks up is told, whoever is asked.
            ("./attack resolve 127.0.0.1 a.test", attack.clone()),
        ] {
            let before = who_asked(scene).len();
            scene.run_with(&[&policy], &["sh", "-c", words]);
            let asked = who_asked(scene);
            assert_eq!(asked[before..], [who], "{words}");
        }
        assert!(server.requests().is_empty());
        assert_verifies(scene);
    });
}

/// What says who connects is said of the connection: not of whoever has it later, and of nobody who made it unseen.
#[test]
fn nobody_is_taken_for_another_who_connected() {
    with_server(|scene, server| {
        let policy = watched(scene, server);
        let attack = named(&scene.work().join("attack"));
        let request = "GET / HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\n\\r\\n";
        let words =
            format!("./attack handed-on api.test 80 /bin/sh -c \"printf '{request}' >&0; cat\"");
        scene.run_with(&[&policy], &["sh", "-c", &words]);
        assert_eq!(who_asked(scene), [attack]);
        let sent = scene.run_with(&[&policy], &["./attack", "fastopen", "api.test", "80"]);
        let tried = sent.tried();
        let result = (tried.result("sent"), tried.result("answer"));
        match level() {
            Level::Full => {
                assert_eq!(result, ("ok", "some"));
                assert_eq!(who_asked(scene)[1..], ["unknown none"]);
            }
            // What is not connected by the mediator is not connected.
            Level::NoNamespaces | Level::OldKernel => assert_eq!(result, ("EOPNOTSUPP", "none")),
        }
        assert_eq!(server.bytes(), 0);
    });
}

/// Whatever policy grants: who asks for no network gets none, and nothing is started for it.
#[test]
fn a_session_that_asks_for_no_network_gets_none_whatever_is_granted() {
    as_everyone(|scene| {
        let server = Server::start();
        let policy = server.policy(scene, "");
        let flags = [policy.as_str(), "--network=isolated"];
        let script = "./attack raw 203.0.113.7 80 hello; ./attack http api.test 80 GET /; ./attack resolve 127.0.0.1 api.test";
        let tried = scene.run_with(&flags, &["sh", "-c", script]).tried();
        assert_ne!(tried.result("lookup"), "ok");
        for what in ["connect", "udp", "tcp"] {
            assert_ne!(tried.result(what), "ok", "{what}");
        }
        assert_eq!(server.connections(), 0);
        assert!(network_decisions(scene).is_empty());
        let starts = networks(scene);
        assert_eq!(starts, [(Network::Isolated, None)]);
    });
}

#[test]
fn every_resolver_is_the_gate_of_either_family_by_datagrams_and_connections() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let ask = |name: &str| {
            let ran = scene.run_with(&[&policy], &["./attack", "resolve-all", name]);
            let tried = ran.tried();
            assert_eq!(tried.all_but(&[]).count(), 12, "{}", ran.stdout);
            tried
        };
        ask("api.test").all_are(&["rcode-0"], &[]);
        ask("secret-in-a-name.example.org").all_are(&["rcode-3"], &[]);
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn no_other_protocol_and_no_right_leads_past_the_gate() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let port = server.port.to_string();
        let words = ["./attack", "protocols", &port];
        let tried = scene.run_with(&[&policy], &words).tried();
        // MPTCP begins as TCP, and ends at the gate; `lo` is all there is to be bound to.
        tried.all_are(
            &[
                "EPERM",
                "EACCES",
                "EPROTONOSUPPORT",
                "ESOCKTNOSUPPORT",
                "ECONNREFUSED",
                "EAFNOSUPPORT",
                "ENETUNREACH",
                "EOPNOTSUPP",
            ],
            &["mptcp", "device"],
        );
        assert_eq!(server.connections(), 0);
        let decided = network_decisions(scene);
        assert!(
            decided.iter().all(|(_, allowed, _)| !allowed),
            "{decided:?}"
        );
    });
}

#[test]
fn a_server_inside_hears_nothing_that_is_for_another_host() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let ran = scene.run_with(&[&policy], &["./attack", "take-over"]);
        let tried = ran.tried();
        if level() != Level::Full {
            // There is no such server.
            for everywhere in ["everywhere", "everywhere-6"] {
                assert_eq!(tried.result(everywhere), "EACCES");
            }
            return assert_eq!(server.connections(), 0);
        }
        for family in ["", "-6"] {
            let result = |what: &str| tried.result(&format!("{what}{family}")).to_owned();
            assert_eq!(
                (result("everywhere"), result("said")),
                ("ok".to_owned(), "ok".to_owned())
            );
            assert_eq!(result("heard"), "no");
        }
        assert_eq!(scene.refusals(), ["network/not-granted"; 2]);
        assert_eq!(server.connections(), 0);
    });
}

/// Without rules for packets the gate is at every address, and at no port but those that are named.
#[test]
fn without_rules_for_packets_only_named_ports_lead_to_the_gate_and_none_past_it() {
    as_everyone(|scene| {
        let server = Server::start();
        let policy = server.policy(scene, "hosts contains \"other.test:8443\"\n");
        let run = |words: &[&str]| scene.run_hiding("rules", &[&policy], words).tried();
        let tried = run(&["./attack", "http", "api.test", "80", "GET", "/a"]);
        assert_eq!(tried.result("status"), "200");
        assert_eq!(server.requests(), ["GET /a HTTP/1.1"]);
        for (host, port) in [
            ("203.0.113.7", "80"),
            ("203.0.113.7", "8443"),
            ("2001:db8::7", "443"),
            ("127.0.0.1", "80"),
        ] {
            let tried = run(&["./attack", "http", host, port, "GET", "/"]);
            assert_eq!(tried.result("status"), "403", "{host} {port}");
        }
        let port = server.port.to_string();
        for (host, port) in [("203.0.113.7", "81"), ("127.0.0.1", port.as_str())] {
            let tried = run(&["./attack", "http", host, port, "GET", "/"]);
            assert_eq!(tried.result("connect"), "ECONNREFUSED", "{host} {port}");
        }
        let tried = run(&["./attack", "resolve", "192.0.2.53", "secret.example.org"]);
        tried.all_are(&["rcode-3"], &[]);
        assert_eq!(server.connections(), 1);
        scene.each_event(|event| {
            if let Event::Start { forcing, .. } = event {
                assert_eq!(*forcing, Some(Forcing::AnyAddress));
            }
        });
        assert_verifies(scene);
    });
}

/// URLs of hosts that nobody granted, without their scheme.
const OTHERS: [&str; 17] = [
    "3405803783/",
    "0xcb007107/",
    "0313.0.0161.07/",
    "203.0.28935/",
    "[::ffff:203.0.113.7]/",
    "[64:ff9b::203.0.113.7]/",
    "[2002:cb00:7107::1]/",
    "api.test@203.0.113.7/",
    "203.0.113.7#@api.test/",
    "api.test.evil.test/",
    "xn--pi-7kc.test/",
    "api%2etest.evil.test/",
    "notapi.test/",
    "api.test../",
    "169.254.169.254/latest/meta-data/",
    "[fd00:ec2::254]/",
    "2852039166/",
];

/// Clients take many spellings for one host, and some for another than whoever wrote a rule did.
#[test]
fn a_host_is_one_host_however_it_is_written() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let port = server.port;
        let granted = [
            "API.TEST/case",
            "api.test./dot",
            "someone:secret@api.test/user",
            "api.test:80/port",
        ];
        let loopback = [
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "0.0.0.0",
            "localhost",
        ];
        let loopback = loopback.map(|host| format!("{host}:{port}/own"));
        let urls = granted
            .iter()
            .chain(&OTHERS)
            .map(|url| (*url).to_owned())
            .chain(loopback);
        let lines = urls
            .map(|url| format!("/usr/bin/curl -sS -o /dev/null --max-time 20 'http://{url}'\n"));
        scene.write("home/work/spell.sh", &lines.collect::<String>());
        scene.run_with(&[&policy], &["sh", "spell.sh"]);
        let met = ["/case", "/dot", "/user", "/port"].map(|path| format!("GET {path} HTTP/1.1"));
        assert_eq!(server.requests(), met);
        let heads = server.heads();
        assert!(
            heads
                .iter()
                .all(|head| head.contains("\r\nhost: api.test\r\n")),
            "{heads:?}"
        );
        let decided = network_decisions(scene);
        assert_eq!(decided.iter().filter(|(_, allowed, _)| *allowed).count(), 4);
        // The cloud's own are refused to curl by their words already.
        for rule in ["network/not-granted", "secrets/metadata-service"] {
            assert!(scene.refusals().contains(&rule.to_owned()), "{rule}");
        }
        assert_verifies(scene);
    });
}
