//! YAML, as far as everybody reads the same in it: what one reader takes for a route and another for a text is
//! refused. Texts that are no JSON number, `true`, `false` or `null` stay texts as they are written.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else the parser comes to say is refused"
)]

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

/// How deep it may be nested, and how many values it may hold.
const DEEPEST: usize = 64;
const MOST_VALUES: usize = 50_000;

/// Reads one document.
///
/// # Errors
///
/// Returns why it is none, or could be read in more than one way, with its place.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut all = documents(text)?;
    match all.len() {
        // Nothing but comments.
        0 => Ok(Value::Null),
        1 => Ok(all.swap_remove(0)),
        _ => Err("it holds several documents".to_owned()),
    }
}

/// Reads any number of documents, which together are no larger than one may be.
///
/// # Errors
///
/// Returns why one of them is none, or could be read in more than one way.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    alike(text)?;
    // YAML knows no tab there, and some readers do.
    let is_indented_by_tab = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        line.bytes().take(indent).any(|byte| byte == b'\t')
    };
    if text.lines().any(is_indented_by_tab) {
        return Err("a line is indented by a tab".to_owned());
    }
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        values: 0,
    };
    match reader.next()? {
        Event::StreamStart => {}
        _ => return Err("it does not begin".to_owned()),
    }
    let mut all = Vec::new();
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(all),
            Event::DocumentStart(_) => {
                let first = reader.next()?;
                all.push(reader.value(first, 0)?);
            }
            _ => return Err("it does not begin".to_owned()),
        }
        if reader.next()? != Event::DocumentEnd {
            return Err("it goes on behind its end".to_owned());
        }
    }
}

/// Refuses what ends a line, or a document, for some readers only.
fn alike(text: &str) -> Result<(), &'static str> {
    let without = text.replace("\r\n", "\n");
    if without.contains(is_odd) {
        return Err("it holds a sign that ends a line for some readers only");
    }
    // Kubernetes takes every such line for an end, and reads nothing more of it.
    let is_end = |line: &str| {
        let rest = line.strip_prefix("---").map(str::trim_start);
        rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('#'))
    };
    if without.lines().all(is_end) {
        Ok(())
    } else {
        Err("a line ends a document for some readers only")
    }
}

fn is_odd(sign: char) -> bool {
    (sign.is_control() && !matches!(sign, '\n' | '\t'))
        || matches!(sign, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    values: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it breaks off".to_owned()),
        }
    }

    fn value(&mut self, event: Event<'t>, depth: usize) -> Result<Value, String> {
        self.values += 1;
        if depth > DEEPEST || self.values > MOST_VALUES {
            return Err("it holds more than is read of such a file".to_owned());
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain(anchor, tag.as_deref())?;
                Ok(scalar(&text, style))
            }
            Event::SequenceStart(anchor, tag) => {
                plain(anchor, tag.as_deref())?;
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(Value::Array(list)),
                        event => list.push(self.value(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, tag) => {
                plain(anchor, tag.as_deref())?;
                self.mapping(depth)
            }
            Event::Alias(_) => Err(
                "it names a part of itself, and readers differ on what that adds up to".to_owned(),
            ),
            _ => Err("a value is missing".to_owned()),
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut map = Map::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(Value::Object(map)),
                Event::Scalar(text, _, anchor, tag) => {
                    plain(anchor, tag.as_deref())?;
                    text.into_owned()
                }
                _ => return Err("a name is no text".to_owned()),
            };
            if key == "<<" {
                return Err(
                    "it merges a part of itself, and readers differ on what that adds up to"
                        .to_owned(),
                );
            }
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            if map.insert(key.clone(), value).is_some() {
                return Err(format!("`{key}` stands twice"));
            }
        }
    }
}

/// Anchors are of use only to aliases; a tag has a reader make of a value what it is not.
fn plain(anchor: usize, tag: Option<&Tag>) -> Result<(), String> {
    match (anchor, tag) {
        (0, None) => Ok(()),
        (_, Some(tag)) => Err(format!("`{}{}` is not read", tag.handle, tag.suffix)),
        (_, None) => {
            Err("it names a part of itself, and readers differ on what that adds up to".to_owned())
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        // A number only where nothing of it is lost.
        text => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) if number.to_string() == text => Value::Number(number),
            Ok(_) | Err(_) => Value::from(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::differ::{differences, tests::changed};
    use super::*;

    #[test]
    fn what_everybody_reads_alike_is_read() {
        let text = "# c\nservices:\n  db:\n    type: postgresql:16\n    disk: 2048\n    'on': yes\n    \"n\": \"1\"\n\
                    list: [a, 1.5, true, ~, 0755, 1_000]\nempty:\ntext: |\n  a\n  b\n";
        assert_eq!(
            read(text).unwrap(),
            json!({
                "services": {"db": {"type": "postgresql:16", "disk": 2048, "on": "yes", "n": "1"}},
                "list": ["a", 1.5, true, null, "0755", "1_000"],
                "empty": null,
                "text": "a\nb\n",
            })
        );
        assert_eq!(read("# nothing\n").unwrap(), Value::Null);
    }

    #[test]
    fn what_readers_differ_on_is_not() {
        for text in [
            "a: 1\na: 2",
            "a: &x 1\nb: *x",
            "a: &x 1",
            "<<: {a: 1}",
            "a: !include b.yaml",
            "a: !!binary aGk=",
            "? [a]\n: b",
            "a: 1\n---\nb: 2",
            "a: [1",
            "a: b: c",
            "\ta: 1",
            "a: 1\n b: 2",
            // Older readers end a line there, and find what is a comment here.
            "a: 1 # c\u{2028}b: 2",
            "a: 1 # c\u{85}b: 2",
            "a: 1 # c\rb: 2",
            "\u{feff}a: 1",
            // Kubernetes finds two documents in each.
            "a: 1\n---x: |\n b: 2",
            "--- |\n a: 1",
            "---x: 1",
        ] {
            assert!(read(text).is_err(), "{text:?} is {:?}", read(text));
        }
        let deep = "[".repeat(2000) + &"]".repeat(2000);
        assert!(read(&deep).is_err());
    }

    #[test]
    fn several_documents_are_read_where_they_may_be() {
        let text = "a: 1\n---\n# c\nb: 2\n---\n";
        let all = [json!({"a": 1}), json!({"b": 2}), Value::Null];
        assert_eq!(documents(text).unwrap(), all);
        assert!(read(text).is_err());
        assert_eq!(documents("# c\n").unwrap(), Vec::<Value>::new());
        // A bound holds for all of them together, and a name of one is none of another.
        assert!(documents(&"---\na\n".repeat(MOST_VALUES + 1)).is_err());
        assert!(documents("a: &x 1\n---\nb: *x").is_err());
    }

    #[test]
    fn fuzz_what_is_read_is_read_the_same_as_json() {
        let words = [
            "a: ", "- ", "{", "}", "[", "]", ", ", "\n", "  ", "|\n", ">-\n", "'", "\"", "# ",
            "---\n", "&a", "*a", "<<: ", "!x ", "? ", "~", "1e3",
        ];
        crate::mutate::fuzz("yaml", &words, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else {
                return "no text".to_owned();
            };
            // What is told of two documents is all that makes the second of the first.
            if let Ok([before, after, ..]) = documents(text).as_deref()
                && let Some(told) = differences(Some(before), Some(after))
            {
                assert_eq!(changed(before, &told), *after);
            }
            match read(text) {
                Ok(value) => {
                    // JSON is YAML. What is read of it once more is the same value. Signs that may stand in a text by
                    // an escape alone are written so.
                    let escaped = |sign: char| match is_odd(sign) {
                        true => format!("\\u{:04x}", u32::from(sign)),
                        false => sign.to_string(),
                    };
                    let json: String = value.to_string().chars().map(escaped).collect();
                    assert_eq!(read(&json).unwrap(), value);
                    match value {
                        Value::Null => "null",
                        Value::Bool(_) => "bool",
                        Value::Number(_) => "number",
                        Value::String(_) => "string",
                        Value::Array(_) => "array",
                        Value::Object(_) => "object",
                    }
                    .to_owned()
                }
                Err(why) => why.split('`').next().unwrap().chars().take(24).collect(),
            }
        });
    }
}
