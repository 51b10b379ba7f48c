//! What a client is told that gets no answer from a server.

use std::sync::Arc;

use agentguard_core::Rule;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::ask::Told;
use super::body::Body;

/// Something that the gate refuses by a rule of its own.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) rule: Rule,
}

impl Fault {
    /// A request that could be read in two ways, or in none.
    pub(super) fn bad(id: &'static str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, id, reason)
    }

    pub(super) fn new(status: StatusCode, id: &'static str, reason: impl Into<String>) -> Self {
        Self {
            status,
            rule: Rule::new(id, reason),
        }
    }

    pub(super) fn with_remedy(mut self, remedy: &str) -> Self {
        self.rule = self.rule.with_remedy(remedy);
        self
    }
}

/// A refusal, as a client is told of it: by whom, by which rule, why, what instead, and where it is written.
pub(super) fn text(told: &Told) -> String {
    let rule = &told.rule;
    let mut text = json!({
        "error": "refused by agentguard",
        "rule": rule.id,
        "reason": rule.reason,
        "remedy": rule.remedy,
        "entry": told.entry,
    });
    if let (Some(approval), Some(fields)) = (&told.approval, text.as_object_mut()) {
        fields.insert("approval".to_owned(), json!(approval));
    }
    format!("{text}\n")
}

pub(super) fn answer(status: StatusCode, told: &Told) -> Response<Body> {
    json_answer(status, text(told))
}

/// A permitted request that no server answered.
pub(super) fn unanswered(status: StatusCode, why: &str, entry: Option<u64>) -> Response<Body> {
    let text = json!({ "error": "not answered", "reason": why, "entry": entry });
    json_answer(status, format!("{text}\n"))
}

fn json_answer(status: StatusCode, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::whole(text.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The same for a connection on which nothing can be answered in any other way, and which ends with it.
pub(super) fn raw(status: StatusCode, told: &Told) -> Arc<[u8]> {
    let text = text(told);
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{text}",
        text.len()
    );
    answer.into_bytes().into()
}
