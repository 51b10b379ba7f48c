//! On which processor the gate runs: on its client's, while there is one that asks one short thing after the other on a
//! connection. The guard's threads that answer it follow. Whoever connects, asks much at once, or has much sent, has the
//! gate run anywhere.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::net::sockopt::socket_incoming_cpu;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::near::Seat;

/// After so many in a row that were alone it is taken for how the client goes on.
const ENOUGH: u32 = 8;

/// Where the gate's one thread runs, and why.
pub(super) struct Near(Mutex<State>);

struct State {
    seat: Seat,
    /// How many requests are asked about, or under way.
    open: usize,
    /// How many in a row were alone, and short.
    alone: u32,
}

/// A request, from when it is asked about until what came of it is told.
pub(super) struct Open(Arc<Near>);

impl Near {
    /// Made by the thread that it is about.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            seat: Seat::new(),
            open: 0,
            alone: 0,
        }))
    }

    /// A request is about to be asked about.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        let mut state = self.lock();
        state.open += 1;
        match state.open {
            1 => state.alone = state.alone.saturating_add(1),
            _ => state.let_go(),
        }
        Open(Arc::clone(self))
    }

    /// Much is on its way, and whoever reads it has enough to do.
    pub(super) fn let_go(&self) {
        self.lock().let_go();
    }

    /// The processor to which the gate keeps.
    pub(super) fn at(&self) -> Option<u16> {
        self.lock().seat.at()
    }

    /// Something came from a client, which runs where it was sent.
    pub(super) fn hear(&self, stream: &TcpStream) {
        let mut state = self.lock();
        if state.alone < ENOUGH || state.open > 0 {
            return;
        }
        let from = socket_incoming_cpu(stream).ok();
        if let Some(from) = from.and_then(|cpu| u16::try_from(cpu).ok()) {
            state.seat.keep_to(Some(from));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn let_go(&mut self) {
        self.alone = 0;
        self.seat.keep_to(None);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
    }
}

/// A client's stream, as it is read here.
pub(super) trait Client: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The connection under it.
    fn connection(&self) -> &TcpStream;
}

impl Client for TcpStream {
    fn connection(&self) -> &TcpStream {
        self
    }
}

impl Client for TlsStream<TcpStream> {
    fn connection(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A client's stream, which is followed to wherever the client is.
pub(super) struct Heard<S> {
    stream: S,
    near: Arc<Near>,
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S, near: &Arc<Near>) -> Self {
        let near = Arc::clone(near);
        Self { stream, near }
    }
}

impl<S: Client> AsyncRead for Heard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_read(context, into))?;
        this.near.hear(this.stream.connection());
        Poll::Ready(Ok(()))
    }
}

impl<S: Client> AsyncWrite for Heard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
