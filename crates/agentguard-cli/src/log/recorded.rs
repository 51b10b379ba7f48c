//! An entry as it was read: its text as a value, itself as a line.

use agentguard::audit::Recorded;
use serde_json::Value;

use super::Cut;

/// Reads what was recorded, for people.
pub(crate) trait Readable {
    /// What it commits to, read; where that was cut, as far as it is there.
    fn value(&self) -> Option<Value>;

    /// The line that people read.
    fn line(&self) -> String;
}

impl Readable for Recorded {
    fn value(&self) -> Option<Value> {
        let text = self.text.as_deref()?;
        match Cut::of(text) {
            Some(cut) => cut.value(),
            None => serde_json::from_str(text).ok(),
        }
    }

    fn line(&self) -> String {
        let line = super::line::line(self.index, &self.entry, self.value().as_ref());
        match lack(self) {
            Some(lack) => format!("{line} [text {lack}]"),
            None => line,
        }
    }
}

/// Why a text is not told, or not all of it.
fn lack(recorded: &Recorded) -> Option<String> {
    if let Some(by) = recorded.erased {
        return Some(format!("erased: entry {by} of the anchor log"));
    }
    if recorded.is_changed {
        return Some("is not what was recorded".to_owned());
    }
    if recorded.is_missing() {
        return Some("not here".to_owned());
    }
    let cut = Cut::of(recorded.text.as_deref()?)?;
    Some(format!("cut: {}", cut.told()))
}
