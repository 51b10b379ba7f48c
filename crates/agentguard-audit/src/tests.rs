//! Fixtures of unit tests.

use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A directory that goes away with its value.
pub(crate) struct Directory(PathBuf);

/// Makes an empty directory.
pub(crate) fn directory() -> Directory {
    let random = u64::from_ne_bytes(crate::store::random().unwrap());
    let path = std::env::temp_dir().join(format!("agentguard-audit-{random:016x}"));
    std::fs::create_dir(&path).unwrap();
    Directory(path)
}

impl Deref for Directory {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
