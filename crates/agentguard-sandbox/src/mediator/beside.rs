//! A session without namespaces: beside the host's processes, in a scope of its own.
//!
//! Three Landlock domains stand one in the other: the reaper's, the mediator's and the agent's. A signal
//! reaches one's own domain and those within it, so that the agent reaches neither mediator nor reaper,
//! and each of those can kill everything of the agent's at once, however much it forks: the kernel goes
//! through all processes while none can be made (kill(2), process -1). The reaper is there to do so when
//! the mediator is killed. The mediator is the one that orphans go to: what it traces has to be its
//! descendant where Yama asks for that.
//!
//! # References
//!
//! - landlock(7), "IPC scoping"
//! - prctl(2), `PR_SET_CHILD_SUBREAPER`; `kernel.yama.ptrace_scope`

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use agentguard_core::Network;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, WaitOptions, getpid, getppid, set_child_subreaper,
    set_dumpable_behavior, set_parent_process_death_signal,
};

use super::front::Niceness;
use super::setup::{self, Around, Stage};
use crate::error::{Failure, Step};
use crate::forcing;
use crate::landlock::{self, Scoped};
use crate::plan::Plan;
use crate::root::{self, FirstLook};
use crate::sys::{self, Listener};

/// How long a mediator may take to end a session whose guard ended, before the reaper does it.
const PATIENCE: u32 = 100;
/// Between two looks, in nanoseconds.
const PAUSE: i64 = 100_000_000;
const SOON: i64 = 5_000_000;

/// What the mediator holds of a session without namespaces.
pub(super) struct Beside {
    /// The mediator's domain, in which the agent's is.
    scope: Scoped,
    /// Its end is the reaper's.
    reaper: OwnedFd,
    /// Its end is the guard's, or its word that the session's time is over.
    guard: OwnedFd,
}

/// Builds the session. The process that was started as the mediator becomes the reaper; its child goes on.
pub(super) fn build(plan: &Plan, guard: OwnedFd) -> Result<(Stage, FirstLook), Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = fs::open("/proc", flags, Mode::empty()).step("open `/proc`")?;
    // The reaper has to outlive its guard for as long as it takes to end everything.
    set_parent_process_death_signal(None).step("outlive the guard")?;
    set_child_subreaper(Some(getpid())).step("look after the session's processes")?;
    let scope = landlock::enter_scope(parent()?)?;
    let (mediator_end, mediator) = pipe_with(PipeFlags::CLOEXEC).step("make a lifeline")?;
    let (reaper, reaper_end) = pipe_with(PipeFlags::CLOEXEC).step("make a lifeline")?;
    match sys::fork().step("make the mediator")? {
        sys::Forked::Parent(_) => {
            drop((mediator, reaper));
            reap(&scope, &guard, &mediator_end, &reaper_end)
        }
        sys::Forked::Child => {
            drop((mediator_end, reaper_end));
            // The kernel closes it with this process, and nobody before: what this process has to say last, of a
            // step that failed above all, it says while the reaper waits.
            std::mem::forget(mediator);
        }
    }
    set_child_subreaper(Some(getpid())).step("look after the session's processes")?;
    let init = parent()?;
    let niceness = Niceness::of_caller();
    let scope = landlock::enter_granted(plan, init)?;
    try_tracing()?;
    let root = fs::open("/", flags, Mode::empty()).step("open the root")?;
    let (first_look, _) = root::look(plan, root.as_fd())?;
    let (gate, ways) = match plan.confinement.network {
        Network::Gated => {
            forcing::listen_beside().map(|(forced, ways)| (Some(forced), Some(ways)))?
        }
        Network::Isolated | Network::Host => (None, None),
    };
    let (gate, callings) = gate.map(|gate| (gate.listeners, gate.callings)).unzip();
    let stage = Stage {
        proc,
        init,
        listeners: Vec::new(),
        gate,
        callings,
        ways,
        niceness,
        around: Around::Scope(Beside {
            scope,
            reaper,
            guard,
        }),
    };
    Ok((stage, first_look))
}

/// Tries it on a child, before there is an agent of which every exec would be refused.
fn try_tracing() -> Result<(), Failure> {
    let (wait, done) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
    let child = match sys::fork().step("make a short-lived process")? {
        sys::Forked::Child => {
            drop(done);
            let _ = rustix::io::read(&wait, &mut [0u8; 1]);
            sys::end(0)
        }
        sys::Forked::Parent(child) => child,
    };
    let tried = setup::try_tracing(child);
    drop(done);
    let _ = rustix::process::waitpid(Some(child), super::exec::wait_options());
    tried
}

/// Whatever this process ends for: should the reaper be gone too, nobody else is left to do it.
impl Drop for Beside {
    fn drop(&mut self) {
        sys::end_scope(&self.scope);
    }
}

impl Beside {
    /// What lets a thread of the mediator end everything of the agent's.
    pub(super) fn scope(&self) -> Scoped {
        self.scope
    }

    /// Looks after the session: ends it where guard or reaper did, and reaps what was orphaned. `agent` is
    /// waited for by others.
    pub(super) fn tend(&self, agent: Pid) {
        if has_ended(self.reaper.as_fd()) {
            sys::end_scope(&self.scope);
            sys::end(1);
        }
        if has_ended(self.guard.as_fd()) {
            sys::end_scope(&self.scope);
        }
        while let Some(orphan) = sys::next_dead().filter(|dead| *dead != agent) {
            let options = WaitOptions::NOHANG | super::exec::wait_options();
            if !matches!(rustix::process::waitpid(Some(orphan), options), Ok(Some(_))) {
                return;
            }
        }
    }

    /// Ends everything of the agent's, and returns when nothing of it is left: nobody holds its filter any
    /// more, which nobody can lay down.
    pub(super) fn end(&self, listener: &Listener) {
        while !listener.is_deserted(SOON) {
            sys::end_scope(&self.scope);
            reap_all();
        }
    }
}

/// The reaper's life: it waits for the end of mediator or guard, ends everything, and then itself.
fn reap(scope: &Scoped, guard: &OwnedFd, mediator: &OwnedFd, own: &OwnedFd) -> ! {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = rustix::process::setsid();
    // Whatever else it inherited would be held for as long as it lives: outputs, above all.
    if sys::close_all_but([guard.as_fd(), mediator.as_fd(), own.as_fd()]).is_ok() {
        let mut patience = PATIENCE;
        while !has_ended_within(mediator.as_fd(), PAUSE) && patience > 0 {
            if has_ended(guard.as_fd()) {
                patience -= 1;
            }
        }
    }
    loop {
        sys::end_scope(scope);
        if !reap_all() {
            sys::end(0);
        }
        let _ = has_ended_within(own.as_fd(), SOON);
    }
}

/// Reaps what is dead. Whether a child is left.
fn reap_all() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG | super::exec::wait_options()) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn parent() -> Result<Pid, Failure> {
    getppid().ok_or_else(|| Failure::new("look after the session's processes", "no parent is seen"))
}

fn has_ended(lifeline: BorrowedFd<'_>) -> bool {
    has_ended_within(lifeline, 0)
}

/// Nothing is ever written: a lifeline that can be read has ended.
fn has_ended_within(lifeline: BorrowedFd<'_>, nanoseconds: i64) -> bool {
    let mut polled = [PollFd::new(&lifeline, PollFlags::IN)];
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    matches!(poll(&mut polled, Some(&wait)), Ok(1..))
}
