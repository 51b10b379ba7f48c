//! Carries connections from listeners inside the session to the same ports of the host's loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::error::Error;

/// How long a task that is ready may take until it runs.
const TURN: Duration = Duration::from_millis(5);
/// How long the other side may take for what was sent to it before the session ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Relay {
    /// Starts to carry. Without listeners nothing runs.
    pub(crate) fn start(listeners: Vec<OwnedFd>) -> Result<Self, Error> {
        if listeners.is_empty() {
            return Ok(Self { running: None });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::io("start the relay"))?;
        let listeners = {
            let _inside = runtime.enter();
            listeners
                .into_iter()
                .map(listener)
                .collect::<Result<Vec<_>, _>>()
                .map_err(Error::io("listen inside"))?
        };
        let (stop, stopped) = oneshot::channel();
        let carry = move || runtime.block_on(carry_until(stopped, listeners));
        let thread = std::thread::Builder::new()
            .name("relay".to_owned())
            .spawn(carry)
            .map_err(Error::io("start the relay"))?;
        Ok(Self {
            running: Some((stop, thread)),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

/// The port was judged and bound inside: it is what the listener says.
fn listener(descriptor: OwnedFd) -> std::io::Result<(TcpListener, u16)> {
    let listener = std::net::TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((TcpListener::from_std(listener)?, port))
}

/// Carries until it is told to stop, and then what was sent before: whoever sent it is dead, and may have
/// been told that it arrived. What the other side still has to say is for nobody.
async fn carry_until(stopped: oneshot::Receiver<()>, listeners: Vec<(TcpListener, u16)>) {
    // Every connection holds a copy until all that came from inside is passed on.
    let (unsent, mut all_sent) = mpsc::channel::<()>(1);
    let mut accepting = JoinSet::new();
    for (listener, port) in listeners {
        accepting.spawn(accept(listener, port, unsent.clone()));
    }
    drop(unsent);
    let _ = stopped.await;
    // What waits to be accepted is accepted before this: a task that is ready runs in its turn.
    tokio::time::sleep(TURN).await;
    accepting.shutdown().await;
    let _ = tokio::time::timeout(PATIENCE, all_sent.recv()).await;
}

async fn accept(listener: TcpListener, port: u16, unsent: mpsc::Sender<()>) {
    loop {
        match listener.accept().await {
            Ok((inside, _)) => {
                tokio::spawn(carry(inside, port, unsent.clone()));
            }
            // Out of descriptors, or the like: whoever connects waits, and we do not spin.
            Err(_) => tokio::time::sleep(TURN).await,
        }
    }
}

async fn carry(inside: TcpStream, port: u16, unsent: mpsc::Sender<()>) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(outside) = TcpStream::connect(address).await else {
        return;
    };
    let _ = inside.set_nodelay(true);
    let _ = outside.set_nodelay(true);
    let (mut from_inside, mut to_inside) = inside.into_split();
    let (mut from_outside, mut to_outside) = outside.into_split();
    let out = async {
        let _ = tokio::io::copy(&mut from_inside, &mut to_outside).await;
        let _ = to_outside.shutdown().await;
        drop(unsent);
    };
    let back = async {
        let _ = tokio::io::copy(&mut from_outside, &mut to_inside).await;
        let _ = to_inside.shutdown().await;
    };
    tokio::join!(out, back);
}
