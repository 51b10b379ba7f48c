//! Judges actions by a deny-list and by Rego.
#![forbid(unsafe_code)]
