//! The server behind a connection: it is connected to once it is vetted, and asked what was judged.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentguard_core::Scheme;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::UPGRADE;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::accept::Shared;
use super::ask::Told;
use super::body::Body;
use super::bridge;
use super::leaf::{self, Protocol};
use super::push;
use super::redact;
use super::request::Origin;
use super::resolve::Vetted;

/// The longest head of an answer.
const LONGEST_HEAD: usize = 256 << 10;
/// How much of a stream, and of all together, is on its way before anybody reads it.
const WINDOW: u32 = 1 << 20;

/// Where a connection leads.
pub(super) enum Way {
    /// To a server.
    Open(Upstream),
    /// To a server that cannot be reached.
    Failed { at: Vetted, why: String },
    /// Nowhere.
    Closed { status: StatusCode, told: Told },
}

/// A connection to a server, made again where the server ended it.
pub(super) struct Upstream {
    shared: Arc<Shared>,
    origin: Origin,
    at: Vetted,
    protocol: Protocol,
    /// `None` once it is given away.
    sender: Mutex<Option<Sender>>,
    /// Whether nothing was sent yet on one that was kept: the server may be ending it.
    is_kept: AtomicBool,
}

/// What is sent on.
pub(super) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Way {
    /// What is spoken on it, if anything.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Open(upstream) => Some(upstream.protocol),
            Self::Failed { .. } | Self::Closed { .. } => None,
        }
    }
}

impl Upstream {
    /// Connects to the first of `addresses` that answers, unless there is a connection already that nobody uses.
    pub(super) async fn connect(
        shared: &Arc<Shared>,
        origin: &Origin,
        addresses: &[Vetted],
        protocols: &[Protocol],
    ) -> Way {
        let open = |at: Vetted, sender: Sender, is_kept: bool| {
            Way::Open(Self {
                shared: Arc::clone(shared),
                origin: origin.clone(),
                at,
                protocol: sender.protocol(),
                sender: Mutex::new(Some(sender)),
                is_kept: AtomicBool::new(is_kept),
            })
        };
        let is_kept = !shared.ssh.leads_to(origin);
        let kept = is_kept.then(|| shared.kept.take(origin, addresses, protocols));
        if let Some((at, sender)) = kept.flatten() {
            return open(at, sender, true);
        }
        let mut failed = None;
        for at in addresses {
            match Box::pin(dial(shared, origin, *at, protocols)).await {
                Ok(sender) => return open(*at, sender, false),
                Err(error) => failed = failed.or(Some((*at, reason(&error)))),
            }
        }
        match failed {
            Some((at, why)) => Way::Failed { at, why },
            // A resolver that finds nothing says why.
            None => Way::Failed {
                at: Vetted {
                    address: ([0, 0, 0, 0], 0).into(),
                    class: agentguard_core::AddressClass::Special,
                },
                why: "it has no address".to_owned(),
            },
        }
    }

    /// Which address it is connected to.
    pub(super) fn at(&self) -> Vetted {
        self.at
    }

    /// Sends a request that was permitted. Where the server ended the connection before it took any of it, it
    /// is sent once more on a new one.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, String> {
        let mut again = None;
        if self.is_kept.swap(false, Ordering::Relaxed) {
            again = copy(&request);
            if again.is_none() {
                // Nobody could tell whether the server took it before it ended the connection.
                self.dial().await?;
            }
        }
        let unsent = match self.try_send(request).await {
            Ok(answer) => return bridge::answered(answer),
            Err((why, unsent)) => unsent.or(again).ok_or(why)?,
        };
        self.renew().await?;
        let answer = self.try_send(unsent).await.map_err(|(why, _)| why)?;
        bridge::answered(answer)
    }

    /// Another connection to the same address, where `is_wanted` and where answers wait for one another on this one.
    pub(super) async fn beside(&self, is_wanted: bool) -> Option<Self> {
        if !is_wanted || self.protocol != Protocol::Http1 {
            return None;
        }
        let (at, protocols) = ([self.at], [self.protocol]);
        let way = Self::connect(&self.shared, &self.origin, &at, &protocols);
        match Box::pin(way).await {
            Way::Open(upstream) => Some(upstream),
            // Then it is asked on this one, after what is asked already.
            Way::Failed { .. } | Way::Closed { .. } => None,
        }
    }

    /// Sends a question of the gate's own, of which nothing comes where it is asked twice.
    pub(super) async fn ask(
        &self,
        asked: &Request<hyper::body::Bytes>,
    ) -> Result<Response<Incoming>, String> {
        let is_kept = self.is_kept.swap(false, Ordering::Relaxed);
        match self.try_send(push::sent(asked)).await {
            Ok(answer) => return bridge::answered(answer),
            Err((why, None)) if !is_kept => return Err(why),
            Err(_) => {}
        }
        self.renew().await?;
        let answer = self.try_send(push::sent(asked)).await;
        bridge::answered(answer.map_err(|(why, _)| why)?)
    }

    /// Connects again, to the same address, unless somebody else has.
    async fn renew(&self) -> Result<(), String> {
        let is_closed = match &*self.sender.lock().await {
            Some(sender) => sender.is_closed(),
            None => true,
        };
        if is_closed { self.dial().await } else { Ok(()) }
    }

    async fn dial(&self) -> Result<(), String> {
        let mut sender = self.sender.lock().await;
        // A connection is seldom made here, and what makes one is large.
        let protocols = [self.protocol];
        let dialled = dial(&self.shared, &self.origin, self.at, &protocols);
        let dialled = Box::pin(dialled).await;
        *sender = Some(dialled.map_err(|error| reason(&error))?);
        Ok(())
    }

    async fn try_send(&self, request: Request<Body>) -> Result<Response<Incoming>, Unsent> {
        let sent = self.send_now(request).await;
        // What a server says as it ends a connection stands in the error.
        sent.map_err(|(why, unsent)| (redact::text(&self.shared.lent, &why), unsent))
    }

    async fn send_now(&self, request: Request<Body>) -> Result<Response<Incoming>, Unsent> {
        let mut locked = self.sender.lock().await;
        match &mut *locked {
            Some(Sender::Http1(sender)) => match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await.map_err(unsent),
                Err(error) => Err((reason(&error), Some(request))),
            },
            Some(Sender::Http2(sender)) => {
                // Streams do not wait for one another.
                let mut sender = sender.clone();
                drop(locked);
                match sender.ready().await {
                    Ok(()) => sender.try_send_request(request).await.map_err(unsent),
                    Err(error) => Err((reason(&error), Some(request))),
                }
            }
            None => Err(("it is not connected".to_owned(), Some(request))),
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.get_mut().take()
            && !self.shared.ssh.leads_to(&self.origin)
        {
            self.shared.kept.give(&self.origin, self.at, sender);
        }
    }
}

/// The same request, where nothing comes of sending it twice (RFC 9110, section 9.2.2).
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let is_safe = [Method::GET, Method::HEAD].contains(request.method());
    let is_whole = request.body().is_end_stream() && !request.headers().contains_key(UPGRADE);
    if !is_safe || !is_whole {
        return None;
    }
    let mut copied = Request::new(Body::whole(hyper::body::Bytes::new()));
    *copied.method_mut() = request.method().clone();
    *copied.uri_mut() = request.uri().clone();
    *copied.version_mut() = request.version();
    *copied.headers_mut() = request.headers().clone();
    Some(copied)
}

/// Why a request was not sent, and the request where the server took nothing of it.
type Unsent = (String, Option<Request<Body>>);

fn unsent(mut error: hyper::client::conn::TrySendError<Request<Body>>) -> Unsent {
    let unsent = error.take_message();
    (reason(error.error()), unsent)
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether a request could be sent at once.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Http1(_) => Protocol::Http1,
            Self::Http2(_) => Protocol::Http2,
        }
    }
}

/// Connects to exactly this address, and makes sure of who is there.
async fn dial(
    shared: &Shared,
    origin: &Origin,
    at: Vetted,
    protocols: &[Protocol],
) -> io::Result<Sender> {
    let late = |what: &'static str| move |_| io::Error::new(io::ErrorKind::TimedOut, what);
    if shared.ssh.leads_to(origin) {
        if origin.scheme == Scheme::Http || !protocols.contains(&Protocol::Http1) {
            return Err(io::Error::other(
                "it speaks SSH, and is asked as HTTP/1.1 asks",
            ));
        }
        return open(bridge::open(&shared.ssh, origin), Protocol::Http1).await;
    }
    let patience = shared.patience.server;
    let stream = timeout(patience, TcpStream::connect(at.address)).await;
    let stream = stream.map_err(late("nobody answers at its address"))??;
    stream.set_nodelay(true)?;
    match origin.scheme {
        Scheme::Http => open(stream, Protocol::Http1).await,
        Scheme::Https => {
            let connector = TlsConnector::from(shared.servers.client(protocols));
            let handshake = connector.connect(leaf::server_name(&origin.host)?, stream);
            let stream = timeout(patience, handshake).await;
            let stream = stream.map_err(late("its handshake does not end"))??;
            let agreed = stream.get_ref().1.alpn_protocol();
            let protocol = if agreed == Some(Protocol::Http2.name()) {
                Protocol::Http2
            } else {
                Protocol::Http1
            };
            if !protocols.contains(&protocol) {
                return Err(io::Error::other("it does not speak what the client does"));
            }
            open(stream, protocol).await
        }
    }
}

async fn open<S>(stream: S, protocol: Protocol) -> io::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    Ok(match protocol {
        Protocol::Http1 => {
            let handshake = http1::Builder::new()
                .max_buf_size(LONGEST_HEAD)
                .handshake(io);
            let (sender, connection) = handshake.await.map_err(io::Error::other)?;
            tokio::spawn(connection.with_upgrades());
            Sender::Http1(sender)
        }
        Protocol::Http2 => {
            let handshake = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_header_list_size(64 << 10)
                .handshake(io);
            let (sender, connection) = handshake.await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        }
    })
}

/// An error with what is behind it, in one line.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let further = error.to_string();
        if !reason.contains(&further) {
            reason = format!("{reason}: {further}");
        }
        source = error.source();
    }
    reason
}
