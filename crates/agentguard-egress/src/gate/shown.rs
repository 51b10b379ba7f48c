//! What policy is shown of a body.

use serde_json::Value;

use super::encoded::Decoded;
use super::form;
use super::json;
use super::multipart;
use super::refusal::Fault;

/// What a body is said to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Json,
    /// A GraphQL document and nothing else.
    Document,
    /// Names and values.
    Form,
    /// Names and values, divided by this.
    Parts(String),
    Other,
}

/// What is shown.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) json: Option<Value>,
    pub(super) form: Option<Value>,
    pub(super) document: Option<String>,
    /// Whether that is all that a server gets.
    pub(super) is_all: bool,
}

impl Shown {
    pub(super) const NOTHING: Self = Self {
        json: None,
        form: None,
        document: None,
        is_all: false,
    };
}

impl Kind {
    /// By the header `content-type`. JSON and documents are UTF-8: in other alphabets, as UTF-7, the same
    /// bytes say something else to servers that take them.
    pub(super) fn of(content_type: Option<&str>) -> Result<Self, Fault> {
        let mut parts = content_type.unwrap_or_default().split(';');
        let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let kind = match kind.as_str() {
            "application/json" | "text/json" => Self::Json,
            kind if kind.ends_with("+json") => Self::Json,
            "application/graphql" => Self::Document,
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => {
                let boundary = content_type.and_then(multipart::boundary);
                return Ok(boundary.map_or(Self::Other, Self::Parts));
            }
            _ => return Ok(Self::Other),
        };
        for part in parts {
            let part = part.trim().to_ascii_lowercase();
            let Some((name, value)) = part.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            // What is said of a form is its servers' to know: it is not shown then.
            if kind == Self::Form {
                if name.trim() != "charset" || value != "utf-8" {
                    return Ok(Self::Other);
                }
                continue;
            }
            if name.trim() == "charset" && !matches!(value, "utf-8" | "utf8" | "us-ascii") {
                let reason = format!("its body is said to be in `{value}`, and JSON is in UTF-8");
                return Err(Fault::bad("gate/body", reason));
            }
        }
        Ok(kind)
    }
}

/// What is shown of a body that was read whole. Servers read JSON that is not said to be any, so it is shown.
pub(super) fn shown(body: Decoded, kind: Kind) -> Result<Shown, Fault> {
    let whole = match body {
        Decoded::All(whole) => whole,
        Decoded::TooLong => return Ok(Shown::NOTHING),
        Decoded::Broken => {
            let reason = "its body is not encoded as it is said to be";
            return Err(Fault::bad("gate/body", reason));
        }
    };
    if whole.trim_ascii().is_empty() {
        return Ok(Shown {
            is_all: true,
            ..Shown::NOTHING
        });
    }
    if kind == Kind::Document {
        let document = String::from_utf8(whole);
        let reason = "its body is said to be GraphQL, and is no text";
        let document = document.map_err(|_| Fault::bad("gate/body", reason))?;
        return Ok(Shown {
            document: Some(document),
            is_all: true,
            ..Shown::NOTHING
        });
    }
    if let Some(form) = form_in(&whole, &kind) {
        return Ok(Shown {
            form: Some(form),
            is_all: true,
            ..Shown::NOTHING
        });
    }
    let is_json = kind == Kind::Json;
    let read = if is_json || json::looks_so(&whole) {
        json::read(&whole)
    } else {
        json::Read::Other
    };
    let json = match read {
        json::Read::Json(json) => Some(json),
        json::Read::Twofold => {
            let reason = "a name stands twice in one object of its body";
            return Err(Fault::bad("gate/body", reason));
        }
        json::Read::Other if is_json => {
            return Err(Fault::bad(
                "gate/body",
                "its body is said to be JSON, and is none",
            ));
        }
        json::Read::Other => None,
    };
    Ok(Shown {
        json,
        is_all: is_json,
        ..Shown::NOTHING
    })
}

/// The form that a body is, where it is one and nothing else: some servers read JSON whatever it is said to be.
fn form_in(whole: &[u8], kind: &Kind) -> Option<Value> {
    match kind {
        Kind::Form if !json::looks_so(whole) => form::read(whole),
        Kind::Parts(boundary) => multipart::read(whole, boundary),
        Kind::Form | Kind::Json | Kind::Document | Kind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_another_alphabet_is_refused() {
        for (content_type, kind) in [
            (None, Some(Kind::Other)),
            (Some("application/json"), Some(Kind::Json)),
            (
                Some("Application/vnd.x+JSON; Charset=\"UTF-8\""),
                Some(Kind::Json),
            ),
            (Some("application/graphql; x"), Some(Kind::Document)),
            (Some("text/plain; charset=utf-7"), Some(Kind::Other)),
            (
                Some("application/x-www-form-urlencoded; charset=UTF-8"),
                Some(Kind::Form),
            ),
            (
                Some("application/x-www-form-urlencoded; charset=utf-7"),
                Some(Kind::Other),
            ),
            (
                Some("multipart/form-data; boundary=x"),
                Some(Kind::Parts("x".to_owned())),
            ),
            (Some("multipart/form-data"), Some(Kind::Other)),
            (Some("application/json; charset=utf-7"), None),
            (Some("application/json;x=y; charset = UTF-16"), None),
            (
                Some("application/graphql; charset=utf-8; charset=utf-7"),
                None,
            ),
        ] {
            assert_eq!(Kind::of(content_type).ok(), kind, "{content_type:?}");
        }
    }

    #[test]
    fn only_what_is_said_to_be_what_it_is_is_all_that_is_sent() {
        let all = |text: &str| Decoded::All(text.as_bytes().to_vec());
        for (body, kind, is_shown, is_all) in [
            (all("{}"), Kind::Json, true, true),
            (all(""), Kind::Json, false, true),
            (all(""), Kind::Other, false, true),
            // A server that reads a form finds another thing in it.
            (all("{\"a\":\"&b=1\"}"), Kind::Other, true, false),
            (all("{\"a\":\"&b=1\"}"), Kind::Form, true, false),
            (all("a=1"), Kind::Other, false, false),
            (all("a=1"), Kind::Form, false, true),
            (all("a=1;b"), Kind::Form, false, false),
            (all("--x--"), Kind::Parts("x".to_owned()), false, true),
            (all("a=1"), Kind::Parts("x".to_owned()), false, false),
            (Decoded::TooLong, Kind::Json, false, false),
        ] {
            let shown = shown(body, kind).unwrap();
            assert_eq!((shown.json.is_some(), shown.is_all), (is_shown, is_all));
        }
        assert!(shown(Decoded::Broken, Kind::Json).is_err());
        assert!(shown(all("x"), Kind::Json).is_err());
    }
}
