//! What can be wrong with policies.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use agentguard_core::{Rule, Tier};

/// Why policies could not be loaded, or a confinement not be made of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read.
    #[error("cannot read policy `{}`", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A policy is larger, deeper or stranger than any should be.
    #[error("policy `{}` is refused: {reason}", path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Policies say something that is not meant.
    #[error("{first}{}", more(others))]
    Invalid {
        /// The first mistake.
        first: Mistake,
        /// The others.
        others: Vec<Mistake>,
    },
    /// Evaluating `agentguard.sandbox` failed, or gave what is no confinement.
    #[error("the {tier} policy gives no confinement: {reason}")]
    Unconfined {
        /// Whose policy.
        tier: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// What was asked for is refused by a rule.
    #[error("refused: {} (rule `{}`)", rule.reason, rule.id)]
    Refused {
        /// The rule.
        rule: Rule,
    },
    /// What was asked cannot be answered.
    #[error("{reason}")]
    Query {
        /// Why not.
        reason: String,
    },
    /// A recorded bundle is not one.
    #[error("not a policy bundle")]
    Bundle {
        /// Why not.
        source: serde_json::Error,
    },
    /// Something of ours is broken.
    #[error("internal error: {what}")]
    Unreachable {
        /// What.
        what: String,
    },
}

impl Error {
    /// Gathers mistakes; none make no error.
    pub(crate) fn invalid(mistakes: Vec<Mistake>) -> Result<(), Self> {
        let mut mistakes = mistakes.into_iter();
        match mistakes.next() {
            Some(first) => Err(Self::Invalid {
                first,
                others: mistakes.collect(),
            }),
            None => Ok(()),
        }
    }

    /// What to do about it, where a rule says so.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Refused { rule } => rule.remedy.as_deref(),
            Self::Invalid { .. }
            | Self::Unreadable { .. }
            | Self::Unfit { .. }
            | Self::Unconfined { .. }
            | Self::Query { .. }
            | Self::Bundle { .. }
            | Self::Unreachable { .. } => None,
        }
    }

    /// Every mistake, where the policies have some.
    #[must_use]
    pub fn mistakes(&self) -> Vec<&Mistake> {
        match self {
            Self::Invalid { first, others } => std::iter::once(first).chain(others).collect(),
            Self::Unreadable { .. }
            | Self::Unfit { .. }
            | Self::Unconfined { .. }
            | Self::Refused { .. }
            | Self::Query { .. }
            | Self::Bundle { .. }
            | Self::Unreachable { .. } => Vec::new(),
        }
    }
}

fn more(others: &[Mistake]) -> String {
    match others.len() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    }
}

/// The word for a tier in messages.
pub(crate) fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Repository => "repository",
        Tier::User => "user",
        Tier::Org => "org",
        Tier::Shipped => "shipped",
    }
}

/// A mistake in a policy, and where it stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Mistake {
    /// The file, as the tier's directory and the name in it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How many characters are meant.
    pub width: usize,
    /// The line's text.
    pub text: String,
    /// What is wrong.
    pub message: String,
}

impl Mistake {
    /// A mistake at a place of `source`.
    pub(crate) fn at(
        file: &str,
        source: &str,
        (line, column, width): (usize, usize, usize),
        message: impl Into<String>,
    ) -> Self {
        let text = source.lines().nth(line.saturating_sub(1)).unwrap_or("");
        let room = text
            .chars()
            .count()
            .saturating_sub(column.saturating_sub(1));
        Self {
            file: file.to_owned(),
            line,
            column,
            width: width.clamp(1, room.max(1)),
            text: text.to_owned(),
            message: message.into(),
        }
    }

    /// A mistake at the bytes `span` of `source`.
    pub(crate) fn at_bytes(
        file: &str,
        source: &str,
        span: std::ops::Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        let before = source.get(..span.start).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let width = source.get(span).unwrap_or("").chars().count();
        Self::at(file, source, (line, column, width), message)
    }

    /// What the engine said: it names the place in its text.
    pub(crate) fn from_engine(file: &str, source: &str, said: &str) -> Self {
        let place = said.lines().find_map(|line| line.strip_prefix("--> "));
        let numbers = place.and_then(|place| {
            let mut parts = place.rsplit(':');
            let column: usize = parts.next()?.trim().parse().ok()?;
            let line: usize = parts.next()?.trim().parse().ok()?;
            let text = source.lines().nth(line.saturating_sub(1)).unwrap_or("");
            Some((line, in_characters(text, column), 1))
        });
        Self::at(
            file,
            source,
            numbers.unwrap_or((1, 1, 1)),
            engine_message(said),
        )
    }

    /// The place, the line, and the span underlined, as several lines.
    #[must_use]
    pub fn render(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let before: String = self
            .text
            .chars()
            .take(self.column.saturating_sub(1))
            .collect();
        let indent = " ".repeat(spaced(&before).chars().count());
        format!(
            "{self}\n{margin} |\n{number} | {}\n{margin} | {indent}{}",
            spaced(&self.text),
            "^".repeat(self.width)
        )
    }
}

/// Tabs as spaces, so that what stands below stands below.
fn spaced(text: &str) -> String {
    text.replace('\t', "    ")
}

/// The engine counts a tab as four columns.
fn in_characters(text: &str, column: usize) -> usize {
    let mut at = 1;
    for (place, character) in text.chars().enumerate() {
        if at >= column {
            return place + 1;
        }
        at += if character == '\t' { 4 } else { 1 };
    }
    column.min(text.chars().count() + 1)
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

/// The engine's words without the place and the picture around them.
pub(crate) fn engine_message(said: &str) -> String {
    let words = said
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("error: "))
        .next()
        .or_else(|| said.lines().find(|line| !line.trim().is_empty()))
        .unwrap_or("the engine gave no reason");
    words.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_shows_its_place_with_the_span_underlined() {
        let source = "package a\n\nallow contains {\"id\"} if true\n";
        let at = source.find("{\"id\"}").unwrap();
        let mistake = Mistake::at_bytes("a.rego", source, at..at + 6, "no rule");
        assert_eq!(
            mistake.render(),
            "a.rego:3:16: no rule\n  |\n3 | allow contains {\"id\"} if true\n  |                ^^^^^^"
        );
    }

    #[test]
    fn a_tab_is_one_column_and_what_stands_below_stands_below() {
        let source = "package x\n\t\ta := b c\n";
        let said = "\n--> x.rego:2:16\n  |\nerror: unexpected token";
        let mistake = Mistake::from_engine("x.rego", source, said);
        assert_eq!((mistake.line, mistake.column), (2, 10));
        let shown = mistake.render();
        let [line, below] = shown.lines().skip(2).collect::<Vec<_>>()[..] else {
            panic!("{shown}")
        };
        assert_eq!(line.find('c'), below.find('^'));
    }

    #[test]
    fn the_engines_place_is_taken_over() {
        let said = "\n--> x.rego:2:3\n  |\n2 | a b\n  |   ^\nerror: expecting `if`";
        let mistake = Mistake::from_engine("x.rego", "package x\na b\n", said);
        assert_eq!(
            (mistake.line, mistake.column, mistake.message.as_str()),
            (2, 3, "expecting `if`")
        );
    }
}
