//! The mediator's life: take the plan, build, wait for the word, serve, end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentguard_core::{Held, Network, OutcomeOf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions,
    WaitOptions, WaitStatus, getrlimit, pidfd_open, pidfd_send_signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, waitid,
};

use seccompiler::BpfProgram;

use super::agent::{self, Agent, Go, NotRun};
use super::attributes::Trees;
use super::bounds::Bounds;
use super::caller::Processes;
use super::calling::Callings;
use super::early::Early;
use super::exec::{Shared, Worker};
use super::explain::Told;
use super::front::Front;
use super::image::Images;
use super::messages::Copied;
use super::names::Names;
use super::nowhere::Nowhere;
use super::peers::Peers;
use super::seats::{Seat, Seats};
use super::setup::{self, Around, Stage, give_up_capabilities};
use super::waits::Waits;
use super::watch::Watch;
use crate::error::{Error, Failure, Step};
use crate::plan::{Layer, Plan};
use crate::sys::Listener;
use crate::wire::{
    Ahead, FromGuard, FromMediator, Line, WORKERS, receive, receive_descriptors, send,
    send_descriptors,
};
use crate::{again, doctor, filter, sys};

/// The name under which a program runs itself as a mediator.
pub(crate) const NAME: &str = "agentguard-mediator";
/// How often refs and stops are looked for, in nanoseconds.
const PAUSE: i64 = 100_000_000;
/// How much longer than its time a session may take: its guard ends it then, unless that was stopped with it.
const GRACE: Duration = Duration::from_secs(1);

/// Runs this process as a mediator or a prober, where a guard started it as one, and then does not return.
///
/// A program that guards sessions calls this before anything else in `main`: the mediator is the same
/// program, started anew without secrets and without threads.
pub fn enter_if_asked() {
    // It fails for numbers that are no signal's only.
    let _ = sys::forget_callers();
    let run = match std::env::args_os().next() {
        Some(name) if name == NAME => run,
        Some(name) if name == doctor::NAME => doctor::run,
        Some(_) | None => return,
    };
    sys::end(again::take_line().map_or(2, |control| run(&control)));
}

fn run(control: &OwnedFd) -> i32 {
    match mediate(control.as_fd()) {
        Ok(()) => 0,
        Err(failure) => {
            let _ = send(control, &FromMediator::Failed(failure));
            1
        }
    }
}

/// Takes as many descriptors as this process may have: whoever waits in a connect holds some, and a login shell allows a
/// thousand.
fn take_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    // Where it cannot have them, fewer may wait.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

/// Where the guard's descriptors stand, in the order in which it sends them.
struct Lines {
    lifeline: OwnedFd,
    workers: Vec<OwnedFd>,
    /// The session's, where there is one.
    terminal: Option<OwnedFd>,
}

fn mediate(control: BorrowedFd<'_>) -> Result<(), Failure> {
    let lost = |error: Error| Failure::new("talk to the guard", error.to_string());
    set_parent_process_death_signal(Some(Signal::KILL)).step("tie the mediator to the guard")?;
    sys::share_one_heap();
    take_descriptors();
    let _signals = sys::block_forwarded().step("block signals")?;
    let mut descriptors = receive_descriptors(control).map_err(lost)?.into_iter();
    let streams = [(); 3].map(|()| descriptors.next());
    let ([Some(stdin), Some(stdout), Some(stderr)], Some(lifeline)) = (streams, descriptors.next())
    else {
        return Err(Failure::new("talk to the guard", "no lifeline came"));
    };
    rustix::stdio::dup2_stdin(stdin).step("take over standard input")?;
    rustix::stdio::dup2_stdout(stdout).step("take over standard output")?;
    rustix::stdio::dup2_stderr(stderr).step("take over standard error")?;
    let lines = Lines {
        lifeline,
        workers: descriptors.by_ref().take(WORKERS).collect(),
        terminal: descriptors.next(),
    };
    // While the guard still makes its plan.
    let for_mediator = filter::for_mediator().map_err(not_compiled)?;
    let mut early = None;
    let plan = loop {
        match receive::<Ahead<Box<Plan>>>(control).map_err(lost)? {
            Some(Ahead::Known(user, network)) => early = Some(Early::make(user, network)),
            Some(Ahead::Plan(plan)) => break *plan,
            None => return Err(Failure::new("talk to the guard", "no plan came")),
        }
    };
    let (group, turns) = receive_beside(control, &plan)?;
    let (mut stage, mut first_look) = setup::build(&plan, lines.lifeline, early)?;
    // Whoever else lives as long as the session has left that of the caller too.
    let front = Front::take(lines.terminal, &stage.niceness)?;
    let in_memory = std::mem::take(&mut first_look.in_memory);
    let watch = Watch::begin(&plan, first_look)?;
    tell_ready(control, &mut stage, watch.start_of_session()).map_err(lost)?;
    // While the guard writes down that the session begins: the agent's process waits, and runs nothing.
    let filter = filter_for(&plan, matches!(stage.around, Around::Scope(_)))?;
    let making = agent::make(&plan, &stage, &filter, group)?;
    // While it confines itself:
    let peers = Peers::of(&plan, in_memory, stage.proc.as_fd())?;
    close_up(&plan, &for_mediator)?;
    let agent = making.finish()?;
    let names = Names::of(&plan, watch.led().clone(), turns);
    let serving = Serving::begin(&plan, (stage, peers), (agent, front), lines.workers, names);
    let serving = serving.map_err(lost)?;
    match receive(control).map_err(lost)? {
        Some(FromGuard::Start { in_front }) => {
            let served = serving.serve((control, in_front), &plan, watch);
            served.map_err(lost)
        }
        Some(FromGuard::GoOn { .. } | FromGuard::Behind | FromGuard::Signal(_)) | None => {
            serving.give_up();
            Ok(())
        }
    }
}

/// What the guard sends along with a plan: the entrance to the session's group, and the files by which sessions take turns.
fn receive_beside(
    control: BorrowedFd<'_>,
    plan: &Plan,
) -> Result<(Option<OwnedFd>, Option<[OwnedFd; 2]>), Failure> {
    let lost = |reason: String| Failure::new("talk to the guard", reason);
    let received = || receive_descriptors(control).map_err(|error| lost(error.to_string()));
    let group = match plan.confinement.limits.held {
        Held::Session => received()?.pop(),
        Held::Process => None,
    };
    let turns = match plan.turns {
        Some(_) => {
            let both: Result<[OwnedFd; 2], _> = received()?.try_into();
            Some(both.map_err(|_| lost("no files for turns came".to_owned()))?)
        }
        None => None,
    };
    Ok((group, turns))
}

/// Says that the session stands, and hands over what listens inside.
fn tell_ready(
    control: BorrowedFd<'_>,
    stage: &mut Stage,
    (refs, branch): (Vec<String>, Option<String>),
) -> Result<(), Error> {
    let gate = stage.gate.as_ref();
    let all = [
        stage.listeners.as_slice(),
        gate.map_or(&[], |gate| &gate.connections),
        gate.map_or(&[], |gate| &gate.lookups),
        gate.map_or(&[], |gate| &gate.lookup_connections),
        gate.map_or(&[], |gate| &gate.datagrams),
        gate.map_or(&[], |gate| &gate.callers),
    ];
    let ready = FromMediator::Ready {
        refs,
        branch,
        init: stage.init.as_raw_nonzero().get(),
        mediator: rustix::process::getpid().as_raw_nonzero().get(),
        forcing: gate.map(|gate| gate.forcing),
        listeners: all.map(|some| u32::try_from(some.len()).unwrap_or(0)),
    };
    send(control, &ready)?;
    let listening: Vec<BorrowedFd<'_>> = all.into_iter().flatten().map(AsFd::as_fd).collect();
    for some in listening.chunks(8) {
        send_descriptors(control, some)?;
    }
    // From here on they are the guard's alone: what it closes is closed.
    (stage.listeners, stage.gate) = (Vec::new(), None);
    Ok(())
}

/// The agent's filter.
fn filter_for(plan: &Plan, is_beside: bool) -> Result<BpfProgram, Failure> {
    // Without mounts of its own nothing holds what is there, and names are no promise.
    let judged = match plan.confinement.places.is_empty() {
        _ if is_beside => filter::Judged::Nothing,
        _ if !plan.replaceable.is_empty() => filter::Judged::Opens,
        true => filter::Judged::Nothing,
        false => filter::Judged::Names,
    };
    let beside = is_beside.then_some(plan.confinement.network);
    // On the host's network nothing is refused that leads there.
    let confinement = &plan.confinement;
    let handed_in = !confinement.sockets.is_empty() && confinement.network != Network::Host;
    let compiled = match plan.without.contains(&Layer::Filter) {
        true => filter::only_asking(judged, beside, handed_in),
        false => filter::for_agent(plan.become_user.is_some(), judged, beside, handed_in),
    };
    compiled.map_err(not_compiled)
}

fn not_compiled(error: Error) -> Failure {
    Failure::new("compile the filter", error.to_string())
}

/// Ends everything inside, and returns when nothing of it is left.
fn end_everything(around: Around, init: Pid, listener: &Listener) {
    match around {
        // The end of the lifeline is pid 1's; it is waited for, and with it all.
        Around::Namespaces { lifeline, .. } => {
            drop(lifeline);
            while let Err(rustix::io::Errno::INTR) =
                rustix::process::waitpid(Some(init), WaitOptions::empty())
            {}
        }
        Around::Scope(beside) => beside.end(listener),
    }
}

/// Keeps nothing but the Landlock domain, and no way to start a program.
fn close_up(plan: &Plan, filter: &BpfProgram) -> Result<(), Failure> {
    give_up_capabilities()?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step("close the mediator to readers")?;
    if plan.without.contains(&Layer::Filter) {
        return Ok(());
    }
    sys::install_filter(filter).step("filter the mediator")
}

/// A session in which everything is ready, and nothing runs but who will answer.
struct Serving {
    shared: Arc<Shared>,
    around: Around,
    front: Front,
    init: Pid,
    go: OwnedFd,
    report: OwnedFd,
}

impl Serving {
    /// Starts the threads that answer. Nobody asks before the agent is told to go on.
    fn begin(
        plan: &Plan,
        (stage, peers): (Stage, Peers),
        (agent, front): (Agent, Front),
        guards: Vec<OwnedFd>,
        names: Names,
    ) -> Result<Self, Error> {
        let processes = Processes::new(stage.proc);
        let (scope, writable) = match &stage.around {
            Around::Namespaces { .. } => (None, None),
            Around::Scope(beside) => (Some(beside.scope()), Some(Trees::of(plan, &processes))),
        };
        let shared = Arc::new(Shared {
            listener: agent.listener,
            processes,
            images: Images::new(plan),
            told: Told::new(&plan.confinement.mute),
            peers,
            waits: Waits::default(),
            callings: stage.callings.map(Callings::new),
            ways: stage.ways,
            seats: Seats::default(),
            agent: agent.process,
            scope,
            writable,
            has_begun: AtomicBool::new(false),
            ended: Mutex::new(None),
            names,
            outcomes: Mutex::default(),
            nowhere: Nowhere::default(),
            copied: Copied::default(),
        });
        sys::be_woken().map_err(Error::io("be woken"))?;
        start_thread("waits", {
            let shared = Arc::clone(&shared);
            move || Waits::watch(&shared)
        })?;
        for guard in guards {
            start_worker(&shared, &Seat::new(Some(Line::new(guard))))?;
        }
        Ok(Self {
            shared,
            around: stage.around,
            front,
            init: stage.init,
            go: agent.go,
            report: agent.report,
        })
    }

    /// Ends a session that was not to begin, and waits until nothing is left of it.
    fn give_up(self) {
        drop((self.go, self.around));
        for process in [self.shared.agent, self.init] {
            while let Err(rustix::io::Errno::INTR) =
                rustix::process::waitpid(Some(process), super::exec::wait_options())
            {}
        }
    }

    /// Lets the agent go on, and serves it to its end.
    fn serve(
        self,
        (control, in_front): (BorrowedFd<'_>, bool),
        plan: &Plan,
        watch: Watch,
    ) -> Result<(), Error> {
        let shared = self.shared;
        let handle = pidfd_open(shared.agent, PidfdFlags::empty())
            .map_err(|error| Error::io("watch the agent")(error.into()))?;
        let process = shared.agent.as_raw_nonzero().get();
        // Before what is typed comes.
        self.front.set(shared.agent, in_front);
        send(control, &FromMediator::Started { process })?;
        shared.listener.wake_synchronously();
        // Nobody reads it any more where the agent's process has ended, which is met below.
        let _ = send(&self.go, &Go);
        let mut looking = Looking {
            watch,
            bounds: Bounds::of(plan),
            end: end_of(plan),
        };
        let not_run = wait_for_agent(
            (control, &self.around, &self.front),
            (&handle, &self.report),
            &shared,
            &mut looking,
        )?;
        let outcome = outcome_of(status_of(&shared));
        end_everything(self.around, self.init, &shared.listener);
        shared.seats.wait_until_left();
        match not_run {
            Some(NotRun::Failed(why)) => return send(control, &FromMediator::Failed(why)),
            Some(NotRun::NotExecuted { errno }) => {
                send(control, &FromMediator::NotExecuted { errno })?;
            }
            None => {}
        }
        tell_outcomes(control, &shared)?;
        looking.finish(control)?;
        send(control, &FromMediator::Learnt(shared.images.learnt()))?;
        send(control, &FromMediator::Ended { outcome })
    }
}

/// What is looked after while the agent runs.
struct Looking {
    watch: Watch,
    bounds: Bounds,
    /// When its time is over for certain.
    end: Option<Instant>,
}

impl Looking {
    /// Tells what has become of it once everything inside is dead.
    fn finish(mut self, control: BorrowedFd<'_>) -> Result<(), Error> {
        self.watch.finish(control)?;
        send(control, &FromMediator::Reached(self.bounds.reached()))
    }
}

/// Starts a worker at a seat.
pub(super) fn start_worker(shared: &Arc<Shared>, seat: &Arc<Seat>) -> Result<(), Error> {
    let (in_thread, own) = (Arc::clone(shared), Arc::clone(seat));
    let work = move || {
        // A mask of its own, and a working directory that it does not use.
        if sys::unshare(libc::CLONE_FS).is_err() {
            sys::end(1);
        }
        let shared = in_thread;
        let worker = Worker {
            shared: &shared,
            seat: Arc::clone(&own),
        };
        if worker.run().is_err() && !worker.is_over() {
            // Without its guard no verdict can be had: everything inside ends with this process.
            shared.scope.iter().for_each(sys::end_scope);
            sys::end(1);
        }
        shared.seats.leave(&own);
    };
    start_thread("worker", work)?;
    shared.seats.add(seat);
    Ok(())
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(work);
    started.map(|_| ()).map_err(Error::io("start a thread"))
}

/// Waits until the agent's first process is gone, looking after refs and stops meanwhile.
fn wait_for_agent(
    (control, around, front): (BorrowedFd<'_>, &Around, &Front),
    (handle, report): (&OwnedFd, &OwnedFd),
    shared: &Shared,
    looking: &mut Looking,
) -> Result<Option<NotRun>, Error> {
    let mut not_run = None;
    let (mut is_reporting, mut is_stopped) = (true, false);
    // A guard that is stopped reads nothing, and whoever waits for that ends no session in time.
    let mut is_heard = true;
    loop {
        let mut polled = vec![
            PollFd::new(handle, PollFlags::IN),
            PollFd::new(&control, PollFlags::IN),
        ];
        if is_reporting {
            polled.push(PollFd::new(report, PollFlags::IN));
        }
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: PAUSE,
        };
        match poll(&mut polled, Some(&pause)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::io("wait for the agent")(error.into())),
        }
        let is_ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
        drop(polled);
        if is_reporting && is_ready.get(2) == Some(&true) {
            not_run = receive::<NotRun>(report).ok().flatten();
            is_reporting = false;
        }
        if is_ready.first() == Some(&true) {
            return Ok(not_run);
        }
        if is_ready.get(1) == Some(&true) {
            is_heard = true;
            let message = receive(control)?.ok_or(Error::Garbled)?;
            // It may be stopped anew from here on, which is to be told anew.
            is_stopped &= !obey(&message, front, shared)?;
        }
        if let Around::Scope(beside) = around {
            beside.tend(shared.agent);
        }
        if is_heard {
            tell_outcomes(control, shared)?;
            let was_stopped =
                std::mem::replace(&mut is_stopped, shared.processes.is_stopped(shared.agent));
            if is_stopped && !was_stopped {
                tell_stop(control, shared)?;
                is_heard = !front.stops_guard();
            }
            looking.watch.look(control)?;
        }
        looking.bounds.look();
        if looking.end.is_some_and(|end| end <= Instant::now()) {
            // One that is gone is met above.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }
}

/// Does what the guard says. Returns whether the agent goes on, if it was stopped.
fn obey(message: &FromGuard, front: &Front, shared: &Shared) -> Result<bool, Error> {
    let goes_on = match *message {
        FromGuard::GoOn { in_front } => {
            front.set(shared.agent, in_front);
            true
        }
        FromGuard::Behind => {
            front.set(shared.agent, false);
            false
        }
        FromGuard::Signal(number) => {
            front.signal(shared.agent, number);
            // Its guard was not stopped with it, so that no shell sends it on to hear of that.
            number != libc::SIGTSTP && shared.processes.is_stopped(shared.agent)
        }
        FromGuard::Start { .. } => return Err(Error::Garbled),
    };
    if goes_on {
        front.signal(shared.agent, libc::SIGCONT);
    }
    Ok(goes_on)
}

fn end_of(plan: &Plan) -> Option<Instant> {
    let time = Duration::from_secs(plan.confinement.limits.seconds?);
    Instant::now().checked_add(time)?.checked_add(GRACE)
}

fn tell_outcomes(control: BorrowedFd<'_>, shared: &Shared) -> Result<(), Error> {
    let outcomes = std::mem::take(
        &mut *shared
            .outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    if !outcomes.is_empty() {
        send(control, &FromMediator::Outcomes(outcomes))?;
    }
    let (reaches, unseen) = shared.nowhere.take();
    match reaches.is_empty() {
        true => Ok(()),
        false => send(control, &FromMediator::Nowhere { reaches, unseen }),
    }
}

/// Tells that the agent's first process was stopped.
fn tell_stop(control: BorrowedFd<'_>, shared: &Shared) -> Result<(), Error> {
    // Left as it is: whoever traces it waits for its stops.
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let found = waitid(WaitId::Pid(shared.agent), options).ok().flatten();
    let signal = found.and_then(|found| found.stopping_signal());
    send(control, &FromMediator::Stopped { signal })
}

/// How the agent's first process ended, once it has. A worker that traces it is the one to reap it.
fn status_of(shared: &Shared) -> Option<WaitStatus> {
    loop {
        let noted = *shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_some() {
            return noted;
        }
        if shared.processes.is_traced(shared.agent) {
            std::thread::yield_now();
            continue;
        }
        match rustix::process::waitpid(Some(shared.agent), super::exec::wait_options()) {
            Ok(Some((_, status))) if status.exited() || status.signaled() => return Some(status),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // A worker reaped it just now, and is about to note it.
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn outcome_of(status: Option<WaitStatus>) -> OutcomeOf {
    match status {
        Some(status) if status.exited() => OutcomeOf::Exited {
            code: status.exit_status().unwrap_or(1),
        },
        Some(status) => OutcomeOf::Signaled {
            signal: status.terminating_signal().unwrap_or(libc::SIGKILL),
        },
        None => OutcomeOf::Signaled {
            signal: libc::SIGKILL,
        },
    }
}
