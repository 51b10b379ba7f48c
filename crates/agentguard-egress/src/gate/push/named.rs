//! What a request has a ref point to and does not show: the gate fetches it with whatever the request itself carries, and
//! it is judged as what a push brings.
//!
//! By its id an object is the same whoever tells what it holds, so that what was judged is what the ref points to then. The
//! fetch is judged and written down as if whoever asks had fetched it.

use std::collections::{HashSet, VecDeque};

use agentguard_core::{Host, OutcomeOf, Push, RefChange, RefUpdate};
use base64ct::{Base64, Encoding as _};
use gix_hash::{Kind as Hash, ObjectId};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Version};
use zeroize::Zeroizing;

use super::commands::Commands;
use super::ground::Questions;
use super::pack::Objects;
use super::paths::{Changes, Walk};
use super::written::Address;
use super::{Received, UPLOAD, Unread, base, branches, heard};
use crate::gate::ask::Gone;
use crate::gate::forward::{Upstream, Way};
use crate::gate::leaf::Protocol;
use crate::gate::lent::Uses;
use crate::gate::redact;
use crate::gate::refusal::Fault;
use crate::gate::request::{self, Read};
use crate::gate::resolve::Nowhere;
use crate::gate::serve::Connection;
use crate::gate::shown::Shown;

/// Why something stays unseen.
enum Hidden {
    Why(String),
    Gone,
}

impl From<Gone> for Hidden {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<String> for Hidden {
    fn from(why: String) -> Self {
        Self::Why(why)
    }
}

impl From<Fault> for Hidden {
    fn from(fault: Fault) -> Self {
        Self::Why(fault.rule.reason)
    }
}

impl From<Box<Unread>> for Hidden {
    fn from(unread: Box<Unread>) -> Self {
        let reason = unread.rule.reason;
        let why = reason.strip_prefix(super::NOT_PASSED_ON);
        Self::Why(why.unwrap_or(&reason).to_owned())
    }
}

impl Connection {
    /// Has `push` say what that holds which it only names. Where it cannot be fetched, it says why, and stays unseen.
    pub(super) async fn show(
        &self,
        push: &mut Push,
        at: &Address,
        read: &Read,
    ) -> Result<(), Gone> {
        match Box::pin(self.fetched(push, at, read)).await {
            Ok(fetched) => {
                push.commits = fetched.commits;
                push.paths = fetched.paths;
                push.infrastructure = fetched.infrastructure;
                push.unseen = None;
            }
            Err(Hidden::Why(why)) => {
                let why = redact::text(&self.shared.lent, &why);
                push.unseen = Some(format!("it is only named, and cannot be fetched: {why}"));
            }
            Err(Hidden::Gone) => return Err(Gone),
        }
        Ok(())
    }

    async fn fetched(&self, push: &Push, at: &Address, read: &Read) -> Result<Push, Hidden> {
        let connection = self.fetching(at).await?;
        let upstream = match &connection.way {
            Way::Open(upstream) => upstream,
            Way::Failed { why, .. } => return Err(Hidden::Why(why.clone())),
            Way::Closed { .. } => return Err(Hidden::Gone),
        };
        let (mut fetch, uses) = connection.fetch(at, &read.headers)?;
        let api = connection.api(&fetch, &uses, Shown::NOTHING, upstream.at())?;
        let permitted = match self.shared.guard.request(api, None).await? {
            Ok(permitted) => permitted,
            Err(told) => {
                let why = format!("by `{}`, {}", told.rule.id, told.rule.reason);
                return Err(Hidden::Why(why));
            }
        };
        connection.lend(&uses, &mut fetch, Version::HTTP_11, &VecDeque::new())?;
        let questions = Questions {
            connection: &connection,
            read: &fetch,
            version: Version::HTTP_11,
        };
        // What is read of it takes as much as a push does.
        let place = self.shared.pushes.acquire().await;
        let brought = questions.brought(upstream, push).await;
        drop(place);
        let mut received = match brought {
            Ok(received) => received,
            Err(hidden) => {
                if let Hidden::Why(why) = &hidden {
                    let why = why.clone();
                    permitted.tell(OutcomeOf::Unanswered { why });
                }
                return Err(hidden);
            }
        };
        permitted.tell(OutcomeOf::Done);
        let to = (push.host.clone(), push.port);
        Ok(received.push(&fetch, to, &self.origin.caller))
    }

    /// A connection of the same caller, to where git fetches the repository.
    async fn fetching(&self, at: &Address) -> Result<Self, Hidden> {
        let mut origin = self.origin.clone();
        if let Some(host) = &at.host {
            origin.host = Host::Name(host.clone());
            origin.slash = self.shared.slash_of(&origin.host);
        }
        let resolver = &self.shared.resolver;
        if !resolver.grants(&origin.host, origin.port) {
            let why = format!("the session is not granted `{}`", origin.authority());
            return Err(Hidden::Why(why));
        }
        let found = resolver.find(&origin.host, origin.port).await;
        let addresses = found.map_err(|nowhere| match nowhere {
            Nowhere::Unknown(why) => format!("`{}` cannot be looked up: {why}", origin.host),
            Nowhere::Forbidden(_) => format!("`{}` is where nobody may reach it", origin.host),
        })?;
        let way = Upstream::connect(&self.shared, &origin, &addresses, &[Protocol::Http1]);
        let way = Box::pin(way).await;
        Ok(self.beside(origin, way))
    }

    /// The fetch as whoever asks would send it, with what the request carries to say who that is.
    fn fetch(&self, at: &Address, headers: &HeaderMap) -> Result<(Read, Uses), Hidden> {
        let mut last = None;
        for who in carried(headers) {
            let read = self.fetch_as(at, headers, who)?;
            let uses = self.shared.lent.uses(&self.origin, &read.headers, &read);
            let Ok(mut uses) = uses else {
                // It may stand there in another way, or is not lent for this.
                last = Some("what it is asked with may not be used to fetch".to_owned());
                continue;
            };
            uses.carry(self.shared.ssh.key_for(&self.origin, &read)?);
            return Ok((read, uses));
        }
        Err(Hidden::Why(last.unwrap_or_default()))
    }

    fn fetch_as(
        &self,
        at: &Address,
        headers: &HeaderMap,
        who: Option<HeaderValue>,
    ) -> Result<Read, Hidden> {
        let unsent = |_| "it cannot be asked for".to_owned();
        let host = HeaderValue::try_from(self.origin.authority()).map_err(|_| unsent(()))?;
        let said = |text: &'static str| Some(HeaderValue::from_static(text));
        let own = [
            (HOST, Some(host)),
            (CONTENT_TYPE, said("application/x-git-upload-pack-request")),
            (ACCEPT, said("application/x-git-upload-pack-result")),
            (HeaderName::from_static("git-protocol"), said("version=2")),
            (USER_AGENT, headers.get(USER_AGENT).cloned()),
            (AUTHORIZATION, who),
        ];
        let mut asked = Request::new(());
        *asked.method_mut() = Method::POST;
        *asked.uri_mut() = self
            .uri(&format!("{}/{UPLOAD}", at.path), Version::HTTP_11)
            .map_err(|_| unsent(()))?;
        for (name, value) in own {
            if let Some(value) = value {
                asked.headers_mut().insert(name, value);
            }
        }
        Ok(request::read(&self.origin, &asked.into_parts().0)?)
    }
}

impl Questions<'_> {
    /// What refs are to point to, with all that none of the server's branches holds; or what is merged, with all that the
    /// server's own branch does not.
    async fn brought(&self, upstream: &Upstream, push: &Push) -> Result<Received, Hidden> {
        let mut refs = push.refs.clone();
        if push.merges.is_some() {
            refs.iter_mut()
                .for_each(|one| one.new.clone_from(&push.merges));
        }
        let made = refs.iter().filter(|one| one.change != RefChange::Delete);
        let wanted = made.map(|one| ObjectId::from_hex(one.new.as_deref()?.as_bytes()).ok());
        let wanted: Option<HashSet<_>> = wanted.collect();
        let wanted = wanted.ok_or_else(|| "it has no id".to_owned())?;
        let wanted: Vec<_> = wanted.into_iter().collect();
        let format = wanted.first().map_or(Hash::Sha1, |id| id.kind());
        let known = match push.merges {
            None => base::branches(format),
            Some(_) => base::own_branch(format),
        };
        let answer = self.ask(upstream, known).await?;
        let known = branches(answer, format).await?;
        let answer = self.ask(upstream, base::brought(&wanted, &known)).await?;
        let objects = heard(answer, Objects::new(format)).await?;
        let mut received = Received::named(refs, objects)?;
        let ground = received.ground();
        let is_read = received.read_before(&self.connection.shared.known);
        self.ground(upstream, &ground, format).await?;
        self.content(upstream, &mut received, is_read).await?;
        Ok(received)
    }
}

impl Received {
    /// What is on the server already, as if it were pushed.
    fn named(refs: Vec<RefUpdate>, objects: Objects) -> Result<Self, String> {
        let walk = Walk::over(&objects, &refs)?;
        let format = objects.format;
        Ok(Self {
            commands: Commands {
                refs,
                options: Vec::new(),
                atomic: false,
                signed: false,
                side_band: false,
                report: false,
                format,
                length: 0,
            },
            objects,
            base: Objects::new(format),
            walk,
            changes: Changes::default(),
            forward: HashSet::new(),
            head: Bytes::new(),
            pack: Bytes::new(),
        })
    }
}

/// What says who asks, as git says it, and then as it was said. Servers take a token as the password of anybody.
fn carried(headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let as_git = |user: &str, token: &str| {
        let both = Zeroizing::new(format!("{user}:{}", token.trim()));
        let both = Zeroizing::new(Base64::encode_string(both.as_bytes()));
        let mut value = HeaderValue::from_str(&format!("Basic {}", *both)).ok()?;
        value.set_sensitive(true);
        Some(value)
    };
    let said = headers.get(AUTHORIZATION).cloned();
    let words = text("authorization").and_then(|said| said.split_once(' '));
    match (words, text("private-token"), text("job-token")) {
        (Some((scheme, _)), _, _) if scheme.eq_ignore_ascii_case("basic") => vec![said],
        (Some((_, token)), _, _) => vec![as_git("x-access-token", token), said],
        (None, Some(token), _) => vec![as_git("x-access-token", token)],
        (None, None, Some(token)) => vec![as_git("gitlab-ci-token", token)],
        (None, None, None) => vec![said],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request carries, and what the fetch is asked with, one after the other.
    #[test]
    fn a_fetch_is_asked_for_with_what_the_request_carries_and_with_nothing_else() {
        let basic = |both: &str| format!("Basic {}", Base64::encode_string(both.as_bytes()));
        let git = basic("x-access-token:abc");
        let own = basic("someone:else");
        let (both, nothing) = (vec![git.clone(), "Bearer abc".to_owned()], Vec::new());
        let cases = [
            (vec![("authorization", "Bearer abc")], both),
            (
                vec![("authorization", "token abc")],
                vec![git.clone(), "token abc".to_owned()],
            ),
            (vec![("authorization", own.as_str())], vec![own.clone()]),
            (vec![("private-token", "abc")], vec![git]),
            (
                vec![("job-token", "abc")],
                vec![basic("gitlab-ci-token:abc")],
            ),
            (
                vec![("authorization", own.as_str()), ("private-token", "abc")],
                vec![own.clone()],
            ),
            (vec![("cookie", "session=abc"), ("x-token", "abc")], nothing),
        ];
        for (carries, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in &carries {
                headers.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            let asked = carried(&headers).into_iter().flatten();
            let asked: Vec<_> = asked
                .map(|value| value.to_str().unwrap().to_owned())
                .collect();
            assert_eq!(asked, expected, "{carries:?}");
        }
    }
}
