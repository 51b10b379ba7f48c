//! `help`, `man`, `completions`: the table, told in other ways.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{self, Arguments, Asked};
use crate::voice::Voice;

/// Shows help on what the operands name.
pub(crate) fn help(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let mut words = arguments.operands().to_vec();
    words.push("--help".into());
    show(&flags::parse(words)?, voice)
}

/// Writes the manual page.
pub(crate) fn man(_: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    voice.raw(flags::man().as_bytes())?;
    Ok(Exit::Done)
}

/// Writes completions for a shell.
pub(crate) fn completions(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let shell = arguments.operand()?.unwrap_or_default();
    let Some(script) = flags::completions(shell) else {
        return Err(
            Failure::new(format!("there are no completions for `{shell}`"))
                .with_hint("use one of `bash`, `zsh`, `fish`"),
        );
    };
    voice.raw(script.as_bytes())?;
    Ok(Exit::Done)
}

/// Shows the help that is asked for.
pub(crate) fn show(asked: &Asked, voice: &mut Voice) -> Result<Exit, Failure> {
    let text = match asked {
        Asked::Overview => flags::overview(),
        Asked::Version => format!("agentguard {}\n", env!("CARGO_PKG_VERSION")),
        Asked::Group(group) => flags::group_help(group),
        Asked::Help(command) | Asked::Run(command, _) => flags::command_help(command),
    };
    voice.raw(text.as_bytes())?;
    Ok(Exit::Done)
}
