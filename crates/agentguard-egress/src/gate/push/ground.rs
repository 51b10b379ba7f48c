//! What the server is asked of what a push builds upon. What does not wait for another answer is asked at once, and
//! what was read before, or is made sure of by the server itself, is not asked.

use agentguard_core::Push;
use gix_hash::{Kind as Hash, ObjectId};
use hyper::body::Incoming;
use hyper::{Request, Response, Version};
use tokio::time::timeout;

use super::{Received, Unread};
use crate::gate::body::Body;
use crate::gate::forward::Upstream;
use crate::gate::request::Read;
use crate::gate::serve::Connection;

/// Who asks, and how.
pub(super) struct Questions<'c> {
    pub(super) connection: &'c Connection,
    pub(super) read: &'c Read,
    pub(super) version: Version,
}

impl Connection {
    /// What is judged, with what the server says of what the push builds upon.
    pub(super) async fn judged(
        &self,
        upstream: &Upstream,
        received: &mut Received,
        read: &Read,
        version: Version,
    ) -> Result<Push, Box<Unread>> {
        if read
            .target
            .segments
            .last()
            .is_none_or(|last| last != super::RECEIVE)
        {
            return Err(Unread::new(
                "its path is not that of a repository's service",
            ));
        }
        let questions = Questions {
            connection: self,
            read,
            version,
        };
        let format = received.format();
        let (ground, ancestry) = (received.ground(), received.about_ancestry());
        let is_read = received.read_before(&self.shared.known);
        let grounded = async {
            if ground.is_empty() {
                return Ok(());
            }
            let own = upstream.beside(!is_read).await;
            let upstream = own.as_ref().unwrap_or(upstream);
            questions.ground(upstream, &ground, format).await
        };
        let forward = async {
            if ancestry.is_empty() {
                return Vec::new();
            }
            let own = upstream.beside(!is_read || !ground.is_empty()).await;
            let upstream = own.as_ref().unwrap_or(upstream);
            questions.ancestry(upstream, ancestry, format).await
        };
        let shown = questions.content(upstream, received, is_read);
        let (grounded, forward, shown) = tokio::join!(grounded, forward, shown);
        // Which of two reasons is told is not for whoever answers first to say.
        grounded.and(shown)?;
        received.forward.extend(forward);
        let to = (self.origin.host.to_string(), self.origin.port);
        Ok(received.push(read, to, &self.origin.caller))
    }
}

impl Questions<'_> {
    /// Makes sure that what a push builds upon is in the server's branches.
    pub(super) async fn ground(
        &self,
        upstream: &Upstream,
        ground: &[ObjectId],
        format: Hash,
    ) -> Result<(), Box<Unread>> {
        let answer = self.ask(upstream, super::base::branches(format)).await?;
        let branches = super::branches(answer, format).await?;
        let inside = ground
            .iter()
            .filter(|id| branches.binary_search(id).is_err());
        let inside: Vec<_> = inside.copied().collect();
        if inside.is_empty() {
            return Ok(());
        }
        let question = super::base::beside(&inside, &branches);
        let answer = self.ask(upstream, question).await?;
        super::is_in_branches(answer, format).await
    }

    /// Which refs are known to go forward. Where the server does not say, it is not known.
    async fn ancestry(
        &self,
        upstream: &Upstream,
        asked: Vec<(String, Vec<u8>)>,
        format: Hash,
    ) -> Vec<String> {
        let mut forward = Vec::new();
        for (name, question) in asked {
            if let Ok(answer) = self.ask(upstream, question).await
                && super::is_nothing(answer, format).await
            {
                forward.push(name);
            }
        }
        forward
    }

    /// What directories and files hold that the push changes.
    pub(super) async fn content(
        &self,
        upstream: &Upstream,
        received: &mut Received,
        is_read: bool,
    ) -> Result<(), Box<Unread>> {
        // A server that sends files only with their directories is asked for both.
        if is_read && self.files(upstream, received).await.is_ok() {
            return Ok(());
        }
        if let Some(question) = received.about_directories() {
            let answer = self.ask(upstream, question).await?;
            received.hear(answer).await?;
        }
        if let Some(question) = received.about_taken_up()? {
            let answer = self.ask(upstream, question).await?;
            let heard = received.hear(answer).await;
            heard.map_err(super::with_directories)?;
        }
        received.compare()?;
        self.files(upstream, received).await
    }

    /// What files hold that say what runs where.
    async fn files(&self, upstream: &Upstream, received: &mut Received) -> Result<(), Box<Unread>> {
        if let Some(question) = received.about_files()? {
            let answer = self.ask(upstream, question).await?;
            received.hear(answer).await?;
        }
        Ok(())
    }

    pub(super) async fn ask(
        &self,
        upstream: &Upstream,
        question: Vec<u8>,
    ) -> Result<Response<Incoming>, Box<Unread>> {
        let unasked = || Unread::new("the server cannot be asked what it builds upon");
        let asked = self.request(question).ok_or_else(unasked)?;
        let patience = self.connection.shared.patience.server;
        let answer = timeout(patience, upstream.ask(&asked)).await;
        let late = "the server does not say what it builds upon";
        let answer = answer.map_err(|_| Unread::new(late))?;
        answer.map_err(|why| Unread::new(&why))
    }

    fn request(&self, question: Vec<u8>) -> Option<Request<hyper::body::Bytes>> {
        let (target, headers) = (&self.read.target.sent, &self.read.headers);
        let (path, mut request) = Received::question(question, target, headers)?;
        *request.uri_mut() = self.connection.uri(&path, self.version).ok()?;
        *request.version_mut() = self.version;
        Some(request)
    }
}

/// A question as it is sent.
pub(in crate::gate) fn sent(asked: &Request<hyper::body::Bytes>) -> Request<Body> {
    let mut request = Request::new(Body::whole(asked.body().clone()));
    *request.method_mut() = asked.method().clone();
    *request.uri_mut() = asked.uri().clone();
    *request.version_mut() = asked.version();
    *request.headers_mut() = asked.headers().clone();
    request
}
