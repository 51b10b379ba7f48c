//! Connections to servers that are kept for the next client, judged by the server's side of them.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::{read_to_end, status};
use crate::scene::{Plan, Scene};

const NAME: &str = "api.test";
const OTHER: &str = "other.test";
/// Where no connection were used twice, as many clients would make as many.
const CLIENTS: usize = 20;

/// What came on one connection: the first line and the host of each request, and whether it was ended.
#[derive(Clone, Debug, Default)]
struct Came {
    requests: Vec<(String, String)>,
    is_ended: bool,
}

/// A server in the clear that answers the first `answered` requests of a connection, and ends it at the next.
struct Server {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Came>>>,
}

impl Server {
    fn start(answered: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<Came>>> = Arc::default();
        let all = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || serve(stream.unwrap(), answered, &all));
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn connections(&self) -> Vec<Came> {
        self.connections.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answered: usize, all: &Mutex<Vec<Came>>) {
    let number = {
        let mut all = all.lock().unwrap();
        all.push(Came::default());
        all.len() - 1
    };
    let (mut asked, mut piece) = (String::new(), [0; 4096]);
    for at in 0.. {
        while !asked.ends_with("\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => {
                    all.lock().unwrap()[number].is_ended = true;
                    return;
                }
                Ok(length) => asked.push_str(&String::from_utf8_lossy(&piece[..length])),
            }
        }
        let mut lines = asked.lines();
        let first = lines.next().unwrap().to_owned();
        let host = lines.find(|line| line.to_lowercase().starts_with("host:"));
        let request = (first, host.unwrap().to_owned());
        all.lock().unwrap()[number].requests.push(request);
        asked.clear();
        if at == answered {
            return;
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer).unwrap();
    }
}

fn scene(server: &Server) -> Scene {
    let plan = Plan::new(NAME, server.address, "").with_host(&format!("{OTHER}:PORT"));
    Scene::begin(plan.with_address(OTHER, &server.address.to_string()))
}

/// What a client is answered that asks one thing on a connection of its own, and ends it.
fn answer(scene: &Scene, name: &str, method: &str) -> u16 {
    let mut stream = scene.connect(name);
    let host = scene.host(name);
    let text = format!(
        "{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).unwrap();
    status(&read_to_end(&mut stream))
}

#[test]
fn clients_that_follow_one_another_reach_a_server_by_the_same_connection() {
    let server = Server::start(usize::MAX);
    let scene = scene(&server);
    for _ in 0..CLIENTS {
        assert_eq!(answer(&scene, NAME, "GET"), 200);
    }
    let made = server.connections().len();
    assert!(made < CLIENTS, "{made}");
    assert_eq!(scene.entries().len(), CLIENTS);
}

#[test]
fn a_connection_that_was_kept_leads_to_one_host() {
    let server = Server::start(usize::MAX);
    let scene = scene(&server);
    for _ in 0..CLIENTS {
        assert_eq!(answer(&scene, NAME, "GET"), 200);
        assert_eq!(answer(&scene, OTHER, "GET"), 200);
    }
    let connections = server.connections();
    assert!(connections.len() < 2 * CLIENTS);
    for came in connections {
        let hosts: HashSet<_> = came.requests.iter().map(|(_, host)| host).collect();
        assert_eq!(hosts.len(), 1, "{came:?}");
    }
}

#[test]
fn what_a_server_ends_without_an_answer_is_sent_again_if_nothing_comes_of_it() {
    let server = Server::start(1);
    let scene = scene(&server);
    for _ in 0..CLIENTS {
        assert_eq!(answer(&scene, NAME, "GET"), 200);
    }
    // Some came on a connection that was ended.
    let ended = |came: &Came| came.requests.len() == 2;
    assert!(server.connections().iter().any(ended));
}

#[test]
fn what_must_not_be_sent_twice_goes_on_a_connection_of_its_own() {
    let server = Server::start(1);
    let scene = scene(&server);
    for _ in 0..CLIENTS {
        assert_eq!(answer(&scene, NAME, "POST"), 200);
    }
    let connections = server.connections();
    assert!(connections.iter().all(|came| came.requests.len() <= 1));
    let came: Vec<_> = connections.iter().flat_map(|came| &came.requests).collect();
    assert_eq!(came.len(), CLIENTS);
}

#[test]
fn what_nobody_wants_any_more_is_ended() {
    let server = Server::start(usize::MAX);
    let scene = scene(&server);
    assert_eq!(answer(&scene, NAME, "GET"), 200);
    for _ in 0..600 {
        if server.connections()[0].is_ended {
            // The gate still serves.
            assert_eq!(answer(&scene, NAME, "GET"), 200);
            return;
        }
        // It is kept for a second, and more on a busy machine.
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it is kept forever");
}
