//! The static confinement of a session: what every tier grants, less what any masks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regorus::Value;
use serde::Serialize;

use agentguard_core::places::{Begins, Pattern};
use agentguard_core::{
    Access, Confinement, CredentialName, Evidence, Grant, Held, HomeGrant, Level, Limits, Network,
    Rule, RuleId, Session,
};

use crate::deny::{DenyList, glob};
use crate::error::{Error, tier_word};
use crate::grants::{self, Granted};
use crate::hosts::{Addresses, Hosts, Names, WayOut};
use crate::input::SCHEMA;
use crate::policies::Policies;
use crate::profile::{Offered, Profile};
use crate::rules;
use crate::tier::{self, TierEngine};
use crate::unconfined;

/// What flags and surroundings ask for. Policy decides.
#[derive(Clone, Debug)]
pub struct Request {
    /// The session to be.
    pub session: Session,
    /// The human's own home.
    pub human_home: PathBuf,
    /// Where the agent's home appears inside.
    pub home: PathBuf,
    /// The profile named, such as `claude-code`.
    pub profile: Option<String>,
    /// The command to be run. Bytes that are no UTF-8 stand as U+FFFD.
    pub command: Vec<String>,
    /// How much must be enforced.
    pub level: Level,
    /// The network asked for by name. Without a word it is the session's own, and leads to the hosts that are granted.
    pub network: Option<Network>,
    /// Loopback ports asked for.
    pub ports: Vec<u16>,
    /// Variables named by `--env`.
    pub environment: Vec<String>,
    /// Git's directories, relative to the workspace.
    pub git_directories: Vec<PathBuf>,
    /// Those of them that are of work trees elsewhere, and none of the above.
    pub other_git_directories: Vec<PathBuf>,
}

/// What policy makes of a request.
#[derive(Clone, Debug)]
pub struct Confined {
    /// What the kernel will hold the session to, at the level that was asked for.
    pub confinement: Confinement,
    /// The least level any tier requires. A request below it is to be refused.
    pub require_level: Level,
    /// The least evidence for the human that any tier requires.
    pub require_evidence: Evidence,
    /// The least evidence for who approves that any tier requires.
    pub require_approval: Evidence,
    /// The static rules: what fails as the kernel says, with its reason.
    pub covered: Vec<Rule>,
    /// What holds because a profile was named.
    pub profile: Profile,
    /// What of requests is not written down: names of values, and paths in which `*` stands for such a segment.
    pub private: Vec<String>,
    /// Programs denied whole, to be found and masked when the session starts.
    pub denied_programs: Vec<DeniedProgram>,
}

/// A program denied whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeniedProgram {
    /// Its file name.
    pub name: String,
    /// The rule that denies it.
    pub rule: Rule,
}

/// Files that are many programs, by the name they are called by.
const MANY_IN_ONE: &[&str] = &[
    "bash",
    "box",
    "busybox",
    "coreutils",
    "dash",
    "init",
    "perl",
    "python",
    "python3",
    "sh",
    "systemctl",
    "systemd",
    "toybox",
    "uutils",
];

impl DeniedProgram {
    /// Whether the file that the name resolves to is this program and no other, so that its content may
    /// be denied and masked. `reboot` may be `systemctl`, and everything may be `busybox`.
    #[must_use]
    pub fn is_alone_in(&self, resolved: &Path) -> bool {
        let name = resolved.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| {
            let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            name == self.name || !(MANY_IN_ONE.contains(&&*name) || MANY_IN_ONE.contains(&plain))
        })
    }
}

/// What Rego sees when it is asked for a confinement.
#[derive(Serialize)]
pub(crate) struct Input<'a> {
    schema: u32,
    request: Asked<'a>,
    session: &'a Session,
}

#[derive(Serialize)]
struct Asked<'a> {
    human_home: &'a Path,
    home: &'a Path,
    profile: &'a Option<String>,
    command: &'a [String],
    level: Level,
    network: Network,
    ports: &'a [u16],
    environment: &'a [String],
    git_directories: &'a [PathBuf],
    other_git_directories: &'a [PathBuf],
}

impl<'a> Input<'a> {
    pub(crate) fn of(request: &'a Request) -> Self {
        Self {
            schema: SCHEMA,
            request: Asked {
                human_home: &request.human_home,
                home: &request.home,
                profile: &request.profile,
                command: &request.command,
                level: request.level,
                network: request.network.unwrap_or(Network::Isolated),
                ports: &request.ports,
                environment: &request.environment,
                git_directories: &request.git_directories,
                other_git_directories: &request.other_git_directories,
            },
            session: &request.session,
        }
    }
}

impl Policies {
    /// Makes the confinement of a session: the intersection of what tiers grant, and the union of what
    /// they mask, pin and require.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Invalid`] where a rule says what makes no confinement, [`Error::Unconfined`] where a policy
    /// fails or makes none otherwise, and [`Error::Refused`] where a variable was asked for that the deny-list keeps
    /// out.
    pub fn confine(&self, request: &Request) -> Result<Confined, Error> {
        let confined = self.make(request);
        confined.map_err(|error| unconfined::placed(error, &self.inner.sources))
    }

    fn make(&self, request: &Request) -> Result<Confined, Error> {
        let deny = &self.inner.deny;
        for name in &request.environment {
            if let Some(rule) = deny.variable(name) {
                return Err(Error::Refused { rule: rule.clone() });
            }
        }
        let input = input(request)?;
        let mut tiers = self.inner.tiers.iter();
        let mut first = match tiers.next() {
            Some(tier) => Tiered::read(tier, &input)?,
            None => {
                return Err(Error::Unreachable {
                    what: "there is no policy".to_owned(),
                });
            }
        };
        for tier in tiers {
            first.tighten(Tiered::read(tier, &input)?);
        }
        first.confined(request, deny)
    }
}

fn input(request: &Request) -> Result<tier::Input<'static>, Error> {
    let unreadable = |reason: String| Error::Unreachable {
        what: format!("the request cannot be written: {reason}"),
    };
    let text = serde_json::to_string(&Input::of(request))
        .map_err(|error| unreadable(error.to_string()))?;
    let value = Value::from_json_str(&text).map_err(|error| unreadable(error.to_string()))?;
    Ok(tier::Input {
        text: text.into(),
        value,
    })
}

/// What one tier says, or several together. `None` is no opinion.
struct Tiered {
    grants: Option<Granted>,
    home: Option<Granted>,
    masks: BTreeSet<String>,
    pins: BTreeSet<String>,
    places: BTreeSet<String>,
    fetched: Option<BTreeSet<String>>,
    private: BTreeSet<String>,
    environment: Option<BTreeSet<String>>,
    ports: Option<BTreeSet<u64>>,
    host_network: Option<bool>,
    sockets: Option<BTreeSet<String>>,
    signs: Option<BTreeSet<String>>,
    trailers: Option<BTreeSet<String>>,
    hosts: Option<Hosts>,
    addresses: Option<Addresses>,
    credentials: Option<BTreeSet<String>>,
    uninspected: Option<Names>,
    escaped_slashes: Option<Names>,
    conversations: Option<Names>,
    ends_on: BTreeSet<String>,
    mute: Option<BTreeSet<String>>,
    limits: BTreeMap<&'static str, u64>,
    require_level: Level,
    require_evidence: Evidence,
    require_approval: Evidence,
    covered: Vec<Rule>,
    profile: Offered,
}

/// The names of limits, as in `agentguard.sandbox`.
const LIMITS: [&str; 5] = [
    "files",
    "memory_bytes",
    "processes",
    "seconds",
    "temporary_bytes",
];

/// The one finding that is made while a session runs, and that nothing honest causes.
const MISPLACED: &str = "credential/misplaced";

/// What a session can have signed.
const COMMITS: &str = "commits";
/// What its commits can name.
const SESSION: &str = "session";

impl Tiered {
    fn read(tier: &TierEngine, input: &tier::Input<'_>) -> Result<Self, Error> {
        let unconfined = |reason: String| Error::Unconfined {
            tier: tier_word(tier.tier),
            reason,
        };
        let values = tier.sandbox(input).map_err(unconfined)?;
        Self::of(&Reader { values }).map_err(unconfined)
    }

    fn of(reader: &Reader) -> Result<Self, String> {
        let mut limits = BTreeMap::new();
        for name in LIMITS {
            if let Some(least) = reader.numbers(name)?.into_iter().flatten().min() {
                limits.insert(name, least);
            }
        }
        let level = |word: &str| Level::parse(word);
        let evidence = |word: &str| Evidence::parse(word);
        let names = |word: &'static str| {
            let names = reader.strings(word, &|_| true)?;
            names.map(|names| Names::parse(word, names)).transpose()
        };
        let network = reader.strings("network", &|word| matches!(word, "isolated" | "host"))?;
        Ok(Self {
            grants: grants::pair(
                reader.strings("read", &is_absolute)?,
                reader.strings("write", &is_absolute)?,
            ),
            home: grants::pair(
                reader.strings("home_read", &is_relative)?,
                reader.strings("home_write", &is_relative)?,
            ),
            masks: reader.strings("masks", &is_absolute)?.unwrap_or_default(),
            pins: reader.strings("pins", &is_pin)?.unwrap_or_default(),
            places: reader.strings("places", &is_pattern)?.unwrap_or_default(),
            fetched: reader.strings("fetched", &is_pattern)?,
            private: reader.strings("private", &is_private)?.unwrap_or_default(),
            environment: reader.strings("environment", &is_variable)?,
            ports: reader.numbers("ports")?,
            sockets: reader.strings("sockets", &is_absolute)?,
            signs: reader.strings("signs", &|what| what == COMMITS)?,
            trailers: reader.strings("trailers", &|what| what == SESSION)?,
            hosts: reader
                .strings("hosts", &|_| true)?
                .map(Hosts::parse)
                .transpose()?,
            addresses: reader.set("addresses")?.map(Addresses::read).transpose()?,
            credentials: reader
                .strings("credentials", &|name| CredentialName::parse(name).is_ok())?,
            uninspected: names("uninspected")?,
            escaped_slashes: names("escaped_slashes")?,
            conversations: names("conversations")?,
            ends_on: reader
                .strings("ends_on", &|id| id == MISPLACED)?
                .unwrap_or_default(),
            mute: reader.strings("mute", &|name| is_relative(name) && !name.contains('/'))?,
            host_network: network.map(|words| words.contains("host")),
            limits,
            require_level: reader
                .most("require_level", level)?
                .unwrap_or(Level::OldKernel),
            require_evidence: reader
                .most("require_evidence", evidence)?
                .unwrap_or(Evidence::None),
            require_approval: reader
                .most("require_approval", evidence)?
                .unwrap_or(Evidence::None),
            covered: reader.rules("covered")?,
            profile: Offered::read(reader)?,
        })
    }

    /// Takes in a lower tier: only what both grant stays.
    fn tighten(&mut self, lower: Self) {
        both(&mut self.grants, lower.grants, |a, b| a.and(&b));
        both(&mut self.home, lower.home, |a, b| a.and(&b));
        both(&mut self.environment, lower.environment, |a, b| {
            common_names(&a, &b)
        });
        both(&mut self.ports, lower.ports, |a, b| {
            a.intersection(&b).copied().collect()
        });
        both(&mut self.host_network, lower.host_network, |a, b| a && b);
        let common =
            |a: BTreeSet<String>, b: BTreeSet<String>| a.intersection(&b).cloned().collect();
        both(&mut self.sockets, lower.sockets, common);
        both(&mut self.signs, lower.signs, common);
        both(&mut self.trailers, lower.trailers, common);
        both(&mut self.mute, lower.mute, common);
        both(&mut self.fetched, lower.fetched, common);
        both(&mut self.credentials, lower.credentials, common);
        both(&mut self.hosts, lower.hosts, |a, b| a.and(&b));
        both(&mut self.addresses, lower.addresses, |a, b| a.and(b));
        both(&mut self.uninspected, lower.uninspected, |a, b| a.and(&b));
        both(&mut self.escaped_slashes, lower.escaped_slashes, |a, b| {
            a.and(&b)
        });
        both(&mut self.conversations, lower.conversations, |a, b| {
            a.and(&b)
        });
        self.ends_on.extend(lower.ends_on);
        self.masks.extend(lower.masks);
        self.pins.extend(lower.pins);
        self.places.extend(lower.places);
        for (name, value) in lower.limits {
            let limit = self.limits.entry(name).or_insert(value);
            *limit = value.min(*limit);
        }
        self.require_level = self.require_level.max(lower.require_level);
        self.require_evidence = self.require_evidence.max(lower.require_evidence);
        self.require_approval = self.require_approval.max(lower.require_approval);
        self.covered.extend(lower.covered);
        self.profile.tighten(&lower.profile);
    }

    fn confined(self, request: &Request, deny: &DenyList) -> Result<Confined, Error> {
        let limits = self.limits()?;
        let covered = with_denied_paths(self.covered, deny);
        let grants: Vec<Grant> = self
            .grants
            .unwrap_or_default()
            .list(|path, access| Grant { path, access });
        let masks = masks(self.masks, deny, &grants, request);
        let host = request.network == Some(Network::Host) && self.host_network == Some(true);
        let ports = asked_ports(&self.ports.unwrap_or_default())?;
        let environment = self.environment.unwrap_or_default();
        let sockets = self.sockets.unwrap_or_default();
        granted_whole(request, host, &ports, &environment)?;
        // Who asks for no network gets none, whatever is granted.
        let hosts = self.hosts.filter(|_| request.network.is_none());
        let way = WayOut::of(
            host,
            hosts,
            self.addresses,
            [self.uninspected, self.escaped_slashes, self.conversations],
        )?;
        let (profile, variables) = self.profile.taken(request.profile.as_deref(), deny)?;
        let confinement = Confinement {
            level: request.level,
            network: way.network,
            workspace: PathBuf::from(&request.session.workspace),
            grants,
            home: request.home.clone(),
            home_grants: self
                .home
                .unwrap_or_default()
                .list(|path, access| HomeGrant { path, access }),
            masks,
            pins: self.pins.into_iter().map(PathBuf::from).collect(),
            places: self.places.into_iter().collect(),
            fetched: self.fetched.unwrap_or_default().into_iter().collect(),
            environment: environment.into_iter().collect(),
            variables,
            mute: self.mute.unwrap_or_default().into_iter().collect(),
            ports,
            sockets: sockets.into_iter().map(PathBuf::from).collect(),
            signs_commits: self.signs.is_some_and(|signs| signs.contains(COMMITS)),
            names_session: self.trailers.is_some_and(|names| names.contains(SESSION)),
            hosts: way.hosts,
            addresses: way.addresses,
            credentials: named(self.credentials.unwrap_or_default()),
            uninspected: way.uninspected,
            escaped_slashes: way.escaped_slashes,
            conversations: way.conversations,
            ends_on: ids(self.ends_on),
            limits,
        };
        Ok(Confined {
            confinement,
            require_level: self.require_level,
            require_evidence: self.require_evidence,
            require_approval: self.require_approval,
            covered,
            profile,
            private: self.private.into_iter().collect(),
            denied_programs: denied_programs(deny),
        })
    }

    fn limits(&self) -> Result<Limits, Error> {
        let named = |name: &str| {
            self.limits
                .get(name)
                .copied()
                .ok_or_else(|| Error::Unconfined {
                    tier: "highest",
                    reason: format!("it sets no `{name}`"),
                })
        };
        Ok(Limits {
            processes: named("processes")?,
            files: named("files")?,
            temporary_bytes: named("temporary_bytes")?,
            memory_bytes: self.limits.get("memory_bytes").copied(),
            seconds: self.limits.get("seconds").copied(),
            held: Held::Process, // until a cgroup is made for the session
        })
    }
}

/// What is covered of what is seen at all.
fn masks(
    own: BTreeSet<String>,
    deny: &DenyList,
    grants: &[Grant],
    request: &Request,
) -> Vec<PathBuf> {
    let is_seen = |path: &PathBuf| {
        let mut trees = grants.iter().map(|grant| &grant.path);
        trees.any(|tree| path.starts_with(tree))
            || path.starts_with(&request.session.workspace)
            || path.starts_with(&request.home)
    };
    let denied = deny.paths.iter().map(|denied| denied.path.clone());
    let masks = denied.chain(own).map(PathBuf::from).filter(is_seen);
    masks.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Refuses what was asked for by name and is not granted: it is not dropped in silence.
fn granted_whole(
    request: &Request,
    host: bool,
    ports: &[u16],
    environment: &BTreeSet<String>,
) -> Result<(), Error> {
    let refused = |id: &'static str, what: String| Error::Refused {
        rule: Rule::new(id, format!("no policy grants {what}"))
            .with_remedy("do without it, or ask for a policy that grants it"),
    };
    if request.network == Some(Network::Host) && !host {
        return Err(refused(
            "network/not-granted",
            "the host's network".to_owned(),
        ));
    }
    if let Some(port) = request.ports.iter().find(|port| !ports.contains(port)) {
        return Err(refused("network/not-granted", format!("port {port}")));
    }
    let passes = |name: &String| environment.iter().any(|pattern| glob(pattern, name));
    match request.environment.iter().find(|name| !passes(name)) {
        Some(name) => Err(refused(
            "environment/not-granted",
            format!("the variable `{name}`"),
        )),
        None => Ok(()),
    }
}

/// What was read as names, as names.
fn named(names: BTreeSet<String>) -> Vec<CredentialName> {
    let parsed = names.iter().map(|name| CredentialName::parse(name));
    parsed.flatten().collect()
}

fn ids(ids: BTreeSet<String>) -> Vec<RuleId> {
    let parsed = ids.iter().map(|id| RuleId::parse(id));
    parsed.flatten().collect()
}

fn asked_ports(ports: &BTreeSet<u64>) -> Result<Vec<u16>, Error> {
    let port = |number: &u64| {
        u16::try_from(*number)
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| Error::Unconfined {
                tier: "highest",
                reason: format!("{number} is no port"),
            })
    };
    ports.iter().map(port).collect()
}

/// What is covered, with the paths that are denied.
fn with_denied_paths(mut covered: Vec<Rule>, deny: &DenyList) -> Vec<Rule> {
    covered.extend(deny.paths.iter().map(|denied| denied.rule.clone()));
    covered.sort();
    covered.dedup();
    covered
}

fn denied_programs(deny: &DenyList) -> Vec<DeniedProgram> {
    let program = |denied: &crate::deny::DeniedName| DeniedProgram {
        name: denied.name.clone(),
        rule: denied.rule.clone(),
    };
    deny.executables.iter().map(program).collect()
}

/// Joins two opinions where both have one; else the one that is there stands, and a lower tier's
/// alone grants nothing that the highest did not.
fn both<T>(mine: &mut Option<T>, other: Option<T>, join: impl FnOnce(T, T) -> T) {
    if let (Some(a), Some(b)) = (mine.take_if(|_| other.is_some()), other) {
        *mine = Some(join(a, b));
    }
}

/// The names that both lists let through.
fn common_names(a: &BTreeSet<String>, b: &BTreeSet<String>) -> BTreeSet<String> {
    let within = |name: &String, list: &BTreeSet<String>| {
        list.iter()
            .any(|pattern| pattern == name || glob(pattern, name.trim_end_matches('*')))
    };
    let from_a = a.iter().filter(|name| within(name, b));
    let from_b = b.iter().filter(|name| within(name, a));
    from_a.chain(from_b).cloned().collect()
}

fn is_absolute(path: &str) -> bool {
    path == "/" || path.strip_prefix('/').is_some_and(is_relative)
}

/// Plain parts only: no `.`, no `..`, nothing empty, no wildcard.
fn is_relative(path: &str) -> bool {
    path.split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.contains(['*', '\0', '\n']))
}

fn is_pattern(text: &str) -> bool {
    !text.contains(['\0', '\n']) && Pattern::parse(text).is_some()
}

/// A path, or a pattern of what itself lies at any depth.
fn is_pin(text: &str) -> bool {
    let is_of_any_depth =
        |pattern: Pattern| pattern.begins() != Begins::AtTop && !pattern.is_beneath();
    is_relative(text) || (is_pattern(text) && Pattern::parse(text).is_some_and(is_of_any_depth))
}

/// A name, or a path of which something is private.
fn is_private(text: &str) -> bool {
    let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
    is_plain && (!text.starts_with('/') || text.split('/').any(|segment| segment == "*"))
}

fn is_variable(pattern: &str) -> bool {
    is_name(pattern.strip_suffix('*').unwrap_or(pattern))
}

/// The name of one variable.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Reads what a tier's `agentguard.sandbox` evaluated to.
pub(crate) struct Reader {
    values: BTreeMap<String, Value>,
}

impl Reader {
    pub(crate) fn set(&self, name: &str) -> Result<Option<Vec<&Value>>, String> {
        match self.values.get(name) {
            None => Ok(None),
            Some(Value::Set(set)) => Ok(Some(set.iter().collect())),
            Some(_) => Err(format!("`{name}` is not a set")),
        }
    }

    pub(crate) fn strings(
        &self,
        name: &str,
        is_fine: &dyn Fn(&str) -> bool,
    ) -> Result<Option<BTreeSet<String>>, String> {
        let string = |value: &Value| {
            let text = value.as_string().ok().filter(|text| is_fine(text));
            text.map(ToString::to_string)
                .ok_or_else(|| format!("`{name}` holds {value}, which cannot stand there"))
        };
        let set = self.set(name)?;
        set.map(|set| set.into_iter().map(string).collect())
            .transpose()
    }

    fn numbers(&self, name: &str) -> Result<Option<BTreeSet<u64>>, String> {
        let number = |value: &Value| {
            value
                .as_u64()
                .map_err(|_| format!("`{name}` holds {value}, which is no number"))
        };
        let set = self.set(name)?;
        set.map(|set| set.into_iter().map(number).collect())
            .transpose()
    }

    fn most<T: Ord>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let words = self.strings(name, &|word| parse(word).is_some())?;
        Ok(words
            .unwrap_or_default()
            .iter()
            .filter_map(|word| parse(word))
            .max())
    }

    pub(crate) fn rules(&self, name: &str) -> Result<Vec<Rule>, String> {
        self.values.get(name).map_or(Ok(Vec::new()), |value| {
            rules::read_set(value).map_err(|reason| format!("`{name}`: {reason}"))
        })
    }
}

/// What may be done where: see [`Access`].
pub(crate) const fn weaker(a: Access, b: Access) -> Access {
    match (a, b) {
        (Access::Write, Access::Write) => Access::Write,
        (Access::Read, _) | (_, Access::Read) => Access::Read,
    }
}
