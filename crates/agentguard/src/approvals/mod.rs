//! Questions to humans: what waits, and how it is answered from outside the session.
//!
//! A question lies as a file in a directory of its session, below the guard's state, which nothing inside reaches.
//! An answer is a file beside it, made whole and at once: the first stands. It repeats the digest of all that the
//! question says, and the guard compares it with what it asked, not with what lies there. The guard holds a lock
//! on the directory: where nobody does, its guard is dead, and nobody will act on anything in it.

mod answer;
mod book;
mod place;
mod question;

pub use answer::{Given, Unanswered, answer, waiting};
pub use question::{Asked, Question};

pub(crate) use book::{Asking, Book, Settled};
