//! HTTP/2, bodies as they come, and servers that misbehave.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use agentguard_core::OutcomeOf;
use hyper::body::Bytes;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::client::{read_to_end, read_until, status};
use crate::scene::{Plan, Scene};
use crate::server::{Server, says};

const NAME: &str = "api.test";

fn plan(server: &Server) -> Plan {
    Plan::new(NAME, server.address, &server.roots)
}

/// A body of one piece.
pub(crate) struct Once(pub(crate) Option<Bytes>);

impl hyper::body::Body for Once {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(
            self.0
                .take()
                .map(|bytes| Ok(hyper::body::Frame::data(bytes))),
        )
    }
}

/// Sends requests over one connection of HTTP/2, all at once: statuses and bodies, or none where the
/// stream was reset.
pub(crate) fn http2(scene: &Scene, requests: Vec<Request<Once>>) -> Vec<Option<(u16, Vec<u8>)>> {
    let stream = scene.connect(NAME);
    stream.set_nonblocking(true).unwrap();
    let config = scene.tls_config(&["h2"]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = connector
            .connect(NAME.try_into().unwrap(), stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for request in requests {
            let mut sender = sender.clone();
            answers.push(tokio::spawn(async move {
                let answer = sender.send_request(request).await.ok()?;
                Some((answer.status().as_u16(), collect(answer).await))
            }));
        }
        let mut collected = Vec::new();
        for answer in answers {
            collected.push(answer.await.unwrap());
        }
        collected
    })
}

/// The body of an answer, and what comes behind it.
pub(crate) fn trailed(scene: &Scene, request: Request<Once>) -> (Vec<u8>, hyper::HeaderMap) {
    use hyper::body::Body as _;
    let stream = scene.connect(NAME);
    stream.set_nonblocking(true).unwrap();
    let connector = tokio_rustls::TlsConnector::from(scene.tls_config(&["h2"]));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let name = NAME.try_into().unwrap();
        let io = TokioIo::new(connector.connect(name, stream).await.unwrap());
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let mut body = sender.send_request(request).await.unwrap().into_body();
        let mut all = Vec::new();
        loop {
            let next =
                std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
            match next.await.unwrap().unwrap().into_trailers() {
                Ok(trailers) => return (all, trailers),
                Err(data) => all.extend(data.into_data().unwrap()),
            }
        }
    })
}

async fn collect(answer: Response<hyper::body::Incoming>) -> Vec<u8> {
    use hyper::body::Body as _;
    let (mut body, mut all) = (answer.into_body(), Vec::new());
    let mut body = std::pin::Pin::new(&mut body);
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
    {
        let Ok(frame) = frame else { break };
        all.extend(frame.into_data().unwrap_or_default());
    }
    all
}

/// The statuses of requests that follow one another on a connection, until it takes no more.
fn answered_until_closed(scene: &Scene, uri: &str) -> Vec<u16> {
    let stream = scene.connect(NAME);
    stream.set_nonblocking(true).unwrap();
    let connector = tokio_rustls::TlsConnector::from(scene.tls_config(&["h2"]));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let stream = connector
            .connect(NAME.try_into().unwrap(), stream)
            .await
            .unwrap();
        let io = TokioIo::new(stream);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let mut statuses = Vec::new();
        for _ in 0..2000 {
            let one = request("GET", uri.to_owned()).body(Once(None)).unwrap();
            match sender.send_request(one).await {
                Ok(answer) => statuses.push(answer.status().as_u16()),
                Err(_) => return statuses,
            }
            // Asked again until it ends, which is what is waited for.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it is kept: {statuses:?}");
    })
}

pub(crate) fn request(method: &str, uri: String) -> hyper::http::request::Builder {
    Request::builder()
        .version(Version::HTTP_2)
        .method(method)
        .uri(uri)
}

#[test]
fn each_stream_of_a_connection_is_judged_and_sent_as_it_is() {
    let server = Server::tls(NAME, &["h2", "http/1.1"]);
    let scene = Scene::begin(plan(&server));
    let base = format!("https://{}", scene.host(NAME));
    let mut requests = Vec::new();
    for number in 0..20 {
        let method = if number % 2 == 0 { "POST" } else { "DELETE" };
        let body = Once(Some(Bytes::from(format!("body {number}"))));
        requests.push(
            request(method, format!("{base}/{number}?n=%41"))
                .body(body)
                .unwrap(),
        );
    }
    for (number, answer) in http2(&scene, requests).into_iter().enumerate() {
        let (status, body) = answer.unwrap();
        if number % 2 == 0 {
            assert_eq!(
                (status, String::from_utf8(body).unwrap()),
                (200, format!("body {number}"))
            );
        } else {
            assert_eq!(status, 403);
        }
    }
    let received = server.received();
    assert_eq!(received.len(), 10);
    for one in received {
        assert_eq!(
            (one.version, one.method.as_str()),
            (Version::HTTP_2, "POST")
        );
        assert!(
            one.uri.starts_with(&base) && one.uri.ends_with("?n=A"),
            "{}",
            one.uri
        );
    }
    assert_eq!(
        scene
            .entries()
            .iter()
            .filter(|entry| entry.ruling.is_allow())
            .count(),
        10
    );
}

#[test]
fn streams_do_not_wait_for_one_another() {
    let server = Server::tls(NAME, &["h2"]);
    let scene = Scene::begin(plan(&server));
    let base = format!("https://{}", scene.host(NAME));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let paths = ["/wait", "/wait", "/now"];
            let requests = paths.map(|path| {
                request("GET", format!("{base}{path}"))
                    .body(Once(None))
                    .unwrap()
            });
            http2(&scene, requests.into())
        });
        // The last is answered while the others are waited for.
        let is_now = |entry: &crate::scene::Entry| {
            entry.api().is_some_and(|api| api.path == ["now"]) && entry.outcome.is_some()
        };
        scene.entry(is_now);
        server.say("go");
        server.say("go");
        assert!(
            waiting
                .join()
                .unwrap()
                .iter()
                .all(|one| one.as_ref().unwrap().0 == 200)
        );
    });
}

#[test]
fn a_stream_names_whom_its_connection_is_to() {
    let server = Server::tls(NAME, &["h2"]);
    let scene = Scene::begin(plan(&server));
    let host = scene.host(NAME);
    let none = || Once(None);
    let requests = vec![
        request("GET", format!("https://evil.test:{}/", scene.port))
            .body(none())
            .unwrap(),
        request("GET", format!("https://{host}/"))
            .header("host", "evil.test")
            .body(none())
            .unwrap(),
        request("GET", format!("https://{NAME}/"))
            .body(none())
            .unwrap(),
        request("GET", format!("http://{host}/"))
            .body(none())
            .unwrap(),
        request("GET", format!("https://x@{host}/"))
            .body(none())
            .unwrap(),
        request("GET", format!("https://{host}/a/%2e%2e/b"))
            .body(none())
            .unwrap(),
        request("get", format!("https://{host}/"))
            .body(none())
            .unwrap(),
    ];
    let statuses: Vec<_> = http2(&scene, requests)
        .into_iter()
        .map(|one| one.map(|one| one.0))
        .collect();
    assert_eq!(statuses[..4], [Some(421), Some(421), Some(421), Some(400)]);
    // The client's own library, or the gate, makes nothing of a name before the host.
    assert!(
        matches!(statuses[4], None | Some(400 | 421)),
        "{statuses:?}"
    );
    assert_eq!(statuses[5..], [Some(400), Some(400)]);
    assert!(server.received().is_empty(), "{:?}", server.received());
}

#[test]
fn a_stream_of_events_is_handed_on_as_it_comes() {
    for protocol in ["http/1.1", "h2"] {
        let server = Server::tls(NAME, &[protocol]);
        let scene = Scene::begin(plan(&server));
        if protocol == "h2" {
            // Over HTTP/2 the pieces are put in beforehand: they come, and end.
            server.say("data: one\n\n");
            server.say("");
            let one = request("GET", format!("https://{}/stream", scene.host(NAME)));
            let answers = http2(&scene, vec![one.body(Once(None)).unwrap()]);
            assert_eq!(answers[0].clone().unwrap().1, b"data: one\n\n");
            continue;
        }
        let mut tls = scene.tls(NAME);
        let text = format!("GET /stream HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
        tls.write_all(text.as_bytes()).unwrap();
        for number in 0..5 {
            // The next is not said before this one has come.
            server.say(&format!("data: {number}\n\n"));
            read_until(&mut tls, &format!("data: {number}\n\n"));
        }
        assert!(scene.entries()[0].outcome.is_none());
        server.say("");
        read_until(&mut tls, "0\r\n\r\n");
        assert!(
            matches!(
                scene.outcome(),
                OutcomeOf::Answered {
                    status: 200,
                    received: 45,
                    ..
                }
            ),
            "{:?}",
            scene.outcome()
        );
    }
}

#[test]
fn a_client_that_leaves_is_written_down() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let scene = Scene::begin(plan(&server));
    let mut tls = scene.tls(NAME);
    let text = format!("GET /stream HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    tls.write_all(text.as_bytes()).unwrap();
    server.say("data: 1\n\n");
    read_until(&mut tls, "data: 1");
    drop(tls);
    assert!(
        matches!(scene.outcome(), OutcomeOf::Unanswered { why } if why.contains("the client left"))
    );
}

/// How much memory a process has at most had of its own.
pub(crate) fn peak(process: rustix::process::Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

#[test]
fn a_large_body_takes_no_more_memory_than_a_small_one() {
    const SIZE: usize = 256 << 20;
    let server = Server::tls(NAME, &["http/1.1"]);
    let scene = Scene::begin(plan(&server));
    let mut tls = scene.tls(NAME);
    let text = format!(
        "GET /large/256 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        scene.host(NAME)
    );
    tls.write_all(text.as_bytes()).unwrap();
    let (mut read, mut piece) = (0, vec![0; 1 << 16]);
    // A client that does not read for a while makes the server wait, not the gate fill up.
    std::thread::sleep(Duration::from_millis(300));
    loop {
        match tls.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => read += length,
        }
    }
    assert!(read > SIZE, "{read}");
    let most = peak(scene.gate().unwrap());
    assert!(most < 96 << 20, "{most}");
    assert!(
        matches!(scene.outcome(), OutcomeOf::Answered { received, .. } if received == SIZE as u64)
    );
}

#[test]
fn a_server_that_breaks_off_is_told_and_written_down() {
    for (answer, code) in [
        (
            &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"[..],
            200,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            200,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
            200,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Le", 502),
        (b"not HTTP at all\r\n\r\n", 502),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            502,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            502,
        ),
        (b"", 502),
    ] {
        let (address, roots) = says(NAME, answer, |_| {});
        let scene = Scene::begin(Plan::new(NAME, address, &roots));
        let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
        let told = scene.exchange(NAME, text);
        let shown = String::from_utf8_lossy(answer);
        // Where it breaks off at once, the client may see no more than an end.
        let is_code = status(&told) == code || (code < 500 && told.is_empty());
        assert!(is_code, "{shown:?} {told}");
        assert!(
            matches!(scene.outcome(), OutcomeOf::Unanswered { .. }),
            "{shown:?} {:?}",
            scene.outcome()
        );
    }
}

#[test]
fn a_head_without_end_is_not_read_without_end() {
    let (address, roots) = says(NAME, b"HTTP/1.1 200 OK\r\n", |tls| {
        while tls
            .write_all(b"X-More: and more and more and more and more\r\n")
            .is_ok()
        {}
    });
    let scene = Scene::begin(Plan::new(NAME, address, &roots));
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    assert_eq!(status(&scene.exchange(NAME, text)), 502);
    assert!(matches!(scene.outcome(), OutcomeOf::Unanswered { .. }));
}

#[test]
fn a_server_that_says_nothing_is_waited_for_as_long_as_was_said() {
    // A server that outlasts the test, and says nothing.
    let (address, roots) = says(NAME, b"", |_| std::thread::sleep(Duration::from_secs(600)));
    let mut plan = Plan::new(NAME, address, &roots);
    plan.patience.answer = Duration::from_millis(300);
    let scene = Scene::begin(plan);
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    assert_eq!(status(&scene.exchange(NAME, text)), 504);
    assert!(matches!(scene.outcome(), OutcomeOf::Unanswered { .. }));
}

#[test]
fn a_server_that_stops_in_the_middle_is_waited_for_as_long_as_was_said() {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let (address, roots) = says(NAME, begun, |_| {
        // It outlasts the test, and says no more.
        std::thread::sleep(Duration::from_secs(600))
    });
    let mut plan = Plan::new(NAME, address, &roots);
    // What it does say has to come by then.
    plan.patience.answer = Duration::from_secs(3);
    let scene = Scene::begin(plan);
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    assert!(scene.exchange(NAME, text).ends_with("half"));
    assert!(
        matches!(scene.outcome(), OutcomeOf::Unanswered { why } if why.contains("nothing more came"))
    );
}

#[test]
fn a_client_that_never_ends_its_head_or_hello_is_not_waited_for() {
    let server = Server::tls(NAME, &["http/1.1"]);
    let mut plan = plan(&server);
    // One that does end its hello has to do so by then.
    plan.patience.client = Duration::from_secs(3);
    let scene = Scene::begin(plan);
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = scene.connect(NAME);
        stream.write_all(bytes).unwrap();
        assert_eq!(read_to_end(&mut stream), "");
    }
    let mut tls = scene.tls(NAME);
    tls.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    let said = read_to_end(&mut tls);
    assert!(said.is_empty() || status(&said) == 408, "{said}");
    assert!(server.received().is_empty());
}

#[test]
fn a_server_that_ended_a_kept_connection_is_connected_to_again() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (address, roots) = says(NAME, answer, |_| {});
    let scene = Scene::begin(Plan::new(NAME, address, &roots));
    let mut tls = scene.tls(NAME);
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    for _ in 0..3 {
        tls.write_all(text.as_bytes()).unwrap();
        read_until(&mut tls, "\r\n\r\nok");
        // Time for the server to end what was kept; where it has not, the answer is the same.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(scene.entries().len(), 3);
}

#[test]
fn a_server_that_is_not_there_is_told_and_the_connection_is_not_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let scene = Scene::begin(Plan::new(NAME, address, ""));
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", scene.host(NAME));
    let answer = scene.exchange(NAME, text);
    assert_eq!(status(&answer), 502);
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(matches!(scene.outcome(), OutcomeOf::Unanswered { why } if why.contains("refused")));
    // Over HTTP/2 too: requests are answered until the connection is taken back, and then it is.
    let base = format!("https://{}/", scene.host(NAME));
    let answered = answered_until_closed(&scene, &base);
    assert!(answered.iter().all(|status| *status == 502), "{answered:?}");
}
