//! The agent's words in a policy: as strings that cannot end before they do.

/// A string as Rego and JSON write it, in ASCII on one line: nothing in it ends the string, the line, or a comment
/// that it stands in, and nothing looks like what it is not.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => quoted.extend(['\\', char::from(byte)]),
            Ok(byte @ b' '..=b'~') => quoted.push(char::from(byte)),
            Ok(_) | Err(_) => quoted.push_str(&format!("\\u{unit:04x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// The same for a comment: of a long text the beginning.
pub(super) fn shown(text: &str) -> String {
    const MOST_CHARACTERS: usize = 80; // of at most 12 bytes each, on a line of at most 1,024
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}...", quoted(text.get(..end).unwrap_or_default())),
        None => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_quoted_is_read_as_it_was_and_stays_on_its_line(text in any::<String>()) {
            let quoted = quoted(&text);
            prop_assert!(quoted.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }
}
