//! Hosts that are granted, and what two tiers grant together.

use std::collections::{BTreeMap, BTreeSet};

use agentguard_core::{HostGrant, HostName, Network, Place};
use regorus::Value;

use crate::error::Error;

/// Grants, of which any counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Hosts(BTreeSet<HostGrant>);

impl Hosts {
    /// Reads what a tier grants.
    pub(crate) fn parse(texts: BTreeSet<String>) -> Result<Self, String> {
        let parse = |text: &String| HostGrant::parse(text).map_err(|error| error.to_string());
        let grants = texts.iter().map(parse).collect::<Result<_, _>>();
        grants
            .map(Self)
            .map_err(|reason| format!("`hosts`: {reason}"))
    }

    /// What both grant.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let pairs = self
            .0
            .iter()
            .flat_map(|one| other.0.iter().map(move |two| one.both(two)));
        Self(pairs.flatten().collect())
    }

    pub(crate) fn list(self) -> Vec<HostGrant> {
        self.0.into_iter().collect()
    }
}

/// Where hosts are whose names are not looked up, as policies write it: `{"host": …, "at": …}`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Addresses(BTreeSet<(HostName, Place)>);

impl Addresses {
    /// Reads what a tier says.
    pub(crate) fn read(said: Vec<&Value>) -> Result<Self, String> {
        let read = |value| pair(value).map_err(|reason| format!("`addresses`: {reason}"));
        said.into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What both say.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Each host with its place.
    pub(crate) fn map(self) -> Result<BTreeMap<HostName, Place>, Error> {
        let mut map = BTreeMap::new();
        for (host, place) in self.0 {
            if map.contains_key(&host) {
                return Err(Error::Unconfined {
                    tier: "highest",
                    reason: format!("`addresses` says of `{host}` that it is at two places"),
                });
            }
            map.insert(host, place);
        }
        Ok(map)
    }
}

/// Names of hosts of which something holds that makes less of them seen or sure. They are written out: nobody's
/// next host is one by chance.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Names(BTreeSet<HostName>);

impl Names {
    /// Reads what a tier says.
    pub(crate) fn parse(word: &str, texts: BTreeSet<String>) -> Result<Self, String> {
        let parse = |text: &String| HostName::parse(text).map_err(|error| error.to_string());
        let names = texts.iter().map(parse).collect::<Result<_, _>>();
        names
            .map(Self)
            .map_err(|reason| format!("`{word}`: {reason}"))
    }

    /// What both say.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    fn list(self) -> Vec<HostName> {
        self.0.into_iter().collect()
    }
}

/// What leads out of a session.
pub(crate) struct WayOut {
    pub(crate) network: Network,
    pub(crate) hosts: Vec<HostGrant>,
    pub(crate) addresses: BTreeMap<HostName, Place>,
    pub(crate) uninspected: Vec<HostName>,
    pub(crate) escaped_slashes: Vec<HostName>,
    pub(crate) conversations: Vec<HostName>,
}

impl WayOut {
    /// Joins what is granted. With hosts there is a gate, but not on the host's own network: there, and without
    /// any, nobody is there whom they would concern.
    pub(crate) fn of(
        on_host: bool,
        hosts: Option<Hosts>,
        addresses: Option<Addresses>,
        [uninspected, escaped_slashes, conversations]: [Option<Names>; 3],
    ) -> Result<Self, Error> {
        let hosts = hosts.unwrap_or_default().list();
        let without = |network| Self {
            network,
            hosts: Vec::new(),
            addresses: BTreeMap::new(),
            uninspected: Vec::new(),
            escaped_slashes: Vec::new(),
            conversations: Vec::new(),
        };
        match (on_host, hosts.is_empty()) {
            (true, _) => Ok(without(Network::Host)),
            (false, true) => Ok(without(Network::Isolated)),
            (false, false) => Ok(Self {
                network: Network::Gated,
                hosts,
                addresses: addresses.unwrap_or_default().map()?,
                uninspected: uninspected.unwrap_or_default().list(),
                escaped_slashes: escaped_slashes.unwrap_or_default().list(),
                conversations: conversations.unwrap_or_default().list(),
            }),
        }
    }
}

fn pair(value: &Value) -> Result<(HostName, Place), String> {
    let unfit = || format!("{value} is no object of `host` and `at`");
    let object = value.as_object().map_err(|_| unfit())?;
    let text = |name: &str| {
        let text = object.get(&Value::from(name)).map(Value::as_string);
        text.and_then(Result::ok).ok_or_else(unfit)
    };
    if object.len() != 2 {
        return Err(unfit());
    }
    let host = HostName::parse(text("host")?).map_err(|error| error.to_string())?;
    let place = Place::parse(text("at")?).map_err(|error| error.to_string())?;
    Ok((host, place))
}

#[cfg(test)]
mod tests {
    use agentguard_core::Host;
    use proptest::prelude::*;

    use super::*;

    fn hosts() -> impl Strategy<Value = Hosts> {
        let name = "([ab]\\.){1,3}example\\.org";
        let stars = prop_oneof![Just(""), Just("*."), Just("**.")];
        let port = prop_oneof![Just(""), Just(":443"), Just(":8443")];
        let text =
            (stars, name, port).prop_map(|(stars, name, port)| format!("{stars}{name}{port}"));
        prop::collection::btree_set(text, 0..4).prop_map(|texts| Hosts::parse(texts).unwrap())
    }

    proptest! {
        #[test]
        fn together_two_grant_what_both_do(
            a in hosts(), b in hosts(), name in "([ab]\\.){1,4}example\\.org", port in prop_oneof![Just(80), Just(443), Just(8443)],
        ) {
            let host = Host::parse(&name).unwrap();
            let grants = |hosts: &Hosts| hosts.0.iter().any(|grant| grant.grants(&host, port));
            prop_assert_eq!(grants(&a.and(&b)), grants(&a) && grants(&b));
            prop_assert_eq!(a.and(&b), b.and(&a));
        }
    }
}
