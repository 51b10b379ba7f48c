//! Shell lines, as far as they are plain: words, quotes, separators, redirections, assignments.

use std::collections::BTreeMap;

/// One simple command of a line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Simple {
    pub(crate) argv: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// Words that begin what is no simple command.
const RESERVED: &[&str] = &[
    "!", "[[", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function",
    "if", "in", "select", "then", "until", "while", "{", "}",
];

/// A shell line longer than this is not looked into.
const MOST_BYTES: usize = 64 * 1024;

/// Splits a line into simple commands, or says with `None` that it holds what only a shell can know:
/// expansions, substitutions, groups, keywords, here-documents.
pub(crate) fn split_plain(line: &str) -> Option<Vec<Simple>> {
    if line.len() > MOST_BYTES {
        return None;
    }
    let mut splitter = Splitter::default();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => splitter.single(&mut chars)?,
            '"' => splitter.double(&mut chars)?,
            '\\' => match chars.next()? {
                '\n' => {}
                escaped => splitter.push(escaped),
            },
            '$' | '`' | '(' | ')' => return None,
            '{' | '}' if !splitter.in_word() => return None,
            '#' if !splitter.in_word() => while chars.next_if(|c| *c != '\n').is_some() {},
            ';' | '\n' | '&' | '|' => {
                if c == '&' && chars.next_if_eq(&'>').is_some() {
                    splitter.redirection(&mut chars)?;
                    continue;
                }
                while chars.next_if(|c| "&|;".contains(*c)).is_some() {}
                splitter.end_command()?;
            }
            '<' | '>' => {
                splitter.drop_descriptor();
                splitter.redirection(&mut chars)?;
            }
            c if c.is_whitespace() => splitter.end_word(),
            c => splitter.push(c),
        }
    }
    splitter.end_command()?;
    Some(splitter.commands)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

#[derive(Default)]
struct Splitter {
    commands: Vec<Simple>,
    words: Vec<(String, bool)>,
    word: Option<(String, bool)>,
    /// Whether the word that comes names a redirection's file.
    redirecting: bool,
}

impl Splitter {
    fn in_word(&self) -> bool {
        self.word.is_some()
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().0.push(c);
    }

    fn quoted(&mut self) -> &mut String {
        let word = self.word.get_or_insert_default();
        word.1 = true;
        &mut word.0
    }

    fn single(&mut self, chars: &mut Chars<'_>) -> Option<()> {
        self.quoted();
        loop {
            match chars.next()? {
                '\'' => return Some(()),
                c => self.push(c),
            }
        }
    }

    fn double(&mut self, chars: &mut Chars<'_>) -> Option<()> {
        self.quoted();
        loop {
            match chars.next()? {
                '"' => return Some(()),
                '$' | '`' => return None,
                '\\' => match chars.next()? {
                    '\n' => {}
                    c @ ('"' | '\\' | '$' | '`') => self.push(c),
                    c => {
                        self.push('\\');
                        self.push(c);
                    }
                },
                c => self.push(c),
            }
        }
    }

    /// The digits before `<` or `>` name a descriptor, they are no word.
    fn drop_descriptor(&mut self) {
        let is_number =
            |word: &(String, bool)| !word.1 && word.0.bytes().all(|b| b.is_ascii_digit());
        if self.word.as_ref().is_some_and(is_number) {
            self.word = None;
        } else {
            self.end_word();
        }
    }

    /// Reads the rest of a redirection's sign. `<<` and `<(` are for shells to know.
    fn redirection(&mut self, chars: &mut Chars<'_>) -> Option<()> {
        self.end_word();
        while let Some(c) = chars.next_if(|c| "<>&|".contains(*c)) {
            if c == '<' {
                return None;
            }
        }
        if chars.peek() == Some(&'(') {
            return None;
        }
        self.redirecting = true;
        Some(())
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            if std::mem::take(&mut self.redirecting) {
                return;
            }
            self.words.push(word);
        }
    }

    fn end_command(&mut self) -> Option<()> {
        self.end_word();
        let mut simple = Simple::default();
        for (word, quoted) in self.words.drain(..) {
            let begins = simple.argv.is_empty();
            if begins && !quoted && RESERVED.contains(&word.as_str()) {
                return None;
            }
            match word.split_once('=') {
                Some((name, value)) if begins && is_name(name) => {
                    simple.environment.insert(name.to_owned(), value.to_owned());
                }
                Some(_) | None => simple.argv.push(word),
            }
        }
        if !simple.argv.is_empty() {
            self.commands.push(simple);
        }
        Some(())
    }
}

/// Whether `text` can be a variable's name.
pub(super) fn is_name(text: &str) -> bool {
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    starts_well && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
