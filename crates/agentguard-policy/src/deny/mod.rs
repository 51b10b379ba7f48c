//! The deny-list: plain data, judged in Rust, before and above any Rego.

mod check;
mod format;
mod matching;

use std::collections::BTreeMap;

use agentguard_core::{Rule, RuleId};

pub(crate) use matching::glob;

use crate::command::Command;
use crate::error::{Error, Mistake};
use crate::sources::Source;

/// What is denied, of every tier together.
#[derive(Clone, Debug, Default)]
pub(crate) struct DenyList {
    commands: Vec<DeniedCommand>,
    pub(crate) executables: Vec<DeniedName>,
    pub(crate) paths: Vec<DeniedPath>,
    variables: Vec<DeniedVariable>,
}

/// A command, by what it does.
#[derive(Clone, Debug)]
struct DeniedCommand {
    rule: Rule,
    tools: Vec<String>,
    subcommands: Vec<Vec<String>>,
    /// At least one of these, where there are any: a name, or `name=glob` for a value.
    flags: Vec<String>,
    /// All of these.
    all_flags: Vec<String>,
    /// None of these.
    without_flags: Vec<String>,
    /// At least one target or path matches one of these, where there are any.
    targets: Vec<String>,
}

/// A program, by its name: denied whole, whatever it is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct DeniedName {
    pub(crate) rule: Rule,
    pub(crate) name: String,
}

/// A path that cannot be opened inside.
#[derive(Clone, Debug)]
pub(crate) struct DeniedPath {
    pub(crate) rule: Rule,
    pub(crate) path: String,
}

/// An environment variable that no program may start with.
#[derive(Clone, Debug)]
struct DeniedVariable {
    rule: Rule,
    name: String,
    /// The values meant; any that is not empty where there are none.
    values: Vec<String>,
}

impl DenyList {
    /// Reads the deny-lists of all tiers. `authority` is the tier that may lift shipped entries.
    pub(crate) fn load(sources: &[Source], authority: usize) -> Result<Self, Error> {
        let mut mistakes = Vec::new();
        let mut read = Vec::new();
        for (place, source) in sources.iter().enumerate() {
            for file in source.files.iter().filter(|file| file.name == "deny.toml") {
                match format::read(&source.path(file), &file.text) {
                    Ok(one) => read.push((place, source, file, one)),
                    Err(mistake) => mistakes.push(mistake),
                }
            }
        }
        let shipped = sources.len().saturating_sub(1);
        let ships = |id: &RuleId| {
            let mut lists = read.iter().filter(|(place, ..)| *place == shipped);
            lists.any(|(.., one)| one.list.has(id))
        };
        let mut lifted: Vec<RuleId> = Vec::new();
        for (place, source, file, one) in &read {
            if *place == authority {
                for id in &one.lift {
                    lifted.push(id.get_ref().clone());
                    if !ships(id.get_ref()) {
                        let (path, message) =
                            (source.path(file), "no entry that ships is called so");
                        mistakes.push(Mistake::at_bytes(&path, &file.text, id.span(), message));
                    }
                }
            } else if !one.lift.is_empty() {
                let message = "only the highest tier may lift what ships";
                mistakes.push(Mistake::at(
                    &source.path(file),
                    &file.text,
                    (1, 1, 1),
                    message,
                ));
            }
        }
        let mut all = Self::default();
        for (place, source, file, one) in read {
            let path = source.path(file);
            if !source.embedded {
                mistakes.extend(one.mistakes(&path, &file.text));
            }
            let is_lifted = |rule: &Rule| place == shipped && lifted.contains(&rule.id);
            all.extend(one.list, is_lifted);
        }
        Error::invalid(mistakes)?;
        Ok(all)
    }

    /// Whether an entry is called so.
    fn has(&self, id: &RuleId) -> bool {
        self.commands.iter().any(|denied| denied.rule.id == *id)
            || self.executables.iter().any(|denied| denied.rule.id == *id)
            || self.paths.iter().any(|denied| denied.rule.id == *id)
            || self.variables.iter().any(|denied| denied.rule.id == *id)
    }

    fn extend(&mut self, other: Self, is_lifted: impl Fn(&Rule) -> bool) {
        let stays = |rule: &Rule| !is_lifted(rule);
        self.commands
            .extend(other.commands.into_iter().filter(|d| stays(&d.rule)));
        self.executables
            .extend(other.executables.into_iter().filter(|d| stays(&d.rule)));
        self.paths
            .extend(other.paths.into_iter().filter(|d| stays(&d.rule)));
        self.variables
            .extend(other.variables.into_iter().filter(|d| stays(&d.rule)));
    }

    /// Every rule, once for each thing it denies, with who refuses it.
    #[cfg(test)]
    pub(crate) fn rules(&self) -> Vec<(&'static str, &Rule)> {
        let commands = self.commands.iter().map(|denied| ("deny", &denied.rule));
        let programs = self.executables.iter().map(|denied| ("deny", &denied.rule));
        let paths = self.paths.iter().map(|denied| ("kernel", &denied.rule));
        let variables = self.variables.iter().map(|denied| ("deny", &denied.rule));
        commands
            .chain(programs)
            .chain(paths)
            .chain(variables)
            .collect()
    }

    /// The rule that denies an exec: by its names, its commands, its variables.
    pub(crate) fn exec(
        &self,
        names: &[String],
        commands: &[Command],
        environment: &BTreeMap<String, String>,
    ) -> Option<Rule> {
        let mut found: Vec<&Rule> = Vec::new();
        let is_named = |denied: &&DeniedName| {
            names.contains(&denied.name) || commands.iter().any(|one| one.tool == denied.name)
        };
        found.extend(self.executables.iter().filter(is_named).map(|d| &d.rule));
        let does = |denied: &&DeniedCommand| commands.iter().any(|one| denied.matches(one));
        found.extend(self.commands.iter().filter(does).map(|d| &d.rule));
        let own = commands.iter().flat_map(|command| &command.environment);
        let variables: Vec<_> = environment.iter().chain(own).collect();
        let is_set = |denied: &&DeniedVariable| {
            variables
                .iter()
                .any(|(name, value)| denied.matches(name, value))
        };
        found.extend(self.variables.iter().filter(is_set).map(|d| &d.rule));
        found.into_iter().min().cloned()
    }

    /// The rule that keeps the variable `name` out whatever its value.
    pub(crate) fn variable(&self, name: &str) -> Option<&Rule> {
        let is_whole = |denied: &&DeniedVariable| denied.values.is_empty() && denied.is_named(name);
        self.variables
            .iter()
            .find(is_whole)
            .map(|denied| &denied.rule)
    }
}

#[cfg(test)]
mod tests;
