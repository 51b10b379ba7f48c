//! HCL, in which Terraform and OpenTofu are told what there is to be: read as the values that stand in it. What has to be
//! computed is not: it stands as its text, and is marked as such.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else may stand there has to be computed"
)]

use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Block, Body, Structure};
use hcl_edit::{Span as _, parser};
use serde_json::{Map, Value, json};

use super::steep::is_steep;

/// How deep it may be nested, how many values it may hold, and how many names one of them.
const DEEPEST: usize = 40;
const MOST_VALUES: usize = 20_000;
const MOST_NAMES: usize = 500;
/// The name under which the text stands that has to be computed: `{"$": "var.size"}`. No value has it.
pub(super) const COMPUTED: &str = "$";
/// What names the first blocks of a file, where it is written as JSON: how many names each has.
const NAMED: [(&str, usize); 9] = [
    ("check", 1),
    ("data", 2),
    ("ephemeral", 2),
    ("module", 1),
    ("output", 1),
    ("provider", 1),
    ("resource", 2),
    ("run", 1),
    ("variable", 1),
];

/// Reads a file: each attribute by its name, each block in a list by its name and its labels, as
/// `{"resource": {"type": {"name": [{…}]}}}`.
///
/// # Errors
///
/// Returns why it is none, or could be read in more than one way.
///
/// # References
///
/// <https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md>
pub(super) fn read(text: &str) -> Result<Value, String> {
    plain(text)?;
    let text = text.replace("\r\n", "\n");
    bounded(&text)?;
    if is_steep(&text) {
        return Err("too much is computed within what is computed".to_owned());
    }
    let body = parser::parse_body(&text).map_err(|error| {
        let at = error.location();
        format!("{} at line {}", error.message(), at.line())
    })?;
    let mut reader = Reader {
        text: &text,
        values: 0,
    };
    reader.body(&body).map(Value::Object)
}

/// Reads a file that is written as JSON, to the same.
///
/// # Errors
///
/// Returns why its blocks cannot be told.
///
/// # References
///
/// <https://developer.hashicorp.com/terraform/language/syntax/json>
pub(super) fn of_json(read: Value) -> Result<Value, String> {
    let Value::Object(read) = read else {
        return Err("it is no object".to_owned());
    };
    let mut all = Map::new();
    for (name, value) in read {
        let labels = NAMED.iter().find(|(named, _)| *named == name);
        let value = match labels {
            Some((_, labels)) => labelled(value, *labels)?,
            None => listed(marked(value)),
        };
        all.insert(name, value);
    }
    Ok(Value::Object(all))
}

/// Blocks below their labels. JSON has lists anywhere on the way, of which each holds some.
fn labelled(value: Value, labels: usize) -> Result<Value, String> {
    if labels == 0 {
        return Ok(listed(marked(value)));
    }
    let mut all = Map::new();
    let pieces = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    for piece in pieces {
        let Value::Object(piece) = piece else {
            return Err("a block in it has no name".to_owned());
        };
        for (label, value) in piece {
            if label == "//" {
                continue;
            }
            let value = labelled(value, labels - 1)?;
            match all.get_mut(&label) {
                Some(before) => merge(before, value),
                None => drop(all.insert(label, value)),
            }
        }
    }
    Ok(Value::Object(all))
}

fn listed(value: Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list),
        one => Value::Array(vec![one]),
    }
}

/// Puts blocks to those that are there.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Array(into), Value::Array(from)) => into.extend(from),
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(before) => merge(before, value),
                    None => drop(into.insert(name, value)),
                }
            }
        }
        // Both come of blocks with as many labels.
        (_, _) => {}
    }
}

/// Texts in JSON are templates.
fn marked(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains("${") || text.contains("%{") => computed(&text),
        Value::Array(list) => list.into_iter().map(marked).collect(),
        Value::Object(map) if map.contains_key(COMPUTED) => {
            computed(&Value::Object(map).to_string())
        }
        Value::Object(map) => {
            let each = map.into_iter().filter(|(name, _)| name != "//");
            each.map(|(name, value)| (name, marked(value))).collect()
        }
        plain => plain,
    }
}

fn computed(text: &str) -> Value {
    json!({ COMPUTED: text.trim() })
}

/// Refuses signs that not all readers take for the same.
fn plain(text: &str) -> Result<(), String> {
    if text.starts_with('\u{feff}') {
        return Err("it begins with a mark that not all readers skip".to_owned());
    }
    let is_end = |(at, sign): (usize, char)| {
        sign == '\r' && !text.get(at..).is_some_and(|rest| rest.starts_with("\r\n"))
    };
    let is_odd = |sign: char| sign.is_control() && !matches!(sign, '\n' | '\r' | '\t');
    if text.char_indices().any(is_end) || text.chars().any(is_odd) {
        return Err("it holds a sign that ends a line for some readers only".to_owned());
    }
    if text.contains("$$${") || text.contains("%%%{") {
        return Err("readers differ on what stands behind several `$` or `%`".to_owned());
    }
    Ok(())
}

/// Refuses what takes the parser much stack or time, whatever of it is text: it goes down once for each bracket, and
/// compares each name between two braces to all before.
fn bounded(text: &str) -> Result<(), &'static str> {
    let mut open = vec![0_usize];
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open.push(0),
            b')' | b']' | b'}' if open.len() > 1 => drop(open.pop()),
            b'=' | b':' if open.len() > 1 => {
                if let Some(names) = open.last_mut() {
                    *names += 1;
                }
            }
            _ => {}
        }
        if open.len() > DEEPEST {
            return Err("it is nested deeper than is read of such a file");
        }
        if open.last().is_some_and(|names| *names > MOST_NAMES) {
            return Err("it holds more names in one place than are read of such a file");
        }
    }
    Ok(())
}

struct Reader<'t> {
    text: &'t str,
    values: usize,
}

impl Reader<'_> {
    fn body(&mut self, body: &Body) -> Result<Map<String, Value>, String> {
        let mut all = Map::new();
        for one in body {
            self.count()?;
            match one {
                Structure::Attribute(attribute) => {
                    let name = attribute.key.as_str().to_owned();
                    let value = self.value(&attribute.value)?;
                    if all.insert(name.clone(), value).is_some() {
                        return Err(format!("`{name}` stands twice"));
                    }
                }
                Structure::Block(block) => self.block(block, &mut all)?,
            }
        }
        Ok(all)
    }

    fn block(&mut self, block: &Block, all: &mut Map<String, Value>) -> Result<(), String> {
        let mut value = Value::Array(vec![Value::Object(self.body(&block.body)?)]);
        for label in block.labels.iter().rev() {
            self.count()?;
            value = json!({ label.as_str(): value });
        }
        let name = block.ident.as_str();
        let Some(before) = all.get_mut(name) else {
            all.insert(name.to_owned(), value);
            return Ok(());
        };
        if is_alike(before, &value) {
            merge(before, value);
            Ok(())
        } else {
            Err(format!("`{name}` is two things"))
        }
    }

    fn value(&mut self, value: &Expression) -> Result<Value, String> {
        self.count()?;
        Ok(match value {
            Expression::Null(_) => Value::Null,
            Expression::Bool(value) => Value::Bool(*value.value()),
            Expression::String(text) => Value::from(text.as_str()),
            Expression::Array(list) => {
                let mut values = Vec::new();
                for one in list {
                    values.push(self.value(one)?);
                }
                Value::Array(values)
            }
            Expression::Object(object) => {
                let mut map = Map::new();
                for (key, one) in object {
                    let Some(name) = name(key) else {
                        return self.computed(value);
                    };
                    let one = self.value(one.expr())?;
                    if map.insert(name.to_owned(), one).is_some() {
                        return Err(format!("`{name}` stands twice"));
                    }
                }
                Value::Object(map)
            }
            Expression::Number(_) => {
                let text = self.said(value)?;
                match serde_json::from_str::<serde_json::Number>(text) {
                    Ok(number) if number.to_string() == text => Value::Number(number),
                    Ok(_) | Err(_) => computed(text),
                }
            }
            Expression::HeredocTemplate(_) => self.document(value)?,
            _ => return self.computed(value),
        })
    }

    /// A text over several lines. Where a line of it looks like its end, readers differ on which it is.
    fn document(&self, value: &Expression) -> Result<Value, String> {
        let said = self.said(value)?;
        let mut lines = said.lines();
        let end = lines.next().unwrap_or_default().trim_start_matches('<');
        let end = end.trim_start_matches('-').trim();
        let inner = lines.clone().count().saturating_sub(1);
        let is_end = |line: &str| line.trim_start().starts_with(end);
        if lines.by_ref().take(inner).any(is_end) || lines.next().map(str::trim) != Some(end) {
            return Err("readers differ on where a text in it ends".to_owned());
        }
        Ok(computed(said))
    }

    fn computed(&self, value: &Expression) -> Result<Value, String> {
        let said = self.said(value)?;
        // One stands within it.
        let has_document = said.split("<<").skip(1).any(|rest| {
            rest.starts_with(|sign: char| sign == '-' || sign == '_' || sign.is_alphabetic())
        });
        if has_document {
            return Err("a text of several lines stands within what is computed".to_owned());
        }
        Ok(computed(said))
    }

    /// How a value is written.
    fn said(&self, value: &Expression) -> Result<&str, String> {
        let span = value.span();
        let said = span.and_then(|span| self.text.get(span));
        said.map(str::trim)
            .ok_or_else(|| "a value is missing".to_owned())
    }

    fn count(&mut self) -> Result<(), String> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err("it holds more than is read of such a file".to_owned());
        }
        Ok(())
    }
}

/// The name of a value in an object, where it need not be computed.
fn name(key: &ObjectKey) -> Option<&str> {
    let name = match key {
        ObjectKey::Ident(name) => name.as_str(),
        ObjectKey::Expression(Expression::String(name)) => name.as_str(),
        ObjectKey::Expression(_) => return None,
    };
    (name != COMPUTED).then_some(name)
}

/// Whether two come of blocks that have as many labels.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let first = one.values().next().zip(other.values().next());
            first.is_some_and(|(one, other)| is_alike(one, other))
        }
        (Value::Array(_), Value::Array(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
#[path = "hcl_tests.rs"]
mod tests;
