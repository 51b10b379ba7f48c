//! `exec`: run a command confined.

mod ask;
mod ended;
mod fence;
mod lines;
mod plan;
mod report;

use agentguard::sandbox::HeldSignals;
use agentguard::{Guard, Learning, Run};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON, LEARN, PLAN};
use crate::places::Places;
use crate::policy;
use crate::voice::Voice;

use report::Report;

/// Runs the command as a session; with `--plan` only says what would be enforced.
pub(crate) fn run(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    // Before the first thread: one that does not hold them would end the guard.
    let signals = HeldSignals::hold()?;
    let places = Places::of_process()?;
    let run = ask::run(arguments)?;
    let places: agentguard::Places = places.into();
    let guard = Guard::new(places.clone());
    if arguments.has(&PLAN) {
        let arranged = guard.plan(&run).map_err(failure)?;
        return plan::show(&arranged, run.enforcement, arguments.has(&JSON), voice);
    }
    guard.refuse_level(&run).map_err(failure)?;
    let learning = arguments.path(&LEARN).map(Learning::at).transpose();
    let learning = learning.map_err(failure)?;
    let report = Report::of(arguments, ask::what_is_weaker(&run))?;
    let fence = fence::Fence::of_process()?;
    let finished = guard.exec(&run, &report, &signals);
    drop(fence);
    report.finish();
    match finished {
        Ok(finished) => {
            let exit = ended::tell(&finished, &command_name(&run), arguments.has(&JSON), voice)?;
            if let Some(learning) = learning {
                let learned = learning
                    .write(&places, &finished.session)
                    .map_err(failure)?;
                ended::tell_learned(learned, arguments, voice)?;
            }
            Ok(exit)
        }
        Err(agentguard::Error::Refused { .. }) => Ok(Exit::Refused),
        Err(error) => {
            let cause = agentguard::cause(&error, &places, &run);
            Err(with_cause(failure(error), cause))
        }
    }
}

/// Adds why this machine cannot confine, and what to do about it. It is not tried with less.
fn with_cause(failure: Failure, cause: Option<(String, String)>) -> Failure {
    match cause {
        Some((cause, remedy)) => {
            Failure::new(format!("{}: {cause}", failure.message)).with_hint(remedy)
        }
        None => failure,
    }
}

fn command_name(run: &Run) -> String {
    run.command
        .first()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn failure(error: agentguard::Error) -> Failure {
    if let agentguard::Error::Policy(wrong) = error {
        return policy::failure(wrong);
    }
    let hint = error.remedy().map(str::to_owned);
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
