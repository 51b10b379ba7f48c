//! The authority that a session trusts, and nobody else.

use agentguard_core::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

use crate::Error;

/// A clock inside may be behind the one outside.
const BEFORE: Duration = Duration::days(1);
/// No session is as long, and no client refuses it as too long.
const AFTER: Duration = Duration::days(90);

/// A certificate authority of one session. Its key is made for it, goes to the gate, and is written nowhere.
pub struct Authority {
    pub(crate) session: String,
    pub(crate) not_before: i64,
    pub(crate) key: Secret,
    certificate: String,
}

impl Authority {
    /// Makes the authority of `session`, which begins at `unix_seconds`.
    ///
    /// # Errors
    ///
    /// Returns what rcgen said.
    pub fn new(session: &str, unix_seconds: u64) -> Result<Self, Error> {
        let failed = |source| Error::Authority { source };
        let now = i64::try_from(unix_seconds).unwrap_or(0);
        let not_before = now.saturating_sub(BEFORE.whole_seconds());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = parameters(session, not_before).self_signed(&key);
        Ok(Self {
            session: session.to_owned(),
            not_before,
            key: Secret::new(key.serialize_der()),
            certificate: certificate.map_err(failed)?.pem(),
        })
    }

    /// Its certificate, which the session is to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }
}

/// What the authority's certificate says. The gate makes the same again, to sign under it.
pub(crate) fn parameters(session: &str, not_before: i64) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("agentguard session {session}"));
    parameters.distinguished_name = name;
    lasting(&mut parameters, not_before);
    parameters
}

/// Bounds how long a certificate holds.
pub(crate) fn lasting(parameters: &mut CertificateParams, not_before: i64) {
    let begin = OffsetDateTime::from_unix_timestamp(not_before);
    let begin = begin.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    parameters.not_before = begin;
    parameters.not_after = begin.saturating_add(AFTER);
}
