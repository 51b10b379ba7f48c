//! How connections come to a session's gate, who is said to have made them, and sessions that want no gate.

use agentguard::core::{Event, Network};

use crate::gated::{Server, network_decisions};
use crate::scene::as_everyone;

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
