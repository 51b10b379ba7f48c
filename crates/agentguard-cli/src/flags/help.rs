//! Help, as the table tells it.

use std::fmt::Write as _;

use super::{COMMANDS, Command, Flag, GROUPS, Group, Operands};

/// What the product is, in one line.
pub(crate) const PRODUCT: &str =
    "trust your coding agents: every action judged, confined and recorded";

/// Help on everything.
pub(crate) fn overview() -> String {
    let mut text = format!("{PRODUCT}\n\nusage: agentguard COMMAND [OPTIONS]\n\ncommands:\n");
    let mut rows = Vec::new();
    let mut group = None;
    for command in COMMANDS {
        match command.words {
            [word, _, ..] if group != Some(*word) => {
                group = Some(*word);
                let found = GROUPS.iter().find(|known| known.word == *word);
                rows.extend(found.map(|known| (members(known), known.summary)));
            }
            [_, _, ..] => {}
            _ => rows.push((command.name(), command.summary)),
        }
    }
    push_rows(&mut text, &rows);
    text.push_str(
        "\n`agentguard COMMAND --help` says more, `agentguard --version` which this is\n",
    );
    text.push_str("\nexample:\n  agentguard exec -- make test\n");
    text
}

/// Help on the commands of a group.
pub(crate) fn group_help(group: &Group) -> String {
    let word = group.word;
    let mut text = format!(
        "{}\n\nusage: agentguard {word} COMMAND [OPTIONS]\n\ncommands:\n",
        group.summary
    );
    let commands = COMMANDS
        .iter()
        .filter(|command| command.words.first() == Some(&word));
    let rows: Vec<_> = commands
        .map(|command| (command.name(), command.summary))
        .collect();
    push_rows(&mut text, &rows);
    text
}

/// Help on a command: one line, usage, options, exit codes, one example.
pub(crate) fn command_help(command: &Command) -> String {
    let mut text = format!(
        "{}\n\nusage: {}\n\noptions:\n",
        command.summary,
        usage(command)
    );
    let mut rows: Vec<_> = command
        .flags
        .iter()
        .map(|flag| (spelled(flag), described(flag)))
        .collect();
    rows.push(("-h, --help".to_owned(), "show this help".to_owned()));
    push_rows(&mut text, &rows);
    text.push_str("\nexit codes:\n");
    let exits: Vec<_> = command
        .exits
        .iter()
        .map(|(exit, means)| (exit.shown(), *means))
        .collect();
    push_rows(&mut text, &exits);
    // Writing to a `String` cannot fail.
    let _ = write!(text, "\nexample:\n  {}\n", command.example);
    text
}

/// How a command is typed.
pub(crate) fn usage(command: &Command) -> String {
    let options = if command.flags.is_empty() {
        ""
    } else {
        " [OPTIONS]"
    };
    let operands = match command.operands {
        Operands::None => "",
        Operands::Some { usage, .. } => &format!(" {usage}"),
        Operands::Command => " [--] COMMAND [ARGUMENT…]",
    };
    format!("agentguard {}{options}{operands}", command.name())
}

/// How a flag is typed.
pub(crate) fn spelled(flag: &Flag) -> String {
    let short = flag.short.map(|letter| format!("-{letter}, "));
    let short = short.unwrap_or_default();
    match flag.value.placeholder() {
        Some(placeholder) => format!("{short}--{} {placeholder}", flag.long),
        None => format!("{short}--{}", flag.long),
    }
}

/// What a flag does, with the words it takes.
pub(crate) fn described(flag: &Flag) -> String {
    match flag.value {
        super::Value::Choice(_, words) => format!("{}: {}", words.join(", "), flag.help),
        super::Value::None
        | super::Value::Text(_)
        | super::Value::Directory
        | super::Value::Number(..) => flag.help.to_owned(),
    }
}

fn members(group: &Group) -> String {
    let commands = COMMANDS.iter().filter_map(|command| match command.words {
        [word, second] if *word == group.word => Some(*second),
        _ => None,
    });
    format!("{} {}", group.word, commands.collect::<Vec<_>>().join("|"))
}

fn push_rows<A: AsRef<str>, B: AsRef<str>>(text: &mut String, rows: &[(A, B)]) {
    let widths = rows.iter().map(|(left, _)| left.as_ref().chars().count());
    let width = widths.max().unwrap_or(0);
    for (left, right) in rows {
        let (left, right) = (left.as_ref(), right.as_ref());
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {left:width$}  {right}");
    }
}
