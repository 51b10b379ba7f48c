//! Placeholders that stand where they may not: that is refused, and told to whoever looks for misuse.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentguard_core::{Binding, Reach, Rule, Slot};
use hyper::body::{Bytes, Frame};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::accept::Shared;
use super::ask::{Gone, Told};
use super::connection::reach;
use super::quoted::Conversation;
use super::request::Origin;
use super::scan::{Hit, Scanner};

/// So many places are named to whoever misplaced one.
const MOST_NAMED: usize = 4;

/// A placeholder that stands where it may not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Misplaced {
    pub(super) credential: usize,
    place: String,
}

impl Misplaced {
    pub(super) fn in_head(credential: usize, place: String) -> Self {
        Self { credential, place }
    }

    pub(super) fn in_body(credential: usize) -> Self {
        Self::in_head(credential, "its body".to_owned())
    }

    /// Has a request to a host refused.
    pub(super) async fn tell(self, shared: &Shared, origin: &Origin) -> Result<Told, Gone> {
        let of = format!("of a request to `{}`", origin.host);
        let reach = reach(origin, None, true);
        self.tell_of(shared, &of, reach).await
    }

    /// Has what `of` says refused.
    pub(super) async fn tell_of(
        self,
        shared: &Shared,
        of: &str,
        reach: Reach,
    ) -> Result<Told, Gone> {
        let lent = &shared.lent;
        let name = lent.name(self.credential).ok_or(Gone)?.clone();
        let reason = format!("the placeholder of `{name}` stands in {} {of}", self.place);
        let rule = Rule::new("credential/misplaced", reason)
            .with_remedy(places(lent.bound(self.credential)));
        shared.guard.misused(name, reach, rule).await
    }
}

/// Where a credential may go.
fn places(bound: &[Binding]) -> String {
    let mut places: Vec<_> = bound.iter().take(MOST_NAMED).map(place).collect();
    if bound.len() > MOST_NAMED {
        places.push(format!("{} other places", bound.len() - MOST_NAMED));
    }
    match places.is_empty() {
        true => "it may go nowhere".to_owned(),
        false => format!("it may go to {}", places.join("; ")),
    }
}

fn place(bound: &Binding) -> String {
    let slot = match &bound.slot {
        Slot::Header { name } => format!("the header `{name}`"),
        Slot::Basic => "Basic authentication".to_owned(),
        Slot::Query { name } => format!("`{name}` of the query"),
        Slot::Aws => "a signature of AWS".to_owned(),
        // The gate has no such key.
        Slot::Ssh { .. } => "nothing".to_owned(),
    };
    let methods = match bound.methods.is_empty() {
        true => String::new(),
        false => format!("{} ", bound.methods.join(", ")),
    };
    let path = match bound.path.is_empty() {
        true => "**".to_owned(),
        false => bound.path.join("/"),
    };
    let host = bound.host.to_authority();
    format!("`{methods}https://{host}:{}/{path}` in {slot}", bound.port)
}

/// Looks through the body of a request while it is sent.
pub(super) struct Watch {
    scanner: Scanner,
    alarm: Option<oneshot::Sender<usize>>,
    is_raised: Arc<AtomicBool>,
    /// Where it may stand.
    conversation: Option<Conversation>,
}

/// Tells of what a [`Watch`] finds, even where the answer has begun already.
pub(super) struct Alarm {
    is_raised: Arc<AtomicBool>,
    telling: JoinHandle<Option<Told>>,
}

impl Watch {
    /// Looks for what the session was lent. `None` where there is nothing to look for.
    pub(super) fn new(shared: &Arc<Shared>, origin: &Origin) -> Option<Self> {
        (!shared.lent.is_empty()).then(|| Self {
            conversation: Conversation::with(&origin.host, shared),
            scanner: Scanner::new(shared.lent.placeholders()),
            alarm: None,
            is_raised: Arc::default(),
        })
    }

    /// Looks through what is not sent yet.
    pub(super) fn first<'p>(
        &mut self,
        mut pieces: impl Iterator<Item = &'p Bytes>,
    ) -> Result<(), Misplaced> {
        match pieces.find_map(|piece| self.stray(piece)) {
            Some(hit) => Err(Misplaced::in_body(hit.needle.text)),
            None => Ok(()),
        }
    }

    /// What stands in a piece of the body and may not.
    fn stray(&mut self, piece: &[u8]) -> Option<Hit> {
        let Some(conversation) = &mut self.conversation else {
            return self.scanner.first_in(piece);
        };
        let hits = piece.iter().filter_map(|byte| self.scanner.step(*byte));
        hits.for_each(|hit| conversation.quotes(hit.needle.text));
        None
    }

    /// From here on tells by itself of what it finds.
    pub(super) fn arm(&mut self, shared: &Arc<Shared>, origin: &Origin) -> Alarm {
        if let Some(conversation) = &mut self.conversation {
            conversation.begins();
        }
        let (sender, receiver) = oneshot::channel();
        self.alarm = Some(sender);
        let (shared, origin) = (Arc::clone(shared), origin.clone());
        let telling = tokio::spawn(async move {
            let found = Misplaced::in_body(receiver.await.ok()?);
            found.tell(&shared, &origin).await.ok()
        });
        Alarm {
            is_raised: Arc::clone(&self.is_raised),
            telling,
        }
    }

    /// Lets a frame pass, or says that it must not.
    pub(super) fn pass(&mut self, frame: &Frame<Bytes>) -> Result<(), &'static str> {
        let found = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => self.stray(data),
            (None, Some(trailers)) => trailers.values().find_map(|value| {
                self.scanner.restart();
                self.scanner.first_in(value.as_bytes())
            }),
            (None, None) => None,
        };
        let Some(hit) = found else {
            return Ok(());
        };
        self.is_raised.store(true, Ordering::SeqCst);
        if let Some(alarm) = self.alarm.take() {
            let _ = alarm.send(hit.needle.text);
        }
        Err("a placeholder stands in its body")
    }
}

/// Waits for what is sent, or until something is found in it and told of.
pub(super) async fn unless_misplaced<T>(
    mut sending: Pin<&mut impl Future<Output = T>>,
    alarm: Option<Alarm>,
) -> Result<T, Told> {
    let Some(mut alarm) = alarm else {
        return Ok(sending.await);
    };
    let sent = tokio::select! {
        biased;
        told = &mut alarm.telling => match told {
            Ok(Some(told)) => return Err(told),
            // Its body has ended.
            Ok(None) | Err(_) => return Ok(sending.await),
        },
        sent = &mut sending => sent,
    };
    // Breaking it off is what ended it: that takes no time, and telling of it does.
    if alarm.is_raised.load(Ordering::SeqCst)
        && let Ok(Some(told)) = alarm.telling.await
    {
        return Err(told);
    }
    Ok(sent)
}
