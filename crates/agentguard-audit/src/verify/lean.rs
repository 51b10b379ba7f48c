//! An entry read for verification: borrowed, and only what is checked of every entry.

use std::borrow::Cow;

use agentguard_core::{CredentialAct, Evidence};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// An entry, as far as it is checked.
#[derive(Deserialize)]
pub(crate) struct Lean<'e> {
    pub(crate) v: u8,
    pub(crate) seq: u64,
    pub(crate) time: &'e str,
    pub(crate) mono: u64,
    pub(crate) boot: &'e str,
    pub(crate) session: &'e str,
    pub(crate) agent: &'e str,
    #[serde(borrow)]
    pub(crate) human: Cow<'e, str>,
    pub(crate) evidence: Evidence,
    #[serde(borrow)]
    pub(crate) event: LeanEvent<'e>,
}

/// An event, as far as it is checked. What other kinds have is passed over.
#[derive(Deserialize)]
pub(crate) struct LeanEvent<'e> {
    pub(crate) kind: &'e str,
    #[serde(default)]
    pub(crate) ruling: Option<LeanRuling<'e>>,
    #[serde(default)]
    pub(crate) of: Option<u64>,
    #[serde(default)]
    pub(crate) outcome: Option<LeanOutcome<'e>>,
    #[serde(default)]
    pub(crate) text: Option<&'e str>,
    #[serde(default)]
    pub(crate) act: Option<CredentialAct>,
    #[serde(default, borrow)]
    pub(crate) handle: Option<Cow<'e, str>>,
}

/// What was decided.
#[derive(Deserialize)]
pub(crate) struct LeanRuling<'e> {
    pub(crate) ruling: &'e str,
    /// Whether a human was asked: then the entry is read whole.
    #[serde(default)]
    pub(crate) approval: Option<IgnoredAny>,
}

/// What came of it.
#[derive(Deserialize)]
pub(crate) struct LeanOutcome<'e> {
    pub(crate) result: &'e str,
}

/// The bytes between an entry's clocks and its event, which do not change within a session: its boot,
/// session, agent, human and evidence.
#[derive(Default)]
pub(crate) struct Middle(Vec<u8>);

/// An entry whose middle is the one of the entry before.
pub(crate) struct Quick<'e> {
    pub(crate) seq: u64,
    pub(crate) time: &'e str,
    pub(crate) mono: u64,
    /// The event's bytes.
    pub(crate) event: &'e [u8],
}

const TIME: usize = 27;

impl Middle {
    /// Reads an entry that is written as ours are and has this middle. `None` where it is not: then it
    /// has to be read as any JSON. What this reads, serde reads in the same way.
    pub(crate) fn read<'e>(&self, entry: &'e [u8]) -> Option<Quick<'e>> {
        let (seq, time, mono, rest) = clocks(entry)?;
        let event = rest.strip_prefix(self.0.as_slice())?.strip_suffix(b"}")?;
        (!self.0.is_empty()).then_some(Quick {
            seq,
            time,
            mono,
            event,
        })
    }

    /// Takes over the middle of an entry that was read and checked, where it is written as ours are.
    pub(crate) fn learn(&mut self, entry: &[u8]) {
        let name = b",\"event\":";
        self.0.clear();
        if let Some((_, _, _, rest)) = clocks(entry) {
            let at = rest.windows(name.len()).position(|window| window == name);
            let Some((middle, event)) = at.and_then(|at| rest.split_at_checked(at + name.len()))
            else {
                return;
            };
            // Only the event of the entry itself, and only where it is the last, is all of what follows but the end.
            let event = event.strip_suffix(b"}").unwrap_or_default();
            if serde_json::from_slice::<IgnoredAny>(event).is_ok() {
                self.0.extend_from_slice(middle);
            }
        }
    }
}

/// The number and both clocks of an entry, and what follows them.
fn clocks(entry: &[u8]) -> Option<(u64, &str, u64, &[u8])> {
    let rest = entry.strip_prefix(b"{\"v\":1,\"seq\":")?;
    let (seq, rest) = number(rest)?;
    let rest = rest.strip_prefix(b",\"time\":\"")?;
    let (time, rest) = rest.split_at_checked(TIME)?;
    let rest = rest.strip_prefix(b"\",\"mono\":")?;
    let (mono, rest) = number(rest)?;
    let is_plain = |byte: &u8| byte.is_ascii_digit() || b"-:.TZ".contains(byte);
    let time = time.iter().all(is_plain).then_some(time)?;
    Some((seq, std::str::from_utf8(time).ok()?, mono, rest))
}

/// A number as JSON writes it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = bytes.split_at_checked(length)?;
    if length == 0 || (length > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    let number = digits.iter().try_fold(0, add)?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = concat!(
        r#"{"v":1,"seq":7,"time":"2026-11-24T08:55:19.123456Z","mono":12,"boot":"b","session":"s","#,
        r#""agent":"a","human":"h \",\"event\":","evidence":"none","event":{"kind":"refs","of":3}}"#
    );

    /// Every byte, replaced by every other that could matter, is read in the same way or not at all.
    #[test]
    fn what_is_read_quickly_is_what_serde_reads() {
        let mut middle = Middle::default();
        assert!(middle.read(ENTRY.as_bytes()).is_none());
        middle.learn(ENTRY.as_bytes());
        let mut quickly = 0;
        for at in 0..ENTRY.len() {
            for byte in *b"0179\"\\,:{} -aZ" {
                let mut bytes = ENTRY.as_bytes().to_vec();
                bytes[at] = byte;
                let Some(quick) = middle.read(&bytes) else {
                    continue;
                };
                let Ok(event) = serde_json::from_slice::<LeanEvent<'_>>(quick.event) else {
                    continue;
                };
                quickly += 1;
                let slowly: Lean<'_> = serde_json::from_slice(&bytes).unwrap();
                let same = (slowly.seq, slowly.time, slowly.mono);
                assert_eq!((quick.seq, quick.time, quick.mono), same);
                let shown = |event: &LeanEvent<'_>| (event.kind.to_owned(), event.of);
                assert_eq!(shown(&event), shown(&slowly.event));
            }
        }
        assert!(quickly > 100, "{quickly}");
    }

    /// What stands before an event is known by where the event stands: another of that name would pass for what follows.
    #[test]
    fn an_entry_that_is_written_otherwise_teaches_nothing() {
        let learnt = |entry: &str, next: &str| {
            serde_json::from_str::<Lean<'_>>(entry).unwrap();
            let mut middle = Middle::default();
            middle.learn(entry.as_bytes());
            let event =
                |quick: Quick<'_>| serde_json::from_slice::<LeanEvent<'_>>(quick.event).is_ok();
            middle.read(next.as_bytes()).is_some_and(event)
        };
        let clocks = r#"{"v":1,"seq":7,"time":"2026-11-24T08:55:19.123456Z","mono":12"#;
        let who = r#""boot":"b","session":"s","agent":"a","human":"h","evidence":"none""#;
        let event = r#""event":{"kind":"refs"}"#;
        let ours = format!("{clocks},{who},{event}}}");
        assert!(learnt(&ours, &ours));
        // Of nobody, and no JSON at all.
        let nobodys = format!("{clocks},{event}}}");
        assert!(!learnt(&format!("{clocks},{event},{who}}}"), &nobodys));
        let unclosed = format!(r#"{clocks},"x":{{"a":1,{event}}}"#);
        let within = format!(r#"{clocks},"x":{{"a":1,"event":0}},{who},{event}}}"#);
        assert!(!learnt(&within, &unclosed));
    }
}
