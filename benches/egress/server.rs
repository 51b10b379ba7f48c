//! A server of HTTP/1.1 on the host's loopback, in the clear and over TLS: `/N` is answered with N bytes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::git;

/// What it is called inside.
pub(crate) const NAME: &str = "bench.test";
/// A thread waits for each connection, and does little.
const STACK: usize = 128 << 10;
const PIECE: usize = 256 << 10;

pub(crate) struct Server {
    pub(crate) clear: u16,
    pub(crate) tls: u16,
    /// Where repositories below a directory are.
    pub(crate) git: u16,
    /// Who vouches for it, in PEM.
    pub(crate) roots: String,
}

impl Server {
    pub(crate) fn start(repositories: PathBuf) -> Self {
        let authority = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let roots = params.self_signed(&authority).unwrap().pem();
        let issuer = Issuer::new(params, authority);
        let key = KeyPair::generate().unwrap();
        let params =
            CertificateParams::new(vec![format!("tls.{NAME}"), git::NAME.to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let clear = listen(serve);
        let of_git = Arc::clone(&config);
        let tls = listen(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            serve(StreamOwned::new(connection, stream));
        });
        let git = listen(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&of_git)).unwrap();
            git::serve(StreamOwned::new(connection, stream), &repositories);
        });
        Self {
            clear,
            tls,
            git,
            roots,
        }
    }
}

fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let serve = Arc::clone(&serve);
            let thread = thread::Builder::new().stack_size(STACK);
            thread.spawn(move || serve(stream)).unwrap();
        }
    });
    port
}

/// Answers requests until there are no more.
fn serve(mut stream: impl Read + Write) {
    let piece = vec![b'x'; PIECE];
    let (mut head, mut read) = (Vec::new(), [0; 4096]);
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut read) {
                Ok(0) | Err(_) => return,
                Ok(length) => head.extend_from_slice(&read[..length]),
            }
        }
        let path = String::from_utf8_lossy(&head).into_owned();
        let path = path.split(' ').nth(1).unwrap_or("/0");
        let mut rest: usize = path.trim_start_matches('/').parse().unwrap_or(0);
        head.clear();
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {rest}\r\n\r\n").into_bytes();
        let first = rest.min(1024);
        answer.extend_from_slice(&piece[..first]);
        rest -= first;
        if stream.write_all(&answer).is_err() {
            return;
        }
        while rest > 0 {
            let next = rest.min(piece.len());
            if stream.write_all(&piece[..next]).is_err() {
                return;
            }
            rest -= next;
        }
        if stream.flush().is_err() {
            return;
        }
    }
}
