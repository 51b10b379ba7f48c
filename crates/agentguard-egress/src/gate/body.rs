//! Bodies on their way, in either direction: piece by piece as they come, counted, and not waited for
//! forever.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use agentguard_core::OutcomeOf;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::ask::Permitted;
use super::measured::Measured;
use super::push::Heard;
use super::request;
use super::through::Through;

/// How long what could be the beginning of a secret is held back where nothing more comes: what is short, and what is
/// none. Whoever answers only what was answered would wait forever. The second is long, since it tells what is a beginning.
const HELD_FOR: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(900)];

/// How much of a body is sent at once that is here.
const PIECE: usize = 64 << 10;
/// How long nothing may come of a body that is read here.
const PATIENCE: Duration = Duration::from_secs(60);

type Cause = Box<dyn Error + Send + Sync>;

/// A body that is sent on.
pub(super) enum Body {
    /// All of it is here.
    Whole(Option<Bytes>),
    /// It is here, and may be more than is sent at once. What is sent of it is measured.
    Pieces(VecDeque<Bytes>, Option<Arc<Measured>>),
    /// It comes from somewhere.
    Passing(Box<Passing>),
    /// The gate itself says it, piece by piece.
    Told(mpsc::Receiver<Bytes>),
}

/// A body as it comes.
pub(super) struct Passing {
    /// What was read of it already.
    first: VecDeque<Bytes>,
    rest: Incoming,
    counted: Arc<Measured>,
    patience: Duration,
    idle: Pin<Box<Sleep>>,
    answer: Option<Answer>,
    through: Through,
    /// What comes after what was held back.
    then: Option<Frame<Bytes>>,
    /// Until when something is held back, once nothing more comes.
    held: Option<Pin<Box<Sleep>>>,
    /// How often that was waited for.
    waits: usize,
    is_ended: bool,
    is_request: bool,
    /// Reads along. It says what it read when this is over.
    heard: Option<Heard>,
}

/// The answer that a body belongs to, and what is told when it ends.
pub(super) struct Answer {
    pub(super) permitted: Permitted,
    pub(super) status: u16,
    pub(super) sent: Arc<Measured>,
}

/// Waits for the next piece of a body's data. How long is for whoever sends it to say, within reason.
pub(super) async fn next(body: &mut Incoming) -> Option<Result<Bytes, Cause>> {
    loop {
        let next = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        match tokio::time::timeout(PATIENCE, next).await {
            Ok(Some(Ok(frame))) => {
                // What comes after a body is not waited for by anybody here.
                if let Ok(bytes) = frame.into_data() {
                    return Some(Ok(bytes));
                }
            }
            Ok(Some(Err(error))) => return Some(Err(error.into())),
            Ok(None) => return None,
            Err(_) => return Some(Err("nothing more came".into())),
        }
    }
}

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// All of it, of which there may be much.
    pub(super) fn pieces(all: impl IntoIterator<Item = Bytes>) -> Self {
        let all = all.into_iter().filter(|bytes| !bytes.is_empty());
        Self::Pieces(all.collect(), None)
    }

    /// Has what is sent of pieces measured.
    pub(super) fn measured_by(mut self, sent: &Arc<Measured>) -> Self {
        if let Self::Pieces(_, measured) = &mut self {
            *measured = Some(Arc::clone(sent));
        }
        self
    }

    /// A body of which `first` was read, and the rest comes.
    pub(super) fn passing(
        first: VecDeque<Bytes>,
        rest: Incoming,
        counted: Arc<Measured>,
        patience: Duration,
        answer: Option<Answer>,
        through: Through,
    ) -> Self {
        Self::Passing(Box::new(Passing {
            first,
            rest,
            counted,
            patience,
            // Set anew with each piece: how long nothing may come.
            idle: Box::pin(tokio::time::sleep(patience)),
            is_request: answer.is_none(),
            answer,
            through,
            then: None,
            held: None,
            waits: 0,
            is_ended: false,
            heard: None,
        }))
    }

    /// Has it read along as it passes.
    pub(super) fn heard_by(mut self, heard: Heard) -> Self {
        if let Self::Passing(passing) = &mut self {
            passing.heard = Some(heard);
        }
        self
    }
}

/// Takes off what is sent at once.
fn next_piece(pieces: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let mut piece = pieces.pop_front()?;
    if piece.len() > PIECE {
        pieces.push_front(piece.split_off(PIECE));
    }
    Some(piece)
}

impl Passing {
    fn is_over(&self) -> bool {
        let is_read = self.first.is_empty() && self.rest.is_end_stream();
        (is_read || self.is_ended) && self.then.is_none() && !self.through.is_holding()
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        loop {
            if let Some(frame) = self.then.take() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.is_ended {
                return Poll::Ready(None);
            }
            let Poll::Ready(read) = self.poll_read(context) else {
                let frame = ready!(self.poll_held(context));
                return Poll::Ready(Some(Ok(frame)));
            };
            (self.held, self.waits) = (None, 0);
            match read {
                None => {
                    self.is_ended = true;
                    self.then = self.through.end()?;
                }
                Some(frame) => {
                    let instead = self.through.pass(frame?)?;
                    self.then = instead.then;
                    if let Some(frame) = instead.now {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
            }
        }
    }

    /// Waits until some of what is held back is held back no longer.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<Frame<Bytes>> {
        while let Some(held_for) = HELD_FOR.get(self.waits)
            && self.through.is_holding()
        {
            // How long, and why at all: see `HELD_FOR`.
            let held = self
                .held
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(*held_for)));
            ready!(held.as_mut().poll(context));
            self.held = None;
            self.waits += 1;
            let frame = match self.waits {
                1 => self.through.short(),
                _ => self.through.harmless(),
            };
            if let Some(frame) = frame {
                return Poll::Ready(frame);
            }
        }
        Poll::Pending
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        if let Some(bytes) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match Pin::new(&mut self.rest).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(self.trimmed(frame)))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.idle.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err("nothing more came".into()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn trimmed(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.trailers_ref() {
            Some(trailers) if self.is_request => Frame::trailers(request::trailers(trailers)),
            Some(_) | None => frame,
        }
    }

    fn tell(&mut self, broken: Option<String>) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        let milliseconds = answer.permitted.begun().elapsed().as_millis();
        let outcome = match broken {
            None => OutcomeOf::Answered {
                status: answer.status,
                sent: answer.sent.bytes(),
                received: self.counted.bytes(),
                milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
            },
            Some(why) => OutcomeOf::Unanswered { why },
        };
        answer.permitted.tell_of(outcome, Arc::clone(&self.counted));
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let passing = match self.get_mut() {
            Self::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Pieces(pieces, sent) => {
                let piece = next_piece(pieces);
                if let (Some(piece), Some(sent)) = (&piece, sent) {
                    sent.take(piece);
                }
                return Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Passing(passing) => passing,
            Self::Told(pieces) => {
                let piece = ready!(pieces.poll_recv(context));
                return Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))));
            }
        };
        let polled = passing.poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    passing.counted.take(data);
                    if let Some(heard) = &mut passing.heard {
                        heard.take(data);
                    }
                }
                let later = Instant::now() + passing.patience;
                passing.idle.as_mut().reset(later);
            }
            Poll::Ready(Some(Err(error))) => {
                let why = format!("status {}, then it broke off: {error}", passing.status());
                let why = passing.through.told(why);
                passing.tell(Some(why));
            }
            Poll::Ready(None) => passing.tell(None),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Pieces(pieces, _) => pieces.is_empty(),
            Self::Passing(passing) => passing.is_over(),
            // Whoever says it may say more.
            Self::Told(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Pieces(pieces, _) => {
                let length = pieces.iter().map(Bytes::len).sum::<usize>();
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Passing(passing) => {
                let first: usize = passing.first.iter().map(Bytes::len).sum();
                let first = u64::try_from(first).unwrap_or(u64::MAX);
                if !passing.through.keeps_length() {
                    return SizeHint::default();
                }
                let mut hint = passing.rest.size_hint();
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper.saturating_add(first));
                }
                hint.set_lower(hint.lower().saturating_add(first));
                hint
            }
            Self::Told(_) => SizeHint::default(),
        }
    }
}

impl Passing {
    fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let broken = if self.is_over() {
            None
        } else {
            Some(format!("status {}, then the client left", self.status()))
        };
        self.tell(broken);
    }
}
