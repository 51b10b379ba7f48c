//! When there is a gate, and what holds when there is none.

use std::io::Write as _;
use std::net::TcpStream;

use agentguard_core::OutcomeOf;
use agentguard_egress::Error;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::client::{read_to_end, read_until, status};
use crate::scene::{Plan, Scene};
use crate::server::Server;

const NAME: &str = "api.test";

fn scene() -> (Scene, Server) {
    let server = Server::tls(NAME, &["http/1.1"]);
    let scene = Scene::begin(Plan::new(NAME, server.address, &server.roots));
    (scene, server)
}

fn get(scene: &Scene) -> String {
    let text = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        scene.host(NAME)
    );
    scene.exchange(NAME, text)
}

fn is_there(gate: Pid) -> bool {
    test_kill_process(gate).is_ok()
}

#[test]
fn a_session_that_uses_no_network_has_no_gate() {
    let (scene, _server) = scene();
    assert_eq!(scene.gate(), None);
    let (entries, served) = scene.end();
    assert!(entries.is_empty());
    assert_eq!(served.unwrap().starts, 0);
}

#[test]
fn a_gate_ends_with_its_session_and_what_it_was_doing_with_it() {
    let (scene, server) = scene();
    let mut tls = scene.tls(NAME);
    let text = format!("GET /stream HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    tls.write_all(text.as_bytes()).unwrap();
    server.say("data: 1\n\n");
    read_until(&mut tls, "data: 1");
    let gate = scene.gate().unwrap();
    let (entries, served) = scene.end();
    assert_eq!(served.unwrap().starts, 1);
    assert!(!is_there(gate));
    assert!(
        matches!(&entries[0].outcome, Some(OutcomeOf::Unanswered { why }) if why == "the gate ended")
    );
    assert_eq!(read_to_end(&mut tls), "");
}

/// What was there when it was killed passes no more, and what comes later passes a new one, or none.
#[test]
fn a_gate_that_is_killed_lets_nothing_pass() {
    let (scene, server) = scene();
    let mut tls = scene.tls(NAME);
    let gate = scene.gate().unwrap();
    kill_process(gate, Signal::KILL).unwrap();
    let text = format!("GET /late HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    let _ = tls.write_all(text.as_bytes());
    assert_eq!(read_to_end(&mut tls), "");
    assert!(server.received().is_empty());
    assert_eq!(status(&get(&scene)), 200);
    assert_ne!(scene.gate(), Some(gate));
    assert_eq!(scene.end().1.unwrap().starts, 2);
}

#[test]
fn a_gate_that_is_killed_again_and_again_is_not_started_again() {
    let (scene, server) = scene();
    let port = scene.port;
    let mut killed = 0;
    for number in 0.. {
        // Something to start it for.
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
            break;
        }
        assert!(number < 100_000);
        if let Some(gate) = scene.gate() {
            killed += u32::from(kill_process(gate, Signal::KILL).is_ok());
        }
    }
    assert!(killed > 0);
    assert!(server.received().is_empty());
    let given_up = scene.given_up();
    assert!(
        matches!(given_up, Err(Error::Lost { starts: 8 })),
        "{given_up:?}"
    );
}

#[test]
fn a_gate_whose_guard_is_gone_ends() {
    let (scene, server) = scene();
    assert_eq!(status(&get(&scene)), 200);
    scene
        .log
        .is_full
        .store(true, std::sync::atomic::Ordering::SeqCst);
    // The outcome of what was allowed cannot be written: the gate is ended, and the session knows.
    scene
        .log
        .is_full
        .store(false, std::sync::atomic::Ordering::SeqCst);
    let mut tls = scene.tls(NAME);
    let text = format!("GET /stream HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    tls.write_all(text.as_bytes()).unwrap();
    server.say("data: 1\n\n");
    read_until(&mut tls, "data: 1");
    let gate = scene.gate().unwrap();
    scene
        .log
        .is_full
        .store(true, std::sync::atomic::Ordering::SeqCst);
    server.say("");
    let given_up = scene.given_up();
    assert!(
        matches!(given_up, Err(Error::Unrecorded { .. })),
        "{given_up:?}"
    );
    assert!(!is_there(gate));
}

/// What the gate gave up, seen from outside.
#[test]
fn a_gate_can_do_little_else() {
    let (scene, _server) = scene();
    assert_eq!(scene.look_up(NAME).0, 0);
    let gate = scene.gate().unwrap();
    let path = format!("/proc/{}", gate.as_raw_pid());
    // A test runs in a thread of its own, and what it gives up is that thread's.
    let tasks = std::fs::read_dir(format!("{path}/task")).unwrap();
    let statuses =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    assert!(
        statuses
            .into_iter()
            .any(|status| status.contains("NoNewPrivs:\t1"))
    );
    let limits = std::fs::read_to_string(format!("{path}/limits")).unwrap();
    assert!(
        limits.contains("Max address space         2147483648"),
        "{limits}"
    );
    assert!(limits.contains("Max core file size        0"), "{limits}");
    let environment = std::fs::read(format!("{path}/environ")).unwrap_or_default();
    assert!(environment.is_empty());
}
