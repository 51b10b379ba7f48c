//! What this machine can enforce: each part of the confinement tried for real, in a process of its own,
//! and for each that is missing its cause and one remedy. Nothing is left behind, and nothing weakened.

mod explain;
mod finding;
mod image;
mod probe;
mod prober;
mod surroundings;

pub use finding::{Answer, Finding, What};
pub use prober::{Subject, examine};

pub(crate) use prober::{NAME, run};
