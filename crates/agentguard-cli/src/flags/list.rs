//! Every flag of agentguard, once. Two commands that share a flag mean the same by it.

use super::{Flag, Value};

const fn flag(long: &'static str, value: Value, help: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value,
        repeats: false,
        help,
    }
}

const fn repeated(long: &'static str, value: Value, help: &'static str) -> Flag {
    Flag {
        repeats: true,
        ..flag(long, value, help)
    }
}

/// One object a line instead of text.
pub(crate) static JSON: Flag = flag("json", Value::None, "write one JSON object a line");
/// Keys as SSH takes them.
pub(crate) static SIGNERS: Flag = flag(
    "signers",
    Value::None,
    "write its keys as lines of SSH's allowed signers",
);
/// Who acts.
pub(crate) static AGENT: Flag = flag(
    "agent",
    Value::Text("NAME"),
    "act as this agent; its key is made on first use",
);
/// Where the user's policy lies.
pub(crate) static POLICY: Flag = flag(
    "policy",
    Value::Directory,
    "use this policy directory in place of the user's",
);
/// Who asked.
pub(crate) static BY: Flag = flag(
    "by",
    Value::Text("HUMAN"),
    "say who asked for this; recorded as asserted, whatever it says",
);
/// Where the agent works.
pub(crate) static WORKSPACE: Flag = flag(
    "workspace",
    Value::Directory,
    "work in this directory (default: the current one)",
);
/// How much is enforced.
pub(crate) static LEVEL: Flag = flag(
    "level",
    Value::Choice("LEVEL", &["full", "no-namespaces", "old-kernel"]),
    "enforce this much (default: full)",
);
/// What passes from the environment.
pub(crate) static ENV: Flag = repeated(
    "env",
    Value::Text("NAME"),
    "pass this variable too; recorded, may be repeated",
);
/// What can be reached on the host's loopback.
pub(crate) static PORT: Flag = repeated(
    "port",
    Value::Number("N", 65_535),
    "let this loopback port of the host be reached; may be repeated",
);
/// How long it may last.
pub(crate) static TIMEOUT: Flag = flag(
    "timeout",
    Value::Number("SECONDS", 31_536_000),
    "end the session after so many seconds; policy may end it earlier",
);
/// How long a human may take.
pub(crate) static APPROVAL_TIMEOUT: Flag = flag(
    "approval-timeout",
    Value::Number("SECONDS", 86_400),
    "wait so long for a human (default: 120; 0 asks nobody)",
);
/// No instead of yes.
pub(crate) static DENY: Flag = flag("deny", Value::None, "say no");
/// What network there is.
pub(crate) static NETWORK: Flag = flag(
    "network",
    Value::Choice("MODE", &["isolated", "host"]),
    "see this network (default: isolated, but for hosts)",
);
/// What a known agent needs.
pub(crate) static PROFILE: Flag = flag(
    "profile",
    Value::Text("NAME"),
    "add what a known coding agent needs",
);
/// Which refusals hold.
pub(crate) static SHADOW: Flag = flag(
    "shadow",
    Value::None,
    "enforce only the deny-list; say and record what else would be refused",
);
/// What was seen, as a policy.
pub(crate) static LEARN: Flag = flag(
    "learn",
    Value::Directory,
    "write into this new directory the narrowest policy for what was seen",
);
/// Look, but do not run.
pub(crate) static PLAN: Flag = flag(
    "plan",
    Value::None,
    "show what would be enforced, and run nothing",
);
/// Where refusals are told to a program.
pub(crate) static REPORT_FD: Flag = flag(
    "report-fd",
    Value::Number("N", 2_147_483_647),
    "write each refusal as a JSON object to this descriptor",
);
/// By which keys is verified.
pub(crate) static KEY: Flag = repeated(
    "key",
    Value::Text("VKEY"),
    "believe this key and no pinned one; may be repeated",
);
/// With which key an answer is signed.
pub(crate) static SIGN: Flag = flag(
    "sign",
    Value::Text("FILE"),
    "sign the answer with this SSH key, as `ssh-keygen -Y sign` does",
);
/// Of which commits is asked.
pub(crate) static COMMIT: Flag = repeated(
    "commit",
    Value::Text("COMMIT"),
    "verify that a receipt names this commit; may be repeated",
);
/// By what they are verified.
pub(crate) static RECEIPT: Flag = repeated(
    "receipt",
    Value::Text("FILE"),
    "verify commits by this receipt; may be repeated",
);
/// Where something is written.
pub(crate) static OUTPUT: Flag = Flag {
    short: Some('o'),
    ..flag(
        "output",
        Value::Text("FILE"),
        "write to this file (default: stdout)",
    )
};
/// Of which kind.
pub(crate) static KIND: Flag = flag(
    "kind",
    Value::Text("KIND"),
    "only this kind of event or action: decision, exec, refs",
);
/// By which rule.
pub(crate) static RULE: Flag = flag(
    "rule",
    Value::Text("RULE"),
    "only what this rule decided, or a rule of this area",
);
/// How it was ruled.
pub(crate) static RULING: Flag = flag(
    "ruling",
    Value::Choice("RULING", &["allow", "deny", "ask", "unenforced"]),
    "only what was ruled so",
);
/// How long ago.
pub(crate) static SINCE: Flag = flag(
    "since",
    Value::Text("TIME"),
    "only what came since: 90s, 15m, 2h, 7d, or a UTC time",
);
/// Personal texts too.
pub(crate) static TEXTS: Flag = flag(
    "texts",
    Value::None,
    "also what entries commit to: commands, paths, environments",
);
/// Every test, not only those that fail.
pub(crate) static VERBOSE: Flag = Flag {
    short: Some('v'),
    ..flag(
        "verbose",
        Value::None,
        "show every test, and what it prints",
    )
};
/// Some tests.
pub(crate) static RUN: Flag = flag(
    "run",
    Value::Text("REGEX"),
    "only tests whose full names match this",
);
/// What is asked.
pub(crate) static QUERY: Flag = flag(
    "query",
    Value::Text("REGO"),
    "evaluate this in place of the verdict",
);
/// What was recorded.
pub(crate) static ENTRY: Flag = flag(
    "entry",
    Value::Text("[SESSION:]N"),
    "take the input from this entry of a session's log",
);
/// Why something is done that cannot be undone.
pub(crate) static REASON: Flag = flag(
    "reason",
    Value::Text("TEXT"),
    "say why, in a sentence; recorded, and never erased",
);
/// A part of what is meant.
pub(crate) static MATCHING: Flag = flag(
    "matching",
    Value::Text("TEXT"),
    "only texts that contain this, in one argument, path or other value",
);
/// Where a credential may go.
pub(crate) static HOST: Flag = repeated(
    "host",
    Value::Text("HOST[:PORT]"),
    "let it go to this host, over TLS; may be repeated",
);
/// Where on it.
pub(crate) static PATH: Flag = repeated(
    "path",
    Value::Text("/PATH"),
    "only to this path; `*` is any one part, `/**` the rest; may be repeated",
);
/// With which methods.
pub(crate) static METHOD: Flag = repeated(
    "method",
    Value::Text("METHOD"),
    "only with this method; may be repeated",
);
/// In which header.
pub(crate) static HEADER: Flag = flag(
    "header",
    Value::Text("NAME"),
    "it stands in this header (default: authorization)",
);
/// As a password.
pub(crate) static BASIC: Flag = flag(
    "basic",
    Value::None,
    "it is the password, or the user, of Basic authentication",
);
/// In the query of a request.
pub(crate) static IN_QUERY: Flag = flag(
    "query",
    Value::Text("NAME"),
    "it is the value of this name of the query",
);
/// As a key that signs.
pub(crate) static AWS: Flag = flag(
    "aws",
    Value::None,
    "it is AWS's `id:key`, or `id:key:session-token`, and signs requests",
);
/// As a key of SSH.
pub(crate) static SSH: Flag = flag(
    "ssh",
    Value::Text("USER"),
    "it is a private key of SSH, by which USER fetches and pushes (port 22)",
);
/// By what hosts are known.
pub(crate) static KNOWN_HOSTS: Flag = flag(
    "known-hosts",
    Value::Text("PATH"),
    "with --ssh: this file says by which keys the host is known from now on",
);
/// Which variables hold what stands for it.
pub(crate) static VARIABLE: Flag = repeated(
    "variable",
    Value::Text("NAME"),
    "set this variable inside to what stands for it; may be repeated",
);
/// Which agents it is for.
pub(crate) static FOR_AGENT: Flag = repeated(
    "agent",
    Value::Text("NAME"),
    "lend it to this agent only; may be repeated",
);
/// When it ends.
pub(crate) static EXPIRES: Flag = flag(
    "expires",
    Value::Text("TIME"),
    "end it after 90s, 15m, 2h or 7d",
);
/// Hosts, slot and variables of a service that many know.
pub(crate) static FOR: Flag = flag(
    "for",
    Value::Choice(
        "SERVICE",
        &["anthropic", "gemini", "github", "gitlab", "openai"],
    ),
    "bind it as this service takes it",
);
/// The token on stdin.
pub(crate) static FROM_STDIN: Flag = flag(
    "from-stdin",
    Value::None,
    "take the token from stdin, and keep it (default unless that is a terminal)",
);
/// Where a token is kept.
pub(crate) static KEEP: Flag = flag(
    "keep",
    Value::Choice("WHERE", &["file", "keyring", "age"]),
    "as it is (default), until a restart, or encrypted",
);
/// What opens a token that is kept encrypted.
pub(crate) static IDENTITY: Flag = flag(
    "identity",
    Value::Text("PATH"),
    "what `--keep age` encrypts to, by `age-keygen`; read at each session's start",
);
/// Whom git says it is.
pub(crate) static USER: Flag = flag(
    "user",
    Value::Text("NAME"),
    "the user as whom git sends it, where it goes as Basic authentication",
);
/// The token in a file.
pub(crate) static FROM_FILE: Flag = flag(
    "from-file",
    Value::Text("PATH"),
    "read the token from this file at each session's start",
);
/// The token in a variable.
pub(crate) static FROM_ENV: Flag = flag(
    "from-env",
    Value::Text("NAME"),
    "read it from this variable at each session's start",
);
/// The token in the kernel's keyring.
pub(crate) static FROM_KEYRING: Flag = flag(
    "from-keyring",
    Value::Text("NAME"),
    "read the key of this name in the kernel's keyring at each session's start",
);
/// The token by a command.
pub(crate) static FROM_COMMAND: Flag = flag(
    "from-command",
    Value::Text("WORDS"),
    "run this at each session's start, as `secret-tool lookup …`; no shell",
);
