//! A new image, before its first instruction, beside what was judged.

use std::io;

use agentguard_core::Exec;
use rustix::process::Pid;

use super::arguments::Arguments;
use super::caller::Processes;
use super::image::{Image, Images};
use crate::sys::Tracee;

/// What the guard allowed.
pub(super) struct Judged {
    /// The entry that says so.
    pub(super) entry: u64,
    /// What was asked.
    pub(super) exec: Exec,
    /// The file that was looked at, where it could be.
    pub(super) image: Option<Image>,
}

/// What stands.
pub(super) struct Seen {
    pub(super) exec: Exec,
    image: Image,
}

impl Seen {
    /// Looks at a stopped process whose image was just replaced.
    pub(super) fn of(
        processes: &Processes,
        images: &Images,
        process: Pid,
        expected: Option<&Image>,
    ) -> io::Result<Self> {
        let image = images.running(processes, process, expected)?;
        let top = Tracee::stack_top(process)?;
        let arguments = Arguments::of_stack(process, top.stack)?;
        let cwd = processes
            .link(process, "cwd")
            .unwrap_or_else(|| "unknown".to_owned());
        let exec = Exec {
            program: image.program.clone(),
            script: None,
            argv: arguments.words(),
            cwd,
            environment: arguments.environment.0,
            caller: "unknown".to_owned(),
        };
        Ok(Self { exec, image })
    }

    /// Whether this is what was judged: the same file in the same state, arguments, directory and
    /// variables.
    pub(super) fn is_as(&self, judged: &Judged) -> bool {
        judged
            .image
            .as_ref()
            .is_some_and(|image| image.key == self.image.key)
            && judged.exec.program == self.exec.program
            && judged.exec.argv == self.exec.argv
            && judged.exec.cwd == self.exec.cwd
            && judged.exec.environment == self.exec.environment
    }

    /// What is asked anew: what stands, with who called, which no longer can be seen, from before.
    pub(super) fn as_judged_for(&self, judged: &Judged) -> Exec {
        Exec {
            caller: judged.exec.caller.clone(),
            script: judged.exec.script.clone(),
            ..self.exec.clone()
        }
    }
}
