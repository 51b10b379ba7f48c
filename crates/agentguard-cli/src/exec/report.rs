//! Who is told of refusals while the session runs: people of the command's own, programs of all.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use agentguard::approvals::Question;
use agentguard::{Tell, Told};

use crate::approve;
use crate::failure::Failure;
use crate::flags::{APPROVAL_TIMEOUT, Arguments, JSON, REPORT_FD};
use crate::text::{visible, visible_json};

/// Tells stderr, and the descriptor that `--report-fd` names.
pub(crate) struct Report {
    json: bool,
    file: Option<Mutex<File>>,
    /// Whether it was said, or is known, how nobody is asked.
    has_asked: AtomicBool,
}

impl Report {
    /// What the flags ask for.
    pub(crate) fn of(arguments: &Arguments) -> Result<Self, Failure> {
        let file = arguments.numbers(&REPORT_FD).next().map(open).transpose()?;
        Ok(Self {
            json: arguments.has(&JSON),
            file: file.map(Mutex::new),
            has_asked: AtomicBool::new(arguments.has(&APPROVAL_TIMEOUT)),
        })
    }
}

impl Tell for Report {
    fn note(&self, text: &str) {
        let line = match self.json {
            true => {
                let object = serde_json::json!({"note": text}).to_string();
                format!("{}\n", visible_json(&object))
            }
            false => format!("agentguard: note: {}\n", visible(text)),
        };
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn refused(&self, told: &Told) {
        let object = serde_json::to_string(told).unwrap_or_default();
        let object = format!("{}\n", visible_json(&object));
        if let Some(file) = &self.file {
            // Whoever does not listen is not told.
            let _ = file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(object.as_bytes());
        }
        if self.json {
            let _ = std::io::stderr().write_all(object.as_bytes());
        } else if told.is_command {
            let _ = std::io::stderr().write_all(told.lines().as_bytes());
        }
    }

    /// Whoever could answer has to hear of it.
    fn asked(&self, question: &Question) {
        let object = serde_json::to_string(&approve::object(question)).unwrap_or_default();
        let object = format!("{}\n", visible_json(&object));
        if let Some(file) = &self.file {
            let _ = file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(object.as_bytes());
        }
        let text = match self.json {
            true => object,
            false => approve::lines(question),
        };
        let _ = std::io::stderr().write_all(text.as_bytes());
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
