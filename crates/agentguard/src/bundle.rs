//! The policies of a session, kept beside its log, so that its decisions can be made again.
//!
//! A bundle is written once and linked to by every session that it decides. The session's first entry
//! names the digest of each tier, by which whoever reads the bundle knows that it is the one.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use agentguard_core::Digest;
use agentguard_policy::Policies;

/// The bundle beside a session's log.
const NAME: &str = "policy.json";

/// Keeps the bundle of `policies` beside the log in `directory`.
pub(crate) fn keep(directory: &Path, policies: &Policies) -> io::Result<()> {
    let digests = serde_json::to_vec(&policies.digests())?;
    let logs = directory
        .parent()
        .and_then(Path::parent)
        .ok_or_else(|| io::Error::other("a log has a place"))?;
    let shared = logs
        .join("policies")
        .join(format!("{}.json", Digest::of(&digests).to_hex()));
    match fs::hard_link(&shared, directory.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write(&shared, policies.bundle().as_bytes())?;
            fs::hard_link(&shared, directory.join(NAME))
        }
        linked => linked,
    }
}

/// Two that write the same at once end with the first: a file that another one takes the place of can be linked to no more
/// by whoever has just found it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path
        .parent()
        .ok_or_else(|| io::Error::other("a bundle lies in a directory"))?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (process, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let beside = path.with_extension(format!("{process}.{next}.new"));
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o400)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    let linked = match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    fs::remove_file(&beside)?;
    linked
}
