//! What a server says became of each ref that a push asked it to change (gitprotocol-pack(5), "Report Status"): read
//! while it passes, and passed on as it came.

use agentguard_core::{OutcomeOf, RefOutcome};

use super::commands::Commands;
use super::pkt::{self, Line, NoLine};
use crate::gate::ask::Permitted;

/// The band of a side band that carries the report.
const REPORT: u8 = 1;
/// The longest reason that is kept, and what all that is kept may take: an entry of the log has its bounds.
const LONGEST_REASON: usize = 200;
const MOST_KEPT: usize = 20 << 10;

/// Reads along with an answer, and tells what it said when it is over.
pub(in crate::gate) struct Heard {
    permitted: Option<Permitted>,
    said: Said,
}

impl Heard {
    /// Of the answer to a push that was permitted.
    pub(super) fn new(permitted: Permitted, commands: Commands) -> Self {
        Self {
            permitted: Some(permitted),
            said: Said::new(commands),
        }
    }

    /// Reads what comes next of the answer.
    pub(in crate::gate) fn take(&mut self, bytes: &[u8]) {
        self.said.take(bytes);
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if let Some(permitted) = self.permitted.take() {
            permitted.tell(std::mem::take(&mut self.said).outcome());
        }
    }
}

/// What was read of an answer.
#[derive(Default)]
struct Said {
    asked: Vec<String>,
    is_reported: bool,
    /// Lines of the side band that have not all come, where there is one.
    bands: Option<Vec<u8>>,
    /// Lines of the report that have not all come.
    lines: Vec<u8>,
    is_over: bool,
    is_broken: bool,
    is_unpacked: Option<Result<(), String>>,
    refs: Vec<RefOutcome>,
    kept: usize,
    more: u64,
    /// Whether the last line was about the last of `refs`.
    is_last: bool,
}

impl Said {
    fn new(commands: Commands) -> Self {
        Self {
            asked: commands.refs.into_iter().map(|one| one.name).collect(),
            is_reported: commands.report,
            bands: commands.side_band.then(Vec::new),
            ..Self::default()
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.is_over || self.is_broken {
            return;
        }
        // What has not come whole of a line is no longer than a line.
        match self.bands.take() {
            None => self.lines.extend_from_slice(bytes),
            Some(mut bands) => {
                bands.extend_from_slice(bytes);
                let mut rest = bands.as_slice();
                loop {
                    match pkt::take(&mut rest) {
                        Ok(Line::Data(line)) => {
                            if let Some((&REPORT, data)) = line.split_first() {
                                self.lines.extend_from_slice(data);
                                self.report();
                            }
                        }
                        Ok(Line::Flush | Line::Delimiter | Line::End) => {}
                        Err(NoLine::Unfinished) => break,
                        Err(NoLine::Malformed) => {
                            self.is_broken = true;
                            return;
                        }
                    }
                }
                let rest = rest.to_vec();
                self.bands = Some(rest);
            }
        }
        self.report();
    }

    /// Reads the lines of the report that have come.
    fn report(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut rest = lines.as_slice();
        while !self.is_over && !self.is_broken {
            match pkt::take(&mut rest) {
                Ok(Line::Data(line)) => self.line(&String::from_utf8_lossy(line)),
                Ok(Line::Flush) => self.is_over = true,
                Ok(Line::Delimiter | Line::End) | Err(NoLine::Malformed) => self.is_broken = true,
                Err(NoLine::Unfinished) => break,
            }
        }
        self.lines = rest.to_vec();
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_end_matches('\n');
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, &self.is_unpacked) {
            ("unpack", None) => {
                self.is_unpacked = Some(match rest {
                    "ok" => Ok(()),
                    why => Err(shortened(why)),
                });
            }
            ("ok", Some(_)) => self.came(rest, None),
            ("ng", Some(_)) => {
                let (name, why) = rest.split_once(' ').unwrap_or((rest, "failed"));
                self.came(name, Some(shortened(why)));
            }
            // About the ref before it; only which one was changed instead is kept.
            ("option", Some(_)) => {
                if let (Some(name), true) = (rest.strip_prefix("refname "), self.is_last)
                    && let Some(last) = self.refs.last_mut()
                {
                    let name = shortened(name);
                    self.kept += name.len();
                    last.instead = Some(name);
                }
            }
            _ => self.is_broken = true,
        }
    }

    fn came(&mut self, name: &str, refused: Option<String>) {
        let length = name.len() + refused.as_ref().map_or(0, String::len) + 48;
        // A name that nobody asked for is the server's own.
        self.is_last =
            self.asked.iter().any(|asked| asked == name) && self.kept + length <= MOST_KEPT;
        if self.is_last {
            self.kept += length;
            self.refs.push(RefOutcome {
                name: name.to_owned(),
                refused,
                instead: None,
            });
        } else {
            self.more += 1;
        }
    }

    fn outcome(self) -> OutcomeOf {
        let unanswered = |why: &str| OutcomeOf::Unanswered {
            why: why.to_owned(),
        };
        match self.is_unpacked {
            _ if !self.is_reported => {
                unanswered("the client did not ask the server what becomes of each ref")
            }
            Some(unpacked) if self.is_over && !self.is_broken => OutcomeOf::Pushed {
                refs: self.refs,
                more: self.more,
                unpack: unpacked.err(),
            },
            Some(_) | None => unanswered("the server does not say what became of each ref"),
        }
    }
}

/// One line, as far as it has room.
fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = plain.take(LONGEST_REASON).collect();
    if short.len() < text.len() && text.chars().count() > LONGEST_REASON {
        short.push('…');
    }
    short
}

#[cfg(test)]
#[path = "heard_tests.rs"]
mod tests;
