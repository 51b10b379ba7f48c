//! What the gate gives up before it reads a byte of anybody's.

use std::io;
use std::os::fd::OwnedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Its address space. It is a bound on what a mistake can take, well above what the gate's own bounds add up
/// to.
const MOST_MEMORY: u64 = 2 << 30;
/// Two descriptors a connection, and what else there is.
const MOST_DESCRIPTORS: u64 = 4096;

/// What the system's resolver reads, and the libraries that it loads to read it.
const READ: [&str; 15] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/hostname",
    "/etc/ld.so.cache",
    "/run/NetworkManager",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/usr",
    "/lib",
    "/lib64",
];

/// Bounds this process and confines it: no memory of its own to be read by others, no program to start, no
/// file to write but those that it has, and none to read but those and what is below `directory`: its own files,
/// which have no names.
pub(super) fn confine(directory: OwnedFd) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    bound(Resource::As, MOST_MEMORY)?;
    bound(Resource::Nofile, MOST_DESCRIPTORS)?;
    bound(Resource::Core, 0)?;
    landlock(Some(directory)).map_err(io::Error::other)
}

fn bound(resource: Resource, most: u64) -> io::Result<()> {
    let hard = getrlimit(resource).maximum;
    let most = Some(hard.map_or(most, |hard| hard.min(most)));
    setrlimit(
        resource,
        Rlimit {
            current: most,
            maximum: most,
        },
    )?;
    Ok(())
}

fn landlock(directory: Option<OwnedFd>) -> Result<(), String> {
    let said = |error: landlock::RulesetError| error.to_string();
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V6))
        .map_err(said)?
        .handle_access(AccessNet::BindTcp)
        .map_err(said)?
        .scope(Scope::from_all(ABI::V6))
        .map_err(said)?
        .create()
        .map_err(said)?;
    if let Some(directory) = directory {
        ruleset = ruleset
            .add_rule(PathBeneath::new(directory, AccessFs::ReadFile))
            .map_err(said)?;
    }
    for path in READ {
        // What is not there is not read.
        let Ok(opened) = PathFd::new(path) else {
            continue;
        };
        let is_directory = std::fs::metadata(path).is_ok_and(|data| data.is_dir());
        let access = if is_directory {
            AccessFs::ReadFile | AccessFs::ReadDir
        } else {
            AccessFs::ReadFile.into()
        };
        ruleset = ruleset
            .add_rule(PathBeneath::new(opened, access))
            .map_err(said)?;
    }
    match ruleset.restrict_self().map_err(said)?.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("the kernel has no Landlock".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_but_what_names_are_looked_up_with_and_nothing_is_written() {
        // It holds for this thread, and for no other of the tests.
        let confined = std::thread::spawn(|| {
            landlock(None).unwrap();
            for path in ["/etc/passwd", "/proc/self/environ", "/root", "/etc"] {
                let read = std::fs::File::open(path).map(|_| ());
                assert_eq!(
                    read.unwrap_err().kind(),
                    io::ErrorKind::PermissionDenied,
                    "{path}"
                );
            }
            assert!(std::fs::File::open("/etc/hosts").is_ok());
            let path = std::env::temp_dir().join("agentguard-gate-writes");
            assert!(std::fs::File::create(path).is_err());
            assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
            #[expect(clippy::disallowed_methods, reason = "it must not start")]
            let started = std::process::Command::new("/bin/true").spawn();
            assert!(started.is_err());
        });
        confined.join().unwrap();
    }
}
