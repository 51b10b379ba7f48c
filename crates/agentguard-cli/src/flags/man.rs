//! The manual page, in the `man` macros of roff.
//!
//! # References
//!
//! - `groff_man(7)`

use std::fmt::Write as _;

use super::help::{PRODUCT, described, spelled, usage};
use super::{COMMANDS, Command};

const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "XDG_STATE_HOME",
        "where keys and logs lie (default: ~/.local/state)",
    ),
    (
        "XDG_CONFIG_HOME",
        "where policies and pinned keys lie (default: ~/.config)",
    ),
    ("NO_COLOR", "set to anything: no colour on standard error"),
];

const FILES: &[(&str, &str)] = &[
    ("/etc/agentguard/policy", "the organisation's policy"),
    ("~/.config/agentguard/policy", "the user's policy"),
    (
        ".agentguard/policy",
        "a repository's policy, which may only tighten",
    ),
    ("~/.local/state/agentguard", "agents' keys and the log"),
];

/// Writes the manual page.
pub(crate) fn man() -> String {
    let mut page = String::from(".TH AGENTGUARD 1\n.SH NAME\n");
    line(&mut page, &format!("agentguard - {PRODUCT}"));
    page.push_str(".SH SYNOPSIS\n");
    line(&mut page, "agentguard COMMAND [OPTIONS]");
    page.push_str(".SH DESCRIPTION\n");
    line(
        &mut page,
        "Everything of agentguard's own goes to standard error and begins with its name; standard \
         output is the command's that runs, or data.",
    );
    page.push_str(".SH COMMANDS\n");
    for command in COMMANDS {
        push_command(&mut page, command);
    }
    for (title, rows) in [("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)] {
        let _ = writeln!(page, ".SH {title}");
        for (name, means) in rows {
            item(&mut page, name, means);
        }
    }
    page
}

fn push_command(page: &mut String, command: &Command) {
    let _ = writeln!(page, ".SS {}", escaped(&command.name()));
    line(page, &format!("{}.", command.summary));
    page.push_str(".PP\n");
    line(page, &usage(command));
    for flag in command.flags {
        item(page, &spelled(flag), &described(flag));
    }
    page.push_str(".PP\nExit codes:\n");
    for (exit, means) in command.exits {
        item(page, &exit.shown(), means);
    }
    page.push_str(".PP\nExample:\n.PP\n.EX\n");
    line(page, command.example);
    page.push_str(".EE\n");
}

fn item(page: &mut String, name: &str, means: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(page, ".TP\n.B {}", escaped(name));
    line(page, means);
}

fn line(page: &mut String, text: &str) {
    page.push_str(&escaped(text));
    page.push('\n');
}

/// Escapes what roff would read as its own: the backslash, dashes that are typed, and the characters
/// that begin a request.
fn escaped(text: &str) -> String {
    let mut shown = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('…', "...");
    if shown.starts_with(['.', '\'']) {
        shown.insert_str(0, "\\&");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_roff_would_read_as_its_own_is_escaped() {
        assert_eq!(escaped(".agentguard/policy"), "\\&.agentguard/policy");
        assert_eq!(escaped("--json \\n"), "\\-\\-json \\en");
    }
}
