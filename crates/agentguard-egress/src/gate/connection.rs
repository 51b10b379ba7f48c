//! One connection of a client, from its first byte to the server behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use agentguard_core::{
    AddressClass, Caller, Forcing, Host, HostName, Reach, ReachedBy, Rule, Scheme,
};
use hyper::StatusCode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::{Acceptor, ClientHello};
use tokio_rustls::server::TlsStream;

use super::accept::Shared;
use super::ask::{Gone, Told};
use super::forward::{Upstream, Way};
use super::leaf::Protocol;
use super::misplaced::Misplaced;
use super::redact;
use super::refusal;
use super::request::Origin;
use super::resolve::Nowhere;
use super::serve;
use super::ssh;
use super::uninspected;

/// A fatal alert: there is nobody of that name here (RFC 8446, section 6).
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// The first byte of a record that holds a handshake.
const HANDSHAKE: u8 = 22;

/// A connection that is not served.
enum Unserved {
    /// The client left, or was too slow.
    Left,
    /// The guard is gone.
    Gone,
    /// It is refused, and this is what is said of it.
    Refused(Told),
}

impl From<Gone> for Unserved {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<io::Error> for Unserved {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    match begin(&shared, &mut stream).await {
        Ok(origin) => {
            // Whoever left needs no answer, and where the guard is gone there is none.
            let _ = match origin.scheme {
                Scheme::Https => over_tls(&shared, stream, origin).await,
                Scheme::Http => in_the_clear(&shared, stream, origin).await,
            };
        }
        Err(Unserved::Refused(told)) => {
            // Who speaks HTTP or SSH is told; to everybody else the connection ends.
            let first = first_byte(&shared, &stream).await.ok().flatten();
            if first == Some(b'S') && ssh::is_spoken(&shared, &stream).await {
                ssh::turn_away(&mut stream, &told).await;
            } else if first.is_some_and(|byte| byte.is_ascii_uppercase()) {
                let answer = refusal::raw(StatusCode::FORBIDDEN, &told);
                let _ = stream.write_all(&answer).await;
                serve::linger(&mut stream).await;
            }
        }
        Err(Unserved::Left | Unserved::Gone) => {}
    }
}

/// Finds out whom the connection is to, and what is spoken on it.
async fn begin(shared: &Shared, stream: &mut TcpStream) -> Result<Origin, Unserved> {
    let (to, caller) = made(shared, stream)?;
    let (address, port) = (to.ip().to_canonical(), to.port());
    let name = {
        let names = shared.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.name_at(address).cloned()
    };
    let mut origin = Origin {
        scheme: Scheme::Https,
        host: name.map_or(Host::Address(address), Host::Name),
        port,
        slash: super::path::Slash::Unclear,
        caller,
    };
    origin.slash = shared.slash_of(&origin.host);
    let is_named = port == ssh::PORT && shared.resolver.names(&origin.host);
    if is_named && ssh::is_spoken(shared, stream).await {
        return Err(no_ssh(shared, &origin).await?);
    }
    if !shared.resolver.grants(&origin.host, port) {
        let class = match &origin.host {
            Host::Name(_) => None,
            Host::Address(address) => Some(AddressClass::of(*address)),
        };
        let told = shared.guard.reach(reach(&origin, class, false)).await?;
        return Err(Unserved::Refused(told));
    }
    origin.scheme = match first_byte(shared, stream).await? {
        Some(HANDSHAKE) => Scheme::Https,
        Some(b'S') if ssh::is_spoken(shared, stream).await => {
            return Err(no_ssh(shared, &origin).await?);
        }
        Some(byte) if byte.is_ascii_uppercase() => Scheme::Http,
        Some(_) => {
            let rule = Rule::new("gate/protocol", "neither TLS nor HTTP was spoken")
                .with_remedy("use HTTPS, which is the only way to a host");
            let told = refuse(shared, &origin, rule).await?;
            return Err(Unserved::Refused(told));
        }
        None => return Err(Unserved::Left),
    };
    Ok(origin)
}

/// Refuses SSH to a host that is granted.
async fn no_ssh(shared: &Shared, origin: &Origin) -> Result<Unserved, Unserved> {
    let rule = Rule::new("gate/protocol", "SSH is not passed on")
        .with_remedy("use HTTPS, which is the only way to a host");
    Ok(Unserved::Refused(refuse(shared, origin, rule).await?))
}

/// Whom a connection was made to, and by whom. Where only the mediator knows to whom, one that it did not tell of is
/// not the session's, or nobody can judge it.
pub(super) fn made(shared: &Shared, stream: &TcpStream) -> io::Result<(SocketAddr, Caller)> {
    let from = stream.peer_addr()?;
    match shared.forcing {
        Forcing::Redirect | Forcing::AnyAddress => {
            let to = destination(stream)?;
            Ok((to, shared.callers.of_connection(from, to)))
        }
        Forcing::Mediated => {
            let told = shared.callers.told_of(from, stream.local_addr()?);
            let nobody = || io::Error::from(io::ErrorKind::PermissionDenied);
            told.and_then(|told| Some((told.to?, told.caller)))
                .ok_or_else(nobody)
        }
    }
}

/// Whom a connection was made to, before it was turned to us.
fn destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
    let near = stream.local_addr()?;
    let original = if near.is_ipv4() {
        ip_original_dst(stream).map(SocketAddr::V4)
    } else {
        match ipv6_original_dst(stream) {
            Ok(original) => Ok(SocketAddr::V6(original)),
            // A socket of both families, and a connection of the older.
            Err(_) => ip_original_dst(stream).map(SocketAddr::V4),
        }
    };
    // What was not turned is at the address it was made to.
    Ok(original.unwrap_or(near))
}

async fn first_byte(shared: &Shared, stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let peeked = timeout(shared.patience.client, stream.peek(&mut byte)).await;
    let length = peeked.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(byte.first().copied().filter(|_| length > 0))
}

pub(super) fn reach(origin: &Origin, class: Option<AddressClass>, granted: bool) -> Reach {
    Reach {
        by: ReachedBy::Connect,
        host: origin.host.to_string(),
        port: Some(origin.port),
        class,
        granted,
        caller: origin.caller.path.clone(),
        caller_sha256: origin.caller.sha256,
    }
}

/// Has it written down that the gate refused what was sent to a host that the session was granted.
pub(super) async fn refuse(shared: &Shared, origin: &Origin, mut rule: Rule) -> Result<Told, Gone> {
    // A server's words may stand in it, which was asked with what was lent.
    rule.reason = redact::text(&shared.lent, &rule.reason);
    shared.guard.refuse(reach(origin, None, true), rule).await
}

async fn in_the_clear(
    shared: &Arc<Shared>,
    stream: TcpStream,
    origin: Origin,
) -> Result<(), Unserved> {
    let way = way(shared, &origin, &[Protocol::Http1]).await?;
    serve::http1(shared, stream, origin, way).await?;
    Ok(())
}

async fn over_tls(shared: &Arc<Shared>, stream: TcpStream, origin: Origin) -> Result<(), Unserved> {
    if shared.is_uninspected(&origin.host) {
        Box::pin(uninspected::serve(shared, stream, &origin)).await;
        return Ok(());
    }
    // What is done once does not stay in what is kept for as long as the connection lives.
    let (stream, protocols) = Box::pin(hello(shared, stream, &origin)).await?;
    let way = way(shared, &origin, &protocols).await?;
    // Client and server speak the same, so that nothing is translated.
    let first = protocols.first().copied().unwrap_or(Protocol::Http1);
    let protocol = way.protocol().unwrap_or(first);
    let config = shared.leaves.server(&origin.host, protocol)?;
    let handshake = timeout(shared.patience.client, stream.into_stream(config)).await;
    let stream: TlsStream<TcpStream> = handshake.map_err(|_| Unserved::Left)??;
    match protocol {
        Protocol::Http1 => serve::http1(shared, stream, origin, way).await?,
        Protocol::Http2 => Box::pin(serve::http2(shared, stream, origin, way)).await?,
    }
    Ok(())
}

/// Reads the beginning of a handshake: whom the client wants to speak to, and how.
async fn hello(
    shared: &Shared,
    stream: TcpStream,
    origin: &Origin,
) -> Result<(tokio_rustls::StartHandshake<TcpStream>, Vec<Protocol>), Unserved> {
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let read = timeout(shared.patience.client, acceptor).await;
    let start = match read {
        Ok(Ok(start)) => start,
        Ok(Err(_)) => {
            let rule = Rule::new("gate/handshake", "it began as TLS and is none");
            let told = refuse(shared, origin, rule).await?;
            return Err(Unserved::Refused(told));
        }
        Err(_) => return Err(Unserved::Left),
    };
    let hello = start.client_hello();
    let (is_named, protocols) = (names(&hello, &origin.host), spoken(&hello));
    let holds = hello
        .server_name()
        .and_then(|named| shared.lent.in_name(named));
    if let Some(found) = holds {
        let found = Misplaced::in_head(found, "the handshake".to_owned());
        let told = found.tell(shared, origin).await?;
        return Err(turned_away(start, told).await);
    }
    if !is_named {
        let named: String = hello
            .server_name()
            .unwrap_or("nobody")
            .chars()
            .take(256)
            .collect();
        let reason = format!(
            "the handshake is for `{named}`, on a connection to `{}`",
            origin.host
        );
        let rule = Rule::new("gate/name", reason)
            .with_remedy("connect to the host that the handshake is for, by its name");
        let told = refuse(shared, origin, rule).await?;
        return Err(turned_away(start, told).await);
    }
    Ok((start, protocols))
}

async fn turned_away(mut start: tokio_rustls::StartHandshake<TcpStream>, told: Told) -> Unserved {
    let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
    let _ = timeout(Duration::from_secs(1), start.io.shutdown()).await;
    Unserved::Refused(told)
}

/// Whether a handshake is for `host`. One for an address names nobody (RFC 6066, section 3).
fn names(hello: &ClientHello<'_>, host: &Host) -> bool {
    match (hello.server_name(), host) {
        (Some(named), Host::Name(name)) => HostName::parse(named).as_ref() == Ok(name),
        (None, Host::Address(_)) => true,
        (Some(_), Host::Address(_)) | (None, Host::Name(_)) => false,
    }
}

/// What the client speaks of what we do, in its order.
fn spoken(hello: &ClientHello<'_>) -> Vec<Protocol> {
    let Some(offered) = hello.alpn() else {
        return vec![Protocol::Http1];
    };
    let known = |name: &[u8]| {
        [Protocol::Http2, Protocol::Http1]
            .into_iter()
            .find(|one| one.name() == name)
    };
    offered.filter_map(known).collect()
}

/// Connects to the server of an origin, or finds out why that cannot be.
async fn way(
    shared: &Arc<Shared>,
    origin: &Origin,
    protocols: &[Protocol],
) -> Result<Way, Unserved> {
    let found = shared.resolver.find(&origin.host, origin.port).await;
    Ok(match found {
        Ok(addresses) => Upstream::connect(shared, origin, &addresses, protocols).await,
        Err(Nowhere::Forbidden(at)) => {
            let reach = reach(origin, Some(at.class), true);
            Way::Closed {
                status: StatusCode::FORBIDDEN,
                told: shared.guard.reach(reach).await?,
            }
        }
        Err(Nowhere::Unknown(why)) => {
            let reason = format!("the name `{}` cannot be looked up: {why}", origin.host);
            let rule = Rule::new("gate/unknown", reason);
            Way::Closed {
                status: StatusCode::BAD_GATEWAY,
                told: refuse(shared, origin, rule).await?,
            }
        }
    })
}
