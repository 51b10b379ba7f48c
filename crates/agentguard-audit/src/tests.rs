//! Fixtures.
pub(crate) fn directory() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!(
        "ag-audit-{:016x}",
        u64::from_ne_bytes(crate::store::random().unwrap())
    ));
    std::fs::create_dir_all(&path).unwrap();
    path
}
