//! Networks: which hosts a session reaches, and what it asks of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CredentialName, Digest};

/// A host that is about to be looked up or connected to. What policy granted the session is not asked about
/// again; what it did not is asked about so that there is a rule and an entry, and never reached.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// How it is reached.
    pub by: ReachedBy,
    /// The host's canonical name, or its address. Bytes that can be in no name stand as U+FFFD.
    pub host: String,
    /// The port, for a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What the name or address is, where that alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<AddressClass>,
    /// Whether the session was granted the host.
    pub granted: bool,
    /// The path of the program that made the connection, or `unknown`. It says what is likely, and grants nothing.
    pub caller: String,
    /// What that program holds, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_sha256: Option<Digest>,
}

/// How a host is reached.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReachedBy {
    /// Its name is looked up.
    Lookup,
    /// A connection is made.
    Connect,
    /// A connection is made of which nothing is seen but whom it is to: its TLS is passed on as it is.
    Tunnel,
}

/// A request to a host, in the one form in which it is judged and sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Api {
    /// `https` or `http`.
    pub scheme: Scheme,
    /// The canonical name or address: what was looked up, what the client named in its handshake and in
    /// every request, and what the server's certificate is for.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The method, in upper case. An upgrade is a `CONNECT`, as HTTP/2 writes it (RFC 8441): a rule that allows
    /// what reads does not allow what goes on both ways, unseen.
    pub method: String,
    /// The path's segments, decoded.
    pub path: Vec<String>,
    /// The query's values by name, decoded, in their order.
    #[serde(default)]
    pub query: BTreeMap<String, Vec<String>>,
    /// Those headers that say what a request is: `accept`, `content-type`, `content-length`, `user-agent`,
    /// `x-github-api-version` and alike. Never one that holds a credential.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What the connection is to become instead of HTTP, in lower case, as `websocket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<String>,
    /// The body, where it is JSON and not over the bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
    /// The body, where it is a form and not over the bound: its values by name, in their order. A value is a text, or of a
    /// file an object of its `filename`, `content_type` and `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<serde_json::Value>,
    /// Whether policy sees all that is sent: there is no body, or it is `body` or `form`, or `graphql` says what it asks
    /// for. A rule that decides by a body does not hold where it is not seen.
    #[serde(default)]
    pub body_seen: bool,
    /// What is asked for in GraphQL: the fields at the roots of all operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphql: Option<Vec<GraphqlField>>,
    /// Whether it writes to a repository as a push does, and is judged as one as well before it is sent.
    #[serde(default)]
    pub pushes: bool,
    /// Whether it is carried on over SSH: a server that speaks nothing else is asked by git's own commands, with a key
    /// among `credentials`.
    #[serde(default)]
    pub ssh: bool,
    /// The address that is connected to.
    pub address: String,
    /// What kind of address it is.
    pub class: AddressClass,
    /// The path of the program that made the connection, or `unknown`. It says what is likely, and grants nothing.
    pub caller: String,
    /// What that program holds, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_sha256: Option<Digest>,
    /// The credentials that are put into it before it is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialName>,
}

impl Api {
    /// Where it goes, without the query, which may hold what is private.
    #[must_use]
    pub fn url(&self) -> String {
        let (scheme, usual) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let port = match self.port {
            port if port == usual => String::new(),
            port => format!(":{port}"),
        };
        let segments = self.path.iter().map(|segment| segment.replace('/', "%2F"));
        let path = segments.collect::<Vec<_>>().join("/");
        format!("{scheme}://{}{port}/{path}", self.host)
    }

    /// Whether it only reads: its method changes nothing where it is kept to (RFC 9110, section 9.2.1).
    #[must_use]
    pub fn is_reading(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// A field at the root of a GraphQL operation: what is asked for, whatever it is to be called in the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphqlField {
    /// The kind of its operation.
    pub operation: GraphqlOperation,
    /// Its name, with aliases undone and fragments resolved.
    pub field: String,
    /// Its arguments, with variables filled in. A word of an enumeration is a text.
    pub arguments: BTreeMap<String, serde_json::Value>,
}

/// A kind of GraphQL operation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphqlOperation {
    /// It reads.
    Query,
    /// It changes something.
    Mutation,
    /// It reads what is yet to happen.
    Subscription,
}

/// A program that is about to connect, as the mediator sees it and tells the gate before the connection is made.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Calling {
    /// The socket's cookie, which no other socket of the same network ever has (`SO_COOKIE`, socket(7)).
    pub socket: u64,
    /// To whom it is to be connected, where the mediator connects it to the gate instead and no kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<std::net::SocketAddr>,
    /// The program.
    #[serde(flatten)]
    pub caller: Caller,
}

/// A program that made a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Caller {
    /// The path of its image, or `unknown`.
    pub path: String,
    /// The digest of its content, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

impl Caller {
    /// Nobody of whom anything is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            path: "unknown".to_owned(),
            sha256: None,
        }
    }
}

/// By what a request travels.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS whose certificate was verified.
    Https,
}

/// What kind of address something is: what one may reach by it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressClass {
    /// A host of the internet.
    Public,
    /// A host of a private network.
    Private,
    /// This machine, by its loopback or by an address of its own.
    Local,
    /// The machine that tells a cloud's guests who they are.
    Metadata,
    /// None that a host has: multicast, reserved, documentation, link-local.
    Special,
}

impl AddressClass {
    /// Its word in policies and entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Local => "local",
            Self::Metadata => "metadata",
            Self::Special => "special",
        }
    }
}
