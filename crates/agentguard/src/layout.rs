//! Where a session's own directories lie, and where its processes find them.
//!
//! With mounts they appear where programs look for them. Without, they lie where they lie: the environment
//! leads there, and what of the human's home is granted is linked to from the agent's.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use agentguard_audit::Places;
use agentguard_core::{Access, AgentName, Confinement, Grant, Level, Network, SessionId};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::arrange::private_directory;
use crate::environment::{Own, RULES};
use crate::trusted::CERTIFICATES;
use crate::{Error, Run, temporary, workspace};

/// Where mounts put the session's temporary directory.
const TEMPORARY: &str = "/var/tmp";

/// The directories of one session.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The agent's home, on the host.
    pub(crate) home: PathBuf,
    /// The session's temporary directory, on the host.
    pub(crate) temporary: PathBuf,
    /// What is the session's alone, and is removed with it.
    pub(crate) session: PathBuf,
    /// Where its processes find them.
    pub(crate) inside: Own,
    /// Keeps others from taking them for those of a session that is over, until it has a log.
    pub(crate) starting: File,
}

/// Refuses a level that cannot be had for this run, whatever the machine can enforce.
pub(crate) fn refuse_level(run: &Run) -> Result<(), Error> {
    let refused = |reason, remedy| {
        Err(Error::Level {
            level: run.level,
            reason,
            remedy,
        })
    };
    match run.level {
        Level::Full => Ok(()),
        Level::OldKernel => refused(
            "there an agent could signal and end its guard, so that nothing could be promised",
            "run without --level; `agentguard doctor` says what this machine can enforce",
        ),
        Level::NoNamespaces if rustix::process::getuid().is_root() => refused(
            "root can show its files to no other user without mounts, and an agent must not be root",
            "start agentguard as an ordinary user that owns the workspace",
        ),
        Level::NoNamespaces if run.network != Some(Network::Host) && !run.ports.is_empty() => {
            refused(
                "without a network of its own a session has no loopback on which a port could appear",
                "run without --port, or with --network=host, or at level `full`",
            )
        }
        Level::NoNamespaces => Ok(()),
    }
}

impl Layout {
    /// Makes the directories of a session at the level of its confinement.
    pub(crate) fn make(
        places: &Places,
        (session, agent): (&SessionId, &AgentName),
        confinement: &mut Confinement,
        human_home: &Path,
    ) -> Result<Self, Error> {
        let (own, starting) = temporary::make(places, session)?;
        if confinement.level == Level::Full {
            return Ok(Self {
                home: private_directory(places, Path::new("homes").join(agent.as_str()))?,
                temporary: own.clone(),
                session: own,
                inside: Own {
                    temporary: TEMPORARY.into(),
                    rules: RULES.into(),
                    certificates: CERTIFICATES.into(),
                },
                starting,
            });
        }
        let home = private_directory(places, Path::new("plain-homes").join(agent.as_str()))?;
        let (home, own) = (workspace::real(&home), workspace::real(&own));
        let made = lay_out(confinement, &home, human_home);
        made.map_err(Error::doing(format!("lay out `{}`", home.display())))?;
        let temporary = own.join("tmp");
        std::fs::create_dir(&temporary)
            .map_err(Error::doing(format!("make `{}`", temporary.display())))?;
        let (rules, certificates) = (own.join("rules"), own.join("certificates.pem"));
        for path in [&rules, &certificates] {
            confinement.grants.push(Grant {
                path: path.clone(),
                access: Access::Read,
            });
        }
        Ok(Self {
            home,
            temporary: temporary.clone(),
            session: own,
            inside: Own {
                temporary,
                rules,
                certificates,
            },
            starting,
        })
    }
}

/// Makes what is granted of the human's home a grant at its own place, to which the agent's home has links.
fn lay_out(confinement: &mut Confinement, home: &Path, human_home: &Path) -> std::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = fs::open(home, flags, Mode::empty())?;
    for grant in std::mem::take(&mut confinement.home_grants) {
        let path = human_home.join(&grant.path);
        if path.exists() {
            link(opened.as_fd(), &grant.path, &path)?;
        }
        confinement.grants.push(Grant {
            path,
            access: grant.access,
        });
    }
    confinement.home = home.to_owned();
    Ok(())
}

/// Links `name` in the agent's home to `target`. What an agent left there stays: it is the agent's own.
fn link(home: BorrowedFd<'_>, name: &Path, target: &Path) -> std::io::Result<()> {
    let Some(last) = name.file_name() else {
        return Ok(());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mut directory = fs::openat2(home, ".", flags, Mode::empty(), beneath)?;
    for part in name.parent().into_iter().flat_map(Path::components) {
        match fs::mkdirat(&directory, part.as_os_str(), Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        directory = match fs::openat2(&directory, part.as_os_str(), flags, Mode::empty(), beneath) {
            Ok(next) => next,
            Err(Errno::LOOP | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
    }
    match fs::symlinkat(target, &directory, last) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
