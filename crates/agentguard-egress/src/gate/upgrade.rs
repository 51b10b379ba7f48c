//! Connections that stop being HTTP: what a client asks for, what a server must have answered, and the bytes
//! that go both ways from then on.
//!
//! Nothing of those bytes is read. What is judged is the request that begins it, and what is told at the end
//! is how much was said and for how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentguard_core::OutcomeOf;
use base64ct::{Base64, Encoding as _};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::upgrade::Upgraded;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use super::ask::Permitted;
use super::body::Body;
use super::refusal::Fault;
use super::request;

/// How much is on its way in either direction before it is taken.
const PIECE: usize = 16 << 10;
/// How long one side may go on after the other has ended.
const ENDING: Duration = Duration::from_millis(500);
/// RFC 6455, section 1.3.
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET: &str = "websocket";
/// No protocol's name is longer.
const LONGEST: usize = 64;

/// What a client asks a connection to become.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Upgrade {
    /// The protocol, in lower case: its case means nothing (RFC 9110, section 7.8).
    pub(super) to: String,
    /// What a server must answer to a WebSocket's key.
    accept: Option<String>,
    /// The protocols that the client speaks on a WebSocket.
    offered: Vec<String>,
}

/// Whether a header asks for an upgrade. One to HTTP/2 is an offer (RFC 9113 has dropped it), and is not
/// taken up.
pub(super) fn is_asked(value: &[u8]) -> bool {
    !value.trim_ascii().eq_ignore_ascii_case(b"h2c")
}

/// What a request asks its connection to become, if anything.
pub(super) fn read(parts: &Parts) -> Result<Option<Upgrade>, Fault> {
    let bad = |reason: &str| Fault::bad("gate/upgrade", reason);
    let mut asked = parts.headers.get_all(header::UPGRADE).iter();
    let to = match (asked.next(), asked.next()) {
        (None, _) => return Ok(None),
        (Some(to), None) if !is_asked(to.as_bytes()) => return Ok(None),
        (Some(to), None) => to.to_str().unwrap_or_default().to_ascii_lowercase(),
        (Some(_), Some(_)) => return Err(bad("it asks for more than one upgrade")),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    if to.is_empty() || to.len() > LONGEST || !to.bytes().all(is_name) {
        return Err(bad("it does not ask for one upgrade by its name"));
    }
    // It would be requests again, of which nobody sees any.
    if ["h2", "http", "tls"]
        .iter()
        .any(|http| to.starts_with(http))
    {
        return Err(bad("it would go on as HTTP that is not seen"));
    }
    if parts.method != Method::GET || has_body(&parts.headers) {
        return Err(bad("an upgrade is asked for by a GET without a body"));
    }
    if !words(&parts.headers, &header::CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"))
    {
        return Err(bad("its connection is not said to be upgraded"));
    }
    let accept = if to == WEBSOCKET {
        Some(accept(&parts.headers)?)
    } else {
        None
    };
    let offered = words(&parts.headers, &header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned);
    Ok(Some(Upgrade {
        offered: offered.collect(),
        accept,
        to,
    }))
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    length.is_some_and(|length| length != "0") || headers.contains_key(header::TRANSFER_ENCODING)
}

/// The words of a header that is a list of them. One that is no text has none.
fn words<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter();
    let words = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}

/// What a server that speaks WebSocket says to a client's key (RFC 6455, section 4.2.2).
fn accept(headers: &HeaderMap) -> Result<String, Fault> {
    let bad = |reason: &str| Fault::bad("gate/upgrade", reason);
    let one = |name: header::HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if one(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(bad("a WebSocket is of version 13"));
    }
    let key = one(header::SEC_WEBSOCKET_KEY).ok_or_else(|| bad("a WebSocket has one key"))?;
    let is_key = key.to_str().is_ok_and(|key| {
        let mut decoded = [0; 18];
        Base64::decode(key, &mut decoded).is_ok_and(|key| key.len() == 16)
    });
    if !is_key {
        return Err(bad("the key of a WebSocket is 16 bytes"));
    }
    let key = [key.as_bytes(), WEBSOCKET_GUID].concat();
    Ok(Base64::encode_string(
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &key).as_ref(),
    ))
}

impl Upgrade {
    /// The headers that ask for it, for the next hop.
    pub(super) fn ask(&self, headers: &mut HeaderMap) -> Result<(), Fault> {
        let to = HeaderValue::from_str(&self.to);
        let to = to.map_err(|_| Fault::bad("gate/upgrade", "it has no name"))?;
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, to);
        Ok(())
    }

    /// Whether a server did what was asked for, and nothing else.
    fn is_done(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            let value = values.next().filter(|_| values.next().is_none());
            value.and_then(|value| value.to_str().ok())
        };
        if !one(header::UPGRADE).is_some_and(|to| to.eq_ignore_ascii_case(&self.to)) {
            return Err("it went over to something that it was not asked for");
        }
        let Some(accept) = &self.accept else {
            return Ok(());
        };
        if one(header::SEC_WEBSOCKET_ACCEPT) != Some(accept) {
            return Err("it did not accept the key that it was sent");
        }
        let mut spoken = words(headers, &header::SEC_WEBSOCKET_PROTOCOL);
        match (spoken.next(), spoken.next()) {
            (None, _) => Ok(()),
            (Some(one), None) if self.offered.iter().any(|offered| offered == one) => Ok(()),
            (Some(_), _) => Err("it speaks a protocol that was not offered to it"),
        }
    }
}

/// A connection that is about to be passed on, once its client has been answered.
pub(super) struct Switched {
    permitted: Permitted,
    server: Upgraded,
}

/// Where the one that a connection of HTTP/1.1 may end in is left.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Switched>>>);

impl Slot {
    pub(super) fn take(&self) -> Option<Switched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes over a connection whose server says that it has changed, and gives what its client is answered.
    pub(super) async fn switch(
        &self,
        mut answer: Response<Incoming>,
        upgrade: &Upgrade,
        permitted: Permitted,
    ) -> Result<Response<Body>, (Permitted, String)> {
        if let Err(why) = upgrade.is_done(answer.headers()) {
            return Err((permitted, why.to_owned()));
        }
        let server = match hyper::upgrade::on(&mut answer).await {
            Ok(server) => server,
            Err(error) => return Err((permitted, error.to_string())),
        };
        let mut headers = request::handed_back(answer.headers());
        if upgrade.ask(&mut headers).is_err() {
            return Err((permitted, "it has no name".to_owned()));
        }
        let switched = Switched { permitted, server };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(switched);
        let mut answer = Response::new(Body::whole(Bytes::new()));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

impl Switched {
    /// Passes on what both sides say until one of them has ended, and tells what came of it. `unread` is what
    /// the client said already.
    pub(super) async fn carry<S>(self, client: S, unread: &[u8], patience: Duration)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
        let server = TokioIo::new(self.server);
        let carried = carry(client, server, unread, [&sent, &received], patience).await;
        let milliseconds = self.permitted.begun().elapsed().as_millis();
        self.permitted.tell(match carried {
            Carried::Ended => OutcomeOf::Answered {
                status: StatusCode::SWITCHING_PROTOCOLS.as_u16(),
                sent: sent.into_inner(),
                received: received.into_inner(),
                milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
            },
            Carried::Idle => OutcomeOf::Unanswered {
                why: format!(
                    "status 101, {} bytes sent and {} received, then nothing more came",
                    sent.into_inner(),
                    received.into_inner()
                ),
            },
        });
    }
}

/// How a connection that was passed on ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Carried {
    /// By one of its sides.
    Ended,
    /// Neither said anything for too long.
    Idle,
}

/// Passes on what two sides say, in pieces that are read once those before them were taken.
pub(super) async fn carry<C, S>(
    client: C,
    server: S,
    unread: &[u8],
    [sent, received]: [&AtomicU64; 2],
    patience: Duration,
) -> Carried
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ((from_client, to_client), (from_server, to_server)) =
        (tokio::io::split(client), tokio::io::split(server));
    let last = Mutex::new(Instant::now());
    let up = pass(unread, from_client, to_server, sent, &last);
    let down = pass(&[], from_server, to_client, received, &last);
    let both = async {
        let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
        // Who has ended has said all; the other may still be answering it.
        tokio::select! {
            () = &mut up => { let _ = timeout(ENDING, down).await; }
            () = &mut down => { let _ = timeout(ENDING, up).await; }
        }
    };
    tokio::select! {
        () = both => Carried::Ended,
        () = idle(&last, patience) => Carried::Idle,
    }
}

async fn pass(
    unread: &[u8],
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counted: &AtomicU64,
    last: &Mutex<Instant>,
) {
    let mut buffer = vec![0; PIECE];
    let mut piece = unread;
    loop {
        if to.write_all(piece).await.is_err() || to.flush().await.is_err() {
            return;
        }
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        counted.fetch_add(length, Ordering::Relaxed);
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        piece = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => buffer.get(..length).unwrap_or_default(),
        };
    }
    let _ = to.shutdown().await;
}

/// Waits until nothing has been said for so long.
async fn idle(last: &Mutex<Instant>, patience: Duration) {
    loop {
        let until = *last.lock().unwrap_or_else(PoisonError::into_inner) + patience;
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn asked(method: &str, headers: &[(&str, &str)]) -> Result<Option<Upgrade>, String> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        read(&parts).map_err(|fault| fault.rule.id.to_string())
    }

    /// Those of a WebSocket, with one of them changed, or left out.
    fn with<'t>(name: &'t str, value: Option<&'t str>) -> Vec<(&'t str, &'t str)> {
        let usual = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
            ("sec-websocket-protocol", "chat, other"),
        ];
        let others = usual.into_iter().filter(|(one, _)| *one != name);
        others.chain(value.map(|value| (name, value))).collect()
    }

    #[test]
    fn an_upgrade_is_one_that_is_asked_for_in_one_way() {
        let upgrade = asked("GET", &with("", None)).unwrap().unwrap();
        assert_eq!(upgrade.to, "websocket");
        // The example of RFC 6455, section 1.3.
        assert_eq!(
            upgrade.accept.as_deref(),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert_eq!(upgrade.offered, ["chat", "other"]);
        let other = [("connection", "upgrade"), ("upgrade", "SPDY/3.1")];
        assert_eq!(asked("GET", &other).unwrap().unwrap().to, "spdy/3.1");
        assert_eq!(asked("GET", &[]), Ok(None));
        assert_eq!(asked("POST", &[("upgrade", "h2c")]), Ok(None));
    }

    #[test]
    fn an_upgrade_that_could_be_two_is_none() {
        for (name, value) in [
            ("connection", None),
            ("connection", Some("keep-alive")),
            ("upgrade", Some("websocket, h2c")),
            ("upgrade", Some("h2c, websocket")),
            ("upgrade", Some("")),
            ("upgrade", Some("web socket")),
            ("upgrade", Some("HTTP/2.0")),
            ("upgrade", Some("TLS/1.0")),
            ("sec-websocket-version", None),
            ("sec-websocket-version", Some("8")),
            ("sec-websocket-key", None),
            ("sec-websocket-key", Some("c2hvcnQ=")),
            ("sec-websocket-key", Some("not base64")),
        ] {
            let fault = Err("gate/upgrade".to_owned());
            assert_eq!(asked("GET", &with(name, value)), fault, "{name} {value:?}");
        }
        for more in [
            ("upgrade", "websocket"),
            ("sec-websocket-key", KEY),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
        ] {
            let mut headers = with("", None);
            headers.push(more);
            assert!(asked("GET", &headers).is_err(), "{more:?}");
        }
        assert!(asked("POST", &with("", None)).is_err());
    }

    #[test]
    fn a_server_does_what_it_was_asked_for_or_nothing() {
        let upgrade = asked("GET", &with("", None)).unwrap().unwrap();
        let accept = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let to = ("upgrade", "websocket");
        for (headers, is_done) in [
            (&[to, accept][..], true),
            (
                &[
                    ("upgrade", "WEBSOCKET"),
                    accept,
                    ("sec-websocket-protocol", "chat"),
                ],
                true,
            ),
            (&[to, accept, ("sec-websocket-protocol", "evil")], false),
            (
                &[to, accept, ("sec-websocket-protocol", "chat, other")],
                false,
            ),
            (&[to], false),
            (&[accept], false),
            (&[to, accept, accept], false),
            (
                &[to, ("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
                false,
            ),
            (&[("upgrade", "h2c"), accept], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(upgrade.is_done(&map).is_ok(), is_done, "{headers:?}");
        }
    }
}
