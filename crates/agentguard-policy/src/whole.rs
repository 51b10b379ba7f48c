//! A tier with its tests, all in one engine: for checking, for testing, for queries.

use regorus::Engine;

use crate::engine::new_engine;
use crate::error::Mistake;
use crate::join::{self, Places};
use crate::module::{self, Parsed};
use crate::sources::{self, File, Source};

/// The modules of a tier, its tests too.
pub(crate) struct Whole {
    pub(crate) engine: Engine,
    pub(crate) parsed: Vec<Parsed>,
    pub(crate) places: Places,
}

impl Whole {
    /// Reads a tier's files over those of `library`. What cannot be a module is left out and told.
    pub(crate) fn load(source: &Source, library: &[(&Source, &File)]) -> (Self, Vec<Mistake>) {
        let mut parsed = Vec::new();
        let mut mistakes = Vec::new();
        for (source, file) in sources::over(source, library) {
            match module::read(source, file) {
                Ok(one) => parsed.push(one),
                Err(found) => mistakes.extend(found),
            }
        }
        let mut engine = new_engine();
        let places = join::add(&mut engine, &parsed.iter().collect::<Vec<_>>());
        let places = places.unwrap_or_else(|found| {
            mistakes.extend(found);
            Places::default()
        });
        let whole = Self {
            engine,
            parsed,
            places,
        };
        (whole, mistakes)
    }
}
