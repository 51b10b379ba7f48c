//! What is known of each tool: its subcommands and its options.
//!
//! Only what rules can tell apart needs to be here: an option with a value, lest the value be taken
//! for a target, and options with several spellings. Unknown options are kept as they are written.

use super::options::Style::{self, Gnu, Go, OneDash};
use super::options::{Flag, on, perhaps, value};

/// A tool.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) style: Style,
    /// Whether its first word chooses what it does.
    pub(super) subcommands: bool,
    /// Subcommands with a second word; `*` for all.
    pub(super) two: &'static [&'static str],
    /// Words that say nothing of their own: `docker container run` is `docker run`.
    pub(super) transparent: &'static [&'static str],
    /// Other names of subcommands.
    pub(super) aliases: &'static [(&'static str, &'static str)],
    pub(super) global: &'static [Flag],
    pub(super) per: &'static [(&'static str, &'static [Flag])],
    /// Subcommands whose options end with the first target.
    pub(super) stops: &'static [&'static str],
    /// Whether its own options end with the first target: another command.
    pub(super) wraps: bool,
    /// Whether its targets are files.
    pub(super) paths: bool,
}

const PLAIN: Tool = Tool {
    name: "",
    style: Gnu,
    subcommands: false,
    two: &[],
    transparent: &[],
    aliases: &[],
    global: &[],
    per: &[],
    stops: &[],
    wraps: false,
    paths: false,
};

/// Names that mean another.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("nc.openbsd", "nc"),
    ("nc.traditional", "nc"),
    ("netcat", "nc"),
    ("ncat", "nc"),
    ("nodejs", "node"),
    ("npm-cli.js", "npm"),
    ("npx-cli.js", "npx"),
    ("yarn.js", "yarn"),
    ("yarnpkg", "yarn"),
    ("pnpm.cjs", "pnpm"),
    ("tofu", "terraform"),
    ("platform", "upsun"),
    ("vim.basic", "vim"),
];

/// Names that are often followed by a version.
pub(super) const VERSIONED: &[&str] = &[
    "lua", "node", "perl", "php", "pip", "pypy", "python", "ruby",
];

/// What is known of the tool `name`.
pub(super) fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

const GIT_PUSH: &[Flag] = &[
    on("-f --force"),
    perhaps("--force-with-lease"),
    on("--force-if-includes"),
    on("-d --delete"),
    on("--mirror"),
    on("--all --branches"),
    on("--tags"),
    on("--follow-tags"),
    on("--prune"),
    on("-n --dry-run"),
    on("-u --set-upstream"),
    on("-q --quiet"),
    on("-v --verbose"),
    on("--no-verify"),
    on("--atomic"),
    on("--porcelain"),
    on("--thin"),
    value("--repo"),
    value("--receive-pack --exec"),
    value("-o --push-option"),
    perhaps("--signed"),
    value("--recurse-submodules"),
];
const GIT_FETCH: &[Flag] = &[
    value("--upload-pack"),
    on("-f --force"),
    on("-a --all"),
    on("-p --prune"),
    on("-t --tags"),
    value("--depth"),
    value("--refmap"),
    value("-j --jobs"),
    value("-o --server-option"),
    value("--negotiation-tip"),
];
const GIT_CLONE: &[Flag] = &[
    value("-u --upload-pack"),
    value("-o --origin"),
    value("-b --branch"),
    value("--template"),
    value("-c --config"),
    value("--reference"),
    value("--depth"),
    value("--separate-git-dir"),
    value("-j --jobs"),
    on("-n --no-checkout"),
    on("--bare"),
    on("--mirror"),
    perhaps("--recurse-submodules --recursive"),
];
const GIT_CONFIG: &[Flag] = &[
    on("--global"),
    on("--system"),
    on("--local"),
    on("--worktree"),
    value("-f --file"),
    value("--blob"),
    on("--get"),
    on("--get-all"),
    on("--get-regexp"),
    on("-l --list"),
    on("--unset"),
    on("--unset-all"),
    on("--add"),
    on("--replace-all"),
    on("--show-origin"),
    on("--show-scope"),
    on("-z --null"),
    value("--type"),
    value("--default"),
    on("-e --edit"),
    on("--remove-section"),
    on("--rename-section"),
];
const GIT_COMMIT: &[Flag] = &[
    value("-m --message"),
    value("-F --file"),
    value("-C --reuse-message"),
    value("-c --reedit-message"),
    value("--author"),
    value("--date"),
    value("-t --template"),
    on("-n --no-verify"),
    on("-a --all"),
    on("--amend"),
    on("-s --signoff"),
    perhaps("-S --gpg-sign"),
];
const GIT_BRANCH: &[Flag] = &[
    on("-d --delete"),
    on("-D"),
    on("-f --force"),
    on("-m --move"),
    on("-M"),
    value("-u --set-upstream-to"),
    value("--contains"),
];
const GIT_CLEAN: &[Flag] = &[
    on("-f --force"),
    on("-d"),
    on("-x"),
    on("-X"),
    on("-n --dry-run"),
    value("-e --exclude"),
];
const GIT: Tool = Tool {
    name: "git",
    subcommands: true,
    two: &[
        "bisect",
        "bundle",
        "lfs",
        "notes",
        "reflog",
        "remote",
        "stash",
        "submodule",
        "worktree",
    ],
    global: &[
        value("-C"),
        value("-c"),
        value("--config-env"),
        value("--git-dir"),
        value("--work-tree"),
        value("--namespace"),
        value("--super-prefix"),
        perhaps("--exec-path"),
        value("--attr-source"),
        on("-p --paginate"),
        on("-P --no-pager"),
        on("--bare"),
    ],
    per: &[
        ("push", GIT_PUSH),
        ("fetch", GIT_FETCH),
        ("pull", GIT_FETCH),
        ("clone", GIT_CLONE),
        ("config", GIT_CONFIG),
        ("commit", GIT_COMMIT),
        ("branch", GIT_BRANCH),
        ("clean", GIT_CLEAN),
        (
            "reset",
            &[on("--hard"), on("--soft"), on("--mixed"), on("-q --quiet")],
        ),
        (
            "ls-remote",
            &[
                value("--upload-pack --exec"),
                on("-h --heads"),
                on("-t --tags"),
            ],
        ),
        (
            "archive",
            &[
                value("--remote"),
                value("--exec"),
                value("-o --output"),
                value("--format"),
            ],
        ),
        (
            "grep",
            &[
                perhaps("-O --open-files-in-pager"),
                value("-e"),
                value("-f"),
            ],
        ),
        (
            "rebase",
            &[value("-x --exec"), value("--onto"), on("-i --interactive")],
        ),
        ("bisect run", &[]),
        (
            "init",
            &[
                value("--template"),
                value("--separate-git-dir"),
                value("-b --initial-branch"),
            ],
        ),
        (
            "submodule update",
            &[on("--init"), on("--recursive"), value("--reference")],
        ),
    ],
    stops: &["run", "foreach"],
    ..PLAIN
};

const CURL: &[Flag] = &[
    value("-X --request"),
    value("-d --data"),
    value("--data-binary"),
    value("--data-raw"),
    value("--data-urlencode"),
    value("--json"),
    value("-F --form"),
    value("-T --upload-file"),
    value("-H --header"),
    value("-o --output"),
    on("-O --remote-name"),
    value("-u --user"),
    value("-x --proxy"),
    value("-K --config"),
    value("-b --cookie"),
    value("-c --cookie-jar"),
    value("-A --user-agent"),
    value("-e --referer"),
    value("-m --max-time"),
    value("--connect-timeout"),
    value("--resolve"),
    value("--connect-to"),
    value("--unix-socket"),
    value("--abstract-unix-socket"),
    value("-w --write-out"),
    value("--retry"),
    value("--url"),
    on("-k --insecure"),
    on("-L --location"),
    on("-s --silent"),
    on("-f --fail"),
];
const WGET: &[Flag] = &[
    value("-O --output-document"),
    value("-o --output-file"),
    value("-P --directory-prefix"),
    value("--post-data"),
    value("--post-file"),
    value("--body-data"),
    value("--body-file"),
    value("--method"),
    value("--header"),
    value("-e --execute"),
    value("--use-askpass"),
    value("-i --input-file"),
    on("-q --quiet"),
    on("-r --recursive"),
    on("--no-check-certificate"),
];
const DOCKER_RUN: &[Flag] = &[
    on("--privileged"),
    value("-v --volume"),
    value("--mount"),
    value("--device"),
    value("--cap-add"),
    value("--security-opt"),
    value("--pid"),
    value("--ipc"),
    value("--userns"),
    value("--network --net"),
    value("-p --publish"),
    value("-e --env"),
    value("--env-file"),
    value("-u --user"),
    value("-w --workdir"),
    value("--entrypoint"),
    value("--name"),
    value("-l --label"),
    value("-h --hostname"),
    value("-m --memory"),
    value("--cpus"),
    on("-d --detach"),
    on("-i --interactive"),
    on("-t --tty"),
    on("--rm"),
];
const DOCKER: Tool = Tool {
    name: "docker",
    style: Go,
    subcommands: true,
    two: &[
        "image", "volume", "network", "system", "builder", "buildx", "compose", "context",
        "secret", "stack", "swarm", "plugin",
    ],
    transparent: &["container"],
    global: &[
        value("-H --host"),
        value("-c --context"),
        value("--config"),
        value("-l --log-level"),
        value("-f --file"),
    ],
    per: &[
        ("run", DOCKER_RUN),
        ("create", DOCKER_RUN),
        ("exec", DOCKER_RUN),
    ],
    stops: &["run", "create", "exec"],
    ..PLAIN
};
const KUBECTL_GLOBAL: &[Flag] = &[
    value("-n --namespace"),
    value("--context"),
    value("--kubeconfig"),
    value("--cluster"),
    value("-s --server"),
    value("--token"),
    value("--user"),
    value("--as"),
    value("-l --selector"),
    value("-o --output"),
    value("-f --filename"),
    value("-c --container"),
    on("-A --all-namespaces"),
    on("--all"),
    on("--force"),
    on("-i --stdin"),
    on("-t --tty"),
];
const NPM_GLOBAL: &[Flag] = &[
    value("--prefix"),
    value("--registry"),
    value("-w --workspace"),
    value("--loglevel"),
    value("--cache"),
    value("--userconfig"),
    value("--tag"),
    value("--otp"),
    on("-g --global"),
    on("-D --save-dev"),
    on("--ignore-scripts"),
    on("-y --yes"),
    on("-s --silent"),
    on("--dry-run"),
];
const NPM_ALIASES: &[(&str, &str)] = &[
    ("i", "install"),
    ("in", "install"),
    ("add", "install"),
    ("isntall", "install"),
    ("un", "uninstall"),
    ("rm", "uninstall"),
    ("remove", "uninstall"),
    ("run-script", "run"),
    ("x", "exec"),
    ("t", "test"),
    ("adduser", "login"),
    ("add-user", "login"),
];
const NPM: Tool = Tool {
    name: "npm",
    style: Go,
    subcommands: true,
    two: &[
        "config", "token", "access", "owner", "dist-tag", "hook", "org", "team", "profile",
    ],
    aliases: NPM_ALIASES,
    global: NPM_GLOBAL,
    ..PLAIN
};
const PIP_GLOBAL: &[Flag] = &[
    value("-r --requirement"),
    value("-c --constraint"),
    value("-e --editable"),
    value("-t --target"),
    value("-i --index-url"),
    value("--extra-index-url"),
    value("--trusted-host"),
    value("--proxy"),
    value("--prefix"),
    value("--root"),
    value("--python"),
    on("--user"),
    on("--break-system-packages"),
    on("-U --upgrade"),
];
const CARGO_GLOBAL: &[Flag] = &[
    value("--config"),
    value("-Z"),
    value("-C"),
    value("--manifest-path"),
    value("--target-dir"),
    value("--target"),
    value("-p --package"),
    value("-F --features"),
    value("-j --jobs"),
    value("--token"),
    value("--registry"),
    value("--color"),
    on("-n --dry-run"),
    on("-v --verbose"),
    on("-q --quiet"),
];
const GH_GLOBAL: &[Flag] = &[
    value("-R --repo"),
    value("-X --method"),
    value("-f --raw-field"),
    value("-F --field"),
    value("-H --header"),
    value("--hostname"),
    value("-b --body"),
    value("-t --title"),
    value("--jq"),
    on("--admin"),
    on("--yes"),
    on("-d --delete-branch"),
];
const SSH_GLOBAL: &[Flag] = &[
    value("-o"),
    value("-F"),
    value("-i"),
    value("-J"),
    value("-l"),
    value("-p"),
    value("-P"),
    value("-S"),
    value("-L"),
    value("-R"),
    value("-D"),
    value("-W"),
    value("-c"),
    value("-E"),
    value("-b"),
    value("-e"),
    value("-m"),
    value("-O"),
    value("-Q"),
    value("-w"),
];

const FORCE_RECURSIVE: &[Flag] = &[
    on("-r -R --recursive"),
    on("-f --force"),
    on("-i --interactive"),
    on("-v --verbose"),
    on("-d --dir"),
    on("--no-preserve-root"),
    on("--preserve-root"),
    on("--one-file-system"),
];
const OWNERSHIP: &[Flag] = &[
    on("-R --recursive"),
    on("-f --silent"),
    on("-v --verbose"),
    on("-h --no-dereference"),
    value("--reference"),
    value("--from"),
    on("--preserve-root"),
    on("--no-preserve-root"),
];

const fn files(name: &'static str, global: &'static [Flag]) -> Tool {
    Tool {
        name,
        global,
        paths: true,
        ..PLAIN
    }
}

const fn plain(name: &'static str, global: &'static [Flag]) -> Tool {
    Tool {
        name,
        global,
        ..PLAIN
    }
}

const fn wrapper(name: &'static str, global: &'static [Flag]) -> Tool {
    Tool {
        name,
        global,
        wraps: true,
        ..PLAIN
    }
}

const fn with_subcommands(
    name: &'static str,
    two: &'static [&'static str],
    global: &'static [Flag],
) -> Tool {
    Tool {
        name,
        style: Go,
        subcommands: true,
        two,
        global,
        ..PLAIN
    }
}

static TOOLS: &[Tool] = &[
    GIT,
    Tool {
        aliases: &[],
        ..with_subcommands("gh", &["*"], GH_GLOBAL)
    },
    with_subcommands("glab", &["*"], GH_GLOBAL),
    plain("curl", CURL),
    plain("wget", WGET),
    files("rm", FORCE_RECURSIVE),
    files("rmdir", &[on("-p --parents")]),
    files("unlink", &[]),
    files(
        "shred",
        &[
            on("-u --remove"),
            value("-n --iterations"),
            value("-s --size"),
            on("-f --force"),
        ],
    ),
    files("chmod", OWNERSHIP),
    files("chown", OWNERSHIP),
    files("chgrp", OWNERSHIP),
    files("dd", &[]),
    files(
        "cp",
        &[
            on("-r -R --recursive"),
            on("-a --archive"),
            on("-f --force"),
            value("-t --target-directory"),
        ],
    ),
    files("mv", &[on("-f --force"), value("-t --target-directory")]),
    files(
        "ln",
        &[
            on("-s --symbolic"),
            on("-f --force"),
            value("-t --target-directory"),
        ],
    ),
    files("tee", &[on("-a --append")]),
    files("truncate", &[value("-s --size"), value("-r --reference")]),
    files("mkfs", &[value("-t --type")]),
    DOCKER,
    Tool {
        name: "podman",
        ..DOCKER
    },
    Tool {
        name: "nerdctl",
        ..DOCKER
    },
    with_subcommands(
        "kubectl",
        &["rollout", "config", "create", "auth"],
        KUBECTL_GLOBAL,
    ),
    with_subcommands("helm", &["repo", "plugin"], KUBECTL_GLOBAL),
    Tool {
        style: OneDash,
        ..with_subcommands(
            "terraform",
            &["state", "workspace"],
            &[
                value("--chdir"),
                on("--auto-approve"),
                on("--destroy"),
                value("--target"),
                value("--var-file"),
            ],
        )
    },
    NPM,
    Tool {
        name: "pnpm",
        global: NPM_GLOBAL,
        ..NPM
    },
    Tool {
        name: "yarn",
        global: NPM_GLOBAL,
        two: &["npm", "config", "global", "plugin"],
        ..NPM
    },
    Tool { name: "bun", ..NPM },
    Tool {
        style: Gnu,
        ..with_subcommands("pip", &["config", "cache"], PIP_GLOBAL)
    },
    with_subcommands(
        "uv",
        &["pip", "tool", "python", "self", "publish"],
        PIP_GLOBAL,
    ),
    with_subcommands("cargo", &[], CARGO_GLOBAL),
    with_subcommands(
        "upsun",
        &[],
        &[
            value("-p --project"),
            value("-e --environment"),
            value("-A --app"),
            on("-y --yes"),
            on("-f --force"),
            on("-n --no"),
        ],
    ),
    with_subcommands("gem", &[], &[]),
    with_subcommands(
        "twine",
        &[],
        &[
            value("-r --repository"),
            value("-u --username"),
            value("-p --password"),
        ],
    ),
    with_subcommands(
        "systemctl",
        &[],
        &[
            on("--user"),
            on("--system"),
            on("--now"),
            value("-H --host"),
            value("-M --machine"),
            value("--root"),
            value("-t --type"),
        ],
    ),
    wrapper("ssh", SSH_GLOBAL),
    plain("scp", SSH_GLOBAL),
    plain("sftp", SSH_GLOBAL),
    plain(
        "rsync",
        &[
            value("-e --rsh"),
            value("--rsync-path"),
            on("-a --archive"),
            on("--delete"),
        ],
    ),
    plain(
        "nc",
        &[
            value("-e --exec"),
            value("-c --sh-exec"),
            on("-l --listen"),
            value("-p --source-port"),
            value("-w --wait"),
            value("-s --source"),
        ],
    ),
    plain(
        "crontab",
        &[on("-e"), on("-l"), on("-r"), value("-u --user")],
    ),
    wrapper(
        "systemd-run",
        &[
            on("--user"),
            value("-p --property"),
            value("--on-calendar"),
            value("--on-active"),
            value("-u --unit"),
            on("-t --pty"),
        ],
    ),
];
