//! Trust your coding agents: every action judged, confined and recorded.
//!
//! A [`Guard`] runs a command as a session. What it may do is decided by policy, held by the kernel,
//! and written down in a log that anyone can verify, together with the human who asked for it.
//!
//! ```no_run
//! use agentguard::{Guard, Places, Run, Silent};
//!
//! agentguard::sandbox::enter_if_asked(); // first in `main`: the mediator is this program again
//! if agentguard::policy::evaluate_if_asked() { return Ok(()) } // and so is who evaluates policies
//! if agentguard::egress::enter_if_asked() { return Ok(()) } // and a session's gate to the network
//! let signals = agentguard::sandbox::HeldSignals::hold()?;
//! let places = Places { state: "/var/lib/runner/agentguard".into(), config: "/etc/runner/agentguard".into() };
//! let run = Run::new("/srv/checkout".into(), vec!["make".into(), "test".into()]);
//! let finished = Guard::new(places).exec(&run, &Silent, &signals)?;
//! println!("{:?}, recorded as session {}", finished.outcome, finished.session);
//! # Ok::<(), agentguard::Error>(())
//! ```
//!
//! This crate joins the parts and holds no rule of its own: [`policy`] judges, [`sandbox`] confines, [`egress`]
//! passes requests on, [`audit`] records, [`credentials`] knows who acts and who asked.
#![forbid(unsafe_code)]

pub mod approvals;
mod arrange;
mod asked;
mod bundle;
mod clock;
mod denied;
mod doctor;
mod ending;
mod environment;
mod erase;
mod error;
mod gated;
mod git;
mod guard;
mod human;
mod layout;
mod learn;
mod lending;
mod limits;
mod planted;
mod private;
mod programs;
mod provenance;
mod record;
mod run;
mod signing;
mod supervise;
mod temporary;
#[cfg(test)]
mod tests;
pub mod text;
mod trailers;
mod trusted;
mod verify;
mod workspace;

pub use agentguard_audit as audit;
pub use agentguard_audit::Places;
pub use agentguard_core as core;
pub use agentguard_credentials as credentials;
pub use agentguard_egress as egress;
pub use agentguard_policy as policy;
pub use agentguard_sandbox as sandbox;

pub use arrange::{Arranged, random_word};
pub use clock::SystemClock;
pub use doctor::{cause, examine};
pub use erase::erase;
pub use error::Error;
pub use guard::{Finished, Guard};
pub use learn::{Learned, Learning};
pub use provenance::Provenance;
pub use run::{Run, Silent, Tell, Told, is_read_within};
pub use verify::verify_session;
