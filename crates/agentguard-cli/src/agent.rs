//! `agent`: the identities that sessions act under.

use agentguard::core::AgentName;
use agentguard::credentials::{self, AgentKey, Identity};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON, SIGNERS};
use crate::places::Places;
use crate::voice::{Voice, Word};

/// Lists the agents, one a line: name, and key or `revoked`.
pub(crate) fn list(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let identities = credentials::list(&Places::of_process()?.state)?;
    for identity in &identities {
        match arguments.has(&JSON) {
            true => voice.json(identity)?,
            false => voice.line(&format!("{}  {}", identity.name, key_of(identity)))?,
        }
    }
    if identities.is_empty() {
        voice.say(
            Word::Note,
            "there are no agents yet; the first `exec` makes one",
        );
    }
    Ok(Exit::Done)
}

/// Shows one agent.
pub(crate) fn show(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let identity = credentials::show(&Places::of_process()?.state, &name(arguments)?)?;
    if arguments.has(&SIGNERS) {
        for line in identity.allowed_signers() {
            voice.line(&line)?;
        }
        return Ok(Exit::Done);
    }
    tell(&identity, arguments, voice)
}

/// Makes an agent.
pub(crate) fn new(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let (state, name) = (Places::of_process()?.state, name(arguments)?);
    match credentials::show(&state, &name) {
        Ok(identity) if identity.agent.is_some() => {
            return Err(
                Failure::new(format!("there is an agent `{name}` already")).with_hint(format!(
                    "`agentguard agent rotate {name}` gives it a new key"
                )),
            );
        }
        Ok(_) | Err(credentials::Error::Unknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    AgentKey::load_or_create(&state, &name)?;
    tell(&credentials::show(&state, &name)?, arguments, voice)
}

/// Gives an agent a new key.
pub(crate) fn rotate(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let (state, name) = (Places::of_process()?.state, name(arguments)?);
    credentials::rotate(&state, &name)?;
    tell(&credentials::show(&state, &name)?, arguments, voice)
}

/// Ends an agent.
pub(crate) fn revoke(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let identity = credentials::revoke(&Places::of_process()?.state, &name(arguments)?)?;
    tell(&identity, arguments, voice)
}

fn name(arguments: &Arguments) -> Result<AgentName, Failure> {
    Ok(AgentName::parse(arguments.operand()?.unwrap_or_default())?)
}

fn tell(identity: &Identity, arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    if arguments.has(&JSON) {
        voice.json(identity)?;
        return Ok(Exit::Done);
    }
    voice.line(&format!("agent    {}", identity.name))?;
    voice.line(&format!("key      {}", key_of(identity)))?;
    for key in &identity.retired {
        voice.line(&format!("retired  {key}"))?;
    }
    Ok(Exit::Done)
}

fn key_of(identity: &Identity) -> &str {
    identity
        .agent
        .as_ref()
        .map_or("revoked", |agent| agent.key.as_str())
}
