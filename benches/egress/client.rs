//! The client: the same program bare and inside, told by its environment where the server is.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::git;
use crate::server::NAME;

/// Where the server is, for a client without a gate: the three ports of the loopback.
pub(crate) const PORTS: &str = "AGENTGUARD_BENCH_PORTS";
/// Who vouches for the server, in a file.
const ROOTS: &str = "SSL_CERT_FILE";
/// How many clients a mixed load has.
const CLIENTS: usize = 16;
const STACK: usize = 256 << 10;

/// What a client tells of itself, in one line.
#[derive(Clone, Copy, Default)]
pub(crate) struct Took {
    /// Of one request, in microseconds.
    pub(crate) median: f64,
    pub(crate) seconds: f64,
    pub(crate) bytes: f64,
    pub(crate) requests: u64,
}

impl Took {
    pub(crate) fn read(line: &str) -> Self {
        let words: Vec<_> = line.split_whitespace().collect();
        Self {
            median: words[0].parse().unwrap(),
            seconds: words[1].parse().unwrap(),
            bytes: words[2].parse().unwrap(),
            requests: words[3].parse().unwrap(),
        }
    }

    fn print(self) {
        println!(
            "{} {} {} {}",
            self.median, self.seconds, self.bytes, self.requests
        );
    }
}

pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// How to get to the server.
#[derive(Clone)]
pub(crate) struct Way {
    clear: Vec<std::net::SocketAddr>,
    tls: Vec<std::net::SocketAddr>,
    git: Vec<std::net::SocketAddr>,
    config: Arc<ClientConfig>,
}

impl Way {
    fn find() -> Self {
        let to = |host: &str, port: u16| (host, port).to_socket_addrs().unwrap().collect();
        let [clear, tls, git] = match ports() {
            Some(ports) => ports.map(|port| to("127.0.0.1", port)),
            None => [
                to(NAME, 80),
                to(&format!("tls.{NAME}"), 443),
                to(git::NAME, 443),
            ],
        };
        Self {
            clear,
            tls,
            git,
            config: config(),
        }
    }

    fn open(&self, is_tls: bool) -> Box<dyn Stream> {
        let addresses = if is_tls { &self.tls } else { &self.clear };
        if is_tls {
            return self.open_tls(addresses, format!("tls.{NAME}"));
        }
        let stream = connect(addresses.as_slice());
        stream.set_nodelay(true).unwrap();
        Box::new(stream)
    }

    pub(crate) fn open_git(&self) -> Box<dyn Stream> {
        self.open_tls(&self.git, git::NAME.to_owned())
    }

    fn open_tls(&self, addresses: &[std::net::SocketAddr], name: String) -> Box<dyn Stream> {
        let stream = connect(addresses);
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        Box::new(StreamOwned::new(connection, stream))
    }
}

/// The ports of the server in the clear, over TLS and of git's, where there is no gate.
fn ports() -> Option<[u16; 3]> {
    let ports = env::var(PORTS).ok()?;
    let ports: Vec<_> = ports.split(' ').map(|port| port.parse().unwrap()).collect();
    Some(ports.try_into().unwrap())
}

pub(crate) fn port_of_git() -> Option<u16> {
    ports().map(|[_, _, git]| git)
}

pub(crate) fn roots() -> std::ffi::OsString {
    env::var_os(ROOTS).unwrap()
}

fn config() -> Arc<ClientConfig> {
    let pem = fs::read(roots()).unwrap();
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&pem) {
        // Not every machine's certificates are to everybody's taste.
        let _ = roots.add(root.unwrap());
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

pub(crate) fn run(words: &[String]) {
    let way = Way::find();
    let number = words[1].parse().unwrap();
    match words[0].as_str() {
        "connect" => each(number, || get(&mut *way.open(false), false, 1)),
        "tls" => each(number, || get(&mut *way.open(true), true, 1)),
        "keep-alive" => {
            let mut stream = way.open(true);
            each(number, || get(&mut *stream, true, 1));
        }
        "bulk" => bulk(&way, false, words[1].parse().unwrap()),
        "bulk-tls" => bulk(&way, true, words[1].parse().unwrap()),
        "many" => many(&way, number),
        "push" | "wire" | "wire-new" | "large" => git::push(&way, &words[0], number),
        _ => mixed(&way, Duration::from_secs(words[1].parse().unwrap())),
    }
}

/// Asks for so many bytes, and reads them.
fn get(stream: &mut dyn Stream, is_tls: bool, bytes: u64) -> u64 {
    let name = if is_tls {
        format!("tls.{NAME}")
    } else {
        NAME.to_owned()
    };
    let request = format!("GET /{bytes} HTTP/1.1\r\nHost: {name}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), vec![0; 64 << 10]);
    let end = loop {
        let length = stream.read(&mut byte).unwrap();
        assert!(
            length > 0,
            "the connection ended: {}",
            String::from_utf8_lossy(&head)
        );
        head.extend_from_slice(&byte[..length]);
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    let mut read = u64::try_from(head.len() - end).unwrap();
    while read < bytes {
        let length = stream.read(&mut byte).unwrap();
        assert!(length > 0, "the connection ended after {read} bytes");
        read += u64::try_from(length).unwrap();
    }
    read
}

fn each(number: usize, request: impl FnMut() -> u64) {
    let mut request = request;
    for _ in 0..number / 10 {
        request();
    }
    let mut times = Vec::new();
    let begun = Instant::now();
    for _ in 0..number {
        let begun = Instant::now();
        request();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Took {
        median: times[number / 2].as_secs_f64() * 1e6,
        seconds: begun.elapsed().as_secs_f64(),
        ..Took::default()
    }
    .print();
}

fn bulk(way: &Way, is_tls: bool, bytes: u64) {
    let mut stream = way.open(is_tls);
    let begun = Instant::now();
    let read = get(&mut *stream, is_tls, bytes);
    assert_eq!(read, bytes);
    report(begun, bytes, 1);
}

/// Connects, again where too many do so at the same time: more than the mediator lets wait are told to try again.
fn connect(addresses: impl ToSocketAddrs + Copy) -> TcpStream {
    loop {
        match TcpStream::connect(addresses) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            connected => return connected.unwrap(),
        }
    }
}

/// So many connections are open before the first of them asks.
fn many(way: &Way, number: usize) {
    let open = Arc::new(Barrier::new(number));
    let begun = Instant::now();
    let asking: Vec<_> = (0..number)
        .map(|one| {
            let (way, open) = (way.clone(), Arc::clone(&open));
            let thread = thread::Builder::new().stack_size(STACK);
            let ask = move || {
                let is_tls = one % 2 == 0;
                let mut stream = way.open(is_tls);
                let first = get(&mut *stream, is_tls, 100);
                open.wait();
                first + get(&mut *stream, is_tls, 100)
            };
            thread.spawn(ask).unwrap()
        })
        .collect();
    let bytes = asking.into_iter().map(|one| one.join().unwrap()).sum();
    report(begun, bytes, 2 * u64::try_from(number).unwrap());
}

/// Short and long answers, on new connections and on old ones, by several clients.
fn mixed(way: &Way, lasting: Duration) {
    let begun = Instant::now();
    let asking: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let way = way.clone();
            thread::spawn(move || {
                let (mut bytes, mut requests) = (0, 0);
                while begun.elapsed() < lasting {
                    let is_tls = (client + requests) % 2 == 0;
                    let mut stream = way.open(is_tls);
                    for turn in 0..=client {
                        let size = if turn % 7 == 6 {
                            4 << 20
                        } else {
                            10 << turn.min(6)
                        };
                        bytes += get(&mut *stream, is_tls, size);
                        requests += 1;
                    }
                }
                (bytes, requests)
            })
        })
        .collect();
    let (mut bytes, mut requests) = (0, 0);
    for one in asking {
        let (more, asked) = one.join().unwrap();
        bytes += more;
        requests += asked;
    }
    report(begun, bytes, u64::try_from(requests).unwrap());
}

/// Tells of one of several.
pub(crate) fn took(median: Duration, all: Duration) {
    Took {
        median: median.as_secs_f64() * 1e6,
        seconds: all.as_secs_f64(),
        ..Took::default()
    }
    .print();
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
fn report(begun: Instant, bytes: u64, requests: u64) {
    Took {
        median: 0.0,
        seconds: begun.elapsed().as_secs_f64(),
        bytes: bytes as f64,
        requests,
    }
    .print();
}
