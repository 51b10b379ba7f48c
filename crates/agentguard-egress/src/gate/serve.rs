//! Requests of a connection: each is read into its one form, judged, and only then sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use agentguard_core::{Api, OutcomeOf, Rule, Scheme};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::accept::{CALLER, Shared};
use super::ask::{Gone, Permitted};
use super::body::{Answer, Body};
use super::connection::refuse;
use super::forward::{Upstream, Way};
use super::json;
use super::refusal::{self, Fault};
use super::request::{self, Origin, Read};
use super::resolve::Vetted;
use super::strict::Strict;
use super::whole;

/// The longest body that policy sees.
const LONGEST_SEEN: usize = 64 << 10;
/// How much a client may still say after it was refused, and for how long, to be told so.
const LINGER: usize = 1 << 20;
const LINGER_FOR: Duration = Duration::from_secs(2);
/// How long a connection that leads nowhere takes requests, to say so.
const NOWHERE_FOR: Duration = Duration::from_secs(1);
const MOST_STREAMS: u32 = 100;
const WINDOW: u32 = 256 << 10;

/// A client's connection and where it leads.
struct Connection {
    shared: Arc<Shared>,
    origin: Origin,
    way: Way,
}

/// Why a request is not answered by a server.
enum Unsent {
    /// The gate refuses it.
    Fault(Fault),
    /// It was answered here.
    Answered(Response<Body>),
    /// The guard is gone.
    Gone,
}

impl From<Fault> for Unsent {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Gone> for Unsent {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// Serves HTTP/1.1.
pub(super) async fn http1<S>(
    shared: &Arc<Shared>,
    stream: S,
    origin: Origin,
    way: Way,
) -> Result<(), Gone>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (host, port) = (origin.host.clone(), origin.port);
    let service = service(shared, origin, way);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.patience.client)
        .max_buf_size(128 << 10)
        .serve_connection(TokioIo::new(Strict::new(stream)), service_fn(service));
    // Whether it ended well is nobody's to know: what came of each request was told.
    let _ = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut strict = connection.into_parts().io.into_inner();
    if let Some(fault) = strict.fault() {
        let rule = Rule::new(
            "gate/request",
            format!("the request is not well-formed: {fault}"),
        );
        let told = refuse(shared, &host, port, rule).await?;
        let answer = refusal::raw(StatusCode::BAD_REQUEST, &told);
        let _ = timeout(LINGER_FOR, strict.inner().write_all(&answer)).await;
    }
    linger(strict.inner()).await;
    Ok(())
}

/// Serves HTTP/2.
pub(super) async fn http2<S>(
    shared: &Arc<Shared>,
    stream: S,
    origin: Origin,
    way: Way,
) -> Result<(), Gone>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_open = way.protocol().is_some();
    let service = service(shared, origin, way);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(64 << 10)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_send_buf_size(256 << 10)
        .serve_connection(TokioIo::new(stream), service_fn(service));
    let mut connection = std::pin::pin!(connection);
    if !is_open {
        // It leads nowhere, and clients keep such connections for long: the next one may.
        if timeout(NOWHERE_FOR, connection.as_mut()).await.is_ok() {
            return Ok(());
        }
        connection.as_mut().graceful_shutdown();
    }
    let _ = connection.await;
    Ok(())
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Gone>> + Send>>;

fn service(
    shared: &Arc<Shared>,
    origin: Origin,
    way: Way,
) -> impl Fn(Request<Incoming>) -> Answering + use<> {
    let connection = Arc::new(Connection {
        shared: Arc::clone(shared),
        origin,
        way,
    });
    move |request| {
        let connection = Arc::clone(&connection);
        Box::pin(async move { connection.answer(request).await })
    }
}

/// Ends a connection so that the client gets to read what it was told: one that is closed with bytes unread
/// takes back what was sent.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let _ = timeout(LINGER_FOR, async {
        let _ = stream.shutdown().await;
        let (mut read, mut rest) = (vec![0; 8 << 10], LINGER);
        while rest > 0 {
            match stream.read(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(length) => rest = rest.saturating_sub(length),
            }
        }
    })
    .await;
}

impl Connection {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Gone> {
        let is_http1 = request.version() != Version::HTTP_2;
        let is_empty = request.body().is_end_stream();
        let is_open = self.way.protocol().is_some();
        let mut answer = match self.pass(request).await {
            Ok(answer) if is_open => return Ok(answer),
            Ok(answer) => answer,
            Err(Unsent::Answered(answer)) => answer,
            Err(Unsent::Fault(fault)) => {
                let (host, port) = (&self.origin.host, self.origin.port);
                let told = refuse(&self.shared, host, port, fault.rule).await?;
                refusal::answer(fault.status, &told)
            }
            Err(Unsent::Gone) => return Err(Gone),
        };
        // What is left of a refused body is not waited for, and what leads nowhere is not to be kept.
        if is_http1 && (!is_empty || !is_open) {
            answer
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer)
    }

    /// Reads, asks, and sends.
    async fn pass(&self, request: Request<Incoming>) -> Result<Response<Body>, Unsent> {
        let (parts, body) = request.into_parts();
        let read = request::read(&self.origin, &parts)?;
        let at = match &self.way {
            Way::Open(upstream) => upstream.at(),
            Way::Failed { at, .. } => *at,
            Way::Closed { status, told } => {
                return Err(Unsent::Answered(refusal::answer(*status, told)));
            }
        };
        let uri = self.uri(&read, parts.version)?;
        let body = timeout(self.shared.patience.client, self.see(&read, body)).await;
        let late = |_| {
            Fault::new(
                StatusCode::REQUEST_TIMEOUT,
                "gate/body",
                "the body does not end",
            )
        };
        let Seen {
            json,
            first,
            rest,
            is_whole,
        } = body.map_err(late)??;
        let whole = is_whole.then(|| whole::digest(&self.origin, &read, &first));
        let api = self.api(&read, json, at);
        let permitted = match self.shared.guard.request(api, whole).await? {
            Ok(permitted) => permitted,
            Err(told) => {
                return Err(Unsent::Answered(refusal::answer(
                    StatusCode::FORBIDDEN,
                    &told,
                )));
            }
        };
        let sent = Arc::new(AtomicU64::new(0));
        let patience = self.shared.patience.answer;
        let body = Body::passing(first, rest, Arc::clone(&sent), patience, None);
        let mut request = Request::new(body);
        *request.method_mut() = read.method;
        *request.uri_mut() = uri;
        *request.version_mut() = parts.version;
        *request.headers_mut() = read.headers;
        match &self.way {
            Way::Open(upstream) => Ok(self.send(upstream, request, permitted, sent).await),
            Way::Failed { why, .. } => Ok(failed(permitted, StatusCode::BAD_GATEWAY, why)),
            Way::Closed { .. } => Err(Unsent::Gone),
        }
    }

    fn uri(&self, read: &Read, version: Version) -> Result<Uri, Fault> {
        let sent = read.target.sent.as_str();
        let uri = if version == Version::HTTP_2 {
            let scheme = match self.origin.scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
            };
            let uri = Uri::builder()
                .scheme(scheme)
                .authority(self.origin.authority());
            uri.path_and_query(sent).build().ok()
        } else {
            sent.parse().ok()
        };
        let is_same = |uri: &Uri| {
            uri.path_and_query()
                .is_some_and(|path| path.as_str() == sent)
        };
        uri.filter(is_same)
            .ok_or_else(|| Fault::bad("gate/path", "its path cannot be sent as it was judged"))
    }

    fn api(&self, read: &Read, body: Option<serde_json::Value>, at: Vetted) -> Api {
        Api {
            scheme: self.origin.scheme,
            host: self.origin.host.to_string(),
            port: self.origin.port,
            method: read.method.to_string(),
            path: read.target.segments.clone(),
            query: read.target.query.clone(),
            headers: read.seen.clone(),
            body,
            address: at.address.ip().to_string(),
            class: at.class,
            caller: CALLER.to_owned(),
            credentials: Vec::new(),
        }
    }

    /// Reads a body that policy is to see, as far as it is not too long.
    async fn see(&self, read: &Read, mut body: Incoming) -> Result<Seen, Fault> {
        let content_type = read.seen.get(CONTENT_TYPE.as_str()).map(String::as_str);
        let is_json = content_type.is_some_and(is_json);
        let mut first = VecDeque::new();
        let is_plain = !read.seen.contains_key(CONTENT_ENCODING.as_str());
        let is_short = match body.size_hint().exact() {
            Some(length) => usize::try_from(length).is_ok_and(|length| length <= LONGEST_SEEN),
            None => is_json,
        };
        // A stream of calls is answered while it is sent.
        let is_stream = content_type.is_some_and(|kind| kind.starts_with("application/grpc"));
        if !is_plain || !is_short || is_stream {
            return Ok(Seen {
                json: None,
                first,
                rest: body,
                is_whole: false,
            });
        }
        let mut length = 0;
        while length <= LONGEST_SEEN {
            let next = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            match next.await {
                Some(Ok(frame)) => {
                    // What comes after a body is not waited for by anybody here.
                    if let Ok(bytes) = frame.into_data() {
                        length += bytes.len();
                        first.push_back(bytes);
                    }
                }
                Some(Err(_)) => return Err(Fault::bad("gate/body", "its body breaks off")),
                None => return seen(first, body, is_json),
            }
        }
        Ok(Seen {
            json: None,
            first,
            rest: body,
            is_whole: false,
        })
    }

    async fn send(
        &self,
        upstream: &Upstream,
        request: Request<Body>,
        permitted: Permitted,
        sent: Arc<AtomicU64>,
    ) -> Response<Body> {
        let patience = self.shared.patience.answer;
        let answer = match timeout(patience, upstream.send(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return failed(permitted, StatusCode::BAD_GATEWAY, &why),
            Err(_) => {
                return failed(permitted, StatusCode::GATEWAY_TIMEOUT, "it does not answer");
            }
        };
        let (parts, body) = answer.into_parts();
        if parts.status.is_informational() {
            let why = "it wants to speak something else than HTTP";
            return failed(permitted, StatusCode::BAD_GATEWAY, why);
        }
        let told = Answer {
            permitted,
            status: parts.status.as_u16(),
            sent,
        };
        let body = Body::passing(VecDeque::new(), body, Arc::default(), patience, Some(told));
        let mut answer = Response::new(body);
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = request::handed_back(&parts.headers);
        answer
    }
}

/// What was read of a body.
struct Seen {
    json: Option<serde_json::Value>,
    first: VecDeque<Bytes>,
    rest: Incoming,
    /// Whether nothing is left of it.
    is_whole: bool,
}

/// Whether a body is said to be JSON.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

/// What is said of a body that was read whole. Servers read JSON that is not said to be any, so it is seen.
fn seen(first: VecDeque<Bytes>, rest: Incoming, is_json: bool) -> Result<Seen, Fault> {
    let whole = first.iter().flatten().copied().collect::<Vec<u8>>();
    let read = if is_json || json::looks_so(&whole) {
        json::read(&whole)
    } else {
        json::Read::Other
    };
    let json = match read {
        json::Read::Json(json) => Some(json),
        json::Read::Twofold => {
            let reason = "a name stands twice in one object of its body";
            return Err(Fault::bad("gate/body", reason));
        }
        json::Read::Other if is_json && !whole.trim_ascii().is_empty() => {
            return Err(Fault::bad(
                "gate/body",
                "its body is said to be JSON, and is none",
            ));
        }
        json::Read::Other => None,
    };
    Ok(Seen {
        json,
        first,
        rest,
        is_whole: true,
    })
}

/// A permitted request that got no answer.
fn failed(permitted: Permitted, status: StatusCode, why: &str) -> Response<Body> {
    let entry = permitted.entry();
    permitted.tell(OutcomeOf::Unanswered {
        why: why.to_owned(),
    });
    refusal::unanswered(status, why, Some(entry))
}
