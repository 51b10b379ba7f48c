//! Where git fetches the repository that a request names.

use agentguard_core::{Api, HostName};

use super::{Forge, is_github};

/// Endings of names that lead elsewhere by git, or are left out.
const ENDINGS: [&str; 6] = [".atom", ".design", ".git", ".lock", ".rss", ".wiki"];

/// It, on the server that is asked where no other is named.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::gate::push) struct Address {
    pub(in crate::gate::push) host: Option<HostName>,
    /// The path of the repository, as it is sent.
    pub(in crate::gate::push) path: String,
}

/// The address of `repository`, whose interface begins behind so many segments as stand `before` it.
///
/// # Errors
///
/// Returns why it is not known.
pub(super) fn of(
    api: &Api,
    (forge, before): (Forge, usize),
    repository: &[String],
) -> Result<Address, &'static str> {
    let before = api.path.get(..before).unwrap_or_default();
    let is_by_name = match (forge, repository) {
        (Forge::Github, [owner, _]) => !owner.eq_ignore_ascii_case("repositories"),
        (Forge::Gitea, [_, _]) | (Forge::Gitlab, [_, _, ..]) => true,
        (Forge::Github | Forge::Gitea | Forge::Gitlab, _) => false,
    };
    if !is_by_name || !before.iter().chain(repository).all(|name| is_plain(name)) {
        return Err("the repository is not named by its owner and its name");
    }
    let host = match api
        .host
        .strip_prefix("api.")
        .filter(|_| is_github(&api.host))
    {
        None => None,
        Some(host) => Some(HostName::parse(host).map_err(|_| "its host has no name")?),
    };
    let mut path = String::new();
    for name in before.iter().chain(repository) {
        path.push('/');
        path.push_str(name);
    }
    Ok(Address {
        host,
        path: path + ".git",
    })
}

/// Whether a name means the same in both, whoever reads it.
fn is_plain(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let lower = name.to_ascii_lowercase();
    name.bytes().all(is_letter)
        && !name.is_empty()
        && !name.starts_with('.')
        && !ENDINGS.iter().any(|ending| lower.ends_with(ending))
}
