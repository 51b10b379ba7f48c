//! Certificates for the hosts of a session, under the session's authority, and the two sides of TLS.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use agentguard_core::{Host, Secret};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    SanType,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{
    CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite,
};

use crate::authority;

/// How many hosts' certificates are kept.
const MOST_KEPT: usize = 1024;

/// What is spoken with clients that can (RFC 8446, section 9.1).
const FIRST: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;

/// What is spoken within TLS.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Its name in a handshake (RFC 7301).
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// The session's authority, which signs for any host that the session was granted.
pub(super) struct Leaves {
    issuer: Issuer<'static, KeyPair>,
    not_before: i64,
    /// All leaves have one key: whoever could take it from this process could take the authority's.
    key: KeyPair,
    provider: Arc<CryptoProvider>,
    kept: Mutex<HashMap<(Host, Protocol), Arc<ServerConfig>>>,
}

impl Leaves {
    pub(super) fn new(session: &str, not_before: i64, key: &Secret) -> io::Result<Self> {
        let key = PrivatePkcs8KeyDer::from(key.danger_reveal());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256);
        let parameters = authority::parameters(session, not_before);
        Ok(Self {
            issuer: Issuer::new(parameters, key.map_err(io::Error::other)?),
            not_before,
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?,
            provider: Arc::new(inside()),
            kept: Mutex::default(),
        })
    }

    /// How to be `host`, for a client that is to speak `protocol`.
    pub(super) fn server(&self, host: &Host, protocol: Protocol) -> io::Result<Arc<ServerConfig>> {
        let key = (host.clone(), protocol);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = kept.get(&key) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.sign(host, protocol)?);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&config));
        Ok(config)
    }

    fn sign(&self, host: &Host, protocol: Protocol) -> io::Result<ServerConfig> {
        let mut parameters = CertificateParams::default();
        let subject = match host {
            Host::Name(name) => {
                let name = name.to_string().try_into();
                SanType::DnsName(name.map_err(io::Error::other)?)
            }
            Host::Address(address) => SanType::IpAddress(*address),
        };
        parameters.subject_alt_names = vec![subject];
        // A common name holds 64 characters (RFC 5280, appendix A); nobody looks at it.
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, "agentguard");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        authority::lasting(&mut parameters, self.not_before);
        let certificate = parameters
            .signed_by(&self.key, &self.issuer)
            .map_err(io::Error::other)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![protocol.name().to_vec()];
        config.ignore_client_order = true;
        Ok(config)
    }
}

/// What is spoken with clients, which are on this machine: first what takes the least. Keys are as strong as what they are
/// agreed by, and SHA-384 takes several times as long as SHA-256 where only that has instructions of its own; of it a
/// handshake consists where it is resumed.
fn inside() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let is_first = |suite: &SupportedCipherSuite| suite.suite() == FIRST;
    provider.cipher_suites.sort_by_key(|suite| !is_first(suite));
    provider
}

/// How servers are verified and spoken to.
pub(super) struct Servers {
    with_both: Arc<ClientConfig>,
    with_http1: Arc<ClientConfig>,
    with_http2: Arc<ClientConfig>,
}

impl Servers {
    /// Reads the certificates that servers are verified against.
    pub(super) fn new(roots: &str) -> io::Result<Self> {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            // A machine's bundle has some that nobody can read any more. They vouch for nobody.
            let _ = root.map(|root| store.add(root));
        }
        let store = Arc::new(store);
        let provider = Arc::new(ring::default_provider());
        let config = |protocols: &[Protocol]| {
            let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_root_certificates(Arc::clone(&store))
                .with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|one| one.name().to_vec()).collect();
            io::Result::Ok(Arc::new(config))
        };
        Ok(Self {
            with_both: config(&[Protocol::Http2, Protocol::Http1])?,
            with_http1: config(&[Protocol::Http1])?,
            with_http2: config(&[Protocol::Http2])?,
        })
    }

    /// How to speak to a server for a client that speaks `protocols`.
    pub(super) fn client(&self, protocols: &[Protocol]) -> Arc<ClientConfig> {
        let has = |protocol| protocols.contains(&protocol);
        Arc::clone(match (has(Protocol::Http2), has(Protocol::Http1)) {
            (true, true) => &self.with_both,
            (true, false) => &self.with_http2,
            (false, _) => &self.with_http1,
        })
    }
}

/// What a server's certificate is to be for.
pub(super) fn server_name(
    host: &Host,
) -> io::Result<tokio_rustls::rustls::pki_types::ServerName<'static>> {
    use tokio_rustls::rustls::pki_types::ServerName;
    Ok(match host {
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other)?,
        Host::Address(address) => ServerName::from(*address as IpAddr),
    })
}
