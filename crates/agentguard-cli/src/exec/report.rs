//! Who is told of refusals while the session runs: people of the command's own, programs of all.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use agentguard::approvals::Question;
use agentguard::{Tell, Told};

use crate::approve;
use crate::failure::Failure;
use crate::flags::{APPROVAL_TIMEOUT, Arguments, JSON, REPORT_FD};
use crate::text::{visible, visible_json};
use crate::voice::Stderr;

use super::lines::Lines;

/// Tells stderr, and the descriptor that `--report-fd` names.
pub(crate) struct Report {
    json: bool,
    stderr: Lines,
    file: Option<Lines>,
    /// What a weaker run does not hold.
    weaker: Vec<String>,
    /// Whether it was said, or is known, how nobody is asked.
    has_asked: AtomicBool,
}

impl Report {
    /// What the flags ask for, of a run that is weaker by this.
    pub(crate) fn of(arguments: &Arguments, weaker: Vec<String>) -> Result<Self, Failure> {
        let json = arguments.has(&JSON);
        let file = arguments.numbers(&REPORT_FD).next().map(open).transpose()?;
        let file = file
            .map(|file| Lines::to(file, missed_objects))
            .transpose()?;
        let missed = if json { missed_objects } else { missed_lines };
        Ok(Self {
            json,
            stderr: Lines::to(Stderr, missed)?,
            file,
            weaker,
            has_asked: AtomicBool::new(arguments.has(&APPROVAL_TIMEOUT)),
        })
    }

    /// Waits for what was told to be read, so long as may be.
    pub(crate) fn finish(&self) {
        self.stderr.finish();
        self.file.iter().for_each(Lines::finish);
    }
}

fn missed_objects(count: u64) -> String {
    format!("{{\"missed\":{count}}}\n")
}

fn missed_lines(count: u64) -> String {
    format!(
        "agentguard: note: {count} messages were not told, since nobody read: the log has them\n"
    )
}

impl Tell for Report {
    fn note(&self, text: &str) {
        self.stderr.tell(match self.json {
            true => {
                let object = serde_json::json!({"note": text}).to_string();
                format!("{}\n", visible_json(&object))
            }
            false => format!("agentguard: note: {}\n", visible(text)),
        });
    }

    fn begins(&self) {
        self.weaker.iter().for_each(|text| self.note(text));
    }

    fn refused(&self, told: &Told) {
        let object = serde_json::to_string(told).unwrap_or_default();
        let object = format!("{}\n", visible_json(&object));
        if let Some(file) = &self.file {
            file.tell(object.clone());
        }
        if self.json {
            self.stderr.tell(object);
        } else if told.is_command {
            self.stderr.tell(told.lines());
        }
    }

    /// Whoever could answer has to hear of it.
    fn asked(&self, question: &Question) {
        let object = serde_json::to_string(&approve::object(question)).unwrap_or_default();
        let object = format!("{}\n", visible_json(&object));
        if let Some(file) = &self.file {
            file.tell(object.clone());
        }
        self.stderr.tell(match self.json {
            true => object,
            false => approve::lines(question),
        });
        // A pipeline meets it first as a call that hangs.
        if !self.has_asked.swap(true, Ordering::Relaxed) {
            self.note("where nobody could answer, `exec --approval-timeout 0` refuses at once");
        }
    }
}

/// Opens a file or pipe anew that the caller left open under a number.
fn open(number: u64) -> Result<File, Failure> {
    let opened = File::options()
        .append(true)
        .open(format!("/proc/self/fd/{number}"));
    opened.map_err(|error| {
        Failure::new(format!("`--report-fd {number}` cannot be written: {error}"))
            .with_hint("it takes a file or a pipe that is open for writing")
    })
}
