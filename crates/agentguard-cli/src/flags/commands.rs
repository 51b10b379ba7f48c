//! The table: every command of agentguard, in the order in which help shows them.

use crate::exit::Exit;
use crate::{agent, doctor, exec, reference};

use super::list::{
    AGENT, BY, ENV, JSON, LEVEL, NETWORK, PLAN, POLICY, PORT, PROFILE, REPORT_FD, WORKSPACE,
};
use super::{Command, Group, Operands};

/// The exit codes of a command that does something.
const DOES: &[(Exit, &str)] = &[(Exit::Done, "done"), (Exit::Failed, "it could not be done")];
const NOTHING: Operands = Operands::None;
const NAME: Operands = Operands::Some {
    usage: "NAME",
    least: 1,
    most: 1,
};

/// The words that stand before several commands.
pub(crate) static GROUPS: &[Group] = &[Group {
    word: "agent",
    summary: "agents: named identities, each with a key of its own",
}];

/// Every command.
pub(crate) static COMMANDS: &[Command] = &[
    Command {
        words: &["exec"],
        summary: "run a command confined, with everything it does judged and recorded",
        operands: Operands::Command,
        flags: &[
            &AGENT, &POLICY, &BY, &WORKSPACE, &LEVEL, &ENV, &PORT, &NETWORK, &PROFILE, &JSON,
            &PLAN, &REPORT_FD,
        ],
        exits: &[
            (
                Exit::Child(0),
                "the command's own, or 128 and the number of its signal",
            ),
            (
                Exit::Guard,
                "agentguard failed: a policy, the log or the kernel",
            ),
            (
                Exit::Refused,
                "the command itself was refused, or cannot be executed",
            ),
            (Exit::Missing, "there is no such command"),
        ],
        example: "agentguard exec --agent ci-7 -- git push origin agent/fix",
        failed: Exit::Guard,
        run: exec::run,
    },
    Command {
        words: &["agent", "list"],
        summary: "list the agents",
        operands: NOTHING,
        flags: &[&JSON],
        exits: DOES,
        example: "agentguard agent list",
        failed: Exit::Failed,
        run: agent::list,
    },
    Command {
        words: &["agent", "show"],
        summary: "show an agent: its verifier key, and those it had before",
        operands: NAME,
        flags: &[&JSON],
        exits: DOES,
        example: "agentguard agent show ci-7",
        failed: Exit::Failed,
        run: agent::show,
    },
    Command {
        words: &["agent", "new"],
        summary: "make an agent and its key",
        operands: NAME,
        flags: &[&JSON],
        exits: DOES,
        example: "agentguard agent new ci-7",
        failed: Exit::Failed,
        run: agent::new,
    },
    Command {
        words: &["agent", "rotate"],
        summary: "give an agent a new key; what the old one signed still verifies",
        operands: NAME,
        flags: &[&JSON],
        exits: DOES,
        example: "agentguard agent rotate ci-7",
        failed: Exit::Failed,
        run: agent::rotate,
    },
    Command {
        words: &["agent", "revoke"],
        summary: "end an agent: its secret is removed, its name never used again",
        operands: NAME,
        flags: &[&JSON],
        exits: DOES,
        example: "agentguard agent revoke ci-7",
        failed: Exit::Failed,
        run: agent::revoke,
    },
    Command {
        words: &["doctor"],
        summary: "say what this machine can enforce, and how to get the rest",
        operands: NOTHING,
        flags: &[&JSON],
        exits: &[
            (Exit::Done, "everything that level `full` needs holds"),
            (Exit::No, "something it needs is missing"),
            (Exit::Failed, "it could not be found out"),
        ],
        example: "agentguard doctor",
        failed: Exit::Failed,
        run: doctor::run,
    },
    Command {
        words: &["completions"],
        summary: "write completions for a shell",
        operands: Operands::Some {
            usage: "bash|zsh|fish",
            least: 1,
            most: 1,
        },
        flags: &[],
        exits: DOES,
        example: "agentguard completions bash > ~/.local/share/bash-completion/completions/agentguard",
        failed: Exit::Failed,
        run: reference::completions,
    },
    Command {
        words: &["man"],
        summary: "write the manual page",
        operands: NOTHING,
        flags: &[],
        exits: DOES,
        example: "agentguard man > ~/.local/share/man/man1/agentguard.1",
        failed: Exit::Failed,
        run: reference::man,
    },
    Command {
        words: &["help"],
        summary: "show help for a command",
        operands: Operands::Some {
            usage: "[COMMAND]",
            least: 0,
            most: 2,
        },
        flags: &[],
        exits: DOES,
        example: "agentguard help exec",
        failed: Exit::Failed,
        run: reference::help,
    },
];
