//! Agent keys, and the human who triggered a session.
#![forbid(unsafe_code)]
