//! Jobs of GitLab CI.
//!
//! # References
//!
//! - <https://docs.gitlab.com/ci/variables/predefined_variables/>
//! - <https://docs.gitlab.com/ci/jobs/job_rules/#ci_pipeline_source-predefined-variable>

use agentguard_core::{Human, Trigger, TriggerKind};

use super::evidence_for;
use super::value::{self, Environment};
use crate::Error;

const PUBLIC: &str = "gitlab.com";

pub(super) fn detect(environment: &Environment<'_>) -> Result<(Human, Trigger), Error> {
    let source = environment
        .word("CI_PIPELINE_SOURCE")?
        .ok_or(missing("CI_PIPELINE_SOURCE"))?;
    let user = environment
        .number("GITLAB_USER_ID")?
        .ok_or(missing("GITLAB_USER_ID"))?;
    let login = environment
        .person("GITLAB_USER_LOGIN")?
        .ok_or(missing("GITLAB_USER_LOGIN"))?;
    let job = environment
        .number("CI_JOB_ID")?
        .ok_or(missing("CI_JOB_ID"))?;
    let pipeline = environment.number("CI_PIPELINE_ID")?;
    let server = environment
        .text("CI_SERVER_HOST")
        .map_or(Ok(PUBLIC.to_owned()), |host| {
            value::host("CI_SERVER_HOST", &host)
        })?;
    let is_bot = is_bot(&login);
    let role = match &*source {
        // The user is whoever owns the schedule, or the token: neither asked for this run.
        "schedule" => Some("schedule_owner"),
        "trigger" => Some("token_owner"),
        _ => None,
    };

    let mut facts: Vec<String> = role
        .map(|role| value::fact("role", role))
        .into_iter()
        .collect();
    if is_bot {
        facts.push("actor_type=bot".to_owned());
    }
    facts.extend(pipeline.map(|pipeline| value::fact("pipeline", &pipeline)));
    facts.extend(facts_of_job(environment));
    let human = Human {
        id: if server == PUBLIC {
            format!("gitlab:{user}")
        } else {
            format!("gitlab:{user}@{server}")
        },
        login,
        evidence: evidence_for(is_bot),
        via: vec![
            "gitlab:ci".to_owned(),
            format!("job:{job}"),
            format!("source:{source}"),
        ],
    };
    let trigger = Trigger {
        kind: TriggerKind::Gitlab,
        reference: reference(environment, &server, &job),
        requested: !is_bot && role.is_none(),
        event: source,
        facts,
    };
    Ok((human, trigger))
}

fn facts_of_job(environment: &Environment<'_>) -> Vec<String> {
    let mut facts = Vec::new();
    // Where a fork's merge request runs in the target, `CI_PROJECT_*` may name the fork: which project
    // this is cannot be told from here, so both are written down.
    let source = environment.text("CI_MERGE_REQUEST_SOURCE_PROJECT_ID");
    let target = environment.text("CI_MERGE_REQUEST_PROJECT_ID");
    if source.is_some() && source != target {
        facts.push("fork=true".to_owned());
    }
    for (label, name) in [
        ("project", "CI_PROJECT_PATH"),
        ("project_id", "CI_PROJECT_ID"),
        (
            "merge_request_source",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH",
        ),
        ("merge_request_target", "CI_MERGE_REQUEST_PROJECT_PATH"),
        ("merge_request", "CI_MERGE_REQUEST_IID"),
        ("ref", "CI_COMMIT_REF_NAME"),
        ("ref_protected", "CI_COMMIT_REF_PROTECTED"),
        ("sha", "CI_COMMIT_SHA"),
        // In a job started by hand the user is whoever pressed the button, not the pipeline's.
        ("manual", "CI_JOB_MANUAL"),
        ("job", "CI_JOB_NAME"),
        ("runner", "CI_RUNNER_ID"),
    ] {
        facts.extend(environment.fact(label, name));
    }
    facts
}

/// Where the job can be looked up: its own address where that is one of this server's.
fn reference(environment: &Environment<'_>, server: &str, job: &str) -> String {
    let address = environment.text("CI_JOB_URL").filter(|url| {
        url.len() <= 1024
            && url.bytes().all(|b| b.is_ascii_graphic())
            && url
                .strip_prefix("https://")
                .or_else(|| url.strip_prefix("http://"))
                .and_then(|rest| rest.strip_prefix(server))
                .is_some_and(|rest| rest.starts_with(['/', ':']))
    });
    address.unwrap_or_else(|| format!("{server} job {job}"))
}

/// Whether the login is of the form that GitLab gives to the users of project and group access tokens
/// and of service accounts.
fn is_bot(login: &str) -> bool {
    let token_user = |kind: &str| {
        login
            .strip_prefix(kind)
            .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()))
            .is_some_and(|rest| rest.starts_with("_bot"))
    };
    token_user("project_") || token_user("group_") || login.starts_with("service_account_")
}

fn missing(variable: &'static str) -> Error {
    Error::Missing {
        variable,
        because: "GITLAB_CI",
        platform: "GitLab CI",
        remedy: "pass the variables of the job on, or unset `GITLAB_CI`",
    }
}
