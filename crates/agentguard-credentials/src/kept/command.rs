//! A command of the human's that writes a token.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agentguard_core::Secret;

use super::source::bounded;
use crate::Error;

/// How long it may take; it may ask its human for a password.
const PATIENCE: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_millis(5);

/// Finds the program of a command, so that later no other directory is looked in.
///
/// # Errors
///
/// Returns an error where there is none of this name.
pub(crate) fn resolved(words: &[String], search: &[PathBuf]) -> Result<Vec<String>, Error> {
    let (program, arguments) = words.split_first().ok_or(Error::Token {
        problem: "is to come from a command, and none is named",
    })?;
    let path = Path::new(program);
    let found = match path.components().count() {
        1 if !path.is_absolute() => search
            .iter()
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(path))
            .find(|path| path.is_file()),
        _ => Some(path.to_owned()).filter(|path| path.is_absolute() && path.is_file()),
    };
    let missing = || failed(program, io::ErrorKind::NotFound.into());
    let found = found.and_then(|path| path.to_str().map(str::to_owned));
    let mut resolved = vec![found.ok_or_else(missing)?];
    resolved.extend_from_slice(arguments);
    Ok(resolved)
}

/// Runs a command, without a shell and in the root directory, and takes what it writes. It is ended when it takes too
/// long, or writes more than a token has.
pub(crate) fn output(words: &[String]) -> Result<Secret, Error> {
    let (program, arguments) = words.split_first().ok_or(Error::Token {
        problem: "is to come from a command, and none is named",
    })?;
    let failed = |source| failed(program, source);
    #[expect(
        clippy::disallowed_methods,
        reason = "it is the human's own, by their command line, and runs outside every session"
    )]
    let mut command = Command::new(program);
    // Not where an agent works: it may have left something there for a program to find.
    command.args(arguments).current_dir("/");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(failed)?;
    let written = child.stdout.take();
    let reading = std::thread::spawn(move || written.map(bounded).transpose());
    let status = wait(&mut child);
    let status = status.map_err(failed)?;
    let written = match reading.join() {
        Ok(read) => read.map_err(failed)?,
        Err(_) => None,
    };
    match (status, written) {
        (true, Some(token)) => Ok(token),
        (true, None) => Err(failed(io::Error::other("what it writes cannot be read"))),
        (false, _) => Err(failed(io::Error::other("it failed"))),
    }
}

/// Waits for it, and says whether it did well.
fn wait(child: &mut Child) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("it took longer than 60 seconds"));
        }
        // Nothing tells a process that waits for a child and for the time.
        std::thread::sleep(TURN);
    }
}

fn failed(program: &str, source: io::Error) -> Error {
    Error::Io {
        doing: "run",
        path: program.into(),
        source,
    }
}
