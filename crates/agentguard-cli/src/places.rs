//! Where state and configuration lie.

use std::env;
use std::path::PathBuf;

use crate::failure::Failure;

/// The directories of this user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Places {
    /// Keys and logs: `$XDG_STATE_HOME/agentguard`.
    pub(crate) state: PathBuf,
    /// Policies and pinned keys: `$XDG_CONFIG_HOME/agentguard`.
    pub(crate) config: PathBuf,
}

impl Places {
    /// Reads them from the environment.
    ///
    /// # References
    ///
    /// - <https://specifications.freedesktop.org/basedir-spec>: a relative path is ignored
    pub(crate) fn of_process() -> Result<Self, Failure> {
        Self::from(|name| env::var_os(name).map(PathBuf::from))
    }

    fn from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, Failure> {
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        let place = |name, below_home: &str| {
            absolute(name)
                .or_else(|| absolute("HOME").map(|home| home.join(below_home)))
                .map(|base| base.join("agentguard"))
                .ok_or_else(|| {
                    Failure::new(format!("neither `{name}` nor `HOME` names a directory"))
                        .with_hint("set `HOME` to an absolute path")
                })
        };
        Ok(Self {
            state: place("XDG_STATE_HOME", ".local/state")?,
            config: place("XDG_CONFIG_HOME", ".config")?,
        })
    }
}

/// The working directory, which may be gone.
pub(crate) fn working_directory() -> Result<PathBuf, Failure> {
    env::current_dir()
        .map_err(|error| Failure::new(format!("cannot find the working directory: {error}")))
}

impl From<Places> for agentguard::Places {
    fn from(Places { state, config }: Places) -> Self {
        Self { state, config }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)]) -> Result<Places, Failure> {
        Places::from(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn without_a_home_there_is_no_place() {
        assert!(places(&[]).is_err());
        assert!(places(&[("HOME", ""), ("XDG_STATE_HOME", "/s")]).is_err());
    }

    #[test]
    fn a_relative_place_is_ignored() {
        let found = places(&[("HOME", "/home/ada"), ("XDG_STATE_HOME", "state")]).unwrap();
        assert_eq!(
            found.state,
            PathBuf::from("/home/ada/.local/state/agentguard")
        );
    }

    #[test]
    fn the_environment_names_both_places() {
        let found = places(&[("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s")]).unwrap();
        assert_eq!(found.state, PathBuf::from("/s/agentguard"));
        assert_eq!(found.config, PathBuf::from("/c/agentguard"));
    }
}
