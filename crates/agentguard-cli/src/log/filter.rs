//! Which entries are asked for.

use agentguard::core::{Entry, Event, OutcomeOf, Ruling, Timestamp};

use crate::failure::Failure;

const MICROS: u64 = 1_000_000;
/// Kinds of events, then of actions: too many for a line of help.
const KINDS: [&str; 20] = [
    "session.start",
    "decision",
    "question",
    "outcome",
    "repeat",
    "difference",
    "refs",
    "signature",
    "credential",
    "finding",
    "anchor",
    "erasure",
    "session.end",
    "session",
    "exec",
    "file",
    "connect",
    "reach",
    "api",
    "push",
];

/// What an entry must be like. What is not said is not asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// The kind of its event, or of its action.
    pub(crate) kind: Option<String>,
    /// The rule that decided, or the rule's area.
    pub(crate) rule: Option<String>,
    /// `allow`, `deny`, `ask` or `unenforced`.
    pub(crate) ruling: Option<String>,
    /// The time it must not be older than.
    pub(crate) since: Option<Since>,
}

impl Filter {
    /// Whether `entry` is asked for.
    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        let is_kind = |kind: &String| {
            kind == kind_of(&entry.event) || Some(kind.as_str()) == action_of(&entry.event)
        };
        let is_rule =
            |wanted: &String| rule_of(&entry.event).is_some_and(|rule| is_named(rule, wanted));
        let is_ruled = |wanted: &String| is_ruled(&entry.event, wanted);
        self.kind.as_ref().is_none_or(is_kind)
            && self.rule.as_ref().is_none_or(is_rule)
            && self.ruling.as_ref().is_none_or(is_ruled)
            && self
                .since
                .as_ref()
                .is_none_or(|since| since.reaches(&entry.time))
    }
}

/// Takes a kind that there is: a slip of the pen would find nothing, and look like an answer.
pub(crate) fn kind(word: &str) -> Result<String, Failure> {
    match KINDS.contains(&word) {
        true => Ok(word.to_owned()),
        false => Err(
            Failure::new(format!("`--kind {word}`: there is no such kind"))
                .with_hint(format!("use one of {}", KINDS.join(", "))),
        ),
    }
}

/// A time to look back to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Since(String);

impl Since {
    /// Reads `90s`, `15m`, `2h`, `7d` before `now`, or the beginning of an RFC 3339 time in UTC:
    /// `2026-11-24`, `2026-11-24T09:12:03Z`.
    pub(crate) fn parse(text: &str, now: u64) -> Result<Self, Failure> {
        if let Some(ago) = duration(text) {
            let micros = now.saturating_sub(ago.saturating_mul(MICROS));
            return Ok(Self(Timestamp::from_unix_micros(micros).0));
        }
        if is_beginning_of_a_time(text) {
            // Entries write a fraction before the `Z`: without it, beginnings compare as texts.
            return Ok(Self(text.trim_end_matches('Z').to_owned()));
        }
        Err(Failure::new(format!("`--since {text}` is no time"))
            .with_hint("write `90s`, `15m`, `2h`, `7d`, `2026-11-24` or `2026-11-24T09:12:03Z`"))
    }

    fn reaches(&self, time: &Timestamp) -> bool {
        time.0.as_str() >= self.0.as_str()
    }
}

/// The word for an event, as entries write it.
pub(crate) fn kind_of(event: &Event) -> &'static str {
    match event {
        Event::Start { .. } => "session.start",
        Event::Decision { .. } => "decision",
        Event::Question { .. } => "question",
        Event::Outcome { .. } => "outcome",
        Event::Repeat { .. } => "repeat",
        Event::Difference { .. } => "difference",
        Event::Refs { .. } => "refs",
        Event::Signature { .. } => "signature",
        Event::Credential { .. } => "credential",
        Event::Finding { .. } => "finding",
        Event::Anchor { .. } => "anchor",
        Event::Erasure { .. } => "erasure",
        Event::End { .. } => "session.end",
    }
}

fn action_of(event: &Event) -> Option<&str> {
    match event {
        Event::Start { .. } => Some("session"),
        Event::Decision { action, .. } | Event::Question { action, .. } => Some(action),
        Event::Outcome { .. }
        | Event::Repeat { .. }
        | Event::Difference { .. }
        | Event::Refs { .. }
        | Event::Signature { .. }
        | Event::Credential { .. }
        | Event::Finding { .. }
        | Event::Anchor { .. }
        | Event::Erasure { .. }
        | Event::End { .. } => None,
    }
}

fn rule_of(event: &Event) -> Option<&str> {
    let id = match event {
        Event::Start { ruling, .. }
        | Event::Decision { ruling, .. }
        | Event::Signature { ruling, .. } => &ruling.rule().id,
        Event::Difference { covered_by, .. } => covered_by,
        Event::Finding { rule, .. }
        | Event::Question { rule, .. }
        | Event::Outcome {
            outcome: OutcomeOf::Killed { rule },
            ..
        } => &rule.id,
        Event::Outcome { .. }
        | Event::Repeat { .. }
        | Event::Refs { .. }
        | Event::Credential { .. }
        | Event::Anchor { .. }
        | Event::Erasure { .. }
        | Event::End { .. } => return None,
    };
    Some(id.as_str())
}

fn is_named(rule: &str, wanted: &str) -> bool {
    let is_area = || rule.split_once('/').is_some_and(|(area, _)| area == wanted);
    rule == wanted || is_area()
}

fn is_ruled(event: &Event, wanted: &str) -> bool {
    let (Event::Start { ruling, .. }
    | Event::Decision { ruling, .. }
    | Event::Signature { ruling, .. }) = event
    else {
        return false;
    };
    match ruling {
        Ruling::Allow { approval, .. } => {
            wanted == "allow" || (approval.is_some() && wanted == "ask")
        }
        Ruling::Deny { asked, .. } => wanted == "deny" || (*asked && wanted == "ask"),
        Ruling::Unenforced { .. } => wanted == "unenforced",
    }
}

fn duration(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds)
}

/// Whether `text` is a date, or a date and a time that may lack its end: `2026-11-24T09:12`.
fn is_beginning_of_a_time(text: &str) -> bool {
    const SHAPE: &str = "0000-00-00T00:00:00.000000";
    let text = text.strip_suffix('Z').unwrap_or(text);
    let fits = |(byte, shape): (u8, u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    let has_shape = text.bytes().zip(SHAPE.bytes()).all(fits);
    if !(10..=SHAPE.len()).contains(&text.len()) || !has_shape {
        return false;
    }
    let earliest = format!("{text}{}", SHAPE.get(text.len()..).unwrap_or_default());
    let number = |from, to| -> u32 {
        let digits = earliest.get(from..to).and_then(|text| text.parse().ok());
        digits.unwrap_or(u32::MAX)
    };
    let (year, month) = (number(0, 4), number(5, 7));
    (1..=days(year, month)).contains(&number(8, 10))
        && number(11, 13) < 24
        && number(14, 16) < 60
        && number(17, 19) < 60
}

/// How many days a month has.
fn days(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use agentguard::core::{
        Action, AgentName, Commitment, Digest, Evidence, Rule, SessionId, Tally,
    };

    use super::*;

    fn entry(time: &str, event: Event) -> Entry {
        Entry {
            v: 1,
            seq: 0,
            time: Timestamp(time.to_owned()),
            mono: 0,
            boot: "boot".to_owned(),
            session: SessionId::from_random([1; 16]),
            agent: AgentName::parse("ci").unwrap(),
            human: "local:1000@desk".to_owned(),
            evidence: Evidence::Asserted,
            event,
        }
    }

    fn decision(ruling: Ruling) -> Entry {
        let event = Event::Decision {
            action: "exec".to_owned(),
            text: Commitment(Digest::of(b"")),
            program: None,
            class: None,
            brings: None,
            ruling,
        };
        entry("2026-11-24T09:12:03.500000Z", event)
    }

    fn denied(asked: bool) -> Entry {
        let rule = Rule::new("git/protected-branch", "no");
        decision(Ruling::Deny {
            rule,
            asked,
            approval: None,
        })
    }

    fn takes(filter: Filter, entry: &Entry) -> bool {
        filter.takes(entry)
    }

    fn since(text: &str) -> Filter {
        let since = Since::parse(text, 1_795_510_519_123_456).unwrap();
        Filter {
            since: Some(since),
            ..Filter::default()
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_taken() {
        let kind = |kind: &str| Filter {
            kind: Some(kind.to_owned()),
            ..Filter::default()
        };
        let rule = |rule: &str| Filter {
            rule: Some(rule.to_owned()),
            ..Filter::default()
        };
        let ruling = |ruling: &str| Filter {
            ruling: Some(ruling.to_owned()),
            ..Filter::default()
        };
        for other in [
            kind("outcome"),
            rule("git/push"),
            rule("gi"),
            ruling("allow"),
            ruling("ask"),
        ] {
            assert!(!takes(other.clone(), &denied(false)), "{other:?}");
        }
        for this in [
            Filter::default(),
            kind("decision"),
            kind("exec"),
            rule("git/protected-branch"),
            rule("git"),
            ruling("deny"),
        ] {
            assert!(takes(this.clone(), &denied(false)), "{this:?}");
        }
        assert!(takes(ruling("ask"), &denied(true)) && takes(ruling("deny"), &denied(true)));
    }

    /// The words that serde names where it knows none.
    fn kinds<T: serde::de::DeserializeOwned>() -> Vec<String> {
        let Err(unknown) = serde_json::from_str::<T>(r#"{"kind": "?"}"#) else {
            panic!("`?` is a kind");
        };
        let text = unknown.to_string();
        let (_, known) = text.split_once("expected one of ").unwrap();
        let quoted = known.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    #[test]
    fn every_kind_of_event_and_action_can_be_asked_for_and_nothing_else() {
        let all = [kinds::<Event>(), kinds::<Action>()].concat();
        assert_eq!(all, KINDS);
        assert!(KINDS.iter().all(|word| kind(word).is_ok()) && kind("exce").is_err());
    }

    #[test]
    fn what_was_not_ruled_has_no_ruling() {
        let event = Event::End {
            status: OutcomeOf::Exited { code: 0 },
            tally: Tally::default(),
        };
        let filter = Filter {
            ruling: Some("allow".to_owned()),
            ..Filter::default()
        };
        assert!(!filter.takes(&entry("2026-11-24T09:12:03.500000Z", event)));
    }

    #[test]
    fn a_time_is_reached_by_itself_and_by_what_is_later() {
        for (text, reached) in [
            ("2026-11-24", true),
            ("2026-11-25", false),
            ("2026-11-24T09:12:03Z", true),
            ("2026-11-24T09:12:03.5Z", true),
            ("2026-11-24T09:12:03.500001Z", false),
            ("2026-11-24T09:12:04", false),
            ("2026-11-24T09:12", true),
        ] {
            assert_eq!(takes(since(text), &denied(false)), reached, "{text}");
        }
    }

    #[test]
    fn a_duration_is_counted_back_from_now() {
        // 2026-11-24T08:55:19 is now.
        assert_eq!(
            Since::parse("2h", 1_795_510_519_123_456).unwrap(),
            Since("2026-11-24T06:55:19.123456Z".to_owned())
        );
        assert!(
            Since::parse("99999999d", 5)
                .unwrap()
                .0
                .starts_with("1970-01-01")
        );
    }

    #[test]
    fn a_day_is_one_of_its_month() {
        for text in [
            "2028-02-29",
            "2100-02-28",
            "2026-12-31T23:59:59Z",
            "2026-04-30T2",
        ] {
            assert!(Since::parse(text, 0).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "h",
            "yesterday",
            "2026",
            "2026-11",
            "24.11.2026",
            "-1h",
            "1w",
            "2026-11-24 09",
            "2026-00-01",
            "2026-13-45T00:00:00Z",
            "2026-02-29",
            "2026-02-31T25:61:61Z",
            "2026-11-24T24:00",
            "2026-11-24T23:6",
            "2026-11-24T23:59:60Z",
        ] {
            assert!(Since::parse(text, 0).is_err(), "{text}");
        }
    }
}
