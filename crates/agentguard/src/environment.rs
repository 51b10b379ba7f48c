//! The agent's environment: what policy lets pass, and what is the session's own.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use agentguard_core::{AgentName, Confinement, Network, SessionId};

use crate::{git, trusted};

/// Where programs are looked for when the caller says nothing.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Where the session's static rules can be read inside, where there are mounts.
pub(crate) const RULES: &str = "/run/agentguard/rules";

/// Where a session's own directories are found inside.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// Its temporary directory on a disk.
    pub(crate) temporary: PathBuf,
    /// The list of its static rules.
    pub(crate) rules: PathBuf,
    /// The list of the authorities that it trusts, where it has a gate.
    pub(crate) certificates: PathBuf,
}

/// Makes the environment, as `NAME=value` bytes, sorted.
pub(crate) fn of_agent(
    (confinement, own): (&Confinement, &Own),
    (session, agent): (&SessionId, &AgentName),
    login: &str,
    caller: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<Vec<u8>> {
    let mut variables: Vec<(OsString, OsString)> = caller
        .filter(|(name, _)| passes(name, &confinement.environment))
        .collect();
    let mut set = |name: &str, value: &OsStr| {
        variables.retain(|(known, _)| known != name);
        variables.push((name.into(), value.to_owned()));
    };
    for (name, value) in &confinement.variables {
        set(name, OsStr::new(value));
    }
    set("HOME", confinement.home.as_os_str());
    set("USER", OsStr::new(login));
    set("LOGNAME", OsStr::new(login));
    set("TMPDIR", own.temporary.as_os_str());
    set("AGENTGUARD_SESSION", OsStr::new(session.as_str()));
    set("AGENTGUARD_AGENT", OsStr::new(agent.as_str()));
    set("AGENTGUARD_RULES", own.rules.as_os_str());
    if confinement.network == Network::Gated {
        for (name, value) in trusted::variables(&own.certificates) {
            set(&name.to_string_lossy(), &value);
        }
        set(git::VARIABLE, OsStr::new(git::SETTINGS));
    }
    if !variables.iter().any(|(name, _)| name == "PATH") {
        variables.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    let mut lines: Vec<Vec<u8>> = variables
        .into_iter()
        .map(|(name, value)| {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend_from_slice(value.as_bytes());
            line
        })
        .collect();
    lines.sort();
    lines
}

/// Whether a name stands in the list; a `*` at the end of a pattern stands for any rest.
fn passes(name: &OsStr, patterns: &[String]) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.as_bytes().starts_with(start.as_bytes()),
            None => name == pattern.as_str(),
        })
}

/// The directories in which the caller looks for programs.
pub(crate) fn search_path(path: Option<OsString>) -> Vec<PathBuf> {
    const ALWAYS: [&str; 6] = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    let mut all: Vec<_> = ALWAYS.iter().map(PathBuf::from).collect();
    for directory in path
        .iter()
        .flat_map(std::env::split_paths)
        .filter(|path| path.is_absolute())
    {
        if !all.contains(&directory) {
            all.push(directory);
        }
    }
    all
}

/// Whether `path` lies within what the session sees of the host.
pub(crate) fn is_seen(confinement: &Confinement, path: &Path) -> bool {
    // Its home is a directory of its own, in which nothing of the host lies but what is granted.
    let is_of_host = |tree: &PathBuf| *tree != confinement.home;
    let trees = confinement.trees().into_iter().map(|tree| tree.path);
    trees.filter(is_of_host).any(|tree| path.starts_with(tree))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_passes() {
        let patterns = ["PATH".to_owned(), "LC_*".to_owned()];
        for (name, expected) in [
            ("PATH", true),
            ("LC_ALL", true),
            ("PATHX", false),
            ("GITHUB_TOKEN", false),
            ("LC", false),
        ] {
            assert_eq!(passes(OsStr::new(name), &patterns), expected, "{name}");
        }
    }
}
