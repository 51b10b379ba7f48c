//! The table: every command of agentguard, in the order in which help shows them.

use crate::exit::Exit;
use crate::{agent, doctor, exec, init, log, policy, reference, trace, verify};

use super::list::{
    AGENT, BY, ENTRY, ENV, JSON, KEY, KIND, LEARN, LEVEL, MATCHING, NETWORK, PLAN, POLICY, PORT,
    PROFILE, QUERY, REASON, REPORT_FD, RULE, RULING, RUN, SHADOW, SINCE, TEXTS, TIMEOUT, VERBOSE,
    WORKSPACE,
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

const DIRECTORIES: Operands = Operands::Some {
    usage: "[DIR…]",
    least: 0,
    most: usize::MAX,
};
const LOG: Operands = Operands::Some {
    usage: "[LOG]",
    least: 0,
    most: 1,
};

/// The words that stand before several commands.
pub(crate) static GROUPS: &[Group] = &[
    Group {
        word: "log",
        summary: "what was recorded; LOG is a session's id or its beginning, a directory, or `anchor`",
    },
    Group {
        word: "policy",
        summary: "policies: what agents may do, as rules that can be checked and tested",
    },
    Group {
        word: "agent",
        summary: "agents: named identities, each with a key of its own",
    },
];

/// Every command.
pub(crate) static COMMANDS: &[Command] = &[
    Command {
        words: &["exec"],
        summary: "run a command confined, with everything it does judged and recorded",
        operands: Operands::Command,
        flags: &[
            &AGENT, &POLICY, &BY, &WORKSPACE, &LEVEL, &ENV, &PORT, &NETWORK, &TIMEOUT, &PROFILE,
            &SHADOW, &LEARN, &JSON, &PLAN, &REPORT_FD,
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
        words: &["verify"],
        summary: "verify a log, a receipt, or everything that was recorded",
        operands: LOG,
        flags: &[&KEY, &JSON],
        exits: &[
            (Exit::Done, "verified"),
            (Exit::No, "does not verify, or is missing"),
            (Exit::Failed, "could not be checked"),
        ],
        example: "agentguard verify",
        failed: Exit::Failed,
        run: verify::run,
    },
    Command {
        words: &["trace"],
        summary: "from a commit, an entry or a file back to who asked for it",
        operands: Operands::Some {
            usage: "COMMIT|ENTRY|PATH",
            least: 1,
            most: 1,
        },
        flags: &[&JSON],
        exits: &[
            (Exit::Done, "found, and the log verifies"),
            (Exit::No, "not found, or the log does not verify"),
            (Exit::Failed, "it could not be found out"),
        ],
        example: "agentguard trace HEAD",
        failed: Exit::Failed,
        run: trace::run,
    },
    Command {
        words: &["log", "show"],
        summary: "tell the story of a session (default: the latest)",
        operands: LOG,
        flags: &[&JSON],
        exits: DOES,
        example: "agentguard log show",
        failed: Exit::Failed,
        run: log::show,
    },
    Command {
        words: &["log", "tail"],
        summary: "show the last entries, and those that come until the session ends",
        operands: LOG,
        flags: &[&JSON],
        exits: DOES,
        example: "agentguard log tail",
        failed: Exit::Failed,
        run: log::tail,
    },
    Command {
        words: &["log", "query"],
        summary: "show the entries that are asked for (default: of every session)",
        operands: LOG,
        flags: &[&KIND, &RULE, &RULING, &SINCE, &JSON],
        exits: &[
            (Exit::Done, "there are some"),
            (Exit::No, "there are none"),
            (Exit::Failed, "it could not be found out"),
        ],
        example: "agentguard log query --ruling deny --since 2h",
        failed: Exit::Failed,
        run: log::query,
    },
    Command {
        words: &["log", "prove"],
        summary: "write the receipt of an entry, which `verify` checks without the log",
        operands: Operands::Some {
            usage: "[SESSION:]N",
            least: 1,
            most: 1,
        },
        flags: &[],
        exits: DOES,
        example: "agentguard log prove 12 > push.tlog-proof",
        failed: Exit::Failed,
        run: log::prove,
    },
    Command {
        words: &["log", "export"],
        summary: "copy a log into a new directory, for others to verify",
        operands: Operands::Some {
            usage: "DIR [LOG]",
            least: 1,
            most: 2,
        },
        flags: &[&TEXTS],
        exits: DOES,
        example: "agentguard log export /tmp/for-the-auditor",
        failed: Exit::Failed,
        run: log::export,
    },
    Command {
        words: &["log", "key"],
        summary: "print the verifier key of all logs, or in the name of one",
        operands: LOG,
        flags: &[&JSON],
        exits: DOES,
        example: "agentguard log key",
        failed: Exit::Failed,
        run: log::key,
    },
    Command {
        words: &["log", "erase"],
        summary: "erase commands, paths and other texts of a session that has ended; its log still verifies",
        operands: Operands::Some {
            usage: "[SESSION[:N[-M]]]",
            least: 0,
            most: 1,
        },
        flags: &[&REASON, &MATCHING, &BY, &JSON],
        exits: &[
            (Exit::Done, "erased, and recorded"),
            (Exit::No, "there is nothing to erase"),
            (Exit::Failed, "it could not be done"),
        ],
        example: "agentguard log erase 36d3a998 --matching hunter2 --reason 'a password in an argument'",
        failed: Exit::Failed,
        run: log::erase,
    },
    Command {
        words: &["init"],
        summary: "write a policy of your own to start from, with its tests",
        operands: NOTHING,
        flags: &[],
        exits: DOES,
        example: "agentguard init",
        failed: Exit::Failed,
        run: init::run,
    },
    Command {
        words: &["policy", "check"],
        summary: "find mistakes in policies; without DIR in those that hold here",
        operands: DIRECTORIES,
        flags: &[&JSON],
        exits: &[
            (Exit::Done, "there is no mistake"),
            (Exit::No, "there is one"),
            (Exit::Failed, "it could not be found out"),
        ],
        example: "agentguard policy check .agentguard/policy",
        failed: Exit::Failed,
        run: policy::check,
    },
    Command {
        words: &["policy", "test"],
        summary: "run the tests beside policies; without DIR of those that hold here",
        operands: DIRECTORIES,
        flags: &[&VERBOSE, &RUN, &JSON],
        exits: &[
            (Exit::Done, "every test passes"),
            (Exit::No, "one does not"),
            (Exit::Failed, "they could not be run, or there is none"),
        ],
        example: "agentguard policy test -v --run git .agentguard/policy",
        failed: Exit::Failed,
        run: policy::test,
    },
    Command {
        words: &["policy", "eval"],
        summary: "say what becomes of an input, or what a query gives; without FILE of stdin's",
        operands: Operands::Some {
            usage: "[FILE]",
            least: 0,
            most: 1,
        },
        flags: &[&POLICY, &ENTRY, &QUERY, &JSON],
        exits: &[
            (Exit::Done, "it is allowed; the query has a value"),
            (Exit::No, "it is not; the query has none"),
            (Exit::Failed, "it could not be found out"),
        ],
        example: "agentguard policy eval --entry 7 --query data.agentguard.exec.git.deny",
        failed: Exit::Failed,
        run: policy::eval,
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
