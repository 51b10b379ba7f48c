//! A session's story: who asked for what under which rules, and then line by line what came of it.

use std::path::PathBuf;

use agentguard::audit::Recorded;
use agentguard::core::{
    Enforcement, Event, Evidence, Held, Human, OutcomeOf, Rule, RuleId, Ruling, Trigger,
    TriggerKind,
};

use super::Readable;
use super::line::person;

/// The lines that tell an entry. What a decision is followed by as a matter of course has none.
pub(crate) fn lines(recorded: &Recorded) -> Vec<String> {
    match &recorded.entry.event {
        Event::Start { .. } => {
            let mut lines = vec![format!("session   {}", recorded.entry.session)];
            lines.extend(authority(recorded));
            lines.extend(static_rules(recorded));
            lines.push(recorded.line());
            lines
        }
        Event::Decision { ruling, .. } | Event::Signature { ruling, .. } => {
            let mut lines = vec![recorded.line()];
            lines.extend(reason(ruling));
            lines
        }
        Event::Outcome {
            outcome: OutcomeOf::Started { .. },
            ..
        } => Vec::new(),
        Event::Question { rule, .. } => {
            vec![recorded.line(), format!("    {}", rule.reason)]
        }
        Event::Outcome { .. }
        | Event::Repeat { .. }
        | Event::Difference { .. }
        | Event::Refs { .. }
        | Event::Credential { .. }
        | Event::Finding { .. }
        | Event::Anchor { .. }
        | Event::Erasure { .. }
        | Event::End { .. } => vec![recorded.line()],
    }
}

/// On whose authority a session acted, and under what; of an entry that is no session's start, nothing.
pub(crate) fn authority(start: &Recorded) -> Vec<String> {
    let Event::Start {
        agent,
        human,
        trigger,
        policy,
        level,
        network,
        forcing,
        missing,
        held,
        enforcement,
        profile,
        switched_off,
        ..
    } = &start.entry.event
    else {
        return Vec::new();
    };
    let policies = policy
        .iter()
        .map(|policy| format!("{} {}", word(&policy.tier), policy.digest));
    let mut lines = vec![
        format!("asked by  {}", person(human)),
        format!("evidence  {}", evidence(human)),
        format!("trigger   {}", triggered(trigger)),
    ];
    lines.extend(trigger.facts.iter().map(|fact| format!("          {fact}")));
    lines.push(format!("agent     {} ({})", agent.name, agent.key));
    if let Some(workspace) = workspace(start) {
        lines.push(format!("in        {}", workspace.display()));
    }
    lines.push(format!(
        "policy    {}",
        policies.collect::<Vec<_>>().join(", ")
    ));
    let limits = match held {
        Some(Held::Session) => ", limits for the session as a whole",
        Some(Held::Process) => ", limits for each process",
        None => "",
    };
    let forced = forcing.map_or(String::new(), |forcing| format!(" by {}", forcing.as_str()));
    lines.push(format!(
        "enforced  level {}, network {}{forced}{limits}",
        level.as_str(),
        word(network)
    ));
    if *enforcement == Enforcement::Shadow {
        let shadow = "shadow: only the deny-list and an organisation's policy; what other rules refuse goes on";
        lines.push(format!("          {shadow}"));
    }
    let unheld = missing
        .iter()
        .map(|promise| format!("not promised: {}", promise.text()));
    lines.extend(unheld.map(|line| format!("          {line}")));
    lines.extend(under_profile(profile.as_deref(), switched_off));
    lines.push(format!("began     {}", start.entry.time));
    lines
}

/// Under which profile, and what of the agent's own protection that turned off.
fn under_profile<'a>(
    profile: Option<&'a str>,
    switched_off: &'a [Rule],
) -> impl Iterator<Item = String> + 'a {
    let off = switched_off
        .iter()
        .map(|rule| format!("          off: {}: {}", rule.id, rule.reason));
    let name = profile.map(|name| format!("profile   {name}"));
    name.into_iter().chain(off)
}

/// Where a session worked, as its start says unless that was erased.
pub(crate) fn workspace(start: &Recorded) -> Option<PathBuf> {
    let text = start.value()?;
    Some(PathBuf::from(text.get("workspace")?.as_str()?))
}

/// The rules that refuse in the kernel, without an entry for each refusal.
fn static_rules(start: &Recorded) -> Vec<String> {
    let Event::Start { covered, .. } = &start.entry.event else {
        return Vec::new();
    };
    let told: Vec<Rule> = start
        .value()
        .and_then(|text| serde_json::from_value(text.get("covered")?.clone()).ok())
        .unwrap_or_default();
    let reason = |id: &RuleId| told.iter().find(|rule| rule.id == *id);
    let ids = covered.iter().map(|id| match reason(id) {
        Some(rule) => format!("          {id}: {}", rule.reason),
        None => format!("          {id}"),
    });
    let head = match covered.len() {
        0 => None,
        _ => Some("refused by the kernel, without an entry each:".to_owned()),
    };
    head.into_iter().chain(ids).collect()
}

/// Why something was refused, and what would not be.
fn reason(ruling: &Ruling) -> Vec<String> {
    match ruling {
        Ruling::Allow { .. } => Vec::new(),
        Ruling::Deny { rule, .. } | Ruling::Unenforced { rule, .. } => {
            let remedy = rule
                .remedy
                .iter()
                .map(|remedy| format!("    instead: {remedy}"));
            std::iter::once(format!("    {}", rule.reason))
                .chain(remedy)
                .collect()
        }
    }
}

fn evidence(human: &Human) -> String {
    let means = match human.evidence {
        Evidence::None => "nobody is named",
        Evidence::Asserted => "the environment or a flag says so, and nothing proves it",
        Evidence::Event => "the platform's event payload says so",
        Evidence::Oidc => "a token that the issuer signed says so",
        Evidence::Signed => "the human's own key signed for it",
    };
    let via = match human.via.as_slice() {
        [] => String::new(),
        via => format!(" (via {})", via.join(", ")),
    };
    format!("{}: {means}{via}", human.evidence.as_str())
}

fn triggered(trigger: &Trigger) -> String {
    let kind = match trigger.kind {
        TriggerKind::Terminal => "a person at a terminal",
        TriggerKind::Github => "a GitHub Actions job",
        TriggerKind::Gitlab => "a GitLab CI job",
        TriggerKind::Unattended => "a program without a terminal",
    };
    let asked = if trigger.requested {
        "requested"
    } else {
        "not requested by them"
    };
    match trigger.kind {
        TriggerKind::Terminal | TriggerKind::Github | TriggerKind::Gitlab => {
            format!("{kind}, {asked}: {} {}", trigger.event, trigger.reference)
        }
        // There is nothing to name.
        TriggerKind::Unattended => format!("{kind}, {asked}"),
    }
}

/// The word that entries write for it.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{exec, recorded, refused, session, started};
    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let (event, text) = refused("git push");
        assert_eq!(
            lines(&recorded(3, event, text)),
            [
                "3 09:12:03 refused exec git push (git/protected-branch)",
                "    nobody pushes to `main`"
            ]
        );
    }

    #[test]
    fn what_follows_as_a_matter_of_course_is_not_told_and_what_fails_is() {
        let (event, text) = started(1);
        assert!(lines(&recorded(2, event, text)).is_empty());
        let outcome = OutcomeOf::Failed { errno: 2 };
        let text = None;
        let event = Event::Outcome {
            of: 1,
            outcome,
            text,
        };
        assert_eq!(lines(&recorded(2, event, None)).len(), 1);
    }

    #[test]
    fn the_rules_that_refuse_silently_stand_in_the_start_with_their_reasons_unless_erased() {
        let (mut event, _) = session("");
        if let Event::Start { covered, .. } = &mut event {
            covered.push(agentguard::core::RuleId::parse("files/read-only").unwrap());
        }
        let text = r#"{"covered":[{"id":"files/read-only","reason":"the system stays as it is"}]}"#;
        let told = lines(&recorded(0, event.clone(), Some(text.to_owned()))).join("\n");
        let line = "          files/read-only: the system stays as it is\n";
        assert!(told.contains(line), "{told}");
        let told = lines(&recorded(0, event, None)).join("\n");
        assert!(told.contains("          files/read-only\n"), "{told}");
    }

    #[test]
    fn that_a_session_was_a_shadow_is_told_with_what_was_enforced() {
        let (mut event, text) = session("");
        let is_told = |event: &Event| {
            let told = lines(&recorded(0, event.clone(), text.clone()));
            told.iter()
                .any(|line| line.starts_with("          shadow: "))
        };
        assert!(!is_told(&event));
        if let Event::Start { enforcement, .. } = &mut event {
            *enforcement = Enforcement::Shadow;
        }
        assert!(is_told(&event));
    }

    #[test]
    fn what_a_profile_turned_off_stands_in_the_start_with_its_reason_even_if_its_text_is_erased() {
        let (mut event, _) = session("");
        if let Event::Start {
            profile,
            switched_off,
            ..
        } = &mut event
        {
            *profile = Some("codex".to_owned());
            switched_off.push(Rule::new("profile/own-sandbox", "it cannot be nested"));
        }
        let told = lines(&recorded(0, event, None)).join("\n");
        let expected = "profile   codex\n          off: profile/own-sandbox: it cannot be nested\n";
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn only_a_start_has_authority() {
        let (event, text) = exec("make");
        assert!(authority(&recorded(1, event, text)).is_empty());
    }
}
