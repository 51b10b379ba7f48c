//! Trust your coding agents.
#![forbid(unsafe_code)]

pub use agentguard_audit as audit;
pub use agentguard_core as core;
pub use agentguard_credentials as credentials;
pub use agentguard_policy as policy;
