//! All that is sent of a request, in one digest: by it the very same request is known again.

use std::collections::VecDeque;

use agentguard_core::Digest;
use hyper::body::Bytes;

use super::request::{Origin, Read};

/// Digests a request whose body was read whole. A human who says yes to it says so to these bytes, also to those
/// that no rule sees.
pub(super) fn digest(origin: &Origin, read: &Read, body: &VecDeque<Bytes>) -> Digest {
    let mut all = Vec::new();
    let mut add = |part: &[u8]| {
        // Its length stands before each, so that no two requests are written alike.
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        all.extend_from_slice(&length.to_le_bytes());
        all.extend_from_slice(part);
    };
    add(origin.scheme().as_bytes());
    add(origin.authority().as_bytes());
    add(read.method.as_str().as_bytes());
    add(read.target.sent.as_bytes());
    add(read.headers.len().to_string().as_bytes());
    for (name, value) in &read.headers {
        add(name.as_str().as_bytes());
        add(value.as_bytes());
    }
    let body: Vec<u8> = body.iter().flatten().copied().collect();
    add(&body);
    Digest::of(&all)
}
