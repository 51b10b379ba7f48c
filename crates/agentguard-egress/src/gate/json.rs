//! Bodies that policy sees.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// What a body is that is to be seen.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    /// JSON, which every server reads in this one way.
    Json(Value),
    /// JSON of which two servers could make two things: a name stands twice in one object.
    Twofold,
    /// Something else.
    Other,
}

/// Reads a body.
pub(super) fn read(bytes: &[u8]) -> Read {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut is_twofold = false;
    let read = Once(&mut is_twofold).deserialize(&mut deserializer);
    match read.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Read::Json(value),
        Err(_) if is_twofold => Read::Twofold,
        Err(_) => Read::Other,
    }
}

/// Whether it looks as if it were to be JSON: an object or a list.
pub(super) fn looks_so(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start(), [b'{' | b'[', ..])
}

/// Reads a value in which each name stands once, and says where one does not.
struct Once<'o>(&'o mut bool);

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let (mut map, mut names) = (serde_json::Map::new(), HashSet::new());
        while let Some(name) = access.next_key::<String>()? {
            if !names.insert(name.clone()) {
                *self.0 = true;
                return Err(A::Error::custom("a name stands twice"));
            }
            map.insert(name, access.next_value_seed(Once(&mut *self.0))?);
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(Once(&mut *self.0))? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::Deserialize as _;

    use super::*;

    #[test]
    fn a_body_is_json_in_one_way_or_in_none() {
        let value = serde_json::json!({"a": [1, -2, 0.5, true, null, "x"], "b": {"a": {}}});
        assert_eq!(read(value.to_string().as_bytes()), Read::Json(value));
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"x":{"a":1,"a":1}}]"#,
        ] {
            assert_eq!(read(text.as_bytes()), Read::Twofold, "{text}");
        }
        let deep = "[".repeat(10_000);
        for text in [
            "",
            "{",
            "{'a':1}",
            "{} {}",
            "[1,]",
            "NaN",
            "{\"a\":1}x",
            "\u{feff}{}",
            &deep,
        ] {
            assert_eq!(read(text.as_bytes()), Read::Other, "{text}");
        }
    }

    #[test]
    fn fuzz_a_body_is_what_serde_says_unless_a_name_stands_twice() {
        const WORDS: &[&str] = &[
            "{",
            "}",
            "[",
            "]",
            "\"a\":",
            ",",
            "null",
            "1e9",
            "\"\\u0061\":",
        ];
        crate::mutate::fuzz("body", WORDS, |bytes| {
            let plain: Option<Value> =
                Value::deserialize(&mut serde_json::Deserializer::from_slice(bytes)).ok();
            match read(bytes) {
                Read::Json(value) => {
                    assert_eq!(Some(value), plain);
                    "json".to_owned()
                }
                Read::Twofold => "twofold".to_owned(),
                Read::Other => "other".to_owned(),
            }
        });
    }
}
