//! Whether an entry of the deny-list means a command, a name, a variable.

use super::{DeniedCommand, DeniedPath, DeniedVariable};
use crate::command::Command;

impl DeniedCommand {
    pub(super) fn matches(&self, command: &Command) -> bool {
        let is_subcommand =
            |words: &Vec<String>| command.subcommand.get(..words.len()) == Some(words.as_slice());
        let has = |flag: &String| has_flag(command, flag);
        let is_target = |pattern: &String| {
            let mut all = command.targets.iter().chain(&command.paths);
            all.any(|target| glob(pattern, target))
        };
        self.tools.contains(&command.tool)
            && (self.subcommands.is_empty() || self.subcommands.iter().any(is_subcommand))
            && (self.flags.is_empty() || self.flags.iter().any(has))
            && self.all_flags.iter().all(has)
            && !self.without_flags.iter().any(has)
            && (self.targets.is_empty() || self.targets.iter().any(is_target))
    }
}

/// Whether a flag is given: by its name, or with a value that `name=glob` means. The case of a value
/// does not matter: git's configuration keys have none.
fn has_flag(command: &Command, flag: &str) -> bool {
    let (name, pattern) = match flag.split_once('=') {
        Some((name, pattern)) => (name, Some(pattern.to_lowercase())),
        None => (flag, None),
    };
    command.flags.get(name).is_some_and(|values| {
        pattern.is_none_or(|pattern| {
            let is_meant = |value: &String| glob(&pattern, &value.to_lowercase());
            values.iter().any(is_meant)
        })
    })
}

impl DeniedVariable {
    pub(super) fn is_named(&self, name: &str) -> bool {
        glob(&self.name, name)
    }

    pub(super) fn matches(&self, name: &str, value: &str) -> bool {
        let is_meant = if self.values.is_empty() {
            !value.is_empty()
        } else {
            self.values.iter().any(|pattern| glob(pattern, value))
        };
        self.is_named(name) && is_meant
    }
}

impl DeniedPath {
    /// Whether `path` is denied: itself or below it.
    pub(super) fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Whether `text` is what `pattern` says, where `*` stands for any characters.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}
