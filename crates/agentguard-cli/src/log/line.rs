//! An entry as a line that people read.

use std::borrow::Cow;

use agentguard::core::{
    Answered, Api, Brought, Change, ChangeKind, CommitSeen, CredentialAct, Digest, Entry, Event,
    Human, MessageDigest, Origin, OutcomeOf, Push, RefMove, RefOutcome, Rule, Ruling,
    SessionStatus, Span, Tally, Timestamp,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::text::command_line;

/// How many changed files or commits a line names.
const NAMED: usize = 3;
/// What stands for an action whose text is not there. Why not, stands behind the line.
const UNKNOWN: &str = "(unknown)";

/// Writes an entry as `4182 09:12:03 refused exec git push origin main (git/protected-branch)`.
///
/// `text` is what the entry commits to, where that is known. What deceives is left in: whoever
/// shows the line escapes it.
pub(crate) fn line(index: u64, entry: &Entry, text: Option<&Value>) -> String {
    // Whoever asked for an erasure is not who asked for the session.
    let by = if matches!(entry.event, Event::Erasure { .. }) {
        format!("{} ({}) ", entry.human, entry.evidence.as_str())
    } else {
        String::new()
    };
    format!(
        "{index} {} {by}{}",
        clock(&entry.time),
        told(&entry.event, text)
    )
}

/// What an entry tells, without its place and time.
pub(crate) fn told(event: &Event, text: Option<&Value>) -> String {
    match event {
        Event::Start {
            agent,
            human,
            ruling,
            ..
        } => format!(
            "{} session of {} for {}{} ({})",
            ruled(ruling),
            agent.name,
            person(human),
            action(text).map_or(String::new(), |command| format!(": {command}")),
            ruling.rule().id
        ),
        Event::Decision {
            action: kind,
            program,
            brings,
            ruling,
            ..
        } => decided((kind, ruling), (program.as_ref(), brings.as_ref()), text),
        Event::Question {
            id,
            action: kind,
            rule,
            ..
        } => asked(id, kind, rule, text),
        Event::Outcome { of, outcome, .. } => format!("{} {of}", came(outcome)),
        Event::Repeat { of, count: 1 } => format!("refused {of} again"),
        Event::Repeat { of, count } => format!("refused {of} again, {count} times"),
        Event::Difference {
            covered_by,
            files,
            complete,
            ..
        } => changed(*files, *complete, covered_by.as_str(), text),
        Event::Refs { moved, commits } => appeared(moved, commits),
        Event::Signature {
            message, ruling, ..
        } => signed(message.as_ref(), ruling),
        Event::Credential { act, handle, .. } => format!("{} credential {handle}", acted(*act)),
        Event::Finding { rule, of } => {
            let of = of.map_or(String::new(), |of| format!(" {of}"));
            format!("found{of} {} ({})", rule.reason, rule.id)
        }
        Event::Anchor {
            log, size, state, ..
        } => format!("{} {log} at {size} entries", stands(*state)),
        Event::Erasure {
            log,
            entries,
            reason,
        } => format!("erased texts of {log}, {}: {reason}", places(entries)),
        Event::End { status, tally } => format!("ended, {}: {}", came(status), counted(*tally)),
    }
}

/// `entry 4`, `entries 4, 7-8`.
pub(crate) fn places(spans: &[Span]) -> String {
    if let [Span { first, last }] = spans
        && first == last
    {
        return format!("entry {first}");
    }
    let shown = |span: &Span| match span.first == span.last {
        true => span.first.to_string(),
        false => format!("{}-{}", span.first, span.last),
    };
    let shown: Vec<_> = spans.iter().map(shown).collect();
    format!("entries {}", shown.join(", "))
}

/// The time of day, UTC, to the second; what is no time stands as it is.
pub(crate) fn clock(time: &Timestamp) -> &str {
    time.0.get(11..19).unwrap_or(&time.0)
}

/// `ada (local:1000@desk, asserted)`.
pub(crate) fn person(human: &Human) -> String {
    format!(
        "{} ({}, {})",
        human.login,
        human.id,
        human.evidence.as_str()
    )
}

/// Refs that moved, and commits that appeared with them.
fn appeared(moved: &[RefMove], commits: &[CommitSeen]) -> String {
    let refs = moved.iter().map(moved_ref);
    let commits = commits.iter().map(|commit| {
        let came = match commit.origin {
            Origin::Made => "made",
            Origin::Received => "received",
        };
        let signed = commit.signature.map(|index| format!(", signed by {index}"));
        format!("{came} {}{}", short(&commit.id), signed.unwrap_or_default())
    });
    format!("moved {}", some_of(refs.chain(commits)))
}

/// `allowed signature of sha512:…`.
fn signed(message: Option<&MessageDigest>, ruling: &Ruling) -> String {
    let of = message.map(|message| format!(" of {}", short_digest(message)));
    format!(
        "{} signature{} ({})",
        ruled(ruling),
        of.unwrap_or_default(),
        ruling.rule().id
    )
}

/// `sha512:` and the first digits.
fn short_digest(message: &MessageDigest) -> String {
    message.to_string().chars().take(19).collect()
}

/// The first digits of an id, enough for people.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// What was asked for, from the text that an entry commits to: an exec's arguments, a session's command, a name
/// with the call that makes it, the socket or host to connect to, a request's line.
pub(crate) fn action(text: Option<&Value>) -> Option<String> {
    let text = text?;
    // What was cut may lack what its words need.
    words(text).or_else(|| Some(text.get("action")?.to_string()))
}

fn words(text: &Value) -> Option<String> {
    let of_action = |field: &str| text.pointer(field).and_then(Value::as_str);
    if of_action("/action/kind") == Some("push") {
        let told = ["host", "merges", "port", "refs", "repository"];
        let push: Push = read(
            text,
            &told,
            json!({"atomic": false, "caller": "", "signed": false}),
        )?;
        // The kind stands before it.
        let words = push.words();
        return Some(words.strip_prefix("push ").unwrap_or(&words).to_owned());
    }
    if let (Some(by), Some(path)) = (of_action("/action/by"), of_action("/action/path")) {
        return Some(format!("{by} {}", command_line(&[path])));
    }
    if of_action("/action/kind") == Some("connect") {
        let path = of_action("/action/path")?;
        return Some(format!("to {}", command_line(&[path])));
    }
    if let (Some(by), Some(host)) = (of_action("/action/by"), of_action("/action/host")) {
        let port = text.pointer("/action/port").map(|port| format!(":{port}"));
        let host = format!("{host}{}", port.unwrap_or_default());
        return Some(format!("{by} {}", command_line(&[host])));
    }
    if of_action("/action/kind") == Some("api") {
        let told = ["host", "method", "path", "port", "scheme"];
        let api: Api = read(
            text,
            &told,
            json!({"address": "", "caller": "", "class": "public"}),
        )?;
        return Some(format!("{} {}", api.method, command_line(&[api.url()])));
    }
    let words = ["/argv", "/action/argv", "/command"];
    let words = words.iter().find_map(|at| text.pointer(at))?.as_array()?;
    let words: Vec<Cow<'_, str>> = words
        .iter()
        .map(|word| {
            word.as_str()
                .map_or_else(|| word.to_string().into(), Cow::Borrowed)
        })
        .collect();
    Some(command_line(&words))
}

/// Reads what is told of an action, which may be all that is there of it; `rest` is what it has besides.
fn read<T: DeserializeOwned>(text: &Value, told: &[&str], mut rest: Value) -> Option<T> {
    let action = text.get("action")?;
    for name in told {
        if let (Some(value), Some(all)) = (action.get(name), rest.as_object_mut()) {
            all.insert((*name).to_owned(), value.clone());
        }
    }
    serde_json::from_value(rest).ok()
}

/// The changes in the text of a difference, but for one that was cut.
pub(crate) fn changes(text: Option<&Value>) -> Vec<Change> {
    let listed = text.map(|text| text.get("changes").unwrap_or(text));
    let listed = listed.and_then(Value::as_array).into_iter().flatten();
    let read = |change: &Value| serde_json::from_value(change.clone()).ok();
    listed.filter_map(read).collect()
}

/// What came of it, in a word or two.
pub(crate) fn came(outcome: &OutcomeOf) -> String {
    match outcome {
        OutcomeOf::Started { .. } => "started".to_owned(),
        // `AT_EXECVE_CHECK` of execveat(2).
        OutcomeOf::Failed { errno: 0 } => "only asked whether it could".to_owned(),
        OutcomeOf::Failed { errno } => {
            format!(
                "failed with `{}`",
                std::io::Error::from_raw_os_error(*errno)
            )
        }
        OutcomeOf::Killed { rule } => format!("killed ({})", rule.id),
        OutcomeOf::Done => "did".to_owned(),
        OutcomeOf::Answered {
            status,
            sent,
            received,
            milliseconds,
        } => format!("answered {status} ({sent} bytes out, {received} in, {milliseconds} ms)"),
        OutcomeOf::Passed {
            sent,
            received,
            milliseconds,
        } => format!("passed on ({sent} bytes out, {received} in, {milliseconds} ms)"),
        OutcomeOf::Unanswered { why } => format!("no answer ({})", why),
        OutcomeOf::Pushed { refs, more, .. } => pushed(refs, *more),
        OutcomeOf::Untold => "refused without a word to".to_owned(),
        OutcomeOf::Exited { code } => format!("exited {code}"),
        OutcomeOf::Signaled { signal } => format!("killed by signal {signal}"),
    }
}

/// What a server did to refs: how many it changed, and the first that it did not.
fn pushed(refs: &[RefOutcome], more: u64) -> String {
    let refused = refs
        .iter()
        .find_map(|one| Some((one, one.refused.as_ref()?)));
    let taken = refs.iter().filter(|one| one.refused.is_none()).count();
    let changed = match (taken, more) {
        (1, 0) => "the server changed 1 ref".to_owned(),
        (taken, 0) => format!("the server changed {taken} refs"),
        (taken, more) => format!("the server changed {taken} refs, and spoke of {more} more"),
    };
    match refused {
        Some((one, why)) => format!("{changed}, and refused `{}` ({why})", one.name),
        None => changed,
    }
}

/// `allowed`, `refused` or what a shadow let be, and why nobody was asked.
pub(crate) fn ruled(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Deny {
            approval: Some(_), ..
        } => "refused",
        Ruling::Allow { .. } => "allowed",
        Ruling::Deny { asked: false, .. } => "refused",
        Ruling::Deny { asked: true, .. } => "refused (nobody to ask)",
        Ruling::Unenforced { asked: false, .. } => "would refuse",
        Ruling::Unenforced { asked: true, .. } => "would refuse (nobody to ask)",
    }
}

fn decided(
    (kind, ruling): (&str, &Ruling),
    (program, brings): (Option<&Digest>, Option<&Brought>),
    text: Option<&Value>,
) -> String {
    let what = action(text).unwrap_or_else(|| unnamed(program, brings));
    let (rule, answered) = (&ruling.rule().id, answered(ruling));
    format!("{} {kind} {what} ({rule}){answered}", ruled(ruling))
}

/// What stands in the entry itself, where its text is not at hand.
fn unnamed(program: Option<&Digest>, brings: Option<&Brought>) -> String {
    match (program, brings) {
        (Some(program), _) => program.to_string(),
        (None, Some(brings)) => format!("that {}", brought(brings)),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// `brings 0123456789ab, 123456789abc, 23456789abcd, and 2 more`.
fn brought(brings: &Brought) -> String {
    let count = brings.more + u64::try_from(brings.commits.len()).unwrap_or(0);
    let named = brings.commits.iter().take(NAMED);
    let mut named: Vec<_> = named.map(|id| short(id).to_owned()).collect();
    match count.saturating_sub(u64::try_from(NAMED).unwrap_or(0)) {
        _ if count == 0 => return "brings no commit".to_owned(),
        0 => {}
        rest => named.push(format!("and {rest} more")),
    }
    format!("brings {}", named.join(", "))
}

fn asked(id: &str, kind: &str, rule: &Rule, text: Option<&Value>) -> String {
    let what = action(text).unwrap_or_else(|| UNKNOWN.to_owned());
    format!("asked {id} {kind} {what} ({})", rule.id)
}

/// Who answered the question that a ruling came of, and how it ended: ` approved 4 by ada (local:1000@desk, asserted)`.
fn answered(ruling: &Ruling) -> String {
    let Some(approval) = ruling.approval() else {
        return String::new();
    };
    let how = match approval.answer {
        Answered::Approved => "approved",
        Answered::Denied => "denied",
        Answered::Expired => "nobody answered",
        Answered::Withdrawn => "no longer asked",
        Answered::Void => "answered wrongly",
    };
    let by = approval.by.as_ref().map_or(String::new(), |by| {
        format!(" by {} ({}, {})", by.login, by.id, by.evidence.as_str())
    });
    let said = approval.reason.as_ref();
    let said = said.map_or(String::new(), |reason| format!(": {reason}"));
    format!(", {how} {}{by}{said}", approval.question)
}

fn counted(tally: Tally) -> String {
    let Tally {
        allowed,
        refused,
        killed,
        unenforced,
    } = tally;
    let unenforced = match unenforced {
        0 => String::new(),
        some => format!(", {some} would be refused"),
    };
    format!("{allowed} allowed, {refused} refused, {killed} killed{unenforced}")
}

fn changed(files: u64, complete: bool, rule: &str, text: Option<&Value>) -> String {
    let (internal, own): (Vec<_>, Vec<_>) = changes(text)
        .into_iter()
        .partition(|change| change.path.starts_with(".git/"));
    // What git keeps for itself says the least.
    let shown = own.into_iter().chain(internal).map(|change| {
        let sign = match change.change {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        format!("{sign}{}", change.path)
    });
    let some = some_of(shown);
    let colon = if some.is_empty() { "" } else { ": " };
    let unseen = if complete {
        ""
    } else {
        ", and others that were not seen"
    };
    let files = if files == 1 {
        "1 file".to_owned()
    } else {
        format!("{files} files")
    };
    format!("changed {files}{unseen}{colon}{some} ({rule})")
}

fn moved_ref(moved: &RefMove) -> String {
    let from = pointed(moved.old.as_deref());
    let to = pointed(moved.new.as_deref());
    format!("{} from {from} to {to}", moved.name)
}

/// What a ref points at: a commit, or another ref by its whole name, as `HEAD` does.
fn pointed(at: Option<&str>) -> &str {
    let Some(at) = at else {
        return "nothing";
    };
    at.strip_prefix("ref: ").unwrap_or_else(|| short(at))
}

fn some_of(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    let mut some = all
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more) = all.len().checked_sub(NAMED).filter(|more| *more > 0) {
        some.push_str(&format!(", and {more} more"));
    }
    some
}

fn acted(act: CredentialAct) -> &'static str {
    match act {
        CredentialAct::Mint => "minted",
        CredentialAct::Use => "used",
        CredentialAct::Revoke => "revoked",
    }
}

fn stands(state: SessionStatus) -> &'static str {
    match state {
        SessionStatus::Begun => "begun",
        SessionStatus::Ended => "ended",
        SessionStatus::Lost => "lost",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Readable as _;
    use super::super::fixtures::{
        Told, changed as changed_file, ended, exec, recorded, refused, seen, session, started,
        turned,
    };
    use super::*;

    fn shown((event, text): Told) -> String {
        recorded(3, event, text).line()
    }

    #[test]
    fn who_only_asks_did_not_fail() {
        let came = [0, 13].map(|errno| came(&OutcomeOf::Failed { errno }));
        assert_eq!(came[0], "only asked whether it could");
        assert!(came[1].starts_with("failed with `"), "{}", came[1]);
    }

    #[test]
    fn a_refusal_is_one_line_with_its_rule() {
        assert_eq!(
            shown(refused("git push origin main")),
            "3 09:12:03 refused exec git push origin main (git/protected-branch)"
        );
    }

    #[test]
    fn a_question_that_nobody_could_answer_is_told_from_a_refusal() {
        let (mut event, text) = refused("terraform apply");
        if let Event::Decision {
            ruling: Ruling::Deny { asked, .. },
            ..
        } = &mut event
        {
            *asked = true;
        }
        let line = shown((event, text));
        assert!(
            line.contains("refused (nobody to ask) exec terraform apply"),
            "{line}"
        );
    }

    #[test]
    fn what_a_shadow_let_be_is_told_from_what_was_allowed_or_refused() {
        let (mut event, text) = refused("git push origin main");
        if let Event::Decision { ruling, .. } = &mut event {
            let rule = ruling.rule().clone();
            *ruling = Ruling::Unenforced { rule, asked: true };
        }
        let line = shown((event, text));
        assert!(
            line.contains("would refuse (nobody to ask) exec git push"),
            "{line}"
        );
        let tally = Tally {
            unenforced: 2,
            ..Tally::default()
        };
        assert_eq!(
            counted(tally),
            "0 allowed, 0 refused, 0 killed, 2 would be refused"
        );
    }

    #[test]
    fn what_was_erased_is_named_by_its_content() {
        let (event, _) = exec("make");
        let line = shown((event, None));
        assert!(line.contains("allowed exec sha256:"), "{line}");
    }

    /// What stands behind a commit's text or a body that was cut is not there.
    #[test]
    fn what_was_cut_is_told_by_what_is_there() {
        for (text, told) in [
            (
                json!({"kind": "api", "scheme": "https", "host": "a.test", "port": 443, "method": "POST",
                       "path": ["x"], "body": {"a": "b"}}),
                "POST https://a.test/x",
            ),
            (
                json!({"kind": "push", "host": "a.test", "port": 443, "repository": ["o", "r"],
                       "refs": [{"name": "refs/heads/x", "kind": "branch", "short": "x",
                                 "change": "create", "forward": true}],
                       "commits": [{"id": "aaaa1"}]}),
                "to `a.test/o/r`: create `refs/heads/x`",
            ),
            (
                json!({"kind": "api", "body": "b"}),
                r#"{"body":"b","kind":"api"}"#,
            ),
        ] {
            let text = json!({"action": text});
            assert_eq!(action(Some(&text)).as_deref(), Some(told), "{text}");
        }
    }

    #[test]
    fn of_changes_the_last_may_be_cut() {
        let (_, text) = changed_file("a");
        let mut changes: Value = serde_json::from_str(&text.unwrap()).unwrap();
        changes.as_array_mut().unwrap().push(json!({"path": "b"}));
        assert_eq!(super::changes(Some(&changes)).len(), 1);
    }

    #[test]
    fn a_name_is_shown_with_the_call_that_makes_it() {
        let text = r#"{"action":{"kind":"file","by":"open","path":"a b/.git/config"}}"#;
        let text: Value = serde_json::from_str(text).unwrap();
        assert_eq!(action(Some(&text)).unwrap(), "open 'a b/.git/config'");
    }

    #[test]
    fn every_event_has_its_words() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (told, words) in [
            (
                session(""),
                "allowed session of ci-7 for ada (local:1000@desk, asserted): make all (session/start)",
            ),
            (exec("ls 'a"), r"allowed exec ls ''\''a' (exec/system)"),
            (started(2), "started 2"),
            (
                seen(commit),
                "moved refs/heads/main from nothing to 0123456789ab, made 0123456789ab",
            ),
            (
                turned("refs/heads/main", "refs/heads/agent/fix"),
                "moved HEAD from refs/heads/main to refs/heads/agent/fix",
            ),
            (
                changed_file("src/a.rs"),
                "changed 1 file: ~src/a.rs (sandbox/workspace)",
            ),
            (ended(), "ended, exited 0: 0 allowed, 0 refused, 0 killed"),
        ] {
            assert_eq!(shown(told), format!("3 09:12:03 {words}"));
        }
    }

    #[test]
    fn spans_are_told_as_they_are_counted() {
        let span = |first, last| Span { first, last };
        assert_eq!(places(&[span(4, 4)]), "entry 4");
        assert_eq!(places(&[span(7, 8)]), "entries 7-8");
        assert_eq!(places(&[span(4, 4), span(7, 8)]), "entries 4, 7-8");
    }

    #[test]
    fn of_many_files_some_are_named_and_all_are_counted() {
        let (_, text) = changed_file("a");
        let change: Value = serde_json::from_str(&text.unwrap()).unwrap();
        let many = Value::from(vec![change[0].clone(); 5]);
        assert_eq!(
            changed(5, false, "a/b", Some(&many)),
            "changed 5 files, and others that were not seen: ~a, ~a, ~a, and 2 more (a/b)"
        );
    }

    #[test]
    fn a_time_that_is_none_does_not_stop_the_line() {
        assert_eq!(clock(&Timestamp("soon".to_owned())), "soon");
    }
}
