//! `trace`: from an effect back to the human.

mod follow;
mod run;
mod tell;
mod wanted;

pub(crate) use run::run;
pub(crate) use wanted::commit;
