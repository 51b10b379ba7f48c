//! Workers that a file system keeps: what does not answer takes none away from others.
//!
//! A call on a file system that never answers cannot be broken off, not even by SIGKILL (`request_wait_answer` in
//! fs/fuse/dev.c; NFS mounted hard). So a worker that gets no further gives its line to the guard to another one,
//! and finishes what it is at without one of its own. Who asked waits on, as it
//! would have without us, but not for ever: then its call fails, and an exec that was let go is ended before it
//! runs anything. A worker that was only slow, as by a large program on a busy machine, asks on another's line.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentguard_core::{OutcomeOf, Rule};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::gettid;

use super::exec::{Shared, Worker};
use crate::error::Error;
use crate::sys::Notification;
use crate::wire::{Answer, FromWorker, Line};

/// Between two looks. What is seen at them counts and no clock does: while nothing runs, nobody is late.
const PAUSE: Duration = Duration::from_millis(500);
/// How soon it is seen that all workers have left.
const TURN: Duration = Duration::from_micros(200);
/// A worker that is seen at one step so often is replaced: after a second.
const LATE: u32 = 2;
/// Whoever waits for a worker that is seen at one step so often is told that it failed: after half a minute.
const TOO_LATE: u32 = 60;
/// How often a line is looked for that another worker has.
const MOST_LOOKS: u32 = 16;
/// More workers are not kept at once: then others wait for these.
const MOST: usize = 512;

/// Where one worker answers from.
#[derive(Debug)]
pub(super) struct Seat(Mutex<At>);

#[derive(Debug)]
struct At {
    /// None where another worker has it by now.
    line: Option<Line<OwnedFd>>,
    work: Option<Work>,
    /// The worker's thread, once it has begun.
    thread: Option<Pid>,
}

/// What a worker is at.
#[derive(Clone, Copy, Debug)]
struct Work {
    asked: Notification,
    /// How often it was seen at this step.
    seen: u32,
    /// What it traces, and the entry that allowed that.
    traced: Option<(Pid, u64)>,
    /// Whether that was killed, and its end told.
    is_given_up: bool,
    /// Whether it waits for the guard on another worker's line.
    is_asking: bool,
}

impl Seat {
    pub(super) fn new(line: Option<Line<OwnedFd>>) -> Arc<Self> {
        let at = At {
            line,
            work: None,
            thread: None,
        };
        Arc::new(Self(Mutex::new(at)))
    }

    /// The worker begins with a question.
    pub(super) fn begin(&self, asked: &Notification) {
        let mut at = self.at();
        at.thread.get_or_insert_with(gettid);
        at.work = Some(Work {
            asked: *asked,
            seen: 0,
            traced: None,
            is_given_up: false,
            is_asking: false,
        });
    }

    /// The worker traces `process`, of which an entry allowed an exec.
    pub(super) fn trace(&self, process: Pid, entry: u64) {
        if let Some(work) = &mut self.at().work {
            work.traced = Some((process, entry));
            work.seen = 0;
        }
    }

    /// The worker is done. Whether the seat is still its own.
    pub(super) fn end(&self) -> bool {
        let mut at = self.at();
        at.work = None;
        at.line.is_some()
    }

    /// Whether what the worker traced was given up, and its end told.
    pub(super) fn is_given_up(&self) -> bool {
        self.at().work.is_some_and(|work| work.is_given_up)
    }

    /// From now on it waits for the guard on another's line, or does so no more.
    fn asks(&self, is_asking: bool) {
        if let Some(work) = &mut self.at().work {
            work.is_asking = is_asking;
            work.seen = 0;
        }
    }

    /// Asks the guard. `None` where another worker has the line by now.
    fn ask(&self, question: &FromWorker<'_>) -> Result<Option<Answer>, Error> {
        let mut at = self.at();
        let At { line, work, .. } = &mut *at;
        let Some(line) = line else { return Ok(None) };
        line.send(question)?;
        let answer = line.receive()?.ok_or(Error::Garbled)?;
        // The guard's time is not its own.
        work.iter_mut().for_each(|work| work.seen = 0);
        Ok(Some(answer))
    }

    /// Tells the guard, where this worker can. Whether it could.
    pub(super) fn tell(&self, message: &FromWorker<'_>) -> Result<bool, Error> {
        match &self.at().line {
            Some(line) => line.send(message).map(|()| true),
            None => Ok(false),
        }
    }

    fn at(&self) -> std::sync::MutexGuard<'_, At> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All seats, also of workers that were replaced and are not done.
#[derive(Debug, Default)]
pub(super) struct Seats {
    all: Mutex<Vec<Arc<Seat>>>,
    last_look: Mutex<Option<Instant>>,
}

impl Seats {
    pub(super) fn add(&self, seat: &Arc<Seat>) {
        self.all().push(Arc::clone(seat));
    }

    /// Asks the guard for a worker: on its own line, or on one of another's, once that is free.
    pub(super) fn ask(&self, own: &Seat, question: &FromWorker<'_>) -> Result<Answer, Error> {
        if let Some(answer) = own.ask(question)? {
            return Ok(answer);
        }
        own.asks(true);
        // A line may be on its way to another seat while we look.
        let answer = (0..MOST_LOOKS).find_map(|_| {
            let others = self.all().clone();
            others
                .iter()
                .find_map(|seat| seat.ask(question).transpose())
        });
        own.asks(false);
        answer.unwrap_or(Err(Error::Garbled))
    }

    /// Tells the guard on any worker's line.
    pub(super) fn tell(&self, message: &FromWorker<'_>) {
        let others = self.all().clone();
        // Where no line is left, the guard is gone, and so is whatever it should know.
        let _ = others
            .iter()
            .find(|seat| matches!(seat.tell(message), Ok(true)));
    }

    /// Waits for workers that have still to say what came of something, but for those that a file system keeps.
    pub(super) fn wait_until_left(&self) {
        let begun = Instant::now();
        while !self.all().is_empty() && begun.elapsed() < PAUSE {
            // They notice by themselves that nobody is left to ask, and tell nobody.
            std::thread::sleep(TURN);
        }
    }

    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        self.all().retain(|one| !Arc::ptr_eq(one, seat));
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Seat>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self) -> bool {
        let mut last = self
            .last_look
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }

    /// Replaces who is late, and gives up what is too late.
    pub(super) fn look(shared: &Arc<Shared>) {
        if !shared.seats.is_due() {
            return;
        }
        let seats = shared.seats.all().clone();
        let is_full = seats.len() >= MOST;
        for seat in seats {
            // Who holds it asks the guard just now.
            let Ok(mut at) = seat.0.try_lock() else {
                continue;
            };
            let At { line, work, thread } = &mut *at;
            let Some(work) = seen_again(work) else {
                continue;
            };
            if work.seen >= LATE && !is_full {
                stand_in(shared, line);
            }
            match work.traced {
                Some(traced) if work.seen == TOO_LATE => {
                    work.is_given_up = thread.is_some_and(|thread| end(shared, traced, thread));
                }
                None if work.seen >= TOO_LATE => refuse_late(shared, *work),
                Some(_) | None => {}
            }
        }
    }
}

/// Counts a look at what a worker is at. None where it is at nothing, or waits for the guard: the guard's time is not
/// its own.
fn seen_again(work: &mut Option<Work>) -> Option<&mut Work> {
    let work = work.as_mut().filter(|work| !work.is_asking)?;
    work.seen = work.seen.saturating_add(1);
    Some(work)
}

/// Starts a worker that goes on in place of another one. Where that cannot be done now, it is tried again.
fn stand_in(shared: &Arc<Shared>, line: &mut Option<Line<OwnedFd>>) {
    if line.is_none() {
        return;
    }
    let seat = Seat::new(None);
    // It waits for this before it begins with anything.
    let mut at = seat.at();
    if super::serve::start_worker(shared, &seat).is_ok() {
        at.line = line.take();
    }
}

/// Ends the wait of whoever asked.
fn refuse_late(shared: &Arc<Shared>, work: Work) {
    let asked = work.asked;
    if work.seen > TOO_LATE {
        return shared.listener.refuse(&asked, libc::ETIMEDOUT);
    }
    // It reads what the caller wrote, and writes where the caller reads: either may be kept as well.
    let in_thread = Arc::clone(shared);
    let refuse = move || refuse(&in_thread, &asked);
    let _ = std::thread::Builder::new().spawn(refuse);
}

/// Ends what was let go and never came, whether or not it notices before its file system answers.
fn end(shared: &Shared, (process, of): (Pid, u64), worker: Pid) -> bool {
    let is_ended = kill(shared, process, worker).is_some();
    if is_ended {
        shared.note(of, OutcomeOf::Killed { rule: too_late() });
    }
    is_ended
}

/// Refuses, after it was recorded where it is an exec, and explained.
fn refuse(shared: &Arc<Shared>, asked: &Notification) {
    let seats = shared.seats.all().clone();
    let worker = |seat| Worker { shared, seat };
    let recorded = seats
        .into_iter()
        .find_map(|seat| worker(seat).refuse_unseen(asked));
    if recorded.is_none() {
        let text = "agentguard: error: a file system did not answer in time, and the call failed\n";
        let answer = Answer {
            allow: false,
            entry: None,
            rule: too_late().id.as_str().to_owned(),
            text: text.to_owned(),
            held: None,
        };
        let _ = shared.told.tell(asked.thread, "", &answer);
    }
    shared.listener.refuse(asked, libc::ETIMEDOUT);
}

/// Kills what `worker` traces: the number is pinned, and then seen to be its tracee's still.
fn kill(shared: &Shared, process: Pid, worker: Pid) -> Option<()> {
    let status = |name| shared.processes.status(process, name);
    let group = Pid::from_raw(status("Tgid:")?.parse().ok()?)?;
    let handle = pidfd_open(group, PidfdFlags::empty()).ok()?;
    let is_its = status("TracerPid:")? == worker.as_raw_nonzero().to_string();
    let is_same = status("Tgid:")? == group.as_raw_nonzero().to_string();
    if !is_its || !is_same {
        return None;
    }
    pidfd_send_signal(handle, Signal::KILL).ok()
}

fn too_late() -> Rule {
    Rule::new(
        "guard/too-late",
        "the file system that the program lies on did not answer in time",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn seat() -> (Arc<Seat>, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        // What is not told by then is not told.
        far.set_read_timeout(Some(TOO_LATE * PAUSE)).unwrap();
        (Seat::new(Some(Line::new(near.into()))), far)
    }

    fn asked() -> Notification {
        Notification {
            id: 1,
            thread: gettid(),
            number: 0,
            arguments: [0; 6],
        }
    }

    fn answer(rule: &str) -> Answer {
        Answer {
            allow: false,
            entry: None,
            rule: rule.to_owned(),
            text: String::new(),
            held: None,
        }
    }

    const QUESTION: FromWorker<'_> = FromWorker::Withdrawn { ticket: 7 };

    #[test]
    fn whoever_has_no_line_asks_and_tells_on_anothers() {
        let seats = Seats::default();
        let own = Seat::new(None);
        seats.add(&own);
        assert!(seats.ask(&own, &QUESTION).is_err());
        let (other, mut far) = seat();
        seats.add(&other);
        crate::wire::send(&far, &answer("one")).unwrap();
        own.begin(&asked());
        own.at().work.as_mut().unwrap().seen = 9;
        assert_eq!(seats.ask(&own, &QUESTION).unwrap().rule, "one");
        // The guard's time is nobody's.
        assert_eq!(own.at().work.unwrap().seen, 0);
        seats.tell(&QUESTION);
        let both: Vec<_> = (0..2)
            .map(|_| crate::wire::receive::<FromWorker<'_>>(&mut far).unwrap())
            .collect();
        assert!(both.iter().all(Option::is_some), "{both:?}");
        assert!(!own.tell(&QUESTION).unwrap());
        // Whoever has a line asks on that one.
        crate::wire::send(&far, &answer("two")).unwrap();
        other.begin(&asked());
        other.at().work.as_mut().unwrap().seen = 9;
        assert_eq!(seats.ask(&other, &QUESTION).unwrap().rule, "two");
        assert_eq!(other.at().work.unwrap().seen, 0);
        drop(far);
        assert!(seats.ask(&other, &QUESTION).is_err());
        seats.leave(&other);
        assert!(Arc::ptr_eq(&seats.all()[0], &own) && seats.all().len() == 1);
    }

    /// Whoever has a line is not looked at while it asks.
    #[test]
    fn whoever_waits_for_the_guard_on_anothers_line_is_not_late() {
        let seats = Seats::default();
        let own = Seat::new(None);
        let (other, mut far) = seat();
        seats.add(&own);
        seats.add(&other);
        own.begin(&asked());
        let looked = || seen_again(&mut own.at().work).map(|work| work.seen);
        assert_eq!((looked(), looked()), (Some(1), Some(2)));
        let (seen, answered) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| seats.ask(&own, &QUESTION).unwrap());
            let heard = crate::wire::receive::<FromWorker<'_>>(&mut far);
            let seen = heard.unwrap().and_then(|_| looked());
            crate::wire::send(&far, &answer("late")).unwrap();
            (seen, asking.join().unwrap())
        });
        assert_eq!((seen, answered.rule.as_str()), (None, "late"));
        assert_eq!(looked(), Some(1));
    }

    #[test]
    fn a_worker_that_lost_its_line_leaves_when_it_is_done() {
        let (own, _far) = seat();
        own.begin(&asked());
        own.at().work.as_mut().unwrap().seen = 9;
        own.trace(gettid(), 3);
        let work = own.at().work.unwrap();
        assert_eq!((work.seen, work.traced), (0, Some((gettid(), 3))));
        assert!(!own.is_given_up());
        own.at().work.as_mut().unwrap().is_given_up = true;
        assert!(own.is_given_up());
        assert!(own.end());
        assert!(own.at().work.is_none() && !own.is_given_up());
        own.begin(&asked());
        own.at().line = None;
        assert!(!own.end());
    }

    #[test]
    fn nobody_is_late_sooner_than_by_the_clock() {
        let seats = Seats::default();
        assert!(seats.is_due());
        *seats.last_look.lock().unwrap() = Instant::now().checked_add(3600 * PAUSE);
        assert!(!seats.is_due());
        let earlier = Instant::now().checked_sub(PAUSE);
        *seats.last_look.lock().unwrap() = earlier;
        assert!(seats.is_due());
        assert_ne!(*seats.last_look.lock().unwrap(), earlier);
    }
}
