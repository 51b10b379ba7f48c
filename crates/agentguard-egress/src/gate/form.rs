//! Forms, as policy sees them: values by name, as those of a query.
//!
//! Nothing is shown of a form that two servers could read in two ways: that policy is not shown a body is said to it,
//! and a form that is read in one way only is what clients send.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// No form of a human has more.
const MOST_FIELDS: usize = 1024;

/// The values of a form by name, in their order.
#[derive(Debug, Default)]
pub(super) struct Form {
    values: BTreeMap<String, Vec<Value>>,
    count: usize,
}

impl Form {
    /// Adds a value, if there is room.
    pub(super) fn add(&mut self, name: String, value: Value) -> Option<()> {
        self.count += 1;
        if self.count > MOST_FIELDS || name.is_empty() || is_odd(&name) {
            return None;
        }
        self.values.entry(name).or_default().push(value);
        Some(())
    }

    pub(super) fn into_value(self) -> Value {
        json!(self.values)
    }
}

/// Reads `application/x-www-form-urlencoded` (WHATWG URL, section 5).
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let mut form = Form::default();
    for pair in bytes.split(|byte| *byte == b'&') {
        if pair.is_empty() {
            continue;
        }
        let end = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at(end.unwrap_or(pair.len()));
        let name = decoded(name)?;
        // Some servers read the alphabet of all others from it.
        if name == "_charset_" {
            return None;
        }
        let value = decoded(value.strip_prefix(b"=").unwrap_or_default())?;
        form.add(name, value.into())?;
    }
    Some(form.into_value())
}

/// Undoes escapes. What is broken is kept as it is by some and left out by others, and some split at `;`.
fn decoded(bytes: &[u8]) -> Option<String> {
    let (mut decoded, mut bytes) = (Vec::with_capacity(bytes.len()), bytes.iter());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' => b' ',
            b';' => return None,
            byte if byte.is_ascii_control() => return None,
            byte => *byte,
        });
    }
    let text = String::from_utf8(decoded).ok()?;
    (!text.contains('\0')).then_some(text)
}

/// Whether a name is more than a name to some servers: an end of it, or of a line.
fn is_odd(name: &str) -> bool {
    name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_its_values_by_name_in_their_order() {
        let form =
            read(b"title=it+fails&a=1&a=2&b=%C3%A4%26%3D&text=one%0D%0Atwo&none=&bare&&c[d]=e");
        let expected = json!({
            "title": ["it fails"], "a": ["1", "2"], "b": ["\u{e4}&="], "text": ["one\r\ntwo"], "none": [""],
            "bare": [""], "c[d]": ["e"],
        });
        assert_eq!(form, Some(expected));
        assert_eq!(read(b""), Some(json!({})));
        assert!(read("a=1&".repeat(MOST_FIELDS).as_bytes()).is_some());
    }

    #[test]
    fn a_form_that_servers_could_differ_on_is_not_shown() {
        let many = "a=1&".repeat(MOST_FIELDS + 1);
        for text in [
            "a=1;b=2",
            "a=%",
            "a=%4",
            "a=%zz",
            "a=%ff",
            "a=%00",
            "a=1\r\n",
            "a\n=1",
            "a%00=1",
            "a%0a=1",
            "=1",
            "_charset_=utf-7&a=%2BACI-",
            &many,
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text:.40}");
        }
    }

    #[test]
    fn fuzz_a_form_says_what_a_query_of_the_same_bytes_says() {
        const WORDS: &[&str] = &[
            "a=1",
            "&",
            "=",
            "%26",
            "+",
            ";",
            "%",
            "%00",
            "%C3%A4",
            "_charset_",
        ];
        crate::mutate::fuzz("form", WORDS, |bytes| {
            let Some(Value::Object(form)) = read(bytes) else {
                return "other".to_owned();
            };
            let text = std::str::from_utf8(bytes)
                .ok()
                .filter(|text| text.is_ascii());
            let target = text.map(|text| {
                super::super::path::read("/", Some(text), super::super::path::Slash::Unclear)
            });
            if let Some(Ok(target)) = target {
                assert_eq!(json!(target.query), Value::Object(form.clone()));
            }
            format!("{} names", form.len().min(3))
        });
    }
}
