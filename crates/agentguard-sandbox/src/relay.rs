//! Carries connections from listeners inside the session to the same ports of the host's loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::error::Error;

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
            .enable_io()
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
        let carry = move || {
            runtime.block_on(async {
                for (listener, port) in listeners {
                    tokio::spawn(accept(listener, port));
                }
                let _ = stopped.await;
            });
        };
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

async fn accept(listener: TcpListener, port: u16) {
    loop {
        match listener.accept().await {
            Ok((inside, _)) => {
                tokio::spawn(carry(inside, port));
            }
            // Out of descriptors, or the like: whoever connects waits, and we do not spin.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn carry(mut inside: TcpStream, port: u16) {
    let Ok(mut outside) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    else {
        return;
    };
    let _ = inside.set_nodelay(true);
    let _ = outside.set_nodelay(true);
    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
}
