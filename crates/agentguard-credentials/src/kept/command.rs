//! A command of the human's that writes a token.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use agentguard_core::Secret;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::source::{MOST, room};
use super::token::trimmed;
use crate::Error;

/// How long it may take; it may ask its human for a password.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what it started may hold its output open when it has ended.
const GRACE: Duration = Duration::from_secs(2);
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
    let missing = || failed(program, Errno::NOENT.into());
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
    let token = written(&mut child);
    if token.is_err() {
        // One that has ended is only forgotten.
        let _ = child.kill();
        let _ = child.wait();
    }
    token.map_err(failed)
}

/// What it writes until its end, and until nobody can write any more: what it started may still be about to.
fn written(child: &mut Child) -> io::Result<Secret> {
    let begun = Instant::now();
    let mut output = child.stdout.take();
    let mut bytes = room();
    let mut ended = None;
    loop {
        match &mut output {
            Some(from) => {
                if is_to_read(from)? && !more(from, &mut bytes)? {
                    output = None;
                }
            }
            // Nothing tells a process that waits for a child and for the time.
            None => std::thread::sleep(TURN),
        }
        match (ended, child.try_wait()?) {
            (None, Some(status)) if !status.success() => {
                return Err(io::Error::other("it failed"));
            }
            (None, Some(_)) => ended = Some(Instant::now()),
            (Some(_), _) if output.is_none() => return Ok(trimmed(&bytes)),
            (Some(ended), _) if ended.elapsed() > GRACE => {
                let left = "it ended, and something that it started still holds its output open";
                return Err(io::Error::other(left));
            }
            (Some(_), _) | (None, None) => {}
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other("it took longer than 60 seconds"));
        }
    }
}

/// Whether there is something to read, or the end, within one turn.
fn is_to_read(from: &ChildStdout) -> io::Result<bool> {
    let turn = Timespec::try_from(TURN).map_err(io::Error::other)?;
    let mut waited = [PollFd::new(from, PollFlags::IN)];
    match poll(&mut waited, Some(&turn)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Reads what is there. Answers whether there may be more of it.
fn more(from: &mut ChildStdout, bytes: &mut Zeroizing<Vec<u8>>) -> io::Result<bool> {
    let mut piece = Zeroizing::new([0; 4096]);
    let most = MOST.saturating_sub(bytes.len()).min(piece.len());
    let read = from.read(piece.get_mut(..most).unwrap_or_default())?;
    bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
    Ok(read > 0 && bytes.len() < MOST)
}

fn failed(program: &str, source: io::Error) -> Error {
    Error::Io {
        doing: "run",
        path: program.into(),
        source,
    }
}
