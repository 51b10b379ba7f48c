//! The agent's first process, from its making to its exec.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use agentguard_core::{Held, Network};
use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, WaitOptions,
    pidfd_getfd, pidfd_open, set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use seccompiler::BpfProgram;
use serde::{Deserialize, Serialize};

use super::setup::{Around, Stage, give_up_capabilities, stream_pair};
use crate::error::{Failure, Step};
use crate::plan::{Layer, Plan};
use crate::sys::{self, Listener};
use crate::wire::{receive, send};
use crate::{cgroup, landlock};

/// Where programs are looked for when nothing says so (execvp(3)).
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// An agent that waits for its first exec to be judged.
pub(super) struct Agent {
    /// Its process, as seen outside.
    pub(super) process: Pid,
    /// Where its execs are asked about.
    pub(super) listener: Listener,
    /// Lets it go on to its first exec, by [`Go`]; closed without, it ends.
    pub(super) go: OwnedFd,
    /// Says why it never ran; closed without a word when it does.
    pub(super) report: OwnedFd,
}

/// The session is recorded: the agent may ask for its first exec.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Go;

/// Why the command never ran.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum NotRun {
    /// A step failed.
    Failed(Failure),
    /// The kernel, or a rule, refused the command itself.
    NotExecuted {
        /// The error's number.
        errno: i32,
    },
}

impl NotRun {
    /// The exit code by which shells say it.
    fn code(&self) -> i32 {
        match self {
            Self::NotExecuted {
                errno: libc::ENOENT | libc::ENOTDIR,
            } => 127,
            Self::NotExecuted { .. } | Self::Failed(_) => 126,
        }
    }
}

/// An agent's process that confines itself. There is time for other things meanwhile.
pub(super) struct Making {
    process: Pid,
    talk: OwnedFd,
    report: OwnedFd,
}

/// Makes the agent's first process, in the session's namespaces. The caller is single-threaded.
///
/// `filter` is installed there; `group` is the entrance to the session's cgroup, where it has one.
pub(super) fn make(
    plan: &Plan,
    stage: &Stage,
    filter: &BpfProgram,
    group: Option<OwnedFd>,
) -> Result<Making, Failure> {
    let (ours, theirs) = stream_pair()?;
    let (report, report_end) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
    let (number, number_end) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
    let helper = match sys::fork().step("make the agent's process")? {
        sys::Forked::Child => {
            drop((ours, report, number));
            let group = group.as_ref().map(AsFd::as_fd);
            let made = (stage, filter, group);
            sys::end(help(plan, made, theirs, report_end, number_end))
        }
        sys::Forked::Parent(helper) => helper,
    };
    // A copy of the agent's end kept open here would make a failed set-up hang.
    drop((theirs, report_end, number_end));
    let _ = rustix::process::waitpid(Some(helper), WaitOptions::empty());
    let process = read_number(number.as_fd()).ok_or_else(|| not_made(&report))?;
    Ok(Making {
        process,
        talk: ours,
        report,
    })
}

impl Making {
    /// Waits until the agent is confined, and asks about its execs.
    pub(super) fn finish(self) -> Result<Agent, Failure> {
        let Self {
            process,
            talk,
            report,
        } = self;
        match receive(&talk)
            .ok()
            .flatten()
            .map(|number| take(process, number))
        {
            Some(Err(error)) => Err(error).step("take over the listener"),
            Some(Ok(listener)) => Ok(Agent {
                process,
                listener: Listener::new(listener),
                go: talk,
                report,
            }),
            None => {
                let failure = not_made(&report);
                // One that nobody waited for would keep the session's pid 1 from ending.
                let _ = rustix::process::waitpid(Some(process), super::exec::wait_options());
                Err(failure)
            }
        }
    }
}

/// Takes over what a process of ours has at this number.
fn take(process: Pid, number: i32) -> Result<OwnedFd, Errno> {
    let handle = pidfd_open(process, PidfdFlags::empty())?;
    pidfd_getfd(handle, number, PidfdGetfdFlags::empty())
}

fn not_made(report: &OwnedFd) -> Failure {
    match receive::<NotRun>(report) {
        Ok(Some(NotRun::Failed(failure))) => failure,
        Ok(Some(NotRun::NotExecuted { .. }) | None) | Err(_) => {
            Failure::new("make the agent's process", "it ended early")
        }
    }
}

fn read_number(number: BorrowedFd<'_>) -> Option<Pid> {
    let mut bytes = [0; 4];
    let length = rustix::io::read(number, &mut bytes).ok()?;
    (length == bytes.len())
        .then(|| Pid::from_raw(i32::from_ne_bytes(bytes)))
        .flatten()
}

/// The helper: enters the namespaces, and makes the agent as the mediator's own child.
fn help(
    plan: &Plan,
    (stage, filter, group): (&Stage, &BpfProgram, Option<BorrowedFd<'_>>),
    talk: OwnedFd,
    report: OwnedFd,
    number: OwnedFd,
) -> i32 {
    match enter_and_fork(stage) {
        Ok(sys::Forked::Parent(agent)) => {
            let _ = rustix::io::write(&number, &agent.as_raw_nonzero().get().to_ne_bytes());
            0
        }
        Ok(sys::Forked::Child) => {
            drop(number);
            let not_run = match group.map_or(Ok(()), cgroup::enter) {
                Ok(()) => become_agent(plan, (stage, filter), &talk),
                Err(failure) => NotRun::Failed(failure),
            };
            let _ = send(&report, &not_run);
            not_run.code()
        }
        Err(failure) => {
            let _ = send(&report, &NotRun::Failed(failure));
            1
        }
    }
}

fn enter_and_fork(stage: &Stage) -> Result<sys::Forked, Failure> {
    if let Around::Namespaces { pid, user, .. } = &stage.around {
        // The pid namespace first: it belongs to this user namespace, and not to the next.
        move_into_link_name_space(pid.as_fd(), Some(LinkNameSpaceType::ProcessID))
            .step("enter the pid namespace")?;
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
            .step("enter the agent's user namespace")?;
    }
    sys::fork_sibling().step("make the agent's process")
}

/// Only ever returns why it could not.
fn become_agent(plan: &Plan, by: (&Stage, &BpfProgram), talk: &OwnedFd) -> NotRun {
    let confined = confine(plan, by, talk);
    match confined.and_then(|listener| come_forward(talk, listener)) {
        Ok(()) => execute(plan),
        Err(failure) => NotRun::Failed(failure),
    }
}

fn confine(
    plan: &Plan,
    (stage, filter): (&Stage, &BpfProgram),
    talk: &OwnedFd,
) -> Result<OwnedFd, Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).step("tie the agent to the mediator")?;
    set_dumpable_behavior(DumpableBehavior::Dumpable).step("open the agent to the mediator")?;
    // So that a signal to its group reaches nobody else, and the mediator can put it in front.
    rustix::process::setpgid(None, None).step("make a process group")?;
    refuse_ways_out(plan)?;
    give_up_capabilities()?;
    limit(plan)?;
    if !plan.without.contains(&Layer::Landlock) {
        match &stage.around {
            Around::Namespaces { domain, .. } => domain.enter()?,
            Around::Scope(_) => landlock::enter_nested(plan.confinement.network)?,
        }
    }
    rustix::process::chdir(&plan.directory)
        .step(format!("enter `{}`", plan.directory.display()))?;
    let listener = sys::install_listener(filter).map_err(describe_busy)?;
    // Its number only, and it is kept until it was taken: to send it may be asked about, which nobody answers yet.
    send(talk, &listener.as_raw_fd())
        .map_err(|error| Failure::new("hand over the listener", error.to_string()))?;
    sys::close_above(3, true).step("close what was inherited")?;
    Ok(listener)
}

/// Waits until the session is recorded, and takes the signals that are the agent's then.
fn come_forward(talk: &OwnedFd, listener: OwnedFd) -> Result<(), Failure> {
    match receive::<Go>(talk) {
        Ok(Some(Go)) => {}
        Ok(None) | Err(_) => return Err(Failure::new("begin", "the session was not to begin")),
    }
    drop(listener);
    sys::forget_ignored().step("take signals back")?;
    sys::forget_blocked().step("unblock signals")
}

/// The caller's standard descriptors stay open, but for those that lead outside. Below a directory modes and
/// times of files could be changed past every mount. A unix socket of messages reaches others, or can be shut down for all
/// who have it; a socket of the host's network reaches whatever that does.
fn refuse_ways_out(plan: &Plan) -> Result<(), Failure> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let all = [
        ("input", stdin.as_fd()),
        ("output", stdout.as_fd()),
        ("error", stderr.as_fd()),
    ];
    for (name, descriptor) in all {
        let kind = rustix::fs::fstat(descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let way = match kind {
            Ok(FileType::Directory) => Some("it is a directory, which leads outside"),
            Ok(FileType::Socket) => way_of_socket(plan.confinement.network, descriptor),
            Ok(_) | Err(_) => None,
        };
        if let Some(way) = way {
            let step = format!("hand over standard {name}");
            return Err(Failure::new(step, way));
        }
    }
    Ok(())
}

/// Why a socket leads outside, where it does.
fn way_of_socket(network: Network, socket: BorrowedFd<'_>) -> Option<&'static str> {
    match (sockopt::socket_domain(socket), network) {
        (Ok(AddressFamily::UNIX), _) => {
            Some("it is a unix socket of messages, which leads outside")
        }
        (_, Network::Host) => None,
        (_, Network::Isolated | Network::Gated) => {
            Some("it is a socket of the host's network, which leads outside")
        }
    }
}

fn describe_busy(error: std::io::Error) -> Failure {
    if error.raw_os_error() == Some(libc::EBUSY) {
        return Failure::new(
            "ask about execs",
            "a supervisor outside already does: this runs inside another session",
        );
    }
    Failure {
        step: "ask about execs".to_owned(),
        reason: error.to_string(),
        errno: error.raw_os_error(),
    }
}

fn limit(plan: &Plan) -> Result<(), Failure> {
    let limits = &plan.confinement.limits;
    let mut all = vec![
        // One byte, since none would not stop a core that goes into a pipe (core(5)).
        (Resource::Core, 1),
        (Resource::Nofile, limits.files),
    ];
    // Where a cgroup bounds all of the session together, it is the one to refuse, since it tells of it.
    if limits.held == Held::Process {
        all.push((Resource::Nproc, limits.processes));
        // What a process writes privately: address space that is only set aside is as wide as a program
        // likes, and JavaScript's likes it wide.
        all.extend(limits.memory_bytes.map(|most| (Resource::Data, most)));
    }
    // What is counted for all processes of a user together: half is left to those outside.
    for resource in [Resource::Sigpending, Resource::Msgqueue] {
        let highest = rustix::process::getrlimit(resource).maximum;
        all.extend(highest.map(|highest| (resource, highest / 2)));
    }
    for (resource, most) in all {
        let highest = rustix::process::getrlimit(resource).maximum;
        let most = highest.map_or(most, |highest| highest.min(most));
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )
        .step("set limits")?;
    }
    Ok(())
}

fn execute(plan: &Plan) -> NotRun {
    let strings = |all: &[Vec<u8>]| {
        all.iter()
            .map(|one| CString::new(one.clone()))
            .collect::<Result<Vec<_>, _>>()
    };
    let (Ok(command), Ok(environment)) = (strings(&plan.command), strings(&plan.environment))
    else {
        return NotRun::NotExecuted {
            errno: libc::EINVAL,
        };
    };
    let path = variable(&plan.environment, b"PATH=").unwrap_or(DEFAULT_PATH);
    let Some(name) = plan.command.first() else {
        return NotRun::NotExecuted {
            errno: libc::ENOENT,
        };
    };
    let program = match find_program(name, path) {
        Ok(program) => program,
        Err(errno) => {
            return NotRun::NotExecuted {
                errno: errno.raw_os_error(),
            };
        }
    };
    let Ok(program) = CString::new(program.into_os_string().as_bytes()) else {
        return NotRun::NotExecuted {
            errno: libc::EINVAL,
        };
    };
    let error = sys::replace_image(&program, &command, &environment);
    NotRun::NotExecuted {
        errno: error.raw_os_error().unwrap_or(libc::ENOENT),
    }
}

fn variable<'e>(environment: &'e [Vec<u8>], name: &[u8]) -> Option<&'e [u8]> {
    environment
        .iter()
        .find_map(|variable| variable.strip_prefix(name))
}

/// Looks along `path` as execvp(3) does. Where nothing can be executed but something is there, that is
/// taken, so that the refusal is about it.
fn find_program(name: &[u8], path: &[u8]) -> Result<PathBuf, Errno> {
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    if name.contains(&b'/') {
        return Ok(PathBuf::from(OsStr::from_bytes(name)));
    }
    let mut there = None;
    for directory in path.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() {
            b"."
        } else {
            directory
        };
        let candidate = Path::new(OsStr::from_bytes(directory)).join(OsStr::from_bytes(name));
        let is_file = rustix::fs::stat(&candidate)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if !is_file {
            continue;
        }
        match rustix::fs::accessat(CWD, &candidate, Access::EXEC_OK, AtFlags::empty()) {
            Ok(()) => return Ok(candidate),
            Err(_) => there = there.or(Some(candidate)),
        }
    }
    there.ok_or(Errno::NOENT)
}
