//! How connections come to a session's gate, who is said to have made them, and sessions that want no gate.

use std::fs;
use std::path::Path;

use agentguard::core::{Digest, Event, Network};

use crate::gated::{Server, assert_verifies, network_decisions, with_server};
use crate::scene::{Scene, as_everyone};

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
        assert_eq!(
            (tried.result("sent"), tried.result("answer")),
            ("ok", "some")
        );
        assert_eq!(who_asked(scene)[1..], ["unknown none"]);
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
        let mut starts = Vec::new();
        scene.each_event(|event| {
            if let Event::Start {
                network, forcing, ..
            } = event
            {
                starts.push((*network, *forcing));
            }
        });
        assert_eq!(starts, [(Network::Isolated, None)]);
    });
}
