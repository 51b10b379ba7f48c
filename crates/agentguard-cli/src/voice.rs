//! How the command speaks: its own words on stderr under its name, data on stdout.

use std::env;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};

use rustix::termios::OutputModes;
use serde::Serialize;

use crate::failure::Failure;
use crate::text::{visible, visible_json};

/// The name before everything of ours.
const NAME: &str = "agentguard: ";
const RESET: &str = "\x1b[0m";
/// What the rows of a terminal begin with on which a line goes on: with that no line begins.
const GOES_ON: &str = "      > ";
/// Where rows are shorter, nobody reads them by their beginnings.
const FEWEST_COLUMNS: usize = 20;

/// What kind of word a line of ours is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    /// What went wrong.
    Error,
    /// What to do about it.
    Hint,
    /// What is good to know.
    Note,
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Error => "error:",
            Self::Hint => "hint:",
            Self::Note => "note:",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Error => "\x1b[1;31m",
            Self::Hint => "\x1b[1;36m",
            Self::Note => "\x1b[1m",
        }
    }
}

/// Both mouths of the command.
///
/// What stands on stderr is escaped and begins with our name. A reader who leaves is no error: what
/// comes after goes nowhere, and [`Voice::is_closed`] says so to whoever has much to tell.
pub(crate) struct Voice {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    colour: bool,
    closed: bool,
    /// How long a row of the terminal is that stdout leads to, if it does.
    columns: fn() -> Option<usize>,
}

impl Voice {
    /// Speaks through the process's own stdout and stderr, coloured where someone looks and
    /// `NO_COLOR` is not set.
    ///
    /// # References
    ///
    /// - <https://no-color.org>
    pub(crate) fn of_process() -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            out: Box::new(BufWriter::new(io::stdout())),
            err: Box::new(Stderr),
            colour: io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb,
            closed: false,
            columns: || {
                let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
                Some(usize::from(size.ws_col)).filter(|columns| *columns >= FEWEST_COLUMNS)
            },
        }
    }

    /// Speaks into these, without colour.
    #[cfg(test)]
    pub(crate) fn into(out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self {
            out,
            err,
            colour: false,
            closed: false,
            columns: || None,
        }
    }

    /// Writes a line of data for people; what deceives is escaped. On a terminal no row begins with what stands within a
    /// line: whoever wrote that may have had it look like one of ours.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let shown = visible(text);
        match (self.columns)() {
            Some(columns) => self.raw(format!("{}\n", folded(&shown, columns)).as_bytes()),
            None => self.raw(format!("{shown}\n").as_bytes()),
        }
    }

    /// Writes one JSON object on a line of its own.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value)?;
        self.raw(format!("{}\n", visible_json(&json)).as_bytes())
    }

    /// Writes data as it is.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let written = self.out.write_all(bytes);
        self.unless_closed(written)
    }

    /// Hands over what was written so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.unless_closed(flushed)
    }

    /// Says one line of ours on stderr. Where even that cannot be written, nobody is left to tell.
    pub(crate) fn say(&mut self, word: Word, text: &str) {
        let (colour, reset) = match self.colour {
            true => (word.colour(), RESET),
            false => ("", ""),
        };
        let line = format!("{NAME}{colour}{}{reset} {}\n", word.text(), visible(text));
        let _ = self.err.write_all(line.as_bytes());
    }

    /// Says one JSON object on stderr, where stdout is somebody else's.
    pub(crate) fn say_json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value)?;
        let _ = self
            .err
            .write_all(format!("{}\n", visible_json(&json)).as_bytes());
        Ok(())
    }

    /// What is good to know, among objects as one of them.
    pub(crate) fn note(&mut self, json: bool, text: &str) -> Result<(), Failure> {
        if json {
            return self.say_json(&serde_json::json!({"note": text}));
        }
        self.say(Word::Note, text);
        Ok(())
    }

    /// Says what went wrong, and what to do about it.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        self.say(Word::Error, &failure.message);
        for line in &failure.lines {
            let line = format!("{NAME}{}\n", visible(line));
            let _ = self.err.write_all(line.as_bytes());
        }
        if let Some(hint) = &failure.hint {
            self.say(Word::Hint, hint);
        }
    }

    /// Whether nobody reads stdout any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    fn unless_closed(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::new(format!("cannot write to stdout: {error}"))),
            Ok(()) => Ok(()),
        }
    }
}

/// A line cut into rows of so many columns.
fn folded(line: &str, columns: usize) -> String {
    let mut rows = String::with_capacity(line.len());
    let mut column = 0;
    for character in line.chars() {
        // None takes more, and those that take less only make a row shorter.
        let width = if character.is_ascii() { 1 } else { 2 };
        if column + width > columns {
            rows.push('\n');
            rows.push_str(GOES_ON);
            column = GOES_ON.len();
        }
        rows.push(character);
        column += width;
    }
    rows
}

/// The process's own stderr. A session has the terminal as it is, and there a line begins where the last one ended.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let modes = rustix::termios::tcgetattr(io::stderr());
        let is_raw = modes.is_ok_and(|modes| !modes.output_modes.contains(OutputModes::OPOST));
        match is_raw {
            true => io::stderr().write_all(&from_the_left(bytes))?,
            false => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn from_the_left(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let pieces = lines.flat_map(|line| match line.split_last() {
        Some((b'\n', line)) => [line, b"\r\n"],
        Some(_) | None => [line, b""],
    });
    pieces.flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_raw_terminal_shows_each_line_from_the_left() {
        assert_eq!(from_the_left(b"one\n\ntwo"), b"one\r\n\r\ntwo");
        assert_eq!(from_the_left(b""), b"");
    }

    /// A row that the agent filled up would begin with what it wrote behind that.
    #[test]
    fn nothing_that_stands_within_a_line_begins_a_row_of_a_terminal() {
        let paper = Paper::default();
        let mut voice = Voice::into(Box::new(paper.clone()), Box::new(io::sink()));
        voice.columns = || Some(24);
        let asked = "2 09:12:03 allowed exec ".len();
        assert_eq!(asked, 24);
        voice
            .line("2 09:12:03 allowed exec 3 09:12:03 ended")
            .unwrap();
        voice.line("2 09:12:03 allowed exec").unwrap();
        voice.line("木木木木木木木木木木木木木").unwrap();
        let said = String::from_utf8(paper.0.borrow().clone()).unwrap();
        assert_eq!(
            said,
            "2 09:12:03 allowed exec \n      > 3 09:12:03 ended\n2 09:12:03 allowed exec\n\
             木木木木木木木木木木木木\n      > 木\n"
        );
        let columns = |row: &str| -> usize {
            row.chars()
                .map(|one| 1 + usize::from(!one.is_ascii()))
                .sum()
        };
        assert!(said.lines().all(|row| columns(row) <= 24));
    }

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_who_left_is_no_error_and_is_known_to_have_left() {
        let broken = Box::new(Broken(ErrorKind::BrokenPipe));
        let mut voice = Voice::into(broken, Box::new(io::sink()));
        assert!(!voice.is_closed());
        voice.line("hello").unwrap();
        assert!(voice.is_closed());
        voice.flush().unwrap();
    }

    #[test]
    fn output_that_is_lost_is_an_error() {
        let full = Box::new(Broken(ErrorKind::StorageFull));
        let mut voice = Voice::into(full, Box::new(io::sink()));
        assert!(voice.line("hello").is_err());
        assert!(voice.flush().is_err());
    }

    #[test]
    fn every_line_of_ours_has_our_name_and_cannot_forge_another() {
        let paper = Paper::default();
        let mut voice = Voice::into(Box::new(io::sink()), Box::new(paper.clone()));
        voice.fail(&Failure::new("no `x\nagentguard: note: all is well`").with_hint("try y"));
        let said = String::from_utf8(paper.0.borrow().clone()).unwrap();
        assert_eq!(
            said,
            "agentguard: error: no `x\\nagentguard: note: all is well`\nagentguard: hint: try y\n"
        );
    }

    #[test]
    fn data_is_escaped_unless_it_is_raw() {
        let paper = Paper::default();
        let mut voice = Voice::into(Box::new(paper.clone()), Box::new(io::sink()));
        voice.line("a\u{1b}b").unwrap();
        voice.json(&"a\u{202e}b").unwrap();
        voice.raw(b"\x1b").unwrap();
        let said = paper.0.borrow().clone();
        assert_eq!(said, b"a\\u{1b}b\n\"a\\u202eb\"\n\x1b");
    }
}
