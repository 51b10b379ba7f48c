//! Whose signature counts: the humans' keys by name, as OpenSSH's `allowed_signers` has them.
//!
//! # References
//!
//! - `ssh-keygen(1)`, "ALLOWED SIGNERS"

use std::io;

use agentguard_audit::{Places, is_signing_key, verify_sshsig};
use agentguard_core::{Approver, Evidence, Statement};

/// The file, in the configuration.
const NAME: &str = "allowed_signers";
/// A name is written into entries.
const LONGEST_NAME: usize = 256;

/// The keys that humans sign with.
#[derive(Clone, Debug)]
pub(crate) struct Signers(Vec<Signer>);

#[derive(Clone, Debug)]
struct Signer {
    name: String,
    /// In base64.
    key: String,
}

impl Signers {
    /// Reads the file. Where there is none, nobody signs.
    pub(crate) fn read(places: &Places) -> io::Result<Self> {
        let path = places.config.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        Self::parse(&text).map_err(|why| io::Error::other(format!("`{}` {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut signers = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let signer = signer(line).map_err(|why| format!("line {number}: {why}"))?;
            signers.extend(signer);
        }
        Ok(Self(signers))
    }

    /// Who signed this.
    pub(crate) fn who_signed(
        &self,
        sshsig: &str,
        statement: &Statement<'_>,
    ) -> Result<Approver, String> {
        let key = verify_sshsig(sshsig, Statement::NAMESPACE, &statement.bytes());
        let key = key.map_err(|unsigned| unsigned.to_string())?;
        let signer = self.0.iter().find(|signer| signer.key == key);
        let signer = signer.ok_or("its key is nobody's in `allowed_signers`")?;
        Ok(Approver {
            id: format!("ssh:{}", signer.name),
            login: signer.name.clone(),
            evidence: Evidence::Signed,
        })
    }
}

/// Reads a line: names, perhaps options, the kind of key, the key. `None` where it is for other uses. What is not
/// understood is an error: it may say that the key does not count.
fn signer(line: &str) -> Result<Option<Signer>, &'static str> {
    let short = "it is no name with a key";
    let mut words = line.split_ascii_whitespace();
    let names = words.next().ok_or(short)?;
    let mut kind = words.next().ok_or(short)?;
    let mut is_ours = true;
    if let Some(options) = kind.strip_prefix("namespaces=") {
        let list = options
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .filter(|list| !list.contains('"'));
        let list = list.ok_or("its namespaces are not in quotes, or more options follow")?;
        is_ours = list.split(',').any(|one| one == Statement::NAMESPACE);
        kind = words.next().ok_or(short)?;
    }
    if !kind.starts_with("ssh-") && !kind.starts_with("sk-") && !kind.starts_with("ecdsa-") {
        return Err("it has an option that is not understood");
    }
    let key = words.next().ok_or(short)?;
    if !is_ours {
        return Ok(None);
    }
    if !is_signing_key(kind, key) {
        return Err("its key is not an Ed25519 one");
    }
    let is_one = |byte: u8| byte.is_ascii_graphic() && !b",*?!\"\\`".contains(&byte);
    if names.len() > LONGEST_NAME || !names.bytes().all(is_one) {
        return Err("it has to name one human");
    }
    Ok(Some(Signer {
        name: names.to_owned(),
        key: key.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIEE+kHp14sqsT5mVV7DUUEXNHXxSm1/mzH+y8Kp/3G8L";

    #[test]
    fn a_line_names_one_human_with_one_key_or_is_no_line() {
        let names = |text: &str| {
            let signers = Signers::parse(text)?;
            Ok::<_, String>(
                signers
                    .0
                    .into_iter()
                    .map(|one| one.name)
                    .collect::<Vec<_>>(),
            )
        };
        let ours = format!(
            "# who approves\n\nada@example.com ssh-ed25519 {KEY} a comment\n\
             bob namespaces=\"git,agentguard-approval\" ssh-ed25519 {KEY}\n\
             eve namespaces=\"git\" ssh-ed25519 {KEY}\n"
        );
        assert_eq!(names(&ours).unwrap(), ["ada@example.com", "bob"]);
        for bad in [
            "ada@example.com".to_owned(),
            format!("ada ssh-ed25519 {}", KEY.get(..40).unwrap()),
            format!("ada ssh-rsa {KEY}"),
            format!("*@example.com ssh-ed25519 {KEY}"),
            format!("ada,bob ssh-ed25519 {KEY}"),
            format!("{} ssh-ed25519 {KEY}", "a".repeat(LONGEST_NAME + 1)),
            format!("ca cert-authority ssh-ed25519 {KEY}"),
            format!("ada valid-before=\"20200101\" ssh-ed25519 {KEY}"),
            format!("ada namespaces=\"git\",valid-before=\"20200101\" ssh-ed25519 {KEY}"),
        ] {
            assert!(names(&bad).is_err(), "{bad}");
        }
    }
}
