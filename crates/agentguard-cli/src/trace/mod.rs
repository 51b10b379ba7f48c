//! `trace`: from an effect back to the human.

mod follow;
mod tell;
