//! The way out of a session that is granted hosts: its gate, beside the session for as long as that lasts.

use std::path::{Path, PathBuf};

use agentguard_core::{
    Action, Api, Bodies, Clock as _, Confinement, CredentialName, Digest, Index, Judge as _,
    Network, OutcomeOf, Permit, Push, Reach, ReachedBy, Record as _, Rule, Ruling, SessionId,
    Unrecorded, Verdict,
};
use agentguard_egress::{
    Authority, Gate, Govern, Listeners, Patience, Refused, Requested, Settings, Ticket,
};
use agentguard_policy::Question;
use agentguard_sandbox::{Ended, GateListeners, InsideFile};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::asked::request_words;
use crate::run::Told;
use crate::supervise::Supervisor;
use crate::{Error, SystemClock, git, trusted, workspace};

/// Where a system says who looks names up.
const RESOLVERS: &str = "/etc/resolv.conf";
/// What it says inside: whatever stood there, the gate would be asked. Without domains to search, names are asked
/// for as they are.
const RESOLVER: &str = "nameserver 127.0.0.1\n";

/// What the gate of a session is told, where the session is to have one.
pub(crate) fn settings(
    session: &SessionId,
    confinement: &Confinement,
    private: impl Fn(&str) -> Result<PathBuf, Error>,
) -> Result<Option<Settings>, Error> {
    match confinement.network {
        Network::Isolated | Network::Host => return Ok(None),
        Network::Gated => {}
    }
    let seconds = SystemClock.now().unix_micros / 1_000_000;
    Ok(Some(Settings {
        hosts: confinement.hosts.clone(),
        addresses: confinement.addresses.clone(),
        uninspected: confinement.uninspected.clone(),
        escaped_slashes: confinement.escaped_slashes.clone(),
        conversations: confinement.conversations.clone(),
        credentials: Vec::new(),
        authority: Authority::new(session.as_str(), seconds)?,
        roots: trusted::roots(),
        stand_ins: Settings::STAND_INS,
        patience: Patience::USUAL,
        spool: private("pushes")?,
        keys: private("keys")?,
    }))
}

/// Names that a system knows without asking anybody.
const HOSTS: &str = "/etc/hosts";

/// What is seen inside instead of the system's own, so that clients use the gate without knowing of it.
pub(crate) fn files(settings: &Settings, confinement: &Confinement) -> Vec<InsideFile> {
    let mut files = trusted::files(settings, confinement);
    files.push(git::file(&confinement.hosts));
    let hosts = std::fs::read_to_string(HOSTS).unwrap_or_default();
    let instead = [(RESOLVERS, RESOLVER.to_owned()), (HOSTS, own_hosts(&hosts))];
    for (path, content) in instead {
        let path = Path::new(path);
        if path.exists() {
            let path = workspace::real(path);
            let content = content.into_bytes();
            files.push(InsideFile { path, content });
        }
    }
    files
}

/// The lines that are about the session's own loopback. By any other a client would go to an address that nobody
/// granted, past the name that was: the gate knows them all.
fn own_hosts(hosts: &str) -> String {
    let is_own = |line: &&str| {
        let address = line.split_whitespace().next().unwrap_or_default();
        let address = address.parse::<std::net::IpAddr>();
        address.is_ok_and(|address| address.is_loopback())
    };
    hosts
        .lines()
        .filter(is_own)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The gate of a session, where it has one.
pub(crate) fn gate(settings: Option<Settings>, listeners: Option<GateListeners>) -> Option<Gate> {
    let listeners = listeners.map(|listeners| Listeners {
        forcing: listeners.forcing,
        tcp: listeners.connections,
        dns_udp: listeners.lookups,
        dns_tcp: listeners.lookup_connections,
        datagrams: listeners.datagrams,
        unheard: agentguard_sandbox::unheard,
        callers: listeners.callers,
    });
    Some(Gate::new(settings?, listeners?))
}

/// Runs a session with its gate beside it, and ends the gate when the session is over. Returns what came of the
/// session, and what became of the gate, where that has to be told.
pub(crate) fn beside(
    gate: Option<Gate>,
    supervisor: &Supervisor<'_>,
    session: impl FnOnce() -> Result<Ended, agentguard_sandbox::Error>,
) -> Result<(Ended, Option<Rule>), Error> {
    let Some(gate) = gate else {
        return Ok((session()?, None));
    };
    let failed = || Error::doing("start what serves the gate");
    let (stop, running) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed()(error.into()))?;
    std::thread::scope(|scope| {
        let serving = std::thread::Builder::new()
            .name("gate".to_owned())
            .spawn_scoped(scope, move || gate.serve(supervisor, stop))
            .map_err(failed())?;
        let ended = session();
        drop(running);
        let told = match serving.join() {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(reason(&error)),
            Err(_) => Some("what served it broke down".to_owned()),
        };
        let lost = |why| {
            Rule::new(
                "network/gate",
                format!("the session's network was cut off: {why}"),
            )
        };
        Ok((ended?, told.map(lost)))
    })
}

fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

impl Supervisor<'_> {
    /// Records a refusal that no policy made.
    pub(crate) fn refuse_action(&self, action: Action, words: String, rule: Rule) -> Refused {
        let question = self.judge.question(action);
        let ruling = Ruling::Deny {
            rule: rule.clone(),
            asked: false,
            approval: None,
        };
        let entry = self.record.record(&question, &ruling).ok();
        self.tell(words, &rule, entry);
        Refused {
            rule,
            entry,
            approval: None,
        }
    }
}

impl Govern for Supervisor<'_> {
    type Action = Question;

    fn reach(&self, reach: Reach) -> Result<Permit<Question>, Refused> {
        let words = reached(&reach);
        self.admit(Action::Reach(reach), words, false)
            .map_err(to_client)
    }

    /// What no policy decides is recorded all the same, as a refusal by the rule that the gate names.
    fn refuse(&self, reach: Reach, rule: Rule) -> Refused {
        let words = reached(&reach);
        self.refuse_action(Action::Reach(reach), words, rule)
    }

    /// The finding stands beside the refusal: whoever looks for what should not have happened finds it there.
    fn misused(&self, _name: &CredentialName, reach: Reach, rule: Rule) -> Refused {
        let refused = self.refuse(reach, rule.clone());
        let found = self.record.finding(rule.clone());
        if let Some(ending) = &self.lending.ending {
            ending.found(&rule);
        }
        // Where it cannot be written, neither could the refusal; what was misused was not sent either way.
        match found {
            Ok(()) => refused,
            Err(_) => Refused {
                entry: None,
                ..refused
            },
        }
    }

    fn found(&self, rule: Rule) -> Result<(), Unrecorded> {
        self.record.finding(rule)
    }

    fn request(&self, api: Api) -> Result<Permit<Question>, Refused> {
        self.is_lent(&api)?;
        let words = request_words(&api);
        let permit = self
            .admit(Action::Api(Box::new(api)), words, false)
            .map_err(to_client)?;
        self.lend(permit)
    }

    fn push(&self, push: Push) -> Result<Permit<Question>, Refused> {
        let words = push.words();
        self.admit(Action::Push(Box::new(push)), words, false)
            .map_err(to_client)
    }

    fn refuses(&self, push: Push) -> Option<Rule> {
        let question = self.judge.question(Action::Push(Box::new(push)));
        match self.judge.judge(&question) {
            Ok(Verdict::Allow(_)) => None,
            Ok(Verdict::Ask(rule) | Verdict::Deny(rule)) => Some(rule),
            Err(undecided) => Some(Rule::new("guard/undecided", undecided.to_string())),
        }
    }

    fn request_or_wait(
        &self,
        api: Api,
        whole: Option<Digest>,
    ) -> Result<Requested<Question>, Refused> {
        self.request_or_ask(api, whole)
    }

    fn push_or_wait(&self, push: Push, whole: Digest) -> Result<Requested<Question>, Refused> {
        self.push_or_ask(push, whole)
    }

    fn settled(&self) -> Vec<(Ticket, Result<Permit<Question>, Refused>)> {
        self.heard()
    }

    fn withdraw(&self, ticket: Ticket) -> Option<Refused> {
        self.withdrawn(ticket)
    }

    fn admitted<'a>(&self, of: &'a Question) -> Option<&'a Action> {
        Some(of.action())
    }

    fn outcome(&self, of: Index, outcome: OutcomeOf, bodies: &Bodies) -> Result<(), Unrecorded> {
        self.record.outcome_with(of, outcome, bodies)
    }
}

/// What the client is told of it.
pub(crate) fn to_client(told: Told) -> Refused {
    Refused {
        entry: told.entry.map(Index),
        rule: told.rule,
        approval: None,
    }
}

fn reached(reach: &Reach) -> String {
    let host = &reach.host;
    match (reach.by, reach.port) {
        (ReachedBy::Lookup, _) => format!("look up `{host}`"),
        (ReachedBy::Connect, Some(port)) => format!("connect to `{host}` at port {port}"),
        (ReachedBy::Tunnel, _) => format!("pass on a connection to `{host}`"),
        (ReachedBy::Connect, None) => format!("connect to `{host}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_other_addresses_are_left_to_the_gate() {
        let hosts = "127.0.0.1 localhost\n# 127.0.0.1 x\n10.0.0.5 packages.example.com\n\n::1\tlocalhost ip6-localhost\n\
                     127.0.1.1 desk\n  0.0.0.0 nobody\nfe00::0 net\n";
        assert_eq!(
            own_hosts(hosts),
            "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost\n127.0.1.1 desk\n"
        );
    }
}
