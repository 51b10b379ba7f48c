//! Profiles: what a known agent is started with. What a profile grants is granted as everything else is; what is
//! read here is what it sets, says to the agent, and turns off.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;

use agentguard_core::Rule;

use crate::confine::{Reader, is_name};
use crate::deny::DenyList;
use crate::error::Error;

/// What holds for a session because a profile was named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: Option<String>,
    /// Words that are put behind the command's first.
    pub arguments: Vec<String>,
    /// What of the agent's own protection is off by these and by variables, and why.
    pub switched_off: Vec<Rule>,
}

impl Profile {
    /// The command as it is to be run.
    #[must_use]
    pub fn command<T: Clone + From<String>>(&self, asked: &[T]) -> Vec<T> {
        let first = asked.iter().take(1).cloned();
        let added = self.arguments.iter().cloned().map(T::from);
        first
            .chain(added)
            .chain(asked.iter().skip(1).cloned())
            .collect()
    }
}

/// What a tier offers, or several together.
pub(crate) struct Offered {
    profiles: Option<BTreeSet<String>>,
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    switched_off: Vec<Rule>,
}

impl Offered {
    pub(crate) fn read(reader: &Reader) -> Result<Self, String> {
        let groups = reader.set("arguments")?.unwrap_or_default();
        let groups = groups.into_iter().map(words);
        Ok(Self {
            profiles: reader.strings("profiles", &|name| !name.is_empty())?,
            variables: variables(reader)?,
            arguments: groups.collect::<Result<Vec<_>, _>>()?.concat(),
            switched_off: reader.rules("switched_off")?,
        })
    }

    /// Takes in a lower tier: it may leave profiles out. What the agent is started with is for the highest
    /// alone to say, so that what is said to be off is what was turned off.
    pub(crate) fn tighten(&mut self, lower: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.profiles, &lower.profiles) {
            mine.retain(|name| theirs.contains(name));
        }
    }

    /// What of it holds, and the variables that it sets.
    pub(crate) fn taken(
        self,
        asked: Option<&str>,
        deny: &DenyList,
    ) -> Result<(Profile, BTreeMap<String, String>), Error> {
        let known = self.profiles.unwrap_or_default();
        if let Some(name) = asked.filter(|name| !known.contains(*name)) {
            return Err(Error::Refused {
                rule: unknown(name, &known),
            });
        }
        if let Some(rule) = self.variables.keys().find_map(|name| deny.variable(name)) {
            return Err(Error::Refused { rule: rule.clone() });
        }
        let profile = Profile {
            name: asked.map(str::to_owned),
            arguments: self.arguments,
            switched_off: self.switched_off,
        };
        Ok((profile, self.variables))
    }
}

fn unknown(name: &str, known: &BTreeSet<String>) -> Rule {
    let reason = format!("no policy has a profile `{name}`");
    let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    let rule = Rule::new("profile/unknown", reason);
    match names.is_empty() {
        true => rule,
        false => rule.with_remedy(format!("name one of {}", names.join(", "))),
    }
}

/// Words that belong together, as they follow one another on a command line.
fn words(group: &Value) -> Result<Vec<String>, String> {
    let not_words = || format!("`arguments` holds {group}, which is no list of words");
    let words = group.as_array().map_err(|_| not_words())?;
    let word = |word: &Value| {
        let text = word.as_string().ok().filter(|text| !text.contains('\0'));
        text.map(ToString::to_string).ok_or_else(not_words)
    };
    words.iter().map(word).collect()
}

fn variables(reader: &Reader) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for value in reader.set("variables")?.unwrap_or_default() {
        let (name, text) = variable(value)
            .ok_or_else(|| format!("`variables` holds {value}, which cannot stand there"))?;
        if variables.insert(name.to_owned(), text.to_owned()).is_some() {
            return Err(format!("`variables` sets `{name}` to two values"));
        }
    }
    Ok(variables)
}

/// Reads `{"name", "value"}`. What every session sets by itself is not for a policy to set.
fn variable(value: &Value) -> Option<(&str, &str)> {
    let object = value.as_object().ok().filter(|object| object.len() == 2)?;
    let text = |key: &str| object.get(&Value::from(key))?.as_string().ok();
    let (name, text) = (text("name")?, text("value")?);
    let is_own = matches!(&**name, "HOME" | "LOGNAME" | "PATH" | "TMPDIR" | "USER");
    let is_fine = is_name(name) && !is_own && !name.starts_with("AGENTGUARD_");
    (is_fine && !text.contains('\0')).then_some((&**name, &**text))
}
