//! Who writes, and how an entry's bytes come about.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use agentguard_core::{AgentName, Clock, Event, Evidence, SessionId, Timestamp};

use crate::{Error, store};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// In whose name entries are written.
#[derive(Clone, Debug)]
pub struct Author {
    /// The session.
    pub session: SessionId,
    /// The agent.
    pub agent: AgentName,
    /// The human's id.
    pub human: String,
    /// How well the human is known.
    pub evidence: Evidence,
}

/// Writes entries in the name of one author.
#[derive(Clone)]
pub(crate) struct Scribe {
    pub(crate) author: Author,
    pub(crate) boot: String,
    clock: Arc<dyn Clock>,
    /// What every entry of this author has between its clocks and its event.
    middle: String,
}

impl Scribe {
    pub(crate) fn new(author: Author, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let boot = store::read(Path::new(BOOT_ID), 128)?.unwrap_or_default();
        let boot = String::from_utf8_lossy(&boot).trim().to_owned();
        let quoted = |text: &str| json(text);
        let middle = format!(
            ",\"boot\":{},\"session\":\"{}\",\"agent\":{},\"human\":{},\"evidence\":\"{}\",\"event\":",
            quoted(&boot)?,
            author.session,
            quoted(author.agent.as_str())?,
            quoted(&author.human)?,
            author.evidence.as_str(),
        );
        Ok(Self {
            author,
            boot,
            clock,
            middle,
        })
    }

    /// The bytes of entry `seq`, of which `event` is written already.
    pub(crate) fn write(&self, seq: u64, event: &str) -> Vec<u8> {
        let now = self.clock.now();
        let time = Timestamp::from_unix_micros(now.unix_micros);
        let mono = now.boot_nanos;
        let mut bytes = Vec::with_capacity(self.middle.len() + event.len() + 96);
        // Writing to a `Vec` cannot fail.
        let _ = write!(
            bytes,
            "{{\"v\":1,\"seq\":{seq},\"time\":\"{time}\",\"mono\":{mono}{}{event}}}",
            self.middle
        );
        bytes
    }
}

/// An event as it stands in an entry.
pub(crate) fn event_json(event: &Event) -> Result<String, Error> {
    serde_json::to_string(event).map_err(|source| Error::Unwritable { source })
}

fn json(text: &str) -> Result<String, Error> {
    serde_json::to_string(text).map_err(|source| Error::Unwritable { source })
}

#[cfg(test)]
mod tests {
    use agentguard_core::{Entry, FixedClock, Moment, OutcomeOf, Tally};

    use super::*;

    #[test]
    fn what_is_written_by_hand_is_what_serde_would_write() {
        let now = Moment {
            unix_micros: 1_795_510_519_123_456,
            boot_nanos: 77,
        };
        let author = Author {
            session: SessionId::from_random([7; 16]),
            agent: AgentName::parse("ci-7").unwrap(),
            human: "local:\"1000\\\"@ä".to_owned(),
            evidence: Evidence::Asserted,
        };
        let scribe = Scribe::new(author, Arc::new(FixedClock(now))).unwrap();
        let event = Event::End {
            status: OutcomeOf::Exited { code: 0 },
            tally: Tally::default(),
        };
        let bytes = scribe.write(4182, &event_json(&event).unwrap());
        let entry: Entry = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((entry.seq, entry.mono, &entry.event), (4182, 77, &event));
        assert_eq!(serde_json::to_vec(&entry).unwrap(), bytes);
    }
}
