//! The Landlock domains: D1 for the mediator, and D2, nested in it, for the agent.
//!
//! Both grant the same paths; D1 may also read the caller's `/proc`. D2 must be *inherited* from D1:
//! the same rules applied in two processes are no nesting, and the mediator could not trace the agent.

use std::os::fd::BorrowedFd;
use std::path::Path;

use agentguard_core::{Access as Granted, Grant};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{self, FileType, Mode, OFlags};

use crate::error::Failure;
use crate::plan::Plan;

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

/// Enters a domain. With `outside_proc` it is the mediator's, else the agent's.
pub(crate) fn enter(plan: &Plan, outside_proc: Option<BorrowedFd<'_>>) -> Result<(), Failure> {
    let everything = AccessFs::from_all(NEWEST);
    let reading = AccessFs::from_read(NEWEST);
    let mut rules = Rules { created: create()? };
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
    if let Some(proc) = outside_proc {
        rules.add(proc, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    let status = rules.created.restrict_self().map_err(failed)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(Failure::new(
            "enter the Landlock domain",
            "the kernel enforces nothing of it",
        )),
    }
}

/// Gives up every right to files and to signals: for the session's pid 1, which needs none.
pub(crate) fn enter_empty() -> Result<(), Failure> {
    create()?.restrict_self().map(|_| ()).map_err(failed)
}

fn create() -> Result<RulesetCreated, Failure> {
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

struct Rules {
    created: RulesetCreated,
}

impl Rules {
    /// A path that does not exist inside needs no rule.
    fn add_path(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), Failure> {
        match fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(descriptor) => {
                use std::os::fd::AsFd as _;
                self.add(descriptor.as_fd(), access)
            }
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
        (&mut self.created)
            .add_rule(PathBeneath::new(descriptor, access))
            .map_err(failed)?;
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
