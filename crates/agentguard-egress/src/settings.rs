//! What a session's gate is told when it starts.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use agentguard_core::{Credential, HostGrant, HostName, Place};
use serde::{Deserialize, Serialize};

use crate::{Authority, java};

/// What one session's gate does.
pub struct Settings {
    /// The hosts that policy grants.
    pub hosts: Vec<HostGrant>,
    /// Names whose place policy says itself. They are granted by `hosts`, like all others.
    pub addresses: BTreeMap<HostName, Place>,
    /// Names of granted hosts whose TLS is passed on as it is.
    pub uninspected: Vec<HostName>,
    /// Names of granted hosts to whose servers an escaped `/` is a part of a segment.
    pub escaped_slashes: Vec<HostName>,
    /// Names of granted hosts to which what stands for a credential may be said in a body. It stays what it is.
    pub conversations: Vec<HostName>,
    /// The credentials that were lent to the session. A placeholder has at least eight letters, all visible
    /// ones of ASCII: a gate that is handed another does not start.
    pub credentials: Vec<Credential>,
    /// The session's authority.
    pub authority: Authority,
    /// The certificates that servers are verified against, in PEM.
    pub roots: String,
    /// The first of the 131,072 addresses that stand for names inside. [`Settings::STAND_INS`], but in
    /// tests that have no network of their own.
    pub stand_ins: Ipv4Addr,
    /// How long is waited for others. [`Patience::USUAL`], but in tests.
    pub patience: Patience,
    /// A directory of the guard's, on a disk, where pushes lie while they are judged: in files without names.
    pub spool: PathBuf,
    /// Another, in which a key of SSH lies while a server is asked by it.
    pub keys: PathBuf,
}

impl Settings {
    /// 198.18.0.0/15, which no host of any network has (RFC 2544).
    pub const STAND_INS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

    /// The certificates that the session trusts: the machine's, and the session's own authority.
    #[must_use]
    pub fn bundle(&self) -> String {
        let mut bundle = self.roots.trim_end().to_owned();
        bundle.push('\n');
        bundle.push_str(self.authority.certificate_pem());
        bundle
    }

    /// The same as a file of Java's.
    #[must_use]
    pub fn key_store(&self) -> Vec<u8> {
        java::key_store(&self.bundle(), self.authority.not_before)
    }
}

/// How long the gate waits for others.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Patience {
    /// For a client: the first bytes, the handshake, the head of a request, a body that is judged.
    pub client: Duration,
    /// For a server: its name, the connection, the handshake.
    pub server: Duration,
    /// For the beginning of an answer, and between two pieces of a body: models think for long.
    pub answer: Duration,
}

impl Patience {
    /// As long as is usual for those who speak HTTP.
    pub const USUAL: Self = Self {
        client: Duration::from_secs(30),
        server: Duration::from_secs(15),
        answer: Duration::from_secs(15 * 60),
    };
}
