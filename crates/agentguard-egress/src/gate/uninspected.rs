//! Connections to hosts whose TLS is not ended here, because their clients would not have it: they are to the
//! name that was looked up, to an address that was vetted, and nothing more is known of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use agentguard_core::{AddressClass, Host, HostName, OutcomeOf, Reach, ReachedBy, Rule};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::server::Acceptor;

use super::accept::Shared;
use super::ask::{Gone, Permitted};
use super::connection::{UNRECOGNIZED_NAME, refuse};
use super::hello;
use super::request::Origin;
use super::resolve::{Nowhere, Vetted};
use super::upgrade::{Carried, carry};

/// The longest beginning of a handshake. With keys against quantum computers it is under 2 KiB.
const LONGEST_HELLO: usize = 32 << 10;
/// How much is read at once.
const PIECE: usize = 4 << 10;

/// Why a connection is not passed on.
enum Unpassed {
    /// The client left, or was too slow.
    Left,
    /// The guard is gone.
    Gone,
    /// It is refused by this rule.
    Refused(Rule),
}

impl From<Gone> for Unpassed {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// Passes on a connection that begins as TLS.
pub(super) async fn serve(shared: &Arc<Shared>, mut client: TcpStream, origin: &Origin) {
    let begun = match begin(shared, &mut client, origin).await {
        Ok(begun) => begun,
        Err(Unpassed::Refused(rule)) => {
            // It is written down before anything is said.
            if refuse(shared, origin, rule).await.is_ok() {
                let _ = client.write_all(&UNRECOGNIZED_NAME).await;
            }
            return;
        }
        Err(Unpassed::Left | Unpassed::Gone) => return,
    };
    let Begun {
        permitted,
        hello,
        addresses,
    } = begun;
    let server = match dial(shared, &addresses).await {
        Ok(server) => server,
        Err(error) => {
            let why = error.to_string();
            return permitted.tell(OutcomeOf::Unanswered { why });
        }
    };
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let patience = shared.patience.answer;
    let carried = carry(client, server, &hello, [&sent, &received], patience).await;
    let (sent, received) = (sent.into_inner(), received.into_inner());
    let milliseconds = permitted.begun().elapsed().as_millis();
    permitted.tell(match carried {
        Carried::Ended => OutcomeOf::Passed {
            sent,
            received,
            milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
        },
        Carried::Idle => OutcomeOf::Unanswered {
            why: format!("{sent} bytes sent and {received} received, then nothing more came"),
        },
    });
}

/// A connection that was permitted.
struct Begun {
    permitted: Permitted,
    /// What the client has said.
    hello: Vec<u8>,
    addresses: Vec<Vetted>,
}

async fn begin(
    shared: &Arc<Shared>,
    client: &mut TcpStream,
    origin: &Origin,
) -> Result<Begun, Unpassed> {
    let read = timeout(shared.patience.client, read(client)).await;
    let Ok(Ok(read)) = read else {
        return Err(Unpassed::Left);
    };
    let hello = read.map_err(|why| Unpassed::Refused(Rule::new("gate/handshake", why)))?;
    named(&hello.name, &origin.host).map_err(Unpassed::Refused)?;
    let addresses = match shared.resolver.find(&origin.host, origin.port).await {
        Ok(addresses) => addresses,
        Err(Nowhere::Forbidden(at)) => {
            shared
                .guard
                .reach(reach(origin, ReachedBy::Connect, Some(at.class)))
                .await?;
            return Err(Unpassed::Left);
        }
        Err(Nowhere::Unknown(why)) => {
            let reason = format!("the name `{}` cannot be looked up: {why}", origin.host);
            return Err(Unpassed::Refused(Rule::new("gate/unknown", reason)));
        }
    };
    let class = addresses.first().map(|at| at.class);
    let asked = reach(origin, ReachedBy::Tunnel, class);
    match shared.guard.tunnel(asked).await? {
        Ok(permitted) => Ok(Begun {
            permitted,
            hello: hello.bytes,
            addresses,
        }),
        // It was written down by whoever refused it.
        Err(_) => {
            let _ = client.write_all(&UNRECOGNIZED_NAME).await;
            Err(Unpassed::Left)
        }
    }
}

fn reach(origin: &Origin, by: ReachedBy, class: Option<AddressClass>) -> Reach {
    Reach {
        by,
        host: origin.host.to_string(),
        port: Some(origin.port),
        class,
        granted: true,
        caller: origin.caller.path.clone(),
        caller_sha256: origin.caller.sha256,
    }
}

/// The beginning of a handshake.
struct Hello {
    name: Option<String>,
    bytes: Vec<u8>,
}

/// Reads as much as says whom a handshake is for, and keeps it as it came: the inner error is why it is none.
async fn read(client: &mut TcpStream) -> io::Result<Result<Hello, &'static str>> {
    let (mut acceptor, mut bytes, mut piece) = (Acceptor::default(), Vec::new(), [0; PIECE]);
    loop {
        let length = client.read(&mut piece).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = piece.get(..length).unwrap_or_default();
        bytes.extend_from_slice(read);
        if bytes.len() > LONGEST_HELLO {
            return Ok(Err("its handshake does not begin within 32 KiB"));
        }
        let mut unread = read;
        while !unread.is_empty() {
            if acceptor.read_tls(&mut unread).is_err() {
                return Ok(Err("it began as TLS and is none"));
            }
            let name = match acceptor.accept() {
                Ok(None) => continue,
                Ok(Some(accepted)) => accepted.client_hello().server_name().map(str::to_owned),
                Err(_) => return Ok(Err("it began as TLS and is none")),
            };
            return Ok(match hello::hides(&bytes) {
                Some(false) => Ok(Hello { name, bytes }),
                Some(true) => Err("its handshake hides whom it is for"),
                None => Err("it began as TLS and is none"),
            });
        }
    }
}

/// Whether a handshake is for the name that was looked up.
fn named(name: &Option<String>, host: &Host) -> Result<(), Rule> {
    let name = name.as_deref().unwrap_or("nobody");
    match (HostName::parse(name), host) {
        (Ok(named), Host::Name(host)) if named == *host => Ok(()),
        (_, host) => {
            let name: String = name.chars().take(256).collect();
            let reason = format!("the handshake is for `{name}`, on a connection to `{host}`");
            let remedy = "connect to the host that the handshake is for, by its name";
            Err(Rule::new("gate/name", reason).with_remedy(remedy))
        }
    }
}

/// Connects to the first address that answers.
async fn dial(shared: &Shared, addresses: &[Vetted]) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("it has no address");
    for at in addresses {
        match timeout(shared.patience.server, TcpStream::connect(at.address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::Error::other("nobody answers at its address"),
        }
    }
    Err(failed)
}
