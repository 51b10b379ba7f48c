//! Whom a session with a gate trusts: the authorities of the machine, and its own, under which the gate answers.
//!
//! What is trusted inside is said in every way that clients look for: in the system's own files, which are covered
//! inside by others, and by variables, for those that bring a list of their own. Both are needed: some programs read no
//! variable, some read no file.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use agentguard_core::Confinement;
use agentguard_egress::Settings;
use agentguard_sandbox::InsideFile;

use crate::{environment, workspace};

/// Where the session's list of authorities lies inside.
pub(crate) const CERTIFICATES: &str = "/run/agentguard/certificates.pem";

/// Where systems keep theirs: Debian and Arch, Red Hat, SUSE, Alpine and the BSDs' way.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where they keep Java's: Debian, Arch and Alpine; Red Hat; SUSE.
const KEY_STORES: [&str; 3] = [
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
    "/var/lib/ca-certificates/java-cacerts",
];
/// Where a Java that brings its own has it.
const KEY_STORE: &str = "lib/security/cacerts";
/// Where a human's own authorities are named. They are trusted besides.
const NAMED_BY: [&str; 2] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];
/// No list of authorities is as long.
const MOST: u64 = 8 << 20;

/// Variables that clients read a file of authorities from. Each of them takes the place of the system's list.
const FILES: [&str; 15] = [
    "AWS_CA_BUNDLE",
    "BUNDLE_SSL_CA_CERT",
    "CARGO_HTTP_CAINFO",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "npm_config_cafile",
];
/// Variables that make clients read the system's list instead of their own.
const SWITCHES: [&str; 2] = ["NODE_USE_SYSTEM_CA", "UV_SYSTEM_CERTS"];

/// The authorities that the machine trusts, and those that the human's variables name.
pub(crate) fn roots() -> String {
    let of_system = BUNDLES.iter().map(PathBuf::from).find(|path| path.exists());
    let named = NAMED_BY.iter().filter_map(std::env::var_os);
    let mut roots = String::new();
    for path in of_system.into_iter().chain(named.map(PathBuf::from)) {
        // What cannot be read is trusted by nobody: servers that need it are not reached.
        if let Ok(some) = read(&path)
            && !roots.contains(some.trim())
        {
            roots.push_str(&some);
            roots.push('\n');
        }
    }
    roots
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(MOST)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// The session's list of authorities, at its own place and over those of the system that are seen inside.
pub(crate) fn files(settings: &Settings, confinement: &Confinement) -> Vec<InsideFile> {
    let mut bundles = seen(BUNDLES.map(PathBuf::from), confinement);
    bundles.insert(CERTIFICATES.into());
    let own = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join(KEY_STORE));
    let key_stores = KEY_STORES.into_iter().map(PathBuf::from).chain(own);
    let key_stores = seen(key_stores, confinement);
    // Most machines have no Java.
    let key_store = if key_stores.is_empty() {
        Vec::new()
    } else {
        settings.key_store()
    };
    let bundle = settings.bundle().into_bytes();
    let bundles = bundles.into_iter().map(|path| InsideFile {
        path,
        content: bundle.clone(),
    });
    let key_stores = key_stores.into_iter().map(|path| InsideFile {
        path,
        content: key_store.clone(),
    });
    bundles.chain(key_stores).collect()
}

/// Those that are there, and seen inside.
fn seen(places: impl IntoIterator<Item = PathBuf>, confinement: &Confinement) -> BTreeSet<PathBuf> {
    let there = places.into_iter().filter(|path| path.is_file());
    there
        .map(|path| workspace::real(&path))
        .filter(|path| environment::is_seen(confinement, path))
        .collect()
}

/// Variables that lead clients to it.
pub(crate) fn variables(list: &Path) -> impl Iterator<Item = (OsString, OsString)> {
    let files = FILES.iter().map(|name| (*name, list.as_os_str()));
    let switches = SWITCHES.iter().map(|name| (*name, OsStr::new("1")));
    files
        .chain(switches)
        .map(|(name, value)| (name.into(), value.into()))
}
