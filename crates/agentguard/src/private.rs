//! What policy says is private of requests: it is judged and sent, and not written down.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

/// What stands in its place.
const INSTEAD: &str = "[redacted:policy]";

/// Names whose values are private, and paths of which some segments are.
pub(crate) struct Private {
    names: BTreeSet<String>,
    paths: Vec<Vec<String>>,
}

impl Private {
    /// Of `private` in `agentguard.sandbox`: names, and paths in which `*` stands for what is private.
    pub(crate) fn of(words: &[String]) -> Self {
        let (paths, names): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.starts_with('/'));
        let segments = |path: &String| path.split('/').skip(1).map(str::to_owned).collect();
        Self {
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            paths: paths.into_iter().map(segments).collect(),
        }
    }

    /// Whether something may be private that stands in a body.
    pub(crate) fn is_in_bodies(&self) -> bool {
        !self.names.is_empty()
    }

    /// The input of a decision about a request, without what is private.
    ///
    /// # Errors
    ///
    /// It is not JSON: then it is not known what of it is private.
    pub(crate) fn taken_out<'t>(&self, input: &'t str) -> Result<Cow<'t, str>, serde_json::Error> {
        if self.names.is_empty() && self.paths.is_empty() {
            return Ok(Cow::Borrowed(input));
        }
        let mut whole: Value = serde_json::from_str(input)?;
        if let Some(action) = whole.get_mut("action") {
            self.out_of_path(action);
            // A document of GraphQL has its values written into it.
            let is_graphql = action.get("graphql").is_some();
            for part in ["headers", "query", "form", "body", "graphql"] {
                if let Some(part) = action.get_mut(part) {
                    self.out_of(part, is_graphql && !self.names.is_empty());
                }
            }
        }
        serde_json::to_string(&whole).map(Cow::Owned)
    }

    fn out_of_path(&self, action: &mut Value) {
        let Some(Value::Array(segments)) = action.get_mut("path") else {
            return;
        };
        let is_at = |path: &[String], segments: &[Value]| {
            let fits = |(one, segment): (&String, &Value)| one == "*" || segment == one.as_str();
            path.len() <= segments.len() && path.iter().zip(segments).all(fits)
        };
        // All are looked for in the path as it was: what one takes out does not hide it from the next.
        let as_it_was = segments.clone();
        for path in self.paths.iter().filter(|path| is_at(path, &as_it_was)) {
            for (one, segment) in path.iter().zip(segments.iter_mut()) {
                if one == "*" {
                    *segment = INSTEAD.into();
                }
            }
        }
    }

    /// Takes out what stands under a private name, however deep.
    fn out_of(&self, value: &mut Value, is_graphql: bool) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let is_document = is_graphql && name == "query";
                    if is_document || self.names.contains(&name.to_ascii_lowercase()) {
                        *value = INSTEAD.into();
                    } else {
                        self.out_of(value, is_graphql);
                    }
                }
            }
            Value::Array(values) => {
                for value in values {
                    self.out_of(value, is_graphql);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken_out(words: &[&str], action: Value) -> Value {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let input = json!({"action": action, "schema": 1}).to_string();
        let left = Private::of(&words).taken_out(&input).unwrap();
        serde_json::from_str::<Value>(&left).unwrap()["action"].take()
    }

    #[test]
    fn what_stands_under_a_private_name_is_not_written_down() {
        let action = json!({
            "path": ["email"], "query": {"email": ["a", "b"], "n": ["1"]}, "form": {"EMail": ["a"]},
            "headers": {"email": "a", "accept": "b"},
            "body": {"user": [{"email": {"a": 1}}], "n": 1},
        });
        let expected = json!({
            "path": ["email"], "query": {"email": INSTEAD, "n": ["1"]}, "form": {"EMail": INSTEAD},
            "headers": {"email": INSTEAD, "accept": "b"},
            "body": {"user": [{"email": INSTEAD}], "n": 1},
        });
        assert_eq!(taken_out(&["email"], action.clone()), expected);
        assert_eq!(taken_out(&[], action.clone()), action);
    }

    #[test]
    fn the_segments_of_a_path_that_are_private_are_not_written_down() {
        let path = |segments: &[&str]| json!({"path": segments});
        let words = ["/users/*", "/users/*/keys/*", "/*/x"];
        for (from, to) in [
            (&["users", "ada"][..], &["users", INSTEAD][..]),
            (
                &["users", "ada", "keys", "k"],
                &["users", INSTEAD, "keys", INSTEAD],
            ),
            (&["users"], &["users"]),
            (&["teams", "ada"], &["teams", "ada"]),
            (&["users", "x"], &[INSTEAD, INSTEAD]),
        ] {
            assert_eq!(taken_out(&words, path(from)), path(to));
        }
    }

    #[test]
    fn of_graphql_the_document_is_not_written_down_where_a_name_is_private() {
        let action = json!({
            "graphql": [{"field": "add", "arguments": {"email": "a", "n": 1}}],
            "body": {"query": "mutation { add(email: \"a\", n: 1) }", "variables": {}},
        });
        let expected = json!({
            "graphql": [{"field": "add", "arguments": {"email": INSTEAD, "n": 1}}],
            "body": {"query": INSTEAD, "variables": {}},
        });
        assert_eq!(taken_out(&["email"], action), expected);
    }

    #[test]
    fn what_cannot_be_read_is_not_written_down_at_all() {
        let private = Private::of(&["email".to_owned()]);
        assert!(private.taken_out("{\"action\"").is_err());
    }
}
