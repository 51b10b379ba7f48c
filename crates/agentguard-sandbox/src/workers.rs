//! What the guard answers the mediator's workers.

use std::os::fd::BorrowedFd;

use agentguard_core::{Index, Permit};

use crate::error::Error;
use crate::guard::{MayRun, Refused, Supervise, shut_down};
use crate::wire::{Answer, FromWorker, Line, Outcome};

/// Answers one worker until it is gone.
pub(crate) fn answer<S: Supervise>(worker: BorrowedFd<'_>, supervise: &S) -> Result<(), Error> {
    let _answering = Answering(worker);
    let mut line = Line::new(worker);
    while let Some(message) = line.receive()? {
        match message {
            FromWorker::Judge {
                exec,
                is_first,
                can_wait,
            } => {
                let exec = exec.into_owned();
                let judged = match can_wait {
                    true => supervise.exec_or_wait(exec, is_first),
                    false => supervise.exec(exec, is_first).map(MayRun::Permit),
                };
                if !tell_or_hold(&line, judged)? {
                    return Ok(());
                }
            }
            FromWorker::Waits { ticket, is_first } => {
                let answered = supervise.answered(ticket, is_first);
                let judged = match answered {
                    Some(judged) => judged.map(MayRun::Permit),
                    None => Ok(MayRun::Held(ticket)),
                };
                if !tell_or_hold(&line, judged)? {
                    return Ok(());
                }
            }
            FromWorker::Withdrawn { ticket } => supervise.no_longer_waits(ticket),
            FromWorker::Name { making } => {
                if !tell(&line, supervise.name(making))? {
                    return Ok(());
                }
            }
            FromWorker::Connect { connect } => {
                if !tell(&line, supervise.connect(connect))? {
                    return Ok(());
                }
            }
            FromWorker::Outcome(Outcome { of, outcome }) => {
                let told = supervise.outcome(Index(of), outcome);
                told.map_err(|source| Error::Unrecorded { source })?;
            }
        }
    }
    Ok(())
}

/// Shuts a worker's socket down once nobody answers there any more, however that comes about: whoever waits
/// for an answer then ends the session.
struct Answering<'w>(BorrowedFd<'w>);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        shut_down(self.0);
    }
}

/// Tells a worker what was decided, or that it waits.
fn tell_or_hold<A>(
    line: &Line<BorrowedFd<'_>>,
    judged: Result<MayRun<A>, Refused>,
) -> Result<bool, Error> {
    match judged {
        Ok(MayRun::Permit(permit)) => tell(line, Ok(permit)),
        Ok(MayRun::Held(ticket)) => say(
            line,
            &Answer {
                allow: false,
                entry: None,
                rule: String::new(),
                text: String::new(),
                held: Some(ticket),
            },
        ),
        Err(refused) => tell::<A>(line, Err(refused)),
    }
}

/// Tells a worker what was decided, and whether it was still there. Whoever asked may be gone, with its
/// session: nothing of what it asked happens. Where the mediator was lost, its own line says so.
fn tell<A>(line: &Line<BorrowedFd<'_>>, judged: Result<Permit<A>, Refused>) -> Result<bool, Error> {
    let answer = match judged {
        Ok(permit) => Answer {
            allow: true,
            entry: Some(permit.spend().1.0),
            rule: String::new(),
            text: String::new(),
            held: None,
        },
        Err(refused) => Answer {
            allow: false,
            entry: refused.entry.map(|entry| entry.0),
            rule: refused.rule.as_str().to_owned(),
            text: refused.text,
            held: None,
        },
    };
    say(line, &answer)
}

fn say(line: &Line<BorrowedFd<'_>>, answer: &Answer) -> Result<bool, Error> {
    match line.send(answer) {
        Ok(()) => Ok(true),
        Err(Error::Io { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
