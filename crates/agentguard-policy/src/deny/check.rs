//! Every entry's own examples: what it must match, and what it must not.

use std::collections::BTreeMap;

use toml::Spanned;

use super::format::{Examples, Kind, Read};
use crate::command::{Command, parse, split_plain, tool_name};
use crate::error::Mistake;

impl Read {
    /// What is wrong with the list, its examples included.
    pub(super) fn mistakes(&self, path: &str, text: &str) -> Vec<Mistake> {
        let mut all = self.mistakes.clone();
        for examples in &self.examples {
            all.extend(examples.mistakes(path, text));
        }
        all
    }
}

impl Examples {
    fn mistakes(&self, path: &str, text: &str) -> Vec<Mistake> {
        let say = |example: &Spanned<String>, message: &str| {
            Mistake::at_bytes(path, text, example.span(), message)
        };
        let wrong =
            |example: &Spanned<String>, expected: bool| match self.is_denied(example.get_ref()) {
                None => Some(say(example, "the example cannot be read")),
                Some(denied) if denied == expected => None,
                Some(true) => Some(say(example, "the entry matches what it must not")),
                Some(false) => Some(say(example, "the entry does not match this example")),
            };
        let meant = self.meant.iter().filter_map(|example| wrong(example, true));
        let not_meant = self
            .not_meant
            .iter()
            .filter_map(|example| wrong(example, false));
        meant.chain(not_meant).collect()
    }

    fn is_denied(&self, example: &str) -> Option<bool> {
        match self.kind {
            Kind::Command => {
                let mut simple = split_plain(example)?;
                let argv = simple.pop().filter(|_| simple.is_empty())?.argv;
                let commands = parse(&argv, "/workspace");
                let names = names(&commands, &argv);
                Some(
                    self.list
                        .exec(&names, &commands, &BTreeMap::new())
                        .is_some(),
                )
            }
            Kind::Path => Some(self.list.paths.iter().any(|path| path.covers(example))),
            Kind::Variable => {
                let (name, value) = example.split_once('=')?;
                let set = BTreeMap::from([(name.to_owned(), value.to_owned())]);
                Some(self.list.exec(&[], &[], &set).is_some())
            }
        }
    }
}

fn names(commands: &[Command], argv: &[String]) -> Vec<String> {
    let first = argv.first().map(|first| tool_name(first).0);
    first
        .into_iter()
        .chain(commands.iter().map(|command| command.tool.clone()))
        .collect()
}
