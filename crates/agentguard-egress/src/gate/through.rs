//! What is done to a body on its way: nothing, or it is looked through, or secrets are taken out of it.

use hyper::body::{Bytes, Frame};

use super::misplaced::Watch;
use super::redact::{self, Redactor};

pub(super) enum Through {
    Unchanged,
    Watched(Watch),
    Redacted(Redactor),
}

/// Frames instead of one. Data comes before what ends a body.
pub(super) struct Instead {
    pub(super) now: Option<Frame<Bytes>>,
    pub(super) then: Option<Frame<Bytes>>,
}

impl Through {
    /// What is handed on instead of a frame.
    pub(super) fn pass(&mut self, frame: Frame<Bytes>) -> Result<Instead, &'static str> {
        let only = |now| Instead { now, then: None };
        match self {
            Self::Unchanged => Ok(only(Some(frame))),
            Self::Watched(watch) => watch.pass(&frame).map(|()| only(Some(frame))),
            Self::Redacted(redactor) => match frame.into_data() {
                Ok(data) => Ok(only(some(redactor.pass(&data)))),
                Err(frame) => {
                    let then = frame.into_trailers().ok().map(|mut trailers| {
                        redact::headers(redactor.lent(), &mut trailers);
                        Frame::trailers(trailers)
                    });
                    let now = some(redactor.end());
                    Ok(Instead { now, then })
                }
            },
        }
    }

    /// What is handed on at the end.
    pub(super) fn end(&mut self) -> Result<Option<Frame<Bytes>>, &'static str> {
        match self {
            Self::Unchanged | Self::Watched(_) => Ok(None),
            Self::Redacted(redactor) => {
                if !redactor.is_as_it_said() {
                    return Err("it holds a secret, and without it is not as long as it said");
                }
                Ok(some(redactor.end()))
            }
        }
    }

    /// What is held back and too short to be kept from somebody who waits for it.
    pub(super) fn short(&mut self) -> Option<Frame<Bytes>> {
        match self {
            Self::Unchanged | Self::Watched(_) => None,
            Self::Redacted(redactor) => redactor.short().map(Frame::data),
        }
    }

    /// What is held back and no beginning of a secret, or a short one.
    pub(super) fn harmless(&mut self) -> Option<Frame<Bytes>> {
        match self {
            Self::Unchanged | Self::Watched(_) => None,
            Self::Redacted(redactor) => redactor.harmless().map(Frame::data),
        }
    }

    /// A text of ours about it, in which a server's words may stand.
    pub(super) fn told(&self, text: String) -> String {
        match self {
            Self::Unchanged | Self::Watched(_) => text,
            Self::Redacted(redactor) => redact::text(redactor.lent(), &text),
        }
    }

    /// Whether something is held back.
    pub(super) fn is_holding(&self) -> bool {
        match self {
            Self::Unchanged | Self::Watched(_) => false,
            Self::Redacted(redactor) => redactor.is_holding(),
        }
    }

    /// Whether a body is as long as what comes of it.
    pub(super) fn keeps_length(&self) -> bool {
        match self {
            Self::Unchanged | Self::Watched(_) => true,
            Self::Redacted(redactor) => redactor.is_measured(),
        }
    }
}

fn some(data: Bytes) -> Option<Frame<Bytes>> {
    Some(data).filter(|data| !data.is_empty()).map(Frame::data)
}
