//! Servers behind the gate: one that keeps what it receives, and some that misbehave.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a server got.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) version: Version,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(one, _)| one == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// Who vouches for servers.
pub(crate) struct Vouching {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Vouching {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(parameters, key),
            pem,
        }
    }

    pub(crate) fn config(&self, name: &str, protocols: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let mut config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|one| one.as_bytes().to_vec())
            .collect();
        Arc::new(config)
    }
}

/// A server that keeps what it receives. `/stream` answers piece by piece as it is told to, `/large/N` with N
/// MiB, `/wait` once it is told to, `/hop` with headers for the next hop, `/mirror` with the
/// headers that it got, `/trailers` with those behind its body, `/gzip` with what it says is compressed; all others with what they were sent.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) roots: String,
    received: Arc<Mutex<Vec<Received>>>,
    pieces: tokio::sync::mpsc::UnboundedSender<Bytes>,
}

impl Server {
    /// A server over TLS, for `name`.
    pub(crate) fn tls(name: &str, protocols: &[&str]) -> Self {
        let vouching = Vouching::new();
        let config = vouching.config(name, protocols);
        Self::start(Some(config), vouching.pem)
    }

    /// A server in the clear.
    pub(crate) fn clear() -> Self {
        Self::start(None, String::new())
    }

    fn start(config: Option<Arc<ServerConfig>>, roots: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let state = State {
            received: Arc::clone(&received),
            pieces: Arc::new(tokio::sync::Mutex::new(receiver)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        std::thread::spawn(move || runtime.block_on(serve(listener, config, state)));
        Self {
            address,
            roots,
            received,
            pieces: sender,
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Lets the stream go on by a piece.
    pub(crate) fn say(&self, piece: &str) {
        self.pieces.send(Bytes::from(piece.to_owned())).unwrap();
    }
}

#[derive(Clone)]
struct State {
    received: Arc<Mutex<Vec<Received>>>,
    pieces: Arc<tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<Bytes>>>,
}

async fn serve(listener: TcpListener, config: Option<Arc<ServerConfig>>, state: State) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (config, state) = (config.clone(), state.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(state.clone(), request));
            let Some(config) = config else {
                let io = TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(io, service)
                    .await;
                return;
            };
            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            } else {
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        });
    }
}

async fn answer(state: State, request: Request<Incoming>) -> Result<Response<Pieces>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let at = {
        let mut received = state.received.lock().unwrap();
        received.push(Received {
            version: parts.version,
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        String::from_utf8_lossy(value.as_bytes()).into(),
                    )
                })
                .collect(),
            body: Vec::new(),
        });
        received.len() - 1
    };
    let path = parts.uri.path().to_owned();
    while let Some(frame) =
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        let Ok(frame) = frame else { break };
        if let Ok(data) = frame.into_data() {
            state.received.lock().unwrap()[at].body.extend(data);
        }
    }
    if path == "/wait" {
        let _ = state.pieces.lock().await.recv().await;
    }
    let got = state.received.lock().unwrap()[at].clone();
    if path == "/mirror" {
        return Ok(mirror(&got));
    }
    let pieces = match path.strip_prefix("/large/") {
        Some(size) => Pieces::Large(size.parse::<u64>().unwrap()),
        None if path == "/stream" => Pieces::Told(state.pieces.lock_owned().await),
        None if path == "/trailers" => Pieces::Trailed("behind ghp_s", Some(parts.headers)),
        None => Pieces::Once(Some(Bytes::from(got.body))),
    };
    let mut answer = Response::builder().header("x-server", "here");
    if path == "/hop" {
        answer = answer
            .header("alt-svc", "h3=\":443\"")
            .header("keep-alive", "timeout=5");
    }
    if path == "/gzip" {
        answer = answer.header("content-encoding", "gzip");
    }
    Ok(answer.body(pieces).unwrap())
}

/// Says back what was asked, in headers and in a body.
fn mirror(got: &Received) -> Response<Pieces> {
    let mut answer = Response::builder().header("location", &got.uri);
    let mut text = String::new();
    for (name, value) in &got.headers {
        text.push_str(&format!("{name}: {value}\n"));
        if value.len() > 20 {
            answer = answer.header("set-cookie", value);
        }
    }
    text.push_str(&got.uri);
    answer.body(Pieces::Once(Some(Bytes::from(text)))).unwrap()
}

enum Pieces {
    Once(Option<Bytes>),
    Large(u64),
    Trailed(&'static str, Option<HeaderMap>),
    Told(tokio::sync::OwnedMutexGuard<tokio::sync::mpsc::UnboundedReceiver<Bytes>>),
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Trailed("", headers) => {
                return Poll::Ready(headers.take().map(|headers| Ok(Frame::trailers(headers))));
            }
            Self::Trailed(text, _) => Some(Bytes::from(std::mem::take(text))),
            Self::Once(bytes) => bytes.take(),
            Self::Large(0) => None,
            Self::Large(left) => {
                *left -= 1;
                Some(Bytes::from_static(&[7; 1 << 20]))
            }
            Self::Told(pieces) => match pieces.poll_recv(context) {
                // An empty piece is the end.
                Poll::Ready(piece) => piece.filter(|piece| !piece.is_empty()),
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Once(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap())
            }
            Self::Large(_) | Self::Trailed(..) | Self::Told(_) => SizeHint::default(),
        }
    }
}

/// A connection as its server has it.
pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A server over TLS that says what it is given to say once it was asked, and then does what `then` does.
pub(crate) fn says(name: &str, answer: &'static [u8], then: fn(&mut Tls)) -> (SocketAddr, String) {
    let is_asked = |asked: &[u8]| asked.ends_with(b"\r\n\r\n");
    says_once(name, "http/1.1", is_asked, answer, then)
}

/// The same of a protocol in which it is asked once `is_asked` says so.
pub(crate) fn says_once(
    name: &str,
    protocol: &str,
    is_asked: fn(&[u8]) -> bool,
    answer: &'static [u8],
    then: fn(&mut Tls),
) -> (SocketAddr, String) {
    let vouching = Vouching::new();
    let config = vouching.config(name, &[protocol]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, config) = (stream.unwrap(), Arc::clone(&config));
            stream
                .set_read_timeout(Some(Duration::from_secs(60)))
                .unwrap();
            std::thread::spawn(move || {
                let mut tls = ServerConnection::new(config).unwrap();
                while tls.is_handshaking() {
                    if tls.complete_io(&mut stream).is_err() {
                        return;
                    }
                }
                let mut tls = StreamOwned::new(tls, stream);
                let (mut asked, mut piece) = (Vec::new(), [0; 4096]);
                while !is_asked(&asked) {
                    match tls.read(&mut piece) {
                        Ok(0) | Err(_) => return,
                        Ok(length) => asked.extend(&piece[..length]),
                    }
                }
                let _ = tls.write_all(answer).and_then(|()| tls.flush());
                then(&mut tls);
            });
        }
    });
    (address, vouching.pem)
}
