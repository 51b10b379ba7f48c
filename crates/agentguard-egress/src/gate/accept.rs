//! What arrives at the listeners.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentguard_core::{Caller, Forcing, Host, HostName, Reach, ReachedBy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ask::{Gone, Guard};
use super::bridge::Ssh;
use super::callers::Callers;
use super::connection;
use super::dns::{self, Asked, Code, Kind, Question};
use super::kept::Kept;
use super::leaf::{Leaves, Servers};
use super::lent::Lent;
use super::measured::Beside;
use super::misplaced::Misplaced;
use super::names::Names;
use super::nowhere;
use super::path::Slash;
use super::process::Handed;
use super::push::{Known, Spools};
use super::resolve::Resolver;
use crate::settings::Patience;

/// More connections at a time wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;
/// More pushes at a time wait to be read.
pub(super) const MOST_PUSHES: usize = 2;
/// More of them at a time do not wait for a human, since each keeps its file meanwhile.
pub(super) const MOST_HELD: usize = 8;
/// More lookups at a time that have to be asked about are dropped, as packets are.
const MOST_LOOKUPS: usize = 64;
/// How many questions one connection may ask.
const MOST_ON_ONE: usize = 64;
/// Clients ask for each kind of address, and ask again. It is one refusal.
const SAME_REFUSAL: Duration = Duration::from_secs(5);
const MOST_REFUSED: usize = 1024;

/// What all connections of a session share.
pub(super) struct Shared {
    pub(super) guard: Guard,
    pub(super) names: Mutex<Names>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) leaves: Leaves,
    pub(super) servers: Servers,
    pub(super) kept: Arc<Kept>,
    pub(super) lent: Arc<Lent>,
    /// Where long bodies are digested.
    pub(super) digests: Beside,
    pub(super) ssh: Arc<Ssh>,
    pub(super) patience: Patience,
    /// A file for each push that is on its way: it is read whole.
    pub(super) spools: Arc<Spools>,
    /// What was read of pushes before.
    pub(super) known: Known,
    /// One place for each push that is read.
    pub(super) pushes: Semaphore,
    /// One place for each push that waits for a human.
    pub(super) held: Arc<Semaphore>,
    uninspected: HashSet<HostName>,
    escaped_slashes: HashSet<HostName>,
    conversations: HashSet<HostName>,
    /// The credentials of which it was told that they were quoted.
    pub(super) quoted: Mutex<HashSet<usize>>,
    pub(super) callers: Callers,
    pub(super) forcing: Forcing,
    connections: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    refused: Mutex<HashMap<String, Instant>>,
}

impl Shared {
    /// Whether TLS to `host` is passed on as it is.
    pub(super) fn is_uninspected(&self, host: &Host) -> bool {
        matches!(host, Host::Name(name) if self.uninspected.contains(name))
    }

    /// Whether a placeholder may stand in a body that is sent to `host`.
    pub(super) fn is_conversation(&self, host: &Host) -> bool {
        matches!(host, Host::Name(name) if self.conversations.contains(name))
    }

    /// What an escaped `/` is to the servers of `host`.
    pub(super) fn slash_of(&self, host: &Host) -> Slash {
        match host {
            Host::Name(name) if self.escaped_slashes.contains(name) => Slash::InSegment,
            Host::Name(_) | Host::Address(_) => Slash::Unclear,
        }
    }
}

/// Serves until the guard is gone.
pub(super) async fn serve(handed: Handed) -> io::Result<()> {
    let plan = handed.plan;
    let (guard, mut lines) = Guard::new(handed.lines, handed.held)?;
    let shared = Arc::new(Shared {
        digests: Beside::start(Arc::clone(&guard.near))?,
        guard,
        names: Mutex::new(Names::new(plan.stand_ins)),
        resolver: Arc::new(Resolver::new(
            plan.hosts,
            plan.addresses,
            plan.patience.server,
        )),
        leaves: Leaves::new(&plan.session, plan.not_before, &plan.key)?,
        servers: Servers::new(&plan.roots)?,
        kept: Arc::default(),
        lent: Arc::new(Lent::new(plan.credentials)?),
        ssh: Arc::new(Ssh::new(plan.ssh, handed.ssh, plan.patience.server)),
        patience: plan.patience,
        spools: Arc::new(handed.spools),
        known: Known::default(),
        pushes: Semaphore::new(MOST_PUSHES),
        held: Arc::new(Semaphore::new(MOST_HELD)),
        uninspected: plan.uninspected.into_iter().collect(),
        escaped_slashes: plan.escaped_slashes.into_iter().collect(),
        conversations: plan.conversations.into_iter().collect(),
        quoted: Mutex::default(),
        callers: Callers::new(handed.callers),
        forcing: plan.forcing,
        connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)),
        refused: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    for listener in handed.tcp {
        tasks.spawn(accept(
            listen(listener)?,
            Arc::clone(&shared),
            connection::serve,
        ));
    }
    for listener in handed.dns_tcp {
        tasks.spawn(accept(
            listen(listener)?,
            Arc::clone(&shared),
            look_up_over_tcp,
        ));
    }
    for socket in handed.dns_udp {
        let socket = std::net::UdpSocket::from(socket);
        socket.set_nonblocking(true)?;
        tasks.spawn(look_up_over_udp(
            UdpSocket::from_std(socket)?,
            Arc::clone(&shared),
        ));
    }
    for socket in handed.datagrams {
        tasks.spawn(nowhere::hear(nowhere::open(socket)?, Arc::clone(&shared)));
    }
    until_over(handed.control, &mut lines).await
}

/// Waits until the guard is gone, or one of its lines is.
async fn until_over(
    control: std::os::unix::net::UnixStream,
    lines: &mut JoinSet<Gone>,
) -> io::Result<()> {
    control.set_nonblocking(true)?;
    let mut control = UnixStream::from_std(control)?;
    let mut nothing = [0; 1];
    tokio::select! {
        // The guard says nothing more: this is its end.
        _ = control.read(&mut nothing) => {}
        _ = lines.join_next() => {}
    }
    Ok(())
}

fn listen(listener: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn accept<F, S>(listener: TcpListener, shared: Arc<Shared>, serve: F)
where
    F: Fn(Arc<Shared>, TcpStream) -> S + Copy + Send + 'static,
    S: Future<Output = ()> + Send,
{
    loop {
        let Ok(place) = Arc::clone(&shared.connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                // A handshake is work for both ends at once.
                shared.guard.near.let_go();
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    serve(shared, stream).await;
                    drop(place);
                });
            }
            // No descriptors are left, or the client has gone again.
            // Out of descriptors, or the like: whoever connects waits, and we do not spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn look_up_over_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut packet = [0; 1500];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut packet).await else {
            // What a client could not be sent comes back as an error of the next read.
            tokio::task::yield_now().await;
            continue;
        };
        let packet = packet.get(..length).unwrap_or_default();
        if shared.forcing == Forcing::Mediated && shared.callers.told_of_lookup(client).is_none() {
            continue; // of whoever else is on the machine
        }
        match at_once(&shared, packet) {
            AtOnce::Answer(answer) => {
                let _ = socket.send_to(&answer, client).await;
            }
            AtOnce::Nothing => {}
            AtOnce::Ask(_) => {
                let Ok(place) = Arc::clone(&shared.lookups).try_acquire_owned() else {
                    continue;
                };
                let packet = packet.to_vec();
                let (socket, shared) = (Arc::clone(&socket), Arc::clone(&shared));
                tokio::spawn(async move {
                    let caller = || shared.callers.of_lookup(client);
                    if let Some(answer) = answer(&shared, &packet, caller).await {
                        let _ = socket.send_to(&answer, client).await;
                    }
                    drop(place);
                });
            }
        }
    }
}

async fn look_up_over_tcp(shared: Arc<Shared>, mut stream: TcpStream) {
    let Ok((_, caller)) = connection::made(&shared, &stream) else {
        return;
    };
    for _ in 0..MOST_ON_ONE {
        let exchange = async {
            let length = stream.read_u16().await?;
            let mut packet = vec![0; usize::from(length)];
            stream.read_exact(&mut packet).await?;
            let answer = answer(&shared, &packet, || caller.clone()).await;
            let answer = answer.ok_or(io::ErrorKind::InvalidData)?;
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream
                .write_all(&[&length.to_be_bytes()[..], &answer].concat())
                .await
        };
        match timeout(shared.patience.client, exchange).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// What is known of a packet without asking.
enum AtOnce<'p> {
    Answer(Vec<u8>),
    /// It gets no answer.
    Nothing,
    /// It is about a name that was not granted.
    Ask(Question<'p>),
}

fn at_once<'p>(shared: &Shared, packet: &'p [u8]) -> AtOnce<'p> {
    let question = match dns::read(packet) {
        Asked::Question(question) => question,
        Asked::Unfit(answer) => return AtOnce::Answer(answer),
        Asked::Nothing => return AtOnce::Nothing,
    };
    match HostName::parse(&question.name) {
        // RFC 6761, section 6.3: it is whoever asks.
        _ if shared.lent.in_name(&question.name).is_some() => AtOnce::Ask(question),
        Ok(name) if name.as_str() == "localhost" || name.as_str().ends_with(".localhost") => {
            AtOnce::Answer(match question.kind {
                Kind::A => question.answer_with(Ipv4Addr::LOCALHOST.into()),
                Kind::Aaaa => question.answer_with(Ipv6Addr::LOCALHOST.into()),
                Kind::Other => question.answer(Code::Fine),
            })
        }
        Ok(name) if shared.resolver.names(&Host::Name(name.clone())) => {
            AtOnce::Answer(granted(shared, &question, &name))
        }
        Ok(_) | Err(_) => AtOnce::Ask(question),
    }
}

async fn answer(
    shared: &Shared,
    packet: &[u8],
    caller: impl FnOnce() -> Caller,
) -> Option<Vec<u8>> {
    match at_once(shared, packet) {
        AtOnce::Answer(answer) => Some(answer),
        AtOnce::Nothing => None,
        AtOnce::Ask(question) => {
            let name = HostName::parse(&question.name).map(String::from);
            refused(
                shared,
                &question,
                name.unwrap_or_else(|_| question.name.clone()),
                caller,
            )
            .await
        }
    }
}

fn granted(shared: &Shared, question: &Question<'_>, name: &HostName) -> Vec<u8> {
    let mut names = shared.names.lock().unwrap_or_else(PoisonError::into_inner);
    match (question.kind, names.address_of(name)) {
        (Kind::A, Some(address)) => question.answer_with(address.into()),
        (Kind::A, None) => question.answer(Code::Failed),
        // There are IPv4 addresses, and nothing else.
        (Kind::Aaaa | Kind::Other, _) => question.answer(Code::Fine),
    }
}

/// Answers that there is no such name, once that is written down.
async fn refused(
    shared: &Shared,
    question: &Question<'_>,
    host: String,
    caller: impl FnOnce() -> Caller,
) -> Option<Vec<u8>> {
    let is_known = |refused: &mut HashMap<String, Instant>| {
        refused.retain(|_, since| since.elapsed() < SAME_REFUSAL);
        refused.contains_key(&host)
    };
    let lock = || {
        shared
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if is_known(&mut lock()) {
        return Some(question.answer(Code::NoName));
    }
    let caller = caller();
    let reach = Reach {
        by: ReachedBy::Lookup,
        host: host.clone(),
        port: None,
        class: None,
        granted: false,
        caller: caller.path,
        caller_sha256: caller.sha256,
    };
    let told = match shared.lent.in_name(&question.name) {
        Some(found) => {
            let found = Misplaced::in_head(found, "the name".to_owned());
            found.tell_of(shared, "that is looked up", reach).await
        }
        None => shared.guard.reach(reach).await,
    };
    match told {
        Ok(told) if told.entry.is_some() => {
            let mut refused = lock();
            if refused.len() < MOST_REFUSED {
                refused.insert(host, Instant::now());
            }
            Some(question.answer(Code::NoName))
        }
        Ok(_) => Some(question.answer(Code::Failed)),
        Err(Gone) => None,
    }
}
