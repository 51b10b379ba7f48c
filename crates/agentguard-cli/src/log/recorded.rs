//! An entry as it was read, with its place and what it commits to.

use agentguard::core::Entry;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// An entry, its place, and its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Recorded {
    /// Its place in its log.
    pub(crate) index: u64,
    /// What was recorded.
    pub(crate) entry: Entry,
    /// What it commits to, where it commits to something and that was not erased.
    #[serde(serialize_with = "as_value", skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

impl Recorded {
    /// What it commits to, read.
    pub(crate) fn value(&self) -> Option<Value> {
        self.text
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
    }

    /// The line that people read.
    pub(crate) fn line(&self) -> String {
        super::line::line(self.index, &self.entry, self.value().as_ref())
    }
}

/// A text that is JSON stands as what it says, any other as a string.
fn as_value<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = text.as_deref().unwrap_or_default();
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    value.serialize(serializer)
}
