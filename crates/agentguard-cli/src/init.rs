//! `init`: a policy to start from.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::Arguments;
use crate::places::Places;
use crate::voice::{Voice, Word};

/// The files that are written, each with what it says.
const FILES: &[(&str, &str)] = &[
    ("deny.toml", include_str!("init/deny.toml")),
    ("own.rego", include_str!("init/own.rego")),
    ("own_test.rego", include_str!("init/own_test.rego")),
    ("sandbox.rego", include_str!("init/sandbox.rego")),
];

/// Writes the files where the user's policy is looked for, unless there is one.
pub(crate) fn run(_: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let directory = Places::of_process()?.config.join("policy");
    let shown = directory.display();
    if std::fs::symlink_metadata(&directory).is_ok() {
        return Err(
            Failure::new(format!("there is a policy at `{shown}` already"))
                .with_hint("`agentguard policy check` looks at it"),
        );
    }
    make(&directory).map_err(|error| Failure::new(format!("cannot make `{shown}`: {error}")))?;
    for (name, text) in FILES {
        write(&directory.join(name), text)
            .map_err(|error| Failure::new(format!("cannot write `{shown}/{name}`: {error}")))?;
        voice.line(&format!("{shown}/{name}"))?;
    }
    voice.flush()?;
    voice.say(
        Word::Note,
        "`agentguard policy test` runs its tests; it holds from the next session on",
    );
    Ok(Exit::Done)
}

fn make(directory: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    if let Some(parent) = directory.parent() {
        builder.recursive(true).create(parent)?;
    }
    builder.recursive(false).create(directory)
}

/// Writes a file that is not there yet, whatever has happened since we looked.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    match opened {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(std::io::Error::other("somebody has just made it"))
        }
        Err(error) => Err(error),
    }
}
