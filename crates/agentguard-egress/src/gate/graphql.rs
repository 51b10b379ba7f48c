//! GraphQL: what a document asks for, as a server will understand it, whatever names it gives to things.
//!
//! Policy is to decide by the fields that are asked for, and one host's requests all go to one path. So a
//! document is read here: its operations, the fields at their roots with fragments resolved and aliases
//! undone, and their arguments with variables filled in. Which of several operations is carried out is for
//! the server to say; all are shown. What is conditional (`@skip`, `@include`) is shown as well.

mod document;
mod token;

use agentguard_core::GraphqlField;
use hyper::StatusCode;
use serde_json::{Map, Value};

use super::path::Target;
use super::refusal::Fault;

/// Fields at the roots of all that one request asks for.
const MOST_FIELDS: usize = 512;

/// A document, and what its variables are.
struct Asked<'b> {
    document: &'b str,
    variables: Map<String, Value>,
}

/// What a request asks for in GraphQL, where it does.
///
/// At a path that ends in `graphql`, what cannot be read is refused: the server might. Elsewhere a body is
/// only shown as GraphQL where it is one.
pub(super) fn of(
    target: &Target,
    json: Option<&Value>,
    text: Option<&str>,
) -> Result<Option<Vec<GraphqlField>>, Fault> {
    let is_endpoint = is_endpoint(&target.segments);
    let read = in_url(target, is_endpoint)
        .and_then(|mut asked| {
            asked.extend(in_body(json, text)?);
            Ok(asked)
        })
        .and_then(|asked| fields(&asked, target));
    match read {
        Ok(fields) => Ok(Some(fields).filter(|fields| !fields.is_empty())),
        Err(reason) if is_endpoint => Err(Fault::new(
            StatusCode::BAD_REQUEST,
            "gate/graphql",
            format!("what it asks for in GraphQL cannot be read: {reason}"),
        )),
        Err(_) => Ok(None),
    }
}

/// Whether a path is one where servers take GraphQL.
pub(super) fn is_endpoint(segments: &[String]) -> bool {
    let last = segments.iter().rev().find(|segment| !segment.is_empty());
    last.is_some_and(|last| {
        ["graphql", "gql", "graphql.json"]
            .iter()
            .any(|name| last.eq_ignore_ascii_case(name))
    })
}

fn fields(asked: &[Asked<'_>], target: &Target) -> Result<Vec<GraphqlField>, &'static str> {
    if asked.len() > 1 && target.query.contains_key("query") && is_endpoint(&target.segments) {
        return Err("its address asks for something, and its body too");
    }
    let mut fields = Vec::new();
    for Asked {
        document,
        variables,
    } in asked
    {
        document::read(document)?.fields(variables, &mut fields)?;
        if fields.len() > MOST_FIELDS {
            return Err("it asks for too much at once");
        }
    }
    Ok(fields)
}

fn in_url(target: &Target, is_endpoint: bool) -> Result<Vec<Asked<'_>>, &'static str> {
    // Elsewhere it is the word for a search.
    let Some(documents) = target.query.get("query").filter(|_| is_endpoint) else {
        return Ok(Vec::new());
    };
    let one = |name| match target.query.get(name).map(Vec::as_slice) {
        None => Ok(None),
        Some([one]) => Ok(Some(one.as_str())),
        Some(_) => Err("its address says something twice"),
    };
    let [document] = &documents[..] else {
        return Err("its address has two documents");
    };
    let variables = match one("variables")? {
        None | Some("") => Map::new(),
        Some(text) => from_text(text)?,
    };
    Ok(vec![Asked {
        document,
        variables,
    }])
}

/// `text` is a body that is said to be nothing but a document.
fn in_body<'b>(
    json: Option<&'b Value>,
    text: Option<&'b str>,
) -> Result<Vec<Asked<'b>>, &'static str> {
    if let Some(document) = text {
        return Ok(vec![Asked {
            document,
            variables: Map::new(),
        }]);
    }
    match json {
        Some(Value::Object(object)) if object.contains_key("query") => Ok(vec![in_object(object)?]),
        Some(Value::Array(batch)) => batch
            .iter()
            .map(|one| in_object(one.as_object().ok_or("one of a batch is none")?))
            .collect(),
        Some(_) | None => Ok(Vec::new()),
    }
}

fn in_object(object: &Map<String, Value>) -> Result<Asked<'_>, &'static str> {
    let document = object.get("query").and_then(Value::as_str);
    let document = document.ok_or("its document is no text")?;
    let variables = match object.get("variables") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(variables)) => variables.clone(),
        Some(Value::String(text)) if text.is_empty() => Map::new(),
        // Some servers take them as text.
        Some(Value::String(text)) => from_text(text)?,
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            return Err("its variables are none");
        }
    };
    Ok(Asked {
        document,
        variables,
    })
}

fn from_text(text: &str) -> Result<Map<String, Value>, &'static str> {
    match super::json::read(text.as_bytes()) {
        super::json::Read::Json(Value::Object(variables)) => Ok(variables),
        super::json::Read::Json(Value::Null) => Ok(Map::new()),
        super::json::Read::Json(_) | super::json::Read::Twofold | super::json::Read::Other => {
            Err("its variables are none")
        }
    }
}

#[cfg(test)]
mod tests;
