//! The guard's side: it starts the gate when it is first needed, and answers what it asks.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use agentguard_core::{
    Action, Api, Bodies, CredentialName, Digest, Forcing, Index, OutcomeOf, Permit, Push, Reach,
    ReachedBy, Rule, Unrecorded,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::held::Held;
use crate::near::Seat;
use crate::process::Process;
use crate::ssh::{Allowed, Runner};
use crate::wire::{self, Answer, Asked, LONGEST};
use crate::{Error, Settings};

/// Of how many refs of a refused push it is said by which rule each is refused.
const MOST_EXPLAINED: usize = 20;
/// How often a gate is started in one session. One that ends so often is being ended.
const MOST_STARTS: u32 = 8;
/// How long the gate of a session that is over may take to tell what came of the requests that are open. Their
/// clients are dead, so that it has only to notice.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may take to tell of datagrams, if it has to be started for that.
const TELLING: Duration = Duration::from_secs(5);

/// What a session's gate asks, and tells. Each question is settled and recorded before it is answered.
pub trait Govern: Sync {
    /// What the guard admits actions as.
    type Action;

    /// May this host be looked up or connected to? Asked of what the session was not granted, or may not
    /// reach by the address it has, so that there is a rule and an entry: whatever is answered, it is not
    /// reached. Asked as well of a connection of which nothing is to be seen (`ReachedBy::Tunnel`), which is
    /// made where it is permitted.
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn reach(&self, reach: Reach) -> Result<Permit<Self::Action>, Refused>;

    /// What was sent to this host is no request, or not to this host: the gate refuses it by `rule`, which
    /// is to be recorded.
    fn refuse(&self, reach: Reach, rule: Rule) -> Refused;

    /// The placeholder of this credential stands where it may not: the gate refuses that by `rule`. It is to
    /// be recorded, and as a finding too, since nothing that behaves sends it there.
    fn misused(&self, name: &CredentialName, reach: Reach, rule: Rule) -> Refused;

    /// The gate lets something through that whoever reads the log is to know of: a finding.
    ///
    /// # Errors
    ///
    /// Returns why it could not be recorded.
    fn found(&self, rule: Rule) -> Result<(), Unrecorded>;

    /// May this be asked of a host?
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn request(&self, api: Api) -> Result<Permit<Self::Action>, Refused>;

    /// May a server be asked to change refs? The request that asks it was permitted.
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn push(&self, push: Push) -> Result<Permit<Self::Action>, Refused>;

    /// Which rule refuses this, if any does. Asked of parts of a push that was refused, to say which of them it was
    /// for: nothing is permitted by it, and nothing is recorded.
    fn refuses(&self, _push: Push) -> Option<Rule> {
        None
    }

    /// As [`Govern::request`], of one that can wait for a human. `whole` is the digest of all that would be sent, where its
    /// body was read whole: by it the very same request is known again.
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn request_or_wait(
        &self,
        api: Api,
        _whole: Option<Digest>,
    ) -> Result<Requested<Self::Action>, Refused> {
        self.request(api).map(Requested::Permit)
    }

    /// As [`Govern::push`], of one that can wait for a human. By `whole` the very same is known again.
    ///
    /// # Errors
    ///
    /// Returns what the agent is told of a refusal.
    fn push_or_wait(&self, push: Push, _whole: Digest) -> Result<Requested<Self::Action>, Refused> {
        self.push(push).map(Requested::Permit)
    }

    /// What was settled meanwhile of what waits, each of it once.
    #[expect(
        clippy::type_complexity,
        reason = "it is a list of what came of each ticket"
    )]
    fn settled(&self) -> Vec<(Ticket, Result<Permit<Self::Action>, Refused>)> {
        Vec::new()
    }

    /// Whoever sent it does not wait any more. `None` where it was settled.
    fn withdraw(&self, _ticket: Ticket) -> Option<Refused> {
        None
    }

    /// What was admitted, where it may be carried on over SSH: nothing else is asked there.
    fn admitted<'a>(&self, _of: &'a Self::Action) -> Option<&'a Action> {
        None
    }

    /// What came of a request that was permitted, or of a reach that was, and what passed of its bodies.
    ///
    /// # Errors
    ///
    /// Returns why it could not be recorded.
    fn outcome(&self, of: Index, outcome: OutcomeOf, bodies: &Bodies) -> Result<(), Unrecorded>;
}

/// What the agent is told of a refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The rule that refused.
    pub rule: Rule,
    /// The entry that says so, unless the log could not be written.
    pub entry: Option<Index>,
    /// What a human calls the question by that was asked about it, where it can still be answered.
    pub approval: Option<String>,
}

/// What becomes of a request that can wait.
#[derive(Debug)]
pub enum Requested<A> {
    /// It may be sent.
    Permit(Permit<A>),
    /// A human is asked.
    Held {
        /// By which it is known when it is settled.
        ticket: Ticket,
        /// What the human calls the question by.
        approval: String,
    },
}

/// Names a request that waits, as long as its session lasts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// What was made to listen inside the session's network. There are 24 at most.
#[derive(Debug)]
pub struct Listeners {
    /// How connections come to them, and with that who says whom they are to.
    pub forcing: Forcing,
    /// Where connections arrive that are for hosts.
    pub tcp: Vec<OwnedFd>,
    /// Where lookups arrive, over UDP.
    pub dns_udp: Vec<OwnedFd>,
    /// Where lookups arrive, over TCP.
    pub dns_tcp: Vec<OwnedFd>,
    /// What hears of datagrams that go nowhere: the heads of packets arrive there.
    pub datagrams: Vec<OwnedFd>,
    /// How many datagrams one of these had no room for, since it was last asked.
    pub unheard: fn(BorrowedFd<'_>) -> io::Result<u32>,
    /// What tells who connects, or nothing: a line on which [`Calling`](agentguard_core::Calling)s are said, one a
    /// line of text, and a socket of `NETLINK_SOCK_DIAG` inside. They are not waited for.
    pub callers: Vec<OwnedFd>,
}

impl Listeners {
    pub(crate) fn all(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let lists = [&self.tcp, &self.dns_udp, &self.dns_tcp, &self.datagrams];
        lists.into_iter().flatten().map(AsFd::as_fd)
    }

    /// Whether there are datagrams that nobody has told of.
    fn has_datagrams(&self) -> bool {
        let heard = self.datagrams.iter();
        let mut polled: Vec<_> = heard.map(|one| PollFd::new(one, PollFlags::IN)).collect();
        let at_once = rustix::event::Timespec::default();
        poll(&mut polled, Some(&at_once)).is_ok_and(|count| count > 0)
    }

    /// Waits until the gate has told of them: whoever sent them is gone, and no more come.
    fn wait_until_told(&self) {
        let begun = Instant::now();
        while self.has_datagrams() && begun.elapsed() < TELLING {
            // It looks at them for as long as it takes to tell, and nothing wakes us when it has.
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Of how many nobody knows whom they were for.
    fn unheard(&self) -> io::Result<u64> {
        let each = self.datagrams.iter().map(|one| (self.unheard)(one.as_fd()));
        each.map(|count| count.map(u64::from)).sum()
    }

    pub(crate) fn callers(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.callers.iter().map(AsFd::as_fd)
    }
}

/// How a session's gate was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Served {
    /// How often the process was started: not at all where nothing used the network.
    pub starts: u32,
}

/// A session's gate, which is not running until something inside uses the network.
pub struct Gate {
    settings: Settings,
    listeners: Listeners,
}

/// What a wait came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Woken {
    /// The session is over.
    Stopped,
    /// Something else is to be read.
    Other,
}

impl Gate {
    /// Makes the gate of a session. Nothing is started.
    #[must_use]
    pub fn new(settings: Settings, listeners: Listeners) -> Self {
        Self {
            settings,
            listeners,
        }
    }

    /// Serves the session until `stop` becomes readable or its other end is closed; then the gate is ended,
    /// and what it was doing with it. It works in the calling thread and in threads of its own.
    ///
    /// # Errors
    ///
    /// Returns why no gate could be started, or none any more. The listeners are closed by then: nothing
    /// reaches the network.
    pub fn serve<G: Govern>(self, govern: &G, stop: impl AsFd) -> Result<Served, Error> {
        let stop = stop.as_fd();
        let mut starts = 0;
        loop {
            let is_over = wait(stop, self.listeners.all())? == Woken::Stopped;
            if is_over && !self.listeners.has_datagrams() {
                return Ok(Served { starts });
            }
            if starts == MOST_STARTS {
                return Err(Error::Lost { starts });
            }
            starts += 1;
            let mut process = Process::start(&self.settings, &self.listeners)?;
            let runner = Runner::new(&self.settings);
            if attend((govern, &runner), (&mut process, &self.listeners), stop)? == Woken::Stopped {
                return Ok(Served { starts });
            }
        }
    }
}

/// Waits until `stop` or one of `others` is to be read, or at its end.
fn wait<'f>(
    stop: BorrowedFd<'f>,
    others: impl Iterator<Item = BorrowedFd<'f>>,
) -> Result<Woken, Error> {
    let all = std::iter::once(stop).chain(others);
    let mut polled: Vec<_> = all
        .map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN))
        .collect();
    loop {
        match poll(&mut polled, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::io("wait for the session's network")(error)),
        }
    }
    let is_stopped = polled.first().is_none_or(|stop| !stop.revents().is_empty());
    Ok(if is_stopped {
        Woken::Stopped
    } else {
        Woken::Other
    })
}

/// Answers a process until the session is over or it ends. It is dead when this returns.
fn attend<G: Govern>(
    (govern, runner): (&G, &Runner<'_>),
    (process, listeners): (&mut Process, &Listeners),
    stop: BorrowedFd<'_>,
) -> Result<Woken, Error> {
    let open = &Open::default();
    let lines = process.take_lines();
    let held = Held::new(process.take_held().ok_or(Error::Garbled)?);
    let held = &held;
    let ssh = process.take_ssh().ok_or(Error::Garbled)?;
    let control = &process.control()?;
    let (woken, ended) = thread::scope(|scope| {
        let (wake, woken) = mpsc::channel();
        let mut answering: Vec<_> = lines
            .into_iter()
            .map(|line| {
                let wake = wake.clone();
                let answering = Answering { open, held, wake };
                scope.spawn(move || ending(control, answer_all(govern, &answering, line)))
            })
            .collect();
        // It ends with the last line.
        drop(wake);
        answering.push(scope.spawn(move || ending(control, held.watch((govern, open), &woken))));
        answering.push(scope.spawn(move || ending(control, runner.serve(open, ssh))));
        let woken = wait(stop, std::iter::once(control.as_fd()));
        if matches!(woken, Ok(Woken::Stopped)) {
            open.wait_until_none(PATIENCE);
            listeners.wait_until_told();
        }
        // Its lines end with it, and so do the threads.
        process.end();
        let ended: Result<(), Error> = answering
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or(Err(Error::Garbled)));
        (woken, ended)
    });
    held.withdraw_all(govern);
    if matches!(woken, Ok(Woken::Stopped)) {
        tell_unheard(govern, listeners)?;
    }
    // What it was doing is over as well, whatever it had to say about it.
    let left = std::mem::take(&mut *open.requests());
    for index in left.into_keys() {
        let why = "the gate ended".to_owned();
        let outcome = OutcomeOf::Unanswered { why };
        let recorded = govern.outcome(Index(index), outcome, &Bodies::UNKNOWN);
        recorded.map_err(unrecorded)?;
    }
    ended?;
    woken
}

/// Has it written down that there were datagrams of which nobody knows whom they were for.
fn tell_unheard<G: Govern>(govern: &G, listeners: &Listeners) -> Result<(), Error> {
    let unheard = listeners.unheard();
    let unheard = unheard.map_err(Error::io("count datagrams"))?;
    let reason = match unheard {
        0 if !listeners.has_datagrams() => return Ok(()),
        0 => "there were more datagrams that went nowhere than could be told apart".to_owned(),
        many => {
            format!("{many} datagrams went nowhere of which it was not seen whom they were for")
        }
    };
    let found = govern.found(Rule::new("gate/datagram", reason));
    found.map_err(unrecorded)
}

/// The requests that were permitted and have no outcome yet.
#[derive(Default)]
pub(crate) struct Open {
    requests: Mutex<BTreeMap<u64, Option<Allowed>>>,
    /// Told when there is one less.
    fewer: Condvar,
}

impl Open {
    /// Adds what was permitted, and returns the entry that says so.
    pub(crate) fn add<G: Govern>(&self, govern: &G, permit: Permit<G::Action>) -> u64 {
        let (action, Index(entry)) = permit.spend();
        let allowed = govern.admitted(&action).and_then(Allowed::of);
        self.requests().insert(entry, allowed);
        entry
    }

    /// Looks at what of it may be carried on over SSH.
    pub(crate) fn with_allowed<T>(&self, look: impl FnOnce(&[&Allowed]) -> T) -> T {
        let requests = self.requests();
        let allowed: Vec<_> = requests.values().flatten().collect();
        look(&allowed)
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Option<Allowed>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was open. Recorded is what came of it before anybody hears that it is not.
    fn close(
        &self,
        request: u64,
        record: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.remove(&request).is_none() {
            return Ok(false);
        }
        record()?;
        self.fewer.notify_all();
        Ok(true)
    }

    fn wait_until_none(&self, patience: Duration) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let some = |requests: &mut BTreeMap<_, _>| !requests.is_empty();
        drop(self.fewer.wait_timeout_while(requests, patience, some));
    }
}

/// What the lines of one gate share.
struct Answering<'o> {
    open: &'o Open,
    held: &'o Held,
    wake: Sender<()>,
}

impl Answering<'_> {
    /// What may be done, or waits.
    fn requested<G: Govern>(
        &self,
        govern: &G,
        requested: Result<Requested<G::Action>, Refused>,
    ) -> Answer {
        match requested {
            Ok(Requested::Held { ticket, approval }) => {
                self.held.hold(ticket, &self.wake);
                let Ticket(ticket) = ticket;
                Answer::Held { ticket, approval }
            }
            Ok(Requested::Permit(permit)) => permitted((govern, self.open), Ok(permit)),
            Err(refused) => refused.into(),
        }
    }
}

/// A line that is gone takes the others with it: where one cannot be served, the gate is ended.
fn ending(control: &UnixStream, served: Result<(), Error>) -> Result<(), Error> {
    let _ = control.shutdown(std::net::Shutdown::Both);
    served
}

/// Answers on one line until it ends.
fn answer_all<G: Govern>(
    govern: &G,
    answering: &Answering<'_>,
    line: UnixStream,
) -> Result<(), Error> {
    let mut line = BufReader::new(line);
    let mut seat = Seat::new();
    loop {
        let asked = match wire::receive(&mut line, LONGEST) {
            Ok(Some(Asked::Near(to))) => {
                seat.keep_to(to);
                continue;
            }
            Ok(Some(asked)) => asked,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Error::Garbled),
            Err(error) => return Err(Error::io("hear the gate")(error)),
        };
        let Some(answer) = settle(govern, answering, asked)? else {
            continue;
        };
        match wire::send(line.get_mut(), &answer) {
            Ok(()) => {}
            Err(error) if wire::is_end(&error) => return Ok(()),
            Err(error) => return Err(Error::io("answer the gate")(error)),
        }
    }
}

/// Settles what is asked. What is told has no answer.
fn settle<G: Govern>(
    govern: &G,
    answering: &Answering<'_>,
    asked: Asked,
) -> Result<Option<Answer>, Error> {
    let open = answering.open;
    Ok(Some(match asked {
        Asked::Reach(reach) => match govern.reach(reach) {
            Ok(permit) => never(govern, permit)?,
            Err(refused) => refused.into(),
        },
        Asked::Tunnel(reach) => match reach.by {
            ReachedBy::Tunnel => permitted((govern, open), govern.reach(reach)),
            ReachedBy::Lookup | ReachedBy::Connect => return Err(Error::Garbled),
        },
        Asked::Refuse(reach, rule) => govern.refuse(reach, rule).into(),
        Asked::Misused(name, reach, rule) => govern.misused(&name, reach, rule).into(),
        Asked::Found(rule) => {
            govern.found(rule).map_err(unrecorded)?;
            return Ok(None);
        }
        Asked::Push(push, whole) => pushed(govern, answering, *push, whole),
        Asked::Api(api, whole) => answering.requested(govern, govern.request_or_wait(*api, whole)),
        // Whoever answers sees to that.
        Asked::Near(_) => return Ok(None),
        Asked::Withdraw { ticket } => {
            answering.held.withdraw((govern, open), Ticket(ticket))?;
            return Ok(None);
        }
        Asked::Outcome {
            of,
            outcome,
            bodies,
        } => {
            let record = || {
                let recorded = govern.outcome(Index(of), outcome, &bodies);
                recorded.map_err(unrecorded)
            };
            return match open.close(of, record)? {
                true => Ok(None),
                false => Err(Error::Garbled),
            };
        }
    }))
}

/// What the gate may do, and will tell the outcome of.
fn permitted<G: Govern>(
    (govern, open): (&G, &Open),
    permit: Result<Permit<G::Action>, Refused>,
) -> Answer {
    match permit {
        Ok(permit) => Answer::Permitted {
            entry: open.add(govern, permit),
        },
        Err(refused) => refused.into(),
    }
}

/// Of a push that is refused, whoever sent it hears of each ref what is to be said of it.
fn pushed<G: Govern>(govern: &G, answering: &Answering<'_>, push: Push, whole: Digest) -> Answer {
    let refs = push.refs.clone();
    let asked = push.clone();
    let mut answer = answering.requested(govern, govern.push_or_wait(push, whole));
    if let Answer::Refused { each, .. } = &mut answer
        && refs.len() > 1
    {
        let alone = refs.into_iter().take(MOST_EXPLAINED).map(|update| Push {
            refs: vec![update],
            ..asked.clone()
        });
        *each = alone.map(|push| govern.refuses(push)).collect();
    }
    answer
}

/// Rules may allow what the session was not granted; it is not reached all the same.
fn never<G: Govern>(govern: &G, permit: Permit<G::Action>) -> Result<Answer, Error> {
    let (_, index) = permit.spend();
    let reason = "the rules allow it, and the session was not granted it";
    let why = reason.to_owned();
    let outcome = OutcomeOf::Unanswered { why };
    let recorded = govern.outcome(index, outcome, &Bodies::UNKNOWN);
    recorded.map_err(unrecorded)?;
    let rule = Rule::new("gate/not-granted", reason)
        .with_remedy("add it to `hosts` of `agentguard.sandbox`");
    Ok(Answer::Refused {
        rule,
        entry: Some(index.0),
        approval: None,
        each: Vec::new(),
    })
}

pub(crate) fn unrecorded(source: Unrecorded) -> Error {
    Error::Unrecorded { source }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self::Refused {
            rule: refused.rule,
            entry: refused.entry.map(|index| index.0),
            approval: refused.approval,
            each: Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
