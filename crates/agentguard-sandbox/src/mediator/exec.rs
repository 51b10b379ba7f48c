//! One exec after another: ask the guard, let it go on, and see that what runs is what was judged.
//!
//! A worker owns at most one traced thread and waits for it before it takes the next question. Two
//! workers never trace one thread: a caller that is interrupted before it is let go cannot ask again
//! while it is traced.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agentguard_core::{Digest, Exec, OutcomeOf, Program, ProgramClass, Rule};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::arguments::{Arguments, Pointed};
use super::attributes::Trees;
use super::caller::{Named, Processes, careful};
use super::calling::Callings;
use super::explain::{Telling, Told};
use super::held::changed;
use super::image::{Image, Images, Shebang};
use super::messages::Copied;
use super::names::Names;
use super::nowhere::Nowhere;
use super::peers::Peers;
use super::resolve::{Resolver, kind};
use super::seats::{Seat, Seats};
use super::verify::{Judged, Seen};
use super::waits::Waits;
use crate::error::Error;
use crate::filter::{self, Asks};
use crate::forcing::Ways;
use crate::landlock::Scoped;
use crate::sys::{Listener, Notification, Tracee};
use crate::wire::{Answer, FromWorker, Outcome};

/// The kernel goes through no more interpreters (`BINPRM_MAX_RECURSION`, binfmt_script).
const INTERPRETERS: usize = 5;
const LONGEST_PATH: usize = 4096;
/// What the kernel says of a call that names no program, or more than it takes.
const MEANT: [i32; 4] = [libc::ENOENT, libc::EFAULT, libc::ENAMETOOLONG, libc::E2BIG];

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) listener: Listener,
    pub(super) processes: Processes,
    pub(super) images: Images,
    pub(super) told: Told,
    pub(super) peers: Peers,
    pub(super) waits: Waits,
    /// Tells a gate who connects, where there is one.
    pub(super) callings: Option<Callings>,
    /// Where the gate listens, where it is the mediator that leads there.
    pub(super) ways: Option<Ways>,
    pub(super) seats: Seats,
    /// The agent's first process.
    pub(super) agent: Pid,
    /// The mediator's domain, where nothing but that holds the agent's processes.
    pub(super) scope: Option<Scoped>,
    /// Where attributes may be changed, where the mediator is asked about that.
    pub(super) writable: Option<Trees>,
    /// Whether the session's own command runs.
    pub(super) has_begun: AtomicBool,
    /// How the agent's first process ended, where a worker was the one to learn it.
    pub(super) ended: Mutex<Option<WaitStatus>>,
    /// Names, and where they are judged.
    pub(super) names: Names,
    /// What came of decisions, and was not told yet.
    pub(super) outcomes: Mutex<Vec<Outcome>>,
    /// Datagrams that went nowhere, which was not told yet.
    pub(super) nowhere: Nowhere,
    /// What waits to be sent for callers.
    pub(super) copied: Copied,
}

/// One worker.
pub(super) struct Worker<'s> {
    pub(super) shared: &'s Arc<Shared>,
    pub(super) seat: Arc<Seat>,
}

/// What a call asks for.
struct Call {
    named: Named,
    arguments: Arguments,
    no_follow: bool,
}

/// What the call would start, as far as it can be told before.
struct Expected {
    exec: Exec,
    image: Option<Image>,
}

impl Worker<'_> {
    /// Answers questions until the last process of the session is gone, or the guard, or until another worker
    /// does it instead.
    pub(super) fn run(&self) -> Result<(), Error> {
        loop {
            match self.shared.listener.receive() {
                Ok(notification) => {
                    self.seat.begin(&notification);
                    let answered = self.answer(&notification);
                    if !self.seat.end() {
                        if answered.is_err() {
                            // Nobody else would answer it.
                            self.shared.listener.refuse(&notification, libc::EACCES);
                        }
                        return Ok(());
                    }
                    answered?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The caller is gone before its question was read; or everyone is.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) && !self.is_over() => {}
                Err(_) if self.is_over() => return Ok(()),
                Err(error) => return Err(Error::io("wait for an exec")(error)),
            }
        }
    }

    /// Whether the session's last process is gone: its listener has nobody left to ask.
    pub(super) fn is_over(&self) -> bool {
        self.shared.listener.is_deserted(0)
    }

    fn answer(&self, notification: &Notification) -> Result<(), Error> {
        match filter::asks(notification.number) {
            Some(Asks::Program) => self.answer_exec(notification),
            Some(Asks::Name) => self.answer_name(notification),
            Some(Asks::Mask) => {
                self.shared.names.note_mask(notification.arguments);
                // Its one argument is a register: nobody changes it.
                self.shared.listener.resume(notification);
                Ok(())
            }
            Some(Asks::Connection) => self.answer_connect(notification),
            Some(Asks::Attributes) => {
                self.answer_attributes(notification);
                Ok(())
            }
            Some(Asks::Datagrams) => {
                self.answer_socket(notification);
                Ok(())
            }
            Some(Asks::Pair) => {
                self.answer_pair(notification);
                Ok(())
            }
            Some(Asks::Message) => {
                self.answer_message(notification);
                Ok(())
            }
            Some(Asks::Server) => {
                self.answer_listen(notification);
                Ok(())
            }
            Some(Asks::Itself) => {
                self.answer_of_itself(notification);
                Ok(())
            }
            None => {
                self.shared.listener.refuse(notification, libc::ENOSYS);
                Ok(())
            }
        }
    }

    fn answer_exec(&self, notification: &Notification) -> Result<(), Error> {
        let shared = self.shared;
        // A file that somebody holds to write is not started.
        shared.listener.wait_for_handed();
        let mut call = match read_call(notification) {
            Ok(call) => call,
            // Nothing that could be executed was named: the kernel would say the same, and nobody is asked. Else it is a
            // caller at whom nobody can look.
            Err(error) => {
                let said = error.raw_os_error().filter(|errno| MEANT.contains(errno));
                let errno = said.unwrap_or(libc::EACCES);
                shared.listener.refuse(notification, errno);
                return Ok(());
            }
        };
        if !shared.listener.still_waits(notification) {
            return Ok(());
        }
        let mut expected = match self.expect(notification.thread, &mut call) {
            Ok(expected) => expected,
            Err(errno) => {
                shared.listener.refuse(notification, errno.raw_os_error());
                return Ok(());
            }
        };
        let is_first = self.is_first(notification.thread);
        if is_first {
            // Where our own program lies outside is nobody's business inside.
            expected.exec.caller = "agentguard".to_owned();
        }
        let answer = self.shared.seats.ask(
            &self.seat,
            &FromWorker::Judge {
                exec: Cow::Borrowed(&expected.exec),
                is_first,
                can_wait: true,
            },
        )?;
        if let Some(ticket) = answer.held {
            self.hold(notification, expected.exec, (ticket, is_first));
            return Ok(());
        }
        let Some(entry) = answer.entry.filter(|_| answer.allow) else {
            return self.refuse(notification, &expected.exec, &answer, is_first);
        };
        let judged = Judged {
            entry,
            exec: expected.exec,
            image: expected.image,
        };
        self.let_go(notification, &judged, is_first)
    }

    /// Lets a call go on that a human was asked about, where it still is what was asked.
    pub(super) fn go_on(
        &self,
        notification: &Notification,
        (exec, entry): (Exec, u64),
        is_first: bool,
    ) -> Result<(), Error> {
        // The caller's memory, and what lies at the path, may be others' by now.
        let mut again = read_call(notification).ok();
        let again = again.as_mut().and_then(|call| {
            let expected = self.expect(notification.thread, call).ok()?;
            let is_same = Exec {
                caller: exec.caller.clone(),
                ..expected.exec
            } == exec;
            is_same.then_some(expected.image)
        });
        let listener = &self.shared.listener;
        if !listener.still_waits(notification) {
            return self.tell_outcome(entry, gone());
        }
        let Some(image) = again else {
            let path = &exec.script.as_ref().unwrap_or(&exec.program).path;
            let told = &self.shared.told;
            told.tell(notification.thread, path, &changed(entry));
            // Before the caller goes on, which may be the session's end.
            let outcome = self.tell_outcome(entry, OutcomeOf::Killed { rule: differs() });
            listener.refuse(notification, libc::EACCES);
            return outcome;
        };
        self.let_go(notification, &Judged { entry, exec, image }, is_first)
    }

    fn is_first(&self, thread: Pid) -> bool {
        thread == self.shared.agent && !self.shared.has_begun.load(Ordering::Acquire)
    }

    fn ask(&self, exec: &Exec, is_first: bool) -> Result<Answer, Error> {
        self.shared.seats.ask(
            &self.seat,
            &FromWorker::Judge {
                exec: Cow::Borrowed(exec),
                is_first,
                can_wait: false,
            },
        )
    }

    /// What was ended is told at once; the rest is gathered, and told with the next look around.
    pub(super) fn tell_outcome(&self, of: u64, outcome: OutcomeOf) -> Result<(), Error> {
        let told = Outcome { of, outcome };
        match told.outcome {
            OutcomeOf::Killed { .. } => {
                let at_once = FromWorker::Outcome(told.clone());
                if !self.seat.tell(&at_once)? {
                    self.shared.note(told.of, told.outcome);
                }
                Ok(())
            }
            OutcomeOf::Started { .. }
            | OutcomeOf::Failed { .. }
            | OutcomeOf::Done
            | OutcomeOf::Answered { .. }
            | OutcomeOf::Passed { .. }
            | OutcomeOf::Unanswered { .. }
            | OutcomeOf::Pushed { .. }
            | OutcomeOf::Untold
            | OutcomeOf::Exited { .. }
            | OutcomeOf::Signaled { .. } => {
                self.shared.note(told.of, told.outcome);
                Ok(())
            }
        }
    }

    /// The session's own command is explained by the guard, on the same descriptor.
    pub(super) fn refuse(
        &self,
        notification: &Notification,
        exec: &Exec,
        answer: &Answer,
        is_first: bool,
    ) -> Result<(), Error> {
        let shared = self.shared;
        let path = &exec.script.as_ref().unwrap_or(&exec.program).path;
        let telling = match is_first {
            true => Telling::Told,
            false => shared.told.tell(notification.thread, path, answer),
        };
        match shared.told.is_mute(&exec.caller) {
            true => self.end_as_it_starts(notification),
            false => shared.listener.refuse(notification, libc::EACCES),
        }
        self.tell_unless_told(telling, answer)
    }

    /// What could not be said to the caller is said to be unsaid.
    pub(super) fn tell_unless_told(&self, telling: Telling, answer: &Answer) -> Result<(), Error> {
        match (telling, answer.entry) {
            (Telling::Lost, Some(entry)) => self.tell_outcome(entry, OutcomeOf::Untold),
            (Telling::Told, _) | (Telling::Lost, None) => Ok(()),
        }
    }

    /// Has an exec judged, of which nothing is known but what the caller wrote, and refuses it. None where this
    /// worker can ask nobody, or it is no exec.
    pub(super) fn refuse_unseen(&self, notification: &Notification) -> Option<()> {
        let call = match filter::asks(notification.number) {
            Some(Asks::Program) => read_call(notification).ok()?,
            Some(
                Asks::Name
                | Asks::Mask
                | Asks::Connection
                | Asks::Attributes
                | Asks::Datagrams
                | Asks::Pair
                | Asks::Message
                | Asks::Server
                | Asks::Itself,
            )
            | None => {
                return None;
            }
        };
        let processes = &self.shared.processes;
        let link = |name| processes.link(notification.thread, name);
        let unknown_link = || "unknown".to_owned();
        let exec = Exec {
            program: unknown(&call.named),
            script: None,
            argv: call.arguments.words(),
            cwd: link("cwd").unwrap_or_else(unknown_link),
            environment: call.arguments.environment.0,
            caller: link("exe").unwrap_or_else(unknown_link),
        };
        let is_first = self.is_first(notification.thread);
        let answer = self.ask(&exec, is_first).ok()?;
        match answer.entry.filter(|_| answer.allow) {
            Some(of) => {
                let errno = libc::ETIMEDOUT;
                self.shared.note(of, OutcomeOf::Failed { errno });
            }
            None if is_first => {}
            None => {
                let told = &self.shared.told;
                let telling = told.tell(notification.thread, &exec.program.path, &answer);
                let _ = self.tell_unless_told(telling, &answer);
            }
        }
        Some(())
    }

    /// Finds out what would run. An error is what the kernel would answer, found with no more rights
    /// than the caller has.
    fn expect(&self, caller: Pid, call: &mut Call) -> Result<Expected, Errno> {
        let shared = self.shared;
        let cwd = shared
            .processes
            .link(caller, "cwd")
            .unwrap_or_else(|| "unknown".to_owned());
        let by = shared
            .processes
            .link(caller, "exe")
            .unwrap_or_else(|| "unknown".to_owned());
        let environment = std::mem::take(&mut call.arguments.environment.0);
        let exec = |program, script, argv| Exec {
            program,
            script,
            argv,
            cwd,
            environment,
            caller: by,
        };
        let found = match self.open(caller, &call.named, call.no_follow)? {
            Opened::File(file) => file,
            Opened::Unreadable(program) => {
                return Ok(Expected {
                    exec: exec(program, None, call.arguments.words()),
                    image: None,
                });
            }
        };
        let images = &shared.images;
        let first = images.look(&shared.processes, found.as_fd(), &call.named.path)?;
        drop(found);
        let (first, Some(shebang)) = first else {
            let image = first.0;
            return Ok(Expected {
                exec: exec(image.program.clone(), None, call.arguments.words()),
                image: Some(image),
            });
        };
        let (image, argv) = self.follow_scripts(caller, call, first.clone(), shebang)?;
        let script = (image.program != first.program).then_some(first.program);
        Ok(Expected {
            exec: exec(image.program.clone(), script, argv),
            image: Some(image),
        })
    }

    /// Goes through interpreters as the kernel does (binfmt_script), and rewrites the arguments.
    fn follow_scripts(
        &self,
        caller: Pid,
        call: &Call,
        mut image: Image,
        mut shebang: Shebang,
    ) -> Result<(Image, Vec<String>), Errno> {
        let Shared {
            images, processes, ..
        } = &**self.shared;
        let mut argv = call.arguments.words();
        let mut name = shown(&call.named);
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for _ in 0..INTERPRETERS {
            let Shebang {
                interpreter,
                argument,
            } = shebang;
            argv = [lossy(&interpreter)]
                .into_iter()
                .chain(argument.as_deref().map(lossy))
                .chain([name])
                .chain(argv.into_iter().skip(1))
                .collect();
            name = lossy(&interpreter);
            let named = Named {
                at: None,
                path: interpreter,
            };
            let file = match self.open(caller, &named, false)? {
                Opened::File(file) => file,
                Opened::Unreadable(program) => return Ok((image.unseen(program), argv)),
            };
            match images.look(processes, file.as_fd(), &named.path)? {
                (found, Some(next)) => (image, shebang) = (found, next),
                (found, None) => return Ok((found, argv)),
            }
        }
        Ok((image, argv))
    }

    fn open(&self, caller: Pid, named: &Named, no_follow: bool) -> Result<Opened, Errno> {
        let processes = &self.shared.processes;
        let link = if no_follow {
            OFlags::NOFOLLOW
        } else {
            OFlags::empty()
        };
        match processes.open_named(caller, named, OFlags::RDONLY | link) {
            Ok(file) => self.opened(file),
            Err(Errno::LOOP) => self.walk(caller, named, no_follow),
            Err(Errno::NOENT) if is_magic(&named.path) => self.walk(caller, named, no_follow),
            Err(Errno::ACCESS | Errno::PERM) => {
                let place = processes.open_named(caller, named, OFlags::PATH | link)?;
                self.unreadable(place.as_fd())
            }
            Err(error) => Err(error),
        }
    }

    /// Opens what a path leads to that goes through links below `/proc`, or round in a circle.
    fn walk(&self, caller: Pid, named: &Named, no_follow: bool) -> Result<Opened, Errno> {
        let processes = &self.shared.processes;
        // What the descriptor holds is a link.
        if named.path.is_empty() {
            return Err(Errno::LOOP);
        }
        let found = match Resolver::new(processes, caller).file(named, !no_follow) {
            Ok(found) if kind(found.as_fd())? == FileType::Symlink => return Err(Errno::LOOP),
            Ok(found) => found,
            Err(errno @ (Errno::LOOP | Errno::NOENT | Errno::NOTDIR)) => return Err(errno),
            // A link of somebody else's: its target can only be told by the caller's own call.
            Err(_) => return Ok(Opened::Unreadable(unknown(named))),
        };
        match processes.reopen(found.as_fd(), careful(OFlags::RDONLY)) {
            Ok(file) => self.opened(file),
            Err(Errno::ACCESS | Errno::PERM) => self.unreadable(found.as_fd()),
            Err(error) => Err(error),
        }
    }

    fn opened(&self, file: OwnedFd) -> Result<Opened, Errno> {
        let Shared {
            names, processes, ..
        } = &**self.shared;
        names.refuse_masked(processes, file.as_fd())?;
        Ok(Opened::File(file))
    }

    fn unreadable(&self, place: BorrowedFd<'_>) -> Result<Opened, Errno> {
        Ok(Opened::Unreadable(Program {
            path: self.shared.processes.path_of(place)?,
            sha256: Digest::of(b""),
            class: ProgramClass::Unknown,
        }))
    }

    /// Lets the kernel go on, traced, and looks at what comes of it.
    fn let_go(
        &self,
        notification: &Notification,
        judged: &Judged,
        is_first: bool,
    ) -> Result<(), Error> {
        let listener = &self.shared.listener;
        let Ok(tracee) = Tracee::seize(notification.thread) else {
            listener.refuse(notification, libc::EACCES);
            let errno = libc::EACCES;
            return self.tell_outcome(judged.entry, OutcomeOf::Failed { errno });
        };
        // Before it goes on: should the exec fail, it stops before it can ask again. Asked for after that, the stop
        // comes too late where this thread loses the processor in between, and another worker would find the
        // caller of the next exec traced. What waits for an answer is not woken by it.
        let _ = tracee.interrupt();
        self.seat.trace(notification.thread, judged.entry);
        listener.resume(notification);
        let outcome = match self.wait(notification.thread) {
            Came::Gone => gone(),
            Came::Back { errno } => OutcomeOf::Failed { errno },
            Came::Image(process) => {
                self.seat.trace(process, judged.entry);
                self.see_image(process, judged, is_first)?
            }
        };
        match self.seat.is_given_up() {
            true => Ok(()),
            false => self.tell_outcome(judged.entry, outcome),
        }
    }

    /// Waits until the call of a traced thread is over. Where it replaced the image, that stays stopped.
    pub(super) fn wait(&self, thread: Pid) -> Came {
        loop {
            let Some((process, status)) = next_status() else {
                return Came::Gone;
            };
            if status.exited() || status.signaled() {
                self.note_end(process, status);
                if process == thread {
                    return Came::Gone;
                }
                continue;
            }
            let (errno, signal) = match Stop::of(status) {
                Stop::Exec => return Came::Image(process),
                Stop::Returned => {
                    let errno = Tracee::stack_top(process).map_or(0, |top| -top.result);
                    (i32::try_from(errno).unwrap_or(0), 0)
                }
                // Back in user mode with a signal: the exec is over, and it failed.
                Stop::Signal(signal) => (libc::EINTR, signal),
            };
            self.detach(process, signal);
            return Came::Back { errno };
        }
    }

    /// The new image stands and has run nothing.
    fn see_image(&self, process: Pid, judged: &Judged, is_first: bool) -> Result<OutcomeOf, Error> {
        let Shared {
            processes,
            images,
            names,
            ..
        } = &**self.shared;
        let seen = Seen::of(processes, images, process, judged.image.as_ref());
        let seen = match seen {
            Ok(seen) => seen,
            // It is dying already, as everything does at a session's end: that is no finding.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                self.kill(process, unverifiable());
                return Ok(gone());
            }
            Err(_) => return Ok(self.kill(process, unverifiable())),
        };
        if names.refuse_masked_image(processes, process).is_err() {
            return Ok(self.kill(process, differs()));
        }
        let program = seen.exec.program.sha256;
        if !seen.is_as(judged) {
            match self.ask(&seen.as_judged_for(judged), is_first) {
                Ok(answer) if answer.allow => {
                    if let Some(entry) = answer.entry {
                        self.tell_outcome(entry, OutcomeOf::Started { program })?;
                    }
                }
                Ok(answer) => {
                    let path = &seen.exec.program.path;
                    self.shared.told.tell(process, path, &answer);
                    return Ok(self.kill(process, differs()));
                }
                Err(error) => {
                    self.kill(process, unverifiable());
                    return Err(error);
                }
            }
        }
        if process == self.shared.agent {
            self.shared.has_begun.store(true, Ordering::Release);
        }
        self.detach(process, 0);
        Ok(OutcomeOf::Started { program })
    }

    fn kill(&self, process: Pid, rule: Rule) -> OutcomeOf {
        self.end(process);
        OutcomeOf::Killed { rule }
    }

    pub(super) fn end(&self, process: Pid) {
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        self.reap(process);
    }

    /// An error means that it was killed meanwhile. It then stays a traced zombie until it is waited
    /// for, and an exec of its siblings would wait for that while it holds the lock that SEIZE needs.
    pub(super) fn detach(&self, process: Pid, signal: i32) {
        if Tracee::detach(process, signal).is_err() {
            self.reap(process);
        }
    }

    fn reap(&self, process: Pid) {
        loop {
            match rustix::process::waitpid(Some(process), wait_options()) {
                Ok(Some((_, status))) if status.exited() || status.signaled() => {
                    self.note_end(process, status);
                    return;
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn note_end(&self, process: Pid, status: WaitStatus) {
        if process == self.shared.agent {
            *self
                .shared
                .ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(status);
        }
    }
}

enum Opened {
    File(OwnedFd),
    Unreadable(Program),
}

/// What came of a call.
pub(super) enum Came {
    /// The thread is gone.
    Gone,
    /// The call ended, by an error where it was let go.
    Back { errno: i32 },
    /// A new image stands, of the process with this id.
    Image(Pid),
}

/// Why a traced thread stopped.
enum Stop {
    Exec,
    Returned,
    Signal(i32),
}

impl Stop {
    fn of(status: WaitStatus) -> Self {
        let raw = status.as_raw();
        match raw >> 16 {
            libc::PTRACE_EVENT_EXEC => Self::Exec,
            libc::PTRACE_EVENT_STOP => Self::Returned,
            _ => Self::Signal(status.stopping_signal().unwrap_or(0)),
        }
    }
}

fn next_status() -> Option<(Pid, WaitStatus)> {
    loop {
        match rustix::process::wait(wait_options()) {
            Ok(found) => return found,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Threads and processes of any kind (`__WALL`), but only this thread's own (`__WNOTHREAD`; wait(2)).
pub(super) fn wait_options() -> WaitOptions {
    WaitOptions::from_bits_retain(libc::__WALL.cast_unsigned() | libc::__WNOTHREAD.cast_unsigned())
}

fn gone() -> OutcomeOf {
    OutcomeOf::Signaled {
        signal: libc::SIGKILL,
    }
}

fn unverifiable() -> Rule {
    Rule::new(
        "guard/unverifiable",
        "the new image could not be looked at before it ran",
    )
}

pub(super) fn differs() -> Rule {
    Rule::new(
        "guard/not-what-was-judged",
        "what was about to run is not what was judged, and was refused",
    )
}

fn unknown(named: &Named) -> Program {
    Program {
        path: shown(named),
        sha256: Digest::of(b""),
        class: ProgramClass::Unknown,
    }
}

/// Whether a path leads where only the caller's own `/proc` tells what it means.
fn is_magic(path: &[u8]) -> bool {
    [&b"/proc/"[..], b"/dev/fd/", b"/dev/std"]
        .iter()
        .any(|start| path.starts_with(start))
}

fn shown(named: &Named) -> String {
    let path = String::from_utf8_lossy(&named.path);
    match named.at {
        Some(number) if named.path.is_empty() => format!("/dev/fd/{number}"),
        Some(number) if named.path.first() != Some(&b'/') => format!("/dev/fd/{number}/{path}"),
        Some(_) | None => path.into_owned(),
    }
}

fn read_call(notification: &Notification) -> io::Result<Call> {
    let [a, b, c, d, e, _] = notification.arguments;
    let (at, path, argv, environment, flags) = match notification.number {
        libc::SYS_execve => (None, a, b, c, 0),
        // The kernel takes the descriptor and the flags as 32-bit numbers.
        _ => (Some(low(a).cast_signed()), b, c, d, low(e).cast_signed()),
    };
    let at = at.filter(|number| *number != libc::AT_FDCWD);
    let pointed = Pointed::read(notification.thread, path, argv, environment)?;
    let path = pointed.path.as_slice();
    if path.len() >= LONGEST_PATH {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    if path.is_empty() && flags & libc::AT_EMPTY_PATH == 0 {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    let arguments = Arguments::of_call(notification.thread, &pointed)?;
    Ok(Call {
        named: Named {
            at,
            path: pointed.path,
        },
        arguments,
        no_follow: flags & libc::AT_SYMLINK_NOFOLLOW != 0,
    })
}

fn low(register: u64) -> u32 {
    u32::try_from(register & 0xffff_ffff).unwrap_or(0)
}
