//! Keys of SSH: what one may be, by what its host is known, and what git is told of it.

use agentguard_core::{Credential, Host, Slot};
use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use crate::Error;

/// The port of SSH.
const PORT: u16 = 22;
/// How a private key begins and ends that OpenSSH makes (its `PROTOCOL.key`).
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// What it begins with without its letters, and what the name of no cipher is, with its length.
const MAGIC: &[u8] = b"openssh-key-v1\0";
const UNENCRYPTED: &[u8] = b"\0\0\0\x04none";
/// The types of host keys that prove who it is.
const TYPES: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
];

/// Why this is no private key that is of use without anybody who types, if it is none.
pub(super) fn check_key(bytes: &[u8]) -> Option<&'static str> {
    const NONE: &str = "is no private key of OpenSSH's: make one with `ssh-keygen -t ed25519`";
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some(NONE);
    };
    let letters = text.trim().strip_prefix(BEGIN);
    let Some(letters) = letters.and_then(|rest| rest.strip_suffix(END)) else {
        return Some(NONE);
    };
    let mut whole = Zeroizing::new(String::with_capacity(letters.len()));
    whole.extend(
        letters
            .chars()
            .filter(|letter| !letter.is_ascii_whitespace()),
    );
    let decoded = Base64::decode_vec(&whole).map(Zeroizing::new);
    match decoded
        .as_ref()
        .ok()
        .and_then(|key| key.strip_prefix(MAGIC))
    {
        None => Some(NONE),
        Some(key) if key.starts_with(UNENCRYPTED) => None,
        Some(_) => Some("is locked by a passphrase, and nobody is there to type it"),
    }
}

/// Refuses a user or a key of a host that would not be one word of a line.
pub(super) fn check(user: &str, host_keys: &[String]) -> Result<(), Error> {
    let refused = |problem| Err(Error::invalid("credential", problem));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins_well = user.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    if !begins_well || user.len() > 128 || !user.bytes().all(is_plain) {
        return refused("names no user of SSH: write `a-z`, `0-9`, `.`, `_`, `-`");
    }
    if host_keys.is_empty() {
        return refused("names no key by which its host is known");
    }
    match host_keys.iter().all(|key| is_host_key(key)) {
        true => Ok(()),
        false => refused("has a host key that is none"),
    }
}

fn is_host_key(key: &str) -> bool {
    let Some((kind, letters)) = key.split_once(' ') else {
        return false;
    };
    let is_whole = Base64::decode_vec(letters).is_ok_and(|bytes| bytes.len() > kind.len());
    TYPES.contains(&kind) && is_whole
}

/// The keys of a host in the lines of a `known_hosts` file, each its type and its letters. Lines in which names are
/// hashed, and those that mark a key as an authority or as taken back, name nobody here.
///
/// # References
///
/// - sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"
#[must_use]
pub fn host_keys(known_hosts: &str, host: &Host, port: u16) -> Vec<String> {
    let host = host.to_string();
    let named = match port {
        PORT => host,
        port => format!("[{host}]:{port}"),
    };
    let mut keys = Vec::new();
    for line in known_hosts.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(names), Some(kind), Some(letters)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let is_named = names
            .split(',')
            .any(|name| name.eq_ignore_ascii_case(&named));
        let key = format!("{kind} {letters}");
        if is_named && is_host_key(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The settings by which git goes to the gate for what it would ask over SSH where such a key is bound: the gate carries
/// it on. A path below the home of the host's user is written `/~/`.
///
/// # References
///
/// - git-config(1), `url.<base>.insteadOf`
#[must_use]
pub fn ssh_settings(lent: &[Credential]) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for bound in lent.iter().flat_map(|credential| &credential.bound) {
        let Slot::Ssh { user, .. } = &bound.slot else {
            continue;
        };
        let (host, port) = (bound.host.to_authority(), bound.port);
        let key = format!("url.https://{host}:{port}/.insteadOf");
        let mut others = vec![
            format!("ssh://{user}@{host}:{port}/"),
            format!("ssh://{host}:{port}/"),
        ];
        if port == PORT {
            others.extend([
                format!("{user}@{host}:"),
                format!("{user}@{host}:/"),
                format!("ssh://{user}@{host}/"),
                format!("ssh://{host}/"),
            ]);
        }
        for other in others {
            let setting = (key.clone(), other);
            if !settings.contains(&setting) {
                settings.push(setting);
            }
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_host_is_known_by_the_lines_that_name_it_alone() {
        let host = Host::parse("git.example.org").unwrap();
        let lines = format!(
            "# git.example.org {ED25519}\nother.example.org {ED25519}\n\
             x,Git.Example.org {ED25519} said by ann\n[git.example.org]:2222 {ED25519}\n\
             @revoked git.example.org {ED25519}\n@cert-authority git.example.org {ED25519}\n\
             *.example.org {ED25519}\n|1|c2FsdA==|aGFzaA== {ED25519}\ngit.example.org ssh-dss AAAA\n\
             git.example.org ssh-ed25519 no=letters\n"
        );
        assert_eq!(host_keys(&lines, &host, 22), [ED25519]);
        assert_eq!(host_keys(&lines, &host, 2222), [ED25519]);
        assert_eq!(host_keys(&lines, &host, 23), [""; 0]);
    }

    #[test]
    fn what_is_no_word_is_no_user_and_no_key() {
        let key = [ED25519.to_owned()];
        assert!(check("git", &key).is_ok() && check("abc-1.x_Y", &key).is_ok());
        for bad in [
            "",
            "-oProxyCommand=x",
            "a b",
            "a\nb",
            "a@b",
            "a'b",
            "ä",
            ".a",
        ] {
            assert!(check(bad, &key).is_err(), "{bad}");
        }
        assert!(check("git", &[]).is_err());
        for bad in [
            format!("{ED25519}\n* ssh-ed25519 AAAA"),
            "ssh-ed25519".to_owned(),
            format!("@cert-authority {ED25519}"),
        ] {
            assert!(check("git", &[bad]).is_err());
        }
    }

    #[test]
    fn a_key_is_one_that_nobody_has_to_unlock() {
        let of = |cipher: &[u8]| {
            let letters = Base64::encode_string(&[MAGIC, cipher, b"rest of it"].concat());
            format!("{BEGIN}\n{letters}\n{END}\n")
        };
        assert_eq!(check_key(of(UNENCRYPTED).as_bytes()), None);
        let locked = of(b"\0\0\0\x0aaes256-ctr");
        assert!(check_key(locked.as_bytes()).unwrap().contains("passphrase"));
        for bad in ["", "ghp_token", BEGIN, "ssh-ed25519 AAAA ann"] {
            assert!(
                check_key(bad.as_bytes())
                    .unwrap()
                    .contains("no private key")
            );
        }
    }
}
