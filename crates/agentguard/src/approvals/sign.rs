//! Signing an answer, with whatever key the human has: a file, one that an agent holds, or a security key.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use agentguard_core::ssh::unframed;

/// Signs as `ssh-keygen -Y sign` does, which asks for a passphrase or a touch by itself.
pub(crate) fn sign(statement: &[u8], namespace: &str, key: &Path) -> io::Result<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it is the human's own tool, and runs outside every session"
    )]
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-q", "-n", namespace, "-f"]);
    command
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    // It reads all before it writes, so that neither waits for the other. Where it ended early, its status says so.
    if let Some(mut statement_in) = child.stdin.take() {
        let _ = statement_in.write_all(statement);
    }
    let mut framed = String::new();
    if let Some(out) = child.stdout.take() {
        out.take(1 << 16).read_to_string(&mut framed)?;
    }
    match child.wait()?.success() {
        true => {
            unframed(&framed).ok_or_else(|| io::Error::other("`ssh-keygen` wrote no signature"))
        }
        false => Err(io::Error::other("`ssh-keygen` did not sign it")),
    }
}
