//! `deny.toml`, as it is written.

use serde::Deserialize;
use toml::Spanned;

use agentguard_core::{Rule, RuleId};

use super::{DeniedCommand, DeniedName, DeniedPath, DeniedVariable, DenyList};
use crate::command::canonical_flag;
use crate::error::Mistake;

/// A deny-list as read, with the examples it must live up to.
pub(super) struct Read {
    pub(super) list: DenyList,
    pub(super) lift: Vec<Spanned<RuleId>>,
    pub(super) examples: Vec<Examples>,
    pub(super) mistakes: Vec<Mistake>,
}

/// What one entry must match, and must not.
pub(super) struct Examples {
    pub(super) list: DenyList,
    pub(super) kind: Kind,
    pub(super) meant: Vec<Spanned<String>>,
    pub(super) not_meant: Vec<Spanned<String>>,
}

/// How an example is to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A command line.
    Command,
    /// A path.
    Path,
    /// `NAME=value`.
    Variable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    #[serde(default)]
    lift: Vec<Spanned<RuleId>>,
    #[serde(default)]
    command: Vec<CommandEntry>,
    #[serde(default)]
    executable: Vec<NameEntry>,
    #[serde(default)]
    path: Vec<PathEntry>,
    #[serde(default)]
    environment: Vec<VariableEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandEntry {
    id: Spanned<RuleId>,
    reason: String,
    remedy: Option<String>,
    tools: Vec<String>,
    #[serde(default)]
    subcommands: Vec<String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    all_flags: Vec<String>,
    #[serde(default)]
    without_flags: Vec<String>,
    #[serde(default)]
    targets: Vec<String>,
    r#match: Vec<Spanned<String>>,
    not_match: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameEntry {
    id: Spanned<RuleId>,
    reason: String,
    remedy: Option<String>,
    names: Vec<String>,
    r#match: Vec<Spanned<String>>,
    not_match: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathEntry {
    id: Spanned<RuleId>,
    reason: String,
    remedy: Option<String>,
    paths: Vec<Spanned<String>>,
    r#match: Vec<Spanned<String>>,
    not_match: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariableEntry {
    id: Spanned<RuleId>,
    reason: String,
    remedy: Option<String>,
    names: Vec<String>,
    #[serde(default)]
    values: Vec<String>,
    r#match: Vec<Spanned<String>>,
    not_match: Vec<Spanned<String>>,
}

/// Reads the text of a `deny.toml`. A section that is not known is a mistake, not a comment.
pub(super) fn read(path: &str, text: &str) -> Result<Read, Mistake> {
    let document: Document = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        Mistake::at_bytes(path, text, span, first_line(error.message()))
    })?;
    if document.schema != 1 {
        let message = format!("schema {} is not known, only 1 is", document.schema);
        return Err(Mistake::at(path, text, (1, 1, 1), message));
    }
    let mut reader = Reader {
        path,
        text,
        read: Read {
            list: DenyList::default(),
            lift: document.lift,
            examples: Vec::new(),
            mistakes: Vec::new(),
        },
    };
    document
        .command
        .into_iter()
        .for_each(|entry| reader.command(entry));
    document
        .executable
        .into_iter()
        .for_each(|entry| reader.name(entry));
    document
        .path
        .into_iter()
        .for_each(|entry| reader.path(entry));
    document
        .environment
        .into_iter()
        .for_each(|entry| reader.variable(entry));
    Ok(reader.read)
}

fn first_line(message: &str) -> String {
    message
        .lines()
        .next()
        .unwrap_or("it is not TOML")
        .to_owned()
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    read: Read,
}

impl Reader<'_> {
    fn command(&mut self, entry: CommandEntry) {
        let rule = self.rule(
            entry.id,
            entry.reason,
            entry.remedy,
            !entry.tools.is_empty(),
        );
        let split = |line: &String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let subcommands: Vec<Vec<String>> = entry.subcommands.iter().map(split).collect();
        let spell = |flags: Vec<String>| -> Vec<String> {
            let tool = entry.tools.first().map_or("", String::as_str);
            let words = subcommands.first().map_or(&[][..], Vec::as_slice);
            flags
                .iter()
                .map(|flag| spell_flag(tool, words, flag))
                .collect()
        };
        let denied = DeniedCommand {
            rule,
            flags: spell(entry.flags),
            all_flags: spell(entry.all_flags),
            without_flags: spell(entry.without_flags),
            tools: entry.tools.clone(),
            subcommands: subcommands.clone(),
            targets: entry.targets,
        };
        let list = DenyList {
            commands: vec![denied],
            ..DenyList::default()
        };
        self.keep(list, Kind::Command, entry.r#match, entry.not_match);
    }

    fn name(&mut self, entry: NameEntry) {
        let rule = self.rule(
            entry.id,
            entry.reason,
            entry.remedy,
            !entry.names.is_empty(),
        );
        let denied = |name| DeniedName {
            rule: rule.clone(),
            name,
        };
        let list = DenyList {
            executables: entry.names.into_iter().map(denied).collect(),
            ..DenyList::default()
        };
        self.keep(list, Kind::Command, entry.r#match, entry.not_match);
    }

    fn path(&mut self, entry: PathEntry) {
        let rule = self.rule(
            entry.id,
            entry.reason,
            entry.remedy,
            !entry.paths.is_empty(),
        );
        let mut list = DenyList::default();
        for path in entry.paths {
            let span = path.span();
            let path = path.into_inner();
            if !path.starts_with('/') || path.contains('*') {
                self.mistake(span, "a path is absolute and without wildcards");
            }
            list.paths.push(DeniedPath {
                rule: rule.clone(),
                path,
            });
        }
        self.keep(list, Kind::Path, entry.r#match, entry.not_match);
    }

    fn variable(&mut self, entry: VariableEntry) {
        let rule = self.rule(
            entry.id,
            entry.reason,
            entry.remedy,
            !entry.names.is_empty(),
        );
        let denied = |name| DeniedVariable {
            rule: rule.clone(),
            name,
            values: entry.values.clone(),
        };
        let list = DenyList {
            variables: entry.names.into_iter().map(denied).collect(),
            ..DenyList::default()
        };
        self.keep(list, Kind::Variable, entry.r#match, entry.not_match);
    }

    fn rule(
        &mut self,
        id: Spanned<RuleId>,
        reason: String,
        remedy: Option<String>,
        says: bool,
    ) -> Rule {
        if reason.trim().is_empty() {
            self.mistake(id.span(), "the reason is empty");
        }
        if !says {
            self.mistake(id.span(), "the entry names nothing to deny");
        }
        Rule {
            id: id.into_inner(),
            reason,
            remedy,
        }
    }

    fn keep(
        &mut self,
        list: DenyList,
        kind: Kind,
        meant: Vec<Spanned<String>>,
        not_meant: Vec<Spanned<String>>,
    ) {
        self.read.list.extend(list.clone(), |_| false);
        self.read.examples.push(Examples {
            list,
            kind,
            meant,
            not_meant,
        });
    }

    fn mistake(&mut self, span: std::ops::Range<usize>, message: &str) {
        let mistake = Mistake::at_bytes(self.path, self.text, span, message);
        self.read.mistakes.push(mistake);
    }
}

/// A flag, or `flag=glob`, with the flag's name as the normaliser writes it.
fn spell_flag(tool: &str, subcommand: &[String], flag: &str) -> String {
    match flag.split_once('=') {
        Some((name, pattern)) => {
            format!("{}={pattern}", canonical_flag(tool, subcommand, name))
        }
        None => canonical_flag(tool, subcommand, flag),
    }
}
