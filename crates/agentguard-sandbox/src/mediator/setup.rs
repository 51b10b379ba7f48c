//! Builds the session, in the one order that works.
//!
//! Each step is where it is because it fails, or holds less, elsewhere: a descriptor of the caller's `/proc`
//! before the root changes; a user namespace before mounts; pid 1
//! by clone, since unshare would forbid threads here; its `/proc` before the old root goes; namespace
//! descriptors before pid 1 can no longer be looked at; the agent's user namespace as a child of this
//! one, so that this process may trace the agent without a capability; Landlock after the last mount
//! and before the first thread. With it comes no_new_privs, for each of these processes: until then none
//! executes anything, and afterwards only the agent does.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use agentguard_core::{Confinement, Level, Network};
use rustix::fs::{self, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Gid, Pid, Uid, WaitOptions, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::beside::{self, Beside};
use super::early::Early;
use super::front::Niceness;
use super::init::{self, FromInit};
use crate::error::{Failure, Step};
use crate::forcing::{self, Forced, GateListeners, Ways};
use crate::landlock::{self, Domain};
use crate::plan::{Plan, User};
use crate::root::{self, FirstLook, Owners};
use crate::sys;
use crate::wire::{receive, send};

/// The namespaces that mediator and agent share, besides the user's.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;
const EPHEMERAL: &str = "make a short-lived process";

/// A session that is built, in which nothing runs yet but its pid 1.
pub(super) struct Stage {
    /// The caller's `/proc`.
    pub(super) proc: OwnedFd,
    /// The process with which everything of the session ends: its pid 1, or its reaper.
    pub(super) init: Pid,
    /// Listeners on the session's loopback, port by port as the plan names them.
    pub(super) listeners: Vec<OwnedFd>,
    /// Listeners for the gate, where its network has one.
    pub(super) gate: Option<GateListeners>,
    /// Where the gate is told who connects.
    pub(super) callings: Option<OwnedFd>,
    /// Where the gate listens, where callers are to be led there one by one.
    pub(super) ways: Option<Ways>,
    /// How nice it is to be to others.
    pub(super) niceness: Niceness,
    /// What holds the agent's processes.
    pub(super) around: Around,
}

/// What holds the agent's processes, and ends with the session.
pub(super) enum Around {
    /// Namespaces of their own.
    Namespaces {
        /// Where they are to be.
        pid: OwnedFd,
        /// What owns them.
        user: OwnedFd,
        /// Its end is pid 1's.
        lifeline: OwnedFd,
        /// What they are to enter.
        domain: Domain,
    },
    /// A scope for their signals.
    Scope(Beside),
}

/// Builds the session at the level of its plan. `guard` ends when the guard does; `early` is there already.
pub(super) fn build(
    plan: &Plan,
    guard: OwnedFd,
    early: Option<Early>,
) -> Result<(Stage, FirstLook), Failure> {
    if let Some(early) = &early {
        early.check(plan.become_user, plan.confinement.network)?;
    }
    match plan.confinement.level {
        Level::Full => build_namespaces(plan, guard, early),
        Level::NoNamespaces => beside::build(plan, guard),
        Level::OldKernel => Err(Failure::new(
            "build the session",
            "nothing is promised there",
        )),
    }
}

/// The caller's `/proc`.
pub(super) fn open_proc() -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::open("/proc", flags, Mode::empty()).step("open `/proc`")
}

fn build_namespaces(
    plan: &Plan,
    guard: OwnedFd,
    mut early: Option<Early>,
) -> Result<(Stage, FirstLook), Failure> {
    let proc = open_proc()?;
    let niceness = Niceness::of_caller();
    let sources = match plan.become_user {
        Some(user) => {
            let known = early.as_mut().and_then(|early| early.owner.take());
            let sources = open_as(plan, proc.as_fd(), user, known)?;
            become_user(user)?;
            Some(sources)
        }
        None => None,
    };
    match early {
        Some(early) => early.enter(proc.as_fd())?,
        None => enter_namespaces(plan.confinement.network, proc.as_fd())?,
    }
    let sources = sources.map_or_else(|| root::open_sources(plan, None), Ok)?;
    let first_look = root::build(plan, sources)?;
    let (lifeline_end, lifeline) = pipe_with(PipeFlags::CLOEXEC).step("make a lifeline")?;
    let (talk, init_talk) = stream_pair()?;
    let init = match sys::fork_into(libc::CLONE_NEWPID).step("make pid 1")? {
        sys::Forked::Child => {
            drop((talk, lifeline));
            init::run(&guard, &lifeline_end, &init_talk)
        }
        sys::Forked::Parent(init) => init,
    };
    drop((init_talk, lifeline_end, guard));
    expect(talk.as_fd(), "mount `/proc`", |message| {
        matches!(message, FromInit::Mounted)
    })?;
    root::enter()?;
    let (listeners, gate) = ways_out(&plan.confinement)?;
    let (gate, callings) = gate.map(|gate| (gate.listeners, gate.callings)).unzip();
    let pid_namespace = open_namespace(proc.as_fd(), init, "pid")?;
    send(&talk, &()).map_err(|_| Failure::new("set up pid 1", "it is gone"))?;
    let (user_namespace, its_process) = child_namespace(proc.as_fd(), None)?;
    expect(talk.as_fd(), "bare pid 1", |message| {
        matches!(message, FromInit::Bare)
    })?;
    let domains = landlock::prepare(plan, proc.as_fd())?;
    domains.mediator.enter()?;
    wait_for(its_process); // it has ended meanwhile
    let stage = Stage {
        proc,
        init,
        listeners,
        gate,
        callings,
        ways: None,
        niceness,
        around: Around::Namespaces {
            pid: pid_namespace,
            user: user_namespace,
            lifeline,
            domain: domains.agent,
        },
    };
    Ok((stage, first_look))
}

/// What listens inside: at the granted ports, and for the gate.
fn ways_out(confinement: &Confinement) -> Result<(Vec<OwnedFd>, Option<Forced>), Failure> {
    Ok(match confinement.network {
        Network::Isolated => (open_ports(&confinement.ports)?, None),
        Network::Gated => (
            open_ports(&confinement.ports)?,
            Some(forcing::force(granted_ports(confinement))?),
        ),
        Network::Host => (Vec::new(), None),
    })
}

/// The ports that are named by what is granted.
fn granted_ports(confinement: &Confinement) -> BTreeSet<u16> {
    confinement
        .hosts
        .iter()
        .filter_map(|grant| grant.port())
        .collect()
}

/// Opens what the plan names, with whatever can be written shown as `user`'s own.
fn open_as(
    plan: &Plan,
    proc: BorrowedFd<'_>,
    user: User,
    known: Option<((u32, u32), OwnedFd)>,
) -> Result<Vec<root::Source>, Failure> {
    // Most has one owner, and a namespace takes a process.
    let known = known.map(|(owner, namespace)| (owner, Rc::new(namespace)));
    let known: RefCell<HashMap<_, _>> = RefCell::new(known.into_iter().collect());
    let namespace_for = |uid, gid| match known.borrow_mut().entry((uid, gid)) {
        Entry::Occupied(known) => Ok(Rc::clone(known.get())),
        Entry::Vacant(place) => {
            let namespace = namespace_for(proc, (uid, gid), user)?;
            Ok(Rc::clone(place.insert(Rc::new(namespace))))
        }
    };
    let owners = Owners {
        namespace_for: &namespace_for,
    };
    root::open_sources(plan, Some(&owners))
}

/// Gives up every capability for good.
pub(crate) fn give_up_capabilities() -> Result<(), Failure> {
    for capability in CapabilitySet::all().iter() {
        if rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false) {
            // Where it is not ours to drop, the sets below are empty all the same.
            let _ = rustix::thread::remove_capability_from_bounding_set(capability);
        }
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).step("give up capabilities")
}

/// Becomes the agent's user for good.
pub(crate) fn become_user(user: User) -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&[]).step("leave root's groups")?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).step("become the agent's group")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).step("become the agent's user")?;
    // Changing users makes a process opaque, and its own maps unwritable to it.
    set_dumpable_behavior(DumpableBehavior::Dumpable).step("become the agent's user")
}

/// Enters the namespaces that mediator and agent share.
pub(crate) fn enter_namespaces(network: Network, proc: BorrowedFd<'_>) -> Result<(), Failure> {
    let own_network = match network {
        Network::Isolated | Network::Gated => libc::CLONE_NEWNET,
        Network::Host => 0,
    };
    let own = own_ids();
    sys::unshare(NAMESPACES | own_network).step("make namespaces")?;
    write_maps(proc, rustix::process::getpid(), own, own)?;
    match network {
        Network::Isolated | Network::Gated => {
            sys::raise_loopback().step("bring up the loopback")?;
            forcing::add_addresses().step("bring up the loopback")
        }
        Network::Host => Ok(()),
    }
}

/// A user namespace of its own, kept by its descriptor; the process that it was made with is to be waited for.
fn child_namespace(
    proc: BorrowedFd<'_>,
    map: Option<((u32, u32), User)>,
) -> Result<(OwnedFd, Pid), Failure> {
    let (wait, done) = pipe_with(PipeFlags::CLOEXEC).step(EPHEMERAL)?;
    let child = match sys::fork_into(libc::CLONE_NEWUSER).step("make a user namespace")? {
        sys::Forked::Child => {
            drop(done);
            let _ = rustix::io::read(&wait, &mut [0u8; 1]);
            sys::end(0)
        }
        sys::Forked::Parent(child) => child,
    };
    drop(wait);
    let own = own_ids();
    let made = match map {
        Some((owner, user)) => write_maps(proc, child, owner, (user.uid, user.gid)),
        None => write_maps(proc, child, own, own).and_then(|()| try_tracing(child)),
    };
    let namespace = made.and_then(|()| open_namespace(proc, child, "user"));
    drop(done);
    if namespace.is_err() {
        wait_for(child);
    }
    namespace.map(|namespace| (namespace, child))
}

/// Waits for a process that ends by itself.
fn wait_for(process: Pid) {
    let _ = rustix::process::waitpid(Some(process), WaitOptions::empty());
}

/// The namespace through which files of `owner` appear as the agent's.
pub(crate) fn namespace_for(
    proc: BorrowedFd<'_>,
    owner: (u32, u32),
    user: User,
) -> Result<OwnedFd, Failure> {
    let (namespace, process) = child_namespace(proc, Some((owner, user)))?;
    wait_for(process);
    Ok(namespace)
}

/// Traces a child that waits in the agent's user namespace, and reads its memory: without both no exec
/// could be verified, and every one would be refused.
pub(crate) fn try_tracing(child: Pid) -> Result<(), Failure> {
    static READ: u8 = 1;
    sys::Tracee::seize(child).step("trace the agent")?;
    let address = u64::try_from(std::ptr::from_ref(&READ).addr()).unwrap_or(0);
    let mut read = [0];
    match sys::read_memory(child, address, &mut read).step("read the agent's memory")? {
        1 if read == [READ] => Ok(()),
        _ => Err(Failure::new("read the agent's memory", "it is not there")),
    }
}

/// This process's user and group.
pub(crate) fn own_ids() -> (u32, u32) {
    (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    )
}

/// Says whom a user namespace's one user is outside.
pub(crate) fn write_maps(
    proc: BorrowedFd<'_>,
    process: Pid,
    inside: (u32, u32),
    outside: (u32, u32),
) -> Result<(), Failure> {
    let process = process.as_raw_nonzero();
    for (file, line) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{} {} 1", inside.0, outside.0)),
        ("gid_map", format!("{} {} 1", inside.1, outside.1)),
    ] {
        let step = || format!("write the `{file}` of a user namespace");
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let opened =
            fs::openat(proc, format!("{process}/{file}"), flags, Mode::empty()).step(step())?;
        rustix::io::write(&opened, line.as_bytes()).step(step())?;
    }
    Ok(())
}

fn open_namespace(proc: BorrowedFd<'_>, process: Pid, name: &str) -> Result<OwnedFd, Failure> {
    let path = format!("{}/ns/{name}", process.as_raw_nonzero());
    fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step(format!("open a {name} namespace"))
}

fn expect(
    talk: BorrowedFd<'_>,
    step: &str,
    is_it: impl Fn(&FromInit) -> bool,
) -> Result<(), Failure> {
    match receive::<FromInit>(talk) {
        Ok(Some(FromInit::Failed(failure))) => Err(failure),
        Ok(Some(message)) if is_it(&message) => Ok(()),
        Ok(Some(FromInit::Mounted | FromInit::Bare) | None) | Err(_) => {
            Err(Failure::new(step, "the session's pid 1 ended early"))
        }
    }
}

/// Both ends of a stream between two of our processes.
pub(super) fn stream_pair() -> Result<(OwnedFd, OwnedFd), Failure> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .step("make a socket pair")
}

/// Listens on the session's loopback, on both families where there are two.
fn open_ports(ports: &[u16]) -> Result<Vec<OwnedFd>, Failure> {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
    let mut listeners = Vec::new();
    for port in ports {
        let first = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)));
        listeners.push(first.step(format!("listen on port {port} inside"))?.into());
        // A kernel without IPv6 has nothing to connect to there either.
        listeners.extend(
            TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, *port)))
                .ok()
                .map(OwnedFd::from),
        );
    }
    Ok(listeners)
}
