//! What a command and a flag are.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::voice::Voice;

use super::Arguments;

/// A flag.
#[derive(Debug)]
pub(crate) struct Flag {
    /// Its name, without dashes.
    pub(crate) long: &'static str,
    /// The letter that means the same.
    pub(crate) short: Option<char>,
    /// What it takes.
    pub(crate) value: Value,
    /// Whether it may be given more than once.
    pub(crate) repeats: bool,
    /// What it does: one line, lower case.
    pub(crate) help: &'static str,
}

/// What a flag takes. The words are placeholders for the help.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// Nothing: it is there or not.
    None,
    /// A word or a sentence.
    Text(&'static str),
    /// A directory.
    Directory,
    /// A number up to a largest.
    Number(&'static str, u64),
    /// One of these words.
    Choice(&'static str, &'static [&'static str]),
}

impl Value {
    /// The placeholder that stands for it in help.
    pub(crate) fn placeholder(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Directory => Some("DIR"),
            Self::Text(name) | Self::Number(name, _) | Self::Choice(name, _) => Some(name),
        }
    }
}

/// What a command takes besides flags. The words are for the usage line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operands {
    /// Nothing.
    None,
    /// So many, at least and at most.
    Some {
        /// How they are shown.
        usage: &'static str,
        /// How few there may be.
        least: usize,
        /// How many there may be.
        most: usize,
    },
    /// A command of the caller's with its own arguments: from the first operand on nothing is ours.
    Command,
}

/// A command.
pub(crate) struct Command {
    /// What is typed after the program's name.
    pub(crate) words: &'static [&'static str],
    /// What it does: one line, lower case.
    pub(crate) summary: &'static str,
    /// What it takes besides flags.
    pub(crate) operands: Operands,
    /// Its flags.
    pub(crate) flags: &'static [&'static Flag],
    /// What its exit codes say.
    pub(crate) exits: &'static [(Exit, &'static str)],
    /// An example that works.
    pub(crate) example: &'static str,
    /// How it ends when it could not do what was asked.
    pub(crate) failed: Exit,
    /// Does it.
    pub(crate) run: fn(&Arguments, &mut Voice) -> Result<Exit, Failure>,
}

impl Command {
    /// What is typed, as one text: `log show`.
    pub(crate) fn name(&self) -> String {
        self.words.join(" ")
    }

    /// The flag of this letter.
    pub(crate) fn short(&self, letter: char) -> Option<&'static Flag> {
        let mut flags = self.flags.iter().copied();
        flags.find(|flag| flag.short == Some(letter))
    }

    /// The flag of this long name.
    pub(crate) fn flag(&self, long: &str) -> Option<&'static Flag> {
        self.flags.iter().copied().find(|flag| flag.long == long)
    }
}

/// Several commands under one word.
#[derive(Debug)]
pub(crate) struct Group {
    /// The word.
    pub(crate) word: &'static str,
    /// What they are about: one line, lower case.
    pub(crate) summary: &'static str,
}
