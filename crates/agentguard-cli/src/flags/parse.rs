//! From what was typed to what is asked.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use lexopt::{Arg, Parser};

use crate::failure::Failure;

use super::help::usage;
use super::{COMMANDS, Command, Flag, GROUPS, Group, Operands, Value};

/// What is asked.
pub(crate) enum Asked {
    /// Help on everything.
    Overview,
    /// The version.
    Version,
    /// Help on the commands of a group.
    Group(&'static Group),
    /// Help on a command.
    Help(&'static Command),
    /// To do something.
    Run(&'static Command, Arguments),
}

/// What was typed after a command's words, checked against the table.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    flags: Vec<(&'static str, OsString)>,
    operands: Vec<OsString>,
}

impl Arguments {
    /// Whether a flag is there.
    pub(crate) fn has(&self, flag: &Flag) -> bool {
        self.values(flag).next().is_some()
    }

    /// The text a flag was given.
    pub(crate) fn text(&self, flag: &Flag) -> Option<&str> {
        self.texts(flag).next()
    }

    /// The texts a flag was given, in their order.
    pub(crate) fn texts(&self, flag: &Flag) -> impl Iterator<Item = &str> {
        // The parser has let no other text through.
        self.values(flag).filter_map(OsStr::to_str)
    }

    /// The path a flag was given.
    pub(crate) fn path(&self, flag: &Flag) -> Option<&Path> {
        self.values(flag).next().map(Path::new)
    }

    /// The numbers a flag was given, in their order.
    pub(crate) fn numbers(&self, flag: &Flag) -> impl Iterator<Item = u64> {
        // The parser has let no other text through.
        self.texts(flag).filter_map(|text| text.parse().ok())
    }

    /// What was typed besides flags.
    pub(crate) fn operands(&self) -> &[OsString] {
        &self.operands
    }

    /// The first thing typed besides flags, as text.
    pub(crate) fn operand(&self) -> Result<Option<&str>, Failure> {
        self.operands.first().map(|word| utf8(word)).transpose()
    }

    fn values(&self, flag: &Flag) -> impl Iterator<Item = &OsStr> {
        let long = flag.long;
        let given = self.flags.iter().filter(move |(name, _)| *name == long);
        given.map(|(_, value)| value.as_os_str())
    }
}

/// Reads what was typed after the program's name.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Asked, Failure> {
    let mut words = words.into_iter().peekable();
    let Some(first) = words.next() else {
        return Ok(Asked::Overview);
    };
    let first = first.to_string_lossy().into_owned();
    match first.as_str() {
        "-h" | "--help" => return Ok(Asked::Overview),
        "-V" | "--version" => return Ok(Asked::Version),
        _ => {}
    }
    let Some(group) = GROUPS.iter().find(|group| group.word == first) else {
        let command = find(&[&first]).ok_or_else(|| unknown(&first, "", &first))?;
        return arguments(command, words);
    };
    match words.next() {
        None => Ok(Asked::Group(group)),
        Some(word) if word == "-h" || word == "--help" => Ok(Asked::Group(group)),
        Some(second) => {
            let second = second.to_string_lossy();
            let command = find(&[&first, &second])
                .ok_or_else(|| unknown(&format!("{first} {second}"), &first, &second))?;
            arguments(command, words)
        }
    }
}

/// The command of these words.
pub(crate) fn find(words: &[&str]) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.words == words)
}

fn arguments(
    command: &'static Command,
    words: impl Iterator<Item = OsString>,
) -> Result<Asked, Failure> {
    read_arguments(command, words).map_err(|mut failure| {
        failure
            .hint
            .get_or_insert_with(|| format!("usage: {}; `--help` says more", usage(command)));
        match failure.exit {
            Some(_) => failure,
            None => failure.with_exit(command.failed),
        }
    })
}

fn read_arguments(
    command: &'static Command,
    words: impl Iterator<Item = OsString>,
) -> Result<Asked, Failure> {
    let mut parser = Parser::from_args(words.collect::<Vec<_>>());
    let mut arguments = Arguments::default();
    while let Some(argument) = parser.next().map_err(misread)? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Help(command)),
            Arg::Short(letter) => {
                let Some(flag) = command.short(letter) else {
                    return Err(no_flag(command, &format!("-{letter}")));
                };
                let value = value(flag, &mut parser)?;
                arguments.add(flag, value)?;
            }
            Arg::Long(long) => {
                let Some(flag) = command.flag(long) else {
                    return Err(no_flag(command, &format!("--{long}")));
                };
                let value = value(flag, &mut parser)?;
                arguments.add(flag, value)?;
            }
            Arg::Value(word) => {
                arguments.operands.push(word);
                if matches!(command.operands, Operands::Command) {
                    arguments
                        .operands
                        .extend(parser.raw_args().map_err(misread)?);
                }
            }
        }
    }
    count(command, &arguments.operands)?;
    Ok(Asked::Run(command, arguments))
}

impl Arguments {
    fn add(&mut self, flag: &'static Flag, value: OsString) -> Result<(), Failure> {
        if !flag.repeats && self.has(flag) {
            return Err(Failure::new(format!("`--{}` is given twice", flag.long)));
        }
        self.flags.push((flag.long, value));
        Ok(())
    }
}

/// Takes the value of a flag, and refuses what the flag does not take.
fn value(flag: &'static Flag, parser: &mut Parser) -> Result<OsString, Failure> {
    let wrong = |given: &OsStr, takes: String| {
        let given = given.to_string_lossy();
        Err(Failure::new(format!("`--{} {given}`: {takes}", flag.long)))
    };
    match flag.value {
        Value::None => Ok(OsString::new()),
        Value::Directory => Ok(parser.value().map_err(misread)?),
        Value::Text(_) => {
            let given = parser.value().map_err(misread)?;
            utf8(&given)?;
            Ok(given)
        }
        Value::Number(_, most) => {
            let given = parser.value().map_err(misread)?;
            let number = given.to_str().and_then(|text| text.parse::<u64>().ok());
            match number.filter(|number| *number <= most) {
                Some(_) => Ok(given),
                None => wrong(&given, format!("it takes a number up to {most}")),
            }
        }
        Value::Choice(_, words) => {
            let given = parser.value().map_err(misread)?;
            match words.iter().any(|word| given == *word) {
                true => Ok(given),
                false => wrong(&given, format!("it takes one of {}", listed(words))),
            }
        }
    }
}

fn count(command: &Command, operands: &[OsString]) -> Result<(), Failure> {
    let (usage, least, most) = match command.operands {
        Operands::None => ("", 0, 0),
        Operands::Some { usage, least, most } => (usage, least, most),
        Operands::Command => ("a command to run", 1, usize::MAX),
    };
    let name = command.name();
    if operands.len() < least {
        return Err(Failure::new(format!("`{name}` needs {usage}")));
    }
    if let Some(surplus) = operands.get(most) {
        let surplus = surplus.to_string_lossy();
        return Err(Failure::new(format!(
            "`{name}` does not take `{surplus}` as well"
        )));
    }
    // A variable that is not set: the latest session, or all of them, is not meant by that.
    let is_empty = operands.iter().any(|operand| operand.is_empty());
    match command.operands {
        Operands::Some { .. } if is_empty => Err(Failure::new("an empty word names nothing")),
        Operands::Some { .. } | Operands::None | Operands::Command => Ok(()),
    }
}

/// What the parser says, in our words.
fn misread(error: lexopt::Error) -> Failure {
    if let lexopt::Error::MissingValue {
        option: Some(option),
    } = &error
    {
        Failure::new(format!("`{option}` needs a value"))
    } else if let lexopt::Error::UnexpectedValue { option, .. } = &error {
        Failure::new(format!("`{option}` takes no value"))
    } else {
        error.into()
    }
}

fn unknown(typed: &str, group: &str, word: &str) -> Failure {
    let candidates = COMMANDS.iter().filter_map(|command| match command.words {
        [one] if group.is_empty() => Some(*one),
        [first, second] if *first == group => Some(*second),
        [first, _] if group.is_empty() => Some(*first),
        _ => None,
    });
    let failure = Failure::new(format!("there is no command `{typed}`"));
    let space = if group.is_empty() { "" } else { " " };
    match nearest(word, candidates) {
        Some(near) => failure.with_hint(format!("did you mean `agentguard {group}{space}{near}`?")),
        None => failure.with_hint(format!("`agentguard {group}{space}--help` lists them")),
    }
}

fn no_flag(command: &Command, typed: &str) -> Failure {
    let failure = Failure::new(format!("`{}` takes no `{typed}`", command.name()));
    let longs = command.flags.iter().map(|flag| flag.long);
    match nearest(typed.trim_start_matches('-'), longs) {
        Some(near) => failure.with_hint(format!("did you mean `--{near}`?")),
        None => failure,
    }
}

fn utf8(word: &OsStr) -> Result<&str, Failure> {
    let shown = word.to_string_lossy();
    word.to_str()
        .ok_or_else(|| Failure::new(format!("`{shown}` is no UTF-8")))
}

fn listed(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The word that is at most two letters off.
fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() < 3 || typed.len() > 32 {
        return None;
    }
    words
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, word)| word)
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((other, above), diagonal) in to.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or(0);
            let changed = diagonal + usize::from(*other != letter);
            next.push(changed.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
