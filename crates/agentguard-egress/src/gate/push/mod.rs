//! Pushes: read whole before any of it is sent on, so that each ref and each path is judged, whatever client sends
//! them. A refusal is told in git's own words.

pub(super) mod advert;
mod base;
mod coming;
mod commands;
mod differ;
mod dockerfile;
mod entries;
mod graph;
mod ground;
mod hcl;
mod heard;
mod hold;
mod infrastructure;
mod known;
mod large;
mod manifest;
mod named;
mod pack;
mod pass;
mod paths;
pub(super) mod pkt;
mod report;
mod signer;
mod spool;
mod steep;
pub(super) mod written;
mod yaml;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentguard_core::{Caller, Digest, Push, PushedBy, RefUpdate, Rule};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::ask::Told;
use super::body::Body;
use super::request::Read;
use coming::Came;
use commands::Commands;
use gix_hash::{Kind as Hash, ObjectId};
pub(super) use graph::Graph;
pub(super) use ground::sent;
pub(super) use heard::Heard;
pub(super) use known::Known;
pub(super) use pack::LONGEST;
use pack::Objects;
pub(super) use pass::{Arriving, answered, unwritten};
use paths::{Ancestry, Changes, Walk};
use spool::Spooled;
pub(super) use spool::{Spool, Spools};

/// The service that takes a push, and the one that tells what there is.
const RECEIVE: &str = "git-receive-pack";
const UPLOAD: &str = "git-upload-pack";
/// The type of a push.
const SENT: &[u8] = b"application/x-git-receive-pack-request";
/// How long a push may take to be read.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of how many refs the server is asked whether they go forward.
const MOST_ASKED: usize = 8;
/// How it is begun to be said that a push is not even judged.
const NOT_PASSED_ON: &str = "the push is not passed on: ";
/// The shortest body of a request of no refs.
const PROBE: &[u8] = b"0000";

/// Whether a request is a push.
///
/// Whether its path is one that a server would take for another is not tried: such a push cannot be judged, and is
/// refused.
pub(super) fn is_push(read: &Read) -> bool {
    let mut segments = read.target.segments.iter();
    let kind = read.headers.get(header::CONTENT_TYPE);
    read.method == Method::POST
        && (segments.any(|segment| segment.eq_ignore_ascii_case(RECEIVE))
            || kind.is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(SENT)))
}

/// Whether a request asks what a server can, before a push.
pub(super) fn is_before_push(read: &Read) -> bool {
    let services = read.target.query.get("service");
    services.is_some_and(|services| services.iter().any(|service| service == RECEIVE))
}

/// The same, of what is about to be sent.
pub(super) fn asks_what_it_can(uri: &Uri) -> bool {
    uri.query() == Some("service=git-receive-pack")
}

/// A push that was read.
pub(super) struct Received {
    commands: Commands,
    objects: Objects,
    /// What the server says of what it builds upon.
    base: Objects,
    walk: Walk,
    changes: Changes,
    /// Refs of which only the server knows that they are to hold what they held.
    forward: HashSet<String>,
    head: Bytes,
    pack: Bytes,
}

/// Why a push is not even judged, and what it asked for where that could be read.
pub(super) struct Unread {
    pub(super) rule: Rule,
    pub(super) commands: Option<Commands>,
}

impl Unread {
    fn new(why: &str) -> Box<Self> {
        let reason = format!("{NOT_PASSED_ON}{why}");
        Box::new(Self {
            rule: Rule::new("gate/push", reason),
            commands: None,
        })
    }

    fn with_remedy(mut self: Box<Self>, remedy: &str) -> Box<Self> {
        self.rule = self.rule.with_remedy(remedy);
        self
    }

    fn of(mut self: Box<Self>, commands: Commands) -> Box<Self> {
        self.commands = Some(commands);
        self
    }
}

/// What came of reading.
pub(super) enum Arrived {
    /// It asks for nothing.
    Probe,
    /// It is one.
    Push(Box<Received>),
}

/// Reads a push whole.
pub(super) async fn receive(
    first: VecDeque<Bytes>,
    rest: Incoming,
    headers: &HeaderMap,
    spool: Spool,
) -> Result<Arrived, Box<Unread>> {
    let came = match coming::all(first, rest, headers, spool).await? {
        Came::Probe => return Ok(Arrived::Probe),
        Came::Push(came) => *came,
    };
    let commands = came.0.clone();
    let received = in_time(move |late| read(came, late)).await;
    let received = received.map_err(|unread| unread.of(commands))?;
    Ok(Arrived::Push(Box::new(received)))
}

/// Reads beside everything else that the gate does, and not for long.
async fn in_time<T: Send + 'static>(
    read: impl FnOnce(&AtomicBool) -> Result<T, Box<Unread>> + Send + 'static,
) -> Result<T, Box<Unread>> {
    let late = Arc::new(AtomicBool::new(false));
    let reading = tokio::task::spawn_blocking({
        let late = Arc::clone(&late);
        move || read(&late)
    });
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => Err(Unread::new("it cannot be read")),
        Err(_) => {
            late.store(true, Ordering::Relaxed);
            Err(Unread::new("it takes too long to be read"))
        }
    }
}

fn read(
    (commands, head, spooled): (Commands, Bytes, Spooled),
    late: &AtomicBool,
) -> Result<Received, Box<Unread>> {
    let mut objects = Objects::new(commands.format);
    // Without new objects there need not be a pack.
    if spooled.length() > 0
        && let Err(why) = objects.read(spooled.as_ref(), late)
    {
        return Err(Unread::new(&why).of(commands));
    }
    let walk = match Walk::over(&objects, &commands.refs) {
        Ok(walk) => walk,
        Err(why) => return Err(Unread::new(&why).of(commands)),
    };
    Ok(Received {
        base: Objects::new(commands.format),
        commands,
        objects,
        walk,
        changes: Changes::default(),
        forward: HashSet::new(),
        head,
        pack: spooled.bytes(),
    })
}

impl Received {
    /// Of what it leads to and what is not in it, that of which it has to be asked whether it is in a branch. What a
    /// branch is said to hold already is not: where it holds something else, the server does not change it.
    pub(super) fn ground(&self) -> Vec<ObjectId> {
        self.walk.ground(&self.objects, &self.commands.refs)
    }

    /// What it is asked of the refs of which the push does not show whether they are to hold what they held: each
    /// for the commits that lead to what it held, and not to what the push builds upon there.
    pub(super) fn about_ancestry(&self) -> Vec<(String, Vec<u8>)> {
        let asked = self.commands.refs.iter().filter_map(|update| {
            let old = ObjectId::from_hex(update.old.as_deref()?.as_bytes()).ok()?;
            let frontier = match self.walk.ancestry(&self.objects, update)? {
                Ancestry::Forward => return None,
                Ancestry::Upon(frontier) => frontier,
            };
            let is_open = !frontier.is_empty();
            is_open.then(|| (update.name.clone(), base::beside(&[old], &frontier)))
        });
        asked.take(MOST_ASKED).collect()
    }

    /// Compares what it changes by what was read of others before. Whether all of that was.
    pub(super) fn read_before(&mut self, known: &Known) -> bool {
        let known = known.lock();
        let changes = self.walk.changes(&self.objects, &known.objects);
        let is_read = changes.is_ok();
        self.changes = changes.unwrap_or_default();
        is_read
    }

    /// What the server is asked where that is not so.
    pub(super) fn about_directories(&self) -> Option<Vec<u8>> {
        let wanted = self.walk.parents(&self.objects);
        (!wanted.is_empty()).then(|| base::directories(&wanted))
    }

    /// What it is asked where the push takes up directories from elsewhere there: what they hold is known by their
    /// ids, whoever tells it.
    pub(super) fn about_taken_up(&self) -> Result<Option<Vec<u8>>, Box<Unread>> {
        let wanted = self.walk.taken_up(&self.objects, &self.base);
        let wanted = wanted.map_err(|why| Unread::new(&why))?;
        Ok((!wanted.is_empty()).then(|| base::below(&wanted)))
    }

    /// Compares what it changes by what the server said.
    pub(super) fn compare(&mut self) -> Result<(), Box<Unread>> {
        let changes = self.walk.changes(&self.objects, &self.base);
        self.changes = changes.map_err(|why| Unread::new(&why))?;
        Ok(())
    }

    /// What it is asked before it is known what files hold that say what runs where.
    pub(super) fn about_files(&mut self) -> Result<Option<Vec<u8>>, Box<Unread>> {
        let mut wanted =
            infrastructure::wanted(&mut self.changes.files, &self.objects).map_err(Unread::new)?;
        // Some servers send them along with the directories.
        let base = &self.base;
        wanted.retain(|id| !base.contents.contains_key(id) && !base.manifests.contains(id));
        Ok((!wanted.is_empty()).then(|| base::files(&wanted)))
    }

    /// A question as a request to the repository's other service, and its path.
    pub(super) fn question(
        asked: Vec<u8>,
        sent: &str,
        headers: &HeaderMap,
    ) -> Option<(String, Request<Bytes>)> {
        let (path, _) = sent.split_once('?').unwrap_or((sent, ""));
        let of = path.strip_suffix(RECEIVE).or(path.strip_suffix(UPLOAD))?;
        let path = format!("{of}{UPLOAD}");
        let length = asked.len();
        let mut request = Request::new(Bytes::from(asked));
        *request.method_mut() = Method::POST;
        let own = [
            (
                header::CONTENT_TYPE,
                "application/x-git-upload-pack-request",
            ),
            (header::ACCEPT, "application/x-git-upload-pack-result"),
            (HeaderName::from_static("git-protocol"), "version=2"),
        ];
        let into = request.headers_mut();
        for (name, value) in own {
            into.insert(name, HeaderValue::from_static(value));
        }
        into.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        for name in [header::HOST, header::AUTHORIZATION, header::USER_AGENT] {
            if let Some(value) = headers.get(&name) {
                into.insert(name, value.clone());
            }
        }
        Some((path, request))
    }

    /// Takes what the server says of what it builds upon.
    pub(super) async fn hear(&mut self, answer: Response<Incoming>) -> Result<(), Box<Unread>> {
        let format = self.commands.format;
        let base = std::mem::replace(&mut self.base, Objects::new(format));
        self.base = heard(answer, base).await?;
        Ok(())
    }

    /// Makes of it what is judged.
    pub(super) fn push(
        &mut self,
        read: &Read,
        (host, port): (String, u16),
        caller: &Caller,
    ) -> Push {
        let Changes {
            commits,
            paths,
            files,
        } = std::mem::take(&mut self.changes);
        let forward = |update: &RefUpdate| RefUpdate {
            forward: self.walk.is_forward(&self.objects, update)
                || self.forward.contains(&update.name),
            ..update.clone()
        };
        Push {
            by: PushedBy::Git,
            host,
            port,
            repository: repository(&read.target.segments),
            refs: self.commands.refs.iter().map(forward).collect(),
            commits,
            paths,
            infrastructure: infrastructure::changes(&files, (&self.objects, &self.base)),
            unseen: None,
            merges: None,
            options: self.commands.options.clone(),
            atomic: self.commands.atomic,
            signed: self.commands.signed,
            caller: caller.path.clone(),
            caller_sha256: caller.sha256,
            credentials: Vec::new(),
        }
    }

    /// Digests what is sent with it, whatever way its objects are packed: by that the same is known again, and what
    /// it leads to is in the ids of its refs.
    pub(super) fn whole(&self) -> Digest {
        Digest::of(self.objects.listed().as_bytes())
    }

    /// Forgets what was only needed to judge it, but for what the next one may build upon. What is left is what is sent.
    pub(super) fn sent(self, known: &Known) -> (Commands, Body) {
        let body = self.body();
        let mut known = known.lock();
        known.learn(self.base);
        known.learn(self.objects);
        (self.commands, body)
    }

    /// What the repository's objects are named by.
    pub(super) fn format(&self) -> Hash {
        self.commands.format
    }

    /// What stands before its pack.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// How long it is.
    pub(super) fn length(&self) -> usize {
        self.head.len() + self.pack.len()
    }

    /// The very bytes that were read.
    fn body(&self) -> Body {
        Body::pieces([self.head.clone(), self.pack.clone()])
    }
}

/// What the server's branches point to, by its answer.
pub(super) async fn branches(
    answer: Response<Incoming>,
    format: Hash,
) -> Result<Vec<ObjectId>, Box<Unread>> {
    let listed = base::listed(&mut good(answer)?, format).await;
    listed.map_err(unknown)
}

/// Refuses what builds upon commits that are in none of the server's branches: whoever may open a pull request can
/// have put them there.
pub(super) async fn is_in_branches(
    answer: Response<Incoming>,
    format: Hash,
) -> Result<(), Box<Unread>> {
    let beside = heard(answer, Objects::new(format)).await?;
    if beside.commits.is_empty() {
        return Ok(());
    }
    let why = "it builds upon commits that are in none of the server's branches";
    Err(Unread::new(why).with_remedy("build upon a branch"))
}

/// Whether an answer holds nothing.
async fn is_nothing(answer: Response<Incoming>, format: Hash) -> bool {
    let heard = heard(answer, Objects::new(format)).await;
    heard.is_ok_and(|beside| beside.is_empty())
}

/// Adds what an answer holds.
async fn heard(answer: Response<Incoming>, mut known: Objects) -> Result<Objects, Box<Unread>> {
    let pack = base::pack(&mut good(answer)?).await.map_err(unknown)?;
    in_time(move |late| {
        known.read(&pack, late).map_err(unknown)?;
        Ok(known)
    })
    .await
}

fn good(answer: Response<Incoming>) -> Result<Incoming, Box<Unread>> {
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        status => Err(unknown(format!(
            "the server answers with status {}",
            status.as_u16()
        ))),
    }
}

/// Says how a client sends along what a server does not tell by itself.
pub(super) fn with_directories(unread: Box<Unread>) -> Box<Unread> {
    unread.with_remedy(
        "push with `git -c pack.useBitmaps=false push`, which sends along what a directory holds",
    )
}

fn unknown(why: String) -> Box<Unread> {
    Unread::new(&format!("what it builds upon is not known: {why}"))
}

/// The answer to a client whose push was refused.
pub(super) fn refused(commands: &Commands, told: &Told) -> Response<Body> {
    reported(Body::whole(report::refused(commands, told).into()))
}

/// An answer in git's words.
fn reported(words: Body) -> Response<Body> {
    let mut answer = Response::new(words);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(report::KIND));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// The path of a repository, without what serves it and without the ending that servers do without.
fn repository(segments: &[String]) -> Vec<String> {
    let mut repository = segments.to_vec();
    repository.pop();
    if let Some(last) = repository.last_mut()
        && let Some(plain) = last.strip_suffix(".git")
    {
        *last = plain.to_owned();
    }
    repository
}
