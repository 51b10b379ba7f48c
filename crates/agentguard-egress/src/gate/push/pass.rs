//! A push on its way: read, its ground asked for, judged, and only then sent.

use std::collections::VecDeque;
use std::sync::Arc;

use agentguard_core::{CredentialName, Digest, OutcomeOf};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri, Version};

use super::commands::Commands;
use super::hold::Going;
use super::written::Asked;
use super::{Arrived, Heard, Unread, refused};
use crate::gate::ask::{Asking, Permitted};
use crate::gate::body::Body;
use crate::gate::connection::refuse;
use crate::gate::forward::Way;
use crate::gate::misplaced::Misplaced;
use crate::gate::refusal::{self, Fault};
use crate::gate::request::Read;
use crate::gate::serve::{Connection, Sending, Unsent, failed};

/// A request that is a push, and was permitted as a request.
pub(in crate::gate) struct Arriving {
    pub(in crate::gate) read: Read,
    pub(in crate::gate) uri: Uri,
    pub(in crate::gate) version: Version,
    pub(in crate::gate) first: VecDeque<Bytes>,
    pub(in crate::gate) rest: Incoming,
    /// What was put into it.
    pub(in crate::gate) credentials: Vec<CredentialName>,
}

impl Connection {
    /// Passes a push on where what it changes is permitted as well.
    pub(in crate::gate) async fn push(
        self: &Arc<Self>,
        arriving: Arriving,
        permitted: Permitted,
    ) -> Result<Response<Body>, Unsent> {
        let Arriving {
            read,
            uri,
            version,
            first,
            rest,
            credentials,
        } = arriving;
        let upstream = match &self.way {
            Way::Open(upstream) => upstream,
            Way::Failed { why, .. } => return Ok(failed(permitted, StatusCode::BAD_GATEWAY, why)),
            Way::Closed { .. } => return Err(Unsent::Gone),
        };
        let place = self.shared.pushes.acquire().await;
        let mut received = match self.receive(first, rest, &read).await {
            Ok(Arrived::Push(received)) => received,
            Ok(Arrived::Probe) => {
                drop(place);
                let body = Body::pieces([Bytes::from_static(super::PROBE)]);
                let request = self.again((read, uri, version), body);
                let sending = Sending::whole(&self.shared, permitted);
                let request = sending.measuring(request);
                return self.send(upstream, request, sending).await;
            }
            Err(unread) => return self.unread(unread, permitted).await,
        };
        // What is compressed in its pack is not looked through: a placeholder is worth nothing to anybody there.
        if let Some(credential) = self.shared.lent.in_bytes(received.head()) {
            not_sent(permitted);
            return Err(Misplaced::in_body(credential).into());
        }
        let mut push = match self.judged(upstream, &mut received, &read, version).await {
            Ok(push) => push,
            Err(unread) => {
                return self.unread(unread.of(received.commands), permitted).await;
            }
        };
        push.credentials = credentials;
        let mut asking = self.shared.guard.push(push, received.whole())?;
        let held = asking.held().await;
        let length = received.length();
        let (commands, body) = received.sent(&self.shared.known);
        let mut request = self.again((read, uri, version), body);
        as_judged(request.headers_mut(), length);
        let going = Going {
            commands,
            permitted,
            request,
        };
        // What waits for a human keeps no other from being read.
        drop(place);
        match held {
            Some(approval) => self.hold(going, asking, approval).await,
            None => self.settle(going, &mut asking).await,
        }
    }

    /// Passes it on where that is permitted, and otherwise says why it is not.
    pub(super) async fn settle(
        &self,
        going: Going,
        asking: &mut Asking,
    ) -> Result<Response<Body>, Unsent> {
        match asking.settled().await? {
            Ok(changing) => self.go(going, changing).await,
            Err(told) => {
                not_sent(going.permitted);
                Ok(refused(&going.commands, &told))
            }
        }
    }

    /// Passes it on.
    pub(super) async fn go(
        &self,
        going: Going,
        changing: Permitted,
    ) -> Result<Response<Body>, Unsent> {
        let Way::Open(upstream) = &self.way else {
            return Err(Unsent::Gone);
        };
        let sending = Sending::whole(&self.shared, going.permitted);
        let request = sending.measuring(going.request);
        let answer = self.send(upstream, request, sending).await?;
        Ok(heard(answer, changing, going.commands))
    }

    /// Waits for a push, and reads it.
    async fn receive(
        &self,
        first: VecDeque<Bytes>,
        rest: Incoming,
        read: &Read,
    ) -> Result<Arrived, Box<Unread>> {
        let spool = self.shared.spools.take().await;
        let none = |error| Unread::new(&format!("there is no room for it: {error}"));
        super::receive(first, rest, &read.headers, spool.map_err(none)?).await
    }

    /// Has what a permitted request writes to a repository judged as well.
    pub(in crate::gate) async fn written(
        &self,
        written: Option<Asked>,
        (read, body): (&Read, Option<Digest>),
        permitted: Permitted,
    ) -> Result<(Permitted, Option<Permitted>), Unsent> {
        let Some(Asked { mut push, at }) = written else {
            return Ok((permitted, None));
        };
        if let Some(at) = at {
            self.show(&mut push, &at, read).await?;
        }
        // Who says yes to it does so to all that is sent.
        let whole = serde_json::to_vec(&(&push, body)).unwrap_or_default();
        let whole = Digest::of(&whole);
        let mut asking = self.shared.guard.push(push, whole)?;
        match asking.settled().await? {
            Ok(changing) => Ok((permitted, Some(changing))),
            Err(told) => {
                not_sent(permitted);
                let answer = refusal::answer(StatusCode::FORBIDDEN, &told);
                Err(Unsent::Answered(answer))
            }
        }
    }

    /// The request as it was read, with its body.
    fn again(&self, (read, uri, version): (Read, Uri, Version), body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = read.method;
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        *request.headers_mut() = read.headers;
        request
    }

    async fn unread(
        &self,
        unread: Box<Unread>,
        permitted: Permitted,
    ) -> Result<Response<Body>, Unsent> {
        not_sent(permitted);
        let told = refuse(&self.shared, &self.origin, unread.rule).await?;
        Ok(match unread.commands {
            Some(commands) => refused(&commands, &told),
            None => refusal::answer(StatusCode::FORBIDDEN, &told),
        })
    }
}

/// It is sent as it was judged, and what the server says of it is to be readable.
fn as_judged(headers: &mut HeaderMap, length: usize) {
    headers.remove(CONTENT_ENCODING);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.remove(ACCEPT_ENCODING);
}

/// Has the answer to a push read along, or tells that there is none.
fn heard(answer: Response<Body>, changing: Permitted, commands: Commands) -> Response<Body> {
    if answer.status() == StatusCode::OK {
        let heard = Heard::new(changing, commands);
        return answer.map(|body| body.heard_by(heard));
    }
    changing.tell(OutcomeOf::Unanswered {
        why: format!("status {}", answer.status().as_u16()),
    });
    answer
}

/// Tells what came of a push.
pub(in crate::gate) fn answered(pushing: Option<Permitted>, status: StatusCode) {
    let outcome = if status.is_success() {
        OutcomeOf::Done
    } else {
        OutcomeOf::Unanswered {
            why: format!("status {}", status.as_u16()),
        }
    };
    if let Some(pushing) = pushing {
        pushing.tell(outcome);
    }
}

/// Refuses a request that writes to a repository in a way that cannot be judged.
pub(in crate::gate) fn unwritten(why: String) -> Fault {
    let reason = format!("what it writes to a repository cannot be judged: {why}");
    Fault::new(StatusCode::FORBIDDEN, "gate/push", reason)
        .with_remedy("commit in the workspace, and push with git")
}

/// The request was permitted, and what it carries was not.
pub(super) fn not_sent(permitted: Permitted) {
    permitted.tell(OutcomeOf::Unanswered {
        why: "the push in it was refused".to_owned(),
    });
}
