//! Requests of a connection: each is read into its one form, judged, and only then sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agentguard_core::{Api, OutcomeOf, Rule, Scheme};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue,
    UPGRADE,
};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::accept::Shared;
use super::ask::{Gone, Permitted};
use super::aws;
use super::body::{Answer, Body};
use super::connection::refuse;
use super::encoded::Coding;
use super::forward::{Upstream, Way};
use super::graphql;
use super::lent::{Unfit, Uses};
use super::measured::Measured;
use super::misplaced::{self, Alarm, Misplaced, Watch};
use super::near::{Client, Heard};
use super::push;
use super::redact;
use super::refusal::{self, Fault};
use super::request::{self, Origin, Read};
use super::resolve::Vetted;
use super::shown::{Kind, Shown, shown};
use super::strict::Strict;
use super::through::Through;
use super::upgrade::{self, Slot, Upgrade};
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
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) origin: Origin,
    pub(super) way: Way,
    slot: Slot,
}

/// What goes along with a request that is sent.
pub(super) struct Sending<'r> {
    pub(super) permitted: Permitted,
    /// How much of its body was sent.
    pub(super) sent: Arc<Measured>,
    /// Tells where a placeholder is met in its body.
    pub(super) alarm: Option<Alarm>,
    /// What it asks to go over to.
    pub(super) upgrade: Option<&'r Upgrade>,
}

impl Sending<'_> {
    /// Of a request whose body is known whole.
    pub(super) fn whole(shared: &Shared, mut permitted: Permitted) -> Self {
        let sent = shared.digests.sent();
        permitted.sends(&sent);
        Self {
            permitted,
            sent,
            alarm: None,
            upgrade: None,
        }
    }

    /// Has the body of the request measured that it goes along with.
    pub(super) fn measuring(&self, request: Request<Body>) -> Request<Body> {
        request.map(|body| body.measured_by(&self.sent))
    }
}

/// A request that was permitted, before anything of it was sent.
struct Judged {
    read: Read,
    uses: Uses,
    version: Version,
    first: VecDeque<Bytes>,
    rest: Incoming,
    watch: Option<Watch>,
    permitted: Permitted,
    /// The same for what it writes to a repository.
    pushing: Option<Permitted>,
}

/// Why a request is not answered by a server.
pub(super) enum Unsent {
    /// The gate refuses it.
    Fault(Fault),
    /// A placeholder stands in it where it may not.
    Misplaced(Misplaced),
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

impl From<Unfit> for Unsent {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Misplaced(found) => Self::Misplaced(found),
            Unfit::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<Misplaced> for Unsent {
    fn from(found: Misplaced) -> Self {
        Self::Misplaced(found)
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
    S: Client,
{
    let stream = Heard::new(stream, &shared.guard.near);
    let to = origin.clone();
    let slot = Slot::default();
    let service = service(shared, origin, way, slot.clone());
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.patience.client)
        .max_buf_size(128 << 10)
        .serve_connection(TokioIo::new(Strict::new(stream)), service_fn(service));
    // Whether it ended well is nobody's to know: what came of each request was told.
    let _ = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let parts = connection.into_parts();
    let mut strict = parts.io.into_inner();
    if let Some(switched) = slot.take() {
        shared.guard.near.let_go();
        let (client, further) = strict.into_parts();
        let unread = [&parts.read_buf[..], &further].concat();
        Box::pin(switched.carry(client, &unread, shared.patience.answer)).await;
        return Ok(());
    }
    if let Some(fault) = strict.fault() {
        let rule = Rule::new(
            "gate/request",
            format!("the request is not well-formed: {fault}"),
        );
        let told = refuse(shared, &to, rule).await?;
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
    S: Client,
{
    let stream = Heard::new(stream, &shared.guard.near);
    let is_open = way.protocol().is_some();
    let service = service(shared, origin, way, Slot::default());
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
    slot: Slot,
) -> impl Fn(Request<Incoming>) -> Answering + use<> {
    let connection = Arc::new(Connection {
        shared: Arc::clone(shared),
        origin,
        way,
        slot,
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
    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Gone> {
        let is_http1 = request.version() != Version::HTTP_2;
        let is_empty = request.body().is_end_stream();
        let mut upgrades = request.headers().get_all(UPGRADE).iter();
        let is_held = upgrades.any(|to| upgrade::is_asked(to.as_bytes()));
        let is_open = self.way.protocol().is_some();
        let mut answer = match self.pass(request).await {
            Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => return Ok(answer),
            Ok(answer) if is_open && !is_held => return Ok(answer),
            Ok(answer) => answer,
            Err(Unsent::Answered(answer)) => answer,
            Err(Unsent::Fault(fault)) => {
                let told = refuse(&self.shared, &self.origin, fault.rule).await?;
                refusal::answer(fault.status, &told)
            }
            Err(Unsent::Misplaced(found)) => {
                let told = found.tell(&self.shared, &self.origin).await?;
                refusal::answer(StatusCode::FORBIDDEN, &told)
            }
            Err(Unsent::Gone) => return Err(Gone),
        };
        // What is left of a refused body is not waited for, and what leads nowhere is not to be kept. Nor is
        // anything read after what was to be said in another protocol.
        if is_http1 && (!is_empty || !is_open || is_held) {
            answer
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer)
    }

    /// Another of the same client's.
    pub(super) fn beside(&self, origin: Origin, way: Way) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            origin,
            way,
            slot: Slot::default(),
        }
    }

    /// Reads, asks, and sends.
    async fn pass(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Unsent> {
        let judged = self.judge(request).await?;
        let Judged {
            mut read,
            uses,
            version,
            first,
            rest,
            mut watch,
            mut permitted,
            pushing,
        } = judged;
        let uri = match self.lend(&uses, &mut read, version, &first) {
            Ok(uri) => uri,
            Err(why) => return Ok(failed(permitted, StatusCode::BAD_GATEWAY, &why)),
        };
        if push::is_push(&read) {
            let arriving = push::Arriving {
                credentials: uses.names(&self.shared.lent),
                read,
                uri,
                version,
                first,
                rest,
            };
            return Box::pin(self.push(arriving, permitted)).await;
        }
        let sent = self.shared.digests.sent();
        let alarm = watch
            .as_mut()
            .map(|watch| watch.arm(&self.shared, &self.origin));
        let through = watch.map_or(Through::Unchanged, Through::Watched);
        let patience = self.shared.patience.answer;
        let body = Body::passing(first, rest, Arc::clone(&sent), patience, None, through);
        let mut request = Request::new(body);
        *request.method_mut() = read.method;
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        *request.headers_mut() = read.headers;
        permitted.sends(&sent);
        let sending = Sending {
            permitted,
            sent,
            alarm,
            upgrade: read.upgrade.as_ref(),
        };
        match &self.way {
            Way::Open(upstream) => {
                let answer = self.send(upstream, request, sending).await?;
                push::answered(pushing, answer.status());
                Ok(answer)
            }
            Way::Failed { why, .. } => Ok(failed(sending.permitted, StatusCode::BAD_GATEWAY, why)),
            Way::Closed { .. } => Err(Unsent::Gone),
        }
    }

    /// Reads, and asks.
    async fn judge(&self, request: Request<Incoming>) -> Result<Judged, Unsent> {
        let (parts, body) = request.into_parts();
        let mut read = request::read(&self.origin, &parts)?;
        if push::is_before_push(&read) {
            read.headers.remove(ACCEPT_ENCODING);
        }
        let lent = &self.shared.lent;
        let mut uses = lent.uses(&self.origin, &parts.headers, &read)?;
        uses.carry(self.shared.ssh.key_for(&self.origin, &read)?);
        lent.narrow(&self.origin, &mut read.headers);
        let at = match &self.way {
            Way::Open(upstream) => upstream.at(),
            Way::Failed { at, .. } => *at,
            Way::Closed { status, told } => {
                return Err(Unsent::Answered(refusal::answer(*status, told)));
            }
        };
        self.uri(&read.target.sent, parts.version)?;
        let body = timeout(self.shared.patience.client, self.see(&read, &uses, body)).await;
        let late = |_| {
            Fault::new(
                StatusCode::REQUEST_TIMEOUT,
                "gate/body",
                "the body does not end",
            )
        };
        let Seen {
            shown,
            first,
            rest,
            is_whole,
        } = body.map_err(late)??;
        let mut watch = Watch::new(&self.shared, &self.origin);
        watch
            .as_mut()
            .map_or(Ok(()), |watch| watch.first(first.iter()))?;
        let whole = is_whole.then(|| whole::digest(&self.origin, &read, &first));
        let mut api = self.api(&read, &uses, shown, at)?;
        let written = push::written::of(&api).map_err(push::unwritten)?;
        api.pushes = written.is_some();
        match self.shared.guard.request(api, whole).await? {
            Ok(permitted) => {
                let (permitted, pushing) = self.written(written, (&read, whole), permitted).await?;
                Ok(Judged {
                    read,
                    uses,
                    version: parts.version,
                    first,
                    rest,
                    watch,
                    permitted,
                    pushing,
                })
            }
            Err(told) => {
                let answer = refusal::answer(StatusCode::FORBIDDEN, &told);
                Err(Unsent::Answered(answer))
            }
        }
    }

    /// Puts in what was lent, where it was permitted, and says what is asked for.
    pub(super) fn lend(
        &self,
        uses: &Uses,
        read: &mut Read,
        version: Version,
        first: &VecDeque<Bytes>,
    ) -> Result<Uri, String> {
        let payload = uses.needs_body(&read.headers);
        let payload: Option<Vec<u8>> = payload.then(|| first.iter().flatten().copied().collect());
        let lent = &self.shared.lent;
        lent.put(uses, &self.origin, read, payload.as_deref())?;
        self.uri(&read.target.sent, version)
            .map_err(|fault| fault.rule.reason.clone())
    }

    pub(super) fn uri(&self, sent: &str, version: Version) -> Result<Uri, Fault> {
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

    pub(super) fn api(
        &self,
        read: &Read,
        uses: &Uses,
        shown: Shown,
        at: Vetted,
    ) -> Result<Api, Fault> {
        let graphql = graphql::of(&read.target, shown.json.as_ref(), shown.document.as_deref())?;
        // Some servers take GraphQL as a form, too; there it is not read.
        let is_unread = shown.form.is_some() && graphql::is_endpoint(&read.target.segments);
        Ok(Api {
            scheme: self.origin.scheme,
            host: self.origin.host.to_string(),
            port: self.origin.port,
            method: match read.upgrade {
                Some(_) => Method::CONNECT.to_string(),
                None => read.method.to_string(),
            },
            path: read.target.segments.clone(),
            query: read.target.query.clone(),
            headers: read.seen.clone(),
            upgrade: read.upgrade.as_ref().map(|upgrade| upgrade.to.clone()),
            body: shown.json,
            form: shown.form,
            body_seen: shown.is_all && !is_unread,
            graphql,
            pushes: false,
            ssh: uses.is_carried(),
            address: at.address.ip().to_string(),
            class: at.class,
            caller: self.origin.caller.path.clone(),
            caller_sha256: self.origin.caller.sha256,
            credentials: uses.names(&self.shared.lent),
        })
    }

    /// Reads a body that policy is to see, as far as it is not too long.
    async fn see(&self, read: &Read, uses: &Uses, body: Incoming) -> Result<Seen, Fault> {
        let mut seen = self.see_short(read, body).await?;
        if uses.needs_body(&read.headers) {
            let gathered = aws::gather(&mut seen.first, &mut seen.rest).await;
            let is_whole = gathered.map_err(|why| Fault::bad("gate/body", why))?;
            if !is_whole {
                let why = "its body is too long to be signed anew";
                return Err(Fault::bad("credential/signature", why)
                    .with_remedy("send `x-amz-content-sha256`, or a shorter one"));
            }
        }
        Ok(seen)
    }

    async fn see_short(&self, read: &Read, mut body: Incoming) -> Result<Seen, Fault> {
        let content_type = read.seen.get(CONTENT_TYPE.as_str()).map(String::as_str);
        let kind = Kind::of(content_type)?;
        let mut first = VecDeque::new();
        let coding = read.seen.get(CONTENT_ENCODING.as_str()).map(String::as_str);
        let coding = Coding::of(coding);
        let is_short = match body.size_hint().exact() {
            Some(length) => usize::try_from(length).is_ok_and(|length| length <= LONGEST_SEEN),
            None => kind != Kind::Other,
        };
        // A stream of calls is answered while it is sent.
        let is_stream = content_type.is_some_and(|kind| kind.starts_with("application/grpc"));
        let is_none = body.is_end_stream();
        if !is_none && (coding == Coding::Other || !is_short || is_stream) {
            return Ok(Seen {
                shown: Shown::NOTHING,
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
                None => {
                    let whole = first.iter().flatten().copied().collect();
                    let shown = shown(coding.decode(whole, LONGEST_SEEN), kind)?;
                    let rest = body;
                    return Ok(Seen {
                        shown,
                        first,
                        rest,
                        is_whole: true,
                    });
                }
            }
        }
        Ok(Seen {
            shown: Shown::NOTHING,
            first,
            rest: body,
            is_whole: false,
        })
    }

    pub(super) async fn send(
        &self,
        upstream: &Upstream,
        request: Request<Body>,
        Sending {
            permitted,
            sent,
            alarm,
            upgrade,
        }: Sending<'_>,
    ) -> Result<Response<Body>, Unsent> {
        let patience = self.shared.patience.answer;
        let is_before_push = push::asks_what_it_can(request.uri());
        let sending = std::pin::pin!(timeout(patience, upstream.send(request)));
        let mut answer = match misplaced::unless_misplaced(sending, alarm).await {
            Ok(Ok(Ok(answer))) => answer,
            Ok(Ok(Err(why))) => return Ok(failed(permitted, StatusCode::BAD_GATEWAY, &why)),
            Ok(Err(_)) => {
                let why = "it does not answer";
                return Ok(failed(permitted, StatusCode::GATEWAY_TIMEOUT, why));
            }
            Err(told) => {
                permitted.tell(OutcomeOf::Unanswered {
                    why: format!("it was broken off: {}", told.rule.reason),
                });
                let answer = refusal::answer(StatusCode::FORBIDDEN, &told);
                return Err(Unsent::Answered(answer));
            }
        };
        if let (Some(upgrade), StatusCode::SWITCHING_PROTOCOLS) = (upgrade, answer.status()) {
            redact::headers(&self.shared.lent, answer.headers_mut());
            let switched = self.slot.switch(answer, upgrade, permitted).await;
            return Ok(switched.unwrap_or_else(|(permitted, why)| {
                failed(permitted, StatusCode::BAD_GATEWAY, &why)
            }));
        }
        let (mut parts, mut body) = answer.into_parts();
        if parts.status.is_informational() {
            let why = "it wants to speak something else than HTTP";
            return Ok(failed(permitted, StatusCode::BAD_GATEWAY, why));
        }
        let mut first = VecDeque::new();
        if is_before_push && parts.status == StatusCode::OK {
            first = match push::advert::edit(&mut body).await {
                Ok(first) => first,
                Err(why) => return Ok(failed(permitted, StatusCode::BAD_GATEWAY, &why)),
            };
            parts.headers.remove(CONTENT_LENGTH);
        }
        let mut headers = request::handed_back(&parts.headers);
        let (lent, origin) = (&self.shared.lent, &self.origin);
        let through = match redact::through(lent, origin, &parts.headers, &mut headers, &body) {
            Ok(through) => through,
            Err(why) => return Ok(failed(permitted, StatusCode::BAD_GATEWAY, why)),
        };
        let told = Answer {
            permitted,
            status: parts.status.as_u16(),
            sent,
        };
        let received = self.shared.digests.received();
        let body = Body::passing(first, body, received, patience, Some(told), through);
        let mut answer = Response::new(body);
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

/// What was read of a body.
struct Seen {
    shown: Shown,
    first: VecDeque<Bytes>,
    rest: Incoming,
    /// Whether nothing is left of it.
    is_whole: bool,
}

/// A permitted request that got no answer.
pub(super) fn failed(permitted: Permitted, status: StatusCode, why: &str) -> Response<Body> {
    let entry = permitted.entry();
    permitted.tell(OutcomeOf::Unanswered {
        why: why.to_owned(),
    });
    refusal::unanswered(status, why, Some(entry))
}
