//! Jobs of GitHub Actions.
//!
//! # References
//!
//! - <https://docs.github.com/en/actions/reference/workflows-and-actions/variables>
//! - <https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows>

use agentguard_core::{Human, Trigger, TriggerKind};

use super::evidence_for;
use super::payload::Payload;
use super::value::{self, Environment};
use crate::Error;

const PLATFORM: &str = "GitHub Actions";
const PUBLIC: &str = "github.com";

pub(super) fn detect(environment: &Environment<'_>) -> Result<(Human, Trigger), Error> {
    let event = environment
        .word("GITHUB_EVENT_NAME")?
        .ok_or(missing("GITHUB_EVENT_NAME"))?;
    let login = environment
        .person("GITHUB_ACTOR")?
        .ok_or(missing("GITHUB_ACTOR"))?;
    let actor_id = environment.number("GITHUB_ACTOR_ID")?;
    let run = environment
        .number("GITHUB_RUN_ID")?
        .ok_or(missing("GITHUB_RUN_ID"))?;
    let attempt = environment
        .number("GITHUB_RUN_ATTEMPT")?
        .unwrap_or_else(|| "1".to_owned());
    let rerun_by = environment
        .person("GITHUB_TRIGGERING_ACTOR")?
        // Logins differ in more than case.
        .filter(|triggering| !triggering.eq_ignore_ascii_case(&login));
    let server = server(environment)?;
    let payload = environment
        .text("GITHUB_EVENT_PATH")
        .map(|path| Payload::read(&path));
    let is_bot = login.ends_with("[bot]")
        || payload
            .as_ref()
            .is_some_and(|payload| payload.sender_is_bot(&login));

    let mut facts = facts_of_run(environment, &event, rerun_by.as_deref(), &attempt)?;
    if actor_id.is_none() {
        // A login can be given up and taken by another; a number cannot.
        facts.push("actor_id=missing".to_owned());
    }
    if is_bot {
        facts.push("actor_type=bot".to_owned());
    }
    if let Some(payload) = &payload {
        facts.extend(payload.facts());
    }
    let human = Human {
        id: id(&login, actor_id.as_deref(), &server),
        login,
        evidence: evidence_for(is_bot),
        via: vec![
            "github:actions".to_owned(),
            format!("run:{run}/{attempt}"),
            format!("event:{event}"),
        ],
    };
    let trigger = Trigger {
        kind: TriggerKind::Github,
        reference: reference(environment, &server, &run, &attempt)?,
        // A schedule's actor is whoever last changed it; what follows another workflow was asked for
        // by nobody in particular; and a job that is run again was asked for by whoever did that.
        requested: !is_bot && rerun_by.is_none() && !matches!(&*event, "schedule" | "workflow_run"),
        event,
        facts,
    };
    Ok((human, trigger))
}

fn facts_of_run(
    environment: &Environment<'_>,
    event: &str,
    rerun_by: Option<&str>,
    attempt: &str,
) -> Result<Vec<String>, Error> {
    let mut facts = Vec::new();
    match event {
        "schedule" => facts.push("role=schedule_owner".to_owned()),
        "workflow_run" => facts.push("role=upstream_workflow".to_owned()),
        // Runs with the secrets of the base, for whoever opens a pull request.
        "pull_request_target" => facts.push("role=pull_request_target".to_owned()),
        _ => {}
    }
    if let Some(rerun_by) = rerun_by {
        facts.push(value::fact("triggering_actor", rerun_by));
    }
    if attempt != "1" {
        facts.push(value::fact("run_attempt", attempt));
    }
    for (label, name) in [
        ("repository", "GITHUB_REPOSITORY"),
        ("repository_id", "GITHUB_REPOSITORY_ID"),
        ("ref", "GITHUB_REF"),
        ("head_ref", "GITHUB_HEAD_REF"),
        ("base_ref", "GITHUB_BASE_REF"),
        ("sha", "GITHUB_SHA"),
        ("workflow_ref", "GITHUB_WORKFLOW_REF"),
        ("workflow_sha", "GITHUB_WORKFLOW_SHA"),
        ("job", "GITHUB_JOB"),
        ("runner_environment", "RUNNER_ENVIRONMENT"),
    ] {
        facts.extend(environment.fact(label, name));
    }
    Ok(facts)
}

/// The host of the installation: account numbers mean something only there.
fn server(environment: &Environment<'_>) -> Result<String, Error> {
    const NAME: &str = "GITHUB_SERVER_URL";
    match environment.text(NAME) {
        None => Ok(PUBLIC.to_owned()),
        Some(url) => {
            let rest = url
                .strip_prefix("https://")
                .or_else(|| url.strip_prefix("http://"))
                .ok_or_else(|| Error::invalid(NAME, "is not an `https` address"))?;
            value::host(NAME, rest.strip_suffix('/').unwrap_or(rest))
        }
    }
}

fn id(login: &str, number: Option<&str>, server: &str) -> String {
    let account = number.map_or_else(|| format!("login={login}"), str::to_owned);
    if server == PUBLIC {
        format!("github:{account}")
    } else {
        format!("github:{account}@{server}")
    }
}

fn reference(
    environment: &Environment<'_>,
    server: &str,
    run: &str,
    attempt: &str,
) -> Result<String, Error> {
    const NAME: &str = "GITHUB_REPOSITORY";
    let repository = environment.text(NAME).ok_or(missing(NAME))?;
    let is_part = |part: &str| {
        (1..=100).contains(&part.len())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    match repository.split_once('/') {
        Some((owner, name)) if is_part(owner) && is_part(name) => Ok(format!(
            "https://{server}/{owner}/{name}/actions/runs/{run}/attempts/{attempt}"
        )),
        Some(_) | None => Err(Error::invalid(NAME, "is not of the form `owner/name`")),
    }
}

fn missing(variable: &'static str) -> Error {
    Error::Missing {
        variable,
        because: "GITHUB_ACTIONS",
        platform: PLATFORM,
        remedy: "pass the variables of the job on, or unset `GITHUB_ACTIONS`",
    }
}
