//! From what is asked for to what will be enforced: the session, its confinement, and the mediator's
//! plan.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use agentguard_audit::Places;
use agentguard_core::{
    Agent, AgentName, Held, Human, Level, Rule, Salt, Session, SessionId, Trigger,
};
use agentguard_credentials::AgentKey;
use agentguard_egress::Settings;
use agentguard_policy::{Confined, Policies, Request, Sources};
use agentguard_sandbox::{
    Elsewhere, InsideFile, Plan, SessionGroup, User, named_outside, replaceable,
};

use crate::denied::Denied;
use crate::environment;
use crate::layout::{Layout, refuse_level};
use crate::programs::Programs;
use crate::{Error, Run, gated, human, signing, trailers, workspace};

/// Where an organisation's policy lies.
const ORGANISATION: &str = "/etc/agentguard/policy";
/// Where a repository's policy lies, relative to it.
const REPOSITORY: &str = ".agentguard/policy";
/// Users for sessions that root starts are looked for from here on: dynamic ids of no package.
const FIRST_USER: u32 = 61_500;
const LAST_USER: u32 = 64_999;
const DEFAULT_AGENT: &str = "local";

/// Everything about a session that is decided before it begins.
pub struct Arranged {
    /// The session.
    pub session: Session,
    /// What policy makes of it.
    pub confined: Confined,
    /// The policies that decide.
    pub policies: Policies,
    /// What the mediator will set up.
    pub plan: Plan,
    /// What is the session's alone, and goes with it.
    pub(crate) own: PathBuf,
    /// Held until the session has a log.
    pub(crate) starting: File,
    /// The cgroup that holds its bounds, where one can be had.
    pub(crate) group: Option<SessionGroup>,
    pub(crate) key: AgentKey,
    pub(crate) denied: Denied,
    /// What its gate will be told, where it is to have one.
    pub(crate) gate: Option<Settings>,
    pub(crate) programs: Programs,
    /// Why its commits are not signed, or do not name it, where policy would have it so, or git does not work.
    pub(crate) off: Vec<Rule>,
}

impl Arranged {
    /// Arranges a session for `run`. Nothing is started, and nothing recorded.
    ///
    /// # Errors
    ///
    /// Returns what keeps the session from being arranged.
    pub fn new(places: &Places, run: &Run) -> Result<Self, Error> {
        refuse_mask()?;
        refuse_level(run)?;
        let human_home = human_home()?;
        let directory = workspace::resolve(&run.workspace, &human_home, places)?;
        let policies = Policies::load(&sources(places, run.policy.as_deref(), &directory)?)?;
        let key = AgentKey::load_or_create(&places.state, &agent_name(run)?)?;
        let (human, trigger) = human::of_process(run.by.as_deref())?;
        let session = session(key.agent(), human, trigger, &directory)?;
        let mut confined = policies.confine(&request(run, &session, &human_home, &directory)?)?;
        let seconds = &mut confined.confinement.limits.seconds;
        *seconds = seconds.iter().copied().chain(run.seconds).min();
        let mut programs = Programs::load(&places.state);
        let search = environment::search_path(std::env::var_os("PATH"));
        let denied = Denied::find(&confined.denied_programs, &search, &mut programs);
        let seen: Vec<_> = denied
            .paths
            .iter()
            .filter(|path| environment::is_seen(&confined.confinement, path))
            .cloned()
            .collect();
        confined.confinement.masks.extend(seen);
        let off = [
            signing::look(places, &session.id, &mut confined.confinement, &search),
            trailers::look(&mut confined.confinement),
            workspace::without_git(&directory, &human_home),
        ];
        // Not for policy to say: a directory of that name is where git works, and cannot be held whole.
        if workspace::names_its_repository(&directory) {
            confined.confinement.pins.push(PathBuf::from(".git"));
        }
        let names = (&session.id, &session.agent.name);
        let layout = Layout::make(places, names, &mut confined.confinement, &human_home)?;
        let group = group(&session, &mut confined);
        let private = |name: &str| private_directory(places, name);
        let gate = gated::settings(&session.id, &confined.confinement, private)?;
        let homes = (human_home.as_path(), directory.as_path());
        let mut plan = plan(run, &session, (&confined, &layout), homes, &programs)?;
        plan.turns = Some(private("turns")?);
        if let Some(gate) = &gate {
            match confined.confinement.level {
                Level::Full => plan.files.extend(gated::files(gate, &confined.confinement)),
                // Nothing covers the system's own files there.
                Level::NoNamespaces | Level::OldKernel => {
                    std::fs::write(&layout.inside.certificates, gate.bundle())
                        .map_err(Error::doing("write the session's list of authorities"))?;
                }
            }
        }
        Ok(Self {
            session,
            confined,
            policies,
            plan,
            own: layout.session,
            starting: layout.starting,
            group,
            key,
            denied,
            gate,
            programs,
            off: off.into_iter().flatten().collect(),
        })
    }
}

/// Makes the cgroup that bounds the session as a whole. Where there is none to be had each process is
/// bounded by itself, and the session's first entry says so.
fn group(session: &Session, confined: &mut Confined) -> Option<SessionGroup> {
    let limits = &mut confined.confinement.limits;
    let group = SessionGroup::make(session.id.as_str(), limits).ok();
    limits.held = match group {
        Some(_) => Held::Session,
        None => Held::Process,
    };
    group
}

fn human_home() -> Result<PathBuf, Error> {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute());
    let home = home.filter(|home| home.parent().is_some());
    let missing = || std::io::Error::other("`HOME` names no directory of yours");
    home.map(|home| workspace::real(&home))
        .ok_or_else(missing)
        .map_err(Error::doing("find your home"))
}

/// Where programs find settings of the human's (XDG Base Directory Specification).
fn settings_home(home: &Path) -> PathBuf {
    let named = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let named = named.filter(|path| path.is_absolute());
    named.unwrap_or_else(|| home.join(".config"))
}

/// Before anything is made: what could not be opened again would stay behind.
fn refuse_mask() -> Result<(), Error> {
    const OWNER: u32 = 0o700;
    match own_mask() {
        Some(mask) if mask & OWNER != 0 => Err(Error::Mask { mask }),
        Some(_) | None => Ok(()),
    }
}

/// This process's mask. umask(2) tells it only to who sets it, which other threads would notice.
fn own_mask() -> Option<u32> {
    let status = std::fs::read("/proc/self/status").ok()?;
    let status = String::from_utf8_lossy(&status);
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(mask.trim(), 8).ok()
}

/// Where git would find the human's settings, as the human's own environment says (git-config(1)).
fn git_elsewhere(home: &Path) -> Elsewhere<'_> {
    /// So many settings are read that stand in variables.
    const MOST_ALONE: usize = 256;
    let named = ["GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL"];
    let named = named.into_iter().filter_map(std::env::var_os);
    let usual = [
        settings_home(home).join("git/config"),
        home.join(".gitconfig"),
    ];
    let one = |number| {
        let variable = |word| std::env::var_os(format!("GIT_CONFIG_{word}_{number}"));
        variable("KEY").zip(variable("VALUE"))
    };
    let by_variables = BY_VARIABLES.into_iter();
    let by_variables = by_variables.filter_map(|(variable, setting)| {
        let value = std::env::var_os(variable)?;
        Some((setting.into(), value))
    });
    Elsewhere {
        home,
        files: usual.into_iter().chain(named.map(PathBuf::from)).collect(),
        alone: (0..MOST_ALONE).map_while(one).chain(by_variables).collect(),
    }
}

/// Variables by which git runs programs, each with the setting that says the same (git(1), "Environment Variables").
const BY_VARIABLES: [(&str, &str); 13] = [
    ("EDITOR", "core.editor"),
    ("GIT_ASKPASS", "core.askPass"),
    ("GIT_EDITOR", "core.editor"),
    ("GIT_EXTERNAL_DIFF", "diff.external"),
    ("GIT_PAGER", "core.pager"),
    ("GIT_PROXY_COMMAND", "core.gitProxy"),
    ("GIT_SEQUENCE_EDITOR", "sequence.editor"),
    ("GIT_SSH", "core.sshCommand"),
    ("GIT_SSH_COMMAND", "core.sshCommand"),
    ("GIT_TEMPLATE_DIR", "init.templateDir"),
    ("PAGER", "core.pager"),
    ("SSH_ASKPASS", "core.askPass"),
    ("VISUAL", "core.editor"),
];

fn agent_name(run: &Run) -> Result<AgentName, Error> {
    let unnamed = |error| Error::doing("name the agent")(std::io::Error::other(error));
    run.agent
        .clone()
        .map_or_else(|| AgentName::parse(DEFAULT_AGENT).map_err(unnamed), Ok)
}

/// The policies that hold for a session in `workspace`. Only what has no name there is absent: a policy that cannot be
/// looked at, or a link that leads nowhere, is one that cannot be read.
pub(crate) fn sources(
    places: &Places,
    user: Option<&Path>,
    workspace: &Path,
) -> Result<Sources, Error> {
    let there = |path: PathBuf| match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Ok(_) | Err(_) => Some(path),
    };
    let sources = Sources {
        org: there(PathBuf::from(ORGANISATION)),
        user: user
            .map(Path::to_owned)
            .or_else(|| there(places.config.join("policy"))),
        repository: there(workspace.join(REPOSITORY)),
    };
    sources.check_organisation()?;
    Ok(sources)
}

/// A word that nobody can guess.
///
/// # Errors
///
/// Returns an error where the system gives no random bytes.
pub fn random_word() -> Result<String, Error> {
    Ok(Salt(random()?).to_hex())
}

pub(crate) fn random() -> Result<[u8; 16], Error> {
    let mut random = [0; 16];
    let failed = |error| Error::doing("get random bytes")(std::io::Error::other(error));
    getrandom::fill(&mut random).map_err(failed)?;
    Ok(random)
}

fn session(
    agent: Agent,
    human: Human,
    trigger: Trigger,
    workspace: &Path,
) -> Result<Session, Error> {
    Ok(Session {
        id: SessionId::from_random(random()?),
        human,
        agent,
        trigger,
        workspace: workspace.to_string_lossy().into_owned(),
        branch: None,
    })
}

fn request(
    run: &Run,
    session: &Session,
    human_home: &Path,
    workspace: &Path,
) -> Result<Request, Error> {
    let git = workspace::git_directories(workspace)?;
    Ok(Request {
        session: session.clone(),
        human_home: human_home.to_owned(),
        home: human_home.to_owned(),
        profile: run.profile.clone(),
        command: run
            .command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        level: run.level,
        network: run.network,
        ports: run.ports.clone(),
        environment: run.environment.clone(),
        git_directories: git.own,
        other_git_directories: git.others,
    })
}

fn plan(
    run: &Run,
    session: &Session,
    (confined, layout): (&Confined, &Layout),
    (human_home, workspace): (&Path, &Path),
    programs: &Programs,
) -> Result<Plan, Error> {
    let confinement = confined.confinement.clone();
    let own = rustix::process::getuid();
    let (become_user, login, mut files) = if own.is_root() {
        let (user, files) = agent_user(&confinement.home)?;
        (Some(user), "agent".to_owned(), files)
    } else {
        let login = human::login_of(own.as_raw()).unwrap_or_else(|| own.as_raw().to_string());
        (None, login, Vec::new())
    };
    let rules = rules_text(&confined.covered);
    match confinement.level {
        Level::Full => files.push(InsideFile {
            path: layout.inside.rules.clone(),
            content: rules.into_bytes(),
        }),
        Level::NoNamespaces | Level::OldKernel => std::fs::write(&layout.inside.rules, rules)
            .map_err(Error::doing("write the session's rules"))?,
    }
    let environment = environment::of_agent(
        (&confinement, &layout.inside),
        (&session.id, &session.agent.name),
        &login,
        std::env::vars_os(),
    );
    Ok(Plan {
        replaceable: replaceable(&confinement),
        confinement,
        private_home: layout.home.clone(),
        temporary: layout.temporary.clone(),
        signing: None,
        human_home: human_home.to_owned(),
        directory: workspace.to_owned(),
        command: confined
            .profile
            .command(&run.command)
            .iter()
            .map(|word| word.as_bytes().to_vec())
            .collect(),
        environment,
        become_user,
        files,
        hooks: None,
        turns: None,
        named: named_outside(workspace, &git_elsewhere(human_home)),
        identities: programs.list(),
        without: Vec::new(),
    })
}

/// A directory below the state that is the agent's inside: its home, which stays from session to session,
/// or its temporary directory.
pub(crate) fn private_directory(
    places: &Places,
    below: impl AsRef<Path>,
) -> Result<PathBuf, Error> {
    let path = places.state.join(below);
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path);
    // An earlier session could have closed its own home to itself, and to every later one.
    let open = |()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700));
    made.and_then(open)
        .map_err(Error::doing(format!("make `{}`", path.display())))?;
    Ok(path)
}

/// A user that the system does not know, for sessions that root starts.
pub(crate) fn user_for_agents() -> Result<User, Error> {
    let (users, groups) = users_and_groups()?;
    free_user(&users, &groups)
}

fn users_and_groups() -> Result<(String, String), Error> {
    let read =
        |path: &str| std::fs::read_to_string(path).map_err(Error::doing(format!("read `{path}`")));
    Ok((read("/etc/passwd")?, read("/etc/group")?))
}

fn free_user(users: &str, groups: &str) -> Result<User, Error> {
    let is_taken = |id: u32| {
        let id = id.to_string();
        users
            .lines()
            .chain(groups.lines())
            .any(|line| line.split(':').nth(2) == Some(id.as_str()))
    };
    let none = || {
        std::io::Error::other(format!(
            "every user id from {FIRST_USER} to {LAST_USER} is taken"
        ))
    };
    let id = (FIRST_USER..=LAST_USER)
        .find(|id| !is_taken(*id))
        .ok_or_else(none)
        .map_err(Error::doing("find a user for the agent"))?;
    Ok(User { uid: id, gid: id })
}

/// Such a user, and the lists that name it inside.
fn agent_user(home: &Path) -> Result<(User, Vec<InsideFile>), Error> {
    let (users, groups) = users_and_groups()?;
    let user = free_user(&users, &groups)?;
    let id = user.uid;
    let without = |list: &str| {
        list.lines()
            .filter(|line| !line.starts_with("agent:"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let files = vec![
        InsideFile {
            path: "/etc/passwd".into(),
            content: format!(
                "{}agent:x:{id}:{id}:agent:{}:/bin/sh\n",
                without(&users),
                home.display()
            )
            .into_bytes(),
        },
        InsideFile {
            path: "/etc/group".into(),
            content: format!("{}agent:x:{id}:\n", without(&groups)).into_bytes(),
        },
    ];
    Ok((user, files))
}

/// The static rules as the agent can read them.
fn rules_text(covered: &[Rule]) -> String {
    let mut text =
        String::from("# What this session refuses without a word, as the kernel says it.\n");
    for rule in covered {
        text.push_str(&format!("{}: {}\n", rule.id, rule.reason));
        if let Some(remedy) = &rule.remedy {
            text.push_str(&format!("    instead: {remedy}\n"));
        }
    }
    text
}
