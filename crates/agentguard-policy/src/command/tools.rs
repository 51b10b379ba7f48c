//! A tool's words, read by what the table knows of it.

use super::options::{self, Flag, Style};
use super::table::{self, Tool};
use super::{Command, absolute};

/// The usual name of the program `path`, and the subcommand that its name already is.
pub(crate) fn tool_name(path: &str) -> (String, Option<String>) {
    let base = path.rsplit('/').next().unwrap_or(path);
    let base = base.strip_prefix('-').unwrap_or(base);
    if let Some((_, usual)) = table::ALIASES.iter().find(|(name, _)| *name == base) {
        return ((*usual).to_owned(), None);
    }
    if base == "docker-compose" {
        return ("docker".to_owned(), Some("compose".to_owned()));
    }
    if let Some(subcommand) = base.strip_prefix("git-") {
        return ("git".to_owned(), Some(subcommand.to_owned()));
    }
    let plain = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if table::VERSIONED.contains(&plain) {
        return (plain.to_owned(), None);
    }
    (base.to_owned(), None)
}

/// What is known of a tool's options, for the rules' own spelling.
pub(super) fn known_flags(tool: &str, subcommand: &[String]) -> (Vec<&'static [Flag]>, Style) {
    match table::find(tool) {
        Some(known) => (flags_of(known, subcommand), known.style),
        None => (Vec::new(), Style::Gnu),
    }
}

fn flags_of(tool: &'static Tool, subcommand: &[String]) -> Vec<&'static [Flag]> {
    let whole = subcommand.join(" ");
    let own = tool.per.iter().find(|(words, _)| *words == whole);
    let mut all: Vec<&'static [Flag]> = own.map(|(_, flags)| *flags).into_iter().collect();
    all.push(tool.global);
    all
}

/// Reads the words after a tool's name.
pub(super) fn parse(tool: &str, words: &[String], cwd: &str) -> Command {
    let mut command = Command {
        tool: tool.to_owned(),
        ..Command::default()
    };
    let Some(known) = table::find(tool) else {
        let parsed = options::read(words, &[], Style::Gnu, false);
        command.flags = parsed.flags;
        command.targets = parsed.rest;
        return command;
    };
    let mut rest = words.to_vec();
    if known.subcommands {
        let before = options::read(words, &[known.global], known.style, true);
        command.flags = before.flags;
        rest = take_subcommand(known, before.rest, &mut command.subcommand);
    }
    let stops = command
        .subcommand
        .last()
        .is_some_and(|last| known.stops.contains(&last.as_str()));
    let flags = flags_of(known, &command.subcommand);
    let parsed = options::read(&rest, &flags, known.style, stops || known.wraps);
    for (name, values) in parsed.flags {
        command.flags.entry(name).or_default().extend(values);
    }
    command.targets = parsed.rest;
    if known.paths {
        let path = |target: &String| {
            let text = target
                .split_once('=')
                .map_or(target.as_str(), |(_, file)| file);
            absolute(text, cwd)
        };
        command.paths = command.targets.iter().map(path).collect();
    }
    command
}

/// Moves the words that choose what is done out of `words`.
fn take_subcommand(tool: &Tool, words: Vec<String>, subcommand: &mut Vec<String>) -> Vec<String> {
    let mut words = words.into_iter().peekable();
    if words.peek().is_some_and(|word| word.starts_with('+')) {
        words.next(); // `cargo +nightly`
    }
    while let Some(word) = words.next() {
        let unified = tool.aliases.iter().find(|(name, _)| *name == word);
        let word = unified.map_or(word, |(_, usual)| (*usual).to_owned());
        let goes_on =
            subcommand.is_empty() && (tool.two == ["*"] || tool.two.contains(&word.as_str()));
        if !tool.transparent.contains(&word.as_str()) {
            subcommand.push(word);
            if !goes_on {
                break;
            }
        }
        if words.peek().is_none_or(|next| next.starts_with('-')) {
            break;
        }
    }
    words.collect()
}
