//! What is known of a credential besides its token.

use agentguard_core::{AgentName, Binding, CredentialName, Digest, Host, Slot};
use serde::{Deserialize, Serialize};

use super::source::Source;
use super::ssh;
use crate::Error;

/// How a credential may be used, as its human says it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Its name.
    pub name: CredentialName,
    /// Where it may go.
    pub bound: Vec<Binding>,
    /// The variables that hold its placeholder inside.
    pub variables: Vec<String>,
    /// The agents that it is for. Empty for any.
    pub agents: Vec<AgentName>,
    /// Where its token is read from.
    pub source: Source,
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
    /// Whom git says it is, where it sends this as a password. Servers that look at none take any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Terms {
    /// The places in a request where it may stand.
    #[must_use]
    pub fn slots(&self) -> Vec<&Slot> {
        self.bound.iter().map(|binding| &binding.slot).collect()
    }

    /// Whether it is for this agent.
    #[must_use]
    pub fn is_for(&self, agent: &AgentName) -> bool {
        self.agents.is_empty() || self.agents.contains(agent)
    }

    /// A key of SSH stands in no request, so that nothing is to be said of where.
    fn check_ssh(&self) -> Result<(), Error> {
        let refused = |problem| Err(Error::invalid("credential", problem));
        if !self.bound.iter().all(|binding| binding.slot.is_ssh()) {
            return refused("is a key of SSH, and would stand in requests as well");
        }
        if self.bound.iter().any(|binding| !binding.methods.is_empty()) {
            return refused("is a key of SSH, which has no methods");
        }
        match self.variables.is_empty() {
            true => Ok(()),
            false => refused("is a key of SSH, and nothing stands for it in a variable"),
        }
    }

    /// Refuses terms under which it could be used nowhere, or everywhere.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refused = |problem| Err(Error::invalid("credential", problem));
        if self.bound.is_empty() {
            return refused("names no host that it may go to");
        }
        for binding in &self.bound {
            match &binding.slot {
                Slot::Header { name } if !is_header(name) => {
                    return refused("names a header that it cannot stand in");
                }
                Slot::Query { name } if name.is_empty() => {
                    return refused("names no name of the query");
                }
                Slot::Ssh { user, host_keys } => ssh::check(user, host_keys)?,
                Slot::Header { .. } | Slot::Query { .. } | Slot::Basic | Slot::Aws => {}
            }
            if binding.port == 80 {
                return refused("would go to port 80, where nothing is encrypted");
            }
            check_path(&binding.path)?;
            if let Some(method) = binding.methods.iter().find(|method| !is_method(method)) {
                let problem = "is no method: write it as `GET` or `POST`";
                return Err(Error::invalid(method, problem));
            }
        }
        if let Some(user) = &self.user {
            if !self.bound.iter().any(|bound| bound.slot == Slot::Basic) {
                return refused("has a user, and goes nowhere as Basic authentication");
            }
            if !is_user(user) {
                return refused("has a user that is none: a word, without `:`");
            }
        }
        if self.bound.iter().any(|binding| binding.slot.is_ssh()) {
            self.check_ssh()?;
        }
        self.variables
            .iter()
            .try_for_each(|name| check_variable(name))
    }
}

/// What is known of a credential that was added. Its token lies elsewhere.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// How it may be used.
    #[serde(flatten)]
    pub terms: Terms,
    /// Which of those that ever had this name.
    pub id: String,
    /// What its token was known by when it was added.
    pub token_sha256: Digest,
    /// When it was added, in seconds since 1970.
    pub added: u64,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
    /// How many requests of sessions that ended it was put into.
    #[serde(default)]
    pub uses: u64,
    /// When a session that ended last used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

impl Kept {
    /// Whether it can be lent to nobody any more.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        self.revoked.is_some() || self.terms.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether a session that is granted this host may use it there.
    pub fn goes_to(&self, is_granted: impl Fn(&Host, u16) -> bool) -> bool {
        let mut bound = self.terms.bound.iter();
        bound.any(|binding| is_granted(&binding.host, binding.port))
    }
}

/// Refuses a variable that says how a session works, and not who it is elsewhere.
///
/// # Errors
///
/// Returns [`Error::Invalid`] where `name` is such a one, or none.
pub fn check_variable(name: &str) -> Result<(), Error> {
    const OWN: &[&str] = &[
        "BASH_ENV",
        "ENV",
        "HOME",
        "IFS",
        "LOGNAME",
        "NODE_OPTIONS",
        "PATH",
        "PYTHONSTARTUP",
        "SHELL",
        "TMPDIR",
        "USER",
    ];
    const OWN_BEGINNINGS: &[&str] = &["AGENTGUARD_", "BASH_FUNC_", "GIT_CONFIG", "LD_", "SSL_CERT"];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !begins_well || !name.bytes().all(is_plain) {
        return Err(Error::invalid(name, "is no name of a variable"));
    }
    let is_own = OWN.contains(&name) || OWN_BEGINNINGS.iter().any(|own| name.starts_with(own));
    match is_own {
        true => Err(Error::invalid(
            name,
            "is a variable by which programs work, and holds no credential",
        )),
        false => Ok(()),
    }
}

/// A header that carries a token, and none by which a request is framed or routed.
fn is_header(name: &str) -> bool {
    const NEVER: &[&str] = &[
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    !name.is_empty() && name.len() <= 64 && name.bytes().all(is_plain) && !NEVER.contains(&name)
}

/// RFC 7617, section 2: a colon ends it.
fn is_user(user: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    !user.is_empty() && user.len() <= 128 && user.bytes().all(is_fine)
}

/// Refuses a path that no request has, and one that says what no path can: a binding is one path, or all below one.
fn check_path(path: &[String]) -> Result<(), Error> {
    let refused = |problem| {
        let shown = format!("/{}", path.join("/"));
        Err(Error::invalid(shown, problem))
    };
    if !path.iter().all(|part| is_segment(part)) {
        return refused("is a path with an empty part, `.` or `..`");
    }
    let Some((last, first)) = path.split_last() else {
        return Ok(());
    };
    let is_plain = |part: &String| part == "*" || !part.contains('*');
    match first.iter().all(is_plain) && (last == "**" || is_plain(last)) {
        true => Ok(()),
        false => {
            refused("is no path to be bound to: `*` is one whole part of it, and `**` the last")
        }
    }
}

fn is_segment(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(['/', '\0'])
}

fn is_method(method: &str) -> bool {
    !method.is_empty() && method.len() <= 32 && method.bytes().all(|byte| byte.is_ascii_uppercase())
}
