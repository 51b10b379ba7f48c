//! Credentials that are lent to a session: what stands for them inside, and until when they may be used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use agentguard_audit::Places;
use agentguard_core::{
    Class, Clock as _, Credential, CredentialAct, CredentialName, Digest, Network, Rule, Unrecorded,
};
use agentguard_credentials::{Ended, Kept, Shelf, digest, git_settings, placeholder, ssh_settings};

use crate::ending::Ending;
use crate::record::SessionRecord;
use crate::{Arranged, Error, SystemClock, Tell, git};

/// What was lent to one session. The tokens themselves are its gate's.
pub(crate) struct Lending {
    shelf: Option<Shelf>,
    lent: BTreeMap<CredentialName, Lent>,
    /// Ends the session where what stands for one is misused, if policy says so.
    pub(crate) ending: Option<Ending>,
}

struct Lent {
    kept: Kept,
    token_sha256: Digest,
    uses: AtomicU64,
    /// Why it was ended, once an entry says so: it does not come back, whatever clock or shelf say later.
    over: OnceLock<Rule>,
}

impl From<Option<Shelf>> for Lending {
    /// Nothing yet, of this shelf.
    fn from(shelf: Option<Shelf>) -> Self {
        Self {
            shelf,
            lent: BTreeMap::new(),
            ending: None,
        }
    }
}

impl Lending {
    /// Lends what policy grants: sets the variables inside to what stands for it, and hands the token to the session's
    /// gate. What cannot be lent is told, and the session goes without it.
    ///
    /// # Errors
    ///
    /// Returns what keeps the guard's own directory from being opened.
    pub(crate) fn of(
        places: &Places,
        arranged: &mut Arranged,
        tell: &dyn Tell,
    ) -> Result<Self, Error> {
        let mut lending = Self::from(None);
        let granted = std::mem::take(&mut arranged.confined.confinement.credentials);
        if granted.is_empty() {
            return Ok(lending);
        }
        lending.shelf = Shelf::open(&places.state)?;
        lending.ending = Some(Ending::new(arranged.confined.confinement.ends_on.clone())?);
        let mut variables = BTreeSet::new();
        for name in granted {
            match lending.lend(&name, arranged) {
                Ok(credential) => {
                    let lent = lending.lent.get(&name);
                    let wanted = lent.map(|lent| lent.kept.terms.variables.clone());
                    let wanted = wanted.unwrap_or_default().into_iter();
                    let free: Vec<_> = wanted
                        .filter(|variable| variables.insert(variable.clone()))
                        .collect();
                    set(&mut arranged.plan.environment, &free, &credential);
                    tell.note(&told(&name, &free));
                    if let Some(gate) = &mut arranged.gate {
                        gate.credentials.push(credential);
                    }
                }
                Err(reason) => tell.note(&format!("credential `{name}` is not lent: {reason}")),
            }
        }
        if let Some(gate) = &arranged.gate {
            let lent = &gate.credentials;
            let of_git = git_settings(lent, |name| {
                lending.lent.get(name)?.kept.terms.user.as_deref()
            });
            let settings = [of_git, ssh_settings(lent)].concat();
            tell_git(&mut arranged.plan.environment, &settings);
            git::leave_to_ssh(&mut arranged.plan.files, &gate.hosts, lent);
        }
        let names = lending.lent.keys().cloned().collect();
        arranged.confined.confinement.credentials = names;
        Ok(lending)
    }

    /// Takes one from the shelf, or says why it stays there.
    fn lend(&mut self, name: &CredentialName, arranged: &Arranged) -> Result<Credential, String> {
        let shelf = self.shelf.as_ref();
        let found = shelf.map_or(Ok(None), |shelf| shelf.find(name));
        let found = found.map_err(|error| whole(&error))?;
        let (Some(shelf), Some(kept)) = (shelf, found) else {
            return Err(format!(
                "there is none; `agentguard credential add {name}` adds it"
            ));
        };
        if kept.revoked.is_some() {
            return Err("it was revoked".to_owned());
        }
        if kept.is_over(now()) {
            return Err("its time is over".to_owned());
        }
        let agent = &arranged.session.agent.name;
        if !kept.terms.is_for(agent) {
            return Err(format!("it is for other agents than `{agent}`"));
        }
        let confinement = &arranged.confined.confinement;
        match confinement.network {
            Network::Gated => {}
            Network::Isolated | Network::Host => {
                return Err("the session has no gate to put it into requests".to_owned());
            }
        }
        let goes = kept.goes_to(|host, port| {
            let mut hosts = confinement.hosts.iter();
            hosts.any(|grant| grant.grants(host, port))
        });
        if !goes {
            return Err("the session is granted none of the hosts that it may go to".to_owned());
        }
        let secret = shelf.token(&kept).map_err(|error| whole(&error))?;
        let credential = Credential {
            name: name.clone(),
            placeholder: placeholder(&secret, &kept.terms.slots())
                .map_err(|error| whole(&error))?,
            bound: kept.terms.bound.clone(),
            secret,
        };
        self.put(kept, digest(&credential.secret));
        Ok(credential)
    }

    /// Notes that one was lent.
    pub(crate) fn put(&mut self, kept: Kept, token_sha256: Digest) {
        let lent = Lent {
            token_sha256,
            kept,
            uses: AtomicU64::new(0),
            over: OnceLock::new(),
        };
        self.lent.insert(lent.kept.terms.name.clone(), lent);
    }

    /// Writes down what was lent, before anything of the session runs.
    pub(crate) fn begin(&self, record: &SessionRecord) -> Result<(), Unrecorded> {
        self.lent.iter().try_for_each(|(name, lent)| {
            record.credential(
                Class::Critical,
                CredentialAct::Mint,
                name,
                lent.token_sha256,
            )
        })
    }

    /// Why a request may not go, where something that it is to carry may be used no more. That is written down once.
    pub(crate) fn refusal(
        &self,
        names: &[CredentialName],
        record: &SessionRecord,
    ) -> Result<Option<Rule>, Unrecorded> {
        for name in names {
            let Some(lent) = self.lent.get(name) else {
                let reason = format!("the session was not lent the credential `{name}`");
                return Ok(Some(Rule::new("credential/not-lent", reason)));
            };
            if let Some(rule) = lent.over.get() {
                return Ok(Some(rule.clone()));
            }
            match self.ended(name, lent) {
                Ok(None) => {}
                Ok(Some(rule)) => {
                    if lent.over.set(rule.clone()).is_ok() {
                        let act = CredentialAct::Revoke;
                        record.credential(Class::Critical, act, name, lent.token_sha256)?;
                    }
                    return Ok(Some(rule));
                }
                Err(rule) => return Ok(Some(rule)),
            }
        }
        Ok(None)
    }

    /// Writes down that a request carries what it names, before it is sent.
    pub(crate) fn used(
        &self,
        names: &[CredentialName],
        record: &SessionRecord,
    ) -> Result<(), Unrecorded> {
        for (name, lent) in names
            .iter()
            .filter_map(|name| self.lent.get_key_value(name))
        {
            record.credential(Class::Normal, CredentialAct::Use, name, lent.token_sha256)?;
            lent.uses.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Counts what the session used, for whoever lists the credentials. The log says it whatever comes of this.
    pub(crate) fn end(&self) {
        for lent in self.lent.values() {
            let uses = lent.uses.load(Ordering::SeqCst);
            if let (Some(shelf), true) = (&self.shelf, uses > 0) {
                let _ = shelf.count(&lent.kept, uses, now());
            }
        }
    }

    /// Why one may be used no more, or that it is not known.
    fn ended(&self, name: &CredentialName, lent: &Lent) -> Result<Option<Rule>, Rule> {
        let ended = match &self.shelf {
            Some(shelf) => shelf.ended(&lent.kept, now()),
            None => Ok(Some(Ended::Revoked)),
        };
        let ended = ended.map_err(|error| {
            let reason = whole(&error);
            let reason = format!("whether `{name}` was taken back is not known: {reason}");
            Rule::new("credential/unknown", reason)
        })?;
        let rule = ended.map(|ended| {
            let (id, what) = match ended {
                Ended::Revoked => ("credential/revoked", "was taken back"),
                Ended::Expired => ("credential/expired", "has expired"),
            };
            Rule::new(id, format!("the credential `{name}` {what}"))
                .with_remedy("ask whoever started this session to add it anew, and start another")
        });
        Ok(rule)
    }
}

/// Sets variables inside, whatever passed from the caller.
fn set(environment: &mut Vec<Vec<u8>>, variables: &[String], credential: &Credential) {
    for variable in variables {
        let start = format!("{variable}=");
        environment.retain(|line| !line.starts_with(start.as_bytes()));
        environment.push(format!("{start}{}", credential.placeholder).into_bytes());
    }
    environment.sort();
}

/// Sets what git reads besides its files, after what stands there already. It stands in the one variable in which git
/// hands on what `-c` says: of `GIT_CONFIG_COUNT`'s many, agents keep those from their children that have `KEY` in their
/// names, and git then does nothing at all.
///
/// # References
///
/// - git's `config.c`, `git_config_from_parameters`: `'NAME=VALUE'`, as shells quote, divided by blanks
pub(crate) fn tell_git(environment: &mut Vec<Vec<u8>>, settings: &[(String, String)]) {
    const PARAMETERS: &[u8] = b"GIT_CONFIG_PARAMETERS=";
    if settings.is_empty() {
        return;
    }
    let known = environment
        .iter()
        .position(|line| line.starts_with(PARAMETERS));
    let mut line = known.map_or_else(|| PARAMETERS.to_vec(), |known| environment.remove(known));
    for (key, value) in settings {
        // Before the first of them git takes no blank.
        let blank = if line.as_slice() == PARAMETERS {
            ""
        } else {
            " "
        };
        // A URL whose other characters are escaped, Base64, and words of ours: there is no quote in any of them.
        line.extend_from_slice(format!("{blank}'{key}={value}'").as_bytes());
    }
    environment.push(line);
    environment.sort();
}

fn told(name: &CredentialName, variables: &[String]) -> String {
    match variables.is_empty() {
        true => format!("credential `{name}` is lent, in no variable"),
        false => format!(
            "credential `{name}` is lent, in `{}`",
            variables.join("`, `")
        ),
    }
}

fn now() -> u64 {
    SystemClock.now().unix_micros / 1_000_000
}

fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
