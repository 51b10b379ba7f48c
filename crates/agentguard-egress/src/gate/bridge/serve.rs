//! The other end of such a connection: each request is one conversation.

use std::convert::Infallible;
use std::sync::Arc;

use agentguard_core::Host;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::Ssh;
use super::asked::Asked;
use super::first;
use super::talk::{self, Talk};
use crate::gate::body::{self, Body};
use crate::gate::encoded::Unzip;
use crate::gate::push::pkt;
use crate::gate::request::Origin;
use crate::ssh::{Errand, Service};

/// How much is on its way between the two ends.
const WINDOW: usize = 64 << 10;
/// How many pieces of an answer wait for a client that is slow.
pub(super) const PIECES: usize = 4;
/// What says why there is no answer. No server says it: of what comes over SSH, nothing becomes a header.
const WHY: HeaderName = HeaderName::from_static("agentguard-why");
/// What says which version of git's protocol is asked for.
const PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");

/// Opens a connection on which a server answers that speaks SSH.
pub(in crate::gate) fn open(ssh: &Arc<Ssh>, origin: &Origin) -> DuplexStream {
    let (near, far) = tokio::io::duplex(WINDOW);
    let (ssh, to) = (Arc::clone(ssh), (origin.host.clone(), origin.port));
    let service = service_fn(move |request| {
        let (ssh, (host, port)) = (Arc::clone(&ssh), to.clone());
        async move { Ok::<_, Infallible>(answer(&ssh, (&host, port), request).await) }
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(far), service);
    tokio::spawn(serving);
    near
}

/// An answer, or why there is none.
pub(in crate::gate) fn answered(answer: Response<Incoming>) -> Result<Response<Incoming>, String> {
    match answer.headers().get(WHY) {
        Some(why) => Err(String::from_utf8_lossy(why.as_bytes()).into_owned()),
        None => Ok(answer),
    }
}

async fn answer(ssh: &Arc<Ssh>, to: (&Host, u16), request: Request<Incoming>) -> Response<Body> {
    match converse(ssh, to, request).await {
        Ok(answer) => answer,
        Err(why) => {
            let mut answer = Response::new(Body::whole(Bytes::new()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            let why = HeaderValue::from_str(&why);
            let unsayable = HeaderValue::from_static("it cannot be said why");
            answer.headers_mut().insert(WHY, why.unwrap_or(unsayable));
            answer
        }
    }
}

async fn converse(
    ssh: &Arc<Ssh>,
    (host, port): (&Host, u16),
    request: Request<Incoming>,
) -> Result<Response<Body>, String> {
    let (parts, body) = request.into_parts();
    let asked = read(&parts).ok_or("it is nothing that git asks")?;
    let protocol = parts.headers.get(PROTOCOL);
    let is_second = asked.service == Service::Upload
        && protocol.is_some_and(|protocol| protocol == "version=2");
    let mut body = Some(body);
    let mut service = asked.service;
    // A push of nothing asks whether one is let in.
    let mut first = None;
    if service == Service::Receive {
        first = next(&mut body).await?;
        if first.as_deref() == Some(b"0000") {
            let behind = next(&mut body).await?;
            match behind {
                None => service = Service::ReceiveNothing,
                Some(_) => return Err("it is no push".to_owned()),
            }
        }
    }
    let errand = Errand {
        host: host.to_string(),
        port,
        repository: asked.repository,
        service,
        is_second,
    };
    let mut talk = Talk::begin(ssh, errand.clone()).await?;
    let greeting = talk.greeting().await?;
    let word = service.command();
    if asked.is_first {
        let mut words = Vec::new();
        if !greeting.is_second {
            pkt::put(&mut words, format!("# service={word}\n").as_bytes());
            pkt::flush(&mut words);
        }
        let pieces = [words.into(), greeting.bytes.into()];
        return Ok(in_words(word, "advertisement", Body::pieces(pieces)));
    }
    if is_second && !greeting.is_second {
        return first::answer((ssh, errand), (talk, greeting), body).await;
    }
    if service == Service::ReceiveNothing {
        return Ok(in_words(word, "result", Body::whole(Bytes::new())));
    }
    let is_zipped = parts.headers.contains_key(CONTENT_ENCODING);
    pass(talk, (first, body), is_zipped, word).await
}

/// Says what the client says, and hands back what the server does.
async fn pass(
    mut talk: Talk,
    (first, mut body): (Option<Bytes>, Option<Incoming>),
    is_zipped: bool,
    word: &str,
) -> Result<Response<Body>, String> {
    let mut input = talk.input.take().ok_or("nothing can be said to it")?;
    let mut unzip = is_zipped.then(Unzip::default);
    // Both at once: neither side waits until the other has said all.
    tokio::spawn(async move {
        let mut now = first;
        loop {
            if let Some(bytes) = now.take() {
                said(&mut input, &mut unzip, &bytes).await?;
            }
            match next(&mut body).await {
                Ok(Some(bytes)) => now = Some(bytes),
                // It ends; where it breaks off, the server sees that it does.
                Ok(None) | Err(_) => return Some(()),
            }
        }
    });
    let Some(begun) = talk.next().await else {
        return match talk.why().await {
            Some(why) => Err(why),
            None => Ok(in_words(word, "result", Body::whole(Bytes::new()))),
        };
    };
    let (says, heard) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        let mut next = Some(begun);
        let mut is_heard = true;
        while let Some(piece) = next {
            is_heard = is_heard && says.send(piece).await.is_ok();
            if !is_heard && !talk.is_to_be_heard() {
                return;
            }
            next = talk.next().await;
        }
    });
    Ok(in_words(word, "result", Body::Told(heard)))
}

/// Says a piece, as it is without its encoding. `None` where it is not heard any more.
async fn said(
    input: &mut tokio::net::unix::pipe::Sender,
    unzip: &mut Option<Unzip>,
    bytes: &[u8],
) -> Option<()> {
    let Some(unzip) = unzip else {
        return talk::say(input, bytes).await.ok();
    };
    unzip.take(bytes);
    while let Some(piece) = unzip.next().ok()? {
        talk::say(input, &piece).await.ok()?;
    }
    Some(())
}

async fn next(body: &mut Option<Incoming>) -> Result<Option<Bytes>, String> {
    let Some(coming) = body else {
        return Ok(None);
    };
    match body::next(coming).await {
        Some(Ok(bytes)) => Ok(Some(bytes)),
        Some(Err(error)) => Err(error.to_string()),
        None => {
            *body = None;
            Ok(None)
        }
    }
}

pub(super) fn in_words(word: &str, what: &str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&format!("application/x-{word}-{what}")) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// Reads what is asked. Nothing in it is escaped that a server is asked for, so that nothing is undone.
fn read(parts: &hyper::http::request::Parts) -> Option<Asked> {
    let path = parts.uri.path().strip_prefix('/')?;
    let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
    let services = parts.uri.query().map(|query| {
        let pairs = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("service="));
        pairs.map(str::to_owned).collect()
    });
    Asked::of(&parts.method, &segments, services.as_ref())
}
