//! What a verification found, in lines or as an object.

use std::path::Path;

use agentguard::audit::{Fault, Finding, Note, Remark, Report};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::voice::Voice;

#[derive(Serialize)]
struct Answer<'a> {
    log: &'a Path,
    verified: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// Tells a report, and how the command ends by it.
pub(crate) fn tell(
    directory: &Path,
    report: &Report,
    json: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let verified = report.is_verified();
    if json {
        voice.json(&Answer {
            log: directory,
            verified,
            report,
        })?;
    } else {
        for line in lines(report) {
            voice.line(&line)?;
        }
    }
    Ok(if verified { Exit::Done } else { Exit::No })
}

/// Whether nothing is wrong but that nothing is signed.
pub(crate) fn is_unsigned(report: &Report) -> bool {
    let is_checkpoint = |finding: &Finding| finding.fault == Fault::Checkpoint;
    report.signed == 0 && !report.is_verified() && report.findings.iter().all(is_checkpoint)
}

/// `verified: 18 entries, root sha256:…`, or that it is not.
pub(crate) fn verified(report: &Report) -> String {
    if !report.is_verified() {
        let findings = report
            .more
            .saturating_add(u64::try_from(report.findings.len()).unwrap_or(0));
        return format!("not verified: {}", counted(findings, "finding"));
    }
    let signed = match report.entries.saturating_sub(report.signed) {
        0 => String::new(),
        unsigned => format!(", of which {unsigned} not signed yet"),
    };
    format!(
        "verified: {}{signed}, root {}",
        counted(report.entries, "entrie"),
        report.root
    )
}

/// The finding that concerns the first entry, in a line.
pub(crate) fn first(report: &Report) -> Option<String> {
    report
        .findings
        .iter()
        .min_by_key(|finding| finding.index)
        .map(finding)
}

fn lines(report: &Report) -> Vec<String> {
    let (answer, rest) = match verified(report).split_once(": ") {
        Some((answer, rest)) => (answer.to_owned(), rest.to_owned()),
        None => (String::new(), String::new()),
    };
    let mut lines = vec![format!("{answer}: {}: {rest}", name(&report.origin))];
    lines.extend(report.findings.iter().map(|f| format!("  {}", finding(f))));
    if report.more > 0 {
        lines.push(format!("  and {} more", report.more));
    }
    lines.extend(report.notes.iter().map(|n| format!("  note: {}", note(n))));
    lines
}

/// `session 36d3…`, or what else a log is called.
fn name(origin: &str) -> String {
    let mut parts = origin.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("agentguard"), Some(_), Some(session)) => format!("session {session}"),
        (Some("agentguard"), Some(_), None) => "anchor log".to_owned(),
        (None, _, _) | (Some(_), _, _) if origin.is_empty() => "log without a name".to_owned(),
        (None, _, _) | (Some(_), _, _) => format!("log `{origin}`"),
    }
}

fn finding(finding: &Finding) -> String {
    let fault = word(finding.fault);
    match finding.index {
        Some(index) => format!("entry {index}: {fault}: {}", finding.detail),
        None => format!("{fault}: {}", finding.detail),
    }
}

fn note(note: &Note) -> String {
    let count = note.count;
    let at = note
        .entries
        .first()
        .map_or(String::new(), |first| match count {
            1 => format!(": entry {first}"),
            _ => format!(", the first being entry {first}"),
        });
    match note.remark {
        Remark::Interrupted => format!("{} without an outcome{at}", counted(count, "decision")),
        Remark::Unsigned => format!("{} not signed yet{at}", counted(count, "entrie")),
        Remark::Unended => "the session has not ended in its log".to_owned(),
        Remark::Torn => format!("the last entry is torn, and nobody relied on it{at}"),
        Remark::Erased => format!("{} erased{at}", counted(count, "text")),
        Remark::Unerased => format!(
            "{} recorded as erased, and there{at}; `agentguard log erase` goes on",
            counted(count, "text")
        ),
        Remark::NoText => format!("{} not there, and not erased{at}", counted(count, "text")),
        Remark::Clock => format!("both clocks went back together{at}"),
        Remark::Published => {
            "the published files were verified, without the write-ahead file".to_owned()
        }
        other => word(other),
    }
}

/// The word that reports write for it.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

/// `1 entry`, `2 entries`; other words take an `s`.
fn counted(count: u64, word: &str) -> String {
    match (count, word) {
        (1, "entrie") => "1 entry".to_owned(),
        (1, word) => format!("1 {word}"),
        (count, word) => format!("{count} {word}s"),
    }
}
