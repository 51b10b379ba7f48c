//! What git is told in a session with a gate: SSH and git's own protocol lead to no host there, so what is asked of a
//! granted one in them goes over HTTPS by itself.
//!
//! It stands where git looks for the settings of the system, so that an agent's own and a repository's come after it.
//! Whoever leaves it out is refused by the gate instead.

use std::fmt::Write as _;

use agentguard_core::{Credential, Host, HostGrant};
use agentguard_sandbox::InsideFile;

/// Where it lies inside.
pub(crate) const SETTINGS: &str = "/run/agentguard/gitconfig";
/// What git is told where to find it by (git(1), "GIT_CONFIG_SYSTEM").
pub(crate) const VARIABLE: &str = "GIT_CONFIG_SYSTEM";

pub(crate) fn file(hosts: &[HostGrant]) -> InsideFile {
    InsideFile {
        path: SETTINGS.into(),
        content: settings(hosts).into_bytes(),
    }
}

/// Takes out what would lead elsewhere than a key of SSH that is lent: git is told of that by itself.
pub(crate) fn leave_to_ssh(files: &mut [InsideFile], hosts: &[HostGrant], lent: &[Credential]) {
    let keys = || lent.iter().filter(|credential| credential.is_ssh());
    let is_left = |grant: &&HostGrant| {
        let name = grant.by_name().map(|name| Host::Name(name.clone()));
        let mut bound = keys().flat_map(|key| &key.bound);
        !bound.any(|bound| Some(&bound.host) == name.as_ref())
    };
    let hosts: Vec<_> = hosts.iter().filter(is_left).cloned().collect();
    for place in files
        .iter_mut()
        .filter(|file| file.path.as_os_str() == SETTINGS)
    {
        *place = file(&hosts);
    }
}

/// The system's own settings, and other ways to name a host for each that is granted by its name.
fn settings(hosts: &[HostGrant]) -> String {
    let mut text = "[include]\n\tpath = /etc/gitconfig\n".to_owned();
    for host in hosts.iter().filter_map(HostGrant::by_name) {
        let _ = write!(
            text,
            "[url \"https://{host}/\"]\n\tinsteadOf = git@{host}:\n\tinsteadOf = ssh://git@{host}/\n\
             \tinsteadOf = ssh://{host}/\n\tinsteadOf = git://{host}/\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_granted_by_name_are_named_in_other_ways() {
        let grants = [
            "git.test",
            "*.example.org",
            "203.0.113.7",
            "other.test:8443",
        ];
        let grants = grants.map(|grant| HostGrant::parse(grant).unwrap());
        let text = settings(&grants);
        assert!(text.starts_with("[include]\n\tpath = /etc/gitconfig\n"));
        assert!(text.contains("[url \"https://git.test/\"]\n\tinsteadOf = git@git.test:\n"));
        assert_eq!(text.matches("[url ").count(), 1, "{text}");
    }
}
