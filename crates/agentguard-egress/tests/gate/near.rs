//! On which processors gate and guard run, as the kernel tells it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::scene::{Plan, Scene};

const NAME: &str = "api.test";
/// More than are needed before the gate keeps to a processor, and than there are lines to the guard.
const REQUESTS: usize = 20;
const LONG: usize = 200_000;

/// A server in the clear: `/long` is answered at length, `/wait` when `asked` was told of it and let it.
fn server(asked: Sender<Sender<()>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let asked = asked.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &asked));
        }
    });
    address
}

fn serve(mut stream: TcpStream, asked: &Sender<Sender<()>>) {
    while let Some(head) = read_head(&mut stream) {
        let mut length = 2;
        if head.starts_with("GET /long") {
            length = LONG;
        } else if head.starts_with("GET /wait") {
            let (go, let_go) = channel();
            asked.send(go).unwrap();
            let_go.recv().unwrap();
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; length]).unwrap();
    }
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    Some(String::from_utf8(head).unwrap())
}

struct Client<'s> {
    scene: &'s Scene,
    stream: TcpStream,
}

impl<'s> Client<'s> {
    fn new(scene: &'s Scene) -> Self {
        let stream = scene.connect(NAME);
        Self { scene, stream }
    }

    fn ask(&mut self, path: &str) {
        let host = self.scene.host(NAME);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    fn hear(&mut self, length: usize) {
        let head = read_head(&mut self.stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        self.stream.read_exact(&mut vec![0; length]).unwrap();
    }

    fn exchange(&mut self, path: &str, length: usize) {
        self.ask(path);
        self.hear(length);
    }
}

/// Has the calling thread run at one processor.
fn go(to: usize) -> CpuSet {
    let mut only = CpuSet::new();
    only.set(to);
    sched_setaffinity(None, &only).unwrap();
    only
}

/// The first and the last processor at which this test may run.
fn ends(all: &CpuSet) -> [usize; 2] {
    let is_one = |cpu: &usize| all.is_set(*cpu);
    let mut cpus = (0..CpuSet::MAX_CPU).filter(is_one);
    let first = cpus.next().unwrap();
    [first, cpus.next_back().unwrap_or(first)]
}

/// How many threads of a process keep to these processors.
fn threads_at(process: &str, set: &CpuSet) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let numbers = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    let threads = numbers.filter_map(|number| Pid::from_raw(number.parse().unwrap()));
    // Threads of other tests end meanwhile.
    let sets = threads.filter_map(|thread| sched_getaffinity(Some(thread)).ok());
    sets.filter(|one| one == set).count()
}

/// Whether the one thread of the gate that serves keeps to these processors. In these tests it is not the first.
fn is_at(scene: &Scene, set: &CpuSet) -> bool {
    let gate = scene.gate().unwrap().as_raw_pid().to_string();
    threads_at(&gate, set) == 1
}

/// In a thread of its own, which may keep to a processor.
fn in_scene(
    test: impl FnOnce(&Scene, &mut Client<'_>, std::sync::mpsc::Receiver<Sender<()>>) + Send,
) {
    let [first, last] = ends(&sched_getaffinity(None).unwrap());
    assert!(first != last, "it takes two processors to keep to one");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (asked, waiting) = channel();
            let scene = Scene::begin(Plan::new(NAME, server(asked), ""));
            let mut client = Client::new(&scene);
            test(&scene, &mut client, waiting);
        });
    });
}

#[test]
fn gate_and_guard_are_where_a_client_is_that_asks_one_thing_after_the_other() {
    in_scene(|scene, client, _| {
        let all = sched_getaffinity(None).unwrap();
        for at in ends(&all) {
            let only = go(at);
            for _ in 0..REQUESTS {
                client.exchange("/", 2);
            }
            assert!(is_at(scene, &only));
            // This one, and those that answer the gate: it tells them where it is with what it asks. The guard is this process.
            assert!(threads_at("self", &only) > 4, "{at}");
        }
        // Whoever connects may do so again, and has something to do meanwhile.
        let mut next = Client::new(scene);
        next.exchange("/", 2);
        assert!(!is_at(scene, &sched_getaffinity(None).unwrap()));
    });
}

#[test]
fn a_gate_that_has_much_to_do_runs_anywhere() {
    in_scene(|scene, client, waiting| {
        let all = sched_getaffinity(None).unwrap();
        let [at, _] = ends(&all);
        let only = go(at);
        let settle = |client: &mut Client<'_>| {
            for _ in 0..REQUESTS {
                client.exchange("/", 2);
            }
            assert!(is_at(scene, &only));
        };
        settle(client);
        client.exchange("/long", LONG);
        assert!(!is_at(scene, &only));
        settle(client);
        client.ask("/wait");
        let go = waiting.recv().unwrap();
        let mut other = Client::new(scene);
        for _ in 0..REQUESTS {
            other.exchange("/", 2);
            assert!(!is_at(scene, &only));
        }
        go.send(()).unwrap();
        client.hear(2);
        settle(client);
    });
}
