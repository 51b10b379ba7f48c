//! Outside of any platform that we know: a terminal, or nobody.

use agentguard_core::{Evidence, Human, Trigger, TriggerKind};

use super::Terminal;
use super::value::{self, Environment};
use crate::Error;

pub(super) fn detect(
    environment: &Environment<'_>,
    terminal: &Terminal,
    by: Option<String>,
) -> Result<(Human, Trigger), Error> {
    // Other platforms give their jobs a terminal too. Nobody types there.
    let is_job = environment
        .text("CI")
        .is_some_and(|ci| ci != "false" && ci != "0");
    let tty = terminal.tty.as_deref().filter(|_| !is_job);
    let mut facts = Vec::new();
    let human = human(terminal, by, &mut facts)?;
    if terminal.uid == 0 {
        // `sudo` sets these, and so can anyone who calls it.
        facts.extend(environment.fact("sudo_user", "SUDO_USER"));
        facts.extend(environment.fact("sudo_uid", "SUDO_UID"));
    }
    if is_job {
        facts.extend(environment.fact("ci", "CI"));
        facts.extend(
            terminal
                .tty
                .as_deref()
                .map(|tty| value::fact("terminal", tty)),
        );
    }
    let kind = tty.map_or(TriggerKind::Unattended, |_| TriggerKind::Terminal);
    if kind == TriggerKind::Unattended {
        // systemd names each start of a unit.
        facts.extend(environment.fact("invocation", "INVOCATION_ID"));
    }
    let trigger = Trigger {
        kind,
        event: tty.map_or("unattended", |_| "terminal").to_owned(),
        reference: tty.map_or_else(|| "none".to_owned(), shown),
        requested: tty.is_some(),
        facts,
    };
    Ok((human, trigger))
}

fn human(terminal: &Terminal, by: Option<String>, facts: &mut Vec<String>) -> Result<Human, Error> {
    let uid = terminal.uid;
    let host = value::host("the host's name", &terminal.host).map_err(|_| Error::Nameless)?;
    let account = format!("{uid}@{host}");
    let login = match terminal.login.as_deref().filter(|login| !login.is_empty()) {
        Some(login) => value::person("the login name", login)?,
        None => format!("uid-{uid}"),
    };
    if let Some(by) = by {
        facts.push(value::fact("account", &account));
        facts.push(value::fact("login", &login));
        return Ok(Human {
            id: format!("asserted:{by}"),
            login: by,
            evidence: Evidence::Asserted,
            via: vec!["flag:--by".to_owned()],
        });
    }
    Ok(Human {
        id: format!("local:{account}"),
        login,
        evidence: Evidence::Asserted,
        via: vec!["local:uid".to_owned()],
    })
}

fn shown(tty: &str) -> String {
    let fact = value::fact("", tty);
    fact.strip_prefix('=').unwrap_or(&fact).to_owned()
}
