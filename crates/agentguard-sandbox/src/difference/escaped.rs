//! Paths are bytes; texts are not. An escaped path is a text that can be shown and turned back.

/// Writes a path as text: what is no UTF-8, a control character or a backslash becomes `\xNN`.
///
/// `unescape_path(&escape_path(path)) == path`, and two paths never look the same.
#[must_use]
pub fn escape_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer)
                    .bytes()
                    .for_each(|byte| push_hex(&mut text, byte));
            } else {
                text.push(c);
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|byte| push_hex(&mut text, *byte));
    }
    text
}

/// Reads an escaped path back. A backslash that begins no `\xNN` stands for itself.
#[must_use]
pub fn unescape_path(text: &str) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match rest {
            [b'\\', b'x', high, low, ..] => nibble(*high).zip(nibble(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            path.push(high << 4 | low);
            rest = rest.get(4..).unwrap_or_default();
        } else {
            path.push(*first);
            rest = after;
        }
    }
    path
}

fn push_hex(text: &mut String, byte: u8) {
    text.push_str("\\x");
    for nibble in [byte >> 4, byte & 15] {
        text.extend(char::from_digit(u32::from(nibble), 16));
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Writes paths as escaped texts, for formats that hold texts only.
pub(super) mod serde_path {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        path: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::escape_path(path))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<[u8]>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(super::unescape_path(&text).into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_comes_back_and_can_be_shown() {
        let mut paths: Vec<Vec<u8>> = (0..=255).map(|byte| vec![b'a', byte, b'b']).collect();
        for path in [
            "",
            "src/main.rs",
            "ü/日本",
            "a\\x41",
            "\\",
            "\\x",
            "\u{85}",
            "line\nbreak",
        ] {
            paths.push(path.as_bytes().to_vec());
        }
        let texts: std::collections::BTreeSet<_> =
            paths.iter().map(|path| escape_path(path)).collect();
        assert_eq!(texts.len(), paths.len());
        for path in paths {
            let text = escape_path(&path);
            assert_eq!(unescape_path(&text), path, "{text}");
            assert!(!text.chars().any(char::is_control), "{text}");
        }
        assert_eq!(escape_path(b"src/\xff\n\\.rs"), "src/\\xff\\x0a\\x5c.rs");
    }
}
