//! A text that was too long to be kept whole, as its beginning tells it.

use serde::Deserialize;
use serde_json::Value;

/// How all of them begin, and no other text.
const HEAD: &str = "{\"truncated\":true,";

/// What is kept of a text that was too long.
#[derive(Debug, Deserialize)]
pub(crate) struct Cut {
    /// How long it was.
    bytes: u64,
    /// What it began with.
    beginning: String,
}

impl Cut {
    /// What stands for a text that was cut; of any other text, nothing.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let is_cut = text.starts_with(HEAD);
        is_cut.then(|| serde_json::from_str(text).ok()).flatten()
    }

    /// How much is kept.
    pub(crate) fn told(&self) -> String {
        let kept = self.beginning.len();
        format!("{kept} of {} bytes are there", self.bytes)
    }

    /// The JSON that it begins, without what was not there to its end. A string that was cut ends where it was.
    pub(crate) fn value(&self) -> Option<Value> {
        let mut read = Reading::default();
        let mut characters = self.beginning.char_indices();
        while let Some((at, character)) = characters.next() {
            read.see(at, character);
            // What it escapes is no end.
            if read.is_string && character == '\\' {
                characters.next();
            }
        }
        let ended = |end: usize, by: &str| {
            let kept = self.beginning.get(..end)?;
            serde_json::from_str(&format!("{kept}{by}")).ok()
        };
        let length = self.beginning.len();
        let string = match (read.is_string, self.beginning.ends_with('"')) {
            // A half of what was escaped is left out: `\u001`.
            (true, _) => (0..6).find_map(|less| {
                let end = length.checked_sub(less)?;
                ended(end, &format!("\"{}", read.ends()))
            }),
            (false, true) => ended(length, &read.ends()),
            (false, false) => None,
        };
        string.or_else(|| ended(read.complete, &read.complete_ends))
    }
}

/// How far a beginning of JSON was read.
#[derive(Default)]
struct Reading {
    /// The brackets that are open, as what closes them.
    open: String,
    is_string: bool,
    /// Where the last value ended that is there whole.
    complete: usize,
    /// What closes all that was open there.
    complete_ends: String,
}

impl Reading {
    fn see(&mut self, at: usize, character: char) {
        match character {
            '"' => self.is_string = !self.is_string,
            _ if self.is_string => {}
            '{' | '[' => {
                self.open.push(if character == '{' { '}' } else { ']' });
                self.complete_at(at + 1);
            }
            '}' | ']' => {
                self.open.pop();
                self.complete_at(at + 1);
            }
            ',' => self.complete_at(at),
            _ => {}
        }
    }

    fn complete_at(&mut self, at: usize) {
        self.complete = at;
        self.complete_ends = self.ends();
    }

    fn ends(&self) -> String {
        self.open.chars().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(beginning: &str) -> Option<Value> {
        let text = serde_json::json!({"bytes": 7, "beginning": beginning}).to_string();
        let text = text.replacen('{', HEAD, 1);
        Cut::of(&text).unwrap().value()
    }

    #[test]
    fn what_is_there_whole_is_read_and_a_string_as_far_as_it_goes() {
        for (beginning, expected) in [
            (r#"{"a":["sh","-c","ec"#, r#"{"a":["sh","-c","ec"]}"#),
            (r#"{"a":["sh","#, r#"{"a":["sh"]}"#),
            (r#"{"a":["sh""#, r#"{"a":["sh"]}"#),
            (r#"{"a":["x\"#, r#"{"a":["x"]}"#),
            (r#"{"a":["x\u00"#, r#"{"a":["x"]}"#),
            (r#"{"a":["x\\"#, r#"{"a":["x\\"]}"#),
            (r#"{"a":["\"]},"#, r#"{"a":["\"]},"]}"#),
            (r#"{"a":1,"b":tr"#, r#"{"a":1}"#),
            (r#"{"a":1,"b":12"#, r#"{"a":1}"#),
            (r#"{"a":1,"b"#, r#"{"a":1}"#),
            (r#"{"a":1,"b":"#, r#"{"a":1}"#),
            (r#"[{"a":{"b":[]},"c":{"d""#, r#"[{"a":{"b":[]},"c":{}}]"#),
            ("[", "[]"),
        ] {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(cut(beginning), Some(expected), "{beginning}");
        }
        assert_eq!(cut("no JSON"), None);
    }

    /// Wherever it is cut, what is read is there in the whole.
    #[test]
    fn nothing_is_read_that_was_not_there() {
        let whole =
            serde_json::json!({"a": ["ä\"\\\u{1}", [], {"b": 1.5, "c": null}], "d": {"e": true}});
        let text = whole.to_string();
        for (end, _) in text.char_indices().skip(1) {
            let beginning = text.get(..end).unwrap();
            let read = cut(beginning).unwrap();
            assert!(is_beginning(&read, &whole), "{beginning} {read}");
        }
    }

    fn is_beginning(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::Object(part), Value::Object(whole)) => part.iter().all(|(name, part)| {
                let whole = whole.get(name);
                whole.is_some_and(|whole| is_beginning(part, whole))
            }),
            (Value::Array(part), Value::Array(whole)) => {
                part.len() <= whole.len() && part.iter().zip(whole).all(|(a, b)| is_beginning(a, b))
            }
            (Value::String(part), Value::String(whole)) => whole.starts_with(part),
            (part, whole) => part == whole,
        }
    }

    #[test]
    fn a_text_that_was_not_cut_is_no_such() {
        for text in [
            "",
            r#"{"schema":1,"truncated":true}"#,
            r#"{"truncated":true,"bytes":1}"#,
        ] {
            assert!(Cut::of(text).is_none(), "{text}");
        }
    }
}
