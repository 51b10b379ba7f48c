//! Tells a trace: as lines for people, as one object a step for programs.

use agentguard::audit::Recorded;
use agentguard::core::{Event, Origin};
use serde::Serialize;

use crate::log::{Readable as _, authority, ruled, workspace};

use super::follow::{Trace, Wanted, is_push};

/// One step from the effect back to the human, with what proves it.
#[derive(Debug, Serialize)]
pub(crate) struct Step<'a> {
    /// What the step is: `effect`, `outcome`, `signature`, `action`, `start`.
    pub(crate) step: &'static str,
    /// What is traced, in the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<&'a str>,
    /// The first and last entry that may have led to it, in the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<(u64, u64)>,
    /// The entry.
    #[serde(flatten)]
    pub(crate) recorded: &'a Recorded,
    /// The entry's proof, as `agentguard verify` reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<String>,
}

/// The steps of a trace, from the effect back.
pub(crate) fn steps(trace: &Trace) -> Vec<Step<'_>> {
    let step = |step, recorded| Step {
        step,
        subject: None,
        after: None,
        recorded,
        proof: None,
    };
    let mut effect = step("effect", &trace.effect);
    effect.subject = Some(&trace.subject);
    effect.after = after(trace);
    let outcome = trace.outcome.iter().map(|outcome| step("outcome", outcome));
    let signature = trace
        .signature
        .iter()
        .map(|signature| step("signature", signature));
    let actions = trace
        .before
        .iter()
        .rev()
        .map(|action| step("action", action));
    // The session's first entry may be what is asked about.
    let start = trace.start.iter().map(|start| step("start", start));
    std::iter::once(effect)
        .chain(outcome)
        .chain(signature)
        .chain(actions)
        .chain(start)
        .collect()
}

/// The lines that people read.
pub(crate) fn lines(wanted: &Wanted, trace: &Trace) -> Vec<String> {
    let mut lines = vec![headline(wanted, trace)];
    lines.push(format!("  {}", trace.effect.line()));
    lines.extend(
        trace
            .outcome
            .iter()
            .map(|outcome| format!("  {}", outcome.line())),
    );
    lines.extend(
        trace
            .signature
            .iter()
            .map(|signature| format!("  {}", signature.line())),
    );
    let is_start = |recorded: &&Recorded| matches!(recorded.entry.event, Event::Start { .. });
    let start = Some(&trace.effect)
        .filter(is_start)
        .or(trace.start.as_ref());
    match start {
        Some(start) => lines.extend(authority(start)),
        None => lines.push("nobody is known to have asked: the session has no start".to_owned()),
    }
    if !is_push(wanted, &trace.effect) {
        push_actions(&mut lines, trace);
    }
    lines
}

fn headline(wanted: &Wanted, trace: &Trace) -> String {
    let session = &trace.effect.entry.session;
    let during = match after(trace) {
        Some((first, last)) => format!("during session {session}, after entries {first}-{last}"),
        None => format!("during session {session}, with nothing before"),
    };
    let subject = &trace.subject;
    if let (Wanted::Commit(_), Event::Decision { ruling, .. }) = (wanted, &trace.effect.entry.event)
    {
        let (how, index) = (ruled(ruling), trace.effect.index);
        return format!(
            "commit {subject} stood in a push: {how}, entry {index} of session {session}"
        );
    }
    match wanted {
        Wanted::Commit(_) => {
            let came = match trace.origin {
                Some(Origin::Made) => "made there",
                Some(Origin::Received) => "received, as a fetch or a bundle leaves it",
                None => "it is not known how",
            };
            let place = trace.start.as_ref().and_then(workspace);
            let place = place.map_or_else(
                || "its workspace".to_owned(),
                |place| format!("`{}`", place.display()),
            );
            format!("commit {subject} first appeared in {place} {during}: {came}")
        }
        Wanted::Path { .. } => format!("file `{subject}` changed {during}"),
        Wanted::Entry(_) => format!("entry {subject} of session {session}"),
    }
}

fn push_actions(lines: &mut Vec<String>, trace: &Trace) {
    let earlier = trace.actions.saturating_sub(trace.before.len());
    match (trace.actions, earlier) {
        (0, _) => lines.push("no action was judged before it".to_owned()),
        (actions, 0) => lines.push(format!("actions judged before it: {actions}")),
        (actions, _) => lines.push(format!(
            "actions judged before it: {actions}, of which the last {}",
            trace.before.len()
        )),
    }
    lines.extend(
        trace
            .before
            .iter()
            .map(|action| format!("  {}", action.line())),
    );
}

fn after(trace: &Trace) -> Option<(u64, u64)> {
    let last = trace.effect.index.checked_sub(1)?;
    (trace.since <= last).then_some((trace.since, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixtures::{
        done, exec, pushed, recorded, refused, seen, session, started, then,
    };
    use crate::trace::follow::Follower;

    fn trace(wanted: &Wanted, events: Vec<Recorded>) -> Trace {
        let mut follower = Follower::new(wanted);
        for event in events {
            follower.see(event);
        }
        follower.end().0.remove(0)
    }

    #[test]
    fn a_commit_is_told_back_to_the_human_with_its_limits() {
        let wanted = Wanted::Commit("aaaa".to_owned());
        let session = then(vec![
            session(""),
            exec("git commit"),
            refused("git push"),
            seen("aaaa1"),
        ]);
        let told = lines(&wanted, &trace(&wanted, session)).join("\n");
        for words in [
            "commit aaaa1 first appeared in `/home/ada/work` during session 0101",
            ", after entries 1-2: made there\n",
            "asked by  ada (local:1000@desk, asserted)\n",
            "evidence  asserted: the environment or a flag says so, and nothing proves it",
            "trigger   a person at a terminal, requested: terminal /dev/pts/3\n",
            "policy    shipped sha256:",
            "enforced  level full, network isolated, limits for each process\n",
            "actions judged before it: 2\n",
            "  2 09:12:02 refused exec git push (git/protected-branch)",
        ] {
            assert!(told.contains(words), "`{words}` is not in\n{told}");
        }
    }

    #[test]
    fn a_push_is_told_with_its_refs_its_answer_and_the_human_and_without_them_by_its_commits() {
        let wanted = Wanted::Commit("aaaa".to_owned());
        let events = || {
            vec![
                session(""),
                exec("git push"),
                pushed(&["aaaa1"], true),
                done(2),
            ]
        };
        let told = lines(&wanted, &trace(&wanted, then(events()))).join("\n");
        for words in [
            "commit aaaa1 stood in a push: allowed, entry 2 of session 0101",
            "  2 09:12:02 allowed push to `git.test/o/r`: create `refs/heads/agent/x` (push/own-branch)\n",
            "  3 09:12:03 did 2\n",
            "asked by  ada (local:1000@desk, asserted)\n",
        ] {
            assert!(told.contains(words), "`{words}` is not in\n{told}");
        }
        assert!(!told.contains("actions judged before"), "{told}");
        let erased = events().into_iter().map(|(event, _)| (event, None));
        let told = lines(&wanted, &trace(&wanted, then(erased.collect()))).join("\n");
        assert!(
            told.contains("allowed push that brings aaaa1 (push/own-branch)"),
            "{told}"
        );
    }

    #[test]
    fn without_a_start_nobody_is_said_to_have_asked() {
        let wanted = Wanted::Entry(0);
        let (event, text) = exec("make");
        let told = lines(&wanted, &trace(&wanted, vec![recorded(0, event, text)])).join("\n");
        assert!(told.contains("nobody is known to have asked"), "{told}");
        assert!(!told.contains("asked by"), "{told}");
    }

    #[test]
    fn the_steps_go_from_the_effect_back_to_the_start() {
        let wanted = Wanted::Entry(2);
        let session = then(vec![session(""), exec("a"), exec("b"), started(2)]);
        let trace = trace(&wanted, session);
        let steps: Vec<_> = steps(&trace)
            .iter()
            .map(|s| (s.step, s.recorded.index))
            .collect();
        assert_eq!(
            steps,
            [("effect", 2), ("outcome", 3), ("action", 1), ("start", 0)]
        );
    }

    #[test]
    fn a_step_is_one_object_with_its_entry_and_proof() {
        let wanted = Wanted::Commit("aaaa1".to_owned());
        let trace = trace(&wanted, then(vec![session(""), exec("a"), seen("aaaa1")]));
        let mut first = steps(&trace).remove(0);
        first.proof = Some("proof".to_owned());
        let step = serde_json::to_value(&first).unwrap();
        assert_eq!(step["subject"], "aaaa1");
        assert_eq!(step["after"], serde_json::json!([1, 1]));
        assert_eq!(step["entry"]["event"]["kind"], "refs");
        assert_eq!(step["proof"], "proof");
    }
}
