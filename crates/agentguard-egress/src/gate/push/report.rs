//! A refusal in git's own words: the client shows it for each ref.

use agentguard_core::Rule;

use super::commands::Commands;
use super::pkt;
use crate::gate::ask::Told;

/// The type of a server's answer to a push.
pub(super) const KIND: &str = "application/x-git-receive-pack-result";

/// The band that a client shows to whoever pushes, and the one that it reads itself.
const SHOWN: u8 = 2;
const READ: u8 = 1;

/// What a client gets to read of a push that was refused. Nothing of it was passed on.
pub(super) fn refused(commands: &Commands, told: &Told) -> Vec<u8> {
    let why = |place| format!("agentguard: {}", why(told, place));
    every_ref(commands, why, &shown(&told.rule, told.entry))
}

/// What it gets to read of one that was permitted, and of which it is not known what the server made.
pub(super) fn failed(commands: &Commands, why: &str) -> Vec<u8> {
    let why = format!("agentguard: {}", line(why));
    every_ref(commands, |_| why.clone(), &format!("{why}\n"))
}

/// Something to be shown at once, before it is known what becomes of the push.
pub(super) fn meanwhile(text: &str) -> Vec<u8> {
    let mut shown = Vec::new();
    pkt::put_in_band(&mut shown, SHOWN, format!("{}\n", line(text)).as_bytes());
    shown
}

/// Says of the ref at each place why it was not changed, and `text` to whoever pushes.
fn every_ref(commands: &Commands, why: impl Fn(usize) -> String, text: &str) -> Vec<u8> {
    let mut report = Vec::new();
    if commands.report {
        // The server would say so before it looks at refs.
        pkt::put(&mut report, b"unpack ok\n");
        for (place, update) in commands.refs.iter().enumerate() {
            let why = why(place);
            pkt::put(
                &mut report,
                format!("ng {} {why}\n", update.name).as_bytes(),
            );
        }
        pkt::flush(&mut report);
    }
    if !commands.side_band {
        return report;
    }
    let mut answer = Vec::new();
    pkt::put_in_band(&mut answer, SHOWN, text.as_bytes());
    pkt::put_in_band(&mut answer, READ, &report);
    pkt::flush(&mut answer);
    answer
}

/// Why the ref at this place is not changed: by a rule about it, or since another of the same push is refused.
fn why(told: &Told, place: usize) -> String {
    let by = |rule: &Rule| format!("{} ({})", line(&rule.reason), rule.id);
    match told.each.get(place) {
        Some(Some(rule)) => by(rule),
        Some(None) if told.each.iter().any(Option::is_some) => {
            "another ref of this push is refused".to_owned()
        }
        Some(None) | None => by(&told.rule),
    }
}

fn shown(rule: &Rule, entry: Option<u64>) -> String {
    let mut text = format!(
        "agentguard refused this push: {} ({})\n",
        line(&rule.reason),
        rule.id
    );
    if let Some(remedy) = &rule.remedy {
        text.push_str(&format!("agentguard: {}\n", line(remedy)));
    }
    match entry {
        Some(entry) => text.push_str(&format!("agentguard: entry {entry} of the log says so\n")),
        None => text.push_str("agentguard: the log could not be written\n"),
    }
    text
}

/// One line, without anything that would be taken for a command by a terminal.
fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
