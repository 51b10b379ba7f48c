//! A list of authorities as Java keeps it: Java reads no PEM, and no variable names another file without being told of
//! on every start.
//!
//! The format is that of the class `sun.security.provider.JavaKeyStore` of the JDK. Every Java reads it, whatever it
//! writes itself.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// An entry that is a certificate, and no key.
const TRUSTED: u32 = 2;
/// What guards the list's digest. The same everywhere: the list is no secret, and who could change it could change
/// the digest.
const PASSWORD: &str = "changeit";
const WHITENER: &str = "Mighty Aphrodite";

/// The certificates of a list in PEM, valid from `unix_seconds` on as far as anybody asks.
pub(crate) fn key_store(pem: &str, unix_seconds: i64) -> Vec<u8> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .collect();
    let mut store = Vec::with_capacity(pem.len());
    store.extend(MAGIC.to_be_bytes());
    store.extend(VERSION.to_be_bytes());
    store.extend(length(certificates.len()));
    for (number, certificate) in certificates.iter().enumerate() {
        store.extend(TRUSTED.to_be_bytes());
        put_text(&mut store, &format!("authority-{number}"));
        store.extend(unix_seconds.saturating_mul(1000).to_be_bytes());
        put_text(&mut store, "X.509");
        store.extend(length(certificate.len()));
        store.extend_from_slice(certificate);
    }
    let digest = digest(&store);
    store.extend(digest);
    store
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// Short and of ASCII, so that Java's own UTF-8 is everybody's.
fn put_text(store: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    store.extend(length.to_be_bytes());
    store.extend(text.as_bytes());
}

fn digest(store: &[u8]) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        context.update(&unit.to_be_bytes());
    }
    context.update(WHITENER.as_bytes());
    context.update(store);
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    #[test]
    fn a_list_has_every_certificate_and_ends_with_its_digest() {
        let authority = Authority::new("s", 1).unwrap();
        let pem = authority.certificate_pem();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let store = key_store(&format!("{pem}\n# nobody\n{pem}"), 1);
        assert_eq!(
            store[..12],
            [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 2]
        );
        let holds = store.windows(der.len()).filter(|at| *at == &der[..]);
        assert_eq!(holds.count(), 2);
        let (body, end) = store.split_at(store.len() - 20);
        assert_eq!(end, digest(body));
    }
}
