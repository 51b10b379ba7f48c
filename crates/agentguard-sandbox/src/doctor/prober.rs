//! The prober: this program again, without threads, which tries each thing in a child of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid,
};
use serde::{Deserialize, Serialize};

use super::explain::explain;
use super::finding::{Answer, Finding, What};
use super::probe::attempt;
use super::surroundings::Surroundings;
use crate::again;
use crate::error::{Error, Failure, Step};
use crate::plan::User;
use crate::sys;
use crate::wire::{receive, send};

/// The name under which a program runs itself as a prober.
pub(crate) const NAME: &str = "agentguard-prober";
/// How long one probe may take, in seconds. Each takes milliseconds.
const PATIENCE: i64 = 5;

/// For whom the machine is examined.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The user that sessions have, where root starts them.
    pub become_user: Option<User>,
    /// What would then be shown as that user's own.
    pub shown: Vec<PathBuf>,
}

/// What came of one probe.
#[derive(Debug, Serialize, Deserialize)]
enum Tried {
    Well,
    NotAt(Failure),
    NotNeeded,
    NotAtAll(String),
}

/// Finds out what this machine can enforce, by trying. Takes some milliseconds, and leaves nothing.
///
/// # Errors
///
/// Returns why nothing could be tried.
pub fn examine(subject: &Subject) -> Result<Vec<Finding>, Error> {
    let surroundings = Surroundings::read();
    let tried = match surroundings.is_inside {
        true => inside(),
        false => ask_prober(subject)?,
    };
    let answered = tried.into_iter().filter_map(|(what, tried)| {
        let answer = match tried {
            Tried::Well => Answer::Holds,
            Tried::NotAt(failure) => explain(what, &failure, &surroundings),
            Tried::NotNeeded => return None,
            Tried::NotAtAll(reason) => Answer::Unknown { reason },
        };
        Some(Finding { what, answer })
    });
    Ok(answered.collect())
}

/// Inside a session nothing is tried: the session would refuse it, and write that down.
fn inside() -> Vec<(What, Tried)> {
    let reason = "a session around this one would refuse to have it tried";
    let tried = |what| {
        if what == What::Outermost {
            return Tried::NotAt(Failure::new(
                "look around",
                "a session is around this process",
            ));
        }
        Tried::NotAtAll(reason.to_owned())
    };
    What::ALL.map(|what| (what, tried(what))).into()
}

fn ask_prober(subject: &Subject) -> Result<Vec<(What, Tried)>, Error> {
    let (ours, theirs) = again::line()?;
    let mut prober = again::start(NAME, theirs)?;
    let answer = send(&ours, subject).and_then(|()| receive(&ours));
    drop(ours);
    let _ = prober.wait();
    answer?.ok_or(Error::Garbled)
}

/// Runs as the prober, with its line.
pub(crate) fn run(control: &OwnedFd) -> i32 {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let Ok(Some(subject)) = receive::<Subject>(control) else {
        return 2;
    };
    let tried = What::ALL.map(|what| (what, in_a_child(what, &subject)));
    send(control, &Vec::from(tried)).map_or(1, |()| 0)
}

fn in_a_child(what: What, subject: &Subject) -> Tried {
    let tried = start_child(what, subject).map(|(child, answer)| {
        let tried = answer_in_time(&answer);
        let _ = kill_process(child, Signal::KILL);
        let _ = waitpid(Some(child), WaitOptions::empty());
        tried
    });
    tried.unwrap_or_else(|failure| Tried::NotAtAll(failure.to_string()))
}

fn start_child(what: What, subject: &Subject) -> Result<(Pid, OwnedFd), Failure> {
    use rustix::pipe::{PipeFlags, pipe_with};
    let (answer, to_answer) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
    match sys::fork().step("make a process")? {
        sys::Forked::Child => {
            drop(answer);
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            let tried = match attempt(what, subject) {
                None => Tried::NotNeeded,
                Some(Ok(())) => Tried::Well,
                Some(Err(failure)) => Tried::NotAt(failure),
            };
            let _ = send(&to_answer, &tried);
            sys::end(0)
        }
        sys::Forked::Parent(child) => Ok((child, answer)),
    }
}

fn answer_in_time(answer: &OwnedFd) -> Tried {
    let mut polled = [PollFd::new(answer, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: PATIENCE,
        tv_nsec: 0,
    };
    if !matches!(poll(&mut polled, Some(&patience)), Ok(1..)) {
        return Tried::NotAtAll(format!("it took more than {PATIENCE} seconds"));
    }
    match receive(answer.as_fd()) {
        Ok(Some(tried)) => tried,
        Ok(None) | Err(_) => Tried::NotAtAll("the process that tried it was killed".to_owned()),
    }
}
