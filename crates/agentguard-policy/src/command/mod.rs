//! Commands as rules see them: one spelling for what can be spelt in many ways.

mod options;
mod shell;
mod table;
mod tools;
mod wrappers;

use std::collections::BTreeMap;

use serde::Serialize;

pub(crate) use options::canonical_flag;
pub(crate) use shell::split_plain;
pub(crate) use tools::tool_name;

/// A command found within commands is looked at this deep.
const MOST_DEPTH: usize = 8;
/// One exec is taken for at most so many commands.
const MOST_COMMANDS: usize = 64;

/// One simple command, its spelling unified.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Command {
    /// The program's usual name: `git`, `pip` for `pip3.11`, `npm` for `node /usr/bin/npm`.
    pub(crate) tool: String,
    /// The words that choose what it does: `["push"]`, `["pr", "merge"]`.
    pub(crate) subcommand: Vec<String>,
    /// Flags by their longest name, each with the values given to it.
    pub(crate) flags: BTreeMap<String, Vec<String>>,
    /// What is left: files, remotes, branches, packages.
    pub(crate) targets: Vec<String>,
    /// The targets as absolute paths, for tools whose targets are files.
    pub(crate) paths: Vec<String>,
    /// Variables set for this command alone.
    pub(crate) environment: BTreeMap<String, String>,
    /// The wrappers it was found in, outermost first.
    pub(crate) via: Vec<String>,
    /// Whether it holds a part that cannot be known before it runs.
    pub(crate) opaque: bool,
}

/// Takes apart `argv` into the commands that it runs: itself last within its wrappers.
pub(crate) fn parse(argv: &[String], cwd: &str) -> Vec<Command> {
    let mut parser = Parser {
        cwd,
        found: Vec::new(),
    };
    parser.command(argv, &[], &BTreeMap::new());
    parser.found
}

struct Parser<'a> {
    cwd: &'a str,
    found: Vec<Command>,
}

impl Parser<'_> {
    fn command(&mut self, argv: &[String], via: &[String], environment: &BTreeMap<String, String>) {
        let Some((first, rest)) = argv.split_first() else {
            return;
        };
        if self.found.len() >= MOST_COMMANDS {
            return;
        }
        let (tool, prefix) = tool_name(first);
        let mut words: Vec<String> = prefix.into_iter().collect();
        words.extend_from_slice(rest);
        let place = self.found.len();
        let mut command = tools::parse(&tool, &words, self.cwd);
        command.via = via.to_vec();
        command.environment.clone_from(environment);
        self.found.push(command);
        if via.len() >= MOST_DEPTH {
            self.mark_opaque(place);
            return;
        }
        let mut deeper = via.to_vec();
        deeper.push(tool.clone());
        for inner in wrappers::unwrap(&tool, &words) {
            match inner {
                wrappers::Inner::Command {
                    argv,
                    environment: own,
                } => {
                    let mut all = environment.clone();
                    all.extend(own);
                    self.command(&argv, &deeper, &all);
                }
                wrappers::Inner::Shell(line) => self.line(&line, place, &deeper, environment),
                wrappers::Inner::Opaque => self.mark_opaque(place),
            }
        }
    }

    fn line(
        &mut self,
        line: &str,
        place: usize,
        via: &[String],
        environment: &BTreeMap<String, String>,
    ) {
        let Some(simple) = split_plain(line) else {
            self.mark_opaque(place);
            return;
        };
        for one in simple {
            let mut all = environment.clone();
            all.extend(one.environment);
            self.command(&one.argv, via, &all);
        }
    }

    fn mark_opaque(&mut self, place: usize) {
        if let Some(command) = self.found.get_mut(place) {
            command.opaque = true;
        }
    }
}

/// Where `path` leads from `cwd`, by its text alone.
pub(crate) fn absolute(path: &str, cwd: &str) -> String {
    let joined = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{cwd}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests;
