//! What a request says by name.

use std::collections::BTreeMap;

use agentguard_core::Api;
use serde_json::{Map, Value};

/// What is said, in a body or in an address. Where both say something, servers differ on which they believe.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    Body(&'a Map<String, Value>),
    Address(&'a BTreeMap<String, Vec<String>>),
}

impl<'a> Said<'a> {
    /// # Errors
    ///
    /// Returns why two servers could find different things in it.
    pub(super) fn of(api: &'a Api) -> Result<Self, String> {
        match &api.body {
            _ if !api.body_seen => Err("its body is no short JSON, and said to be it".to_owned()),
            Some(Value::Object(body)) if api.query.is_empty() => Self::object(body),
            Some(Value::Object(_)) => {
                Err("its address says something, and its body too".to_owned())
            }
            Some(_) => Err("its body is no object".to_owned()),
            None => {
                let mut names = api.query.keys();
                if !names.all(|name| is_plain(name)) {
                    return Err("its address holds a name that can be read in two ways".to_owned());
                }
                Ok(Self::Address(&api.query))
            }
        }
    }

    /// An object in a body. Some servers know no case in its names.
    pub(super) fn object(object: &'a Map<String, Value>) -> Result<Self, String> {
        if object.keys().all(|name| is_plain(name)) {
            Ok(Self::Body(object))
        } else {
            Err("its body holds a name that can be read in two ways".to_owned())
        }
    }

    /// A text, where it is said.
    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, String> {
        let found = match self {
            Self::Address(query) => match query.get(name).map(Vec::as_slice) {
                None => None,
                Some([one]) => Some(one.as_str()),
                Some(_) => return Err(format!("its address says `{name}` twice")),
            },
            Self::Body(body) => match body.get(name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.as_str()),
                Some(_) => return Err(format!("its `{name}` is no text")),
            },
        };
        Ok(found.filter(|text| !text.is_empty()))
    }

    /// A text that has to be said.
    pub(super) fn needed(self, name: &str) -> Result<&'a str, String> {
        self.text(name)?
            .ok_or_else(|| format!("it does not say its `{name}`"))
    }

    /// Whether something is said to be so. What is neither is taken for so: it is asked of what takes care away.
    pub(super) fn is(self, name: &str) -> bool {
        match self {
            Self::Address(query) => query
                .get(name)
                .is_some_and(|said| said.iter().any(|one| one != "false")),
            Self::Body(body) => !matches!(
                body.get(name),
                None | Some(Value::Null | Value::Bool(false))
            ),
        }
    }

    /// The objects of a list.
    pub(super) fn list(self, name: &str) -> Result<Vec<Self>, String> {
        let Self::Body(body) = self else {
            return Err(format!("its `{name}` is no list of a body"));
        };
        match body.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list
                .iter()
                .map(|one| match one.as_object() {
                    Some(object) => Self::object(object),
                    None => Err(format!("its `{name}` holds what is no object")),
                })
                .collect(),
            Some(_) => Err(format!("its `{name}` is no list")),
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}
