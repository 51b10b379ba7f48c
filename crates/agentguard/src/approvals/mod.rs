//! Questions to humans: what waits, and how it is answered from outside the session.
//!
//! A question lies as a file in a directory of its session, below the guard's state, which nothing inside reaches.
//! An answer is a file beside it, made whole and at once: the first stands. It repeats the digest of all that the
//! question says, and the guard compares it with what it asked, not with what lies there. The guard holds a lock
//! on the directory: where nobody does, its guard is dead, and nobody will act on anything in it. A human may sign
//! what they answer; whose keys count is read once, as the session begins.

mod answer;
mod book;
mod place;
mod question;
mod sign;
mod signers;
#[cfg(test)]
mod tests;

pub use answer::{Given, Unanswered, answer, waiting};
pub use question::{Asked, Question};

pub(crate) use book::{Asking, Book, Settled};
#[cfg(test)]
pub(crate) use sign::sign;
pub(crate) use signers::Signers;
