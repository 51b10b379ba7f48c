//! The Landlock domains: D1 for the mediator, and D2, nested in it, for the agent.
//!
//! Both grant the same paths; D1 may also read the caller's `/proc`. D2 must be *inherited* from D1:
//! the same rules applied in two processes are no nesting, and the mediator could not trace the agent.
//!
//! Whoever enters one gets no_new_privs along with it (landlock(7)): nobody sets it besides.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use agentguard_core::{Access as Granted, Grant, Network};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::error::{Failure, Step as _};
use crate::granted::{self, May};
use crate::plan::Plan;
use crate::sys;

/// The least that `full` builds on: renames, links and truncation are covered (Linux 6.2).
const LEAST: ABI = ABI::V3;
/// [`LEAST`] as the kernel counts.
pub(crate) const LEAST_VERSION: i32 = 3;
/// The version that brought scopes (Linux 6.12).
pub(crate) const SCOPES: i32 = 6;
/// The newest this table knows; the kernel gives what it has.
const NEWEST: ABI = ABI::V6;

/// Directories that every session may write, besides its workspace, home and grants.
const PRIVATE: [&str; 5] = ["/tmp", "/var/tmp", "/dev/shm", "/dev/pts", "/dev/tty"];
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];
const READABLE: [&str; 9] = [
    "/proc",
    "/run",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/lib32",
    "/libx32",
    "/etc/resolv.conf",
];

/// Domains to be entered, the agent's in the mediator's.
pub(crate) struct Domains {
    pub(crate) mediator: Domain,
    pub(crate) agent: Domain,
}

/// A domain to be entered.
pub(crate) struct Domain(RulesetCreated);

impl Domain {
    /// Enters it, for good.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        let created = self.0.try_clone().map_err(failed)?;
        let status = created.restrict_self().map_err(failed)?;
        match status.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Err(Failure::new(
                "enter the Landlock domain",
                "the kernel enforces nothing of it",
            )),
        }
    }
}

/// Prepares the domains of a session in its own root. The mediator's may also read `outside_proc`.
///
/// Both at once, so that every path is opened once, and the agent has only to enter.
pub(crate) fn prepare(plan: &Plan, outside_proc: BorrowedFd<'_>) -> Result<Domains, Failure> {
    let everything = AccessFs::from_all(NEWEST);
    let reading = AccessFs::from_read(NEWEST);
    let mut rules = Rules {
        created: vec![create()?, create()?],
    };
    rules.add_path(Path::new("/"), AccessFs::ReadDir.into())?;
    for path in READABLE {
        rules.add_path(Path::new(path), reading)?;
    }
    for Grant { path, access } in plan.confinement.trees() {
        rules.add_path(
            &path,
            if access == Granted::Write {
                everything
            } else {
                reading
            },
        )?;
    }
    for path in PRIVATE {
        rules.add_path(Path::new(path), everything)?;
    }
    for path in DEVICES {
        rules.add_path(Path::new(path), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    let mut mediator = Rules {
        created: rules.created.split_off(1),
    };
    mediator.add(outside_proc, AccessFs::ReadFile | AccessFs::ReadDir)?;
    Ok(Domains {
        mediator: Domain(mediator.into_one()?),
        agent: Domain(rules.into_one()?),
    })
}

/// Says that this process is in a domain past which no signal of its goes. Made only where that was tried, and
/// true from then on: no domain is ever left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scoped(());

impl Scoped {
    /// Tries it on a process outside of the domain that this one could signal without it.
    fn prove(outsider: Pid) -> Result<Self, Failure> {
        match test_kill_process(outsider) {
            Err(Errno::PERM) => Ok(Self(())),
            Ok(()) | Err(_) => Err(Failure::new(SCOPE, "signals still go past it")),
        }
    }
}

const SCOPE: &str = "enter a domain of signals of its own";

/// Enters a domain that holds signals and abstract sockets, and nothing else. `outsider` is a process
/// outside of it.
pub(crate) fn enter_scope(outsider: Pid) -> Result<Scoped, Failure> {
    enter_bare(scope()?)?;
    Scoped::prove(outsider)
}

/// Enters the agent's domain of a session without namespaces, within the mediator's: with no network of its
/// own it may neither bind nor connect.
pub(crate) fn enter_nested(network: Network) -> Result<(), Failure> {
    let scope = scope()?;
    enter_bare(match network {
        Network::Isolated | Network::Gated => scope
            .handle_access(AccessNet::from_all(NEWEST))
            .map_err(failed)?,
        Network::Host => scope,
    })
}

fn scope() -> Result<Ruleset, Failure> {
    require(SCOPES)?;
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.scope(Scope::from_all(NEWEST)).map_err(failed)
}

/// Enters a domain that holds nothing of files. Moving them between directories is refused in every domain
/// that does not grant it (landlock(7), `LANDLOCK_ACCESS_FS_REFER`).
fn enter_bare(ruleset: Ruleset) -> Result<(), Failure> {
    let held = ruleset.handle_access(AccessFs::Refer).map_err(failed)?;
    let mut rules = Rules {
        created: vec![held.create().map_err(failed)?],
    };
    rules.add_path(Path::new("/"), AccessFs::Refer.into())?;
    whole(rules.into_one()?.restrict_self().map_err(failed)?.ruleset)
}

/// Enters the mediator's domain of a session without namespaces, in which the agent's will be: what is
/// granted, at its place on the host.
pub(crate) fn enter_granted(plan: &Plan, outsider: Pid) -> Result<Scoped, Failure> {
    let mut rules = Rules {
        created: vec![create()?],
    };
    granted::each(plan, &mut |file, may| {
        let access = match may {
            May::Read => AccessFs::from_read(NEWEST),
            May::List => AccessFs::ReadDir.into(),
            May::Use => AccessFs::ReadFile | AccessFs::WriteFile,
            May::Change => AccessFs::from_all(NEWEST),
        };
        rules.add(file, access)
    })?;
    whole(rules.into_one()?.restrict_self().map_err(failed)?.ruleset)?;
    Scoped::prove(outsider)
}

/// Of scopes nothing may be left out: what is built on them would end processes of others.
fn whole(status: RulesetStatus) -> Result<(), Failure> {
    match status {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => {
            Err(Failure::new(SCOPE, "the kernel does not enforce all of it"))
        }
    }
}

/// Gives up every right to files and to signals: for the session's pid 1, which needs none.
pub(crate) fn enter_empty() -> Result<(), Failure> {
    create()?.restrict_self().map(|_| ()).map_err(failed)
}

/// Refuses a kernel whose Landlock is older than this version.
pub(crate) fn require(least: i32) -> Result<(), Failure> {
    const STEP: &str = "ask for Landlock's version";
    match sys::landlock_version().step(STEP)? {
        version if version < least => {
            let reason = format!("the kernel has version {version}, and this takes {least}");
            Err(Failure::new(STEP, reason))
        }
        _ => Ok(()),
    }
}

fn create() -> Result<RulesetCreated, Failure> {
    require(LEAST_VERSION)?;
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))
        .map_err(failed)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .map_err(failed)?
        .scope(Scope::from_all(NEWEST))
        .map_err(failed)?
        .create()
        .map_err(failed)
}

/// Domains that are given the same rules.
struct Rules {
    created: Vec<RulesetCreated>,
}

impl Rules {
    fn into_one(mut self) -> Result<RulesetCreated, Failure> {
        let none = || Failure::new("enter the Landlock domain", "there is none");
        self.created.pop().ok_or_else(none)
    }

    /// A path that does not exist inside needs no rule.
    fn add_path(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), Failure> {
        match fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(descriptor) => self.add(descriptor.as_fd(), access),
            Err(_) => Ok(()),
        }
    }

    fn add(
        &mut self,
        descriptor: BorrowedFd<'_>,
        access: BitFlags<AccessFs>,
    ) -> Result<(), Failure> {
        let stat = fs::fstat(descriptor).map_err(failed)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let access = if is_directory {
            access
        } else {
            access & AccessFs::from_file(NEWEST)
        };
        for created in &mut self.created {
            let rule = PathBeneath::new(descriptor, access);
            created.add_rule(rule).map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(error: impl std::error::Error) -> Failure {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    Failure::new("enter the Landlock domain", reason)
}
