//! The probes: what a session's set-up does, done once in a process that then ends.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use agentguard_core::Network;
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid,
};

use super::finding::What;
use super::image;
use super::prober::Subject;
use super::surroundings::Surroundings;
use crate::error::{Failure, Step};
use crate::mediator::setup;
use crate::{filter, landlock, root, sys};

/// Tries `what`. The caller is a process that ends afterwards. `None` where it does not matter here.
pub(super) fn attempt(what: What, subject: &Subject) -> Option<Result<(), Failure>> {
    Some(match what {
        What::Outermost => Ok(()), // or else nothing is tried
        What::Kernel => kernel(),
        What::NoNewPrivileges => rustix::thread::set_no_new_privs(true).step("set no_new_privs"),
        What::Ordinary => ordinary(),
        What::Users => setup::become_user(subject.become_user?),
        What::Owners => owners(subject)?,
        What::UserNamespaces => user_namespace(subject),
        What::Namespaces => enter(subject),
        What::Mounts => mounts(subject),
        What::Proc => proc(subject),
        What::Tracing => tracing(user_namespace(subject).map_or(0, |()| libc::CLONE_NEWUSER)),
        What::TracingBeside => beside(subject)?,
        What::Landlock => landlock_holds(),
        What::Scopes => scopes(),
        What::Notifications => notifications(),
        What::Images => image::cannot_be_written(),
        What::Gate => gate(subject),
        What::Ipv6 => ipv6(subject),
        What::Limits => crate::cgroup::SessionGroup::could_be_made(),
        What::Keyring => sys::find_user_keyring().step("look for the user's keyring"),
    })
}

fn kernel() -> Result<(), Failure> {
    let surroundings = Surroundings::read();
    if surroundings.is_old() {
        return Err(Failure::new("look at the kernel", surroundings.release));
    }
    Ok(())
}

/// As the session's set-up does first: root becomes the agent's user.
fn become_agent(subject: &Subject) -> Result<std::os::fd::OwnedFd, Failure> {
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = fs::open("/proc", flags, Mode::empty()).step("open `/proc`")?;
    subject.become_user.map_or(Ok(()), setup::become_user)?;
    Ok(proc)
}

fn user_namespace(subject: &Subject) -> Result<(), Failure> {
    let proc = become_agent(subject)?;
    let own = setup::own_ids();
    sys::unshare(libc::CLONE_NEWUSER).step("make a user namespace")?;
    setup::write_maps(proc.as_fd(), rustix::process::getpid(), own, own)
}

fn enter(subject: &Subject) -> Result<(), Failure> {
    let proc = become_agent(subject)?;
    setup::enter_namespaces(Network::Isolated, proc.as_fd())
}

fn gate(subject: &Subject) -> Result<(), Failure> {
    enter(subject)?;
    crate::forcing::try_redirect()
}

/// In a network as sessions have it, or in this one where there can be none of their own.
fn ipv6(subject: &Subject) -> Result<(), Failure> {
    let _ = enter(subject);
    let bound = std::net::UdpSocket::bind((std::net::Ipv6Addr::LOCALHOST, 0));
    bound.map(drop).step("listen at `::1`")
}

fn mounts(subject: &Subject) -> Result<(), Failure> {
    enter(subject)?;
    root::try_out()?;
    root::enter()
}

/// In a process that is pid 1 of a namespace, as the session's own is.
fn proc(subject: &Subject) -> Result<(), Failure> {
    enter(subject)?;
    root::try_out()?;
    let child = match sys::fork_into(libc::CLONE_NEWPID).step("make pid 1")? {
        sys::Forked::Child => {
            let failed = root::mount_proc().err();
            sys::end(failed.map_or(0, |failure| failure.errno.unwrap_or(libc::EIO)))
        }
        sys::Forked::Parent(child) => child,
    };
    match ended(child) {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw_os_error(errno)).step("mount `/proc`"),
        None => Err(Failure::new("mount `/proc`", "pid 1 was killed")),
    }
}

fn ended(child: rustix::process::Pid) -> Option<i32> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(status) => return status.and_then(|(_, status)| status.exit_status()),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

fn ordinary() -> Result<(), Failure> {
    match setup::own_ids() {
        (0, _) => Err(Failure::new("look who this is", "it is root")),
        _ => Ok(()),
    }
}

/// Root has no session without namespaces, and may trace nobody once it has no capability.
fn beside(subject: &Subject) -> Option<Result<(), Failure>> {
    subject.become_user.is_none().then(|| tracing(0))
}

fn scopes() -> Result<(), Failure> {
    landlock::require(landlock::SCOPES)?;
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
    let none = || Failure::new("look for a process outside", "none is seen");
    let outsider = rustix::process::getppid().ok_or_else(none)?;
    landlock::enter_scope(outsider).map(drop)
}

/// As the mediator does, without a capability: a child in `namespace`, from the one above it. That there are
/// no namespaces is found by their own probe.
fn tracing(namespace: i32) -> Result<(), Failure> {
    let (wait, done) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
    let child = match sys::fork_into(namespace).step("make a process")? {
        sys::Forked::Child => {
            drop(done);
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            let _ = rustix::io::read(&wait, &mut [0u8; 1]);
            sys::end(0)
        }
        sys::Forked::Parent(child) => child,
    };
    let traced = setup::give_up_capabilities().and_then(|()| setup::try_tracing(child));
    let _ = kill_process(child, Signal::KILL);
    ended(child);
    traced
}

fn landlock_holds() -> Result<(), Failure> {
    landlock::require(landlock::LEAST_VERSION)?;
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
    landlock::enter_empty()?;
    match fs::open(
        "/proc/self/status",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::ACCESS) => Ok(()),
        Ok(_) | Err(_) => Err(Failure::new(
            "enter the Landlock domain",
            "what it forbids can still be done",
        )),
    }
}

fn notifications() -> Result<(), Failure> {
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
    let asking = filter::only_asking(filter::Judged::Nothing, None, false)
        .map_err(|error| Failure::new("compile the filter", error.to_string()))?;
    sys::install_listener(&asking)
        .step("ask about execs")
        .map(drop)
}

/// What root would show as the agent's own: the workspace and the state's filesystem.
fn owners(subject: &Subject) -> Option<Result<(), Failure>> {
    let user = subject.become_user?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let shown = |path: &Path| -> Result<(), Failure> {
        let step = || format!("show `{}` as the agent's own", path.display());
        let proc = fs::open("/proc", flags, Mode::empty()).step("open `/proc`")?;
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, path, clone).step(step())?;
        let stat = fs::fstat(&tree).step(step())?;
        let owner = (stat.st_uid, stat.st_gid);
        let namespace = setup::namespace_for(proc.as_fd(), owner, user)?;
        sys::idmap_tree(tree.as_fd(), namespace.as_fd()).step(step())
    };
    Some(
        subject
            .shown
            .iter()
            .map(|path| there(path))
            .try_for_each(|path| shown(&path)),
    )
}

/// The path, or what of it exists already: the state's directory may not yet.
fn there(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|ancestor| ancestor.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}
