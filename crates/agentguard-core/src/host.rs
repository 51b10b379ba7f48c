//! Names and addresses of hosts, each in one form, and which of them a session is granted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::AddressClass;

/// The longest name that DNS can carry, written with dots.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// The ports that a grant means which names none.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// A host's name in the one form in which names are compared: lower case, in ASCII, without a dot at its
/// end. No spelling of an address is a name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// Parses a name. Upper case and one dot at the end are other spellings of the same.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidHost`] unless it is made of labels of letters, digits, `-` and `_`, and is none of
    /// the spellings of an address. A name of other scripts is written as it is looked up, `xn--…`.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_name = name.len() <= LONGEST_NAME && name.split('.').all(is_label);
        // `1.2.3.4`, `0x7f.1` and `2130706433` are addresses to whoever calls `inet_aton`.
        if is_name && !name.rsplit('.').next().is_some_and(is_number) {
            Ok(Self(name))
        } else {
            Err(InvalidHost::new(text))
        }
    }

    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is below `base`, at any depth.
    fn is_below(&self, base: &Self) -> bool {
        let above = self.0.strip_suffix(base.as_str());
        above.is_some_and(|above| above.ends_with('.'))
    }

    /// The name without its first label.
    fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostName {
    type Error = InvalidHost;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

fn is_label(label: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(is_plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether a last label makes an address of the whole: decimal, octal or hexadecimal
/// (<https://url.spec.whatwg.org/#ends-in-a-number-checker>).
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x");
    let is_hexadecimal = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.is_some_and(is_hexadecimal) || label.bytes().all(|b| b.is_ascii_digit())
}

/// A host: its name, or its address where it is reached without one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Host {
    /// By name.
    Name(HostName),
    /// By address. One that holds an IPv4 address is that address.
    Address(IpAddr),
}

impl Host {
    /// Parses a name, an address in its one usual spelling, or an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidHost`] for everything else, other spellings of addresses among it.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if let Some(inside) = text.strip_prefix('[') {
            let inside = inside.strip_suffix(']');
            let address = inside.and_then(|inside| inside.parse().ok());
            let address = address.ok_or_else(|| InvalidHost::new(text))?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(Self::Address(address.into())),
            Err(_) => HostName::parse(text).map(Self::Name),
        }
    }

    /// The host as an URL has it.
    #[must_use]
    pub fn to_authority(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Address(IpAddr::V4(address)) => address.to_string(),
            Self::Address(IpAddr::V6(address)) => format!("[{address}]"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A text that names no host.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is no host: write a name as it is looked up, or a plain address")]
pub struct InvalidHost {
    text: String,
}

impl InvalidHost {
    fn new(text: &str) -> Self {
        Self {
            text: text.chars().take(LONGEST_NAME).collect(),
        }
    }
}

/// Hosts that policy grants a session: `api.example.com`, `*.example.com` for what is one label below,
/// `**.example.com` for what is below at any depth, an address or a network `203.0.113.0/24`; each with
/// `:port`, or for ports 80 and 443.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostGrant {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Hosts {
    Exact(HostName),
    OneBelow(HostName),
    AllBelow(HostName),
    Network(IpAddr, u8),
}

impl HostGrant {
    /// The port that it names, if it names one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Parses a grant.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidHostGrant`] where it grants no host, the hosts of a whole public suffix, the
    /// session's own loopback, or the machine that tells a cloud's guests who they are.
    pub fn parse(text: &str) -> Result<Self, InvalidHostGrant> {
        let invalid = |reason| InvalidHostGrant {
            text: text.chars().take(LONGEST_NAME).collect(),
            reason,
        };
        let (hosts, port) = split_port(text).ok_or_else(|| invalid("its port is none"))?;
        let hosts = Hosts::parse(hosts).map_err(invalid)?;
        Ok(Self { hosts, port })
    }

    /// Whether it grants anything of `host`, on whichever port: then its name is answered.
    #[must_use]
    pub fn names(&self, host: &Host) -> bool {
        match (&self.hosts, host) {
            (Hosts::Exact(granted), Host::Name(name)) => granted == name,
            (Hosts::OneBelow(base), Host::Name(name)) => name.parent() == Some(base.as_str()),
            (Hosts::AllBelow(base), Host::Name(name)) => name.is_below(base),
            (Hosts::Network(network, length), Host::Address(address)) => {
                masked(address.to_canonical(), *length) == Some(*network)
            }
            (Hosts::Exact(_) | Hosts::OneBelow(_) | Hosts::AllBelow(_), Host::Address(_))
            | (Hosts::Network(..), Host::Name(_)) => false,
        }
    }

    /// Whether it grants `host` on `port`.
    #[must_use]
    pub fn grants(&self, host: &Host, port: u16) -> bool {
        let is_port = match self.port {
            Some(granted) => granted == port,
            None => USUAL_PORTS.contains(&port),
        };
        is_port && self.names(host)
    }

    /// The one host that it grants by name, where that is on the port of HTTPS.
    #[must_use]
    pub fn by_name(&self) -> Option<&HostName> {
        match &self.hosts {
            Hosts::Exact(name) if matches!(self.port, None | Some(443)) => Some(name),
            Hosts::Exact(_) | Hosts::OneBelow(_) | Hosts::AllBelow(_) | Hosts::Network(..) => None,
        }
    }

    /// What both grant, if anything: a lower tier only narrows.
    #[must_use]
    pub fn both(&self, other: &Self) -> Option<Self> {
        let port = match (self.port, other.port) {
            (None, None) => None,
            (Some(port), None) | (None, Some(port)) => {
                USUAL_PORTS.contains(&port).then_some(Some(port))?
            }
            (Some(one), Some(two)) => (one == two).then_some(Some(one))?,
        };
        let hosts = self.hosts.both(&other.hosts)?;
        Some(Self { hosts, port })
    }
}

impl Hosts {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const NO_HOST: &str = "it names no host: write a name as it is looked up, or an address";
        let below = match (text.strip_prefix("**."), text.strip_prefix("*.")) {
            (Some(base), _) => Some((base, Self::AllBelow as fn(HostName) -> Self)),
            (None, Some(base)) => Some((base, Self::OneBelow as fn(HostName) -> Self)),
            (None, None) => None,
        };
        if let Some((base, hosts)) = below {
            let base = HostName::parse(base).map_err(|_| NO_HOST)?;
            if is_public_suffix(&base) {
                return Err("it grants the hosts of everybody: name two labels at least");
            }
            return Ok(hosts(base));
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        match (Host::parse(address).map_err(|_| NO_HOST)?, length) {
            (Host::Name(name), None) => Ok(Self::Exact(name)),
            (Host::Name(_), Some(_)) => Err(NO_HOST),
            (Host::Address(address), length) => Self::network(address, length),
        }
    }

    fn network(address: IpAddr, length: Option<&str>) -> Result<Self, &'static str> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => decimal(length).and_then(|length| u8::try_from(length).ok()),
            None => Some(longest),
        };
        let length = length.filter(|length| (8..=longest).contains(length));
        let length = length.ok_or("its length is none, or grants the hosts of everybody")?;
        if masked(address, length) != Some(address) {
            return Err("it has bits set below its length");
        }
        match AddressClass::of(address) {
            AddressClass::Local => Err("loopback is the session's own, and leads nowhere else"),
            AddressClass::Metadata => Err("it tells a cloud's guests who they are"),
            AddressClass::Public | AddressClass::Private | AddressClass::Special => {
                Ok(Self::Network(address, length))
            }
        }
    }

    fn both(&self, other: &Self) -> Option<Self> {
        let inner = match (self, other) {
            (Self::Exact(name), _) => return other.holds_name(name).then(|| self.clone()),
            (_, Self::Exact(name)) => return self.holds_name(name).then(|| other.clone()),
            (Self::AllBelow(one), Self::AllBelow(two)) => {
                let inner = if one.is_below(two) { self } else { other };
                (one == two || one.is_below(two) || two.is_below(one)).then_some(inner)
            }
            (Self::OneBelow(one), Self::OneBelow(two)) => (one == two).then_some(self),
            (Self::OneBelow(one), Self::AllBelow(two)) => {
                (one == two || one.is_below(two)).then_some(self)
            }
            (Self::AllBelow(one), Self::OneBelow(two)) => {
                (one == two || two.is_below(one)).then_some(other)
            }
            (Self::Network(one, short), Self::Network(two, long)) if short <= long => {
                (masked(*two, *short) == Some(*one)).then_some(other)
            }
            (Self::Network(one, _), Self::Network(two, short)) => {
                (masked(*one, *short) == Some(*two)).then_some(self)
            }
            (Self::Network(..), Self::OneBelow(_) | Self::AllBelow(_))
            | (Self::OneBelow(_) | Self::AllBelow(_), Self::Network(..)) => None,
        };
        inner.cloned()
    }

    fn holds_name(&self, name: &HostName) -> bool {
        let all = HostGrant {
            hosts: self.clone(),
            port: None,
        };
        all.names(&Host::Name(name.clone()))
    }
}

impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Exact(name) => write!(f, "{name}")?,
            Hosts::OneBelow(base) => write!(f, "*.{base}")?,
            Hosts::AllBelow(base) => write!(f, "**.{base}")?,
            Hosts::Network(address, length) => {
                f.write_str(&Host::Address(*address).to_authority())?;
                if *length != if address.is_ipv4() { 32 } else { 128 } {
                    write!(f, "/{length}")?;
                }
            }
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for HostGrant {
    type Error = InvalidHostGrant;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<HostGrant> for String {
    fn from(grant: HostGrant) -> Self {
        grant.to_string()
    }
}

/// A text that grants no hosts.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` grants no hosts: {reason}")]
pub struct InvalidHostGrant {
    text: String,
    reason: &'static str,
}

/// Where a name is, by policy's word instead of a lookup: `10.0.0.5`, or `10.0.0.5:8443`, `[fd00::5]:443`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    address: IpAddr,
    port: Option<u16>,
}

impl Place {
    /// Parses a place.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidHostGrant`] where it is no address, or that of the machine that tells a cloud's
    /// guests who they are.
    pub fn parse(text: &str) -> Result<Self, InvalidHostGrant> {
        let invalid = |reason| InvalidHostGrant {
            text: text.chars().take(LONGEST_NAME).collect(),
            reason,
        };
        let (host, port) = split_port(text).ok_or_else(|| invalid("its port is none"))?;
        let Ok(Host::Address(address)) = Host::parse(host) else {
            return Err(invalid("it is no address"));
        };
        if AddressClass::of(address) == AddressClass::Metadata {
            return Err(invalid("it tells a cloud's guests who they are"));
        }
        Ok(Self { address, port })
    }

    /// Where to connect to, for whoever asked for `port`.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(port))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Host::Address(self.address).to_authority())?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = InvalidHostGrant;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

/// Splits `host:port`. Brackets hold the colons of an IPv6 address together.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let colon = text
        .rfind(':')
        .filter(|at| !text.get(*at..).unwrap_or("").contains(']'));
    match colon.and_then(|at| text.split_at_checked(at)) {
        Some((host, port)) => {
            let port = decimal(port.strip_prefix(':')?)?;
            let port = u16::try_from(port).ok()?;
            Some((host, Some(port)))
        }
        None => Some((text, None)),
    }
}

/// A number without a sign and without zeros before it.
fn decimal(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if is_plain { text.parse().ok() } else { None }
}

fn masked(address: IpAddr, length: u8) -> Option<IpAddr> {
    let length = u32::from(length);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32u32.checked_sub(length)?)
                .unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128u32.checked_sub(length)?)
                .unwrap_or(0);
            Some(std::net::Ipv6Addr::from_bits(address.to_bits() & mask).into())
        }
    }
}

/// Names under which anybody registers, as far as they can be told without the list of all: one label, and
/// the second labels that countries use.
fn is_public_suffix(name: &HostName) -> bool {
    const SECOND: [&str; 10] = [
        "ac", "co", "com", "edu", "gob", "gov", "mil", "net", "ne", "org",
    ];
    const SHARED: [&str; 12] = [
        "amazonaws.com",
        "appspot.com",
        "azurewebsites.net",
        "cloudfront.net",
        "github.io",
        "gitlab.io",
        "herokuapp.com",
        "netlify.app",
        "pages.dev",
        "run.app",
        "vercel.app",
        "workers.dev",
    ];
    match name.as_str().split_once('.') {
        None => true,
        Some((second, first)) => {
            (first.len() == 2 && SECOND.contains(&second)) || SHARED.contains(&name.as_str())
        }
    }
}

#[cfg(test)]
mod tests;
