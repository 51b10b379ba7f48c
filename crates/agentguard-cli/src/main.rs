//! The command `agentguard`: one table of commands and flags, one file a command.
#![forbid(unsafe_code)]

mod agent;
mod approve;
mod credential;
mod doctor;
mod exec;
mod exit;
mod failure;
mod flags;
mod init;
mod log;
mod places;
mod policy;
mod receipt;
mod reference;
mod shown;
mod trace;
mod verify;
mod voice;

use std::process::ExitCode;

use agentguard::text;

use exit::Exit;
use failure::Failure;
use flags::Asked;
use voice::Voice;

fn main() -> ExitCode {
    // A session's mediator is this program again, and does not come back from here.
    agentguard::sandbox::enter_if_asked();
    // So are who evaluates policies, and a session's gate.
    if agentguard::policy::evaluate_if_asked() || agentguard::egress::enter_if_asked() {
        return ExitCode::SUCCESS;
    }
    let mut voice = Voice::of_process();
    let exit = answer(&mut voice);
    let exit = match voice.flush() {
        Ok(()) => exit,
        Err(failure) => {
            voice.fail(&failure);
            Exit::Failed
        }
    };
    ExitCode::from(exit.code())
}

/// Does what is asked, or says why not.
fn answer(voice: &mut Voice) -> Exit {
    let asked = match flags::parse(std::env::args_os().skip(1).collect()) {
        Ok(asked) => asked,
        Err(failure) => return fail(voice, &failure, Exit::Failed),
    };
    let (done, failed) = match &asked {
        Asked::Run(command, arguments) => ((command.run)(arguments, voice), command.failed),
        Asked::Overview | Asked::Version | Asked::Group(_) | Asked::Help(_) => {
            (reference::show(&asked, voice), Exit::Failed)
        }
    };
    done.unwrap_or_else(|failure| fail(voice, &failure, failed))
}

fn fail(voice: &mut Voice, failure: &Failure, usual: Exit) -> Exit {
    // What was found so far stands before what went wrong.
    let _ = voice.flush();
    voice.fail(failure);
    failure.exit.unwrap_or(usual)
}
