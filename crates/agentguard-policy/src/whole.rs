//! A tier with its tests, all in one engine: for checking, for testing, for queries.

use regorus::Engine;

use crate::engine::new_engine;
use crate::error::Mistake;
use crate::module::{self, Parsed};
use crate::sources::{self, File, Source};

/// The modules of a tier, its tests too.
pub(crate) struct Whole {
    pub(crate) engine: Engine,
    /// One for each of the engine's modules, in their order.
    pub(crate) parsed: Vec<Parsed>,
}

impl Whole {
    /// Reads a tier's files over those of `library`. What cannot be a module is left out and told.
    pub(crate) fn load(source: &Source, library: &[(&Source, &File)]) -> (Self, Vec<Mistake>) {
        let mut engine = new_engine();
        let mut parsed = Vec::new();
        let mut mistakes = Vec::new();
        for (source, file) in sources::over(source, library) {
            let before = engine.clone();
            match module::add(&mut engine, source, file) {
                Ok(one) => parsed.push(one),
                Err(found) => {
                    engine = before;
                    mistakes.extend(found);
                }
            }
        }
        (Self { engine, parsed }, mistakes)
    }
}
