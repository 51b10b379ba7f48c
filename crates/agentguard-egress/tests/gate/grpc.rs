//! Calls that go both ways at once over HTTP/2, with what is said after a body, as gRPC has it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use agentguard_core::OutcomeOf;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::scene::{Plan, Scene};
use crate::server::Vouching;

const NAME: &str = "api.test";

/// A body of what is sent to it.
struct Told(UnboundedReceiver<Frame<Bytes>>);

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

fn told() -> (UnboundedSender<Frame<Bytes>>, Told) {
    let (sender, receiver) = unbounded_channel();
    (sender, Told(receiver))
}

async fn next(body: &mut Incoming) -> Option<Frame<Bytes>> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    frame.map(Result::unwrap)
}

fn trailers(pairs: &[(&'static str, &'static str)]) -> Frame<Bytes> {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    Frame::trailers(pairs.collect::<HeaderMap>())
}

type Got = Arc<Mutex<Vec<HeaderMap>>>;

/// A server that says each piece back as it comes, and ends with a status. It keeps the heads and the
/// trailers that it gets.
fn server(runtime: &tokio::runtime::Runtime, got: &Got) -> (std::net::SocketAddr, String) {
    let vouching = Vouching::new();
    let acceptor = tokio_rustls::TlsAcceptor::from(vouching.config(NAME, &["h2"]));
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let got = Arc::clone(got);
    runtime.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let service = service_fn(move |request: Request<Incoming>| {
            let got = Arc::clone(&got);
            async move {
                let (parts, mut body) = request.into_parts();
                got.lock().unwrap().push(parts.headers);
                let (sender, answer) = told();
                tokio::spawn(async move {
                    while let Some(frame) = next(&mut body).await {
                        match frame.into_data() {
                            Ok(bytes) => sender.send(Frame::data(bytes)).unwrap(),
                            Err(frame) => got.lock().unwrap().push(frame.into_trailers().unwrap()),
                        }
                    }
                    sender
                        .send(trailers(&[("grpc-status", "0"), ("grpc-message", "fine")]))
                        .unwrap();
                });
                Ok::<_, Infallible>(Response::new(answer))
            }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    (address, vouching.pem)
}

/// Calls, and gives the trailers of the answer.
async fn call(scene: &Scene, stream: std::net::TcpStream) -> HeaderMap {
    let connector = tokio_rustls::TlsConnector::from(scene.tls_config(&["h2"]));
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let stream = connector
        .connect(NAME.try_into().unwrap(), stream)
        .await
        .unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let (say, body) = told();
    let request = Request::post(format!("https://{}/pkg.Service/Call", scene.host(NAME)))
        .version(hyper::Version::HTTP_2)
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let mut answer = answer.into_body();
    // Each piece is answered before the next is said.
    for piece in ["one", "two", "three"] {
        say.send(Frame::data(Bytes::from(piece))).unwrap();
        let heard = next(&mut answer).await.unwrap().into_data().unwrap();
        assert_eq!(heard, piece);
    }
    say.send(trailers(&[
        ("x-checksum", "abc"),
        ("x-http-method-override", "DELETE"),
        ("authorization", "Bearer other"),
        ("content-type", "application/json"),
        ("connection-id", "7"),
    ]))
    .unwrap();
    drop(say);
    let ended = next(&mut answer).await.unwrap().into_trailers().unwrap();
    assert!(next(&mut answer).await.is_none());
    ended
}

#[test]
fn a_call_goes_both_ways_piece_by_piece_and_ends_with_its_trailers() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let got = Got::default();
    let (address, roots) = server(&runtime, &got);
    let scene = Scene::begin(Plan::new(NAME, address, &roots));
    let stream = scene.connect(NAME);
    stream.set_nonblocking(true).unwrap();
    let ended = runtime.block_on(call(&scene, stream));
    assert_eq!(
        (&ended["grpc-status"], &ended["grpc-message"]),
        (&"0".parse().unwrap(), &"fine".parse().unwrap())
    );
    let got = got.lock().unwrap().clone();
    let [head, trailers] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(head["te"], "trailers");
    // What would be a header of the request that nobody judged is not sent behind it.
    let names: Vec<_> = trailers
        .keys()
        .map(hyper::header::HeaderName::as_str)
        .collect();
    assert_eq!(names, ["x-checksum", "connection-id"]);
    let OutcomeOf::Answered { sent, received, .. } = scene.outcome() else {
        panic!("{:?}", scene.outcome());
    };
    assert_eq!((sent, received), (11, 11));
    assert!(!scene.entries()[0].api().unwrap().body_seen);
}
