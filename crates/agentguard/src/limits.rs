//! What it means that a session came to one of its bounds, or to one of what its output goes to, or sent more
//! datagrams than could be told apart.

use agentguard_core::{Limits, Rule};
use agentguard_sandbox::{Ended, GroupEvents, SessionGroup, Unwritten};

/// The bounds that a session came to, as findings. Its group goes, and what is left in it, if anything
/// is: before the session's last entry.
pub(crate) fn reached(limits: &Limits, ended: &Ended, group: Option<SessionGroup>) -> Vec<Rule> {
    let events = group.map(|group| group.events()).unwrap_or_default();
    let mut found = findings(
        limits,
        events,
        ended.reached.processes,
        ended.reached.temporary,
    );
    found.extend(ended.unwritten.iter().map(unwritten));
    found.extend(unseen(ended.datagrams_unseen));
    found
}

fn unseen(datagrams: u64) -> Option<Rule> {
    let reason =
        format!("{datagrams} datagrams went nowhere of which it was not seen whom they were for");
    (datagrams > 0).then(|| Rule::new("gate/datagram", reason))
}

fn unwritten(lost: &Unwritten) -> Rule {
    let Unwritten { stream, error } = lost;
    Rule::new(
        "session/output",
        format!("what the session wrote to {stream} is not all there: {error}"),
    )
}

fn findings(limits: &Limits, events: GroupEvents, processes: bool, temporary: bool) -> Vec<Rule> {
    let mut found = Vec::new();
    if events.ended > 0 {
        let bound = match limits.memory_bytes {
            Some(bytes) => format!("its bound of {bytes} bytes of memory"),
            None => "the end of the machine's memory".to_owned(),
        };
        let (ended, word) = counted(events.ended);
        let reason =
            format!("the session came to {bound}, and the kernel ended {ended} {word} of it");
        let remedy = "use less at once, or ask for a policy with more `memory_bytes`";
        found.push(Rule::new("limits/memory", reason).with_remedy(remedy));
    }
    if events.unmade > 0 || processes {
        let most = limits.processes;
        let reason = format!(
            "the session came to its bound of {most} processes and threads, and more could not be made"
        );
        let remedy = "start fewer at once, or ask for a policy with more `processes`";
        found.push(Rule::new("limits/processes", reason).with_remedy(remedy));
    }
    if temporary {
        let reason = "`/tmp` or `/dev/shm`, which lie in memory, was full";
        let remedy = "write what is large into the workspace or `/var/tmp`, or ask for a policy with more \
                      `temporary_bytes`";
        found.push(Rule::new("limits/temporary", reason).with_remedy(remedy));
    }
    found
}

fn counted(number: u64) -> (u64, &'static str) {
    (number, if number == 1 { "process" } else { "processes" })
}

#[cfg(test)]
mod tests {
    use agentguard_core::Held;

    use super::*;

    fn ids(events: GroupEvents, processes: bool, temporary: bool) -> Vec<String> {
        let limits = Limits {
            processes: 10,
            files: 10,
            memory_bytes: Some(1000),
            temporary_bytes: 10,
            seconds: None,
            held: Held::Session,
        };
        let found = findings(&limits, events, processes, temporary);
        found.iter().map(|rule| rule.id.to_string()).collect()
    }

    #[test]
    fn each_bound_is_told_once_by_whoever_saw_it() {
        let none = GroupEvents::default();
        assert!(ids(none, false, false).is_empty());
        let both = GroupEvents {
            ended: 2,
            unmade: 7,
        };
        let all = ["limits/memory", "limits/processes", "limits/temporary"];
        assert_eq!(ids(both, true, true), all);
        assert_eq!(ids(none, true, false), ["limits/processes"]);
    }
}
