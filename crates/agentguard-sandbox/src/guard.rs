//! The guard's side of a session: it starts the mediator, answers it, and outlives everything inside.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use agentguard_core::{
    Connect, Exec, Index, Making, Network, OutcomeOf, Permit, Reach, RefMove, RuleId, Unrecorded,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::again;
use crate::cgroup::SessionGroup;
use crate::difference::Difference;
use crate::error::Error;
use crate::forcing::GateListeners;
use crate::job::Job;
use crate::mediator::NAME;
use crate::plan::{KnownIdentity, Plan, User};
use crate::relay::Relay;
use crate::repository::CommitFound;
use crate::streams::{Streams, Terminal, Unwritten};
use crate::sys::{self, Signals};
use crate::wire::{
    Ahead, FromGuard, FromMediator, Outcome, Reached, WORKERS, receive, receive_descriptors, send,
    send_descriptors,
};
use crate::workers;

/// How long the processes of an ended session may take to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a guard does for a session: it decides, and it records.
///
/// An error of a recording method ends the session: nothing goes on that is not written down.
pub trait Supervise: Sync {
    /// What the gate admits actions as.
    type Action;

    /// May this be executed?
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn exec(&self, exec: Exec, is_first: bool) -> Result<Permit<Self::Action>, Refused>;

    /// As [`Supervise::exec`], of a call that can wait until a human has answered.
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn exec_or_wait(&self, exec: Exec, is_first: bool) -> Result<MayRun<Self::Action>, Refused> {
        self.exec(exec, is_first).map(MayRun::Permit)
    }

    /// What came of a call that waits, once. `None` while nobody has answered.
    fn answered(
        &self,
        _ticket: u64,
        _is_first: bool,
    ) -> Option<Result<Permit<Self::Action>, Refused>> {
        None
    }

    /// Whoever made it does not wait any more.
    fn no_longer_waits(&self, _ticket: u64) {}

    /// May this name come into being?
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn name(&self, making: Making) -> Result<Permit<Self::Action>, Refused>;

    /// May this socket, which is none of the session's, be connected to?
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn connect(&self, connect: Connect) -> Result<Permit<Self::Action>, Refused>;

    /// What came of an admitted action.
    ///
    /// # Errors
    ///
    /// Returns why it could not be recorded.
    fn outcome(&self, of: Index, outcome: OutcomeOf) -> Result<(), Unrecorded>;

    /// A datagram went nowhere: only lookups are sent as such.
    ///
    /// # Errors
    ///
    /// Returns why it could not be recorded.
    fn nowhere(&self, reach: Reach) -> Result<(), Unrecorded>;

    /// Files of the workspace changed.
    ///
    /// # Errors
    ///
    /// Returns why it could not be recorded.
    fn changed(&self, difference: Difference) -> Result<(), Unrecorded>;

    /// Refs moved, and these commits appeared with them, or more where they are not complete.
    ///
    /// # Errors
    ///
    /// Returns why it could not be recorded.
    fn moved(
        &self,
        moved: Vec<RefMove>,
        commits: Vec<CommitFound>,
        complete: bool,
    ) -> Result<(), Unrecorded>;

    /// Does `stop`, by which this process may be stopped for as long as the agent likes, while it holds nothing that others
    /// wait for.
    fn holding_nothing<T>(&self, stop: impl FnOnce() -> T) -> T {
        stop()
    }

    /// What is readable once the session is to end, whatever its command still does. Without it nothing ends it early.
    fn early_end(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// What becomes of an exec that can wait.
#[derive(Debug)]
pub enum MayRun<A> {
    /// It may run.
    Permit(Permit<A>),
    /// A human is asked; by this it is known.
    Held(u64),
}

/// What the agent is told of a refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The entry that says so, unless the log could not be written.
    pub entry: Option<Index>,
    /// The rule that refused it.
    pub rule: RuleId,
    /// The lines for its standard error.
    pub text: String,
}

/// The signals that a guard passes on to the agent instead of dying of them. Held from before the first
/// thread is made, since a thread that does not hold them would end the process.
#[derive(Debug)]
pub struct HeldSignals(Signals);

impl HeldSignals {
    /// Holds the signals for this thread and all that it makes.
    ///
    /// # Errors
    ///
    /// Returns what the system said.
    pub fn hold() -> Result<Self, Error> {
        sys::block_forwarded()
            .map(Self)
            .map_err(Error::io("hold signals"))
    }
}

/// A session that is built, in which nothing of the agent runs.
#[derive(Debug)]
pub struct Prepared {
    launched: Launched,
    init: OwnedFd,
    mediator: Pid,
    listeners: Vec<OwnedFd>,
    /// Where the session's network leads, if it leads to a gate. Unless somebody takes them they stay open, and
    /// are never answered.
    pub gate: Option<GateListeners>,
    seconds: Option<u64>,
    /// The refs of the workspace's repository, as lines `name id`.
    pub refs: Vec<String>,
    /// The branch checked out.
    pub branch: Option<String>,
}

impl Prepared {
    /// The mediator's process, which connects for whoever is inside. Without namespaces it is a child of the one that
    /// was started.
    #[must_use]
    pub fn mediator(&self) -> Pid {
        self.mediator
    }
}

/// How a session ended. Everything in it is dead; what held it may still be on its way out, and is waited for
/// when this is dropped.
#[derive(Debug)]
pub struct Ended {
    /// How its command ended.
    pub outcome: OutcomeOf,
    /// Why the command itself could not be executed, by the error's number.
    pub not_executed: Option<i32>,
    /// Whether its time was over.
    pub is_out_of_time: bool,
    /// Whether it was ended early.
    pub is_ended_early: bool,
    /// Bounds it came to, besides those that a cgroup tells of.
    pub reached: Reached,
    /// What was learnt about programs that nobody inside can change.
    pub learnt: Vec<KnownIdentity>,
    /// What it wrote to files outside, and could not be written.
    pub unwritten: Vec<Unwritten>,
    /// How many datagrams went nowhere of which it was not noted whom they were for.
    pub datagrams_unseen: u64,
    _mediator: Option<Mediator>,
}

impl Ended {
    /// Of a session whose end nobody tells of.
    fn unheard() -> Self {
        Self {
            outcome: OutcomeOf::Signaled {
                signal: libc::SIGKILL,
            },
            not_executed: None,
            is_out_of_time: false,
            is_ended_early: false,
            reached: Reached::default(),
            learnt: Vec::new(),
            unwritten: Vec::new(),
            datagrams_unseen: 0,
            _mediator: None,
        }
    }
}

/// A mediator that was started and waits for its plan. Starting takes a while: whoever has a plan to make
/// starts one first.
#[derive(Debug)]
pub struct Launched {
    control: OwnedFd,
    workers: Vec<OwnedFd>,
    lifeline: OwnedFd,
    streams: Streams,
    // The last to go: it ends with its control line, and is waited for.
    mediator: Mediator,
}

/// A mediator at work on its plan.
#[derive(Debug)]
pub struct Building {
    launched: Launched,
    seconds: Option<u64>,
}

/// The mediator's process, waited for when it is over.
#[derive(Debug)]
struct Mediator(Child);

impl Drop for Mediator {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.0.try_wait() {
            return;
        }
        // A thread of it that waits for a file system ends when that answers, and perhaps never.
        if let Ok(handle) = pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty()) {
            let _ = poll(
                &mut [PollFd::new(&handle, PollFlags::IN)],
                Some(&patience()),
            );
        }
        let _ = self.0.try_wait();
    }
}

fn patience() -> Timespec {
    Timespec {
        tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(30),
        tv_nsec: 0,
    }
}

impl Launched {
    /// Starts a mediator: this program again, without secrets and threads.
    ///
    /// # Errors
    ///
    /// Returns what the system said.
    pub fn launch() -> Result<Self, Error> {
        sys::share_one_heap();
        // So that pid 1 of a session whose mediator was killed is reaped here.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| Error::io("look after the session's processes")(error.into()))?;
        let (control, theirs) = again::line()?;
        let (lifeline_end, lifeline) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| Error::io("make a lifeline")(error.into()))?;
        let pairs = (0..WORKERS)
            .map(|_| again::line())
            .collect::<Result<Vec<_>, _>>()?;
        let streams = Streams::make()?;
        let mediator = Mediator(again::start(NAME, theirs)?);
        sys::move_away(Pid::from_child(&mediator.0));
        let (workers, ends): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let handed: Vec<BorrowedFd<'_>> = streams
            .theirs()
            .chain([lifeline_end.as_fd()])
            .chain(ends.iter().map(AsFd::as_fd))
            .chain(streams.terminal())
            .collect();
        send_descriptors(&control, &handed)?;
        Ok(Self {
            control,
            workers,
            lifeline,
            streams,
            mediator,
        })
    }

    /// Says what is known before there is a plan: whom the agent will become, where it becomes another, and its
    /// network. The plan is held to it. Only for sessions with namespaces; without, the mediator has more to do
    /// later.
    ///
    /// # Errors
    ///
    /// Returns why the mediator could not be reached.
    pub fn announce(&self, become_user: Option<User>, network: Network) -> Result<(), Error> {
        let known = Ahead::<&Plan>::Known(become_user, network);
        send(&self.control, &known)
    }

    /// Hands the plan over, and does not wait. The agent will be in `group`, where there is one; the plan
    /// says whether there is.
    ///
    /// # Errors
    ///
    /// Returns why the mediator could not be reached.
    pub fn build(self, plan: &Plan, group: Option<&SessionGroup>) -> Result<Building, Error> {
        send(&self.control, &Ahead::Plan(plan))?;
        if let Some(group) = group {
            send_descriptors(&self.control, &[group.entrance()])?;
        }
        if let Some(directory) = &plan.turns {
            let turns = turns(directory, &plan.confinement.workspace)
                .map_err(Error::io("take turns with other sessions"))?;
            send_descriptors(&self.control, &turns.each_ref().map(AsFd::as_fd))?;
        }
        Ok(Building {
            launched: self,
            seconds: plan.confinement.limits.seconds,
        })
    }
}

impl Building {
    /// Waits until the session stands.
    ///
    /// # Errors
    ///
    /// Returns the step that failed, and why. Nothing of the agent ran, and nothing is left.
    pub fn ready(self) -> Result<Prepared, Error> {
        let control = &self.launched.control;
        match receive(control)? {
            Some(FromMediator::Ready {
                refs,
                branch,
                init,
                mediator,
                forcing,
                listeners,
            }) => {
                let init = Pid::from_raw(init).ok_or(Error::Garbled)?;
                let mediator = Pid::from_raw(mediator).ok_or(Error::Garbled)?;
                let init = pidfd_open(init, PidfdFlags::empty())
                    .map_err(|error| Error::io("watch the session's pid 1")(error.into()))?;
                let [
                    listeners,
                    connections,
                    lookups,
                    lookup_connections,
                    datagrams,
                    callers,
                ] = take_listeners(control, listeners)?;
                let gate = forcing.map(|forcing| GateListeners {
                    forcing,
                    connections,
                    lookups,
                    lookup_connections,
                    datagrams,
                    callers,
                });
                let Self { launched, seconds } = self;
                Ok(Prepared {
                    launched,
                    init,
                    mediator,
                    listeners,
                    gate,
                    seconds,
                    refs,
                    branch,
                })
            }
            Some(FromMediator::Failed(failure)) => Err(Error::Setup { failure }),
            Some(_) => Err(Error::Garbled),
            None => Err(Error::MediatorLost),
        }
    }
}

/// Takes as many listeners of each kind as were announced, in their order.
fn take_listeners(control: &OwnedFd, counts: [u32; 6]) -> Result<[Vec<OwnedFd>; 6], Error> {
    let mut listeners = Vec::new();
    let all = counts.iter().map(|count| u64::from(*count)).sum::<u64>();
    while u64::try_from(listeners.len()).unwrap_or(u64::MAX) < all {
        let some = receive_descriptors(control)?;
        if some.is_empty() {
            return Err(Error::Garbled);
        }
        listeners.extend(some);
    }
    let mut listeners = listeners.into_iter();
    Ok(counts.map(|count| {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        listeners.by_ref().take(count).collect()
    }))
}

impl Prepared {
    /// Starts the agent under `permit`, and serves it until everything inside is dead.
    ///
    /// # Errors
    ///
    /// Returns why the session could not be started, or was ended early. Everything inside is dead then
    /// too.
    pub fn start<A, S: Supervise>(
        self,
        permit: Permit<A>,
        supervise: &S,
        signals: &HeldSignals,
    ) -> Result<Ended, Error> {
        // The session is admitted as a whole: this is what the permit was for.
        let _ = permit.spend();
        let Self {
            launched,
            init,
            listeners,
            seconds,
            ..
        } = self;
        let Launched {
            control,
            workers,
            lifeline,
            streams,
            mediator,
        } = launched;
        let relay = Relay::start(listeners)?;
        let carrying = streams.begin()?;
        let terminal = carrying.terminal();
        let in_front = terminal.is_some_and(Terminal::can_come_forward);
        // It has threads of its own to start first: ours are there when it asks.
        let begun = send(&control, &FromGuard::Start { in_front }).or_else(Error::unless_gone);
        let served = std::thread::scope(|scope| {
            let answering: Vec<_> = workers
                .iter()
                .map(|worker| scope.spawn(|| workers::answer(worker.as_fd(), supervise)))
                .collect();
            let job = Job::new(control.as_fd(), &signals.0, terminal);
            let main = Main {
                control: control.as_fd(),
                supervise,
                deadline: deadline(seconds),
                job: &job,
            };
            let served = begun.and_then(|()| main.serve(lifeline));
            let agent = job.into_agent();
            // Whatever happened: no question is answered any more, and who asks ends.
            drop(control);
            // A mediator that came to its end has seen the session's, and is waited for when it is dropped.
            if served.is_err() {
                wait_until_gone(&mediator, &init, agent.as_ref());
            }
            workers.iter().for_each(shut_down);
            let answered = answering
                .into_iter()
                .map(|thread| thread.join().unwrap_or(Err(Error::MediatorLost)));
            let answered = answered.collect::<Result<Vec<()>, _>>();
            served.and_then(|ended| answered.map(|_| ended))
        });
        drop(relay);
        let is_cut_off = served
            .as_ref()
            .map_or(true, |ended| ended.is_out_of_time || ended.is_ended_early);
        let unwritten = carrying.end(is_cut_off, &signals.0);
        served.map(|ended| Ended {
            unwritten,
            _mediator: Some(mediator),
            ..ended
        })
    }
}

pub(crate) fn shut_down(worker: impl AsFd) {
    // What was sent before is still read; whoever waits for more learns that there is none.
    let _ = rustix::net::shutdown(worker, rustix::net::Shutdown::Both);
}

struct Main<'s, S> {
    control: BorrowedFd<'s>,
    supervise: &'s S,
    deadline: Option<Instant>,
    job: &'s Job<'s>,
}

impl<S: Supervise> Main<'_, S> {
    /// Follows the session. The end of `lifeline`, held here, is the end of everything inside.
    fn serve(&self, lifeline: OwnedFd) -> Result<Ended, Error> {
        let mut lifeline = Some(lifeline);
        let mut ended = Ended::unheard();
        loop {
            // Once its time is over, its end is waited for.
            let deadline = self.deadline.filter(|_| lifeline.is_some());
            let early = self.supervise.early_end().filter(|_| lifeline.is_some());
            match self.wait(deadline, early)? {
                Ready::Signal => self.job.pass_on()?,
                Ready::Fallen => self.job.fall_behind()?,
                Ready::Deadline => {
                    ended.is_out_of_time = true;
                    drop(lifeline.take());
                }
                Ready::End => {
                    ended.is_ended_early = true;
                    drop(lifeline.take());
                }
                Ready::Message => {
                    let message = receive(self.control)?.ok_or(Error::MediatorLost)?;
                    if let Some(outcome) = self.hear(message, &mut ended)? {
                        return Ok(Ended { outcome, ..ended });
                    }
                }
            }
        }
    }

    /// Does what a message asks for. Returns how the session ended, where it did.
    fn hear(&self, message: FromMediator, ended: &mut Ended) -> Result<Option<OutcomeOf>, Error> {
        match message {
            FromMediator::Started { process } => {
                let process = Pid::from_raw(process).ok_or(Error::Garbled)?;
                prefer_when_memory_is_short(process);
                self.job.begins(process)?;
            }
            FromMediator::NotExecuted { errno } => ended.not_executed = Some(errno),
            FromMediator::Stopped { signal } => {
                let stop = || self.job.stop_too(signal);
                self.supervise.holding_nothing(stop)?;
            }
            FromMediator::Outcomes(outcomes) => {
                for Outcome { of, outcome } in outcomes {
                    let recorded = self.supervise.outcome(Index(of), outcome);
                    recorded.map_err(Error::unrecorded)?;
                }
            }
            FromMediator::Nowhere { reaches, unseen } => {
                ended.datagrams_unseen = ended.datagrams_unseen.saturating_add(unseen);
                for reach in reaches {
                    let recorded = self.supervise.nowhere(reach);
                    recorded.map_err(Error::unrecorded)?;
                }
            }
            FromMediator::Changed(found) => {
                self.supervise.changed(found).map_err(Error::unrecorded)?
            }
            FromMediator::Moved {
                moved,
                commits,
                complete,
            } => {
                let recorded = self.supervise.moved(moved, commits, complete);
                recorded.map_err(Error::unrecorded)?;
            }
            FromMediator::Reached(reached) => ended.reached = reached,
            FromMediator::Learnt(learnt) => ended.learnt = learnt,
            FromMediator::Ended { outcome } => return Ok(Some(outcome)),
            FromMediator::Failed(failure) => return Err(Error::Setup { failure }),
            FromMediator::Ready { .. } => return Err(Error::Garbled),
        }
        Ok(None)
    }

    fn wait(
        &self,
        deadline: Option<Instant>,
        early: Option<BorrowedFd<'_>>,
    ) -> Result<Ready, Error> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Ready::Deadline);
            }
            let left = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            });
            // In the order in which they are answered.
            let all = [
                (Ready::End, early),
                (Ready::Message, Some(self.control)),
                (Ready::Signal, Some(self.job.signals())),
                (Ready::Fallen, self.job.fallen()),
            ];
            let all = all
                .into_iter()
                .filter_map(|(ready, end)| Some((ready, end?)));
            let (kinds, mut polled): (Vec<_>, Vec<_>) = all
                .map(|(ready, end)| (ready, PollFd::from_borrowed_fd(end, PollFlags::IN)))
                .unzip();
            match poll(&mut polled, left.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::io("wait for the mediator")(io::Error::from(error)));
                }
            }
            let mut ready = kinds.into_iter().zip(&polled);
            if let Some((ready, _)) = ready.find(|(_, one)| !one.revents().is_empty()) {
                return Ok(ready);
            }
        }
    }
}

/// The files by whose locks sessions take turns that make names on the file system of a workspace. They are empty, and
/// opened for their locks alone.
fn turns(directory: &Path, workspace: &Path) -> io::Result<[OwnedFd; 2]> {
    let device = std::fs::metadata(workspace)?.dev();
    let open = |name: String| {
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::open(directory.join(name), flags, mode)
    };
    Ok([open(device.to_string())?, open(format!("{device}.next"))?])
}

enum Ready {
    Message,
    Signal,
    /// Somebody else is in front.
    Fallen,
    Deadline,
    End,
}

fn deadline(seconds: Option<u64>) -> Option<Instant> {
    // None is left only where the clock cannot count that far.
    seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)))
}

/// Waits until pid 1 is gone, and with it everything inside. It is not gone before the agent's first
/// process is reaped, and where the mediator was killed that is left to us. Until it is wholly gone its
/// threads inherit from one another what it leaves, and nothing of that is ours yet.
fn wait_until_gone(mediator: &Mediator, init: &OwnedFd, agent: Option<&OwnedFd>) {
    let patience = patience();
    // Reaped when it is dropped, so that the number is its own.
    let mediator = pidfd_open(Pid::from_child(&mediator.0), PidfdFlags::empty()).ok();
    if let Some(mediator) = mediator {
        let _ = poll(
            &mut [PollFd::new(&mediator, PollFlags::IN)],
            Some(&patience),
        );
    }
    for process in [agent, Some(init)].into_iter().flatten() {
        let mut polled = [PollFd::new(process, PollFlags::IN)];
        let _ = poll(&mut polled, Some(&patience));
        // Nobody's child but the mediator's, where that lives.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let _ = waitid(WaitId::PidFd(process.as_fd()), options);
    }
}

/// Where the machine runs out of memory, what runs in a session goes before what runs beside it. Inside
/// nobody can change that: `/proc` is not writable there.
fn prefer_when_memory_is_short(agent: Pid) {
    const PREFERENCE: &str = "500"; // of 1000, proc(5)
    let file = format!("/proc/{}/oom_score_adj", agent.as_raw_nonzero());
    // Where the kernel has been told otherwise, or has none of this, its own choice stands.
    let _ = std::fs::write(file, PREFERENCE);
}
