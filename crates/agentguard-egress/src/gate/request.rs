//! A request, in the one form in which it is judged and sent.

use std::collections::BTreeMap;

use agentguard_core::{Caller, Host, Scheme};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use super::path::{self, Slash, Target};
use super::refusal::Fault;
use super::upgrade::{self, Upgrade};

/// The longest value of a header that policy sees.
const LONGEST_SEEN: usize = 1024;

/// What a request may ask. Others are not HTTP's own, or not for servers (RFC 9110, section 9.3).
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The headers that policy sees: they say what a request is, and hold no credential.
const SEEN: [&str; 16] = [
    "accept",
    "accept-language",
    "anthropic-beta",
    "anthropic-version",
    "content-encoding",
    "content-length",
    "content-type",
    "git-protocol",
    "if-match",
    "if-none-match",
    "openai-beta",
    "range",
    "user-agent",
    "x-github-api-version",
    "x-goog-api-client",
    "x-stainless-lang",
];

/// Headers that make of a request another one than it says it is, to some servers. With them it is refused.
const OVERRIDES: [&str; 6] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-method",
];

/// Headers for the next hop alone (RFC 9110, section 7.6.1), and those that say who sent it on, which is for
/// us to say and is not said.
const NOT_SENT: [&str; 15] = [
    "connection",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// Headers of an answer for the next hop alone, and one that leads away from the gate.
const NOT_HANDED_BACK: [&str; 8] = [
    "alt-svc",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Whom a connection is to.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) slash: Slash,
    /// Who made it.
    pub(super) caller: Caller,
}

/// A request that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) method: Method,
    pub(super) target: Target,
    /// What policy sees of its headers.
    pub(super) seen: BTreeMap<String, String>,
    /// What is sent of them.
    pub(super) headers: HeaderMap,
    /// What its connection is to become.
    pub(super) upgrade: Option<Upgrade>,
}

impl Origin {
    /// The host as a request names it.
    pub(super) fn authority(&self) -> String {
        let host = self.host.to_authority();
        if self.port == self.usual_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    fn usual_port(&self) -> u16 {
        match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// Whether `text` names this host and port.
    fn is(&self, text: &str) -> bool {
        let after_brackets = text.rfind(']').map_or(0, |end| end + 1);
        let rest = text.get(after_brackets..).unwrap_or_default();
        let (host, port) = match rest.rfind(':') {
            Some(colon) => {
                let (host, port) = text.split_at(after_brackets + colon);
                (host, port.get(1..).unwrap_or_default())
            }
            None => (text, ""),
        };
        let is_port = match port {
            "" => self.port == self.usual_port() && !text.ends_with(':'),
            port => port == self.port.to_string(),
        };
        is_port && Host::parse(host).as_ref() == Ok(&self.host)
    }
}

/// Reads a request's head.
pub(super) fn read(origin: &Origin, parts: &Parts) -> Result<Read, Fault> {
    if !METHODS.contains(&parts.method) {
        let reason = format!("the method `{}` is none that is sent on", parts.method);
        let methods = METHODS.map(|method| method.to_string()).join(", ");
        return Err(Fault::bad("gate/method", reason).with_remedy(&format!("there are {methods}")));
    }
    authority(origin, parts)?;
    overrides(&parts.headers)?;
    let target = path::read(parts.uri.path(), parts.uri.query(), origin.slash)
        .map_err(|reason| Fault::bad("gate/path", format!("the request is refused: {reason}")))?;
    let upgrade = upgrade::read(parts)?;
    let mut headers = sent(origin, parts)?;
    if let Some(upgrade) = &upgrade {
        upgrade.ask(&mut headers)?;
    }
    Ok(Read {
        method: parts.method.clone(),
        target,
        seen: seen(&parts.headers)?,
        headers,
        upgrade,
    })
}

/// Whom the request names must be whom the connection is to, however often it does.
fn authority(origin: &Origin, parts: &Parts) -> Result<(), Fault> {
    let named = |text: &str| {
        let shown: String = text.chars().take(256).collect();
        let reason = format!(
            "it names `{shown}`, on a connection to `{}`",
            origin.authority()
        );
        Fault::new(StatusCode::MISDIRECTED_REQUEST, "gate/host", reason)
            .with_remedy("connect to the host that the request is for")
    };
    let mut names = 0;
    for host in parts.headers.get_all(header::HOST) {
        let host = host.to_str().map_err(|_| named("\u{fffd}"))?;
        if !origin.is(host) {
            return Err(named(host));
        }
        names += 1;
    }
    match (parts.version, parts.uri.authority()) {
        (Version::HTTP_2, Some(authority)) => {
            if !origin.is(authority.as_str()) {
                return Err(named(authority.as_str()));
            }
            if parts.uri.scheme_str() != Some(origin.scheme()) {
                return Err(Fault::bad(
                    "gate/host",
                    "its scheme is not the connection's",
                ));
            }
        }
        (Version::HTTP_11, None) if names == 1 => {}
        (_, _) => return Err(Fault::bad("gate/host", "it does not name one host")),
    }
    if names > 1 {
        return Err(Fault::bad("gate/host", "it names its host twice"));
    }
    Ok(())
}

fn overrides(headers: &HeaderMap) -> Result<(), Fault> {
    if let Some(name) = OVERRIDES.iter().find(|name| headers.contains_key(**name)) {
        let reason = format!("the header `{name}` makes another request of it");
        return Err(Fault::bad("gate/override", reason).with_remedy("send the request itself"));
    }
    Ok(())
}

fn seen(headers: &HeaderMap) -> Result<BTreeMap<String, String>, Fault> {
    let mut seen = BTreeMap::new();
    for name in SEEN {
        let mut values = Vec::new();
        for value in headers.get_all(name) {
            let value = value
                .to_str()
                .ok()
                .filter(|value| value.len() <= LONGEST_SEEN);
            let bad = || {
                Fault::bad(
                    "gate/header",
                    format!("its header `{name}` is not a short text"),
                )
            };
            values.push(value.ok_or_else(bad)?);
        }
        if values.len() > 1 && name.starts_with("content-") {
            return Err(Fault::bad(
                "gate/header",
                format!("it has two headers `{name}`"),
            ));
        }
        if !values.is_empty() {
            let value = values.join(", ");
            if value.len() > LONGEST_SEEN {
                return Err(Fault::bad(
                    "gate/header",
                    format!("its headers `{name}` are too long"),
                ));
            }
            seen.insert(name.to_owned(), value);
        }
    }
    Ok(seen)
}

fn sent(origin: &Origin, parts: &Parts) -> Result<HeaderMap, Fault> {
    let mut sent = without(&parts.headers, &NOT_SENT);
    match parts.version {
        Version::HTTP_2 => {
            // The one of them that HTTP/2 has; gRPC asks for it (RFC 9113, section 8.2.2).
            if parts
                .headers
                .get(header::TE)
                .is_some_and(|te| te == "trailers")
            {
                sent.insert(header::TE, HeaderValue::from_static("trailers"));
            }
        }
        _ => {
            let host = HeaderValue::try_from(origin.authority());
            let host = host.map_err(|_| Fault::bad("gate/host", "it names no host"))?;
            sent.insert(header::HOST, host);
        }
    }
    Ok(sent)
}

/// What is sent of what comes behind a request's body: nothing that would have been judged, refused, left out
/// or found before it, for servers that put both together.
pub(super) fn trailers(trailers: &HeaderMap) -> HeaderMap {
    const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];
    let judged = [&SEEN[..], &OVERRIDES, &NOT_SENT, &CREDENTIALS].concat();
    without(trailers, &judged)
}

/// The headers of an answer that are handed back.
pub(super) fn handed_back(headers: &HeaderMap) -> HeaderMap {
    without(headers, &NOT_HANDED_BACK)
}

fn without(headers: &HeaderMap, names: &[&str]) -> HeaderMap {
    let listed = headers.get_all(header::CONNECTION).iter();
    let listed: Vec<String> = listed
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        // What frames a body is not for the next hop alone, whatever is said of it.
        .filter(|name| name != "content-length")
        .collect();
    let is_left = |name: &HeaderName| {
        let name = name.as_str();
        !names.contains(&name) && !listed.iter().any(|one| one == name)
    };
    let left = headers.iter().filter(|(name, _)| is_left(name));
    left.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn origin() -> Origin {
        Origin {
            scheme: Scheme::Https,
            host: Host::parse("api.test").unwrap(),
            port: 443,
            slash: Slash::Unclear,
            caller: Caller::unknown(),
        }
    }

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        if uri.starts_with("https:") || uri.starts_with("http:") {
            request = request.version(Version::HTTP_2);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn rule(parts: &Parts) -> Option<String> {
        let fault = read(&origin(), parts).err();
        fault.map(|fault| fault.rule.id.to_string())
    }

    #[test]
    fn a_request_names_whom_its_connection_is_to() {
        for host in ["api.test", "API.test", "api.test.", "api.test:443"] {
            assert_eq!(rule(&parts("GET", "/", &[("host", host)])), None, "{host}");
            let uri = format!("https://{host}/");
            assert_eq!(rule(&parts("GET", &uri, &[])), None, "{host}");
            assert_eq!(rule(&parts("GET", &uri, &[("host", host)])), None, "{host}");
        }
        for host in [
            "",
            "evil.test",
            "api.test:80",
            "api.test:8443",
            "api.test:",
            "api.test:+443",
            "api.test:0443",
            "api.test.evil.test",
            "api.test@evil.test",
            "evil.test@api.test",
            "api.test, evil.test",
            "api.test/",
            "api.test#",
            "[api.test]",
            "api.test..",
            "203.0.113.7",
        ] {
            let is_refused = |parts: &Parts| rule(parts).as_deref() == Some("gate/host");
            assert!(is_refused(&parts("GET", "/", &[("host", host)])), "{host}");
            let both = parts("GET", "https://api.test/", &[("host", host)]);
            assert!(is_refused(&both), "{host}");
            if let Ok(uri) = format!("https://{host}/").parse::<hyper::Uri>()
                && uri
                    .authority()
                    .is_some_and(|authority| authority.as_str() == host)
            {
                assert!(is_refused(&parts("GET", &uri.to_string(), &[])), "{host}");
            }
        }
        for parts in [
            parts("GET", "/", &[]),
            parts("GET", "/", &[("host", "api.test"), ("host", "api.test")]),
            parts(
                "GET",
                "https://api.test/",
                &[("host", "api.test"), ("host", "api.test")],
            ),
            parts("GET", "http://api.test/", &[]),
        ] {
            assert_eq!(rule(&parts).as_deref(), Some("gate/host"));
        }
    }

    #[test]
    fn an_address_is_named_in_brackets_with_its_port() {
        for (port, names) in [
            (8443, ["[::1]:8443", "[0:0::1]:8443"]),
            (443, ["[::1]", "[::1]:443"]),
        ] {
            let origin = Origin {
                host: Host::parse("[::1]").unwrap(),
                port,
                ..origin()
            };
            for host in names {
                let parts = parts("GET", "/", &[("host", host)]);
                assert!(read(&origin, &parts).is_ok(), "{host}");
            }
            for host in ["::1", "[::1]:80", "[::2]", "[::1]8443", "::1:8443"] {
                let parts = parts("GET", "/", &[("host", host)]);
                assert!(read(&origin, &parts).is_err(), "{host}");
            }
        }
    }

    #[test]
    fn what_makes_another_request_of_it_is_refused() {
        for (method, header, refused_by) in [
            ("delete", ("a", "b"), "gate/method"),
            ("TRACE", ("a", "b"), "gate/method"),
            ("PURGE", ("a", "b"), "gate/method"),
            (
                "POST",
                ("X-HTTP-Method-Override", "DELETE"),
                "gate/override",
            ),
            ("POST", ("x-original-url", "/admin"), "gate/override"),
            ("GET", ("upgrade", "websocket"), "gate/upgrade"),
            ("GET", ("upgrade", "h2c, websocket"), "gate/upgrade"),
        ] {
            let parts = parts(method, "/", &[("host", "api.test"), header]);
            assert_eq!(
                rule(&parts).as_deref(),
                Some(refused_by),
                "{method} {header:?}"
            );
        }
        let offer = parts("GET", "/", &[("host", "api.test"), ("upgrade", "h2c")]);
        assert!(
            !read(&origin(), &offer)
                .unwrap()
                .headers
                .contains_key("upgrade")
        );
    }

    #[test]
    fn what_is_for_the_next_hop_goes_no_further() {
        let headers = [
            ("host", "API.test."),
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "gzip"),
            ("proxy-authorization", "x"),
            ("x-forwarded-host", "evil.test"),
            ("authorization", "Bearer x"),
            ("user-agent", "curl"),
        ];
        let read = read(&origin(), &parts("GET", "/", &headers)).unwrap();
        let names: Vec<_> = read.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["authorization", "user-agent", "host"]);
        assert_eq!(read.headers[header::HOST], "api.test");
        assert_eq!(
            read.seen,
            BTreeMap::from([("user-agent".to_owned(), "curl".to_owned())])
        );
    }

    #[test]
    fn a_port_that_is_not_the_usual_one_is_named() {
        for (scheme, port) in [
            (Scheme::Https, 8443),
            (Scheme::Https, 80),
            (Scheme::Http, 443),
        ] {
            let origin = Origin {
                scheme,
                port,
                ..origin()
            };
            let named = format!("api.test:{port}");
            for (host, is_fine) in [(named.as_str(), true), ("api.test", false)] {
                let found = read(&origin, &parts("GET", "/", &[("host", host)]));
                assert_eq!(found.is_ok(), is_fine, "{host}");
                if let Ok(found) = found {
                    assert_eq!(found.headers[header::HOST], named);
                }
            }
        }
    }

    #[test]
    fn headers_that_make_another_request_or_say_who_sent_it_are_all_known() {
        for name in [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "x-original-url",
            "x-rewrite-url",
            "x-original-method",
        ] {
            let parts = parts("POST", "/", &[("host", "api.test"), (name, "x")]);
            assert_eq!(rule(&parts).as_deref(), Some("gate/override"), "{name}");
        }
        for name in [
            "expect",
            "forwarded",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "transfer-encoding",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
        ] {
            let parts = parts("POST", "/", &[("host", "api.test"), (name, "x")]);
            let read = read(&origin(), &parts).unwrap();
            assert!(!read.headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn what_policy_sees_of_a_header_is_short_and_said_once() {
        let long = "a".repeat(LONGEST_SEEN);
        let longer = "a".repeat(LONGEST_SEEN + 1);
        let with = |headers: &[(&str, &str)]| {
            parts("POST", "/", &[&[("host", "api.test")], headers].concat())
        };
        for headers in [
            &[("accept", longer.as_str())][..],
            &[("accept", &long), ("accept", "b")],
            &[("accept", "\u{e4}")],
            &[
                ("content-type", "text/plain"),
                ("content-type", "text/html"),
            ],
            &[("content-encoding", "gzip"), ("content-encoding", "br")],
        ] {
            let found = rule(&with(headers));
            assert_eq!(found.as_deref(), Some("gate/header"), "{}", headers[0].0);
        }
        let read = |headers: &[(&str, &str)]| read(&origin(), &with(headers)).unwrap();
        assert_eq!(read(&[("accept", &long)]).seen["accept"], long);
        let both = read(&[("accept", "a"), ("accept", "b")]);
        assert_eq!(both.seen["accept"], "a, b");
        // Who says that a body's length is for the next hop alone would have it read in another way.
        let framed = [("connection", "content-length"), ("content-length", "1")];
        assert_eq!(read(&framed).headers["content-length"], "1");
    }

    #[test]
    fn http_2_keeps_that_it_takes_trailers_and_nothing_else_of_it() {
        for (te, kept) in [
            ("trailers", true),
            ("gzip", false),
            ("gzip, trailers", false),
        ] {
            let parts = parts("GET", "https://api.test/", &[("te", te)]);
            let headers = read(&origin(), &parts).unwrap().headers;
            assert_eq!(headers.contains_key(header::TE), kept, "{te}");
        }
    }
}
