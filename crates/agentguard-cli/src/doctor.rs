//! `doctor`: what this machine can enforce, and how to get the rest.

use agentguard::core::Level;
use agentguard::sandbox::{Answer, Finding};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON};
use crate::places::Places;
use crate::voice::Voice;

/// Tries everything, and says what holds.
pub(crate) fn run(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let places = Places::of_process()?;
    let places = agentguard::Places {
        state: places.state,
        config: places.config,
    };
    let findings = agentguard::examine(&places, &std::env::current_dir()?)?;
    for finding in &findings {
        if arguments.has(&JSON) {
            voice.json(&as_json(finding))?;
        } else {
            say(finding, voice)?;
        }
    }
    let exit = exit_of(&findings);
    if !arguments.has(&JSON) {
        voice.line(conclusion(exit))?;
    }
    Ok(exit)
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
            let word = if finding.what.level().is_some() {
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
        "level": finding.what.level(),
    })
}

/// What is missing for `full` decides; then what could not be found out.
fn exit_of(findings: &[Finding]) -> Exit {
    let is_unknown = |finding: &Finding| {
        finding.what.level().is_some() && matches!(finding.answer, Answer::Unknown { .. })
    };
    if findings.iter().any(|finding| finding.forbids(Level::Full)) {
        Exit::No
    } else if findings.iter().any(is_unknown) {
        Exit::Failed
    } else {
        Exit::Done
    }
}

fn conclusion(exit: Exit) -> &'static str {
    match exit {
        Exit::Done => "level `full` can be enforced here",
        Exit::No => "level `full` cannot be enforced here: `agentguard exec` refuses to run",
        Exit::Failed | Exit::Child(_) | Exit::Guard | Exit::Refused | Exit::Missing => {
            "it could not be found out whether level `full` can be enforced here"
        }
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
        assert_eq!(exit_of(&findings), Exit::Done);
        findings.push(found(What::Landlock, unknown()));
        assert_eq!(exit_of(&findings), Exit::Failed);
        findings.push(found(What::Mounts, missing()));
        assert_eq!(exit_of(&findings), Exit::No);
    }
}
