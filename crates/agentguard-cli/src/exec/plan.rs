//! `exec --plan`: what would be enforced.

use std::borrow::Cow;

use agentguard::Arranged;
use agentguard::core::{Access, Confinement, Enforcement, Held, Limits, Network};
use agentguard::text::command_line;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::voice::Voice;

/// Shows the confinement of a session that is not started.
pub(crate) fn show(
    arranged: &Arranged,
    enforcement: Enforcement,
    as_json: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let confined = &arranged.confined;
    if as_json {
        voice.json(&json!({
            "session": arranged.session,
            "confinement": confined.confinement,
            "require_level": confined.require_level,
            "require_evidence": confined.require_evidence,
            "command": command(arranged),
            "profile": confined.profile.name,
            "switched_off": confined.profile.switched_off,
            "covered": confined.covered,
            "policy": arranged.policies.digests(),
            "enforcement": enforcement,
        }))?;
        return Ok(Exit::Done);
    }
    let shadow = match enforcement {
        Enforcement::Policy => None,
        Enforcement::Shadow => {
            Some("enforced   only the deny-list and an organisation's policy".to_owned())
        }
    };
    for line in head(arranged)?
        .into_iter()
        .chain(shadow)
        .chain(body(arranged))
    {
        voice.line(&line)?;
    }
    Ok(Exit::Done)
}

fn head(arranged: &Arranged) -> Result<Vec<String>, Failure> {
    let (session, confinement) = (&arranged.session, &arranged.confined.confinement);
    let human = &session.human;
    let mut lines = vec![
        format!(
            "human      {} ({}, {})",
            human.login,
            human.id,
            human.evidence.as_str()
        ),
        format!("agent      {}", session.agent.name),
        format!("workspace  {}", session.workspace),
        format!("level      {}", confinement.level.as_str()),
        format!(
            "network    {}",
            network(confinement.network, &confinement.ports)
        ),
        format!("limits     {}", limits(&confinement.limits)),
        format!("command    {}", command_line(&command(arranged))),
    ];
    let profile = &arranged.confined.profile;
    lines.extend(profile.name.iter().map(|name| format!("profile    {name}")));
    let off = profile.switched_off.iter();
    lines.extend(off.map(|rule| format!("off        {}: {}", rule.id, rule.reason)));
    for policy in arranged.policies.digests() {
        let tier = serde_json::to_value(policy.tier)?;
        lines.push(format!(
            "policy     {} {}",
            tier.as_str().unwrap_or("unknown"),
            policy.digest
        ));
    }
    Ok(lines)
}

fn body(arranged: &Arranged) -> Vec<String> {
    let confined = &arranged.confined;
    let confinement = &confined.confinement;
    let grants = confinement.grants.iter();
    let grants =
        grants.map(|grant| format!("{}      {}", word(grant.access), grant.path.display()));
    let home = confinement.home_grants.iter();
    let home = home.map(|grant| format!("{}      ~/{}", word(grant.access), grant.path.display()));
    let masks = confinement
        .masks
        .iter()
        .map(|mask| format!("mask       {}", mask.display()));
    let pins = confinement
        .pins
        .iter()
        .map(|pin| format!("pin        {}", pin.display()));
    let sockets = confinement
        .sockets
        .iter()
        .map(|socket| format!("socket     {}", socket.display()));
    let signs = confinement
        .signs_commits
        .then(|| "signs      commits".to_owned());
    let names = confinement
        .names_session
        .then(|| "trailers   session".to_owned());
    let variables = confinement
        .environment
        .iter()
        .map(|name| format!("variable   {name}"));
    let set = confinement
        .variables
        .iter()
        .map(|(name, value)| format!("set        {name}={value}"));
    let rules = confined
        .covered
        .iter()
        .map(|rule| format!("rule       {}: {}", rule.id, rule.reason));
    grants
        .chain(home)
        .chain(masks)
        .chain(pins)
        .chain(sockets)
        .chain(signs)
        .chain(names)
        .chain(way_out(confinement))
        .chain(variables)
        .chain(set)
        .chain(rules)
        .collect()
}

/// What leads out of it.
fn way_out(confinement: &Confinement) -> impl Iterator<Item = String> {
    let hosts = confinement
        .hosts
        .iter()
        .map(|host| format!("host       {host}"));
    let addresses = confinement
        .addresses
        .iter()
        .map(|(host, place)| format!("address    {host} {place}"));
    let credentials = confinement
        .credentials
        .iter()
        .map(|name| format!("credential {name}"));
    let uninspected = confinement
        .uninspected
        .iter()
        .map(|host| format!("unseen     {host}"));
    let slashes = confinement
        .escaped_slashes
        .iter()
        .map(|host| format!("slash      {host}"));
    let conversations = confinement
        .conversations
        .iter()
        .map(|host| format!("spoken     {host}"));
    let ends_on = confinement
        .ends_on
        .iter()
        .map(|rule| format!("ends on    {rule}"));
    hosts
        .chain(addresses)
        .chain(credentials)
        .chain(uninspected)
        .chain(slashes)
        .chain(conversations)
        .chain(ends_on)
}

/// The command as it would be run, with what its profile adds.
fn command(arranged: &Arranged) -> Vec<Cow<'_, str>> {
    let words = arranged.plan.command.iter();
    words.map(|word| String::from_utf8_lossy(word)).collect()
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Read => "read ",
        Access::Write => "write",
    }
}

fn limits(limits: &Limits) -> String {
    let memory = match limits.memory_bytes {
        Some(bytes) => format!("{bytes} bytes of memory, "),
        None => String::new(),
    };
    let whom = match limits.held {
        Held::Session => "for the session as a whole, by a cgroup",
        Held::Process => "memory for each process by itself: no cgroup can be made here",
    };
    format!("{memory}{} processes; {whom}", limits.processes)
}

fn network(network: Network, ports: &[u16]) -> String {
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    let ports = match ports.is_empty() {
        true => String::new(),
        false => format!("the host's loopback ports {}", ports.join(", ")),
    };
    match network {
        Network::Host => "the host's".to_owned(),
        Network::Isolated if ports.is_empty() => "its own, empty".to_owned(),
        Network::Isolated => format!("its own, with {ports}"),
        Network::Gated if ports.is_empty() => "its own, with a gate to the hosts below".to_owned(),
        Network::Gated => format!("its own, with {ports} and a gate to the hosts below"),
    }
}
