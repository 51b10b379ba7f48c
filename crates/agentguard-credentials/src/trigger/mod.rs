//! Who triggered this, read from what the platform says.
//!
//! Everything here comes from variables, flags and files that whoever starts us could have written:
//! it is at most `asserted`. Stronger evidence needs a token that the platform signed.

#[cfg(test)]
mod fuzz;
mod github;
mod gitlab;
mod local;
mod payload;
#[cfg(test)]
mod tests;
mod value;

use agentguard_core::{Evidence, Human, Trigger};

use crate::Error;
use value::Environment;

/// What the caller found out about where it runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terminal {
    /// The terminal on standard input, where there is one.
    pub tty: Option<String>,
    /// The user id we run as.
    pub uid: u32,
    /// The login name of that user, where it has one.
    pub login: Option<String>,
    /// The name of this host.
    pub host: String,
}

/// Finds out who triggered this session, and how.
///
/// `environment` reads a variable; `by` is the human named by a flag. A flag adds a name that the
/// platform does not know: it never raises the evidence, and where a platform names someone it stands
/// beside as a fact.
///
/// # Errors
///
/// Returns [`Error::Missing`] where a platform is named but does not say who, [`Error::TwoPlatforms`]
/// where two are, and [`Error::Invalid`] where a name or a number could not stand in a log as it is.
pub fn detect(
    environment: &dyn Fn(&str) -> Option<String>,
    terminal: &Terminal,
    by: Option<&str>,
) -> Result<(Human, Trigger), Error> {
    let environment = Environment(environment);
    let by = by.map(|by| value::person("--by", by)).transpose()?;
    let is_github = environment.is_true("GITHUB_ACTIONS");
    let is_gitlab = environment.is_true("GITLAB_CI");
    match (is_github, is_gitlab) {
        (true, true) => Err(Error::TwoPlatforms),
        (true, false) => github::detect(&environment).map(|found| beside(found, terminal, by)),
        (false, true) => gitlab::detect(&environment).map(|found| beside(found, terminal, by)),
        (false, false) => local::detect(&environment, terminal, by),
    }
}

/// Adds what is known besides to what a platform said, without changing whom it named.
fn beside(
    (human, mut trigger): (Human, Trigger),
    terminal: &Terminal,
    by: Option<String>,
) -> (Human, Trigger) {
    trigger.facts.extend(by.map(|by| value::fact("by", &by)));
    // A job has no terminal: where there is one, someone may have typed the variables.
    trigger.facts.extend(
        terminal
            .tty
            .as_deref()
            .map(|tty| value::fact("terminal", tty)),
    );
    (human, trigger)
}

/// The evidence for an account of a platform: a bot is nobody, whoever set it off.
fn evidence_for(is_bot: bool) -> Evidence {
    if is_bot {
        Evidence::None
    } else {
        Evidence::Asserted
    }
}
