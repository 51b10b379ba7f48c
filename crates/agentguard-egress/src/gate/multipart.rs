//! Forms in parts (RFC 7578), as policy sees them.
//!
//! Servers differ in much that the format allows. What is read here is what clients write: each part begins and ends
//! where everybody sees it, and has one name. Of anything else nothing is shown.

use serde_json::{Value, json};

use super::form::Form;

/// RFC 2046, section 5.1.1.
const LONGEST_BOUNDARY: usize = 70;

/// The boundary that a content type names: once, and of characters that nobody quotes in two ways.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let mut found = None;
    for part in content_type.split(';').skip(1) {
        let (name, value) = part.split_once('=')?;
        let name = name.trim_ascii();
        if !name.eq_ignore_ascii_case("boundary") || found.is_some() {
            return None;
        }
        let value = value.trim_ascii();
        let quoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        found = Some(quoted.unwrap_or(value));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    found
        .filter(|found| (1..=LONGEST_BOUNDARY).contains(&found.len()))
        .filter(|found| found.bytes().all(is_plain))
        .map(str::to_owned)
}

/// Reads a body that is divided by `boundary`.
pub(super) fn read(bytes: &[u8], boundary: &str) -> Option<Value> {
    let between = format!("\r\n--{boundary}");
    let mut rest = bytes.strip_prefix(between.get(2..)?.as_bytes())?;
    let mut form = Form::default();
    loop {
        // Nothing stands behind the last, whatever servers make of what does.
        if matches!(rest, b"--" | b"--\r\n") {
            return Some(form.into_value());
        }
        let part = rest.strip_prefix(b"\r\n")?;
        let end = position(part, between.as_bytes())?;
        let (part, after) = part.split_at_checked(end)?;
        // Some take it for an end of the part behind any end of a line, or none.
        if position(part, between.get(2..)?.as_bytes()).is_some() {
            return None;
        }
        let (name, value) = field(part)?;
        form.add(name, value)?;
        rest = after.get(between.len()..)?;
    }
}

/// A part: its name, and its text, or of a file what it is called, what it is said to be, and its text.
fn field(part: &[u8]) -> Option<(String, Value)> {
    let end = position(part, b"\r\n\r\n")?;
    let (head, content) = part.split_at_checked(end)?;
    let content = std::str::from_utf8(content.get(4..)?).ok()?;
    let (mut named, mut kind) = (None, None);
    for line in std::str::from_utf8(head).ok()?.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        if line.chars().any(char::is_control) {
            return None;
        }
        let value = value.trim_ascii();
        let before = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => named.replace(value),
            "content-type" => kind.replace(value),
            _ => return None,
        };
        if before.is_some() {
            return None;
        }
    }
    let (name, file) = disposition(named?)?;
    if name == "_charset_" || kind.is_some_and(is_otherwise_written) {
        return None;
    }
    Some((
        name,
        match file {
            Some(file) => json!({"filename": file, "content_type": kind, "content": content}),
            None => content.into(),
        },
    ))
}

/// Whether a text is said to be in another alphabet, or to be several parts again.
fn is_otherwise_written(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let is_utf8 = kind.ends_with("charset=utf-8") || kind.ends_with("charset=\"utf-8\"");
    (kind.contains("charset") && !is_utf8) || kind.starts_with("multipart/")
}

/// `form-data; name="…"` and `; filename="…"`, in this order and once.
fn disposition(value: &str) -> Option<(String, Option<String>)> {
    let rest = value.strip_prefix("form-data;")?.trim_start_matches(' ');
    let (name, rest) = quoted(rest.strip_prefix("name=")?)?;
    if rest.is_empty() {
        return Some((name, None));
    }
    let rest = rest.strip_prefix(';')?.trim_start_matches(' ');
    let (file, rest) = quoted(rest.strip_prefix("filename=")?)?;
    rest.is_empty().then_some((name, Some(file)))
}

/// A text in quotes, in which nothing is escaped: there are three ways to undo that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (quoted, rest) = text.strip_prefix('"')?.split_once('"')?;
    let is_plain = !quoted.contains(['\\', '%']);
    is_plain.then(|| (quoted.to_owned(), rest))
}

fn position(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes
        .windows(sought.len())
        .position(|window| window == sought)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\n\
                         Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n\
                         line\r\n--\r\n\r\n--b--\r\n";

    #[test]
    fn a_form_in_parts_is_its_values_by_name() {
        let file =
            json!({"filename": "x.txt", "content_type": "text/plain", "content": "line\r\n--\r\n"});
        let expected = json!({"a": ["1"], "f": [file]});
        assert_eq!(read(PLAIN.as_bytes(), "b"), Some(expected));
        assert_eq!(read(b"--b--", "b"), Some(json!({})));
        let twice = PLAIN.replace("name=\"f\"; filename=\"x.txt\"", "name=\"a\"");
        assert_eq!(
            read(twice.as_bytes(), "b"),
            Some(json!({"a": ["1", "line\r\n--\r\n"]}))
        );
    }

    #[test]
    fn parts_that_servers_could_differ_on_are_not_shown() {
        assert_eq!(read(PLAIN.as_bytes(), "c"), None);
        for (from, to) in [
            (
                "--b\r\nContent-Disposition: form-data; name=\"a\"",
                "before\r\n--b\r\nContent-Disposition: form-data; name=\"a\"",
            ),
            ("--b--\r\n", "--b--\r\nbehind"),
            ("--b--\r\n", ""),
            ("--b--\r\n", "--b \r\n--b--\r\n"),
            ("\r\n\r\n1", "\n\n1"),
            ("1\r\n--b", "1\n--b"),
            ("line\r\n--\r\n", "line --b--"),
            ("form-data; name=\"a\"", "form-data"),
            ("name=\"a\"", "name=a"),
            ("name=\"a\"", "name=\"a\\\"b\""),
            ("name=\"a\"", "name=\"a%22\""),
            ("name=\"a\"", "name=\"a\"; name=\"b\""),
            ("name=\"a\"", "name*=utf-8''a"),
            ("name=\"a\"", "name=\"\""),
            ("name=\"a\"", "name=\"_charset_\""),
            (
                "filename=\"x.txt\"",
                "filename=\"x.txt\"; filename*=utf-8''y",
            ),
            ("form-data; name=\"a\"", "attachment; name=\"a\""),
            (
                "form-data; name=\"a\"",
                "form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
            ),
            (
                "form-data; name=\"a\"",
                "form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64",
            ),
            ("form-data; name=\"a\"", "form-data;\r\n name=\"a\""),
            ("text/plain", "text/plain\u{1}"),
            ("text/plain", "text/plain; charset=utf-7"),
            ("text/plain", "text/plain; charset=utf-8; x"),
            ("text/plain", "multipart/mixed; boundary=c"),
        ] {
            let changed = PLAIN.replacen(from, to, 1);
            assert_ne!(changed, PLAIN);
            assert_eq!(read(changed.as_bytes(), "b"), None, "{to:?}");
        }
        let bytes = [PLAIN.as_bytes(), b"\xff"].concat();
        assert_eq!(read(&bytes, "b"), None);
        for alphabet in ["; charset=utf-8", "; charset=\"UTF-8\""] {
            let said = PLAIN.replace("text/plain", &format!("text/plain{alphabet}"));
            assert!(read(said.as_bytes(), "b").is_some(), "{alphabet}");
        }
    }

    #[test]
    fn a_boundary_is_named_once() {
        let named = |parameters: &str| boundary(&format!("multipart/form-data{parameters}"));
        assert_eq!(named("; boundary=----a'b"), Some("----a'b".to_owned()));
        assert_eq!(named(";Boundary=\"a:b\""), Some("a:b".to_owned()));
        let longest = "a".repeat(70);
        assert_eq!(named(&format!("; boundary={longest}")), Some(longest));
        let long = format!("; boundary={}", "a".repeat(71));
        for parameters in [
            "",
            "; boundary=",
            "; boundary=a; boundary=b",
            "; boundary=a; charset=utf-7",
            "; boundary*=utf-8''a",
            "; boundary=\"a\\b\"",
            "; boundary=\"a;b\"",
            "; boundary=a b",
            "; boundary",
            &long,
        ] {
            assert_eq!(named(parameters), None, "{parameters}");
        }
    }

    #[test]
    fn fuzz_a_form_in_parts_is_read_or_not_and_grows_no_more_than_it_is() {
        const WORDS: &[&str] = &[
            "--b\r\n",
            "\r\n--b",
            "--b--",
            "\r\n\r\n",
            "Content-Disposition: form-data; name=\"a\"",
            "; filename=\"x\"",
            "Content-Type: text/plain",
        ];
        crate::mutate::fuzz("multipart", WORDS, |bytes| match read(bytes, "b") {
            Some(form) => {
                assert!(form.to_string().len() <= 8 * bytes.len() + 2);
                format!(
                    "{} names",
                    form.as_object().map_or(0, serde_json::Map::len).min(3)
                )
            }
            None => "other".to_owned(),
        });
    }
}
