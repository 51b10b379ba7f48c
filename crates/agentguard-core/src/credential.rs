//! Credentials: what an agent may put to use and never read.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Host, Secret};

/// Names a credential, as the human who handed it to the guard called it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialName(String);

impl CredentialName {
    /// The longest name.
    const LONGEST: usize = 64;

    /// Parses a name.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidCredentialName`] unless it is made of `a-z`, `0-9`, `-` and `_`, begins with a letter
    /// and has at most 64 of them.
    pub fn parse(text: &str) -> Result<Self, InvalidCredentialName> {
        let is_plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let is_name = text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.len() <= Self::LONGEST
            && text.bytes().all(is_plain);
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCredentialName {
                text: text.chars().take(Self::LONGEST).collect(),
            })
        }
    }

    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CredentialName {
    type Error = InvalidCredentialName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<CredentialName> for String {
    fn from(name: CredentialName) -> Self {
        name.0
    }
}

/// A text that names no credential.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` names no credential: write `a-z`, `0-9`, `-`, `_`, a letter first")]
pub struct InvalidCredentialName {
    text: String,
}

/// A credential that was lent to one session. Inside there is only its placeholder; whoever stands between the
/// session and the bound host puts the secret there instead.
pub struct Credential {
    /// Its name, which entries, policies and refusals use.
    pub name: CredentialName,
    /// What stands for it inside: of the same shape, of this session alone, and worth nothing.
    pub placeholder: String,
    /// What it is.
    pub secret: Secret,
    /// Where it may go.
    pub bound: Vec<Binding>,
}

impl Credential {
    /// Whether it is a key of SSH.
    #[must_use]
    pub fn is_ssh(&self) -> bool {
        self.bound.iter().any(|bound| bound.slot.is_ssh())
    }
}

/// Where a credential may go. All of it must hold for one request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The one host.
    pub host: Host,
    /// Its port, always over TLS whose certificate was verified, or over SSH whose key was.
    pub port: u16,
    /// What its path must match: decoded segments, of which `*` is any one, and `**` at the end any that
    /// follow. Empty for every path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// The methods that it may go with. Empty for every method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Where in a request it stands.
    pub slot: Slot,
}

/// Where in a request a credential stands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum Slot {
    /// In the value of a header, alone or after a scheme such as `Bearer`.
    Header {
        /// The header, in lower case.
        name: String,
    },
    /// As the password of Basic authentication, or as its user.
    Basic,
    /// As the value of one name of the query.
    Query {
        /// The name.
        name: String,
    },
    /// As the secret key of AWS, which signs requests (Signature Version 4). The placeholder stands for the
    /// access key's id and for the secret key, and the secret is `id:key`, or `id:key:session-token`.
    Aws,
    /// In no request: it is a private key of SSH, by which git's own commands are run on the host, whose port is that of
    /// SSH. Nothing stands for it inside.
    Ssh {
        /// As whom.
        user: String,
        /// The keys by which the host is known, each its type and its letters, as a line of `known_hosts` has them.
        host_keys: Vec<String>,
    },
}

impl Slot {
    /// Whether it is a key of SSH.
    #[must_use]
    pub fn is_ssh(&self) -> bool {
        matches!(self, Self::Ssh { .. })
    }
}

impl Binding {
    /// Whether a request goes where it is bound to.
    #[must_use]
    pub fn covers(&self, host: &Host, port: u16, method: &str, path: &[String]) -> bool {
        self.host == *host
            && self.port == port
            && (self.methods.is_empty() || self.methods.iter().any(|bound| bound == method))
            && is_below(&self.path, path)
    }
}

fn is_below(pattern: &[String], path: &[String]) -> bool {
    match pattern.split_last() {
        None => true,
        Some((last, first)) if last == "**" => {
            path.len() >= first.len() && are_alike(first, path.get(..first.len()).unwrap_or(path))
        }
        Some(_) => pattern.len() == path.len() && are_alike(pattern, path),
    }
}

fn are_alike(pattern: &[String], path: &[String]) -> bool {
    let mut pairs = pattern.iter().zip(path);
    pairs.all(|(pattern, segment)| pattern == "*" || pattern == segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split('/').map(ToOwned::to_owned).collect()
    }

    fn binding(path: &str, methods: &[&str]) -> Binding {
        Binding {
            host: Host::parse("api.example.org").unwrap(),
            port: 443,
            path: words(path),
            methods: methods.iter().map(ToString::to_string).collect(),
            slot: Slot::Basic,
        }
    }

    #[test]
    fn a_binding_covers_only_what_it_says() {
        let host = Host::parse("API.example.org.").unwrap();
        let bound = binding("repos/acme/*/issues/**", &["GET", "POST"]);
        for (path, is_covered) in [
            ("repos/acme/a/issues", true),
            ("repos/acme/a/issues/7/comments", true),
            ("repos/acme/a/pulls", false),
            ("repos/other/a/issues", false),
            ("repos/acme/issues", false),
            ("", false),
        ] {
            assert_eq!(
                bound.covers(&host, 443, "GET", &words(path)),
                is_covered,
                "{path}"
            );
        }
        let path = words("repos/acme/a/issues");
        assert!(!bound.covers(&host, 443, "DELETE", &path));
        assert!(!bound.covers(&host, 8443, "GET", &path));
        let other = Host::parse("api.example.org.evil.test").unwrap();
        assert!(!bound.covers(&other, 443, "GET", &path));
    }

    #[test]
    fn a_path_without_a_rest_is_that_path_alone() {
        let host = Host::parse("api.example.org").unwrap();
        let exact = binding("v1/messages", &[]);
        assert!(exact.covers(&host, 443, "POST", &words("v1/messages")));
        assert!(!exact.covers(&host, 443, "POST", &words("v1/messages/batches")));
        let everything = Binding {
            path: Vec::new(),
            ..exact
        };
        assert!(everything.covers(&host, 443, "PURGE", &words("any/thing")));
    }

    #[test]
    fn a_name_is_plain() {
        assert!(CredentialName::parse("github-app_2").is_ok());
        for bad in ["", "-a", "2a", "A", "a b", "a/b", "a.b", &"a".repeat(65)] {
            assert!(CredentialName::parse(bad).is_err(), "{bad}");
        }
    }
}
