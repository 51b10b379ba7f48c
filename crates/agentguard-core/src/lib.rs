//! The words of agentguard, and the gate.
//!
//! An *agent* wants to do something: that is an [`Action`], a typed and canonical value. A [`Judge`]
//! turns it into a [`Verdict`]; the [`Gate`] has the ruling recorded and only then hands out a
//! [`Permit`]. Nothing in the workspace can act without a permit, and a permit is made in one place.
//!
//! ```
//! use agentguard_core::{Action, Gate, Judge, NobodyToAsk, Record, Refusal};
//! # use agentguard_core::{Index, Rule, Ruling, Undecided, Unrecorded, Verdict};
//! # struct Policy;
//! # impl Judge<u8> for Policy {
//! #     fn judge(&self, _: &u8) -> Result<Verdict, Undecided> {
//! #         Ok(Verdict::Deny(Rule::new("demo/no", "nothing is allowed here")))
//! #     }
//! # }
//! # struct Log;
//! # impl Record<u8> for Log {
//! #     fn record(&self, _: &u8, _: &Ruling) -> Result<Index, Unrecorded> { Ok(Index(7)) }
//! # }
//! let gate = Gate::new(Policy, NobodyToAsk, Log);
//! let refusal = gate.admit(3u8).unwrap_err();
//! assert!(matches!(refusal, Refusal::Denied { index: Index(7), .. }));
//! ```
//!
//! This crate does no input or output: it holds the types that the other crates exchange, the traits
//! through which they serve one another, and the order in which judging, recording and acting happen.
#![forbid(unsafe_code)]

mod action;
mod address;
mod agent;
mod approval;
mod brought;
mod clock;
mod confinement;
mod credential;
mod digest;
mod entry;
mod gate;
mod host;
mod human;
mod level;
mod network;
pub mod places;
mod push;
mod secret;
mod session;
pub mod ssh;
pub mod trailers;
mod verdict;

pub use action::{Action, Connect, Exec, MadeBy, Making, Program, ProgramClass, Start};
pub use agent::{Agent, AgentName, InvalidName};
pub use approval::{Answered, Approval, Approver, Signed, Statement};
pub use brought::Brought;
pub use clock::{Clock, FixedClock, Moment, Timestamp};
pub use confinement::{
    Access, Confinement, Forcing, Grant, Held, HomeGrant, Limits, Network, Tier, TierDigest,
};
pub use credential::{Binding, Credential, CredentialName, InvalidCredentialName, Slot};
pub use digest::{Commitment, Digest, InvalidDigest, Salt};
pub use entry::{
    Bodies, Change, ChangeKind, Class, CommitSeen, CredentialAct, Entry, Event, Origin, OutcomeOf,
    Passed, RefMove, SessionStatus, Span, Tally,
};
pub use gate::{
    Admitted, Approve, Gate, Index, Judge, NobodyToAsk, Permit, Record, Refusal, Undecided,
    Unrecorded, Waiting,
};
pub use host::{Host, HostGrant, HostName, InvalidHost, InvalidHostGrant, Place};
pub use human::{Evidence, Human, Trigger, TriggerKind};
pub use level::{Enforcement, Level, Promise};
pub use network::{
    AddressClass, Api, Caller, Calling, GraphqlField, GraphqlOperation, Reach, ReachedBy, Scheme,
};
pub use push::{
    FileChange, FileKind, PathChange, PathChanged, Push, PushedBy, PushedCommit, RefChange,
    RefKind, RefOutcome, RefUpdate, ValueChange,
};
pub use secret::Secret;
pub use session::{InvalidSessionId, Session, SessionId};
pub use ssh::MessageDigest;
pub use verdict::{InvalidRuleId, Rule, RuleId, Ruling, Verdict};
