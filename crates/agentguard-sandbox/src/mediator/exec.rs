//! One exec after another: ask the guard, let it go on, and see that what runs is what was judged.
//!
//! A worker owns at most one traced thread and waits for it before it takes the next question. Two
//! workers never trace one thread: a caller that is interrupted before it is let go cannot ask again
//! while it is traced.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use agentguard_core::{Digest, Exec, OutcomeOf, Program, ProgramClass, Rule};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::arguments::{Arguments, read_string};
use super::caller::{Named, Processes};
use super::explain::{Telling, Told};
use super::image::{Image, Images};
use super::verify::{Judged, Seen};
use crate::error::Error;
use crate::sys::{Listener, Notification, Tracee};
use crate::wire::{Answer, FromWorker, Outcome, receive, send};

/// The kernel goes through no more interpreters (`BINPRM_MAX_RECURSION`, binfmt_script).
const INTERPRETERS: usize = 5;
/// How much of a script's first line the kernel reads (`BINPRM_BUF_SIZE`).
const FIRST_LINE: usize = 256;
const LONGEST_PATH: usize = 4096;

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) listener: Listener,
    pub(super) processes: Processes,
    pub(super) images: Images,
    pub(super) told: Told,
    /// The agent's first process.
    pub(super) agent: Pid,
    /// Whether the session's own command runs.
    pub(super) has_begun: AtomicBool,
    /// How the agent's first process ended, where a worker was the one to learn it.
    pub(super) ended: Mutex<Option<WaitStatus>>,
    /// What came of decisions, and was not told yet.
    pub(super) outcomes: Mutex<Vec<Outcome>>,
}

/// One worker.
pub(super) struct Worker<'s> {
    pub(super) shared: &'s Shared,
    pub(super) guard: OwnedFd,
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
    /// Answers questions until the last process of the session is gone, or the guard.
    pub(super) fn run(&self) -> Result<(), Error> {
        loop {
            match self.shared.listener.receive() {
                Ok(notification) => self.answer(&notification)?,
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
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut polled = [PollFd::new(&self.shared.listener.0, PollFlags::empty())];
        matches!(poll(&mut polled, Some(&now)), Ok(1..))
    }

    fn answer(&self, notification: &Notification) -> Result<(), Error> {
        let shared = self.shared;
        let Ok(call) = read_call(notification) else {
            shared.listener.refuse(notification, libc::EACCES);
            return Ok(());
        };
        if !shared.listener.still_waits(notification) {
            return Ok(());
        }
        let mut expected = match self.expect(notification.thread, &call) {
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
        let answer = self.ask(expected.exec.clone(), is_first, None)?;
        if !answer.allow {
            self.refuse(notification, &expected.exec, &answer, is_first)?;
            return Ok(());
        }
        let Some(entry) = answer.entry else {
            shared.listener.refuse(notification, libc::EACCES);
            return Ok(());
        };
        self.let_go(
            notification,
            Judged {
                entry,
                exec: expected.exec,
                image: expected.image,
            },
            is_first,
        )
    }

    fn is_first(&self, thread: Pid) -> bool {
        thread == self.shared.agent && !self.shared.has_begun.load(Ordering::Acquire)
    }

    fn ask(&self, exec: Exec, is_first: bool, instead_of: Option<u64>) -> Result<Answer, Error> {
        send(
            &self.guard,
            &FromWorker::Judge {
                exec,
                is_first,
                instead_of,
            },
        )?;
        receive(&self.guard)?.ok_or(Error::Garbled)
    }

    /// What was ended is told at once; the rest is gathered, and told with the next look around.
    fn tell_outcome(&self, of: u64, outcome: OutcomeOf) -> Result<(), Error> {
        let told = Outcome { of, outcome };
        match told.outcome {
            OutcomeOf::Killed { .. } => send(&self.guard, &FromWorker::Outcome(told)),
            OutcomeOf::Started { .. }
            | OutcomeOf::Failed { .. }
            | OutcomeOf::Untold
            | OutcomeOf::Exited { .. }
            | OutcomeOf::Signaled { .. } => {
                self.shared
                    .outcomes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(told);
                Ok(())
            }
        }
    }

    /// The session's own command is explained by the guard, on the same descriptor.
    fn refuse(
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
        shared.listener.refuse(notification, libc::EACCES);
        match (telling, answer.entry) {
            (Telling::Lost, Some(entry)) => self.tell_outcome(entry, OutcomeOf::Untold),
            (Telling::Told, _) | (Telling::Lost, None) => Ok(()),
        }
    }

    /// Finds out what would run. An error is what the kernel would answer, found with no more rights
    /// than the caller has.
    fn expect(&self, caller: Pid, call: &Call) -> Result<Expected, Errno> {
        let shared = self.shared;
        let cwd = shared
            .processes
            .link(caller, "cwd")
            .unwrap_or_else(|| "unknown".to_owned());
        let by = shared
            .processes
            .link(caller, "exe")
            .unwrap_or_else(|| "unknown".to_owned());
        let exec = |program, script, argv| Exec {
            program,
            script,
            argv,
            cwd: cwd.clone(),
            environment: call.arguments.environment.clone(),
            caller: by.clone(),
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
        let first = shared.images.look(&shared.processes, found.as_fd())?;
        let (image, argv) = self.follow_scripts(caller, call, found, first.clone())?;
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
        mut file: OwnedFd,
        mut image: Image,
    ) -> Result<(Image, Vec<String>), Errno> {
        let mut argv = call.arguments.words();
        let mut name = shown(&call.named);
        for _ in 0..INTERPRETERS {
            let Some(Shebang {
                interpreter,
                argument,
            }) = shebang(file.as_fd())?
            else {
                break;
            };
            let rest = argv.into_iter().skip(1);
            let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            argv = [lossy(&interpreter)]
                .into_iter()
                .chain(argument.as_deref().map(lossy))
                .chain([name])
                .chain(rest)
                .collect();
            name = lossy(&interpreter);
            let named = Named {
                at: None,
                path: interpreter,
            };
            match self.open(caller, &named, false)? {
                Opened::File(next) => file = next,
                Opened::Unreadable(program) => {
                    let (key, is_fixed) = (image.key, false);
                    return Ok((
                        Image {
                            program,
                            key,
                            is_fixed,
                        },
                        argv,
                    ));
                }
            }
            image = self
                .shared
                .images
                .look(&self.shared.processes, file.as_fd())?;
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
            Ok(file) => Ok(Opened::File(file)),
            // A link into /proc: its target can only be told by the caller's own call.
            Err(Errno::LOOP) => Ok(Opened::Unreadable(unknown(named))),
            Err(Errno::NOENT) if is_magic(&named.path) => Ok(Opened::Unreadable(unknown(named))),
            Err(Errno::ACCESS | Errno::PERM) => {
                let place = processes.open_named(caller, named, OFlags::PATH | link)?;
                let path = processes.path_of(place.as_fd())?;
                Ok(Opened::Unreadable(Program {
                    path,
                    sha256: Digest::of(b""),
                    class: ProgramClass::Unknown,
                }))
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the kernel go on, traced, and looks at what comes of it.
    fn let_go(
        &self,
        notification: &Notification,
        judged: Judged,
        is_first: bool,
    ) -> Result<(), Error> {
        let shared = self.shared;
        let Ok(tracee) = Tracee::seize(notification.thread) else {
            shared.listener.refuse(notification, libc::EACCES);
            return self.tell_outcome(
                judged.entry,
                OutcomeOf::Failed {
                    errno: libc::EACCES,
                },
            );
        };
        // Before it goes on: should the exec fail, it stops before it can ask again.
        let _ = tracee.interrupt();
        shared.listener.resume(notification);
        let outcome = self.wait(notification.thread, &judged, is_first)?;
        self.tell_outcome(judged.entry, outcome)
    }

    fn wait(&self, thread: Pid, judged: &Judged, is_first: bool) -> Result<OutcomeOf, Error> {
        loop {
            let Some((process, status)) = next_status() else {
                return Ok(gone());
            };
            if status.exited() || status.signaled() {
                self.note_end(process, status);
                if process == thread {
                    return Ok(gone());
                }
                continue;
            }
            match Stop::of(status) {
                Stop::Exec => return self.see_image(process, judged, is_first),
                Stop::Returned => {
                    let errno = Tracee::stack_top(process).map_or(0, |top| -top.result);
                    self.detach(process, 0);
                    return Ok(OutcomeOf::Failed {
                        errno: i32::try_from(errno).unwrap_or(0),
                    });
                }
                // Back in user mode with a signal: the exec is over, and it failed.
                Stop::Signal(signal) => {
                    self.detach(process, signal);
                    return Ok(OutcomeOf::Failed { errno: libc::EINTR });
                }
            }
        }
    }

    /// The new image stands and has run nothing.
    fn see_image(&self, process: Pid, judged: &Judged, is_first: bool) -> Result<OutcomeOf, Error> {
        let seen = Seen::of(&self.shared.processes, &self.shared.images, process);
        let seen = match seen {
            Ok(seen) => seen,
            // It is dying already, as everything does at a session's end: that is no finding.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                self.kill(process, unverifiable());
                return Ok(gone());
            }
            Err(_) => return Ok(self.kill(process, unverifiable())),
        };
        let program = seen.exec.program.sha256;
        if !seen.is_as(judged) {
            let answer = self.ask(seen.as_judged_for(judged), is_first, Some(judged.entry));
            match answer {
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
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        self.reap(process);
        OutcomeOf::Killed { rule }
    }

    /// An error means that it was killed meanwhile. It then stays a traced zombie until it is waited
    /// for, and an exec of its siblings would wait for that while it holds the lock that SEIZE needs.
    fn detach(&self, process: Pid, signal: i32) {
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

fn differs() -> Rule {
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
    let path = read_string(notification.thread, path)?;
    if path.len() >= LONGEST_PATH {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    if path.is_empty() && flags & libc::AT_EMPTY_PATH == 0 {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    let arguments = Arguments::of_call(notification.thread, argv, environment)?;
    Ok(Call {
        named: Named { at, path },
        arguments,
        no_follow: flags & libc::AT_SYMLINK_NOFOLLOW != 0,
    })
}

fn low(register: u64) -> u32 {
    u32::try_from(register & 0xffff_ffff).unwrap_or(0)
}

/// The interpreter that a script's first line names, with its one argument.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Shebang {
    interpreter: Vec<u8>,
    argument: Option<Vec<u8>>,
}

fn shebang(file: BorrowedFd<'_>) -> Result<Option<Shebang>, Errno> {
    let mut buffer = [0; FIRST_LINE];
    let length = rustix::io::pread(file, &mut buffer, 0)?;
    Ok(parse_shebang(buffer.get(..length).unwrap_or_default()))
}

fn parse_shebang(start: &[u8]) -> Option<Shebang> {
    let line = start.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n' || *byte == 0).next()?;
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let line = trim(line, is_blank);
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at_checked(end)?;
    let argument = trim(rest, is_blank);
    (!interpreter.is_empty()).then(|| Shebang {
        interpreter: interpreter.to_vec(),
        argument: (!argument.is_empty()).then(|| argument.to_vec()),
    })
}

fn trim(bytes: &[u8], is_blank: impl Fn(&u8) -> bool) -> &[u8] {
    let start = bytes
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|byte| !is_blank(byte))
        .map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_is_read_as_the_kernel_reads_it() {
        let parsed = |line: &str| parse_shebang(line.as_bytes());
        let found = |interpreter: &str, argument: Option<&str>| {
            Some(Shebang {
                interpreter: interpreter.as_bytes().to_vec(),
                argument: argument.map(|text| text.as_bytes().to_vec()),
            })
        };
        assert_eq!(parsed("\x7fELF"), None);
        assert_eq!(parsed("#!"), None);
        assert_eq!(parsed("#!  \n/bin/sh"), None);
        assert_eq!(parsed("#!/bin/sh"), found("/bin/sh", None));
        assert_eq!(parsed("#! /bin/sh -e \nexit"), found("/bin/sh", Some("-e")));
        assert_eq!(
            parsed("#!/usr/bin/env -S a  b\n"),
            found("/usr/bin/env", Some("-S a  b"))
        );
    }

    #[test]
    fn fuzz_a_first_line_names_an_interpreter_or_none() {
        crate::mutate::fuzz(
            "first-line",
            &["#!", " ", "\t", "\n", "/bin/sh", "-e"],
            |bytes| {
                let bytes = bytes.get(..FIRST_LINE).unwrap_or(bytes);
                let found = parse_shebang(bytes);
                if let Some(found) = &found {
                    assert!(!found.interpreter.is_empty() && bytes.starts_with(b"#!"));
                }
                let argument = found.as_ref().and_then(|found| found.argument.as_ref());
                let has = |byte| bytes.contains(&byte);
                format!(
                    "{} {} {} {}",
                    found.is_some(),
                    argument.is_some(),
                    has(0),
                    has(b'\t')
                )
            },
        );
    }
}
