//! From flags to what is asked of the guard.

use std::time::Duration;

use agentguard::Run;
use agentguard::core::{AgentName, Enforcement, Level, Network};

use crate::failure::Failure;
use crate::flags::{
    AGENT, APPROVAL_TIMEOUT, Arguments, BY, ENV, LEVEL, NETWORK, POLICY, PORT, PROFILE, SHADOW,
    TIMEOUT, WORKSPACE,
};
use crate::places::working_directory;

/// What the flags ask for.
pub(crate) fn run(arguments: &Arguments) -> Result<Run, Failure> {
    let workspace = match arguments.path(&WORKSPACE) {
        Some(path) => path.to_owned(),
        None => working_directory()?,
    };
    let ports = arguments
        .numbers(&PORT)
        .map(port)
        .collect::<Result<Vec<_>, _>>()?;
    let environment = arguments
        .texts(&ENV)
        .map(variable)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Run {
        agent: arguments.text(&AGENT).map(AgentName::parse).transpose()?,
        by: arguments.text(&BY).map(str::to_owned),
        profile: arguments.text(&PROFILE).map(str::to_owned),
        level: arguments
            .text(&LEVEL)
            .and_then(Level::parse)
            .unwrap_or(Level::Full),
        network: arguments.text(&NETWORK).map(|network| match network {
            "host" => Network::Host,
            _ => Network::Isolated,
        }),
        ports,
        seconds: arguments.numbers(&TIMEOUT).next(),
        approval: arguments
            .numbers(&APPROVAL_TIMEOUT)
            .next()
            .map_or(Run::APPROVAL, Duration::from_secs),
        environment,
        policy: arguments.path(&POLICY).map(std::path::Path::to_owned),
        enforcement: match arguments.has(&SHADOW) {
            true => Enforcement::Shadow,
            false => Enforcement::Policy,
        },
        ..Run::new(workspace, arguments.operands().to_vec())
    })
}

fn port(number: u64) -> Result<u16, Failure> {
    let port = u16::try_from(number)?;
    match port {
        0 => Err(Failure::new(
            "`--port 0`: it takes a number from 1 to 65535",
        )),
        port => Ok(port),
    }
}

/// A variable is named, and its value is the caller's: what is typed here stands in the log.
fn variable(name: &str) -> Result<String, Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    // A name that ends in `*` is a pattern to policy.
    let plain = name.strip_suffix('*').unwrap_or(name);
    match name.split_once('=') {
        None if !plain.is_empty() && plain.bytes().all(is_plain) => Ok(name.to_owned()),
        None => Err(
            Failure::new(format!("`--env {name}`: that is no variable's name"))
                .with_hint("write the name of one, of `A-Z`, `a-z`, `0-9`, `_`"),
        ),
        Some((name, _)) => Err(Failure::new(format!(
            "`--env {name}=…`: it takes a variable's name, and no value"
        ))
        .with_hint(format!(
            "set it before the command: `{name}=… agentguard exec --env {name} …`"
        ))),
    }
}

/// A weaker run is asked for by name, and what it does not hold is said.
pub(crate) fn what_is_weaker(run: &Run) -> Vec<String> {
    let mut weaker = Vec::new();
    let network = run.network.unwrap_or(Network::Isolated);
    let by_network = Level::Full.missing(network);
    for promise in run.level.missing(network) {
        let flag = match by_network.contains(&promise) {
            true => "--network=host".to_owned(),
            false => format!("--level={}", run.level.as_str()),
        };
        weaker.push(format!(
            "weaker by {flag}: not promised: {}",
            promise.text()
        ));
    }
    if run.enforcement == Enforcement::Shadow {
        let text = "weaker by --shadow: only the deny-list and an organisation's policy are enforced; \
                    what other rules refuse is recorded, and goes on";
        weaker.push(text.to_owned());
    }
    weaker
}
