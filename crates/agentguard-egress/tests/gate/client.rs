//! Clients: those that send what nobody should, and those that are as they should be.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::scene::Scene;

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Nothing here is to be waited for longer, however busy the machine.
const LONG: Duration = Duration::from_secs(60);

/// A question as it is sent.
pub(crate) fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// An answer: its code, and its address if there is one.
pub(crate) fn read_answer(packet: &[u8]) -> (u8, Option<IpAddr>) {
    assert_eq!(packet[..2], [7, 7]);
    let address = match packet[7] {
        0 => None,
        _ if packet[packet.len() - 5] == 4 && packet[packet.len() - 6] == 0 => {
            let octets: [u8; 4] = packet[packet.len() - 4..].try_into().unwrap();
            Some(octets.into())
        }
        _ => {
            let octets: [u8; 16] = packet[packet.len() - 16..].try_into().unwrap();
            Some(octets.into())
        }
    };
    (packet[3] & 15, address)
}

impl Scene {
    /// Sends a packet, and waits for the answer.
    pub(crate) fn ask(&self, packet: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.send_to(packet, self.dns_udp).unwrap();
        let mut answer = [0; 1500];
        let length = socket.recv(&mut answer).unwrap();
        answer[..length].to_vec()
    }

    /// Looks up the IPv4 address of a name.
    pub(crate) fn look_up(&self, name: &str) -> (u8, Option<IpAddr>) {
        read_answer(&self.ask(&question(name, 1)))
    }

    /// Connects to what a name was found at.
    pub(crate) fn connect(&self, name: &str) -> TcpStream {
        let address = self.look_up(name).1.unwrap();
        self.connect_to(SocketAddr::new(address, self.port))
    }

    pub(crate) fn connect_to(&self, to: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    pub(crate) fn tls_config(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        trusting(&self.authority, protocols)
    }

    /// Connects to `name` and says that it wants to speak to `to`.
    pub(crate) fn tls_to(&self, name: &str, to: &str) -> std::io::Result<Tls> {
        self.handshake(self.connect(name), to)
    }

    pub(crate) fn handshake(&self, mut stream: TcpStream, to: &str) -> std::io::Result<Tls> {
        let to = ServerName::try_from(to.to_owned()).unwrap();
        let mut connection = ClientConnection::new(self.tls_config(&["http/1.1"]), to).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    pub(crate) fn tls(&self, name: &str) -> Tls {
        self.tls_to(name, name).unwrap()
    }

    /// Sends bytes over TLS, and waits for one answer, or the end.
    pub(crate) fn exchange(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let mut tls = self.tls(name);
        // Whoever is refused may find the connection closed while still speaking.
        let _ = tls.write_all(bytes.as_ref());
        read_answer_of(&mut tls)
    }

    /// The host as a request names it.
    pub(crate) fn host(&self, name: &str) -> String {
        format!("{name}:{}", self.port)
    }
}

/// What a client does that trusts one authority.
pub(crate) fn trusting(authority: &str, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|one| one.as_bytes().to_vec())
        .collect();
    Arc::new(config)
}

/// One answer of HTTP/1.1, or what there is of it.
fn read_answer_of(stream: &mut impl Read) -> String {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .split("\r\n")
                .find_map(|line| line.strip_prefix("content-length: "));
            let is_whole = match length {
                Some(length) => body.len() >= length.parse::<usize>().unwrap(),
                None => head.contains("chunked") && text.ends_with("0\r\n\r\n"),
            };
            if is_whole {
                return text;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return text,
            Ok(length) => all.extend(&piece[..length]),
        }
    }
}

/// All that comes, however it ends.
pub(crate) fn read_to_end(stream: &mut impl Read) -> String {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&all).into_owned(),
            Ok(length) => all.extend(&piece[..length]),
        }
    }
}

/// Reads until `text` has come.
pub(crate) fn read_until(stream: &mut impl Read, text: &str) -> String {
    let (mut all, mut piece) = (String::new(), [0; 4096]);
    while !all.contains(text) {
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "it ended after {all:?}");
        all.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    all
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    let line = answer.split("\r\n").next().unwrap();
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_default()
}

/// The JSON that an answer's body is.
pub(crate) fn json(answer: &str) -> serde_json::Value {
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON in {answer:?}"))
}
