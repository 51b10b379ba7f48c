//! The process, from its start to its end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags};

use super::push::Spools;
use super::{accept, confine};
use crate::near;
use crate::wire::{self, LINES, LONGEST_PLAN, Plan};

/// What the program is called when it is started as a gate.
pub const NAME: &str = "agentguard-gate";

/// Becomes the gate where this program was started for that, and returns whether it was. Call it first in
/// `main`, and end where it says so.
#[must_use]
pub fn enter_if_asked() -> bool {
    let is_asked = std::env::args_os().next().is_some_and(|name| name == NAME);
    if is_asked {
        // The guard knows by the line's end; nobody else is there to be told.
        let _ = run();
    }
    is_asked
}

/// What the gate was handed.
pub(super) struct Handed {
    pub(super) plan: Plan,
    pub(super) tcp: Vec<OwnedFd>,
    pub(super) dns_udp: Vec<OwnedFd>,
    pub(super) dns_tcp: Vec<OwnedFd>,
    pub(super) datagrams: Vec<OwnedFd>,
    pub(super) callers: Vec<OwnedFd>,
    pub(super) lines: Vec<OwnedFd>,
    /// On which it is told of what was held.
    pub(super) held: Vec<OwnedFd>,
    /// On which it says what is to be asked over SSH.
    pub(super) ssh: OwnedFd,
    /// Where pushes lie while they are judged.
    pub(super) spools: Spools,
    /// It ends with the guard, and the gate with it.
    pub(super) control: UnixStream,
}

fn run() -> io::Result<()> {
    let mut control = UnixStream::from(take_line()?);
    let plan: Option<Plan> = wire::receive(&mut control, LONGEST_PLAN)?;
    let plan = plan.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut descriptors = wire::receive_descriptors(&control)?;
    let mut take = |count: usize| -> io::Result<Vec<OwnedFd>> {
        let rest = descriptors.len().checked_sub(count);
        let rest = rest.ok_or(io::ErrorKind::InvalidData)?;
        Ok(descriptors.split_off(rest))
    };
    // The last stand first.
    let ssh = take(1)?.pop().ok_or(io::ErrorKind::InvalidData)?;
    let held = take(1)?;
    let lines = take(LINES)?;
    let callers = take(plan.callers)?;
    let datagrams = take(plan.datagrams)?;
    let dns_tcp = take(plan.dns_tcp)?;
    let dns_udp = take(plan.dns_udp)?;
    let tcp = take(plan.tcp)?;
    let (spools, directory) = Spools::open(&plan.spool)?;
    confine::confine(directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        // They are started wherever the gate runs, and run anywhere.
        .on_thread_start(near::anywhere())
        .build()?;
    let handed = Handed {
        plan,
        tcp,
        dns_udp,
        dns_tcp,
        datagrams,
        callers,
        lines,
        held,
        ssh,
        spools,
        control,
    };
    let ended = runtime.block_on(accept::serve(handed));
    // A lookup of the system's may take its time; nobody waits for it any more.
    runtime.shutdown_background();
    ended
}

/// Takes over the line that this program was started with. Its standard input is empty from here on.
fn take_line() -> io::Result<OwnedFd> {
    let line = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let nothing = rustix::fs::open("/dev/null", flags, Mode::empty())?;
    rustix::stdio::dup2_stdin(nothing)?;
    Ok(line)
}
