//! An entry as it was read: its text as a value, itself as a line.

use agentguard::audit::Recorded;
use serde_json::Value;

/// Reads what was recorded, for people.
pub(crate) trait Readable {
    /// What it commits to, read.
    fn value(&self) -> Option<Value>;

    /// The line that people read.
    fn line(&self) -> String;
}

impl Readable for Recorded {
    fn value(&self) -> Option<Value> {
        self.text
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
    }

    fn line(&self) -> String {
        let line = super::line::line(self.index, &self.entry, self.value().as_ref());
        match self.erased {
            None => line,
            Some(by) => format!("{line} [text erased: entry {by} of the anchor log]"),
        }
    }
}
