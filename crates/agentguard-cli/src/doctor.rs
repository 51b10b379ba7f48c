//! `doctor`: what this machine can enforce, and how to get the rest.

use agentguard::core::{Level, Network};
use agentguard::sandbox::{Answer, Finding};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON};
use crate::places::{Places, working_directory};
use crate::voice::Voice;

/// Tries everything, and says what holds.
pub(crate) fn run(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places = Places::of_process()?;
    let places = agentguard::Places {
        state: places.state,
        config: places.config,
    };
    let findings = agentguard::examine(&places, &working_directory()?)?;
    for finding in &findings {
        if arguments.has(&JSON) {
            voice.json(&as_json(finding))?;
        } else {
            say(finding, voice)?;
        }
    }
    for level in Level::ALL {
        let held = held(level, &findings);
        if arguments.has(&JSON) {
            voice.json(&json!({
                "level": level, "holds": held, "missing": level.missing(Network::Isolated),
            }))?;
        } else {
            voice.line(&conclusion(level, held))?;
        }
    }
    Ok(match held(Level::Full, &findings) {
        Some(true) => Exit::Done,
        Some(false) => Exit::No,
        None => Exit::Failed,
    })
}

fn say(finding: &Finding, voice: &mut Voice) -> Result<(), Failure> {
    let what = finding.what.text();
    match &finding.answer {
        Answer::Holds => voice.line(&format!("holds    {what}")),
        Answer::Unknown { reason } => {
            voice.line(&format!("unknown  {what}"))?;
            voice.line(&format!("         reason: {reason}"))
        }
        Answer::Missing { cause, remedy } => {
            let word = if finding.forbids(Level::Full) {
                "missing"
            } else {
                "without"
            };
            voice.line(&format!("{word}  {what}"))?;
            voice.line(&format!("         cause: {cause}"))?;
            voice.line(&format!("         remedy: {remedy}"))
        }
    }
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let (holds, cause, remedy) = match &finding.answer {
        Answer::Holds => (Some(true), None, None),
        Answer::Missing { cause, remedy } => (Some(false), Some(cause), Some(remedy)),
        Answer::Unknown { reason } => (None, Some(reason), None),
    };
    json!({
        "what": finding.what, "text": finding.what.text(), "holds": holds, "cause": cause, "remedy": remedy,
        "levels": finding.what.levels(),
    })
}

/// Whether a level can be enforced here. What it needs and is missing decides; then what could not be found
/// out.
fn held(level: Level, findings: &[Finding]) -> Option<bool> {
    let is_unknown = |finding: &Finding| {
        finding.what.levels().contains(&level) && matches!(finding.answer, Answer::Unknown { .. })
    };
    if level == Level::OldKernel || findings.iter().any(|finding| finding.forbids(level)) {
        Some(false)
    } else if findings.iter().any(is_unknown) {
        None
    } else {
        Some(true)
    }
}

fn conclusion(level: Level, held: Option<bool>) -> String {
    let word = level.as_str();
    let refuses = "`agentguard exec` refuses to run";
    match (level, held) {
        (Level::OldKernel, _) => {
            format!("level `{word}` holds no promise and is enforced nowhere: {refuses} at it")
        }
        (_, None) => {
            format!("it could not be found out whether level `{word}` can be enforced here")
        }
        (Level::Full, Some(true)) => format!("level `{word}` can be enforced here"),
        (Level::Full, Some(false)) => {
            format!("level `{word}` cannot be enforced here: {refuses}")
        }
        (_, Some(true)) => format!(
            "level `{word}` can be enforced here, and has to be asked for: `--level={word}`"
        ),
        (_, Some(false)) => format!("level `{word}` cannot be enforced here"),
    }
}

#[cfg(test)]
mod tests {
    use agentguard::sandbox::What;

    use super::*;

    fn found(what: What, answer: Answer) -> Finding {
        Finding { what, answer }
    }

    #[test]
    fn what_is_missing_counts_before_what_is_unknown_and_what_nobody_needs_does_not_count() {
        let missing = || Answer::Missing {
            cause: "c".to_owned(),
            remedy: "r".to_owned(),
        };
        let unknown = || Answer::Unknown {
            reason: "r".to_owned(),
        };
        let mut findings = vec![
            found(What::Proc, Answer::Holds),
            found(What::Limits, missing()),
        ];
        let both = |findings: &[Finding]| {
            [Level::Full, Level::NoNamespaces].map(|level| held(level, findings))
        };
        assert_eq!(both(&findings), [Some(true), Some(true)]);
        findings.push(found(What::Landlock, unknown()));
        assert_eq!(both(&findings), [None, None]);
        findings.push(found(What::Mounts, missing()));
        assert_eq!(both(&findings), [Some(false), None]);
        findings.push(found(What::Scopes, missing()));
        assert_eq!(both(&findings), [Some(false), Some(false)]);
        assert_eq!(held(Level::OldKernel, &findings), Some(false));
    }
}
