//! `credential`: what agents put to use and never read.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use agentguard::SystemClock;
use agentguard::core::{
    AgentName, Binding, Clock as _, CredentialName, Host, Secret, Slot, Timestamp,
};
use agentguard::credentials::{Keeping, Kept, Known, Shelf, Source, Terms, host_keys, trimmed};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{
    AWS, Arguments, BASIC, EXPIRES, FOR, FOR_AGENT, FROM_COMMAND, FROM_ENV, FROM_FILE,
    FROM_KEYRING, FROM_STDIN, HEADER, HOST, IDENTITY, IN_QUERY, JSON, KEEP, KNOWN_HOSTS, METHOD,
    PATH, SSH, USER, VARIABLE,
};
use crate::places::Places;
use crate::voice::{Voice, Word};

/// More than a token has. What does not fit is refused there.
const MOST: u64 = 64 * 1024;

/// Adds a credential.
pub(crate) fn add(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let shelf = Shelf::make(&Places::of_process()?.state)?;
    let terms = terms(arguments)?;
    let handed = match terms.source {
        Source::Kept { .. } => Some(handed()?),
        Source::File { .. }
        | Source::Variable { .. }
        | Source::Keyring { .. }
        | Source::Command { .. } => None,
    };
    let kept = shelf.add(terms, handed.as_ref(), seconds())?;
    tell(&kept, &Whereabouts::AsSaid, arguments, voice)
}

/// Lists the credentials.
pub(crate) fn list(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let shelf = Shelf::open(&Places::of_process()?.state)?;
    let all = shelf.map_or(Ok(Vec::new()), |shelf| {
        let looked = |kept: Kept| (Whereabouts::of(&shelf, &kept), kept);
        let all = shelf.list()?.into_iter().map(looked);
        Ok::<Vec<_>, Failure>(all.collect())
    })?;
    for (whereabouts, kept) in &all {
        tell(kept, whereabouts, arguments, voice)?;
    }
    if all.is_empty() {
        let text = "there are no credentials yet; `agentguard credential add` adds one";
        voice.say(Word::Note, text);
    }
    Ok(Exit::Done)
}

/// Takes a credential back.
pub(crate) fn revoke(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let name = name(arguments)?;
    let shelf = Shelf::make(&Places::of_process()?.state)?;
    let kept = shelf.revoke(&name, seconds())?;
    tell(&kept, &Whereabouts::AsSaid, arguments, voice)
}

/// Whether a token that was kept is there still.
#[derive(Debug, Eq, PartialEq)]
enum Whereabouts {
    /// It is, or is read from elsewhere.
    AsSaid,
    /// It is not.
    Gone,
    /// It could not be looked for.
    Unknown(String),
}

impl Whereabouts {
    fn of(shelf: &Shelf, kept: &Kept) -> Self {
        match shelf.is_gone(kept) {
            Ok(false) => Self::AsSaid,
            Ok(true) => Self::Gone,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                Self::Unknown(cause.unwrap_or_else(|| error.to_string()))
            }
        }
    }
}

fn name(arguments: &Arguments) -> Result<CredentialName, Failure> {
    Ok(CredentialName::parse(
        arguments.operand()?.unwrap_or_default(),
    )?)
}

fn terms(arguments: &Arguments) -> Result<Terms, Failure> {
    let known = arguments.text(&FOR).and_then(Known::of);
    let mut variables: Vec<_> = arguments.texts(&VARIABLE).map(str::to_owned).collect();
    if let Some(known) = known.as_ref().filter(|_| variables.is_empty()) {
        variables.extend(known.variables.iter().map(ToString::to_string));
    }
    let agents = arguments.texts(&FOR_AGENT).map(AgentName::parse);
    Ok(Terms {
        name: name(arguments)?,
        bound: bound(arguments, known.as_ref())?,
        variables,
        agents: agents.collect::<Result<_, _>>()?,
        source: source(arguments)?,
        expires: arguments.text(&EXPIRES).map(expires).transpose()?,
        user: user(arguments, known.as_ref()),
    })
}

/// Whom git says it is: what is said here, or what the service wants where git may go to it.
fn user(arguments: &Arguments, known: Option<&Known>) -> Option<String> {
    let given = arguments.text(&USER);
    // A path is one of its API's, as in `bound`.
    let known = known.filter(|_| !arguments.has(&PATH));
    given
        .or_else(|| known.and_then(|known| known.user))
        .map(str::to_owned)
}

/// Every host with every path: whichever it is, the token stands in the same place.
fn bound(arguments: &Arguments, known: Option<&Known>) -> Result<Vec<Binding>, Failure> {
    let slot = slot(arguments)?;
    let mut hosts = Vec::new();
    let ssh = arguments.text(&SSH);
    if ssh.is_none() && arguments.has(&KNOWN_HOSTS) {
        return Err(
            Failure::new("`--known-hosts` says by what hosts of SSH are known")
                .with_hint("use it with `--ssh`"),
        );
    }
    let usual = if ssh.is_some() { "22" } else { "443" };
    for text in arguments.texts(&HOST) {
        let (host, port) = host(text, usual)?;
        let slot = match ssh {
            Some(user) => known_by(arguments, user, &host, port)?,
            None => slot.clone().unwrap_or_else(authorization),
        };
        hosts.push((host, port, slot));
    }
    if let Some(known) = known {
        if !hosts.is_empty() || slot.is_some() || ssh.is_some() {
            return Err(Failure::new(
                "`--for` says to which hosts it goes and where it stands, as `--host` and its like do",
            )
            .with_hint("use either"));
        }
        let api = known.bound.first().map(|(host, _)| *host);
        // A path is one of its API's, and means something else where git asks.
        let is_meant = |host: &str| !arguments.has(&PATH) || api == Some(host);
        for (host, slot) in known.bound.iter().filter(|(host, _)| is_meant(host)) {
            hosts.push((Host::parse(host)?, 443, slot.clone()));
        }
    }
    if hosts.is_empty() {
        return Err(Failure::new("nothing says where it may go")
            .with_hint("name a host with `--host`, or a service with `--for`"));
    }
    let mut paths = arguments
        .texts(&PATH)
        .map(path)
        .collect::<Result<Vec<_>, _>>()?;
    if paths.is_empty() {
        paths.push(Vec::new());
    }
    let methods: Vec<_> = arguments.texts(&METHOD).map(str::to_owned).collect();
    let pairs = hosts
        .iter()
        .flat_map(|host| paths.iter().map(move |path| (host, path)));
    let binding = |((host, port, slot), path): (&(Host, u16, Slot), &Vec<String>)| Binding {
        host: host.clone(),
        port: *port,
        path: path.clone(),
        methods: methods.clone(),
        slot: slot.clone(),
    };
    Ok(pairs.map(binding).collect())
}

/// A key of SSH, for a host that is known by what a file says now. Whoever answers first is believed by nobody.
fn known_by(arguments: &Arguments, user: &str, host: &Host, port: u16) -> Result<Slot, Failure> {
    let hint = format!(
        "`ssh-keyscan -p {port} {host}` asks for them; compare what it says with what the host's owner does"
    );
    let Some(path) = arguments.text(&KNOWN_HOSTS) else {
        let text = "nothing says by which keys the host is known";
        return Err(
            Failure::new(text).with_hint(format!("name a file with `--known-hosts`; {hint}"))
        );
    };
    let read = std::fs::read_to_string(path);
    let text = read.map_err(|error| Failure::new(format!("`--known-hosts {path}`: {error}")))?;
    let host_keys = host_keys(&text, host, port);
    if host_keys.is_empty() {
        let text = format!("`--known-hosts {path}`: no line of it names `{host}` at port {port}");
        return Err(Failure::new(text).with_hint(hint));
    }
    Ok(Slot::Ssh {
        user: user.to_owned(),
        host_keys,
    })
}

fn authorization() -> Slot {
    Slot::Header {
        name: "authorization".to_owned(),
    }
}

fn slot(arguments: &Arguments) -> Result<Option<Slot>, Failure> {
    let header = arguments.text(&HEADER).map(|name| Slot::Header {
        name: name.to_ascii_lowercase(),
    });
    let query = arguments.text(&IN_QUERY).map(|name| Slot::Query {
        name: name.to_owned(),
    });
    let basic = arguments.has(&BASIC).then_some(Slot::Basic);
    let aws = arguments.has(&AWS).then_some(Slot::Aws);
    let mut given = [header, query, basic, aws].into_iter().flatten();
    let slot = given.next();
    let is_ssh = slot.is_some() && arguments.has(&SSH);
    match given.next() {
        None if !is_ssh => Ok(slot),
        None | Some(_) => Err(Failure::new("it stands in one place of a request")
            .with_hint("use one of `--header`, `--basic`, `--query`, `--aws`, `--ssh`")),
    }
}

/// A host with a port behind a colon, or for the usual one.
fn host(text: &str, usual: &'static str) -> Result<(Host, u16), Failure> {
    let divided = text.rsplit_once(':').filter(|(host, _)| {
        // Not within an IPv6 address that has no port.
        !host.contains(':') || host.ends_with(']')
    });
    let (name, port) = divided.unwrap_or((text, usual));
    let is_bare = name.contains(':') && !name.starts_with('[');
    let name = match is_bare {
        true => Cow::Owned(format!("[{name}]")),
        false => Cow::Borrowed(name),
    };
    let number = port.parse().ok().filter(|number| *number != 0);
    let wrong = || Failure::new(format!("`--host {text}`: `{port}` is no port"));
    let port: u16 = number.ok_or_else(wrong)?;
    let host = Host::parse(&name).map_err(|error| {
        Failure::new(format!("`--host {text}`: {error}"))
            .with_hint("name one host; a token goes to no pattern of hosts")
    })?;
    Ok((host, port))
}

fn path(text: &str) -> Result<Vec<String>, Failure> {
    let wrong = || {
        Failure::new(format!("`--path {text}`: it begins with `/`"))
            .with_hint("write `/repos/acme/**` in quotes, as the request has it, decoded")
    };
    let parts = text.strip_prefix('/').ok_or_else(wrong)?;
    Ok(parts.split('/').map(str::to_owned).collect())
}

fn source(arguments: &Arguments) -> Result<Source, Failure> {
    let mut given = Vec::new();
    if arguments.has(&FROM_STDIN) {
        let keeping = keeping(arguments)?;
        given.push(Source::Kept { keeping });
    }
    if let Some(path) = arguments.text(&FROM_FILE) {
        let path = std::path::absolute(path)?;
        given.push(Source::File { path });
    }
    if let Some(name) = arguments.text(&FROM_ENV) {
        let name = name.to_owned();
        given.push(Source::Variable { name });
    }
    if let Some(description) = arguments.text(&FROM_KEYRING) {
        let description = description.to_owned();
        given.push(Source::Keyring { description });
    }
    if let Some(words) = arguments.text(&FROM_COMMAND) {
        let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        let search = std::env::var_os("PATH").unwrap_or_default();
        let search: Vec<PathBuf> = std::env::split_paths(&search).collect();
        given.push(Source::command(&words, &search)?);
    }
    let mut given = given.into_iter();
    match (given.next(), given.next()) {
        (None, _) if std::io::stdin().is_terminal() => {
            Err(Failure::new("nothing says where the token is").with_hint(
                "pipe it in, or use `--from-file`, `--from-env`, `--from-keyring` or `--from-command`; it is never an argument",
            ))
        }
        (None, _) => Ok(Source::Kept {
            keeping: keeping(arguments)?,
        }),
        (Some(Source::Kept { keeping }), None) => Ok(Source::Kept { keeping }),
        (Some(_), None) if arguments.has(&KEEP) || arguments.has(&IDENTITY) => {
            Err(Failure::new("only what is handed over on stdin is kept")
                .with_hint("leave `--keep` and `--identity` out: it is read from where it is"))
        }
        (Some(source), None) => Ok(source),
        (Some(_), Some(_)) => {
            Err(Failure::new("the token is in one place").with_hint("use one `--from-…`"))
        }
    }
}

/// Where it is kept. A file of the guard's unless somebody says otherwise: it is there after a restart with nobody at
/// hand, and needs nothing else.
fn keeping(arguments: &Arguments) -> Result<Keeping, Failure> {
    let identity = arguments.text(&IDENTITY);
    match (arguments.text(&KEEP), identity) {
        (None | Some("file"), None) => Ok(Keeping::File),
        (Some("keyring"), None) => Ok(Keeping::Keyring),
        (Some("age"), Some(path)) => {
            let identity = std::path::absolute(path)?;
            Ok(Keeping::Age { identity })
        }
        (Some("age"), None) => Err(Failure::new("nothing says what opens it again").with_hint(
            "name a file that `age-keygen` wrote with `--identity`; it is read at each session's start",
        )),
        (_, _) => Err(Failure::new("`--identity` opens what `--keep age` keeps")
            .with_hint("use both, or neither")),
    }
}

/// What stands on stdin.
fn handed() -> Result<Secret, Failure> {
    // Room for all of it: a vector that grows leaves what it held behind.
    let mut bytes = Vec::with_capacity(usize::try_from(MOST)? + 32);
    let read = std::io::stdin().lock().take(MOST).read_to_end(&mut bytes);
    // Wiped when dropped, whatever came of it.
    let whole = Secret::new(bytes);
    read?;
    Ok(trimmed(whole.danger_reveal()))
}

fn expires(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::new(format!("`--expires {text}` is no time"))
            .with_hint("write `90s`, `15m`, `2h` or `7d`")
    };
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let after = number.checked_mul(unit).filter(|after| *after > 0);
    after
        .and_then(|after| seconds().checked_add(after))
        .ok_or_else(wrong)
}

fn seconds() -> u64 {
    SystemClock.now().unix_micros / 1_000_000
}

fn tell(
    kept: &Kept,
    whereabouts: &Whereabouts,
    arguments: &Arguments,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    if arguments.has(&JSON) {
        let mut object = object(kept)?;
        let is_gone = *whereabouts == Whereabouts::Gone;
        if let (true, Some(object)) = (is_gone, object.as_object_mut()) {
            object.insert("gone".to_owned(), true.into());
        }
        voice.json(&object)?;
        return Ok(Exit::Done);
    }
    let terms = &kept.terms;
    voice.line(&format!("credential  {}{}", terms.name, state(kept)))?;
    for binding in &terms.bound {
        voice.line(&format!("goes to     {}", goes_to(binding)))?;
    }
    for variable in &terms.variables {
        voice.line(&format!("variable    {variable}"))?;
    }
    for agent in &terms.agents {
        voice.line(&format!("agent       {agent}"))?;
    }
    if let Some(user) = &terms.user {
        voice.line(&format!("git's user  {user}"))?;
    }
    let told = match whereabouts {
        Whereabouts::AsSaid => String::new(),
        Whereabouts::Gone => "; it is gone from there: add it again".to_owned(),
        Whereabouts::Unknown(why) => format!("; whether it is there still is not known: {why}"),
    };
    // What was kept is removed, and what is read elsewhere is not read again.
    let no_longer = if kept.revoked.is_some() {
        "no longer "
    } else {
        ""
    };
    let source = terms.source.describe();
    voice.line(&format!("token       {no_longer}{source}{told}"))?;
    let used = kept
        .used
        .map(|used| format!(", last before {}", time(used)));
    let used = used.unwrap_or_default();
    voice.line(&format!("used        {} times{used}", kept.uses))?;
    Ok(Exit::Done)
}

/// As it is kept, with times and hosts as they stand everywhere else.
fn object(kept: &Kept) -> Result<Value, Failure> {
    let mut object = serde_json::to_value(kept)?;
    for name in ["added", "expires", "revoked", "used"] {
        if let Some(value) = object.get_mut(name)
            && let Some(seconds) = value.as_u64()
        {
            *value = time(seconds).into();
        }
    }
    let bound = object.get_mut("bound").and_then(Value::as_array_mut);
    for (shown, binding) in bound.into_iter().flatten().zip(&kept.terms.bound) {
        if let Some(host) = shown.get_mut("host") {
            *host = binding.host.to_string().into();
        }
    }
    Ok(object)
}

fn state(kept: &Kept) -> String {
    match (kept.revoked, kept.terms.expires) {
        (Some(at), _) => format!("  revoked at {}", time(at)),
        (None, Some(at)) if at <= seconds() => format!("  expired at {}", time(at)),
        (None, Some(at)) => format!("  until {}", time(at)),
        (None, None) => String::new(),
    }
}

fn time(seconds: u64) -> String {
    Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000)).0
}

/// Of which types the keys of a host are.
fn types(host_keys: &[String]) -> String {
    let types = host_keys.iter().filter_map(|key| key.split(' ').next());
    types.collect::<Vec<_>>().join(", ")
}

fn goes_to(binding: &Binding) -> String {
    let slot = match &binding.slot {
        Slot::Header { name } => format!("in the header `{name}`"),
        Slot::Basic => "as Basic authentication".to_owned(),
        Slot::Query { name } => format!("as `{name}` of the query"),
        Slot::Aws => "as the key that signs for AWS".to_owned(),
        Slot::Ssh { user, host_keys } => format!(
            "over SSH as `{user}`, where it is known by {}",
            types(host_keys)
        ),
    };
    let methods = match binding.methods.is_empty() {
        true => String::new(),
        false => format!("{} ", binding.methods.join("|")),
    };
    let path = match binding.path.is_empty() {
        true => String::new(),
        false => format!("/{}", binding.path.join("/")),
    };
    let usual = if binding.slot.is_ssh() { 22 } else { 443 };
    let port = match binding.port {
        port if port == usual => String::new(),
        port => format!(":{port}"),
    };
    format!(
        "{methods}{}{port}{path} {slot}",
        binding.host.to_authority()
    )
}
