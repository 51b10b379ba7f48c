//! How much of a body passed, and its digest: of a short one at once, of a long one beside, since to digest it takes as
//! long as to pass it on.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use agentguard_core::{Bodies, Digest, Passed};
use hyper::body::Bytes;
use ring::digest::{Context, SHA256};

use super::near::Near;

/// So much of a body is digested at once: it takes less than to ask another thread.
const AT_ONCE: u64 = 64 << 10;
/// So much of an answer is digested: more than most files that are fetched have, and less than takes time from the rest.
const BEGINNING: u64 = 64 << 20;
/// Pieces that wait to be digested. Who has more waits: no body passes faster than it is digested, and none is kept.
const MOST_WAITING: usize = 32;

/// What passed of one body, in either direction.
pub(super) struct Measured {
    bytes: AtomicU64,
    digest: Mutex<Context>,
    /// How much of it is digested.
    most: u64,
    is_long: AtomicBool,
    beside: Beside,
}

/// Where long bodies are digested: one thread, in the order in which they come.
#[derive(Clone)]
pub(super) struct Beside {
    work: SyncSender<Work>,
    near: Arc<Near>,
}

enum Work {
    Piece(Arc<Measured>, Bytes),
    Then(Box<dyn FnOnce() + Send>),
}

impl Beside {
    /// Starts the thread. It ends with the last of these.
    pub(super) fn start(near: Arc<Near>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MOST_WAITING);
        let thread = std::thread::Builder::new().name("digests".to_owned());
        thread.spawn(move || work(&receiver))?;
        Ok(Self { work: sender, near })
    }

    /// Measures what is sent on, of which nothing has been: all of it is digested.
    pub(super) fn sent(&self) -> Arc<Measured> {
        self.measure(u64::MAX)
    }

    /// Measures what is handed back: of what is very long, the beginning is digested.
    pub(super) fn received(&self) -> Arc<Measured> {
        self.measure(BEGINNING)
    }

    fn measure(&self, most: u64) -> Arc<Measured> {
        Arc::new(Measured {
            bytes: AtomicU64::new(0),
            digest: Mutex::new(Context::new(&SHA256)),
            most,
            is_long: AtomicBool::new(false),
            beside: self.clone(),
        })
    }
}

fn work(receiver: &Receiver<Work>) {
    while let Ok(work) = receiver.recv() {
        match work {
            Work::Piece(of, bytes) => of.digest(&bytes),
            Work::Then(then) => then(),
        }
    }
}

impl Measured {
    /// A piece passes.
    pub(super) fn take(self: &Arc<Self>, piece: &Bytes) {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        if before.saturating_add(length) <= AT_ONCE {
            return self.digest(piece);
        }
        let left = usize::try_from(self.most.saturating_sub(before)).unwrap_or(usize::MAX);
        if left == 0 {
            return;
        }
        let piece = piece.slice(..left.min(piece.len()));
        if !self.is_long.swap(true, Ordering::Relaxed) {
            self.beside.near.let_go();
        }
        let work = Work::Piece(Arc::clone(self), piece.clone());
        if self.beside.work.send(work).is_err() {
            // Nobody is there any more, nor was for the pieces before.
            self.digest(&piece);
        }
    }

    /// How much of it passed.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn digest(&self, piece: &[u8]) {
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        digest.update(piece);
    }

    /// What is said of it. Of nothing, nothing is.
    fn passed(&self) -> Option<Passed> {
        let bytes = Some(self.bytes()).filter(|bytes| *bytes > 0)?;
        let digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = digest.clone().finish();
        let sha256 = Digest(digest.as_ref().try_into().ok()?);
        let first = Some(self.most).filter(|most| *most < bytes);
        Some(Passed {
            bytes,
            sha256,
            first,
        })
    }
}

/// Says what passed of both bodies once that is digested, here or beside.
pub(super) fn say(
    sent: Option<Arc<Measured>>,
    received: Option<Arc<Measured>>,
    to: impl FnOnce(Bodies) + Send + 'static,
) {
    let both = [sent.as_ref(), received.as_ref()];
    let long = both
        .into_iter()
        .flatten()
        .find(|body| body.is_long.load(Ordering::Relaxed));
    let beside = long.map(|body| body.beside.clone());
    let say = move || {
        let passed = |body: Option<Arc<Measured>>| body.and_then(|body| body.passed());
        to(Bodies {
            sent: passed(sent),
            received: passed(received),
        });
    };
    match beside {
        None => say(),
        Some(beside) => {
            if let Err(error) = beside.work.send(Work::Then(Box::new(say)))
                && let Work::Then(say) = error.0
            {
                say();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn said(sent: &Arc<Measured>, received: &Arc<Measured>) -> Bodies {
        let (sender, receiver) = mpsc::channel();
        let [sent, received] = [sent, received].map(|body| Some(Arc::clone(body)));
        say(sent, received, move |bodies| sender.send(bodies).unwrap());
        receiver.recv().unwrap()
    }

    #[test]
    fn a_body_is_digested_whole_however_long_it_is_and_however_it_comes() {
        let beside = Beside::start(Arc::new(Near::new())).unwrap();
        let all: Vec<u8> = (0..600_000u32).flat_map(u32::to_le_bytes).collect();
        let lengths = [1, 65_535, 65_536, 65_537, 200_000, all.len()];
        for length in lengths {
            for piece in [1021, 65_536, 1 << 20] {
                let (body, none) = (beside.sent(), beside.received());
                let whole = &all[..length];
                for piece in whole.chunks(piece) {
                    body.take(&Bytes::copy_from_slice(piece));
                }
                let passed = Some(Passed {
                    bytes: u64::try_from(length).unwrap(),
                    sha256: Digest::of(whole),
                    first: None,
                });
                let bodies = said(&body, &none);
                assert_eq!((bodies.sent, bodies.received), (passed.clone(), None));
                assert_eq!(said(&none, &body).received, passed);
            }
        }
    }

    #[test]
    fn what_is_very_long_is_digested_whole_where_it_is_sent_and_else_its_beginning() {
        let beside = Beside::start(Arc::new(Near::new())).unwrap();
        let (sent, received) = (beside.sent(), beside.received());
        let all: Vec<u8> = (0..18_000_000u32).flat_map(u32::to_le_bytes).collect();
        for piece in all.chunks((1 << 20) + 7) {
            let piece = Bytes::copy_from_slice(piece);
            sent.take(&piece);
            received.take(&piece);
        }
        let Bodies { sent, received } = said(&sent, &received);
        let (sent, received) = (sent.unwrap(), received.unwrap());
        assert_eq!((sent.sha256, sent.first), (Digest::of(&all), None));
        let beginning = &all[..usize::try_from(BEGINNING).unwrap()];
        assert_eq!(received.sha256, Digest::of(beginning));
        assert_eq!(received.first, Some(BEGINNING));
        let length = u64::try_from(all.len()).unwrap();
        assert_eq!((sent.bytes, received.bytes), (length, length));
    }
}
